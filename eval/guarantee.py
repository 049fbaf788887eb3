"""Is the promise of `policy fit` kept? A thousand times labels are drawn, thresholds chosen, and their true risk looked up.

    python -m eval.atlas --rows-only --each 700 --out .work/guarantee
    ipu-moderation assess .work/guarantee/development.parquet --language-column language -o .work/guarantee/scored.parquet
    python -m eval.guarantee .work/guarantee/scored.parquet --labels .work/guarantee/development.parquet --scorer compact@4 --docs docs/thresholds.md

The scores are a .parquet or .jsonl file with `language`, scores and labels (`score_hate`, `hate`, ...; see `ipu_moderation.thresholds.read_scored`), of posts that the
classifier was not trained on. Here the posts of a language *are* the stream: labels are drawn from them at random, with replacement, so the true share of protected
posts above each threshold is known exactly, and a promise is either kept or broken. Written to eval/results/guarantee.json, in which no post and no text is.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ipu_moderation.errors import InputError
from ipu_moderation.taxonomy import REVIEW_AT_MOST, Category
from ipu_moderation.thresholds import GRID, Scored, Share, binomial_tail, count_touched, critical_count, read_scored

RESULTS = Path(__file__).parent / "results" / "guarantee.json"
DOCS = Path(__file__).parent.parent / "docs" / "thresholds.md"
MARKS = ("<!-- guarantee: python -m eval.guarantee -->", "<!-- /guarantee -->")
BATCH = 100
"""Resamplings at a time: memory stays small."""
SURE = 0.001
"""A promise is called broken when more resamplings break it than chance would let, at this level."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is promised, and of what."""

    alpha: float
    alpha_hold: float
    delta: float
    resamplings: int
    at_least: int
    prevalence: float
    volume: float
    seed: int

    def actions(self, category: Category) -> list[tuple[str, float]]:
        """The promises of a category: (action, alpha)."""
        return [("review", self.alpha), *([] if category in REVIEW_AT_MOST else [("hold", self.alpha_hold)])]


@dataclass(slots=True)
class Cell:
    """One promise over all resamplings: the index of the threshold chosen, -1 for none."""

    language: str
    category: Category
    action: str
    alpha: float
    protected: int
    positives: int
    risk: np.ndarray  # (n_thresholds,), the true share of protected posts touched
    recall: np.ndarray  # (n_thresholds,), of posts labelled 1; NaN without any
    alone: np.ndarray  # (n_resamplings,), at delta
    together: np.ndarray  # (n_resamplings,), at delta / number of promises
    naive: np.ndarray  # (n_resamplings,), what the labels drawn show to be at most alpha, without a test

    def broken(self, chosen: np.ndarray) -> np.ndarray:
        """(n_resamplings,): a threshold was chosen, and more than alpha are touched."""
        return (chosen >= 0) & (self.risk[chosen] > self.alpha)

    def to_dict(self, setting: Setting) -> dict[str, Any]:
        """The row of this promise."""
        stands = self.alone[self.alone >= 0]
        broken, naive = int(self.broken(self.alone).sum()), self.broken(self.naive)
        n = setting.resamplings
        recall = float(np.median(self.recall[stands])) if len(stands) and self.positives else None
        load = setting.volume * (setting.prevalence * self.recall[stands] + (1 - setting.prevalence) * self.risk[stands]) if recall is not None else None
        kept = Share.of(n - broken, n)
        return {
            "language": self.language,
            "category": self.category.value,
            "action": self.action,
            "protected_posts": self.protected,
            "positive_posts": self.positives,
            "promised_share": self.alpha,
            "promised_confidence": round(1 - setting.delta, 9),
            "kept": kept.to_dict() if kept else None,
            "broken_beyond_chance": 1 - binomial_tail(broken - 1, n, setting.delta) < SURE,
            "kept_without_a_test": round(float(1 - naive.mean()), 4),
            "none": round(float(np.mean(self.alone < 0)), 4),
            "threshold_median": float(np.median(GRID[stands])) if len(stands) else None,
            "share_mean": round(float(self.risk[stands].mean()), 6) if len(stands) else None,
            "share_at_confidence": round(float(np.quantile(self.risk[stands], 1 - setting.delta)), 6) if len(stands) else None,
            "recall_median": None if recall is None else round(recall, 4),
            "per_day_median": None if load is None else round(float(np.median(load)), 1),
        }


