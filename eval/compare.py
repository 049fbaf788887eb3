"""Two or more models on the same rows: figures side by side, differences with paired intervals, speed and memory.

    python -m eval.compare default path/to/new-model --data posts.csv
    python -m eval.compare default tfidf:train.csv profanity-check path/to/checkpoint --data posts.csv
    python -m eval.compare default path/to/new-model --suites --no-worse-than 0.02      # for CI: exit code 1 when it is worse

The first model is the one that the others are compared with. Each is scored in a process of its own, so that its memory is its own. Texts on which
models differ are listed by row number; the text itself is shown only with --show-text, and then in the report alone.
"""

from __future__ import annotations

import argparse
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from eval.data import Data
from eval.metrics import FEW, PAIRED, mcnemar, paired, seeded, share
from eval.models import SPECS
from eval.run import FORMAT, WORK, Measurement, Thresholds, add_data_flags, cohort_of, data_from, run_command, slug, thresholds_of, warnings_of, write_json
from eval.scoring import Frame, Run, score_apart
from eval.suites import SUITES
from ipu_moderation.errors import InputError
from ipu_moderation.policy import load_policy
from training.labelled import MEASURED

SHOWN = 50


class Pair:
    """Two models on the same rows, in one category; A is the one compared with."""

    def __init__(self, a: Measurement, b: Measurement, category: str) -> None:
        self.a, self.b, self.category = a, b, category
        self.rows = np.flatnonzero(a.known[category] & b.known[category])
        self.y = a.frame.labels[category] == 1
        self.right_a, self.right_b = self.y == a.yes[category], self.y == b.yes[category]

    def over(self, rows: np.ndarray, name: str) -> dict[str, Any]:
        """Differences B minus A, and McNemar's test, over some rows."""
        rows = np.intersect1d(self.rows, rows, assume_unique=True)
        a, b, c = self.a, self.b, self.category
        figures = paired(
            self.y[rows],
            a.yes[c][rows],
            b.yes[c][rows],
            a.frame.scores[c][rows],
            b.frame.scores[c][rows],
            seeded(a.seed, "pair", name, c),
            cluster=None if a.cluster is None else a.cluster[rows],
            resamples=a.resamples,
        )
        shares = {side: share(right[rows], None if a.cluster is None else a.cluster[rows]).to_dict() for side, right in (("a", self.right_a), ("b", self.right_b))}
        return {"n": len(rows), "right": shares, "difference": {k: figures[k].to_dict() for k in PAIRED}, "mcnemar": mcnemar(self.right_a[rows], self.right_b[rows])}

    def by(self, division: str) -> dict[str, Any]:
        """Part -> differences."""
        out = {}
        for name in sorted(self.a.frame.names(division)):
            rows = self.a.frame.rows(division, name)
            if np.isin(rows, self.rows).any():
                out[name] = self.over(rows, f"{division}/{name}")
        return out

    def disagreements(self, most: int) -> dict[str, Any]:
        """Rows that the two answer differently, the widest apart first."""
        c, frame = self.category, self.a.frame
        differ = self.rows[self.a.yes[c][self.rows] != self.b.yes[c][self.rows]]
        apart = np.abs(self.a.frame.scores[c][differ] - self.b.frame.scores[c][differ])
        languages, tests = frame.values("language"), frame.values("functionality")
        rows = [
            {
                "row": int(frame.number[i]),
                "language": languages[1][languages[0][i]],
                "functionality": tests[1][tests[0][i]] if tests[0][i] >= 0 else None,
                "label": "yes" if self.y[i] else "no",
                "a": round(float(self.a.frame.scores[c][i]), 4),
                "b": round(float(self.b.frame.scores[c][i]), 4),
                "right": "a" if self.right_a[i] else "b",
            }
            for i in differ[np.argsort(-apart, kind="stable")][:most]
        ]
        return {"n": len(differ), "rows": rows}


def compare(data: Data, specs: list[str], out: Path, *, policy: str, cuts: Thresholds, seed: int, resamples: int, fresh: bool = False, most: int = SHOWN) -> dict[str, Any]:
    """Score and measure all models, and each against the first.

    Raises:
        ModerationError: when data or a model cannot be used.
    """
    seen = data.survey()
    measurements: dict[str, Measurement] = {}
    models: dict[str, Any] = {}
    warnings: list[str] = []
    for spec in specs:
        files, run = score_apart(data, spec, policy, out, total=seen.usable, fresh=fresh)
        name = _name(run, models)
        measured = Measurement(Frame(files), cuts, seed, resamples)
        if not measured.categories:
            raise InputError(f"{spec} gives no score for any category that {data.name} labels ({', '.join(seen.counts)})")
        measurements[name], models[name] = measured, {"spec": _spec(spec), "run": run.to_dict(), "overall": measured.overall()}
        warnings += [w for w in warnings_of(seen, measured, run, given_languages=seen.languages == seen.usable) if w not in warnings]
    first, *others = measurements
    common = [c for c in MEASURED if all(c in m.categories for m in measurements.values())]
    if not common:
        raise InputError(f"the models have no category in common that {data.name} labels; labelled: {', '.join(seen.counts)}")
    differences = []
    for other in others:
        pairs = {c: Pair(measurements[first], measurements[other], c) for c in common}
        main = pairs[common[0]]
        everything = np.arange(len(measurements[first].frame))
        differences.append(
            {
                "a": first,
                "b": other,
                "category": common[0],
                "overall": {c: pair.over(everything, "overall") for c, pair in pairs.items()},
                "language": main.by("language"),
                "functionality": main.by("functionality"),
                "disagreements": main.disagreements(most),
            }
        )
    return {
        "format": FORMAT,
        "kind": "comparison",
        "cohort": cohort_of(data, seen, cuts, load_policy(policy), seed, resamples),
        "warnings": warnings,
        "models": models,
        "differences": differences,
    }


