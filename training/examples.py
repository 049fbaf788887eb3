"""Two worked examples: what `training.adapt` reaches with 300 and 3,000 labels in languages that the base has no labelled post of.

    python -m training.examples --atlas ../shared/atlas

Posts of one data set are divided anew for each seed: labels to adapt on, and 800 posts to measure on. Compared on the same posts are what `adapt` chooses,
TF-IDF with logistic regression on the same labels, and the base as it is. A post that begins or ends like another one is left out. Printed is the table of `docs/adapt.md`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq
from scipy import stats
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline, make_union

from ipu_moderation.classifiers.compact import CompactClassifier, spelt
from ipu_moderation.normalise import normalise
from ipu_moderation.resources import model_directory
from ipu_moderation.types import Text
from training import pretrained
from training.adapt import HEADS, Features, Labelled, counted, fit, near_copies
from training.data import ATLAS

LABELS = (300, 3000)
SEEDS = 5
TEST = 800


@dataclass(frozen=True, slots=True)
class Example:
    """A data set of the atlas and the label that is learnt."""

    slug: str
    language: str
    name: str
    head: str


EXAMPLES = (Example("my-myhatespeech", "my", "Burmese", "abuse"), Example("id-ibrohim-budi", "id", "Indonesian", "abuse"))


class Remembering(CompactClassifier):
    """Reads a text once, however often it is drawn: what the encoder makes of a text follows from its pieces alone."""

    seen: ClassVar[dict[bytes, np.ndarray]] = {}

    def features(self, texts: Sequence[Text], language: str = "und") -> tuple[np.ndarray, np.ndarray]:
        _, tokenizer, _, extended = self._load()
        own = extended.get(language, tokenizer)
        encoded = own.encode_batch(spelt(own, texts))
        keys = [hashlib.sha1("\x00".join(e.tokens).encode("utf-8", "replace")).digest() for e in encoded]
        new = list({k: i for i, k in enumerate(keys) if k not in self.seen}.values())
        for start in range(0, len(new), 200):
            some = new[start : start + 200]
            base, pooled = super().features([texts[i] for i in some], language)
            self.seen.update(zip([keys[i] for i in some], np.concatenate([base, pooled], 1), strict=True))
        found = np.stack([self.seen[k] for k in keys])
        return found[:, : len(HEADS)], found[:, len(HEADS) :]


def rows(example: Example, atlas: Path, n: int) -> tuple[list[str], np.ndarray]:
    """At most n texts in an order that follows from their letters, and their labels (n,); no two begin or end alike."""
    table = pq.read_table(atlas / f"{example.slug}.parquet")
    extra = [json.loads(e) if e else {} for e in table["extra"].to_pylist()]
    texts = [e.get("text_joined") or e.get("text_decoded") or t for e, t in zip(extra, table["text"].to_pylist(), strict=True)]
    labels = table[example.head].to_pylist()
    known = sorted((i for i, v in enumerate(labels) if v is not None), key=lambda i: hashlib.sha256(texts[i].encode()).digest())
    _, first = np.unique(near_copies([texts[i] for i in known]), return_index=True)
    kept = [known[i] for i in np.sort(first)][:n]
    return [texts[i] for i in kept], np.array([labels[i] for i in kept], float)


def baseline(texts: Sequence[str], y: np.ndarray, test: Sequence[str]) -> np.ndarray:
    """(n_test,) answers of TF-IDF over words, pairs of words and 2 to 5 letters within words, with logistic regression."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=1 if len(texts) < 1000 else 2)
    model = make_pipeline(make_union(words, letters), LogisticRegression(C=4.0, class_weight="balanced", solver="liblinear"))
    answers: np.ndarray = model.fit(texts, y > 0.5).predict(test)
    return answers


