"""Labelled scores -> thresholds with a guaranteed risk, or "none", with what it would take.

The promise: with confidence 1 - delta, at most a share alpha of protected posts is sent to review, and at most a share alpha' scores high enough for a
hold. A protected post is one that a careful reader labelled 0, or one in a mask of yours (journalism, counter-speech, criticism of officials).

How: the thresholds of a grid that was fixed beforehand are tested from the strictest to the loosest. At each the null hypothesis is "more than alpha of
protected posts are touched"; its p-value is exact, P(Binomial(n, alpha) <= touched). The last threshold before the first one that cannot be rejected is
chosen: since the order is fixed, testing many thresholds costs nothing (fixed-sequence testing). Several promises made together (categories, languages,
review and hold) share delta (Bonferroni). No assumption is made about the classifier. Two are made about the data: the labelled protected posts are
exchangeable with the protected posts to come, and their labels are right. `Drift` and `Martingale` watch the first; nothing can watch the second but people.

Source: Angelopoulos, Bates, Candès, Jordan, Lei, "Learn then Test", 2021 (arXiv:2110.01052); Clopper and Pearson, Biometrika 26, 1934; Bates, Angelopoulos,
Lei, Malik, Jordan, "Distribution-free, risk-controlling prediction sets", J. ACM 68, 2021 (Hoeffding-Bentkus); Vovk, Nouretdinov, Gammerman, "Testing
exchangeability on-line", ICML 2003; Ville 1939.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import os
import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ipu_moderation.errors import InputError
from ipu_moderation.taxonomy import REVIEW_AT_MOST, SCORED, Category
from ipu_moderation.types import Action

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Thresholds that are tested, strictest first: exact decimals, so that what a policy file says is what was tested. Fixed before any data is seen.
GRID: Numbers = np.arange(999, 0, -1) / 1000
CONFIDENCE = 0.95
"""Of the intervals that describe (recall, shares); the promises have their own delta."""
ENRICHED = 0.10
"""A file with more hate than this was not drawn at random from a stream, where 1-2% is usual. Source: HateDay, ACL 2025."""
COPIES = 0.05
"""From this share of rows with the same scores as another row, copies are suspected: they are not independent."""
HOLD_FLOOR = 0.5
"""No hold below it, whatever could be promised: it is where a careful reader would begin to say yes."""
MOST_NEEDED = 10_000_000
OTHER = "other"

# --- the exact binomial ------------------------------------------------------------------------------------------------------------------------


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) <= k), exact to rounding, without overflow for any n.

    Only the terms that carry weight are summed, on whichever side of k they fall towards zero.

    Raises:
        ValueError: when n is negative or p lies outside [0, 1].
    """
    if n < 0 or not 0 <= p <= 1:
        raise ValueError(f"a binomial needs n >= 0 and p in [0, 1], not n={n}, p={p}")
    if k < 0:
        return 0.0
    if k >= n or p == 0:
        return 1.0
    if p == 1:
        return 0.0
    reach = 60 + int(12 * math.sqrt(n * p * (1 - p)))  # beyond twelve standard deviations a term is nothing
    if k <= n * p:
        j = np.arange(k, max(0, k - reach), -1, dtype=float)  # ratios of the term below to the term at j
        ratios = j / (n - j + 1) * ((1 - p) / p)
        return min(1.0, math.exp(_log_term(k, n, p)) * (1 + float(np.cumprod(ratios).sum())))
    j = np.arange(k + 1, min(n, k + 1 + reach), dtype=float)  # ratios of the term above to the term at j
    ratios = (n - j) / (j + 1) * (p / (1 - p))
    return max(0.0, 1 - math.exp(_log_term(k + 1, n, p)) * (1 + float(np.cumprod(ratios).sum())))


def _log_term(k: int, n: int, p: float) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)


@lru_cache(maxsize=65_536)
def upper_bound(k: int, n: int, delta: float) -> float:
    """With confidence 1 - delta the true share is not above this, when k of n were seen (Clopper-Pearson, one-sided). 1.0 when n is 0."""
    if n == 0 or k >= n:
        return 1.0
    low, high = k / n, 1.0
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_tail(k, n, middle) > delta else (low, middle)
    return high


def lower_bound(k: int, n: int, delta: float) -> float:
    """With confidence 1 - delta the true share is not below this, when k of n were seen. 0.0 when n is 0."""
    return 1 - upper_bound(n - k, n, delta)


@lru_cache(maxsize=4096)
def _log_tails(n: int, alpha: float) -> Numbers:
    """log P(Binomial(n, alpha) <= k) for k = 0 .. floor(n alpha); for every larger k the tail is at least one half, and no test rejects there."""
    k = np.arange(1, math.floor(n * alpha) + 1, dtype=float)
    steps = np.log((n - k + 1) / k) + (math.log(alpha) - math.log1p(-alpha))
    terms = n * math.log1p(-alpha) + np.concatenate(([0.0], np.cumsum(steps)))
    tails: Numbers = np.logaddexp.accumulate(terms)
    tails.flags.writeable = False  # it is shared by all callers
    return tails


def critical_count(n: int, alpha: float, delta: float) -> int:
    """The most touched posts among n protected ones with which a share of at most alpha is proved at level delta; -1 when not even 0 proves it.

    Raises:
        InputError: when alpha or delta make no test.
    """
    _check_levels(alpha, delta)
    return int(np.searchsorted(_log_tails(n, alpha), math.log(delta) + 1e-12, side="right")) - 1 if n else -1


def labels_needed(alpha: float, delta: float, rate: float = 0.0) -> int | None:
    """How many labelled protected posts would prove the promise if `rate` of them are touched; None when no number would, or more than ten million.

    Raises:
        InputError: when alpha or delta make no test.
    """
    _check_levels(alpha, delta)
    if rate >= alpha:
        return None
    low = math.ceil(math.log(delta) / math.log1p(-alpha))  # enough when none is touched
    if _proves(low, alpha, delta, rate):
        return low
    high = low
    while not _proves(high, alpha, delta, rate):
        low, high = high, 2 * high
        if high > MOST_NEEDED:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _proves(middle, alpha, delta, rate) else (middle, high)
    return high


def _proves(n: int, alpha: float, delta: float, rate: float) -> bool:
    return binomial_tail(math.ceil(rate * n - 1e-9), n, alpha) <= delta


def hoeffding_bentkus(mean: npt.ArrayLike, n: int, alpha: float) -> Numbers:
    """p-values of "the expected loss is above alpha" for losses in [0, 1] with these means over n posts; 1.0 where the mean is not below alpha."""
    means = np.atleast_1d(np.asarray(mean, dtype=float))
    a = np.clip(means, 0, alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.where(a > 0, a * np.log(a / alpha), 0.0) + (1 - a) * np.log((1 - a) / (1 - alpha))
    tails = _log_tails(n, alpha)
    k = np.ceil(n * means - 1e-9).astype(int)
    bentkus = np.where(k < len(tails), np.exp(1 + tails[np.minimum(k, len(tails) - 1)]), 1.0)
    p: Numbers = np.where(means < alpha, np.minimum(np.minimum(np.exp(-n * divergence), bentkus), 1.0), 1.0)
    return p


def _check_levels(alpha: float, delta: float) -> None:
    if not 0 < alpha < 1:
        raise InputError(f"alpha is the largest share of protected posts that may be touched, above 0 and below 1, for example 0.02; not {alpha}")
    if not 0 < delta < 0.5:
        raise InputError(f"delta is the risk that the promise fails, above 0 and below 0.5 (0.05 is a confidence of 95%); not {delta}")


# --- results -----------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """`k` of `n`, with its Clopper-Pearson interval at 95%."""

    k: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, k: int, n: int) -> Share | None:
        """None of nothing."""
        return cls(k, n, lower_bound(k, n, (1 - CONFIDENCE) / 2), upper_bound(k, n, (1 - CONFIDENCE) / 2)) if n else None

    @property
    def value(self) -> float:
        """The share that was seen."""
        return self.k / self.n

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%}-{self.high:.1%} of {self.n:,})"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {"value": round(self.value, 6), "low": round(self.low, 6), "high": round(self.high, 6), "k": self.k, "n": self.n}


@dataclass(frozen=True, slots=True)
class Load:
    """What a threshold means for the reviewers, at a volume of posts a day and a prevalence of what is looked for."""

    volume: float
    prevalence: float
    reviews: float
    """Expected posts a day that reach a reviewer."""
    at_most: float
    """The same, if recall and the share of other posts touched both stand at the upper ends of their intervals; by capacity: what was proved."""
    precision: float | None
    """The share of reviewed posts that are what was looked for; None when nothing is reviewed."""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "volume_per_day": self.volume,
            "prevalence": self.prevalence,
            "reviews_per_day": round(self.reviews, 1),
            "reviews_per_day_at_most": round(self.at_most, 1),
            "precision": None if self.precision is None else round(self.precision, 4),
        }


