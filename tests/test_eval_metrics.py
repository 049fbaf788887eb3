"""Figures: equal to the libraries', with intervals that cover, and unknown where they cannot be known."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as sk

from eval import metrics as m


def rng(*names: str) -> np.random.Generator:
    return m.seeded(0, *names)


def sample(n: int, seed: int = 0, positive: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores that lean towards them, answers at 0.5."""
    chance = np.random.default_rng(seed)
    y = chance.random(n) < positive
    s = 1 / (1 + np.exp(-(chance.normal(0, 1.2, n) + 1.5 * y - 0.8)))
    return y, s.astype(np.float32), s >= 0.5


def test_point_values_are_those_of_scikit_learn() -> None:
    y, s, yes = sample(1500)
    f = m.measure(y, s, yes, rng(), resamples=50)
    expected = {
        "precision": sk.precision_score(y, yes),
        "recall": sk.recall_score(y, yes),
        "f1": sk.f1_score(y, yes),
        "macro_f1": sk.f1_score(y, yes, average="macro"),
        "accuracy": sk.accuracy_score(y, yes),
        "auc": sk.roc_auc_score(y, s),
        "average_precision": sk.average_precision_score(y, s),
        "prevalence": y.mean(),
        "fpr": (yes & ~y).sum() / (~y).sum(),
    }
    assert {k: f[k].value for k in expected} == pytest.approx(expected)
    assert set(f) == set(m.FIGURES)
    for name, figure in f.items():
        assert figure.n > 0
        if name != "prevalence":
            assert figure.low is not None, name
            assert figure.low <= figure.value <= figure.high, name


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=60).filter(lambda rows: len({y for y, _ in rows}) == 2))
@settings(max_examples=60)
def test_figures_over_counts_equal_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    y, s = np.array([a for a, _ in rows]), np.array([b / 7 for _, b in rows])
    level, k = m.levels_of(y, s)
    neg, pos = (np.bincount(level[y == side], minlength=k).astype(float) for side in (False, True))
    assert m.auc_of(neg, pos) == pytest.approx(sk.roc_auc_score(y, s))
    assert m.average_precision_of(neg, pos) == pytest.approx(sk.average_precision_score(y, s))
    fpr, tpr, _ = sk.roc_curve(y, s)
    assert m.recall_at(neg, pos, 0.25) == pytest.approx(tpr[fpr <= 0.25].max())


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (1, 1000), (997, 1000)])
def test_shares_have_exact_intervals(k: int, n: int) -> None:
    figure = m.share(np.arange(n) < k)
    exact = binomtest(k, n).proportion_ci(method="exact")
    assert (figure.low, figure.high) == pytest.approx((exact.low, exact.high))
    assert figure.interval == "exact"


def test_templates_widen_intervals() -> None:
    hits = np.repeat([True, False, True, True, False, True, True, False, True, True, True, True], 12)
    cluster = np.repeat(np.arange(12), 12)
    free, tied = m.share(hits), m.share(hits, cluster)
    assert tied.value == free.value
    assert tied.high - tied.low > 2 * (free.high - free.low)
    alone = m.share(np.ones(144, bool), cluster)
    assert alone.low == pytest.approx(binomtest(12, 12).proportion_ci(method="exact").low)  # twelve sentences, not 144


def test_intervals_cover() -> None:
    """95 % intervals of the AUC hold the true value about as often as they say."""
    truth = sk.roc_auc_score(*sample(200_000, seed=999)[:2])
    held = 0
    for seed in range(60):
        y, s, yes = sample(250, seed=seed)
        figure = m.measure(y, s, yes, rng(str(seed)), resamples=200)["auc"]
        held += figure.low <= truth <= figure.high
    assert held >= 51  # of 60: fewer happen once in five hundred times at 95 %


def test_what_cannot_be_known_is_unknown() -> None:
    y, s, yes = np.zeros(30, bool), np.linspace(0, 1, 30), np.linspace(0, 1, 30) >= 0.5
    f = m.measure(y, s, yes, rng(), resamples=30)
    for name in ("recall", "f1", "macro_f1", "auc", "average_precision", "precision_at_1pc", "ece", "recall_at_fpr_1pc"):
        assert f[name].value is None, name
        assert f[name].note, name
        assert f[name].to_dict()["value"] is None
    assert f["fpr"].value == 0.5
    nothing = m.measure(y[:0], s[:0], yes[:0], rng(), resamples=30)
    assert set(nothing) == set(m.FIGURES)
    assert all(figure.value is None for figure in nothing.values())


def test_recall_at_a_rate_needs_rows_to_read_it_from() -> None:
    y, s, yes = sample(80)
    f = m.measure(y, s, yes, rng(), resamples=30)
    assert f["recall_at_fpr_1pc"].note == "needs at least 100 rows labelled no"
    assert f["recall_at_fpr_5pc"].value is not None


def test_few_rows_are_marked() -> None:
    y = np.array([True] * 4 + [False] * 40)
    s = np.linspace(0.9, 0.1, 44)
    assert m.measure(y, s, s > 0.5, rng(), resamples=30)["auc"].note == "few rows of a class"


def test_a_rule_has_no_ranking() -> None:
    y, _, yes = sample(200)
    f = m.measure(y, yes.astype(float), yes, rng(), resamples=30)
    assert f["auc"].value is None
    assert f["macro_f1"].value is not None


def test_precision_at_prevalence() -> None:
    assert m.precision_at_prevalence(0.8, 0.1, 0.01) == pytest.approx(0.01 * 0.8 / (0.01 * 0.8 + 0.99 * 0.1))
    y = np.array([True] * 50 + [False] * 50)
    f = m.measure(y, np.where(y, 0.9, np.linspace(0.1, 0.4, 100)), y, rng(), resamples=30)["precision_at_1pc"]
    assert f.value is None  # no false positive among fifty: the rate may still be 7 %
    assert 0.1 < f.low < 0.2
    assert "lower bound" in f.note


