"""Any encoder of Hugging Face in place of the packaged one: larger, or made for other languages.

    python -m training.pack --tokenizer xlm-roberta-base --out .work/packed-xlmr                                     # the data in its own pieces
    python -m training.fit --backbone xlm-roberta-base --packed .work/packed-xlmr --out .work/xlmr --steps 20000     # LoRA; --lora 0 trains all layers
    accelerate launch -m training.fit --backbone ...                                                                 # several GPUs or machines

The data, the heads, the loss and the sampling are those of `training.fit`. What comes out is a directory like any other network's: `training.calibrate`,
`training.export` and `training.distil --teacher` take it. It holds what was trained, and not the encoder itself, which is read from where it was.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from accelerate import Accelerator
from huggingface_hub.repocard import metadata_load
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import cached_file

from training import graph
from training.fit import SETTINGS, LabelLoss, Network, Sampler, optimiser_of, predict, restore, settings_of, task_loss
from training.pack import Packed, sample

WARM_UP = 150


def tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a backbone, neither cutting nor padding.

    Args:
        name: a directory, or an id of the hub.

    Raises:
        SystemExit: when there is none, or none that the package can run.
    """
    try:
        found = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"{name}: transformers finds no tokenizer ({type(error).__name__})") from error
    out = getattr(found, "backend_tokenizer", None)
    if out is None:
        raise SystemExit(f"{name}: its tokenizer has no tokenizer.json, which the package needs to run it without transformers")
    out.no_truncation()
    out.no_padding()
    marks = out.encode("a").special_tokens_mask
    if len(marks) < 3 or not (marks[0] and marks[-1]):
        raise SystemExit(f"{name}: its tokenizer puts no mark before and after a text, which the windows of long texts need")
    return out


def body(name: str, lora: int = 0, revision: str | None = None) -> nn.Module:
    """The encoder, with adapters of rank `lora` on all of its matrices when that is not 0.

    Raises:
        SystemExit: when transformers cannot load it.
    """
    try:
        encoder = AutoModel.from_pretrained(name, revision=revision, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"{name}: transformers cannot load it as an encoder ({type(error).__name__}). A directory with config.json, or an id of the hub, is expected.") from error
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # the heads do not read it, and what gets no gradient stops several processes
    if lora:
        return get_peft_model(encoder, LoraConfig(r=lora, lora_alpha=2 * lora, lora_dropout=0.05, target_modules="all-linear"))
    return encoder


def new_network(packed: Packed, settings: dict[str, Any]) -> Network:
    """The encoder as it is published, adapters and heads anew."""
    network = Network(body(settings["backbone"], settings["lora"], settings["revision"]), packed.targets.shape[1], len(packed.meta["sources"]))
    network.settings = settings
    return network


def trained(packed: Packed, directory: Path) -> Network:
    """The network of a directory, adapters merged into the encoder.

    Raises:
        SystemExit: when the encoder is no longer where it was.
    """
    network = new_network(packed, settings_of(directory) or {})
    restore(network, directory)
    if isinstance(network.body, PeftModel):
        network.body = network.body.merge_and_unload()
    return network


def write_settings(directory: Path, name: str, lora: int, packed: Path) -> dict[str, Any]:
    """Say in the directory of a network what it is built on: `backbone`, `name`, `revision`, `licence`, `lora` (rank, 0 without), and `packed`, the data."""
    card = cached_file(name, "README.md", _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False)
    local = Path(name).is_dir()
    settings = {
        "backbone": str(Path(name).resolve()) if local else name, "name": Path(name).resolve().name if local else name, "revision": _revision(name),
        "licence": _licence(card), "lora": lora, "packed": str(packed.resolve()),
    }  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    (directory / SETTINGS).write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return settings


def _revision(name: str) -> str | None:
    """The commit of an encoder from the hub."""
    return getattr(AutoConfig.from_pretrained(name), "_commit_hash", None)


def _licence(card: str | None) -> str | None:
    """The licence that a model card names."""
    found = metadata_load(card) if card else None
    return str(found["license"]) if found and found.get("license") else None


def check_pieces(directory: Path, name: str) -> None:
    """Refuse data that was packed with another tokenizer.

    Raises:
        SystemExit: with the command that packs it rightly.
    """
    if Tokenizer.from_file(str(directory / "tokenizer.json")).get_vocab() != tokenizer(name).get_vocab():
        raise SystemExit(f"{directory} was packed with another tokenizer than that of {name}: python -m training.pack --tokenizer {name} --out DIR, then --packed DIR")


