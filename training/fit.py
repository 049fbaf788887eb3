"""Train an encoder with masked multi-task heads on packed data.

    python -m training.fit --packed .work/packed --out .work/teacher --minutes 50            # twelve layers, from the pretrained body
    python -m training.fit --init .work/student --out .work/tuned --freeze 1 --steps 3000     # six layers: the labels, after distillation
    python -m training.fit ... --resume                                                      # go on from the last checkpoint
    python -m torch.distributed.run --nproc-per-node 2 -m training.fit ...                   # a process a core: faster than two threads
    python -m training.fit --backbone xlm-roberta-base --packed .work/packed-xlmr --out .work/xlmr --steps 20000        # any encoder: training/backbone.py

Loss is masked where a data set does not say. A logit offset for every data set (dropped afterwards) keeps one set's notion of hate from moving the
shared head; contrast data has none, so the shared head keeps our guideline's notion.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from training import pretrained
from training.pack import PLAIN, Packed, load

SETTINGS = "backbone.json"
"""In the directory of a network: which encoder it was trained on, when that is not the packaged one."""
LAYERS = (0, 2, 4, 7, 9, 11)
"""Of the twelve, those that a student keeps."""
HEADS = ("hate", "abuse", "violence", "incitement")
HEAD_WEIGHT = torch.tensor([1.0, 0.6, 1.0, 0.8])
CONTRAST_SHARE = 0.40
PLAIN_SHARE = 0.10
NOISY_SHARE = 0.12


class Network(nn.Module):
    """Encoder, and linear heads on the mean over tokens beside the first token."""

    settings: dict[str, Any] | None = None
    """What `settings_of` read, of a network on another encoder than the packaged one."""

    def __init__(self, body: nn.Module, n_targets: int, n_sources: int) -> None:
        super().__init__()
        self.body = body
        width = 2 * body.config.hidden_size
        self.categories, self.targets = nn.Linear(width, len(HEADS)), nn.Linear(width, n_targets)
        self.offset = nn.Embedding(n_sources, len(HEADS))
        nn.init.zeros_(self.offset.weight)
        for head in (self.categories, self.targets):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.constant_(head.bias, -1.0)
        self.body.get_input_embeddings().weight.requires_grad_(False)  # frozen: they keep their 4 bits without loss
        self.padding = body.config.pad_token_id or 0

    def read(self, ids: torch.Tensor, mask: torch.Tensor, **wanted: bool) -> Any:
        """What the encoder gives for (n_texts, n_tokens) ids, whatever id stands where the mask is 0."""
        return self.body(input_ids=ids.masked_fill(mask == 0, self.padding), attention_mask=mask, **wanted)

    def states(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Hidden states after the embeddings and after each layer: (n_texts, n_tokens, hidden) each."""
        return self.read(ids, mask, output_hidden_states=True).hidden_states

    def pool(self, last: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        m = mask.unsqueeze(-1).to(last.dtype)
        return torch.cat([(last * m).sum(1) / m.sum(1), last[:, 0]], 1)  # (n_texts, 2 * hidden)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = self.pool(self.read(ids, mask).last_hidden_state, mask)
        return self.categories(pooled), self.targets(pooled)


def task_loss(logits: torch.Tensor, targets: torch.Tensor, y: torch.Tensor, t: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Masked binary cross-entropy over heads and target groups, each row weighed by trust in its source."""
    known = ~torch.isnan(y)
    per = F.binary_cross_entropy_with_logits(logits, torch.nan_to_num(y), reduction="none") * known * HEAD_WEIGHT.to(logits) * weight[:, None]
    known_t = ~torch.isnan(t)
    per_t = F.binary_cross_entropy_with_logits(targets, torch.nan_to_num(t), reduction="none") * known_t * weight[:, None]
    return per.sum() / known.sum().clamp(min=1) * 2 + per_t.sum() / known_t.sum().clamp(min=1)


class LabelLoss(nn.Module):
    """The loss of a batch by the data's own labels; every data set but ours has its offset."""

    def __init__(self, network: Network, packed: Packed) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("ours", torch.tensor([s.startswith(("contrast/", PLAIN)) for s in packed.meta["sources"]]), persistent=False)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        logits, targets = self.network(batch["ids"], batch["mask"])
        offset = self.network.offset(batch["source"])
        offset = torch.where(self.ours[batch["source"]][:, None], torch.zeros_like(offset), offset)
        return task_loss(logits.float() + offset, targets.float(), batch["y"], batch["t"], batch["weight"]) + 0.01 * offset.square().mean()


class Sampler:
    """Draws training batches: languages by the square root of their rows, sets within a language alike, rare labels oftener; fixed shares of contrast, plain and noisy ones."""

    def __init__(self, packed: Packed, seed: int, longest: int = 64, batch: int = 32, only: np.ndarray | None = None) -> None:
        self.packed, self.longest, self.batch = packed, longest, batch
        self.rank, self.world = processes()
        self.rng = np.random.default_rng(seed)
        kind = np.array([2 if s == PLAIN else int(s.startswith("contrast/")) for s in packed.meta["sources"]])[packed.source]
        allowed = np.ones(len(kind), bool) if only is None else only
        share = np.zeros(len(kind))
        for wanted, of_all in enumerate((1 - CONTRAST_SHARE - PLAIN_SHARE, CONTRAST_SHARE, PLAIN_SHARE)):
            for split, part in ((0, 1 - NOISY_SHARE), (3, NOISY_SHARE)):
                chosen = np.flatnonzero((kind == wanted) & (packed.split == split) & allowed)
                if len(chosen):
                    share[chosen] = of_all * part * self._shares(chosen, wanted == 1)
        self.cumulative = np.cumsum(share / share.sum())

    def _shares(self, rows: np.ndarray, is_contrast: bool) -> np.ndarray:
        p = self.packed
        language, source = p.language[rows].astype(np.int64), p.source[rows].astype(np.int64)
        y = np.nan_to_num(p.labels[rows], nan=0.0) > 0.5
        cell = (language * 4096 + source) * 16 + y @ np.array([1, 2, 4, 8])
        size = {}
        for name, keys in (("language", language), ("source", language * 4096 + source), ("cell", cell)):
            _, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
            size[name] = count[inverse]
        if is_contrast:  # every language alike, every kind alike
            w = 1 / size["source"]
            totals = np.bincount(language, w)
            return w / totals[language] / (totals > 0).sum()
        w = size["cell"] ** -0.5 * size["source"] ** -0.1 * np.clip(p.weight[rows], 0.3, 1)
        w = w / np.bincount(language, w)[language] * size["language"] ** 0.4
        return w / w.sum()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Batches of example numbers, alike in length; every process draws the same ones and takes its share, so that none waits for another's longer texts."""
        while True:
            drawn = np.searchsorted(self.cumulative, self.rng.random(self.batch * self.world * 40)).clip(max=len(self.cumulative) - 1)
            length = np.minimum(self.packed.offsets[drawn + 1] - self.packed.offsets[drawn], self.longest)
            batches = np.split(drawn[np.argsort(length, kind="stable")], 40)
            self.rng.shuffle(batches)
            yield from (b[self.rank :: self.world] for b in batches)

    def tensors(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Padded ids and what is known of the rows."""
        p = self.packed
        ids, mask = pad([p.tokens(i, self.longest) for i in rows])
        return {"rows": torch.from_numpy(rows), "ids": ids, "mask": mask, "y": torch.from_numpy(p.labels[rows]), "t": torch.from_numpy(p.targets[rows]),
                "source": torch.from_numpy(p.source[rows].astype(np.int64)), "weight": torch.from_numpy(p.weight[rows])}  # fmt: skip


def pad(rows: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """(n_texts, n_tokens) ids and mask."""
    ids = np.full((len(rows), max(map(len, rows))), pretrained.PAD, np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


@torch.inference_mode()
def predict(network: Network, packed: Packed, rows: np.ndarray, longest: int = 128, batch: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Logits of heads and of target groups, in the order of `rows`."""
    network.eval()
    device = network.offset.weight.device
    order = np.argsort(packed.offsets[rows + 1] - packed.offsets[rows], kind="stable")
    heads, groups = np.empty((len(rows), len(HEADS)), np.float32), np.empty((len(rows), network.targets.out_features), np.float32)
    for start in range(0, len(rows), batch):
        some = order[start : start + batch]
        ids, mask = pad([packed.tokens(i, longest) for i in rows[some]])
        a, b = network(ids.to(device), mask.to(device))
        heads[some], groups[some] = a.float().cpu().numpy(), b.float().cpu().numpy()
    return heads, groups


def processes() -> tuple[int, int]:
    """This process's rank and how many there are; joins the group on first use, a thread each."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not dist.is_initialized():
        torch.set_num_threads(1)
        dist.init_process_group("gloo")
    return (dist.get_rank(), world) if world > 1 else (0, 1)


def average(parameters: list[nn.Parameter], spent: float) -> float:
    """Average the gradients over all processes, and the time spent, so that all end together."""
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in gradients] + [torch.tensor([spent])])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    at = 0
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = flat[at : at + g.numel()].view_as(p)
        at += g.numel()
    return float(flat[-1])


def optimiser_of(network: nn.Module, lr: float, head_lr: float) -> torch.optim.AdamW:
    """AdamW over what is trained: matrices of the body, its vectors without decay, and the heads at a rate of their own."""
    heads = [p for n, p in network.named_parameters() if not n.startswith("body.") and p.requires_grad]
    plain = [p for n, p in network.named_parameters() if n.startswith("body.") and p.requires_grad and p.ndim == 1]
    dense = [p for n, p in network.named_parameters() if n.startswith("body.") and p.requires_grad and p.ndim > 1]
    return torch.optim.AdamW(
        [{"params": dense, "lr": lr, "weight_decay": 0.01}, {"params": plain, "lr": lr, "weight_decay": 0.0}, {"params": heads, "lr": head_lr, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
        fused=True,
    )


def loop(
    network: nn.Module,
    sampler: Sampler,
    loss_of: Callable[[dict[str, torch.Tensor]], torch.Tensor],
    out: Path,
    *,
    steps: int,
    minutes: float | None,
    lr: float,
    head_lr: float,
    resume: bool,
    every: float = 240,
) -> None:
    """AdamW, warm-up, linear decay over `steps` (or over `minutes` of the clock when given), a checkpoint every `every` seconds."""
    rank, world = processes()
    out.mkdir(parents=True, exist_ok=True)
    optimiser = optimiser_of(network, lr, head_lr)
    parameters = [p for g in optimiser.param_groups for p in g["params"]]
    peak = [g["lr"] for g in optimiser.param_groups]
    done, spent, checkpoint = 0, 0.0, out / "checkpoint.pt"
    if resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"], strict=False)
        optimiser.load_state_dict(state["optimiser"])
        done, spent = state["done"], state["spent"]
    sampler.rng = np.random.default_rng([sampler.rng.integers(2**31), done])
    trained = {n for n, p in network.named_parameters() if p.requires_grad}

    def save() -> None:
        torch.save(
            {"network": {k: v for k, v in network.state_dict().items() if k in trained}, "optimiser": optimiser.state_dict(), "done": done, "spent": spent},
            checkpoint.with_suffix(".tmp"),
        )
        checkpoint.with_suffix(".tmp").replace(checkpoint)

    network.train()
    began, saved, losses, first = time.monotonic() - spent, time.monotonic(), [], done
    for rows in sampler:
        progress = max(done / steps, spent / (minutes * 60) if minutes else 0)
        if progress >= 1:
            break
        for group, top in zip(optimiser.param_groups, peak, strict=True):
            group["lr"] = top * min(1.0, (done + 1) / 150) * max(0.02, 1 - progress)
        loss = loss_of(sampler.tensors(rows))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        spent = time.monotonic() - began
        if world > 1:
            spent = average(parameters, spent)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        losses.append(loss.item())
        done += 1
        if rank == 0 and done % 50 == 0:
            rate = (done - first) * sampler.batch * world / (time.monotonic() - began - (0 if first == 0 else state["spent"]))
            line = {"step": done, "loss": round(float(np.mean(losses)), 4), "examples_per_second": round(rate, 1), "minutes": round(spent / 60, 1)}
            print(json.dumps(line), flush=True)
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            losses.clear()
        if rank == 0 and time.monotonic() - saved > every:
            save()
            saved = time.monotonic()
    if rank == 0:
        save()
    if world > 1:
        dist.barrier()


def new_network(packed: Packed, directory: Path, layers: list[int] | None = None) -> Network:
    """A network on the pretrained body, vocabulary as packed."""
    body = pretrained.body(pretrained.read(), np.load(directory / "keep.npy"), layers)
    return Network(body, packed.targets.shape[1], len(packed.meta["sources"]))


def restore(network: Network, directory: Path) -> None:
    """Load the trained parts of a checkpoint (the frozen word vectors are not in it)."""
    state = torch.load(directory / "checkpoint.pt", weights_only=True)["network"]
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("offset")}, strict=False)


def settings_of(directory: Path) -> dict[str, Any] | None:
    """What the backbone of a network is; None of one on the packaged encoder."""
    path = directory / SETTINGS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def trained(packed: Packed, directory: Path, network: Path) -> Network:
    """The network of a checkpoint, with as many layers as it holds: six, twelve of a teacher, or those of the backbone that it was trained on."""
    if settings_of(network):
        from training import backbone  # which builds on this module

        return backbone.trained(packed, network)
    names = torch.load(network / "checkpoint.pt", weights_only=True, mmap=True)["network"]
    highest = max(int(n.split(".")[3]) for n in names if n.startswith("body.encoder.layer."))
    made = new_network(packed, directory, list(LAYERS) if highest < len(LAYERS) else None)
    restore(made, network)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, default=Path(".work/packed"))
    parser.add_argument("--out", type=Path, default=Path(".work/teacher"))
    parser.add_argument("--init", type=Path, help="directory of a network to go on from, six layers or twelve (default: the pretrained body)")
    parser.add_argument("--freeze", type=int, default=3, help="lowest layers that stay as they are (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="end by the clock; the learning rate falls accordingly")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=32, help="examples a step and process (default: %(default)s)")
    parser.add_argument("--lr", type=float, help="default: 1.2e-4; for a backbone 2e-4 with LoRA, 2e-5 without")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--resume", action="store_true")
    more = parser.add_argument_group("a backbone in place of the packaged body")
    more.add_argument("--backbone", metavar="DIR_OR_ID", help="an encoder of Hugging Face: a directory, or an id of the hub")
    more.add_argument("--lora", type=int, default=16, metavar="RANK", help="rank of the adapters trained in place of the layers; 0: the layers (default: %(default)s)")
    more.add_argument("--accumulate", type=int, default=1, metavar="N", help="batches a step (default: %(default)s)")
    more.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto", help="auto: bf16 where the device computes in it")
    more.add_argument("--evaluate-every", type=int, default=500, metavar="STEPS", help="steps between two looks at the development rows (default: %(default)s)")
    more.add_argument("--patience", type=int, default=4, metavar="N", help="end after so many looks without a lower loss (default: %(default)s)")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    packed = load(args.packed)
    if args.backbone:
        from training import backbone

        backbone.main(args, packed)
        return
    network = trained(packed, args.packed, args.init) if args.init else new_network(packed, args.packed)
    for name, p in network.body.named_parameters():
        if name.startswith("embeddings.") or any(name.startswith(f"encoder.layer.{i}.") for i in range(args.freeze)):
            p.requires_grad_(False)

    sampler = Sampler(packed, args.seed, batch=args.batch)
    loop(network, sampler, LabelLoss(network, packed), args.out, steps=args.steps, minutes=args.minutes, lr=args.lr or 1.2e-4, head_lr=1e-3, resume=args.resume)


if __name__ == "__main__":
    main()
