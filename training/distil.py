"""Twelve layers -> six: the student copies the teacher's hidden states, sentence vectors and soft labels.

python -m training.distil --teacher pretrained --out .work/generic --minutes 15          # before any label: what the body knows
python -m training.distil --teacher .work/teacher --init .work/generic --out .work/student --minutes 60
python -m training.distil --teacher .work/xlmr --out .work/student --steps 5000          # a network that was trained with --backbone

A teacher of another make has other tokens and hidden states: it is read on the same examples in its own packing, and the student copies its soft labels alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from training.fit import LAYERS, Network, Sampler, loop, new_network, pad, restore, settings_of, task_loss, trained
from training.pack import Packed, load


def distance(student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the tokens of hidden states, each scaled to unit variance by the teacher's."""
    m = mask.unsqueeze(-1).to(student.dtype)
    scale = teacher.square().mean().detach()
    return ((student - teacher).square() * m).sum() / (m.sum() * student.shape[-1]) / scale


def soft_loss(logits: torch.Tensor, targets: torch.Tensor, soft: torch.Tensor, soft_targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with a teacher's probabilities, heads counting twice as much as target groups."""
    return 2 * F.binary_cross_entropy_with_logits(logits, soft) + F.binary_cross_entropy_with_logits(targets, soft_targets)


def check_same(ours: Packed, theirs: Packed) -> None:
    """Refuse two packings of other examples.

    Raises:
        SystemExit: with what to do.
    """
    same = "texts_sha256" in ours.meta and ours.meta["texts_sha256"] == theirs.meta.get("texts_sha256")
    if not same:
        raise SystemExit("teacher and student were packed from other examples: run training.pack for both on the same table, once with --tokenizer and once without")


def from_soft_labels(student: Network, teacher: Network, theirs: Packed, hard: float) -> Callable[[dict[str, torch.Tensor]], torch.Tensor]:
    """The loss of a student by what a teacher with a tokenizer of its own says of the same examples.

    Args:
        student: of any make.
        teacher: computes where the device is, the student on the CPU.
        theirs: the examples as the teacher reads them.
        hard: weight of the data's own labels.
    """
    teacher.to("cuda" if torch.cuda.is_available() else "cpu").requires_grad_(False).eval()
    device = teacher.offset.weight.device

    def loss_of(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        ids, mask = pad([theirs.tokens(i, 128) for i in batch["rows"].tolist()])
        with torch.no_grad():
            soft, soft_targets = (x.sigmoid().float().cpu() for x in teacher(ids.to(device), mask.to(device)))
        logits, targets = student(batch["ids"], batch["mask"])
        return soft_loss(logits, targets, soft, soft_targets) + hard * task_loss(logits, targets, batch["y"], batch["t"], batch["weight"])

    return loss_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, default=Path(".work/packed"))
    parser.add_argument("--teacher", required=True, help="directory of a trained network, or `pretrained`")
    parser.add_argument("--teacher-packed", type=Path, help="the same examples in the tokens of such a teacher (default: those that it was trained on)")
    parser.add_argument("--init", type=Path, help="directory of a student to go on from (default: the chosen layers of the teacher)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=32, help="examples a step and process (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--hard", type=float, default=0.3, help="weight of the data's own labels beside the teacher's (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    packed = load(args.packed)
    settings = settings_of(Path(args.teacher))
    if settings:
        theirs = load(args.teacher_packed or Path(settings["packed"]))
        check_same(packed, theirs)
        student = new_network(packed, args.packed, list(LAYERS))
        if args.init:
            restore(student, args.init)
        student.offset.requires_grad_(False)
        loss = from_soft_labels(student, trained(theirs, args.packed, Path(args.teacher)), theirs, args.hard)
        loop(student, Sampler(packed, args.seed, batch=args.batch), loss, args.out, steps=args.steps, minutes=args.minutes, lr=args.lr, head_lr=1e-3, resume=args.resume)
        return
    labelled = args.teacher != "pretrained"
    teacher = (trained(packed, args.packed, Path(args.teacher)) if labelled else new_network(packed, args.packed)).requires_grad_(False).eval()
    student = new_network(packed, args.packed, list(LAYERS))
    student.body.embeddings.load_state_dict(teacher.body.embeddings.state_dict())
    for new, old in enumerate(LAYERS):
        student.body.encoder.layer[new].load_state_dict(teacher.body.encoder.layer[old].state_dict())
    student.categories.load_state_dict(teacher.categories.state_dict())
    student.targets.load_state_dict(teacher.targets.state_dict())
    if args.init:
        start = torch.load(args.init / "checkpoint.pt", weights_only=True)["network"]
        if labelled:  # what generic distillation changed, on top of what the teacher learnt
            plain = new_network(packed, args.packed, list(LAYERS)).state_dict()
            own = student.state_dict()
            student.load_state_dict({k: own[k] + v - plain[k] for k, v in start.items() if k.startswith("body.encoder")}, strict=False)
        else:
            student.load_state_dict(start, strict=False)
    student.body.embeddings.requires_grad_(False)
    student.body.encoder.layer[0].requires_grad_(False)  # the same layer on the same input as the teacher's
    student.offset.requires_grad_(False)
    if not labelled:
        student.categories.requires_grad_(False)
        student.targets.requires_grad_(False)

    def loss_of(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            above = teacher.states(batch["ids"], batch["mask"])
            pooled = teacher.pool(above[-1], batch["mask"])
            soft, soft_targets = torch.sigmoid(teacher.categories(pooled)), torch.sigmoid(teacher.targets(pooled))
        below = student.states(batch["ids"], batch["mask"])
        own = student.pool(below[-1], batch["mask"])
        loss = 3 * distance(below[-1], above[-1], batch["mask"]) + 3 * F.mse_loss(own, pooled) / pooled.square().mean()
        loss = loss + sum(distance(below[i + 1], above[old + 1], batch["mask"]) for i, old in enumerate(LAYERS[:-1])) / (len(LAYERS) - 1)
        if labelled:
            logits, targets = student.categories(own), student.targets(own)
            loss = loss + soft_loss(logits, targets, soft, soft_targets) + args.hard * task_loss(logits, targets, batch["y"], batch["t"], batch["weight"])
        return loss

    loop(student, Sampler(packed, args.seed, batch=args.batch), loss_of, args.out, steps=args.steps, minutes=args.minutes, lr=args.lr, head_lr=1e-3, resume=args.resume)


if __name__ == "__main__":
    main()
