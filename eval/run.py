"""Measure a classifier on labelled data.

    python -m eval.run posts.csv                          # the classifier of the package; columns are told by their names
    python -m eval.run eval/suites                        # the functional tests of this project
    python -m eval.run posts.parquet --model path/to/model --out results
    python -m eval.run posts.jsonl --model my_module:score --label-column hate=HS --label-column abuse=OFF --value OFF=yes

Writes `results.json` and `report.html` to the output directory. No text of the data is written anywhere. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.data import Data, Survey, open_data
from eval.metrics import (
    FALSE_POSITIVE_RATES,
    FEW,
    FIGURES,
    PREVALENCES,
    RESAMPLES,
    Figure,
    borkan,
    curves,
    draw,
    gap,
    interval,
    measure,
    reliability,
    seeded,
    share,
    thresholds,
    unknown,
)
from eval.models import SPECS, package_versions
from eval.scoring import Frame, Run, score
from eval.suites import FILLS, SUITES
from ipu_moderation.errors import InputError, ModerationError
from ipu_moderation.moderator import package_version
from ipu_moderation.policy import Policy, load_policy
from ipu_moderation.taxonomy import Category
from ipu_moderation.types import Action
from training.labelled import FACETS, MEASURED

FORMAT = 1
"""Of results; two results with other formats may not stand in one table."""
WORK = Path(".work/eval")
BRIEF = ("prevalence", "macro_f1", "auc", "recall", "fpr", "precision", "precision_at_1pc", "recall_at_fpr_5pc", "ece")
"""Figures that sources are told in: there may be a hundred of them."""
PICKS = ("f1", *(f"fpr_{r:.0%}".replace("%", "pc") for r in FALSE_POSITIVE_RATES))


# --- thresholds ----------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where an answer becomes yes. Never chosen on the data that is measured."""

    about: str
    """As it stands in the results."""
    value: Callable[[str, str], float | None]
    """(language, category) -> threshold; None: never yes."""

    def answers(self, frame: Frame, category: str) -> np.ndarray:
        """(n_rows,) bool. A finding of a rule is its own answer; a row without a score is answered no."""
        scores = frame.scores[category]
        if category == Category.DEFAMATION_RISK.value:
            cuts = np.full(len(frame), 0.5)
        else:
            codes, names = frame.values("language")
            by_name = np.array([np.inf if (cut := self.value(name, category)) is None else cut for name in names] or [0.5])
            cuts = by_name[codes]
        with np.errstate(invalid="ignore"):
            out: np.ndarray = scores.astype(np.float64) >= np.round(cuts, 7)
        return out


def thresholds_of(text: str, policy: Policy, data_sha256: str, source: str | None = None) -> Thresholds:
    """Thresholds by what the user asked for: a number, `policy`, or the results of a run on other data.

    Args:
        text: a number in (0, 1), or `policy`: the review thresholds of the policy.
        policy: the policy in use.
        data_sha256: of the data that is measured.
        source: `FILE[:PICK]`, results of a run on other data; overrides `text`.

    Raises:
        InputError: when it is none of these, or when the file was made on this very data.
    """
    if source is not None:
        return _thresholds_from(source, data_sha256)
    if text == "policy":
        return Thresholds(f"review thresholds of policy {policy.id}", lambda language, category: policy.cut(language, Category(category)).review)
    try:
        cut = float(text)
    except ValueError:
        cut = -1.0
    if not 0 < cut < 1:
        raise InputError(f"--threshold {text}: a number between 0 and 1 is expected, or 'policy'. To take thresholds from results on other data: --threshold-from FILE")
    return Thresholds(f"fixed at {cut:g}", lambda language, category: cut)


