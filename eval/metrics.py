"""Labels, scores and answers -> figures, each with its n and an interval. What cannot be known is None, never 0.

Point values come from scikit-learn, or from four counts. Intervals (95 %):

- shares (precision, recall, rates): exact, Clopper and Pearson; where rows come from templates, with the effective number of rows (Korn and
  Graubard 1998), since rows of one template are not independent;
- everything else: percentile bootstrap, classes kept at their size (or whole templates drawn), fixed seed. Rows are put on some hundred levels of
  the score, so that a resample is one draw of counts, and 200,000 rows cost no more than 2,000.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.stats import beta, binomtest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

CONFIDENCE = 0.95
RESAMPLES = 500
PREVALENCES = (0.01, 0.02)
"""Shares of hate in an open stream of posts. Source: HateDay (ACL 2025), eight languages."""
FALSE_POSITIVE_RATES = (0.01, 0.05)
ECE_BINS = 15
BORKAN_POWER = -5
"""Source: Borkan et al., Nuanced Metrics for Measuring Unintended Bias, 2019."""
FEW = 10
"""With fewer rows of a class a figure is marked: its interval cannot be trusted."""
_LEVELS = 256


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that can be defended."""

    value: float | None
    """None: unknown; `note` says why."""
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Rows that it rests on."""
    interval: str | None = None
    """exact, clustered, bootstrap, or None when there is none."""
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, rounded to five digits; empty parts are left out."""
        out = {"value": _short(self.value), "low": _short(self.low), "high": _short(self.high), "n": self.n, "interval": self.interval, "note": self.note}
        return {k: v for k, v in out.items() if v is not None or k == "value"}


def _short(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(round(value, 5))


def unknown(note: str, n: int = 0) -> Figure:
    """A figure that the data cannot give."""
    return Figure(None, n=n, note=note)


# --- shares ------------------------------------------------------------------------------------------------------------------------------------


def clopper_pearson(k: float, n: float) -> tuple[float, float]:
    """Exact interval of a share; n may be an effective number."""
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if k <= 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k >= n else float(beta.ppf(1 - tail, k + 1, n - k))
    return low, high


def share(hits: np.ndarray, cluster: np.ndarray | None = None, *, none: str = "no rows") -> Figure:
    """The share of rows that are hits, with an exact interval.

    Args:
        hits: (n,) bool.
        cluster: (n,) ids of what rows come from (templates), or None when they are independent.
        none: why it is unknown when there are no rows.
    """
    n = len(hits)
    if not n:
        return unknown(none)
    k = int(np.count_nonzero(hits))
    p = k / n
    if cluster is None:
        return Figure(p, *clopper_pearson(k, n), n, "exact", "few rows" if n < FEW else None)
    effective = _effective(hits, cluster)
    return Figure(p, *clopper_pearson(p * effective, effective), n, "clustered", "few templates" if len(np.unique(cluster)) < FEW else None)


def _effective(hits: np.ndarray, cluster: np.ndarray) -> float:
    """How many independent rows these are worth. Source: Korn and Graubard 1998. All hits or none: as many as there are clusters."""
    _, which = np.unique(cluster, return_inverse=True)
    sizes, sums = np.bincount(which), np.bincount(which, weights=hits)
    n, clusters, p = len(hits), len(sizes), hits.mean()
    if clusters < 2 or p in (0.0, 1.0):
        return float(clusters)
    variance = clusters / (clusters - 1) * np.sum((sums - p * sizes) ** 2) / n**2
    return float(min(n, max(1.0, p * (1 - p) / variance))) if variance > 0 else float(n)


# --- resamples ---------------------------------------------------------------------------------------------------------------------------------


def seeded(seed: int, *names: str) -> np.random.Generator:
    """A generator for one part of the results: the same whatever else is computed."""
    return np.random.default_rng([seed, zlib.crc32("\0".join(names).encode())])


def draw(cells: np.ndarray, strata: np.ndarray, n_cells: int, rng: np.random.Generator, resamples: int, cluster: np.ndarray | None = None) -> np.ndarray:
    """Bootstrap resamples as counts. (resamples, n_cells)

    Args:
        cells: (n,) which cell a row falls into.
        strata: (n,) what is kept at its size; a cell lies in one stratum. Not used with clusters, which are drawn whole.
        n_cells: how many cells there are.
        rng: the source of chance.
        resamples: how many.
        cluster: (n,) ids, or None when rows are independent.
    """
    if cluster is not None:
        _, which = np.unique(cluster, return_inverse=True)
        clusters = int(which.max()) + 1
        members = sparse.csr_matrix((np.ones(len(cells)), (which, cells)), shape=(clusters, n_cells))
        times = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)  # (resamples, clusters)
        return np.asarray(members.T.dot(times.T.astype(np.float64)).T)
    out = np.zeros((resamples, n_cells))
    for stratum in np.unique(strata):
        counts = np.bincount(cells[strata == stratum], minlength=n_cells)
        some = np.flatnonzero(counts)
        total = counts.sum()
        out[:, some] = rng.multinomial(total, counts[some] / total, size=resamples)
    return out


