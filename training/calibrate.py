"""Logits of a network on development rows -> calibration for each head and language, and which of them count as measured.

    python -m training.calibrate --network .work/tuned --out .work/calibration.json

Platt scaling, fitted on one half of the development rows and reported on the other. Where a language has few rows its line is drawn towards the general
one. Real posts and contrast sentences weigh alike; the rarer class weighs more by the square root of the imbalance, so that 0.5 lies where a careful
reader would begin to say yes, and not where a data set's share of positives puts it (macro-F1 at 0.5 is the better for it, on posts and on contrast).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from sklearn.metrics import f1_score, roc_auc_score

from ipu_moderation.taxonomy import SCORED
from training.export import onnx_model, run, sample, sha256
from training.fit import trained
from training.graph import save
from training.pack import PLAIN, Packed, load

FLOOR = {"auc": 0.75, "positives": 30, "negatives": 30}
"""A head counts as measured in a language when the reporting half has this many of both and the AUC on it is this high."""
PRIOR = 60.0
"""Strength of the pull towards the general line, in rows."""


def platt(x: np.ndarray, y: np.ndarray, w: np.ndarray, prior: tuple[float, float] | None = None) -> tuple[float, float]:
    """Slope and shift that minimise the weighted log loss, with a pull towards `prior`."""

    def loss(ab: np.ndarray) -> tuple[float, np.ndarray]:
        z = ab[0] * x + ab[1]
        p = 1 / (1 + np.exp(-z))
        g = w * (p - y)
        value, grad = float((w * (np.logaddexp(0, z) - y * z)).sum()), np.array([(g * x).sum(), g.sum()])
        if prior is not None:
            d = ab - np.array(prior)
            value, grad = value + PRIOR / 2 * float((d * d).sum()), grad + PRIOR * d
        return value, grad

    result = minimize(loss, np.array(prior or (1.0, 0.0)), jac=True, method="L-BFGS-B", bounds=[(0.05, 6), (-8, 8)])
    return float(result.x[0]), float(result.x[1])


def weights(y: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """Posts and contrast alike in sum, the rarer class lifted by the square root of the imbalance; the mean is 1."""
    w = np.zeros(len(y))
    for part in (contrast, ~contrast):
        if part.any():
            share = y[part].mean().clip(0.02, 0.98)
            w[part] = np.where(y[part] > 0.5, share**-0.5, (1 - share) ** -0.5)
            w[part] /= w[part].sum()
    return w * len(w) / w.sum()


def cached(path: Path, packed: Packed, rows: np.ndarray, model: Path) -> np.ndarray:
    """Logits of these rows, from the last run when model and rows are the same."""
    mark = f"{sha256(model)} {int(rows.sum())} {len(rows)}"
    if path.exists():
        with np.load(path) as old:
            if str(old["mark"]) == mark:
                return old["logits"]
    logits = run(model, packed, rows)
    np.savez(path, logits=logits, mark=mark)
    return logits


def fit(packed: Packed, rows: np.ndarray, logits: np.ndarray) -> dict[str, list[list[float]]]:
    """For each language and `*`, slope and shift of each head."""
    contrast = np.array([s.startswith("contrast/") for s in packed.meta["sources"]])[packed.source[rows]]
    table: dict[str, list[list[float]]] = {"*": []}
    for language in packed.meta["languages"]:
        table[language] = []
    for h in range(len(SCORED)):
        y = packed.labels[rows, h]
        known = ~np.isnan(y)
        general = platt(logits[known, h], y[known], weights(y[known], contrast[known]))
        table["*"].append([round(v, 4) for v in general])
        for code, language in enumerate(packed.meta["languages"]):
            here = known & (packed.language[rows] == code)
            own = platt(logits[here, h], y[here], weights(y[here], contrast[here]), general) if here.sum() >= 20 and 0 < y[here].mean() < 1 else general
            table[language].append([round(v, 4) for v in own])
    return table


def apply(table: dict[str, list[list[float]]], packed: Packed, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(n_rows, n_heads) calibrated scores."""
    lines = np.array([table[name] for name in packed.meta["languages"]])[packed.language[rows]]
    return 1 / (1 + np.exp(-(logits[:, : len(SCORED)] * lines[:, :, 0] + lines[:, :, 1])))


