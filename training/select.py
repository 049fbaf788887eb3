"""Which posts to label next: those that would teach the model most, and a random share that keeps the figures honest.

    python -m training.select stream.csv --n 300 --out to-label.csv
    python -m training.select stream.jsonl --n 300 --labelled done.csv --model my-model --out tasks.json      # tasks for Label Studio

Of the posts chosen, a share each is: near the point where the model begins to say yes (`uncertain`); seen differently by rules and by the classifier
(`disagreement`); unlike everything chosen so far (`different`); and drawn at random (`random`). Only the random share tells how often something occurs:
quality and prevalence are measured on it alone. Copies, near copies and posts that are labelled already are passed over.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ipu_moderation import batch
from ipu_moderation.classifiers.compact import CompactClassifier
from ipu_moderation.errors import InputError, ModerationError
from ipu_moderation.language import identify
from ipu_moderation.normalise import normalise
from ipu_moderation.rules import RuleSet, load_packs
from ipu_moderation.taxonomy import SCORED
from ipu_moderation.types import Language
from training.data import key

SHARES = {"uncertain": 0.4, "disagreement": 0.2, "different": 0.2}
"""Of what is not drawn at random."""
LEAST_RANDOM = 0.1
CHUNK = 512
COLUMNS = ("id", "text", "language", "chosen_by", *(c.value for c in SCORED), "note")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One post that may be labelled."""

    id: str
    text: str = field(repr=False)
    language: str
    top: float
    """The highest calibrated score."""
    raised: bool
    """Whether a rule raises and nothing excuses it."""
    vector: np.ndarray = field(repr=False)


def candidates(rows: Iterable[batch.Row], classifier: CompactClassifier, rules: RuleSet, known: set[str]) -> list[Candidate]:
    """Posts with what the model makes of them; copies of each other, or of what is known, once or not at all."""
    out: list[Candidate] = []
    seen = set(known)
    chunk: list[batch.Row] = []

    def flush() -> None:
        texts = [normalise(row.text or "") for row in chunk]
        languages = [Language.stated(row.language) if row.language else identify(text) for row, text in zip(chunk, texts, strict=True)]
        scores = classifier.score(texts, languages).categories
        _, pooled = classifier.features(texts)
        for row, text, language, score, vector in zip(chunk, texts, languages, scores, pooled, strict=True):
            raised = any(f.effect == "raise" and f.excused_by is None for f in rules.find(text, language))
            out.append(Candidate(row.id, row.text or "", language.code, float(score.max()), raised, vector))
        chunk.clear()

    for row in rows:
        letters = key(row.text) if row.text else ""
        marks = {letters, letters[:30] if len(letters) >= 30 else letters, letters[-30:] if len(letters) >= 30 else letters}
        if letters and not marks & seen:
            seen |= marks
            chunk.append(row)
            if len(chunk) == CHUNK:
                flush()
    if chunk:
        flush()
    return out


def choose(posts: Sequence[Candidate], n: int, random_share: float = 0.2, seed: int = 1) -> list[tuple[Candidate, str]]:
    """At most `n` posts, each with why it was chosen.

    Raises:
        InputError: when the random share is under a tenth: without it nobody could say how often anything occurs.
    """
    if not LEAST_RANDOM <= random_share <= 1:
        raise InputError(f"the random share is from {LEAST_RANDOM} to 1; without it nobody could say how often anything occurs")
    n = min(n, len(posts))
    rng = np.random.default_rng(seed)
    left = list(rng.permutation(len(posts)))
    drawn = left[: max(1, round(n * random_share))] if n else []
    chosen: dict[int, str] = {int(i): "random" for i in drawn}
    wanted = n - len(chosen)
    top = np.array([p.top for p in posts])
    uncertain = [int(i) for i in np.argsort(np.abs(top - 0.5), kind="stable")]
    apart = np.where([p.raised for p in posts], 1 - top, top - 0.5)  # a rule alone, or a high score alone
    disagreement = [int(i) for i in np.argsort(-apart, kind="stable") if apart[i] > 0.25]
    for why, order in (("uncertain", uncertain), ("disagreement", disagreement)):
        most = round(wanted * SHARES[why] / sum(SHARES.values()))
        for i in [i for i in order if i not in chosen][:most]:
            chosen[i] = why
    for i in _different(np.array([p.vector for p in posts]), list(chosen), n - len(chosen)):
        chosen[i] = "different"
    return [(posts[i], why) for i, why in sorted(chosen.items())]


def _different(vectors: np.ndarray, chosen: list[int], n: int) -> list[int]:
    """Farthest first: each is the post least like all that were chosen before."""
    out: list[int] = []
    if n <= 0 or not len(vectors):
        return out
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    nearest = np.full(len(unit), -2.0)
    for i in chosen:
        np.maximum(nearest, unit @ unit[i], out=nearest)
    nearest[chosen] = np.inf
    for _ in range(n):
        i = int(nearest.argmin())
        if not np.isfinite(nearest[i]):
            break
        out.append(i)
        np.maximum(nearest, unit @ unit[i], out=nearest)
        nearest[i] = np.inf
    return out


def write(chosen: Sequence[tuple[Candidate, str]], path: Path) -> None:
    """A .csv with an empty column for each label, or a .json of tasks for Label Studio.

    Raises:
        InputError: when the ending is another.
    """
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8-sig") as stream:  # the mark tells spreadsheets that it is UTF-8
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            writer.writerows([post.id, post.text, post.language, why, *[""] * (len(COLUMNS) - 4)] for post, why in chosen)
    elif path.suffix == ".json":
        tasks = [{"data": {"id": post.id, "text": post.text, "language": post.language, "chosen_by": why}} for post, why in chosen]
        path.write_text(json.dumps(tasks, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    else:
        raise InputError(f"{path}: posts to label are written as .csv, or as .json for Label Studio")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.select", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("posts", type=Path, help="a .csv, .tsv, .jsonl, .parquet or .txt file of posts without labels")
    parser.add_argument("--n", type=int, default=300, help="how many to choose (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="a .csv, or a .json of tasks for Label Studio")
    parser.add_argument("--labelled", type=Path, help="posts that are labelled already: they and their copies are passed over")
    parser.add_argument("--model", type=Path, help="a model directory (default: the one in the package)")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--language-column")
    parser.add_argument("--random", type=float, default=0.2, help=f"the share drawn at random, at least {LEAST_RANDOM} (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    try:
        known = {key(row.text) for row in batch.read(args.labelled, batch.Columns(text=args.text_column)) if row.text} if args.labelled else set()
        rows = batch.read(args.posts, batch.Columns(text=args.text_column, language=args.language_column))
        posts = candidates((row for row in rows if row.text), CompactClassifier(args.model), load_packs(), known)
        chosen = choose(posts, args.n, args.random, args.seed)
        write(chosen, args.out)
    except ModerationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    counts = ", ".join(f"{sum(w == why for _, w in chosen)} {why}" for why in ("random", *SHARES))
    print(f"{args.out}: {len(chosen):,} of {len(posts):,} different posts: {counts}. Measure on the random ones alone.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