def precision(wanted: str) -> str:
    """What accelerate calls it; `auto` is bf16 where the device computes in it."""
    if wanted != "auto":
        return {"fp32": "no"}.get(wanted, wanted)
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    able = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16" if able.get("amx_bf16") or able.get("avx512_bf16") else "no"


def train(
    network: Network,
    packed: Packed,
    out: Path,
    *,
    steps: int,
    minutes: float | None = None,
    batch: int = 32,
    accumulate: int = 1,
    lr: float = 2e-4,
    head_lr: float = 1e-3,
    wanted: str = "auto",
    evaluate_every: int = 500,
    patience: int = 4,
    each: int = 20,
    seed: int = 7,
    resume: bool = False,
    every: float = 600,
) -> None:
    """Train until the steps or minutes are over, or the loss on development rows has not fallen for `patience` evaluations.

    Writes `checkpoint.pt`, the network with the lowest such loss, `last.pt`, from which to go on, and `log.jsonl`. Each step has a seed of its own, so that a run
    which was cut off and goes on ends with the same weights as one that was not.

    Args:
        network: as `new_network` makes it.
        packed: packed with the tokenizer of the backbone.
        out: where to.
        steps: changes of the weights.
        minutes: end by the clock, at the latest.
        batch: examples at a time and process.
        accumulate: batches a step.
        lr: peak rate of the encoder or its adapters.
        head_lr: peak rate of the heads.
        wanted: `auto`, `bf16` or `fp32`.
        evaluate_every: steps between two looks at the development rows.
        patience: looks without a lower loss after which to end.
        each: development rows a language and data set.
        seed: of the draws and of dropout.
        resume: go on from `last.pt` when there is one.
        every: seconds between two writings of `last.pt`.

    Raises:
        SystemExit: when the data has no development rows.
    """
    accelerator = Accelerator(mixed_precision=precision(wanted), gradient_accumulation_steps=accumulate)
    rank, world = accelerator.process_index, accelerator.num_processes
    dev = sample(packed, 1, each)
    if not len(dev):
        raise SystemExit("the data has no development rows, on which training is judged: pack a table with a dev split")
    out.mkdir(parents=True, exist_ok=True)
    sampler = Sampler(packed, seed, batch=batch)
    wrapped, optimiser = accelerator.prepare(LabelLoss(network, packed), optimiser_of(network, lr, head_lr))
    peak = [g["lr"] for g in optimiser.param_groups]
    changed = {n for n, p in network.named_parameters() if p.requires_grad}
    done, spent, best, worse, judged = 0, 0.0, float("inf"), 0, -1
    if resume and (out / "last.pt").exists():
        state = torch.load(out / "last.pt", weights_only=True, map_location="cpu")
        network.load_state_dict(state["network"], strict=False)
        optimiser.load_state_dict(state["optimiser"])
        done, spent, best, worse, judged = (state[k] for k in ("done", "spent", "best", "worse", "judged"))

    def write(name: str, **more: Any) -> None:
        if accelerator.is_main_process:
            weights = {k: v.cpu() for k, v in network.state_dict().items() if k in changed}
            torch.save({"network": weights, "done": done, **more}, out / f"{name}.tmp")
            (out / f"{name}.tmp").replace(out / name)

    def go_on_from_here() -> None:
        write("last.pt", optimiser=optimiser.state_dict(), spent=spent, best=best, worse=worse, judged=judged)

    def log(**line: Any) -> None:
        if accelerator.is_main_process:
            print(json.dumps(line), flush=True)
            with (out / "log.jsonl").open("a") as lines:
                lines.write(json.dumps(line) + "\n")

    def judge() -> None:
        nonlocal best, worse, judged
        loss, judged = development_loss(network, packed, dev, accelerator), done
        best, worse = (loss, 0) if loss < best else (best, worse + 1)
        log(step=done, development_loss=round(loss, 5), lowest=round(best, 5))
        if not worse:
            write("checkpoint.pt", development_loss=loss)
        go_on_from_here()
        wrapped.train()

    wrapped.train()
    batches = islice(sampler, done * accumulate, None)
    began, saved = time.monotonic() - spent, time.monotonic()
    losses: list[float] = []
    tokens, since = 0, time.monotonic()
    while worse < patience:
        if minutes:  # by the clock of the first process, so that all end together
            spent = float(accelerator.reduce(torch.tensor([spent], device=accelerator.device), "mean"))
        progress = max(done / steps, spent / (minutes * 60) if minutes else 0)
        if progress >= 1:
            break
        for group, top in zip(optimiser.param_groups, peak, strict=True):
            group["lr"] = top * min(1.0, (done + 1) / min(WARM_UP, max(1, steps // 10))) * max(0.02, 1 - progress)
        torch.manual_seed((seed * 1_000_003 + done) * 4096 + rank)
        for rows in islice(batches, accumulate):
            given = {k: v.to(accelerator.device) for k, v in sampler.tensors(rows).items()}
            with accelerator.accumulate(wrapped):
                loss = wrapped(given)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad()
            losses.append(loss.detach())
            tokens += int(given["mask"].sum()) * world
        done += 1
        spent = time.monotonic() - began
        if done % 50 == 0 or done % evaluate_every == 0:
            rate = tokens / (time.monotonic() - since)
            log(step=done, loss=round(float(torch.stack(losses).mean()), 4), tokens_per_second=round(rate), minutes=round(spent / 60, 1))
            losses.clear()
        if done % evaluate_every == 0:
            judge()
        elif time.monotonic() - saved > every:
            go_on_from_here()
            saved = time.monotonic()
        if done % 50 == 0 or done % evaluate_every == 0:
            tokens, since = 0, time.monotonic()
    if judged != done:
        judge()
    accelerator.wait_for_everyone()


def development_loss(network: Network, packed: Packed, rows: np.ndarray, accelerator: Accelerator) -> float:
    """The loss of the heads as they will be used, without the offsets of data sets, each process reading its share of the rows."""
    own = slice(accelerator.process_index, None, accelerator.num_processes)
    with accelerator.autocast():
        heads, groups = predict(network, packed, rows[own])
    logits = torch.zeros(len(rows), heads.shape[1] + groups.shape[1], device=accelerator.device)
    logits[own] = torch.from_numpy(np.concatenate([heads, groups], 1)).to(accelerator.device)
    logits = accelerator.reduce(logits, "sum").cpu()
    y, t, weight = (torch.from_numpy(np.asarray(a[rows])) for a in (packed.labels, packed.targets, packed.weight))
    return float(task_loss(logits[:, : heads.shape[1]], logits[:, heads.shape[1] :], y, t, weight))


class _Outputs(nn.Module):
    """What a model directory's graph gives."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pooled = self.network.pool(self.network.read(input_ids, attention_mask).last_hidden_state, attention_mask)
        return self.network.categories(pooled), self.network.targets(pooled), pooled


def onnx_model(network: Network, weights: graph.Weights) -> onnx.ModelProto:
    """The graph of a network, with the inputs and outputs of ours, so that the same runtime reads it.

    Raises:
        SystemExit: when the weights are asked for in 4 bits.
    """
    if weights == "int4":
        raise SystemExit("4 bits are for our own encoder; a backbone is written with --weights int8 or fp32")
    ids = torch.full((2, 8), 5)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    names, outputs = ("input_ids", "attention_mask"), ("categories", "targets", "pooled")
    axes = {**{n: {0: "texts", 1: "tokens"} for n in names}, **{n: {0: "texts"} for n in outputs}}
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the tracer says of branches on the shape of a batch; the tests run other shapes
        path = str(Path(directory) / "traced.onnx")
        model = _Outputs(network.cpu()).eval()
        torch.onnx.export(model, (ids, mask), path, dynamo=False, opset_version=17, input_names=names, output_names=outputs, dynamic_axes=axes)
        traced = onnx.load(path)
    return graph.shrink(traced) if weights == "int8" else traced


def main(args: argparse.Namespace, packed: Packed) -> None:
    """What `training.fit --backbone` does."""
    check_pieces(args.packed, args.backbone)
    before = settings_of(args.out) if args.resume else None
    settings = write_settings(args.out, args.backbone, args.lora, args.packed)
    if before and any(before[k] != settings[k] for k in ("backbone", "lora")):
        raise SystemExit(f"{args.out} holds a network on {before['backbone']} with --lora {before['lora']}: name them again, or go on elsewhere with another --out")
    network = new_network(packed, settings)
    if args.init:
        restore(network, args.init)
    train(
        network, packed, args.out, steps=args.steps, minutes=args.minutes, batch=args.batch, accumulate=args.accumulate, lr=args.lr or (2e-4 if args.lora else 2e-5),
        wanted=args.precision, evaluate_every=args.evaluate_every, patience=args.patience, seed=args.seed, resume=args.resume,
    )  # fmt: skip