def measure(scored: Scored, setting: Setting) -> list[Cell]:
    """All promises of all languages that have enough posts, each over all resamplings; posts are drawn once a language, for all of its categories.

    Raises:
        InputError: when no language has enough.
    """
    plans = list(_plans(scored, setting))
    if not plans:
        most = max((int(np.sum(scored.labels[scored.languages == c] == 0)) for c in np.unique(scored.languages)), default=0)
        raise InputError(f"{scored.source}: no language has {setting.at_least} protected posts in a category (the most are {most}). Lower --at-least, or label more.")
    tests = sum(len(setting.actions(scored.categories[k])) for _, k in plans)
    cells: list[Cell] = []
    for language in dict.fromkeys(language for language, _ in plans):
        rows = np.flatnonzero(scored.languages == language)
        columns = [k for name, k in plans if name == language]
        mine = [_cell(scored, rows, language, k, action, alpha, setting) for k in columns for action, alpha in setting.actions(scored.categories[k])]
        bins = {k: _bins(scored, rows, k) for k in columns}
        random = np.random.default_rng([setting.seed, *language.encode()])
        for start in range(0, setting.resamplings, BATCH):
            part = slice(start, min(start + BATCH, setting.resamplings))
            drawn = random.integers(0, len(rows), size=(part.stop - start, len(rows)), dtype=np.int32)
            for k in columns:
                n, touched = _touched(bins[k][drawn])
                for cell in mine:
                    if cell.category is scored.categories[k]:
                        cell.alone[part] = _loosest(touched, n, cell.alpha, setting.delta)
                        cell.together[part] = _loosest(touched, n, cell.alpha, setting.delta / tests)
                        cell.naive[part] = np.sum(touched <= cell.alpha * n[:, None], axis=1) - 1
        cells += mine
    return cells


def _plans(scored: Scored, setting: Setting) -> Iterator[tuple[str, int]]:
    for language in sorted({str(c) for c in scored.languages}):
        for k in range(len(scored.categories)):
            if np.sum(scored.labels[scored.languages == language, k] == 0) >= setting.at_least:
                yield language, k


def _cell(scored: Scored, rows: np.ndarray, language: str, k: int, action: str, alpha: float, setting: Setting) -> Cell:
    scores, labels = scored.scores[rows, k], scored.labels[rows, k]
    clean, positive = scores[(labels == 0) & ~np.isnan(scores)], scores[(labels == 1) & ~np.isnan(scores)]
    recall = count_touched(positive) / len(positive) if len(positive) else np.full(len(GRID), np.nan)
    empty = [np.full(setting.resamplings, -1) for _ in range(3)]
    return Cell(language, scored.categories[k], action, alpha, len(clean), len(positive), count_touched(clean) / len(clean), recall, *empty)


def _bins(scored: Scored, rows: np.ndarray, k: int) -> np.ndarray:
    """For each post the first threshold of the grid that it reaches; one after the last for none, two after for a post that is not protected."""
    scores, labels = np.nan_to_num(scored.scores[rows, k], nan=0.0), scored.labels[rows, k]
    first = len(GRID) - np.searchsorted(GRID[::-1], scores, side="right")
    return np.where((labels == 0) & ~np.isnan(scored.scores[rows, k]), first, len(GRID) + 1).astype(np.int64)