def _thresholds_from(source: str, data_sha256: str) -> Thresholds:
    name, _, pick = source.rpartition(":") if source.rsplit(":", 1)[-1] in PICKS else (source, "", "f1")
    try:
        results = json.loads(Path(name).read_text(encoding="utf-8"))
        found, made_on = results["thresholds"], results["cohort"]["data"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name}: not the results of a run. Make them on other data with: python -m eval.run OTHER_DATA") from error
    if made_on == data_sha256:
        raise InputError(f"{name} was made on this very data: thresholds chosen on a test make its figures look better than they are. Choose them on other data.")
    values = {category: picks[pick] for category, picks in found.items() if pick in picks}
    if not values:
        raise InputError(f"{name} holds no thresholds of the kind '{pick}'. Kinds: {', '.join(PICKS)}; write FILE:KIND.")
    return Thresholds(f"{pick} on {results['cohort']['data']['name']} ({made_on[:12]})", lambda language, category: values.get(category, 0.5))


# --- measuring -------------------------------------------------------------------------------------------------------------------------------------


class Measurement:
    """One frame, measured: `results()` is what `results.json` holds."""

    def __init__(self, frame: Frame, cuts: Thresholds, seed: int, resamples: int) -> None:
        self.frame, self.cuts, self.seed, self.resamples = frame, cuts, seed, resamples
        self.cluster = frame.cluster if frame.has_clusters else None
        self.yes = {c: cuts.answers(frame, c) for c in MEASURED}
        self.known = {c: (frame.labels[c] >= 0) & np.isfinite(frame.scores[c]) for c in MEASURED}
        self.categories = [c for c in MEASURED if self.known[c].any()]

    def _part(self, category: str, rows: np.ndarray, name: str) -> dict[str, Any]:
        """All figures of one category over those of some rows that have a label."""
        rows = rows[self.known[category][rows]]
        y = self.frame.labels[category][rows] == 1
        cluster = None if self.cluster is None else self.cluster[rows]
        figures = measure(y, self.frame.scores[category][rows], self.yes[category][rows], seeded(self.seed, name, category), cluster=cluster, resamples=self.resamples)
        return {k: figures[k].to_dict() for k in FIGURES}

    def overall(self) -> dict[str, Any]:
        """Category -> figures."""
        return {c: self._part(c, np.arange(len(self.frame)), "overall") for c in self.categories}

    def division(self, name: str) -> dict[str, Any]:
        """Part (a language, a side, a source) -> category -> figures."""
        out = {}
        for part in self.frame.names(name):
            rows = self.frame.rows(name, part)
            figures = {c: self._part(c, rows, f"{name}/{part}") for c in self.categories if self.known[c][rows].any()}
            if figures:
                out[part] = figures
        return out

    def averages(self, divided: dict[str, Any]) -> dict[str, Any]:
        """Category -> unweighted mean of macro-F1 and AUC over parts in which they are known (large languages do not drown small ones)."""
        out: dict[str, Any] = {}
        for category in self.categories:
            out[category] = {}
            for figure in ("macro_f1", "auc"):
                found = [part[category][figure] for part in divided.values() if category in part]
                values = [f["value"] for f in found if f["value"] is not None and not f.get("note")]
                note = "mean of the languages without a mark; n is their number"
                out[category][figure] = {"value": round(float(np.mean(values)), 5) if values else None, "n": len(values), "note": note}
        return out

    def groups(self, category: str) -> dict[str, Any]:
        """Error rates and Borkan's three AUCs by group, the widest gaps, the power means."""
        names = self.frame.names("groups")
        known = self.known[category]
        if not names:
            return {}
        y, s, yes = self.frame.labels[category][known] == 1, self.frame.scores[category][known], self.yes[category][known]
        members = {}
        for name in names:
            mask = np.zeros(len(self.frame), bool)
            mask[self.frame.rows("groups", name)] = True
            if mask[known].any():
                members[name] = mask[known]
        cluster = None if self.cluster is None else self.cluster[known]
        bias = borkan(y, s, members, seeded(self.seed, "groups", category), self.resamples)
        table, counts = {}, {"fpr": {}, "recall": {}}  # type: dict[str, Any], dict[str, dict[str, tuple[int, int]]]
        for name, mask in members.items():
            parts = {"recall": mask & y, "fpr": mask & ~y}
            why = {"recall": "no row is labelled yes", "fpr": "no row is labelled no"}
            rates = {k: share(yes[rows], None if cluster is None else cluster[rows], none=why[k]) for k, rows in parts.items()}
            for k, rows in parts.items():
                counts[k][name] = (int(yes[rows].sum()), int(rows.sum()))
            table[name] = {"n": int(mask.sum()), **{k: v.to_dict() for k, v in rates.items()}, **{k: v.to_dict() for k, v in bias["groups"][name].items()}}
        gaps = {k: gap(counts[k], seeded(self.seed, "gap", category, k), self.resamples).to_dict() for k in ("fpr", "recall")}
        return {"category": category, "by_group": table, "gap": gaps, "power_mean": {k: v.to_dict() for k, v in bias["power_mean"].items()}}

    def functionality(self, rows: np.ndarray | None = None) -> dict[str, Any]:
        """Functionality -> what is expected, and the share answered as expected, by category."""
        out: dict[str, Any] = {}
        for name in sorted(self.frame.names("functionality")):
            here = self.frame.rows("functionality", name)
            here = here if rows is None else np.intersect1d(here, rows, assume_unique=True)
            row: dict[str, Any] = {}
            for category in self.categories:
                some = here[self.known[category][here]]
                if len(some):
                    y = self.frame.labels[category][some] == 1
                    right = share(y == self.yes[category][some], None if self.cluster is None else self.cluster[some])
                    row[category] = {"expected": "yes" if y.all() else "no" if not y.any() else "both", **right.to_dict()}
            if row:
                out[name] = row
        return out

    def consistency(self, category: str) -> dict[str, Any]:
        """Templates whose sentences differ in the group named and nothing else: does the answer stay, how far does the score move?"""
        if self.cluster is None:
            return {}
        rows = np.flatnonzero(self.known[category] & (self.cluster >= 0))
        out = {}
        for language in ["all languages", *self.frame.names("language")]:
            some = rows if language == "all languages" else np.intersect1d(rows, self.frame.rows("language", language), assume_unique=True)
            _, which, sizes = np.unique(self.cluster[some], return_inverse=True, return_counts=True)
            several = np.flatnonzero(sizes >= 2)
            if not len(several):
                continue
            answers = np.bincount(which, weights=self.yes[category][some]) / sizes
            order = np.argsort(which, kind="stable")
            starts = np.cumsum(sizes) - sizes
            s = self.frame.scores[category][some][order]
            spread = (np.maximum.reduceat(s, starts) - np.minimum.reduceat(s, starts))[several]
            drawn = seeded(self.seed, "consistency", language).choice(spread, size=(self.resamples, len(spread))).mean(1)
            out[language] = {
                "same_answer": share(np.isin(answers[several], (0.0, 1.0))).to_dict(),
                "spread": Figure(float(spread.mean()), *interval(drawn), len(spread), "bootstrap", "few templates" if len(spread) < FEW else None).to_dict(),
            }
        return out

    def protected(self) -> dict[str, Any]:
        """Kind of protected expression -> share answered yes where the label is no, sent to a reviewer, held."""
        frame, out = self.frame, {}  # type: Frame, dict[str, Any]
        wrong = np.zeros(len(frame), bool)
        for category in self.categories:
            wrong |= self.yes[category] & (frame.labels[category] == 0)
        names = frame.names("protected")
        everything = np.concatenate([frame.rows("protected", name) for name in names]) if names else np.array([], int)
        for name, rows in [*((name, frame.rows("protected", name)) for name in sorted(names)), ("all kinds", everything)]:
            if len(rows):
                cluster = None if self.cluster is None else self.cluster[rows]
                out[name] = {"over_flagged": share(wrong[rows], cluster).to_dict(), **{k: v.to_dict() for k, v in self._actions(rows).items()}}
        return out

    def _actions(self, rows: np.ndarray) -> dict[str, Figure]:
        action = self.frame.action[rows]
        if (action < 0).any() or not len(rows):
            return {name: unknown("the model has no policy" if len(rows) else "no rows") for name in ("sent", "held")}
        cluster = None if self.cluster is None else self.cluster[rows]
        return {"sent": share(action >= Action.REVIEW.rank, cluster), "held": share(action >= Action.HOLD.rank, cluster)}

    def review(self, category: str) -> dict[str, Any]:
        """What the policy sends to reviewers: on this data, and per 1,000 posts of an open stream."""
        rows = np.flatnonzero(self.known[category])
        y = self.frame.labels[category][rows] == 1
        out = {"all": self._actions(np.arange(len(self.frame))), "labelled_yes": self._actions(rows[y]), "labelled_no": self._actions(rows[~y])}
        load: dict[str, Any] = {}
        p, q = out["labelled_yes"]["sent"], out["labelled_no"]["sent"]
        for prevalence in PREVALENCES:
            name = f"load_at_{prevalence:.0%}".replace("%", "pc")
            if p.value is None or q.value is None:
                load[name] = unknown("needs a policy, and rows of both classes").to_dict()
                continue
            sent = self.frame.action[rows] >= Action.REVIEW.rank
            counts = draw(y * 2 + sent, y, 4, seeded(self.seed, "review", name), self.resamples, None if self.cluster is None else self.cluster[rows])
            with np.errstate(invalid="ignore", divide="ignore"):
                values = 1000 * (prevalence * counts[:, 3] / counts[:, 2:].sum(1) + (1 - prevalence) * counts[:, 1] / counts[:, :2].sum(1))
            load[name] = Figure(1000 * (prevalence * p.value + (1 - prevalence) * q.value), *interval(values), len(rows), "bootstrap").to_dict()
        return {"category": category, **{k: {n: f.to_dict() for n, f in v.items()} for k, v in out.items()}, **load}

    def curves(self) -> dict[str, Any]:
        """Category -> points of the plots."""
        out = {}
        for category in self.categories:
            rows = self.known[category]
            y, s = self.frame.labels[category][rows] == 1, self.frame.scores[category][rows]
            if len(np.unique(s)) > 2:
                out[category] = {"reliability": reliability(y, s), **curves(y, s, self.yes[category][rows])}
        return out

    def thresholds(self) -> dict[str, Any]:
        """Category -> thresholds that this data would choose, for other data."""
        rows = {c: self.known[c] for c in self.categories}
        found = {c: thresholds(self.frame.labels[c][r] == 1, self.frame.scores[c][r]) for c, r in rows.items()}
        return {c: {k: round(v, 6) for k, v in t.items()} for c, t in found.items() if t}

    def results(self) -> dict[str, Any]:
        """All of it."""
        main = "hate" if "hate" in self.categories else self.categories[0]
        language = self.division("language")
        by_language = {code: self.functionality(self.frame.rows("language", code)) for code in language} if self.frame.names("functionality") else {}
        return {
            "overall": self.overall(),
            "language": language,
            "mean_over_languages": self.averages(language),
            "groups": self.groups(main),
            "side": self._sides(main),
            "source": {name: {c: {k: f[k] for k in BRIEF} for c, f in part.items()} for name, part in self.division("source").items()},
            "functionality": self.functionality(),
            "functionality_by_language": by_language,
            "consistency": self.consistency(main),
            "protected": self.protected(),
            "review": self.review(main),
            "curves": self.curves(),
            "thresholds": self.thresholds(),
        }

    def _sides(self, category: str) -> dict[str, Any]:
        """Political sides: figures of each, and the widest gaps."""
        by_side = self.division("side")
        if not by_side:
            return {}
        gaps = {}
        for rate, label in (("fpr", 0), ("recall", 1)):
            counts = {}
            for side in by_side:
                rows = self.frame.rows("side", side)
                rows = rows[self.known[category][rows] & (self.frame.labels[category][rows] == label)]
                counts[side] = (int(self.yes[category][rows].sum()), len(rows))
            gaps[rate] = gap(counts, seeded(self.seed, "side", rate), self.resamples).to_dict()
        return {"category": category, "by_side": by_side, "gap": gaps}