@dataclass(frozen=True, slots=True)
class Promise:
    """One threshold and what is promised of it, or no threshold and why."""

    action: Action
    threshold: float | None
    """None: no threshold of the grid can be promised; the action is not to be taken on this score."""
    alpha: float
    delta: float
    """The level of this one test, after multiplicity was paid for."""
    protected: int
    """Labelled protected posts that it rests on."""
    touched: Share | None
    """Of the protected posts, at the threshold; at the strictest threshold when none was chosen. None without protected posts."""
    p_value: float | None
    recall: Share | None
    """Of the posts labelled 1; None without a threshold or without such posts. With protected = labelled 0, the threshold was chosen on other posts: the interval holds."""
    load: Load | None = None
    reason: str | None = None
    """Why there is no threshold."""
    needed: int | None = None
    """Labelled protected posts with which there would be one, if the share touched stays what it is; None when a threshold stands, or no number would do."""

    def if_labels_err(self, wrong: float) -> float:
        """What alpha becomes if up to a share `wrong` of protected posts carry the label 1, and all of them are touched: they are missing from the test."""
        return self.alpha * (1 - wrong) + wrong

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "threshold": self.threshold,
            "alpha": self.alpha,
            "alpha_if_one_protected_post_in_100_is_labelled_otherwise": round(self.if_labels_err(0.01), 6),
            "delta_of_this_test": self.delta,
            "protected_posts": self.protected,
            "touched": self.touched.to_dict() if self.touched else None,
            "p_value": self.p_value,
            "recall": self.recall.to_dict() if self.recall else None,
            "load": self.load.to_dict() if self.load else None,
            "reason": self.reason,
            "protected_posts_needed": self.needed,
        }


@dataclass(frozen=True, slots=True)
class Fit:
    """The thresholds of one category in one language, or group of languages."""

    category: Category | None
    """None: all categories together, by their highest score."""
    group: str
    review: Promise
    hold: Promise | None
    """None: a hold was not asked for, or the category leads to review at most."""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "category": self.category.value if self.category else "any",
            "group": self.group,
            "review": self.review.to_dict(),
            "hold": self.hold.to_dict() if self.hold else None,
        }


# --- one threshold -----------------------------------------------------------------------------------------------------------------------------


def count_touched(scores: npt.ArrayLike, grid: Numbers = GRID) -> Counts:
    """How many scores reach each threshold of the grid: `score >= threshold`, as a policy decides."""
    values = np.sort(np.asarray(scores, dtype=float))
    counts: Counts = len(values) - np.searchsorted(values, grid, side="left")
    return counts


def loosest(touched: npt.ArrayLike, n: int, alpha: float, delta: float) -> npt.NDArray[np.int64]:
    """Fixed-sequence testing, for many samples at once: the index of the loosest threshold that is proved, -1 for none.

    Args:
        touched: protected posts that reach each threshold, strictest first (..., n_thresholds); the thresholds are fixed beforehand.
        n: protected posts in each sample.
        alpha: the largest share that may be touched.
        delta: the level of the test.

    Raises:
        InputError: when alpha or delta make no test.
    """
    # counts grow from strict to loose, so "all before passed too" is "it passes", and the p-value is at most delta exactly up to the critical count
    passed: npt.NDArray[np.int64] = np.sum(np.asarray(touched) <= critical_count(n, alpha, delta), axis=-1)
    return passed - 1


def choose(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    protected: npt.ArrayLike | None = None,
    *,
    alpha: float,
    delta: float,
    action: Action = Action.REVIEW,
    anyway: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    grid: Numbers = GRID,
    prevalence: float | None = None,
    volume: float | None = None,
) -> Promise:
    """The loosest threshold at which, with confidence 1 - delta, at most a share alpha of protected posts is touched.

    Args:
        scores: in [0, 1], one a post.
        labels: 1, 0, and -1, NaN or None where unknown.
        protected: a mask of protected posts; those labelled 0 when None.
        alpha: the largest share of protected posts that may be touched.
        delta: the risk that the promise fails.
        action: what the threshold is for; said in the result.
        anyway: posts that are touched whatever their score, since a rule sends them: they count.
        weights: how grave it is to touch each post, in [0, 1]; alpha then bounds the expected weight touched, by Hoeffding-Bentkus.
        grid: thresholds from strictest to loosest, fixed without looking at the data.
        prevalence: share of the stream that is what is looked for; with `volume`, the load is told.
        volume: posts a day.

    Raises:
        InputError: when lengths, scores, labels, weights or levels are not what they should be.
    """
    _check_levels(alpha, delta)
    sample = _Sample.of(scores, labels, protected, anyway, weights, grid)
    n = sample.n
    best = labels_needed(alpha, delta)
    if n == 0:
        return Promise(action, None, alpha, delta, 0, None, None, None, reason="no protected post has a label", needed=best)
    if weights is None:
        index = int(loosest(sample.touched, n, alpha, delta))
        p = binomial_tail(int(sample.touched[max(index, 0)]), n, alpha)
    else:
        p_values = hoeffding_bentkus(sample.losses / n, n, alpha)
        index = int(np.sum(np.logical_and.accumulate(p_values <= delta))) - 1
        p = float(p_values[max(index, 0)])
    if index < 0:
        reason, needed = _why_not(sample, alpha, delta)
        return Promise(action, None, alpha, delta, n, Share.of(int(sample.touched[0]), n), p, None, reason=reason, needed=needed)
    recall = Share.of(int(sample.found[index]), sample.positives)
    load = _load(sample, index, prevalence, volume)
    return Promise(action, float(sample.grid[index]), alpha, delta, n, Share.of(int(sample.touched[index]), n), p, recall, load)


def choose_by_capacity(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    capacity: float,
    volume: float,
    prevalence: float,
    delta: float,
    anyway: npt.ArrayLike | None = None,
    grid: Numbers = GRID,
) -> Promise:
    """The loosest review threshold with which, with confidence 1 - delta, no more posts a day are expected than people can read.

    Both parts of the load are bounded, each at delta / 2: recall by the posts labelled 1, and the share of the others by those labelled 0. `alpha` of the result
    is what follows for protected posts (those labelled 0): at most capacity / (volume * (1 - prevalence)) of them are touched.

    Raises:
        InputError: when numbers, lengths, scores or labels are not what they should be.
    """
    if not (0 < prevalence < 1 and 0 < capacity < volume * (1 - prevalence)):
        raise InputError(
            f"capacity must be above 0 and below the posts a day that are not looked for, and prevalence above 0 and below 1; not {capacity:g} of {volume:g} at {prevalence:g}"
        )
    alpha = capacity / (volume * (1 - prevalence))
    _check_levels(min(alpha, 0.5), delta)
    sample = _Sample.of(scores, labels, None, anyway, None, grid)
    if not sample.n or not sample.positives:
        missing = "labelled 0" if not sample.n else "labelled 1"
        return Promise(Action.REVIEW, None, alpha, delta, sample.n, None, None, None, reason=f"no post is {missing}: the load cannot be bounded")

    def at_most(index: int) -> float:
        found, touched = int(sample.found[index]), int(sample.touched[index])
        return volume * (prevalence * upper_bound(found, sample.positives, delta / 2) + (1 - prevalence) * upper_bound(touched, sample.n, delta / 2))

    low, high = -1, len(sample.grid)  # the bound grows from strict to loose: bisection finds where fixed-sequence testing would stop
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at_most(middle) <= capacity else (low, middle)
    if low < 0:
        return Promise(
            Action.REVIEW, None, alpha, delta, sample.n, Share.of(int(sample.touched[0]), sample.n), None, None,
            reason=f"even at the strictest threshold up to {at_most(0):,.0f} posts a day must be expected from these labels; more labels, or more readers, would help",
        )  # fmt: skip
    recall, touched = Share.of(int(sample.found[low]), sample.positives), Share.of(int(sample.touched[low]), sample.n)
    load = _load(sample, low, prevalence, volume)
    load = replace(load, at_most=at_most(low)) if load else None
    return Promise(Action.REVIEW, float(sample.grid[low]), alpha, delta, sample.n, touched, None, recall, load)