def calibration_error(y: np.ndarray, p: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over bins of equal size."""
    order = np.argsort(p)
    return float(sum(len(part) * abs(y[part].mean() - p[part].mean()) for part in np.array_split(order, bins) if len(part)) / len(y))


def quality(packed: Packed, rows: np.ndarray, scores: np.ndarray) -> dict[str, dict[str, dict[str, float]]]:
    """Language -> head -> n, positives, AUC, macro-F1 at 0.5, calibration error; real posts of the reporting half alone."""
    ours = np.array([s.startswith(("contrast/", PLAIN)) for s in packed.meta["sources"]])[packed.source[rows]]
    out: dict[str, dict[str, dict[str, float]]] = {}
    for code, language in enumerate(packed.meta["languages"]):
        for h, head in enumerate(SCORED):
            y = packed.labels[rows, h]
            here = ~np.isnan(y) & (packed.language[rows] == code) & ~ours & (np.abs(y - 0.5) > 0.1)
            yes, p = y[here] > 0.5, scores[here, h]
            if yes.sum() >= 10 and (~yes).sum() >= 10:
                out.setdefault(language, {})[head.value] = {
                    "n": int(here.sum()), "positives": int(yes.sum()), "auc": round(float(roc_auc_score(yes, p)), 4),
                    "macro_f1": round(float(f1_score(yes, p >= 0.5, average="macro")), 4), "ece": round(calibration_error(yes.astype(float), p), 4),
                }  # fmt: skip
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, default=Path(".work/packed"))
    parser.add_argument("--network", type=Path, default=Path(".work/tuned"))
    parser.add_argument("--weights", choices=["int8", "int4", "fp32"], default="int8")
    parser.add_argument("--out", type=Path, default=Path(".work/calibration.json"))
    parser.add_argument("--each", type=int, default=100, help="rows a language and data set, for each half (default: %(default)s)")
    args = parser.parse_args()
    packed = load(args.packed)
    network = trained(packed, args.packed, args.network)
    path = args.network / f"{args.weights}.onnx"
    save(onnx_model(network.eval(), args.packed, args.weights), path)
    own, other = sample(packed, 1, args.each), sample(packed, 2, args.each)
    table = fit(packed, own, cached(args.network / "logits-1.npz", packed, own, path))
    scores = apply(table, packed, other, cached(args.network / "logits-2.npz", packed, other, path))
    report = quality(packed, other, scores)
    measured = {
        language: sorted(head for head, q in heads.items() if q["auc"] >= FLOOR["auc"] and q["positives"] >= FLOOR["positives"] and q["n"] - q["positives"] >= FLOOR["negatives"])
        for language, heads in report.items()
    }
    args.out.write_text(json.dumps({"calibration": table, "measured": {k: v for k, v in measured.items() if v}, "floor": FLOOR, "quality": report}, indent=1))
    for head in SCORED:
        cells = [q[head.value] for q in report.values() if head.value in q]
        if cells:
            means = ", ".join(f"{label} {np.mean([c[name] for c in cells]):.3f}" for name, label in (("auc", "AUC"), ("macro_f1", "macro-F1 at 0.5"), ("ece", "ECE")))
            print(f"{head.value:10s} {len(cells):3d} languages, mean {means}")
    contrast = np.array([s.startswith("contrast/") for s in packed.meta["sources"]])[packed.source[other]]
    for code, language in enumerate(packed.meta["languages"]):
        here = contrast & (packed.language[other] == code) & ~np.isnan(packed.labels[other, 0])
        if here.sum() > 30:
            y, p = packed.labels[other[here], 0] > 0.5, scores[here, 0]
            print(f"contrast {language:8s} n {here.sum():4d} AUC {roc_auc_score(y, p):.3f} macro-F1 {f1_score(y, p >= 0.5, average='macro'):.3f}")


if __name__ == "__main__":
    main()