def warnings_of(survey: Survey, measurement: Measurement, run: Run, *, given_languages: bool) -> list[str]:
    """What a reader must know before reading any figure."""
    out = survey.warnings()
    frame = measurement.frame
    for category in survey.counts:
        if category not in measurement.categories:
            out.append(f"{run.model} gives no score for {category}; nothing is measured there.")
    if run.one_score and len(measurement.categories) > 1:
        out.append(f"{run.model} gives one number only; it stands for every category.")
    if run.faults:
        out.append(f"The classifier failed on {run.faults:,} texts; they have no score and are not counted.")
    if frame.truncated.any():
        out.append(f"{int(frame.truncated.sum()):,} texts were longer than what the classifier reads; only their beginning was scored.")
    if not given_languages:
        out.append("The data names no languages: they were identified, and the table by language holds the errors of that step too.")
    few = [c for c in measurement.categories if 0 < min(survey.counts[c].values()) < FEW]
    if few:
        out.append(f"Fewer than {FEW} rows of a class in: {', '.join(few)}. Their figures are marked and their intervals cannot be trusted.")
    if measurement.cluster is not None:
        out.append("Rows come from templates and are not independent: intervals are made by drawing whole templates, or with the effective number of rows.")
    return out


def evaluate(
    data: Data,
    spec: str,
    out: Path,
    *,
    policy: str = "cautious",
    threshold: str = "0.5",
    threshold_from: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    fresh: bool = False,
) -> dict[str, Any]:
    """Survey, score, measure: what `results.json` holds.

    Raises:
        ModerationError: when data, model, policy or thresholds cannot be used.
    """
    rules = load_policy(policy)
    cuts = thresholds_of(threshold, rules, data.sha256, threshold_from)
    seen = data.survey()
    files, run = score(data, spec, policy, out, total=seen.usable, fresh=fresh)
    measurement = Measurement(Frame(files), cuts, seed, resamples)
    if not measurement.categories:
        labelled = ", ".join(seen.counts)
        raise InputError(f"{data.name}: labels are for {labelled}, and {run.model} gives no score for any of them. Map the labels with --label-column CATEGORY=COLUMN.")
    return {
        "format": FORMAT,
        "kind": "evaluation",
        "cohort": {**cohort_of(data, seen, cuts, rules, seed, resamples), "model": run.to_dict()},
        "warnings": warnings_of(seen, measurement, run, given_languages=seen.languages == seen.usable),
        **measurement.results(),
    }


