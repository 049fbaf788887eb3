"""A trained network -> a model directory that the package loads: `model.onnx`, `tokenizer.json`, `manifest.json`.

    python -m training.export --network .work/tuned --calibration .work/calibration.json --out ipu_moderation/data/model
    python -m training.export --network .work/xlmr --packed .work/packed-xlmr --calibration .work/xlmr.json --out xlmr      # trained with --backbone

The gate compares the small weights with fp32 on the reporting half of the development rows, language by language, and refuses a model that loses more
than a point of AUC anywhere.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np

from ipu_moderation.classifiers.compact import FORMAT
from ipu_moderation.normalise import VERSION as NORMALISER
from ipu_moderation.taxonomy import SCORED, TargetGroup
from training import graph, pretrained
from training.data import sources
from training.fit import Network, pad, trained
from training.pack import Packed, load, sample

NAME = "compact"
OWN_BODY: dict[str, str | None] = {"name": "intfloat/multilingual-e5-small", "licence": "MIT"}
MAX_TOKENS, STRIDE, MAX_WINDOWS = 128, 32, 8
MAX_LOSS = 0.01


def onnx_model(network: Network, directory: Path, weights: graph.Weights | list[graph.Weights]) -> graph.onnx.ModelProto:
    """The graph of a network, word vectors of our own straight from the pretrained file."""
    if network.settings:
        from training import backbone

        return backbone.onnx_model(network, weights)
    weights_file = pretrained.read()
    words = weights_file.tensors["emb.word"][1].reshape(-1, weights_file.hidden // pretrained.BLOCK * 18)[np.load(directory / "keep.npy")]
    state = {k: v.detach().numpy() for k, v in network.body.state_dict().items()}
    heads = {name: (head.weight.detach().numpy(), head.bias.detach().numpy()) for name, head in (("categories", network.categories), ("targets", network.targets))}
    config = network.body.config
    return graph.encoder(state, words, layers=config.num_hidden_layers, heads=config.num_attention_heads, epsilon=config.layer_norm_eps, weights=weights, outputs=heads)


def run(path: Path, packed: Packed, rows: np.ndarray, longest: int = MAX_TOKENS) -> np.ndarray:
    """(n_rows, heads + groups) logits of an ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    length = packed.offsets[rows + 1] - packed.offsets[rows]
    order = np.argsort(length, kind="stable")
    out = np.empty((len(rows), len(SCORED) + len(TargetGroup)), np.float32)
    for start in range(0, len(rows), 32):
        some = order[start : start + 32]
        ids, mask = pad([packed.tokens(i, longest) for i in rows[some]])
        out[some] = np.concatenate(session.run(["categories", "targets"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}), 1)
    return out


def gate(small: np.ndarray, full: np.ndarray, packed: Packed, rows: np.ndarray, least: int = 50) -> list[tuple[str, str, float, float]]:
    """(language, head, AUC of fp32, AUC of the small weights) wherever there are at least `least` rows on both sides."""
    from sklearn.metrics import roc_auc_score

    out = []
    for code, language in enumerate(packed.meta["languages"]):
        for h, head in enumerate(SCORED):
            y = packed.labels[rows, h]
            here = (packed.language[rows] == code) & ~np.isnan(y) & ((y < 0.4) | (y > 0.6))
            if min((y[here] > 0.5).sum(), (y[here] < 0.5).sum()) >= least:
                out.append((language, head.value, float(roc_auc_score(y[here] > 0.5, full[here, h])), float(roc_auc_score(y[here] > 0.5, small[here, h]))))
    return out


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_directory(out: Path, model: Path, tokenizer: Path, calibration: dict, meta: dict, version: str, name: str = NAME, body: dict[str, str | None] = OWN_BODY) -> None:
    """Copy the files and write the manifest last, so that a half-written directory is refused.

    Args:
        out: the model directory.
        model: the graph; weights that lie beside it come along under the name that it calls them by.
        tokenizer: of the packed data.
        calibration: what `training.calibrate` wrote.
        meta: of the packed data.
        version: of the model.
        name: of the model.
        body: name and licence of the encoder.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)
    shutil.copyfile(model, out / "model.onnx")
    shutil.copyfile(tokenizer, out / "tokenizer.json")
    beside = [shutil.copyfile(p, out / p.name).name for p in (model.with_name(model.name + ".data"),) if p.exists()]
    manifest = {
        "format": FORMAT, "name": name, "version": version, "created": dt.datetime.now(dt.timezone.utc).date().isoformat(), "normaliser": NORMALISER,
        "heads": [c.value for c in SCORED], "targets": [g.value for g in TargetGroup], "max_tokens": MAX_TOKENS, "stride": STRIDE, "max_windows": MAX_WINDOWS,
        "data_sha256": meta["data_sha256"], "rows": meta["rows"], "contrast": meta["contrast"], "vocabulary": meta["vocabulary"], "seed": meta["seed"],
        "calibration": calibration["calibration"], "measured": calibration["measured"], "floor": calibration["floor"], "quality": calibration["quality"],
        "pretrained": [body],
        "sources": [{"slug": s["slug"], "licence": s["licence"]} for s in sources().values() if s["slug"] in set(meta["sources"])],
        "files": {name: sha256(out / name) for name in ("model.onnx", "tokenizer.json", *beside)},
    }  # fmt: skip
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, default=Path(".work/packed"))
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--weights", choices=["int8", "int4", "fp32"], default="int8")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=50, help="rows a language and data set that the gate reads (default: %(default)s)")
    parser.add_argument("--version", default="2")
    parser.add_argument("--name", help="of the model (default: compact, or the name of the backbone)")
    args = parser.parse_args()
    packed = load(args.packed)
    network = trained(packed, args.packed, args.network)
    network.eval()
    rows = sample(packed, 2, args.each)
    logits, work = {}, args.network
    for weights in dict.fromkeys(("fp32", args.weights)):
        graph.save(onnx_model(network, args.packed, weights), work / f"{weights}.onnx")
        logits[weights] = run(work / f"{weights}.onnx", packed, rows)
    table = gate(logits[args.weights], logits["fp32"], packed, rows)
    worst = sorted(table, key=lambda t: t[3] - t[2])
    print(f"gate: {len(table)} cells of language and head, mean change of AUC {np.mean([b - a for *_, a, b in table]):+.4f}; worst:")
    for language, head, full, small in worst[:5]:
        print(f"  {language:8s} {head:10s} {full:.3f} -> {small:.3f}")
    if worst and worst[0][2] - worst[0][3] > MAX_LOSS:
        print(f"refused: {worst[0][0]} {worst[0][1]} loses more than {MAX_LOSS}")
        return 1
    calibration, name, body = json.loads(args.calibration.read_text()), args.name or NAME, OWN_BODY
    if network.settings:
        body = {"name": network.settings["name"], "licence": network.settings["licence"]}
        name = args.name or network.settings["name"].split("/")[-1].lower()
    write_directory(args.out, work / f"{args.weights}.onnx", args.packed / "tokenizer.json", calibration, packed.meta, args.version, name, body)
    total = sum(p.stat().st_size for p in args.out.iterdir()) / 1e6
    print(f"{args.out}: {total:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