def measure(example: Example, texts: list[str], y: np.ndarray, n: int, seed: int, base: Path, weights: pretrained.Pretrained) -> dict[str, float | str]:
    """Macro-F1 of adapt, of the baseline and of the base after n labels, on the same posts."""
    order = np.random.default_rng(seed).permutation(len(texts))
    test, train = order[:TEST], order[TEST : TEST + n]
    h, truth = HEADS.index(example.head), y[test] > 0.5
    labels = np.full((n, len(HEADS)), np.nan)
    labels[:, h] = y[train]
    data = Labelled([texts[i] for i in train], labels, list(range(n)), np.arange(n))
    views = [normalise(texts[i]) for i in test]
    with tempfile.TemporaryDirectory() as place:
        fitted = fit(data, example.language, base, Path(place), seed, curves=False, weights=weights, load=lambda d: Remembering(d, threads=1))
        (one,) = fitted.chosen
        vectors = Remembering(fitted.directory, threads=1).features(views, example.language)
    adapted = fitted.probabilities(one, Features(*vectors, counted(views))) >= 0.5
    classifier = Remembering(base, threads=1)
    slope, shift = (v[0, h] for v in classifier._calibration([example.language]))
    as_it_is = classifier.features(views, example.language)[0][:, h] * slope + shift >= 0
    plain = baseline([normalise(texts[i]).match_view for i in train], y[train], [v.match_view for v in views])
    found = {name: float(100 * f1_score(truth, p, average="macro", zero_division=0)) for name, p in (("adapt", adapted), ("TF-IDF", plain), ("base", as_it_is))}
    return {**found, "way": one.way, "positives": float(truth.sum())}


def interval(differences: Sequence[float]) -> str:
    """Mean and its 95 % interval by Student's t over the seeds; the posts of one seed are partly those of another, so that it is rather too narrow."""
    mean, n = float(np.mean(differences)), len(differences)
    if n < 2:
        return f"{mean:+.1f}"
    half = float(stats.t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / np.sqrt(n))
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def row(example: Example, n: int, found: Sequence[dict[str, float | str]]) -> str:
    """A line of the table."""
    mean = {k: float(np.mean([float(f[k]) for f in found])) for k in ("adapt", "TF-IDF", "base", "positives")}
    ways = ", ".join(f"`{way}` {k}" for way, k in Counter(str(f["way"]) for f in found).most_common())
    over = [float(f["adapt"]) - float(f["TF-IDF"]) for f in found]
    worst = min(float(f["adapt"]) - max(float(f["TF-IDF"]), float(f["base"])) for f in found)
    return (
        f"| {example.name}, {example.head} | {n:,} | {mean['adapt']:.1f} | {mean['TF-IDF']:.1f} | {mean['base']:.1f} | {interval(over)} | {worst:+.1f} "
        f"| {ways} | {len(found)} | {TEST} ({mean['positives']:.0f}) |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.examples", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atlas", type=Path, default=ATLAS)
    parser.add_argument("--base", type=Path, default=model_directory())
    parser.add_argument("--language", choices=[e.language for e in EXAMPLES], action="append", help="repeat for more (default: all)")
    parser.add_argument("--labels", type=int, action="append", help="repeat for more (default: 300 and 3000)")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where results and vectors of posts already read are kept, so that a run can go on; holds no text")
    args = parser.parse_args()
    results, vectors = (args.keep / "results.json", args.keep / "vectors.npz") if args.keep else (None, None)
    done: dict[str, dict[str, float | str]] = json.loads(results.read_text("utf-8")) if results and results.exists() else {}
    if vectors and vectors.exists():
        with np.load(vectors) as kept:
            Remembering.seen.update(zip((bytes(k) for k in kept["keys"]), kept["vectors"], strict=True))
    weights = pretrained.read()
    print("| example | labels | adapt | TF-IDF | base as it is | adapt - TF-IDF (95 %) | worst seed - better of both | chosen | seeds | posts measured (yes) |")
    print("|---|--:|--:|--:|--:|--:|--:|---|--:|--:|")
    for example in [e for e in EXAMPLES if not args.language or e.language in args.language]:
        for n in args.labels or LABELS:
            texts, y = rows(example, args.atlas, TEST + n)
            for seed in range(args.seeds):
                name = f"{example.slug} {n} {seed}"
                if name not in done:
                    done[name] = measure(example, texts, y, n, seed, args.base, weights)
                    if results and vectors:
                        args.keep.mkdir(parents=True, exist_ok=True)
                        results.write_text(json.dumps(done, indent=1), encoding="utf-8")
                        np.savez(vectors, keys=np.array([list(k) for k in Remembering.seen], np.uint8), vectors=np.stack(list(Remembering.seen.values())))
            print(row(example, n, [done[f"{example.slug} {n} {seed}"] for seed in range(args.seeds)]), flush=True)


if __name__ == "__main__":
    main()