def fit(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    protected: npt.ArrayLike | None = None,
    *,
    alpha: float,
    delta: float,
    alpha_hold: float | None = None,
    tests: int | None = None,
    anyway: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    grid: Numbers = GRID,
    prevalence: float | None = None,
    volume: float | None = None,
    category: Category | None = None,
    group: str = "",
) -> Fit:
    """The review threshold, and the hold threshold when `alpha_hold` is given; both promises stand together with confidence 1 - delta.

    Args:
        scores, labels, protected, anyway, weights, grid, prevalence, volume: as in `choose`.
        alpha: the largest share of protected posts that may be sent to review.
        delta: the risk that any of the promises made together fails.
        alpha_hold: the largest share that may score high enough for a hold, not above alpha. (A hold needs a finding beside the score, so fewer are held.)
        tests: how many promises share delta; those of this call when None.
        category, group: said in the result; a category that leads to review at most gets no hold.

    Raises:
        InputError: as `choose`, and when `alpha_hold` is above `alpha`.
    """
    _check_hold(alpha, alpha_hold)
    holds = alpha_hold is not None and category not in REVIEW_AT_MOST
    level = delta / (tests or (2 if holds else 1))
    review = choose(scores, labels, protected, alpha=alpha, delta=level, anyway=anyway, weights=weights, grid=grid, prevalence=prevalence, volume=volume)
    if not holds or alpha_hold is None:
        return Fit(category, group, review, None)
    hold = choose(scores, labels, protected, alpha=alpha_hold, delta=level, action=Action.HOLD, weights=weights, grid=grid, prevalence=prevalence, volume=volume)
    return Fit(category, group, review, _above(hold, review, scores, labels, protected))


def trade_off(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    protected: npt.ArrayLike | None = None,
    *,
    prevalence: float,
    volume: float,
    at: Sequence[float] = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1),
) -> list[dict[str, Any]]:
    """What each threshold would mean, for a person to choose with open eyes. It describes and promises nothing.

    Raises:
        InputError: when lengths, scores or labels are not what they should be.
    """
    sample = _Sample.of(scores, labels, protected, None, None, np.asarray(sorted(at, reverse=True)))
    rows = []
    for i, threshold in enumerate(sample.grid):
        touched, recall = Share.of(int(sample.touched[i]), sample.n), Share.of(int(sample.found[i]), sample.positives)
        load = _load(sample, i, prevalence, volume)
        rows.append(
            {
                "threshold": float(threshold),
                "touched": touched.to_dict() if touched else None,
                "recall": recall.to_dict() if recall else None,
                **({k: v for k, v in load.to_dict().items() if k in ("reviews_per_day", "precision")} if load else {"reviews_per_day": None, "precision": None}),
            }
        )
    return rows


@dataclass(frozen=True, slots=True)
class _Sample:
    """Counts along the grid: all that the choice of a threshold depends on."""

    grid: Numbers
    n: int
    touched: Counts  # protected posts that reach each threshold
    losses: Numbers  # the sum of their weights
    positives: int
    found: Counts  # posts labelled 1 that reach each threshold
    negatives: int
    wrongly: Counts  # posts labelled 0 that reach each threshold: the same as `touched` without a mask

    @classmethod
    def of(
        cls, scores: npt.ArrayLike, labels: npt.ArrayLike, protected: npt.ArrayLike | None, anyway: npt.ArrayLike | None, weights: npt.ArrayLike | None, grid: Numbers
    ) -> _Sample:
        grid = np.asarray(grid, dtype=float)
        if not len(grid) or np.any(np.diff(grid) >= 0) or not 0 < grid[-1] <= grid[0] < 1:
            raise InputError("a grid of thresholds goes from the strictest to the loosest, each above 0 and below 1")
        values = _checked_scores(scores)
        truth = _checked_labels(labels)
        mask = truth == 0 if protected is None else np.asarray(protected, dtype=bool)
        sent = np.zeros(len(values), dtype=bool) if anyway is None else np.asarray(anyway, dtype=bool)
        weight = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
        lengths = {"scores": len(values), "labels": len(truth), "protected": len(mask), "anyway": len(sent), "weights": len(weight)}
        if len(set(lengths.values())) > 1:
            raise InputError("one entry a post is needed everywhere; there are " + ", ".join(f"{v} {k}" for k, v in lengths.items()))
        if not np.all((weight >= 0) & (weight <= 1)):
            raise InputError(f"weights lie in [0, 1]; entry {int(np.argmin((weight >= 0) & (weight <= 1))) + 1} does not")
        values = np.where(sent, 1.0, values)  # a rule sends it: no threshold is too strict for it
        touched = count_touched(values[mask], grid)
        losses = touched.astype(float) if weights is None else _weight_touched(values[mask], weight[mask], grid)
        wrongly = touched if protected is None else count_touched(values[truth == 0], grid)
        return cls(grid, int(mask.sum()), touched, losses, int((truth == 1).sum()), count_touched(values[truth == 1], grid), int((truth == 0).sum()), wrongly)


def _weight_touched(scores: Numbers, weights: Numbers, grid: Numbers) -> Numbers:
    order = np.argsort(-scores, kind="stable")
    sums = np.concatenate(([0.0], np.cumsum(weights[order])))
    total: Numbers = sums[count_touched(scores, grid)]
    return total


def _checked_scores(scores: npt.ArrayLike) -> Numbers:
    values = np.asarray(scores, dtype=float)
    good = (values >= 0) & (values <= 1)
    if not good.all():
        raise InputError(f"scores lie in [0, 1]; entry {int(np.argmin(good)) + 1} of {len(values)} does not (or is missing). Leave out posts without a score.")
    return values


def _checked_labels(labels: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """1, 0 or -1 (unknown)."""
    values = np.asarray(labels, dtype=float)
    values = np.where(np.isnan(values), -1, values)
    good = np.isin(values, (-1, 0, 1))
    if not good.all():
        raise InputError(f"a label is 1, 0 or unknown (null); entry {int(np.argmin(good)) + 1} of {len(values)} is something else. Round shares of annotators beforehand.")
    return values.astype(np.int8)


def _load(sample: _Sample, index: int, prevalence: float | None, volume: float | None) -> Load | None:
    """None where it cannot be known: without prevalence and volume, without posts labelled 1, or without posts labelled 0."""
    recall, others = Share.of(int(sample.found[index]), sample.positives), Share.of(int(sample.wrongly[index]), sample.negatives)
    if prevalence is None or volume is None or recall is None or others is None:
        return None
    hits, rest = prevalence * recall.value, (1 - prevalence) * others.value
    at_most = prevalence * recall.high + (1 - prevalence) * others.high
    return Load(volume, prevalence, volume * (hits + rest), volume * at_most, hits / (hits + rest) if hits + rest else None)


def _why_not(sample: _Sample, alpha: float, delta: float) -> tuple[str, int | None]:
    n, k = sample.n, int(sample.touched[0])
    rate = float(sample.losses[0]) / n
    least = labels_needed(alpha, delta) or 0  # never None at a rate of 0
    if n < least:
        return f"{n:,} protected posts are too few: even if none were touched, {least:,} are needed", labels_needed(alpha, delta, rate) or least
    needed = labels_needed(alpha, delta, rate)
    seen = f"even the strictest threshold ({sample.grid[0]:g}) touches {k:,} of {n:,} protected posts ({rate:.2%})"
    if needed is None:
        return f"{seen}; no number of labels would prove a share of at most {alpha:.2%}: a better classifier, or a larger share, is needed", None
    return f"{seen}: too near to {alpha:.2%} to be proved with so few", needed


def _above(hold: Promise, review: Promise, scores: npt.ArrayLike, labels: npt.ArrayLike, protected: npt.ArrayLike | None) -> Promise:
    """A hold threshold is never below the review threshold, nor below `HOLD_FLOOR`; a stricter one keeps the promise, since it touches fewer."""
    if hold.threshold is None:
        return hold
    if review.threshold is None:
        return replace(hold, threshold=None, recall=None, load=None, reason="there is no review threshold for it to stand above: " + (review.reason or ""), needed=review.needed)
    least = max(review.threshold, HOLD_FLOOR)
    if hold.threshold >= least:
        return hold
    sample = _Sample.of(scores, labels, protected, None, None, np.asarray([least]))
    load = _load(sample, 0, hold.load.prevalence, hold.load.volume) if hold.load else None
    return replace(hold, threshold=least, touched=Share.of(int(sample.touched[0]), sample.n), recall=Share.of(int(sample.found[0]), sample.positives), load=load)


def _check_hold(alpha: float, alpha_hold: float | None) -> None:
    if alpha_hold is not None and alpha_hold > alpha:
        raise InputError(f"a hold weighs more than a review: its share of protected posts ({alpha_hold:g}) may not be above that of review ({alpha:g})")


# --- labelled scores from a file -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scored:
    """Labelled scores of many posts; no text."""

    languages: npt.NDArray[np.str_]  # (n_posts,)
    categories: tuple[Category, ...]
    scores: Numbers  # (n_posts, n_categories), in [0, 1]; NaN where there is none
    labels: npt.NDArray[np.int8]  # (n_posts, n_categories): 1, 0, -1 unknown
    raised: tuple[frozenset[str], ...] | None = None
    """For each post the categories in which a finding raises that no excuse covers; None: the file does not say."""
    protected: Mask | None = None
    """A mask of the file's own; None: protected is what is labelled 0."""
    time: npt.NDArray[np.float64] | None = None
    """Seconds, or any number that grows with time; None: the file does not say."""
    source: str = ""
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.languages)

    def take(self, rows: npt.NDArray[Any]) -> Scored:
        """These rows only (indices or a mask)."""
        index = np.arange(len(self))[rows]
        return replace(
            self,
            languages=self.languages[index],
            scores=self.scores[index],
            labels=self.labels[index],
            raised=tuple(self.raised[i] for i in index) if self.raised is not None else None,
            protected=self.protected[index] if self.protected is not None else None,
            time=self.time[index] if self.time is not None else None,
        )

    def anyway(self, findings: Iterable[str]) -> Mask:
        """Posts that rules send to review, whatever their scores."""
        wanted = {str(f) for f in findings}
        return np.array([bool(wanted & r) for r in self.raised], dtype=bool) if self.raised is not None and wanted else np.zeros(len(self), dtype=bool)