def _name(run: Run, taken: dict[str, Any]) -> str:
    """Of a model, made distinct when two share one."""
    return next(name for i in count(1) if (name := run.model if i == 1 else f"{run.model} ({i})") not in taken)


def _spec(spec: str) -> str:
    """A spec without the directories of this machine."""
    kind, colon, rest = spec.partition(":")
    return f"{kind}:{Path(rest).name}" if kind == "tfidf" and colon else Path(spec).name


def gate(results: dict[str, Any], margin: float, figure: str) -> list[str]:
    """Why a model does not pass; empty when all do.

    Over all rows a model passes when the interval of its difference lies above -margin as a whole. A language or functionality speaks against it
    only when it is surely worse there: its whole interval lies below -margin.
    """
    faults = []
    for pair in results["differences"]:
        category = pair["category"]
        whole = pair["overall"][category]["difference"][figure]
        if whole["value"] is None or whole.get("low") is None:
            why = whole.get("note", "too few rows")
            faults.append(f"{pair['b']}: {category} {figure} is unknown on this data ({why}), so the gate cannot pass")
        elif whole["low"] < -margin:
            faults.append(f"{pair['b']}: {category} {figure} differs by {_edges(whole)}; it may be worse by more than {margin:g}")
        for division, name in (("language", figure), ("functionality", "accuracy")):
            for part, found in pair[division].items():
                part_figure = found["difference"][name]
                if part_figure.get("high") is not None and part_figure["high"] < -margin and found["n"] >= FEW:
                    faults.append(f"{pair['b']}: {category}, {division} {part}: {name} differs by {_edges(part_figure)}")
    return faults


def _edges(figure: dict[str, Any]) -> str:
    return f"{figure['value']:+.4f} ({figure['low']:+.4f} to {figure['high']:+.4f})"


def parser_of() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m eval.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help=f"two or more: {SPECS}; the others are compared with the first")
    parser.add_argument("--data", type=Path, metavar="DATA", help="labelled .csv, .tsv, .jsonl or .parquet, a suite (.yaml), or a directory of suites")
    parser.add_argument("--suites", action="store_true", help="the functional tests in eval/suites")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: .work/eval/DATA-compared")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write results.json here too")
    parser.add_argument("--show", type=int, default=SHOWN, metavar="N", help="how many posts on which models differ are listed (default: %(default)s)")
    parser.add_argument("--show-text", action="store_true", help="write the texts of these posts into the report. They may be private, and may hurt.")
    parser.add_argument("--no-worse-than", type=float, metavar="MARGIN", help="exit code 1 when a model may be worse than the first by more than this")
    parser.add_argument("--gate-figure", choices=[p for p in PAIRED if p != "fpr"], default="macro_f1", help="what the gate looks at (default: %(default)s)")
    add_data_flags(parser)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The entry point."""
    parser = parser_of()
    args = parser.parse_args(arguments)
    if args.data is None and not args.suites:
        parser.error("name labelled data with --data, or --suites")
    if len(args.models) < 2:
        parser.error("name two models or more")

    def go() -> int:
        from eval.report import comparison_summary, render

        path = SUITES if args.suites else args.data
        data = data_from(args, path)
        out = args.out or WORK / f"{slug(path.stem)}-compared"
        cuts = thresholds_of(args.threshold, load_policy(args.policy), data.sha256, args.threshold_from)
        results = compare(data, args.models, out, policy=args.policy, cuts=cuts, seed=args.seed, resamples=args.resamples, fresh=args.fresh, most=args.show)
        faults = gate(results, args.no_worse_than, args.gate_figure) if args.no_worse_than is not None else None
        if faults is not None:
            results["gate"] = {"margin": args.no_worse_than, "figure": args.gate_figure, "faults": faults}
        write_json(results, out / "results.json")
        if args.save:
            write_json(results, args.save)
        texts = data.texts(row["row"] for pair in results["differences"] for row in pair["disagreements"]["rows"]) if args.show_text else None
        (out / "report.html").write_text(render(results, texts), encoding="utf-8")
        comparison_summary(results)
        print(f"{out / 'report.html'}\n{out / 'results.json'}")
        for fault in faults or ():
            print(f"gate: {fault}", file=sys.stderr)
        return int(bool(faults))

    return run_command(go)


if __name__ == "__main__":
    sys.exit(main())