def _touched(bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Protected posts in each sample (n_samples,), and how many of them reach each threshold (n_samples, n_thresholds)."""
    width = len(GRID) + 2
    counts = np.bincount((bins + width * np.arange(len(bins))[:, None]).ravel(), minlength=width * len(bins)).reshape(len(bins), width)
    return counts[:, :-1].sum(axis=1), np.cumsum(counts[:, : len(GRID)], axis=1)


def _loosest(touched: np.ndarray, n: np.ndarray, alpha: float, delta: float) -> np.ndarray:
    """As `thresholds.loosest`, for samples with different numbers of protected posts."""
    sizes, which = np.unique(n, return_inverse=True)
    allowed = np.array([critical_count(int(size), alpha, delta) for size in sizes])[which]
    return np.sum(touched <= allowed[:, None], axis=1) - 1


def borrow(scored: Scored, cells: list[Cell], setting: Setting) -> list[dict[str, Any]]:
    """What a threshold does in a language that it was not chosen in: chosen on all languages in one heap, and on the one with the most labels."""
    out = []
    for category in dict.fromkeys(c.category for c in cells):
        k = scored.categories.index(category)
        mine = [c for c in cells if c.category is category and c.action == "review"]
        clean = {c.language: scored.scores[(scored.languages == c.language) & (scored.labels[:, k] == 0), k] for c in mine}
        largest = max(clean, key=lambda c: len(clean[c]))
        for source, scores in (("all in one heap", np.concatenate(list(clean.values()))), (largest, clean[largest])):
            index = int(_loosest(count_touched(scores)[None, :], np.array([len(scores)]), setting.alpha, setting.delta)[0])
            if index >= 0:
                shares = {c.language: round(float(c.risk[index]), 6) for c in mine if c.language != source}
                over = sorted((c for c in shares if shares[c] > setting.alpha), key=lambda c: -shares[c])
                out.append({"category": category.value, "chosen_on": source, "threshold": float(GRID[index]), "share": shares, "over": over})
    return out


def report(scored: Scored, setting: Setting, scorer: str) -> dict[str, Any]:
    """All results.

    Raises:
        InputError: when no language has enough posts.
    """
    cells = measure(scored, setting)
    rows = [c.to_dict(setting) for c in cells]
    any_broken = int(np.any([c.broken(c.together) for c in cells], axis=0).sum())
    together = Share.of(setting.resamplings - any_broken, setting.resamplings)
    beyond = 1 - binomial_tail(any_broken - 1, setting.resamplings, setting.delta) < SURE
    return {
        "what": "Labels were drawn from the posts of each language, thresholds chosen on them, and the true share of protected posts that they touch looked up.",
        "scorer": scorer,
        "source": {"file": scored.source, "sha256": scored.sha256, "posts": len(scored)},
        "languages": len({c.language for c in cells}),
        "promises": len(cells),
        "resamplings": setting.resamplings,
        "confidence": round(1 - setting.delta, 9),
        "prevalence": setting.prevalence,
        "volume_per_day": setting.volume,
        "seed": setting.seed,
        "all_kept": not beyond and not any(row["broken_beyond_chance"] for row in rows),
        "together": {"kept": together.to_dict() if together else None, "broken_beyond_chance": beyond, "none": round(float(np.mean([np.mean(c.together < 0) for c in cells])), 4)},
        "rows": rows,
        "borrowed": borrow(scored, cells, setting),
    }


def table(results: dict[str, Any]) -> str:
    """The results as Markdown, for the docs."""
    sure, n = f"{results['confidence']:.0%}", results["resamplings"]
    lines = [
        f"Scores: {results['scorer']}; {results['source']['posts']:,} labelled posts, {results['languages']} languages, {n:,} resamplings, a confidence of {sure}. "
        f"Reviews a day are those of {results['volume_per_day']:,.0f} posts a day in the language, of which {results['prevalence']:.1%} are what is looked for.",
        "",
        "| language | category | action | protected posts | promised | true share, mean | promise kept | kept without a test | none | recall, median | a day, median |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in results["rows"]:
        cells = [row["language"], row["category"], row["action"], f"{row['protected_posts']:,}", f"{row['promised_share']:.1%}"]
        cells += ["-" if row["share_mean"] is None else f"{row['share_mean']:.2%}", f"{row['kept']['value']:.1%}", f"{row['kept_without_a_test']:.0%}", f"{row['none']:.0%}"]
        cells += ["-" if row["recall_median"] is None else f"{row['recall_median']:.1%}", "-" if row["per_day_median"] is None else f"{row['per_day_median']:,.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    kept = results["together"]["kept"]
    lines += ["", f"All {results['promises']} promises at once, delta divided among them: kept in {kept['value']:.1%} of the resamplings (promised: {sure})."]
    for one in results["borrowed"]:
        over = ", ".join(f"{c} {one['share'][c]:.1%}" for c in one["over"][:6]) or "none"
        lines += ["", f"A review threshold for {one['category']} chosen on {one['chosen_on']} breaks the promise in {len(one['over'])} of {len(one['share'])} languages: {over}."]
    return "\n".join(lines)


def insert(text: str, block: str) -> str:
    """The docs with the block between its marks.

    Raises:
        InputError: when the marks are not there.
    """
    pattern = re.compile(re.escape(MARKS[0]) + r".*?" + re.escape(MARKS[1]), re.DOTALL)
    if not pattern.search(text):
        raise InputError(f"{DOCS.name}: the marks {MARKS[0]} and {MARKS[1]} are not there")
    return pattern.sub(lambda _: f"{MARKS[0]}\n{block}\n{MARKS[1]}", text)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, and say whether the promise was kept; 1 when it was not."""
    parser = argparse.ArgumentParser(prog="python -m eval.guarantee", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scores", type=Path, help="labelled scores (.parquet, .jsonl, .csv) of posts that the classifier was not trained on")
    parser.add_argument("--labels", type=Path, help="a file with `id` and labels, when they are not beside the scores")
    parser.add_argument("--scorer", required=True, help="what made the scores, name@version: it stands above the table")
    parser.add_argument("--alpha", type=float, default=0.02)
    parser.add_argument("--alpha-hold", type=float, default=0.005)
    parser.add_argument("--confidence", type=float, default=0.9)
    parser.add_argument("--resamplings", type=int, default=1000)
    parser.add_argument("--at-least", type=int, default=500, help="protected posts that a language needs in a category")
    parser.add_argument("--prevalence", type=float, default=0.015)
    parser.add_argument("--volume", type=float, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, help=f"put the table into this file too, for example {DOCS.parent.name}/{DOCS.name}")
    given = parser.parse_args(arguments)
    try:
        setting = Setting(given.alpha, given.alpha_hold, round(1 - given.confidence, 12), given.resamplings, given.at_least, given.prevalence, given.volume, given.seed)
        results = report(read_scored(given.scores, given.labels), setting, given.scorer)
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if given.docs:
            given.docs.write_text(insert(given.docs.read_text(encoding="utf-8"), table(results)), encoding="utf-8")
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(results))
    print(f"\n{given.output}: {'every promise was kept' if results['all_kept'] else 'PROMISES WERE BROKEN more often than chance lets'}")
    return 0 if results["all_kept"] else 1


if __name__ == "__main__":
    sys.exit(main())