def read_scored(path: Path | str, labels: Path | str | None = None, *, need_labels: bool = True) -> Scored:
    """Labelled scores from .parquet, .jsonl, .csv or .tsv.

    Columns: `language`; per category a score `score_hate` (or `hate_score`, or `hate` when the labels have other names or another file) and a label `label_hate` (or
    `hate`) that is 1, 0 or null; if wanted `protected` (true, false), `time` (a number, or an ISO date), `raised` (categories of findings, a list or divided by ;) and
    `cluster` (of several rows of one cluster, as copies of one message, one is kept). What `assess -o FILE` writes is understood too: name the file with the labels
    beside it, and the rows are joined by `id`.

    Args:
        path: the file with scores.
        labels: a file with `id` and labels, when they are not in the first one.
        need_labels: False reads a stream without labels, for `Drift`.

    Raises:
        InputError: when a file is missing or damaged, a column is not there, or a value cannot be (by row number).
    """
    path = Path(path)
    table = _assessed(_columns(path))
    beside = {} if labels is None else _columns(Path(labels))
    if "language" not in table:
        raise InputError(f"{path}: there is no column 'language'. The columns are: {', '.join(table) or 'none'}.")
    if "error" in table:  # rows that `assess` could not read have neither scores nor language
        keep = [i for i, error in enumerate(table["error"]) if error in (None, "")]
        table = {name: [values[i] for i in keep] for name, values in table.items()}
    if labels is not None:
        table = _join(table, beside, path, Path(labels))
    found: list[tuple[Category, str, str | None]] = []
    for category in SCORED:
        name = category.value
        label = next((c for c in (f"label_{name}", f"{name}_label") if c in table), None)
        score = next((c for c in (f"score_{name}", f"{name}_score") if c in table), None)
        if score is None and name in table and (label or not need_labels):
            score = name
        elif score and label is None and name in table:
            label = name
        if score and (label or not need_labels):
            found.append((category, score, label))
    if not found:
        lacks = "both a score and a label. Columns such as score_hate and label_hate (or hate)" if need_labels else "a score. Columns such as score_hate"
        raise InputError(f"{path}: no category has {lacks} are expected; there are: {', '.join(table)}.")
    n = len(table["language"])
    scores = np.column_stack([_score_column(path, column, table[column]) for _, column, _ in found]) if n else np.zeros((0, len(found)))
    truth = np.column_stack([_label_column(path, c, table[c]) if c else np.full(n, -1, dtype=np.int8) for _, _, c in found]) if n else np.zeros((0, len(found)), dtype=np.int8)
    raised = tuple(_raised(v) for v in table["raised"]) if "raised" in table else None
    protected = np.array([_truth(path, "protected", i, v) == 1 for i, v in enumerate(table["protected"])], dtype=bool) if "protected" in table else None
    time = np.array([_instant(path, i, v) for i, v in enumerate(table["time"])]) if "time" in table else None
    languages = np.array([str(v) if v else "und" for v in table["language"]], dtype=np.str_)
    scored = Scored(languages, tuple(c for c, _, _ in found), scores, truth, raised, protected, time, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    return scored.take(_one_of_each(table["cluster"])) if "cluster" in table else scored


def _columns(path: Path) -> dict[str, list[Any]]:
    import pyarrow as pa

    kind = path.suffix.lower()
    if kind not in (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv"):
        raise InputError(f"{path}: scores and labels are read from .parquet, .jsonl, .csv or .tsv; this ends in '{kind or path.name}'")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        if kind == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(path)
        elif kind in (".csv", ".tsv"):
            from pyarrow import csv

            parse = csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",", newlines_in_values=True)
            one_by_one = csv.ReadOptions(use_threads=False)  # only then its errors know the row
            table = csv.read_csv(path, read_options=one_by_one, parse_options=parse, convert_options=csv.ConvertOptions(column_types={"id": pa.string(), "language": pa.string()}))
        else:
            from pyarrow import json as arrow_json

            table = arrow_json.read_json(path, parse_options=arrow_json.ParseOptions(newlines_in_values=False))
    except pa.ArrowInvalid as error:  # its message may quote a row: only the number and the name of the column are passed on
        row, column = re.search(r"[Rr]ow #?(\d+)", str(error)), re.search(r"Column\(/([^)]*)\) changed from (\w+) to (\w+)", str(error))
        what = f": '{column[1]}' is a {column[2]} before and a {column[3]} there" if column else ""
        raise InputError(f"{path}: not readable as {kind}" + (f", at or near row {row[1]}" if row else "") + what) from None
    columns: dict[str, list[Any]] = {name: table[name].to_pylist() for name in table.column_names if name not in ("text", "texts")}
    return columns


def _assessed(table: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Nested columns, as `assess` writes them, as flat ones."""
    out = dict(table)
    if any(isinstance(v, dict) for v in out.get("language", ())):
        out["language"] = [v.get("code") if v else None for v in out["language"]]
    if "scores" in out:
        for category in SCORED:
            values = [(v or {}).get(category.value) for v in out["scores"]]
            if any(v is not None for v in values):
                out[f"score_{category.value}"] = values
    if "findings" in out and "raised" not in out:
        lists = [(json.loads(v) if isinstance(v, str) else v) or [] for v in out["findings"]]
        out["raised"] = [[f["category"] for f in v if f["effect"] == "raise" and not f.get("excused_by")] for v in lists]
    return out


def _join(table: dict[str, list[Any]], beside: dict[str, list[Any]], path: Path, labels: Path) -> dict[str, list[Any]]:
    for file, columns in ((path, table), (labels, beside)):
        if "id" not in columns:
            raise InputError(f"{file}: there is no column 'id' to join scores and labels by. The columns are: {', '.join(columns) or 'none'}.")
    ids = [str(v) for v in beside["id"]]
    row = {v: i for i, v in enumerate(ids)}
    if len(row) != len(ids):
        twice = next(i for i, v in enumerate(ids) if row[v] != i)
        raise InputError(f"{labels}: the id of row {twice + 1} stands there twice. An id names one row.")
    at = [row.get(str(v)) for v in table["id"]]
    if all(i is None for i in at):
        raise InputError(f"{labels}: none of its ids is in {path}. Assess the file that holds the labels, with --id-column.")
    known = [i for i, j in enumerate(at) if j is not None]
    out = {name: [values[i] for i in known] for name, values in table.items()}
    for category in SCORED:
        name = category.value
        if f"score_{name}" not in out and name in out:
            out[f"score_{name}"] = out[name]
        out.pop(name, None)
        column = next((c for c in (f"label_{name}", f"{name}_label", name) if c in beside), None)
        if column:
            out[f"label_{name}"] = [beside[column][j] for j in at if j is not None]
    for name in ("protected", "time", "cluster"):
        if name in beside:
            out[name] = [beside[name][j] for j in at if j is not None]
    return out


def _score_column(path: Path, name: str, values: list[Any]) -> Numbers:
    out = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        if isinstance(value, (bool, str)) or not 0 <= value <= 1:
            raise InputError(f"{path}, row {i + 1}: '{name}' must be a number from 0 to 1, or null")
        out[i] = value
    return out


def _label_column(path: Path, name: str, values: list[Any]) -> npt.NDArray[np.int8]:
    return np.array([_truth(path, name, i, value) for i, value in enumerate(values)], dtype=np.int8)


def _truth(path: Path, name: str, i: int, value: Any) -> int:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return -1
    if value in (0, 1, -1):
        return int(value)
    raise InputError(f"{path}, row {i + 1}: '{name}' must be 1, 0 or null. Shares of annotators are rounded beforehand, and rows that nobody can tell left null.")


def _instant(path: Path, i: int, value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, dt.datetime):
        return (value if value.tzinfo else value.replace(tzinfo=dt.timezone.utc)).timestamp()
    if isinstance(value, dt.date):
        return float(value.toordinal() * 86_400)
    raise InputError(f"{path}, row {i + 1}: 'time' must be a number or an ISO date such as 2025-03-27T10:00:00")


def _raised(value: Any) -> frozenset[str]:
    parts = value.split(";") if isinstance(value, str) else value or ()
    return frozenset(str(p).strip() for p in parts if str(p).strip())


def _one_of_each(clusters: list[Any]) -> npt.NDArray[np.int64]:
    """One row of each cluster, chosen by a hash that knows nothing of scores; rows without a cluster all stay."""
    chosen: dict[str, tuple[bytes, int]] = {}
    alone = []
    for i, value in enumerate(clusters):
        if value is None or value == "":
            alone.append(i)
            continue
        rank = (hashlib.blake2b(f"{value}\0{i}".encode(), digest_size=8).digest(), i)
        chosen[str(value)] = min(rank, chosen.get(str(value), rank))
    return np.array(sorted(alone + [i for _, i in chosen.values()]), dtype=np.int64)


# --- many: categories and languages ---------------------------------------------------------------------------------------------------------------


def pool(languages: npt.ArrayLike, enough: Mapping[str, int] | None = None, *, at_least: int = 0, mapping: Mapping[str, str] | None = None) -> npt.NDArray[np.str_]:
    """The group of each post: its language's in the mapping, else the language itself, or `other` when it has fewer than `at_least` posts.

    Args:
        languages: one a post.
        enough: posts that count, by language; all when None.
        at_least: from how many posts a language stands alone.
        mapping: language -> group, as in {"ary": "maghreb", "arq": "maghreb"}.
    """
    codes = np.asarray(languages, dtype=np.str_)
    names, counts = np.unique(codes, return_counts=True)
    have = dict(zip(names.tolist(), counts.tolist(), strict=True)) if enough is None else enough
    group = {c: (mapping or {}).get(c) or (c if have.get(c, 0) >= at_least else OTHER) for c in names.tolist()}
    return np.array([group[c] for c in codes.tolist()], dtype=np.str_)


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that was chosen on one file of labelled scores, and what it rests on."""

    fits: tuple[Fit, ...]
    members: Mapping[str, tuple[str, ...]]
    """Group -> its languages."""
    categories: tuple[Category, ...]
    alpha: float | None
    """None when the capacity of the readers decided."""
    alpha_hold: float | None
    delta: float
    multiplicity: str
    tests: int
    """Promises that share delta."""
    together: bool
    review_findings: tuple[str, ...]
    warnings: tuple[str, ...]
    reference: Drift
    trade_offs: tuple[dict[str, Any], ...]
    settings: Mapping[str, Any]

    @property
    def promised(self) -> bool:
        """True when at least one threshold stands."""
        return any(f.review.threshold is not None for f in self.fits)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form: the evidence that a policy names."""
        return {
            "what": self.words(),
            "method": "fixed-sequence testing from strict to loose, exact binomial p-values (learn then test)",
            "alpha": self.alpha,
            "alpha_hold": self.alpha_hold,
            "confidence": round(1 - self.delta, 9),
            "multiplicity": self.multiplicity,
            "promises_that_share_delta": self.tests,
            "categories_together": self.together,
            "assumptions": list(ASSUMPTIONS),
            "warnings": list(self.warnings),
            **self.settings,
            "review_findings": list(self.review_findings),
            "groups": {g: list(m) for g, m in self.members.items()},
            "fits": [f.to_dict() for f in self.fits],
            "trade_off": list(self.trade_offs),
            "reference": self.reference.to_dict(),
        }

    def words(self) -> str:
        """The promise, in words that a lawyer can quote."""
        scope = "all of these promises hold together" if self.multiplicity == "bonferroni" else "each of these promises, taken alone, holds"
        what = "for all categories together" if self.together else "for each category"
        said = f"With confidence {_percent(1 - self.delta)} {scope}: in each language or group of languages named, {what}, "
        if self.alpha is None:
            said += "no more posts a day are expected to reach review than people can read"
        else:
            said += f"at most {_percent(self.alpha)} of protected posts reach the review threshold"
            said += " or are sent by a rule" if self.review_findings and self.settings.get("rules_counted") else ""
        if self.alpha_hold is not None:
            said += f", and at most {_percent(self.alpha_hold)} of them reach the hold threshold"
        return said + "."

    def cuts(self) -> dict[str, dict[Category, tuple[float | None, float | None]]]:
        """Language -> category -> (review, hold); None is never."""
        out: dict[str, dict[Category, tuple[float | None, float | None]]] = {}
        for one in self.fits:
            cut = (one.review.threshold, one.hold.threshold if one.hold else None)
            for language in self.members[one.group]:
                for category in self.categories if one.category is None else (one.category,):
                    hold = None if category in REVIEW_AT_MOST or language == "und" or cut[0] is None else cut[1]
                    out.setdefault(language, {})[category] = (cut[0], hold)
        return out

    def to_policy(self, name: str, *, evidence: str | None = None, version: str = "1", hold_hours: float = 24) -> dict[str, Any]:
        """A policy that `load_policy` takes: these thresholds and nothing for languages without a promise; with examples at each first threshold."""
        cuts = self.cuts()
        plain = {lang: {c.value: {"review": r, "hold": h} for c, (r, h) in by.items()} for lang, by in sorted(cuts.items())}
        # a language that nobody measured has no promise, so no score asks for anything there; rules still do
        default = {c.value: {"review": None, "hold": None} for c in SCORED}
        return {
            "name": name,
            "version": version,
            "about": self.words() + " For languages that are not named here nothing is promised, and scores ask for nothing; rules still do.",
            "evidence": evidence,
            "hold_hours": hold_hours,
            "default": default,
            "languages": plain,
            "review_findings": list(self.review_findings),
            "examples": list(_examples(cuts, self.review_findings)),
        }

    def write(self, path: Path | str, name: str | None = None, *, version: str = "1", hold_hours: float = 24) -> tuple[Path, Path]:
        """The policy as YAML, and its evidence as JSON beside it; each appears whole or not at all.

        Raises:
            InputError: when no threshold stands (there is nothing to write), the name is none, or the directory is missing.
        """
        import yaml

        target = Path(path)
        if not self.promised:
            raise InputError(f"{target}: nothing is written, since no threshold can be promised. " + " ".join(sorted({f"{_where(f)}: {f.review.reason}." for f in self.fits})))
        if not target.parent.is_dir():
            raise InputError(f"{target.parent}: no such directory")
        beside = target.with_name(f"{target.stem}.evidence.json")
        policy = self.to_policy(policy_name(target, name), evidence=beside.name, version=version, hold_hours=hold_hours)
        head = "# Thresholds chosen by `ipu-moderation policy fit`. What was promised, on which labels, and what it assumes: see the evidence file.\n"
        _replace(beside, json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")
        _replace(target, head + yaml.safe_dump(policy, sort_keys=False, allow_unicode=True, width=170, default_flow_style=None))
        return target, beside


def policy_name(path: Path, name: str | None = None) -> str:
    """The name of a policy in a file: as given, else that of the file.

    Raises:
        InputError: when a policy cannot have that name.
    """
    chosen = name or path.stem
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", chosen):
        raise InputError(f"{path}: the name of a policy has small letters a-z, digits and hyphens only, not '{chosen}'. Say it with --name.")
    return chosen


ASSUMPTIONS = (
    "The labelled protected posts are exchangeable with the protected posts to come: drawn at random from the same stream, in the same languages, from the same kind of "
    "speakers, and scored by the same version of the classifier. Posts that were searched for by keyword, or chosen because of their score, are not.",
    "The labels are right. A protected post that was labelled 1 is missing from the test, and no statistics finds it: beside each alpha stands what it becomes if one "
    "in a hundred is.",
    "The posts are independent: copies of one message, or many posts of one author, are less evidence than their number says.",
    "The promise is about the share in the long run, over many posts; the share of one day or of one small group may be larger.",
    "A promise for a group of languages is about the group as it was mixed in the labels, and not about each language in it; one for a language says nothing about "
    "the same language in another script.",
)


def fit_all(
    scored: Scored,
    *,
    alpha: float | None = None,
    delta: float = 0.05,
    alpha_hold: float | None = None,
    categories: Sequence[Category] | None = None,
    multiplicity: Literal["bonferroni", "each"] = "bonferroni",
    together: bool = False,
    mapping: Mapping[str, str] | None = None,
    at_least: int | None = None,
    review_findings: Sequence[str] = (),
    prevalence: float | None = None,
    volume: float | None = None,
    capacity: float | None = None,
    mix: Mapping[str, float] | None = None,
    grid: Numbers = GRID,
) -> Calibration:
    """Thresholds for every category in every language or group of languages, with promises that hold together.

    Args:
        scored: labelled scores.
        alpha: the largest share of protected posts that may be sent to review; None when `capacity` decides.
        delta: the risk that any promise fails (`bonferroni`), or that each one does (`each`).
        alpha_hold: the largest share that may reach a hold threshold; None: the policy never holds.
        categories: which ones; all that the file has when None.
        multiplicity: `bonferroni` divides delta by the number of promises that the labels could at all carry; `each` does not, and says so.
        together: one threshold for all categories, on the highest score; protected is then what is labelled 0 in all of them.
        mapping: language -> group. Languages that are not in it stand alone, or go to `other` when they have fewer than `at_least` protected posts.
        at_least: None: as many as a promise needs if none is touched, before delta is divided.
        review_findings: categories of findings that send a post to review by themselves, as in the policy: such posts count when the file has `raised`.
        prevalence: share of the stream that is what is looked for.
        volume: posts a day, all languages.
        capacity: posts that people can read in a day, all languages and categories; divided by `mix`, and equally by category.
        mix: share of the stream by group of languages; the file's own when None.
        grid: thresholds from strictest to loosest, fixed without looking at the data.

    Raises:
        InputError: when a setting or the data is not what it should be.
    """
    wanted = _wanted(scored, categories)
    if (alpha is None) == (capacity is None):
        raise InputError("say either alpha (the largest share of protected posts that may be sent to review) or capacity (posts that people can read in a day)")
    if capacity is not None and (volume is None or prevalence is None):
        raise InputError("by capacity, the volume (posts a day) and the prevalence are needed too")
    if capacity is not None and alpha_hold is not None:
        _check_levels(alpha_hold, delta)
    if alpha is not None:
        _check_levels(alpha, delta)
        _check_hold(alpha, alpha_hold)
    if multiplicity not in ("bonferroni", "each"):
        raise InputError(f"multiplicity is bonferroni or each, not '{multiplicity}'")
    if prevalence is not None and not 0 < prevalence < 1:
        raise InputError(f"prevalence is a share above 0 and below 1, for example 0.015; not {prevalence:g}")
    columns = [scored.categories.index(c) for c in wanted]
    labels = scored.labels[:, columns]
    clean = np.asarray((labels == 0).any(axis=1))
    tally = {str(c): int(np.sum(clean & (scored.languages == c))) for c in np.unique(scored.languages)}
    least = (labels_needed(alpha, delta) or 1) if at_least is None and alpha is not None else at_least or 1
    groups = pool(scored.languages, tally, at_least=least, mapping=mapping)
    members = {g: tuple(sorted({str(c) for c in scored.languages[groups == g]})) for g in sorted({str(g) for g in groups})}
    anyway = scored.anyway(review_findings)
    cells = [_Cell.of(scored, groups == g, c, wanted, g, anyway) for g in members for c in ((None,) if together else wanted)]
    tests = _tests(cells, alpha, alpha_hold, delta) if multiplicity == "bonferroni" else 1
    level = delta / tests
    shares = {g: float(np.mean(groups == g)) for g in members} if mix is None else {g: mix.get(g, 0.0) for g in members}
    fits, trade = [], []
    for cell in cells:
        part = volume * shares[cell.group] if volume is not None else None
        if capacity is None and alpha is not None:
            review = choose(cell.scores, cell.labels, cell.protected, alpha=alpha, delta=level, anyway=cell.anyway, grid=grid, prevalence=prevalence, volume=part)
        elif capacity is not None and part and prevalence is not None:
            own = capacity * shares[cell.group] / (1 if together else len(wanted))
            review = choose_by_capacity(cell.scores, cell.labels, capacity=own, volume=part, prevalence=prevalence, delta=level, anyway=cell.anyway, grid=grid)
        else:
            review = Promise(Action.REVIEW, None, 0.0, level, cell.n, None, None, None, reason="the mix of languages gives it no share of the stream")
        hold = None
        if alpha_hold is not None and cell.category not in REVIEW_AT_MOST:
            hold = choose(cell.hold_scores, cell.labels, cell.protected, alpha=alpha_hold, delta=level, action=Action.HOLD, grid=grid, prevalence=prevalence, volume=part)
            hold = _above(hold, review, cell.hold_scores, cell.labels, cell.protected)
        fits.append(Fit(cell.category, cell.group, review, hold))
        if prevalence is not None and part is not None:
            at = trade_off(cell.scores, cell.labels, cell.protected, prevalence=prevalence, volume=part)
            trade.append({"category": cell.category.value if cell.category else "any", "group": cell.group, "at": at})
    settings = {
        "source": {"file": scored.source, "sha256": scored.sha256, "posts": len(scored)},
        "prevalence": prevalence,
        "volume_per_day": volume,
        "capacity_per_day": capacity,
        "mix": {g: round(s, 6) for g, s in shares.items()},
        "rules_counted": scored.raised is not None and bool(review_findings),
        "protected": "a mask of the file" if scored.protected is not None else ("labelled 0 in all categories" if together else "labelled 0 in the category"),
    }
    return Calibration(
        fits=tuple(fits),
        members=members,
        categories=wanted,
        alpha=alpha,
        alpha_hold=alpha_hold,
        delta=delta,
        multiplicity=multiplicity,
        tests=tests,
        together=together,
        review_findings=tuple(str(f) for f in review_findings),
        warnings=tuple(_doubts(scored, cells, fits, mapping or {}, review_findings, capacity is not None and mix is None)),
        reference=Drift.of(scored, wanted),
        trade_offs=tuple(trade),
        settings=settings,
    )


def _tests(cells: Sequence[_Cell], alpha: float | None, alpha_hold: float | None, delta: float) -> int:
    """Promises that share delta. A test that cannot pass whatever the scores say is none: which ones those are depends on the number of labels alone."""
    count = 0
    for cell in cells:
        count += cell.n >= (labels_needed(alpha, delta) or 1) if alpha is not None else cell.n > 0
        count += alpha_hold is not None and cell.category not in REVIEW_AT_MOST and cell.n >= (labels_needed(alpha_hold, delta) or 1)
    return max(count, 1)


def _wanted(scored: Scored, categories: Sequence[Category] | None) -> tuple[Category, ...]:
    have = [c for i, c in enumerate(scored.categories) if np.any(scored.labels[:, i] >= 0)]
    wanted = tuple(categories) if categories else tuple(have)
    missing = [c.value for c in wanted if c not in have]
    if missing or not wanted:
        both = ", ".join(c.value for c in have) or "none"
        raise InputError(f"{scored.source or 'the data'}: no labels with scores for {', '.join(missing) or 'any category'}. Categories that have both: {both}.")
    return wanted


@dataclass(frozen=True, slots=True)
class _Cell:
    """The posts that one test is about."""

    category: Category | None
    group: str
    scores: Numbers
    hold_scores: Numbers  # the highest score among the categories that may be held; the same as `scores` for a single category
    labels: npt.NDArray[np.int8]
    protected: Mask
    anyway: Mask
    languages: npt.NDArray[np.str_]
    time: npt.NDArray[np.float64] | None

    @property
    def n(self) -> int:
        return int(self.protected.sum())

    @classmethod
    def of(cls, scored: Scored, rows: Mask, category: Category | None, wanted: tuple[Category, ...], group: str, anyway: Mask) -> _Cell:
        columns = [scored.categories.index(c) for c in (wanted if category is None else (category,))]
        keep = rows & ~np.isnan(scored.scores[:, columns]).any(axis=1)
        scores, labels = scored.scores[keep][:, columns], scored.labels[keep][:, columns]
        holding = [i for i, c in enumerate(wanted if category is None else (category,)) if c not in REVIEW_AT_MOST] or list(range(len(columns)))
        truth = np.where((labels == 1).any(axis=1), 1, np.where((labels == 0).all(axis=1), 0, -1)).astype(np.int8)
        protected = truth == 0 if scored.protected is None else scored.protected[keep]
        return cls(
            category, group, scores.max(axis=1, initial=0.0), scores[:, holding].max(axis=1, initial=0.0), truth, protected, anyway[keep], scored.languages[keep],
            scored.time[keep] if scored.time is not None else None,
        )  # fmt: skip


def _where(one: Fit) -> str:
    return f"{one.category.value if one.category else 'any'} in {one.group}"


def _doubts(scored: Scored, cells: Sequence[_Cell], fits: Sequence[Fit], mapping: Mapping[str, str], findings: Sequence[str], mix_is_files: bool) -> Iterable[str]:
    """What speaks against the assumptions, as far as the data shows it."""
    rates = {_where(one): float(np.mean(cell.labels[cell.labels >= 0] == 1)) for cell, one in zip(cells, fits, strict=True) if np.any(cell.labels >= 0)}
    rich = [f"{where} ({rate:.0%})" for where, rate in rates.items() if rate > ENRICHED]
    if rich:
        yield (
            f"far more posts are labelled 1 than an open stream holds (1-2%), so they were not drawn from one at random: {', '.join(rich)}. The promise holds for protected "
            "posts like those in the file; if they were searched for, or are harder than usual ones, the stream's are others."
        )
    for cell, one in zip(cells, fits, strict=True):
        if one.review.threshold is not None and len(set(cell.languages.tolist())) > 1:
            yield from _members_over(cell, one)
        if cell.time is not None and cell.n >= 100:
            order = np.argsort(cell.time[cell.protected], kind="stable")
            if Martingale(0.01 / len(cells)).run(cell.scores[cell.protected][order]).changed:
                yield f"{_where(one)}: the scores of protected posts changed while the labels were gathered (exchangeability test over time): use the later labels only."
    for language in sorted({str(c) for c in scored.languages}):
        rows = scored.scores[scored.languages == language]
        if len(rows) >= 50:
            _, counts = np.unique(np.nan_to_num(rows, nan=-1.0), axis=0, return_counts=True)
            share = float(np.sum(counts[counts > 1])) / len(rows)
            if share > COPIES:
                yield f"{language}: {share:.0%} of the posts have the same scores as another one. If they are copies of one message, give each message a `cluster`."
    small = sorted({c for cell in cells if cell.group == OTHER for c in set(cell.languages.tolist()) if c not in mapping})
    if small:
        yield f"{', '.join(small)}: too few labels to stand alone, pooled as '{OTHER}'. The promise is about the pool, and not about each of these languages."
    if findings and scored.raised is None:
        yield "rules that send posts to review are not counted, since the file does not say which of them found something (column `raised`): the promise is about scores only."
    if mix_is_files:
        yield "the reviewers' day was divided among languages as they are mixed in the file, which need not be the mix of the stream: say it with `mix`."


def _members_over(cell: _Cell, one: Fit) -> Iterable[str]:
    """Languages of a group in which alone the promise is surely broken."""
    for language in sorted(set(cell.languages.tolist())):
        mine = cell.protected & (cell.languages == language)
        n, k = int(mine.sum()), int(np.sum((cell.scores[mine] >= (one.review.threshold or 1)) | cell.anyway[mine]))
        if n and lower_bound(k, n, 0.05) > one.review.alpha:
            seen = f"{k} of {n} protected posts touched, {k / n:.1%}"
            yield f"{_where(one)}: the group keeps the promise, but {language} alone does not ({seen}). Give it labels and thresholds of its own."


def _examples(cuts: Mapping[str, Mapping[Category, tuple[float | None, float | None]]], findings: Sequence[str]) -> Iterable[dict[str, Any]]:
    yield {"about": "nothing seen", "scores": {c.value: 0.0 for c in SCORED}, "expect": "allow"}
    if "und" not in cuts:
        yield {"about": "a language without a promise", "scores": {c.value: 0.9999 for c in SCORED}, "language": "und", "expect": "allow"}
    for language, by in sorted(cuts.items()):
        for category, (review, hold) in by.items():
            if review is None:
                continue
            at: dict[str, Any] = {"scores": {category.value: review}, "language": language}
            yield {"about": f"{category.value} just at its threshold for review", **at, "expect": "review"}
            yield {"about": f"{category.value} just below it", "scores": {category.value: round(review - 0.0001, 4)}, "language": language, "expect": "allow"}
            if hold is not None:
                both: dict[str, Any] = {"scores": {category.value: hold}, "findings": [category.value], "language": language}
                yield {"about": "a high score alone is one kind of evidence", "scores": {category.value: 0.9999}, "language": language, "expect": "review"}
                yield {"about": "both kinds", **both, "expect": "hold"}
                yield {"about": "both kinds, but the text was cut", **both, "truncated": True, "expect": "review"}
            break  # one category a language is enough to show where its thresholds stand
    if findings:
        yield {"about": "a rule alone", "findings": [str(findings[0])], "expect": "review"}


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def _replace(target: Path, content: str) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_text(content, encoding="utf-8")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


# --- is the stream still what the labels were drawn from? -------------------------------------------------------------------------------------------

#: Bins in which reference scores are kept: equal steps of log odds, since most scores lie near 0. Fixed, so that scores binned alike stay exchangeable.
EDGES: Numbers = np.round(1 / (1 + np.exp(-np.arange(-9, 9.25, 0.25))), 6)


def kolmogorov_smirnov(a: npt.ArrayLike, b: npt.ArrayLike, slack: float = 0.0) -> tuple[float, float]:
    """The largest distance D of two empirical distributions, and an asymptotic p-value of "the true distance is at most `slack`"; ties make it cautious.

    Source: Smirnov 1948; Stephens 1970 (the correction for small samples).
    """
    x, y = np.sort(np.asarray(a, dtype=float)), np.sort(np.asarray(b, dtype=float))
    if not len(x) or not len(y):
        return 0.0, 1.0
    points = np.concatenate((x, y))
    d = float(np.max(np.abs(np.searchsorted(x, points, side="right") / len(x) - np.searchsorted(y, points, side="right") / len(y))))
    root = math.sqrt(len(x) * len(y) / (len(x) + len(y)))
    z = (root + 0.12 + 0.11 / root) * max(0.0, d - slack)
    if z < 0.2:  # the series converges badly there, and the value is 1 to many digits
        return d, 1.0
    j = np.arange(1, 101)
    return d, float(np.clip(2 * np.sum((-1.0) ** (j - 1) * np.exp(-2 * (j * z) ** 2)), 0, 1))


def g_test(a: npt.ArrayLike, b: npt.ArrayLike, *, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """G of two rows of counts over the same classes, and its p-value by permutation (no assumption about small counts; at least 1 / (draws + 1)).

    Source: Wilks 1935 (G); Phipson and Smyth 2010 (permutation p-values are never 0).
    """
    first, second = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    both = first + second
    first, second, both = first[both > 0], second[both > 0], both[both > 0]
    if not first.sum() or not second.sum() or len(both) < 2:
        return 0.0, 1.0
    g = float(_g(first[None, :], both)[0])
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(both, int(first.sum()), size=draws, method="marginals")
    return g, (1 + int(np.sum(_g(drawn, both) >= g - 1e-9))) / (draws + 1)


def _g(first: Counts, both: Counts) -> Numbers:
    """G for each row of `first`, against `both - first`."""
    n, total = int(first[0].sum()), int(both.sum())
    out: Numbers = np.zeros(len(first))
    for counts, part in ((first, n / total), (both - first, 1 - n / total)):
        expected = both * part
        out += 2 * np.sum(np.where(counts > 0, counts * np.log(np.maximum(counts, 1) / expected), 0.0), axis=1)
    return out


@dataclass(frozen=True, slots=True)
class Change:
    """One test of one thing that may have changed."""

    what: str
    language: str | None
    category: Category | None
    statistic: float
    p_value: float
    n: int
    """Posts of the stream that it saw."""
    changed: bool
    words: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        category = self.category.value if self.category else None
        out = {"what": self.what, "language": self.language, "category": category, "statistic": self.statistic, "p_value": self.p_value, "posts": self.n}
        return {**out, "changed": self.changed, "words": self.words}


class Martingale:
    """A bet against exchangeability, post after post: it needs no labels, no reference and no batch size.

    Each score gets a conformal p-value among all before it; under exchangeability these are independent and uniform, and nobody can win against them: the chance
    that the capital ever reaches 1 / level is at most `level` (Ville 1939). The capital is spread over power bets on high and on low scores.

    Source: Vovk, Nouretdinov, Gammerman, "Testing exchangeability on-line", ICML 2003.
    """

    def __init__(self, level: float = 0.01, seed: int = 0) -> None:
        """Begin with capital 1; an alarm at 1 / level.

        Raises:
            ValueError: when `level` does not lie between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level is the chance of a false alarm, ever: above 0 and below 1, not {level}")
        self.level = level
        self.alarm_at: int | None = None
        """Posts seen when the alarm was raised."""
        self._seen: list[float] = []
        self._random = np.random.default_rng(seed)
        exponents = np.arange(1, 20) / 20
        # a finite mixture of martingales is one; p and 1 - p bet on high and on low scores
        self._log = np.full((2, len(exponents)), -math.log(2 * len(exponents)))
        self._gain, self._slope = np.log(exponents), exponents - 1
        self._highest = 0.0

    def update(self, score: float) -> float:
        """Take one more score; the natural logarithm of the capital."""
        return float(self._bet(np.array([self._conformal_p(score)]))[-1])

    def run(self, scores: Iterable[float]) -> Martingale:
        """Take many scores, in the order of time."""
        scores = iter(scores)
        while p := [self._conformal_p(float(score)) for score in islice(scores, 4096)]:
            self._bet(np.array(p))
        return self

    def _bet(self, p: Numbers) -> Numbers:
        """The logarithm of the capital after each of these p-values, the last ones that were seen."""
        logs = np.stack((np.log(p), np.log1p(-p)), axis=1)  # (n, 2): bets on high and on low scores
        capital = self._log + np.cumsum(self._gain + logs[:, :, None] * self._slope, axis=0)  # (n, 2, n_exponents)
        self._log = capital[-1]
        most = capital.max(axis=(1, 2))
        total: Numbers = most + np.log(np.exp(capital - most[:, None, None]).sum(axis=(1, 2)))
        self._highest = max(self._highest, float(total.max()))
        if self.alarm_at is None and self._highest >= -math.log(self.level):
            self.alarm_at = len(self._seen) - len(p) + 1 + int(np.argmax(total >= -math.log(self.level)))
        return total

    def _conformal_p(self, score: float) -> float:
        """The share of all scores so far that are higher; ties, the score itself among them, are broken at random: it is then exactly uniform."""
        below, not_above = bisect_left(self._seen, score), bisect_right(self._seen, score)
        insort(self._seen, score)
        p = (len(self._seen) - 1 - not_above + self._random.random() * (not_above - below + 1)) / len(self._seen)
        return min(max(p, 1e-12), 1 - 1e-12)

    @property
    def changed(self) -> bool:
        """True once the alarm was raised; it stays."""
        return self.alarm_at is not None

    @property
    def highest(self) -> float:
        """The natural logarithm of the highest capital so far."""
        return self._highest

    @property
    def p_value(self) -> float:
        """1 / the highest capital so far: valid whenever one looks."""
        return math.exp(-self._highest)


@dataclass(frozen=True, slots=True)
class Drift:
    """What the labelled posts looked like, in counts: enough to see whether a stream still looks like them, and no text."""

    scores: Mapping[str, Mapping[Category, tuple[int, ...]]]
    """Language -> category -> protected posts in each bin of `EDGES`."""
    languages: Mapping[str, int]
    """Language -> posts."""

    @classmethod
    def of(cls, scored: Scored, categories: Sequence[Category] | None = None) -> Drift:
        """From labelled scores (those labelled 0 are the reference), or from a stream without labels (all are)."""
        wanted = tuple(categories or scored.categories)
        names = sorted({str(c) for c in scored.languages})
        out: dict[str, dict[Category, tuple[int, ...]]] = {}
        for language in names:
            rows = scored.languages == language
            for category in wanted:
                i = scored.categories.index(category)
                unlabelled = not np.any(scored.labels[:, i] >= 0)
                keep = rows & ~np.isnan(scored.scores[:, i]) & (unlabelled | (scored.labels[:, i] == 0))
                if keep.any():
                    out.setdefault(language, {})[category] = tuple(_binned(scored.scores[keep, i]).tolist())
        return cls(out, {c: int(np.sum(scored.languages == c)) for c in names})

    def check(self, stream: Scored, *, prevalence: float = 0.02, level: float = 0.01, tolerance: float = 0.05, in_order: bool = True) -> tuple[Change, ...]:
        """Compare a stream (in the order of time) with the reference; all tests share `level`.

        Args:
            stream: scores without labels.
            prevalence: the stream holds this share of what is looked for at most, and the reference none: a distance of the scores up to it is no change.
            level: the chance that any test raises a false alarm.
            tolerance: a change of the mix of languages below this (total variation) is none that matters.
            in_order: the posts are in the order of time, so that exchangeability can be tested along it; `time` is used when there is one.
        """
        pairs = [(c, k) for c, by in self.scores.items() for k in by if k in stream.categories and np.sum(stream.languages == c) >= 30]
        share = level / max(1, len(pairs) + 1 + int(in_order))
        changes = [self._scores(stream, language, category, prevalence, share) for language, category in pairs]
        changes.append(self._mix(stream, share, tolerance))
        if in_order:
            changes.append(_along(stream, share))
        return tuple(changes)

    def _scores(self, stream: Scored, language: str, category: Category, prevalence: float, level: float) -> Change:
        column = stream.scores[stream.languages == language, stream.categories.index(category)]
        column = column[~np.isnan(column)]
        new, old = _binned(column), np.array(self.scores[language][category])
        d, p = kolmogorov_smirnov(np.repeat(np.arange(len(old)), old), np.repeat(np.arange(len(new)), new), slack=prevalence)
        changed = p <= level
        words = f"scores for {category.value} in {language}: distance {d:.3f} from the labelled posts, where up to {prevalence:.3f} is expected" + (
            ". They do not look alike any more: label a fresh sample and fit again." if changed else ""
        )
        return Change("scores", language, category, d, p, len(column), changed, words)

    def _mix(self, stream: Scored, level: float, tolerance: float) -> Change:
        names = sorted({*self.languages, *(str(c) for c in stream.languages)})
        old = np.array([self.languages.get(c, 0) for c in names])
        new = np.array([int(np.sum(stream.languages == c)) for c in names])
        g, p = g_test(old, new)
        distance = float(np.abs(old / max(1, old.sum()) - new / max(1, new.sum())).sum() / 2)
        changed = p <= level and distance > tolerance
        strange = [(c, int(k)) for c, k in zip(names, new, strict=True) if k and c not in self.languages]
        words = f"mix of languages: {distance:.0%} of the stream would have to change language to be mixed as the labels are"
        if changed:
            words += ". Promises for single languages stand; those for groups of languages, and the load, do not."
        if strange:
            words += f" Without any promise: {', '.join(f'{c} ({k / max(1, len(stream)):.1%})' for c, k in sorted(strange, key=lambda s: -s[1])[:8])}."
        return Change("languages", None, None, g, p, len(stream), changed, words)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {"edges": EDGES.tolist(), "scores": {c: {k.value: list(v) for k, v in by.items()} for c, by in self.scores.items()}, "languages": dict(self.languages)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Drift:
        """The reference that `to_dict` gave.

        Raises:
            InputError: when it is none, or was binned otherwise.
        """
        try:
            if not np.allclose(data["edges"], EDGES):
                raise ValueError("other bins")
            return cls({c: {Category(k): tuple(map(int, v)) for k, v in by.items()} for c, by in data["scores"].items()}, {c: int(n) for c, n in data["languages"].items()})
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise InputError("the evidence holds no reference that this version can read; make it anew with: ipu-moderation policy fit") from error


def _binned(scores: Numbers) -> Counts:
    return np.bincount(np.searchsorted(EDGES, scores, side="right"), minlength=len(EDGES) + 1).astype(np.int64)


def _along(stream: Scored, level: float) -> Change:
    """Exchangeability along the stream, on the highest score of each post."""
    top = np.nan_to_num(stream.scores, nan=0.0).max(axis=1, initial=0.0)
    order = np.argsort(stream.time, kind="stable") if stream.time is not None else np.arange(len(stream))
    martingale = Martingale(level).run(top[order])
    if martingale.changed:
        words = f"order in time: the scores of the stream itself changed on the way (seen after {martingale.alarm_at:,} posts). Find out what happened, and label a fresh sample."
    else:
        words = "order in time: no change along the stream"
    return Change("order", None, None, martingale.highest, martingale.p_value, len(stream), martingale.changed, words)