def levels_of(y: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, int]:
    """(n,) the level of each score, ascending, and how many there are: every value where values are few, else quantiles of both classes."""
    values = np.unique(s)
    if len(values) <= 2 * _LEVELS:
        return np.searchsorted(values, s), len(values)
    inner = np.linspace(0, 1, _LEVELS + 1)[1:-1]
    tail = 1 - np.geomspace(0.0005, 0.08, _LEVELS // 2)  # where false-positive rates are read
    edges = np.unique(np.concatenate([np.quantile(s[y], inner), np.quantile(s[~y], np.concatenate([inner, tail]))]))
    return np.searchsorted(edges, s, side="right"), len(edges) + 1


def interval(values: np.ndarray, *, basic_about: float | None = None) -> tuple[float | None, float | None]:
    """The middle 95 % of resampled values; with `basic_about` mirrored about the point value, for figures that resampling pushes up.

    (None, None) when resamples never differ: a bootstrap that cannot vary says nothing of how sure a figure is.
    """
    values = values[np.isfinite(values)]
    if len(values) < 20:
        return None, None
    if values.max() - values.min() < 1e-12:
        return None, None
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    if basic_about is not None:
        low, high = max(0.0, 2 * basic_about - high), max(0.0, 2 * basic_about - low)
    return float(low), float(high)


# --- figures over counts: the last axis is the level, ascending ----------------------------------------------------------------------------------


def auc_of(neg: np.ndarray, pos: np.ndarray) -> np.ndarray:
    """AUROC from counts by level; ties count half. (..., levels) twice -> (...)"""
    with np.errstate(invalid="ignore", divide="ignore"):
        out: np.ndarray = (pos * (np.cumsum(neg, -1) - neg / 2)).sum(-1) / (pos.sum(-1) * neg.sum(-1))
    return out


def average_precision_of(neg: np.ndarray, pos: np.ndarray) -> np.ndarray:
    """Average precision from counts by level. (..., levels) twice -> (...)"""
    tp, fp = np.cumsum(pos[..., ::-1], -1), np.cumsum(neg[..., ::-1], -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        out: np.ndarray = (pos[..., ::-1] * np.nan_to_num(tp / (tp + fp))).sum(-1) / tp[..., -1]
    return out


def recall_at(neg: np.ndarray, pos: np.ndarray, rate: float) -> np.ndarray:
    """The highest recall of a threshold whose false-positive rate is not above `rate`. (..., levels) twice -> (...)"""
    tp, fp = np.cumsum(pos[..., ::-1], -1), np.cumsum(neg[..., ::-1], -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        allowed = fp / fp[..., -1:] <= rate
        out: np.ndarray = np.where(allowed, tp, 0).max(-1) / tp[..., -1]
    return out


def f1_of(tp: Any, fp: Any, fn: Any) -> Any:
    """F1 from counts; NaN without anything to find and anything found."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * np.asarray(tp) / (2 * np.asarray(tp) + fp + fn)


def macro_f1_of(tn: Any, fp: Any, fn: Any, tp: Any) -> Any:
    """The mean of F1 for yes and F1 for no."""
    return (f1_of(tp, fp, fn) + f1_of(tn, fn, fp)) / 2


def precision_at_prevalence(recall: Any, fpr: Any, prevalence: float) -> Any:
    """Precision where only this share of posts is positive (Bayes); NaN when nothing is found."""
    found = prevalence * np.asarray(recall)
    with np.errstate(invalid="ignore", divide="ignore"):
        return found / (found + (1 - prevalence) * np.asarray(fpr))


# --- one slice -----------------------------------------------------------------------------------------------------------------------------------

ONE_CLASS = "needs rows of both classes"


def measure(y: np.ndarray, s: np.ndarray, yes: np.ndarray, rng: np.random.Generator, *, cluster: np.ndarray | None = None, resamples: int = RESAMPLES) -> dict[str, Figure]:
    """All figures of one category over some rows.

    Args:
        y: (n,) bool, the labels.
        s: (n,) scores in [0, 1]; two values only (a rule) leave the figures on ranking and calibration unknown.
        yes: (n,) bool, the answer at the threshold.
        rng: the source of chance.
        cluster: (n,) ids of templates, or None.
        resamples: of the bootstrap.
    """
    n, positive = len(y), int(y.sum())
    negative = n - positive
    few = "few rows of a class" if 0 < min(positive, negative) < FEW else None
    tp, fp, fn, tn = (int(np.count_nonzero(a & b)) for a, b in ((y, yes), (~y, yes), (y, ~yes), (~y, ~yes)))
    out = {
        "prevalence": Figure(positive / n if n else None, n=n),
        "precision": share(y[yes], None if cluster is None else cluster[yes], none="nothing was answered yes"),
        "recall": share(yes[y], None if cluster is None else cluster[y], none="no row is labelled yes"),
        "fpr": share(yes[~y], None if cluster is None else cluster[~y], none="no row is labelled no"),
        "accuracy": share(y == yes, cluster),
    }
    kind = "bootstrap"
    if not n:
        return {**out, **{k: unknown("no rows") for k in FIGURES if k not in out}}
    four = draw(y * 2 + yes, y, 4, rng, resamples, cluster)  # columns: tn, fp, fn, tp
    resampled = dict(zip(("tn", "fp", "fn", "tp"), four.T, strict=True))

    def from_counts(value: float, values: np.ndarray, known: bool, why: str) -> Figure:
        if not known or not np.isfinite(value):
            return unknown(why, n)
        return Figure(float(value), *interval(values), n, kind, few)

    both = positive > 0 and negative > 0
    out["f1"] = from_counts(f1_of(tp, fp, fn), f1_of(resampled["tp"], resampled["fp"], resampled["fn"]), positive > 0, "no row is labelled yes")
    out["macro_f1"] = from_counts(macro_f1_of(tn, fp, fn, tp), macro_f1_of(*four.T), both, ONE_CLASS)
    with np.errstate(invalid="ignore", divide="ignore"):
        recalls, fprs = resampled["tp"] / (resampled["tp"] + resampled["fn"]), resampled["fp"] / (resampled["fp"] + resampled["tn"])
    for prevalence in PREVALENCES:
        name = f"precision_at_{prevalence:.0%}".replace("%", "pc")
        if both:
            value = float(precision_at_prevalence(tp / positive, fp / negative, prevalence))
            out[name] = from_counts(value, precision_at_prevalence(recalls, fprs, prevalence), True, "nothing was answered yes")
            if tp and not fp:  # without a false positive the data only bounds the rate, and with it the precision
                bound = float(precision_at_prevalence(tp / positive, out["fpr"].high, prevalence))
                out[name] = Figure(None, bound, 1.0, n, "exact bound", "no false positive in the data: only a lower bound is known")
            load = 1000 * (prevalence * tp / positive + (1 - prevalence) * fp / negative)
            out[f"load_at_{prevalence:.0%}".replace("%", "pc")] = from_counts(load, 1000 * (prevalence * recalls + (1 - prevalence) * fprs), True, "")
        else:
            out[name] = out[f"load_at_{prevalence:.0%}".replace("%", "pc")] = unknown(ONE_CLASS, n)
    return out | _ranked(y, s, yes, rng, cluster, resamples, few)


#: Name -> what it is, in the order of tables.
FIGURES: dict[str, str] = {
    "prevalence": "share labelled yes",
    "precision": "of the posts answered yes, the share labelled yes",
    "recall": "of the posts labelled yes, the share answered yes",
    "fpr": "of the posts labelled no, the share answered yes (false-positive rate)",
    "accuracy": "share answered as labelled",
    "f1": "harmonic mean of precision and recall",
    "macro_f1": "mean of F1 for yes and F1 for no",
    "precision_at_1pc": "precision if 1 % of posts were positive",
    "load_at_1pc": "posts of 1,000 answered yes if 1 % were positive",
    "precision_at_2pc": "precision if 2 % of posts were positive",
    "load_at_2pc": "posts of 1,000 answered yes if 2 % were positive",
    "auc": "chance that a post labelled yes scores above one labelled no",
    "average_precision": "area under the precision-recall curve",
    "recall_at_fpr_1pc": "recall at the threshold with a false-positive rate of 1 % on this data",
    "recall_at_fpr_5pc": "recall at the threshold with a false-positive rate of 5 % on this data",
    "ece": "expected calibration error, 15 bins of equal mass",
    "error_at_80pc": "share of wrong answers among the 80 % of which the score is surest",
}


def _ranked(y: np.ndarray, s: np.ndarray, yes: np.ndarray, rng: np.random.Generator, cluster: np.ndarray | None, resamples: int, few: str | None) -> dict[str, Figure]:
    """Figures that need a score with more than two values."""
    n = len(y)
    names = ("auc", "average_precision", *(f"recall_at_fpr_{r:.0%}".replace("%", "pc") for r in FALSE_POSITIVE_RATES), "ece", "error_at_80pc")
    binary = len(np.unique(s)) <= 2 and set(np.unique(s)) <= {0.0, 1.0}
    if binary:
        return {name: unknown("a rule has no score", n) for name in names}
    level, k = levels_of(y, s) if 0 < y.sum() < n else (np.zeros(n, int), 1)
    out: dict[str, Figure] = {}
    if 0 < y.sum() < n:
        counts = draw(y * k + level, y, 2 * k, rng, resamples, cluster).reshape(resamples, 2, k)
        neg, pos = counts[:, 0], counts[:, 1]
        out["auc"] = Figure(float(roc_auc_score(y, s)), *interval(auc_of(neg, pos)), n, "bootstrap", few)
        out["average_precision"] = Figure(float(average_precision_score(y, s)), *interval(average_precision_of(neg, pos)), n, "bootstrap", few)
        fpr, tpr, _ = roc_curve(y, s)
        for rate, name in zip(FALSE_POSITIVE_RATES, names[2:4], strict=True):
            if (n - y.sum()) * rate < 1:
                out[name] = unknown(f"needs at least {round(1 / rate)} rows labelled no", n)
            else:
                out[name] = Figure(float(tpr[fpr <= rate].max()), *interval(recall_at(neg, pos, rate)), n, "bootstrap", few)
        bins = _bins(s)
        out["ece"] = _ece(y, s, bins, draw(y * ECE_BINS + bins, y, 2 * ECE_BINS, rng, resamples, cluster).reshape(resamples, 2, ECE_BINS), few)
    else:
        out |= {name: unknown(ONE_CLASS, n) for name in names[:-1]}
    surest = np.argsort(-_sureness(s), kind="stable")[: max(1, round(0.8 * n))]
    out["error_at_80pc"] = share((y != yes)[surest], None if cluster is None else cluster[surest])
    return out


def _bins(s: np.ndarray) -> np.ndarray:
    """(n,) the bin of each score: bins of equal mass, equal scores together."""
    edges = np.quantile(s, np.linspace(0, 1, ECE_BINS + 1)[1:-1])
    return np.searchsorted(np.unique(edges), s, side="right")


def _ece(y: np.ndarray, s: np.ndarray, bins: np.ndarray, resampled: np.ndarray, few: str | None) -> Figure:
    count, total, right = (np.bincount(bins, weights=w, minlength=ECE_BINS) for w in (None, s, y.astype(float)))
    some = count > 0
    value = float(np.sum(np.abs(total - right)[some]) / len(y))
    mean = np.divide(total, count, out=np.zeros(ECE_BINS), where=some)
    masses = resampled.sum(1)  # (resamples, bins)
    values = np.abs(masses * mean - resampled[:, 1]).sum(-1) / masses.sum(-1)
    return Figure(value, *interval(values, basic_about=value), len(y), "bootstrap", few)


def _sureness(s: np.ndarray) -> np.ndarray:
    return np.abs(s - 0.5)


# --- curves, for plots -----------------------------------------------------------------------------------------------------------------------------


def reliability(y: np.ndarray, s: np.ndarray) -> list[dict[str, Any]]:
    """Bins of equal mass: mean score, observed share with exact interval, n."""
    bins = _bins(s)
    return [{"score": _short(float(s[bins == b].mean())), **share(y[bins == b]).to_dict()} for b in np.unique(bins)]


def curves(y: np.ndarray, s: np.ndarray, yes: np.ndarray, points: int = 60) -> dict[str, Any]:
    """ROC, precision-recall and risk-coverage as at most `points` points each; the distribution of scores by class."""
    out: dict[str, Any] = {}
    if 0 < y.sum() < len(y):
        fpr, tpr, _ = roc_curve(y, s)
        out["roc"] = _thin(fpr, tpr, points)
        precision, recall, _ = precision_recall_curve(y, s)
        out["precision_recall"] = _thin(recall[::-1], precision[::-1], points)
    edges = np.linspace(0, 1, 21)
    out["scores"] = {"edges": [_short(e) for e in edges], **{name: np.histogram(s[mask], edges)[0].tolist() for name, mask in (("no", ~y), ("yes", y))}}
    order = np.argsort(-_sureness(s), kind="stable")
    wrong, done = np.cumsum((y != yes)[order]), np.arange(1, len(y) + 1)
    out["risk_coverage"] = _thin(done[len(y) // 50 :] / len(y), (wrong / done)[len(y) // 50 :], points)
    return out


def _thin(x: np.ndarray, y: np.ndarray, points: int) -> list[list[float]]:
    """Points at even distances along x and along the order, first and last kept."""
    if len(x) > points:
        even = np.searchsorted(x, np.linspace(x[0], x[-1], points // 2))
        keep = np.unique(np.concatenate([np.linspace(0, len(x) - 1, points // 2).astype(int), np.minimum(even, len(x) - 1)]))
        x, y = x[keep], y[keep]
    return [[float(round(a, 4)), float(round(b, 4))] for a, b in zip(x, y, strict=True)]


def thresholds(y: np.ndarray, s: np.ndarray) -> dict[str, float]:
    """Thresholds that this data would choose, for use on *other* data: best macro-F1, and false-positive rates of 1 % and 5 %."""
    if not 0 < y.sum() < len(y) or len(np.unique(s)) <= 2:
        return {}
    fpr, tpr, cut = roc_curve(y, s, drop_intermediate=False)
    n, positive = len(y), int(y.sum())
    tp, fp = tpr * positive, fpr * (n - positive)
    macro = macro_f1_of(n - positive - fp, fp, positive - tp, tp)
    out = {"f1": float(cut[int(np.nanargmax(macro[1:])) + 1])}
    for rate in FALSE_POSITIVE_RATES:
        fit = np.flatnonzero((fpr <= rate) & np.isfinite(cut))
        if len(fit):
            out[f"fpr_{rate:.0%}".replace("%", "pc")] = float(cut[fit[-1]])
    return out


# --- groups --------------------------------------------------------------------------------------------------------------------------------------


def borkan(y: np.ndarray, s: np.ndarray, members: Mapping[str, np.ndarray], rng: np.random.Generator, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Unintended bias by group, after Borkan et al. 2019, with the power mean over groups (p = -5).

    Args:
        y: (n,) bool.
        s: (n,) scores.
        members: group -> (n,) bool, the rows that speak of it.
        rng: the source of chance.
        resamples: of the bootstrap.

    Returns:
        {"groups": {group: {"subgroup_auc", "bpsn_auc", "bnsp_auc"}}, "power_mean": {the same three}}, all `Figure`.
    """
    level, k = levels_of(y, s) if 0 < y.sum() < len(y) else (np.zeros(len(y), int), 1)
    found: dict[str, dict[str, Figure]] = {}
    values: dict[str, list[tuple[float, np.ndarray]]] = {name: [] for name in BORKAN}
    for group, mask in members.items():
        parts = {(side, label): (mask if side else ~mask) & (y == label) for side in (True, False) for label in (True, False)}
        drawn = {key: draw(level[rows], np.zeros(int(rows.sum()), int), k, rng, resamples) for key, rows in parts.items()}
        found[group] = {}
        for name, (neg_side, pos_side) in BORKAN.items():
            neg, pos = parts[neg_side, False], parts[pos_side, True]
            n = int(neg.sum() + pos.sum())
            if not neg.any() or not pos.any():
                found[group][name] = unknown("rows of both labels are needed, in the group and outside it", n)
                continue
            both = neg | pos
            value, some = float(roc_auc_score(y[both], s[both])), auc_of(drawn[neg_side, False], drawn[pos_side, True])
            least = min(int(neg.sum()), int(pos.sum()))
            found[group][name] = Figure(value, *interval(some), n, "bootstrap", "few rows of a class" if least < FEW else None)
            if least >= FEW:
                values[name].append((value, some))
    return {"groups": found, "power_mean": {name: _power_mean(values[name]) for name in BORKAN}}


#: Name -> (negatives are of the group, positives are of the group).
BORKAN = {"subgroup_auc": (True, True), "bpsn_auc": (True, False), "bnsp_auc": (False, True)}


def _power_mean(values: list[tuple[float, np.ndarray]]) -> Figure:
    if len(values) < 2:
        return unknown(f"needs two groups with at least {FEW} rows of each label")

    def mean(stack: np.ndarray) -> np.ndarray:
        out: np.ndarray = np.mean(np.maximum(stack, 1e-6) ** BORKAN_POWER, axis=0) ** (1 / BORKAN_POWER)
        return out

    return Figure(float(mean(np.array([v for v, _ in values]))), *interval(mean(np.array([r for _, r in values]))), len(values), "bootstrap", "n is the number of groups")


def gap(parts: Mapping[str, tuple[int, int]], rng: np.random.Generator, resamples: int = RESAMPLES) -> Figure:
    """Highest minus lowest share over parts.

    Args:
        parts: name -> (hits, rows); parts with fewer than `FEW` rows are left out.
        rng: the source of chance.
        resamples: of the bootstrap. Chance alone opens a gap, and so does resampling: the interval is mirrored about the value.
    """
    some = [(k, n) for k, n in parts.values() if n >= FEW]
    if len(some) < 2:
        return unknown(f"needs two parts with at least {FEW} rows each")
    k, n = np.array(some).T
    p = k / n
    value = float(p.max() - p.min())
    drawn = rng.binomial(n, p, size=(resamples, len(n))) / n
    low, high = interval(drawn.max(1) - drawn.min(1), basic_about=value)
    return Figure(value, low, None if high is None else min(1.0, high), int(n.sum()), "bootstrap", f"{len(some)} parts")


# --- two models on the same rows -----------------------------------------------------------------------------------------------------------------


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> dict[str, Any]:
    """Exact McNemar test: are the rows that only one of two gets right split evenly?"""
    only_a, only_b = int(np.count_nonzero(right_a & ~right_b)), int(np.count_nonzero(right_b & ~right_a))
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else None
    return {"only_a_right": only_a, "only_b_right": only_b, "p": None if p is None else float(f"{p:.3g}")}


def paired(
    y: np.ndarray,
    yes_a: np.ndarray,
    yes_b: np.ndarray,
    s_a: np.ndarray,
    s_b: np.ndarray,
    rng: np.random.Generator,
    *,
    cluster: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Figure]:
    """Differences B minus A on the same rows, by paired bootstrap. Arrays are (n,)."""
    n = len(y)
    if not n:
        return {name: unknown("no rows") for name in PAIRED}
    counts = draw(y * 4 + yes_a * 2 + yes_b, y, 8, rng, resamples, cluster)
    exact = np.bincount(y * 4 + yes_a * 2 + yes_b, minlength=8)[None].astype(float)
    few = "few rows of a class" if 0 < min(y.sum(), n - y.sum()) < FEW or n < FEW else None
    out = {}
    for name in (p for p in PAIRED if p != "auc"):
        value, values = _difference(exact, name)[0], _difference(counts, name)
        out[name] = Figure(float(value), *interval(values), n, "paired bootstrap", few) if np.isfinite(value) else unknown(ONE_CLASS, n)
    out["auc"] = _paired_auc(y, s_a, s_b, rng, cluster, resamples, few)
    return {name: out[name] for name in PAIRED}


PAIRED = ("macro_f1", "f1", "auc", "recall", "fpr", "precision", "accuracy")


def _difference(counts: np.ndarray, name: str) -> np.ndarray:
    """B minus A, from counts over (y, a, b). (resamples, 8) -> (resamples,)"""
    cube = counts.reshape(-1, 2, 2, 2)

    def one(table: np.ndarray) -> np.ndarray:  # (resamples, y, yes)
        (tn, fp), (fn, tp) = table[:, 0].T, table[:, 1].T
        with np.errstate(invalid="ignore", divide="ignore"):
            if name == "macro_f1":
                value = np.where((tn + fp > 0) & (fn + tp > 0), macro_f1_of(tn, fp, fn, tp), np.nan)
            elif name == "f1":
                value = np.where(fn + tp > 0, f1_of(tp, fp, fn), np.nan)
            else:
                value = {"recall": tp / (tp + fn), "fpr": fp / (fp + tn), "precision": tp / (tp + fp), "accuracy": (tp + tn) / (tp + tn + fp + fn)}[name]
        return np.asarray(value)

    return one(cube.sum(2)) - one(cube.sum(3))


def _paired_auc(y: np.ndarray, s_a: np.ndarray, s_b: np.ndarray, rng: np.random.Generator, cluster: np.ndarray | None, resamples: int, few: str | None) -> Figure:
    n = len(y)
    known = np.isfinite(s_a) & np.isfinite(s_b)
    if not known.all() or not 0 < y.sum() < n or any(len(np.unique(s)) <= 2 for s in (s_a, s_b)):
        return unknown(ONE_CLASS if known.all() else "a model has no score here", n)
    value = float(roc_auc_score(y, s_b) - roc_auc_score(y, s_a))
    (level_a, k_a), (level_b, k_b) = levels_of(y, s_a), levels_of(y, s_b)
    cells, which = np.unique((y * k_a + level_a) * k_b + level_b, return_inverse=True)
    label, a, b = cells // (k_a * k_b), cells // k_b % k_a, cells % k_b
    into = [sparse.csr_matrix((np.ones(len(cells)), (np.arange(len(cells)), label * k + at)), shape=(len(cells), 2 * k)) for at, k in ((a, k_a), (b, k_b))]
    values = []
    step = max(1, 4_000_000 // len(cells))  # joint cells are many: a few resamples at a time
    for start in range(0, resamples, step):
        counts = sparse.csr_matrix(draw(which, y, len(cells), rng, min(step, resamples - start), cluster))
        one, two = ((counts @ to).toarray().reshape(counts.shape[0], 2, -1) for to in into)
        values.append(auc_of(two[:, 0], two[:, 1]) - auc_of(one[:, 0], one[:, 1]))
    return Figure(value, *interval(np.concatenate(values)), n, "paired bootstrap", few)