def cohort_of(data: Data, seen: Survey, cuts: Thresholds, policy: Policy, seed: int, resamples: int) -> dict[str, Any]:
    """What two results must share before their figures may stand in one table, and when they were made."""
    return {
        "data": seen.to_dict(),
        "mapping": data.mapping,
        "threshold_policy": cuts.about,
        "policy": policy.id,
        "versions": {"ipu-moderation": package_version(), **package_versions()},
        "seed": seed,
        "resamples": resamples,
        "date": dt.date.today().isoformat(),
    }


def write_json(results: dict[str, Any], path: Path) -> None:
    """With the innermost objects on one line each, so that a diff shows which figure moved."""
    text = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False)
    text = re.sub(r"[{\[][^{}\[\]]*[}\]]", lambda m: re.sub(r"\s*\n\s*", " ", m[0]), text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


# --- the command line --------------------------------------------------------------------------------------------------------------------------------


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """What `run`, `compare` and `stress` share."""
    columns = parser.add_argument_group("columns of a file (told by their names when left out)")
    columns.add_argument("--mapping", type=Path, metavar="FILE", help="a YAML file that maps columns and labels; see docs/evaluation.md")
    columns.add_argument("--text-column", metavar="COLUMN")
    about = f"as often as needed; CATEGORY is one of {', '.join(MEASURED)} (default: hate)"
    columns.add_argument("--label-column", action="append", default=[], metavar="[CATEGORY=]COLUMN", help=about)
    columns.add_argument("--value", action="append", default=[], metavar="LABEL=MEANING", help="what a label means: yes, no or unknown; as often as needed")
    columns.add_argument("--language", metavar="CODE", help="the language of the whole file (BCP 47)")
    for name in ("id", "language", "group", *FACETS, "cluster"):
        columns.add_argument(f"--{name}-column", metavar="COLUMN")
    how = parser.add_argument_group("how")
    how.add_argument("--policy", default="cautious", help="for review load and actions (default: %(default)s)")
    how.add_argument("--threshold", default="0.5", metavar="X", help="a number, or 'policy': the review thresholds of the policy (default: %(default)s)")
    how.add_argument("--threshold-from", metavar="FILE[:KIND]", help=f"thresholds chosen on other data: its results.json; KIND is one of {', '.join(PICKS)}")
    how.add_argument("--seed", type=int, default=0)
    how.add_argument("--resamples", type=int, default=RESAMPLES, help="of the bootstrap (default: %(default)s)")
    how.add_argument("--fills", type=int, default=FILLS, help="terms that a template of a suite is filled with at most (default: %(default)s)")
    how.add_argument("--fresh", action="store_true", help="throw away what an earlier run has scored")


def data_from(args: argparse.Namespace, path: Path) -> Data:
    """The data that the flags describe.

    Raises:
        InputError: when it cannot be read or mapped.
    """
    labels = {}
    for part in args.label_column:
        category, _, column = part.rpartition("=")
        labels[category or "hate"] = column
    values = {}
    for part in args.value:
        label, _, meaning = part.rpartition("=")
        if meaning not in ("yes", "no", "unknown") or not label:
            raise InputError(f"--value {part}: LABEL=yes, LABEL=no or LABEL=unknown is expected")
        values[label] = meaning
    flags = {"text": args.text_column, "id": args.id_column, "language": args.language_column, "language_is": args.language, "groups": args.group_column, "labels": labels}
    flags |= {"values": values, "cluster": args.cluster_column, **{name: getattr(args, f"{name}_column") for name in FACETS}}
    return open_data(path, given=args.mapping, flags=flags, fills=args.fills)


def slug(text: str) -> str:
    """A name that fits a directory."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-") or "data"


def run_command(main: Callable[[], int]) -> int:
    """The exit code; errors of ours as one line on standard error."""
    try:
        return main()
    except ModerationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


def main(arguments: list[str] | None = None) -> int:
    """The entry point."""
    parser = parser_of()
    args = parser.parse_args(arguments)
    if args.data is None and not args.suites:
        parser.error("name a labelled file, or --suites")

    def go() -> int:
        from eval.report import render, summary

        path = SUITES if args.suites else args.data
        data = data_from(args, path)
        out = args.out or WORK / f"{slug(path.stem)}-{slug(args.model)}"
        how = {name: getattr(args, name) for name in ("policy", "threshold", "threshold_from", "seed", "resamples", "fresh")}
        results = evaluate(data, args.model, out, **how)
        write_json(results, out / "results.json")
        if args.save:
            write_json(results, args.save)
        (out / "report.html").write_text(render(results), encoding="utf-8")
        summary(results)
        print(f"{out / 'report.html'}\n{out / 'results.json'}")
        return 0

    return run_command(go)


def parser_of() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m eval.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", metavar="DATA", help="labelled .csv, .tsv, .jsonl or .parquet, a suite (.yaml), or a directory of suites")
    parser.add_argument("--suites", action="store_true", help="the functional tests in eval/suites")
    parser.add_argument("--model", default="default", help=SPECS + " (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: .work/eval/DATA-MODEL")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write results.json here too (eval/results/NAME.json feeds the tables of README.md)")
    add_data_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