def test_calibration_error() -> None:
    y, s, yes = sample(4000)
    honest = np.random.default_rng(1).random(4000) < s
    assert m.measure(honest, s, yes, rng(), resamples=50)["ece"].value < 0.04
    same = m.measure(y, np.where(y, 0.6, 0.59), yes, rng(), resamples=50)["ece"]
    assert same.value == pytest.approx(abs(0.6 - 1) * y.mean() + 0.59 * (1 - y.mean()), abs=1e-6)
    points = m.reliability(honest, s)
    assert len(points) == m.ECE_BINS
    assert sum(p["n"] for p in points) == 4000


def test_borkan_by_hand() -> None:
    y, s, _ = sample(600)
    member = np.random.default_rng(3).random(600) < 0.4
    found = m.borkan(y, s, {"cyclists": member, "bakers": ~member}, rng(), resamples=40)
    expected = {"subgroup_auc": member, "bpsn_auc": (member & ~y) | (~member & y), "bnsp_auc": (member & y) | (~member & ~y)}
    for name, rows in expected.items():
        assert found["groups"]["cyclists"][name].value == pytest.approx(sk.roc_auc_score(y[rows], s[rows]))
        values = [found["groups"][g][name].value for g in ("cyclists", "bakers")]
        assert found["power_mean"][name].value == pytest.approx(np.mean(np.array(values) ** -5.0) ** (-1 / 5))
        assert min(values) <= found["power_mean"][name].value <= np.mean(values)


def test_a_mention_that_raises_scores_lowers_bpsn() -> None:
    y, s, _ = sample(3000)
    member = np.random.default_rng(4).random(3000) < 0.3
    raised = np.clip(s + 0.4 * member, 0, 1)
    found = m.borkan(y, raised, {"cyclists": member}, rng(), resamples=30)["groups"]["cyclists"]
    assert found["bpsn_auc"].value < 0.6 < found["subgroup_auc"].value
    assert found["bnsp_auc"].value > 0.9


def test_group_without_both_labels_is_unknown() -> None:
    y, s, _ = sample(100)
    found = m.borkan(y, s, {"cyclists": y}, rng(), resamples=20)
    assert found["groups"]["cyclists"]["subgroup_auc"].value is None
    assert found["power_mean"]["subgroup_auc"].value is None


def test_gap_is_that_of_fairlearn() -> None:
    fairlearn = pytest.importorskip("fairlearn.metrics")
    y, _, yes = sample(900)
    group = np.random.default_rng(5).choice(["cyclists", "bakers", "painters"], 900)
    frame = fairlearn.MetricFrame(metrics=fairlearn.false_positive_rate, y_true=y, y_pred=yes, sensitive_features=group)
    parts = {g: (int((yes & ~y)[group == g].sum()), int((~y)[group == g].sum())) for g in set(group)}
    figure = m.gap(parts, rng())
    assert figure.value == pytest.approx(frame.difference())
    assert m.gap({"one": (1, 50)}, rng()).value is None


def test_mcnemar_is_exact() -> None:
    a, b = np.array([1] * 9 + [0] * 3 + [1] * 20, bool), np.array([0] * 9 + [1] * 3 + [1] * 20, bool)
    found = m.mcnemar(a, b)
    assert (found["only_a_right"], found["only_b_right"]) == (9, 3)
    assert found["p"] == pytest.approx(binomtest(9, 12).pvalue, rel=0.01)
    assert m.mcnemar(a, a)["p"] is None


def test_paired_differences() -> None:
    y, s, yes = sample(800)
    better = np.clip(s + 0.15 * y, 0, 1)
    found = m.paired(y, yes, better >= 0.5, s, better, rng(), resamples=100)
    assert found["macro_f1"].value == pytest.approx(sk.f1_score(y, better >= 0.5, average="macro") - sk.f1_score(y, yes, average="macro"))
    assert found["auc"].value == pytest.approx(sk.roc_auc_score(y, better) - sk.roc_auc_score(y, s))
    for name in ("macro_f1", "auc", "recall"):
        assert 0 < found[name].low <= found[name].value <= found[name].high
    same = m.paired(y, yes, yes, s, s, rng(), resamples=50)
    assert same["macro_f1"].value == 0
    assert same["auc"].value == 0


def test_thresholds_for_other_data() -> None:
    y, s, _ = sample(3000)
    found = m.thresholds(y, s)
    for rate, name in ((0.01, "fpr_1pc"), (0.05, "fpr_5pc")):
        assert (s[~y] >= found[name]).mean() <= rate
    best = max(sk.f1_score(y, s >= t, average="macro") for t in np.linspace(0.05, 0.95, 91))
    assert sk.f1_score(y, s >= found["f1"], average="macro") >= best - 1e-9
    assert m.thresholds(np.ones(5, bool), s[:5]) == {}


def test_same_seed_same_figures() -> None:
    y, s, yes = sample(300)
    assert m.measure(y, s, yes, rng("a"), resamples=40) == m.measure(y, s, yes, rng("a"), resamples=40)
    assert m.measure(y, s, yes, rng("a"), resamples=40)["auc"] != m.measure(y, s, yes, rng("b"), resamples=40)["auc"]


def test_many_rows_cost_little_more_than_few() -> None:
    y, s, yes = sample(200_000)
    began = time.process_time()
    m.measure(y, s, yes, rng(), resamples=200)
    assert time.process_time() - began < 5
