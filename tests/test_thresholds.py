"""Thresholds: the bounds are exact, the promise is kept, "none" is said when it must be, and what is written can be loaded."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ipu_moderation import thresholds as th
from ipu_moderation.errors import InputError
from ipu_moderation.policy import load_policy
from ipu_moderation.policy_commands import policy_app
from ipu_moderation.taxonomy import Category, Tier
from ipu_moderation.types import Action, Assessment, Finding, Language, Score, Text

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed: the bounds cannot be compared with it")


# --- the exact binomial: against scipy ---------------------------------------------------------------------------------------------------------

BINOMIALS = [
    (0, 1, 0.5),
    (0, 150, 0.02),
    (3, 500, 0.02),
    (20, 1000, 0.02),
    (49, 100, 0.5),
    (99, 100, 0.99),
    (900, 1000, 0.85),
    (19_500, 1_000_000, 0.02),
    (20_500, 1_000_000, 0.02),
    (0, 7, 1e-9),
]


@pytest.mark.parametrize(("k", "n", "p"), BINOMIALS)
def test_the_tail_is_scipys(k, n, p):
    assert th.binomial_tail(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-7, abs=1e-12)


@settings(max_examples=300, deadline=None)
@given(n=st.integers(1, 20_000), share=st.floats(0, 1), p=st.floats(1e-6, 1 - 1e-6))
def test_the_tail_is_scipys_everywhere(n, share, p):
    k = int(share * n)
    assert th.binomial_tail(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-6, abs=1e-11)


@pytest.mark.parametrize(("k", "n", "p", "tail"), [(-1, 10, 0.5, 0.0), (10, 10, 0.5, 1.0), (0, 0, 0.5, 1.0), (3, 10, 0.0, 1.0), (3, 10, 1.0, 0.0)])
def test_the_tail_at_its_ends(k, n, p, tail):
    assert th.binomial_tail(k, n, p) == tail


def test_no_tail_of_a_probability_that_is_none():
    with pytest.raises(ValueError, match=r"p in \[0, 1\]"):
        th.binomial_tail(1, 10, 1.5)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 5_000), share=st.floats(0, 1), delta=st.sampled_from([0.001, 0.025, 0.05, 0.2]))
def test_bounds_are_clopper_pearsons(n, share, delta):
    k = int(share * n)
    upper = 1.0 if k == n else stats.beta.ppf(1 - delta, k + 1, n - k)
    lower = 0.0 if k == 0 else stats.beta.ppf(delta, k, n - k + 1)
    assert th.upper_bound(k, n, delta) == pytest.approx(upper, abs=1e-8)
    assert th.lower_bound(k, n, delta) == pytest.approx(lower, abs=1e-8)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 5_000), alpha=st.floats(0.001, 0.5), delta=st.floats(0.0005, 0.4))
def test_the_critical_count_is_the_last_that_is_proved(n, alpha, delta):
    c = th.critical_count(n, alpha, delta)
    assert c == -1 or stats.binom.cdf(c, n, alpha) <= delta * (1 + 1e-9)
    assert stats.binom.cdf(c + 1, n, alpha) > delta * (1 - 1e-9)


def test_labels_needed_is_the_rule_of_three():
    assert th.labels_needed(0.02, 0.05) == 149  # the first n with .98 ** n <= .05
    assert 0.98**149 <= 0.05 < 0.98**148


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.01, 0.018])
def test_so_many_labels_would_do(rate):
    n = th.labels_needed(0.02, 0.05, rate)
    assert n is not None
    assert stats.binom.cdf(math.ceil(rate * n - 1e-9), n, 0.02) <= 0.05


@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_no_number_of_labels_proves_what_is_not_so(rate):
    assert th.labels_needed(0.02, 0.05, rate) is None


def test_hoeffding_bentkus_is_as_published():
    n, alpha = 800, 0.05
    means = np.array([0.0, 0.01, 0.03, 0.049, 0.05, 0.2])
    a = np.clip(means, 1e-300, alpha)
    divergence = a * np.log(a / alpha) + (1 - a) * np.log((1 - a) / (1 - alpha))
    bentkus = np.e * stats.binom.cdf(np.ceil(n * means - 1e-9), n, alpha)
    expected = np.where(means < alpha, np.minimum(1, np.minimum(np.exp(-n * divergence), bentkus)), 1)
    assert th.hoeffding_bentkus(means, n, alpha) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("alpha", "delta", "about"), [(0.0, 0.05, "alpha"), (1.0, 0.05, "alpha"), (0.02, 0.0, "delta"), (0.02, 0.5, "delta")])
def test_levels_that_are_none(alpha, delta, about):
    with pytest.raises(InputError, match=about):
        th.choose([0.1], [0], alpha=alpha, delta=delta)


# --- one threshold -----------------------------------------------------------------------------------------------------------------------------


def sample(n=4000, positive=0.1, seed=0):
    """Scores as a fair classifier gives them: most protected posts low, most others high."""
    random = np.random.default_rng(seed)
    labels = (random.random(n) < positive).astype(int)
    return np.where(labels == 1, random.beta(4, 2, n), random.beta(1, 9, n)), labels


def test_the_choice_is_the_last_threshold_that_is_proved():
    scores, labels = sample()
    promise = th.choose(scores, labels, alpha=0.02, delta=0.05)
    clean = scores[labels == 0]

    def p_value(t):
        return stats.binom.cdf((clean >= t).sum(), len(clean), 0.02)

    assert p_value(promise.threshold) == pytest.approx(promise.p_value)
    assert all(p_value(t) <= 0.05 for t in th.GRID if t >= promise.threshold)
    assert p_value(promise.threshold - 0.001) > 0.05
    assert promise.touched.k == (clean >= promise.threshold).sum()
    assert promise.recall.value == pytest.approx((scores[labels == 1] >= promise.threshold).mean())


def test_a_threshold_touches_what_a_policy_touches():
    """`>=`, with exact decimals: what the file says is what was tested."""
    assert th.count_touched([0.7, 0.699, 0.701], np.array([0.7])).tolist() == [2]
    assert 0.7 in th.GRID.tolist()
    assert all(float(repr(t)) == t and len(repr(t)) <= 5 for t in th.GRID.tolist())


NONE = [
    ("too few", [0.1] * 100, [0] * 100, "100 protected posts are too few", 149),
    ("nobody protected", [0.9, 0.9], [1, 1], "no protected post has a label", 149),
    ("unknown labels protect nobody", [0.1] * 500, [None] * 500, "no protected post has a label", 149),
    ("the classifier is no good", [1.0] * 50 + [0.1] * 450, [0] * 500, "no number of labels would prove", None),
    ("too near", [1.0] * 5 + [0.1] * 495, [0] * 500, "too near to", 590),
]


@pytest.mark.parametrize(("about", "scores", "labels", "reason", "needed"), NONE, ids=[row[0] for row in NONE])
def test_none_says_why_and_what_it_would_take(about, scores, labels, reason, needed):
    promise = th.choose(scores, labels, alpha=0.02, delta=0.05)
    assert promise.threshold is None
    assert reason in promise.reason
    assert promise.recall is None
    assert (promise.needed is None) == (needed is None)
    if needed:
        assert promise.needed == pytest.approx(needed, rel=0.01)


def test_posts_that_a_rule_sends_count():
    scores, labels = sample()
    anyway = np.arange(len(scores)) % 100 == 0  # 1% are sent whatever their score
    alone, both = th.choose(scores, labels, alpha=0.02, delta=0.05), th.choose(scores, labels, alpha=0.02, delta=0.05, anyway=anyway)
    assert both.threshold > alone.threshold
    touched = (labels == 0) & ((scores >= both.threshold) | anyway)
    assert both.touched.k == touched.sum()
    assert th.choose(scores, labels, alpha=0.005, delta=0.05, anyway=anyway).threshold is None


def test_a_mask_says_who_is_protected():
    scores, labels = sample()
    journalism = np.random.default_rng(1).random(len(scores)) < 0.2
    promise = th.choose(scores, labels, journalism, alpha=0.05, delta=0.05)
    assert promise.protected == journalism.sum()
    assert promise.touched.k == (scores[journalism] >= promise.threshold).sum()


def test_weights_bound_the_expected_weight():
    scores, labels = sample()
    ones = th.choose(scores, labels, alpha=0.02, delta=0.05, weights=np.ones(len(scores)))
    exact = th.choose(scores, labels, alpha=0.02, delta=0.05)
    light = th.choose(scores, labels, alpha=0.02, delta=0.05, weights=np.full(len(scores), 0.25))
    assert ones.threshold >= exact.threshold  # the exact test is never weaker than the bound
    assert light.threshold < exact.threshold


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"scores": [0.1, float("nan")]}, "entry 2 of 2"),
        ({"scores": [0.1, 1.2]}, "entry 2 of 2"),
        ({"labels": [0, 0.4]}, "entry 2 of 2"),
        ({"labels": [0]}, "2 scores, 1 labels"),
        ({"weights": [0.5, 3]}, "entry 2"),
        ({"grid": np.array([0.1, 0.9])}, "strictest to the loosest"),
    ],
)
def test_input_that_is_none_is_named(change, about):
    given = {"scores": [0.1, 0.2], "labels": [0, 0], "alpha": 0.02, "delta": 0.05, **change}
    with pytest.raises(InputError, match=about):
        th.choose(given.pop("scores"), given.pop("labels"), **given)


def test_review_and_hold_stand_together():
    scores, labels = sample(20_000)
    fit = th.fit(scores, labels, alpha=0.02, delta=0.05, alpha_hold=0.002)
    assert fit.hold.threshold > fit.review.threshold
    assert fit.review.delta == fit.hold.delta == 0.025
    assert fit.hold.action is Action.HOLD


def test_a_hold_stands_above_its_review_threshold():
    scores, labels = sample(20_000)
    scores = scores**0.4
    anyway = np.random.default_rng(0).random(len(scores)) < 0.017  # rules leave little room for review
    fit = th.fit(scores, labels, alpha=0.02, delta=0.05, alpha_hold=0.02, anyway=anyway)
    assert fit.hold.threshold == fit.review.threshold > 0.5
    assert fit.hold.touched.k == ((labels == 0) & (scores >= fit.hold.threshold)).sum()
    nothing = th.fit(scores, labels, alpha=0.02, delta=0.05, alpha_hold=0.02, anyway=np.ones(len(scores)))
    assert nothing.review.threshold is nothing.hold.threshold is None
    assert "no review threshold" in nothing.hold.reason


def test_no_hold_where_a_reader_would_say_no():
    """A classifier that gives all a low score could promise a hold at 0.1; a score of 0.1 is no reason to hold anything."""
    scores, labels = sample(20_000)
    fit = th.fit(scores / 5, labels, alpha=0.02, delta=0.05, alpha_hold=0.005)
    assert fit.review.threshold < 0.2
    assert fit.hold.threshold == 0.5
    assert fit.hold.touched.k == fit.hold.recall.k == 0


def test_abuse_is_never_held():
    scores, labels = sample(20_000)
    assert th.fit(scores, labels, alpha=0.02, delta=0.05, alpha_hold=0.002, category=Category.ABUSE).hold is None


def test_a_hold_weighs_more_than_a_review():
    with pytest.raises(InputError, match="weighs more"):
        th.fit([0.1], [0], alpha=0.02, delta=0.05, alpha_hold=0.03)


def test_wrong_labels_have_their_price():
    promise = th.choose(*sample(), alpha=0.02, delta=0.05)
    assert promise.if_labels_err(0) == 0.02
    assert promise.if_labels_err(0.01) == pytest.approx(0.0298)


# --- readers -----------------------------------------------------------------------------------------------------------------------------------


def test_the_load_adds_up():
    scores, labels = sample()
    promise = th.choose(scores, labels, alpha=0.02, delta=0.05, prevalence=0.015, volume=50_000)
    hits, others = 0.015 * promise.recall.value, 0.985 * promise.touched.value
    assert promise.load.reviews == pytest.approx(50_000 * (hits + others))
    assert promise.load.precision == pytest.approx(hits / (hits + others))
    assert promise.load.at_most > promise.load.reviews


def test_no_load_without_posts_that_are_looked_for():
    assert th.choose([0.1] * 500, [0] * 500, alpha=0.02, delta=0.05, prevalence=0.015, volume=50_000).load is None


def test_by_capacity():
    scores, labels = sample(20_000)
    promise = th.choose_by_capacity(scores, labels, capacity=1000, volume=50_000, prevalence=0.015, delta=0.05)
    assert promise.load.reviews < promise.load.at_most <= 1000
    assert promise.touched.value <= promise.alpha == pytest.approx(1000 / (50_000 * 0.985))
    looser = float(th.GRID[th.GRID.tolist().index(promise.threshold) + 1])
    clean, hateful = scores[labels == 0], scores[labels == 1]
    found, touched = int((hateful >= looser).sum()), int((clean >= looser).sum())
    assert 50_000 * (0.015 * th.upper_bound(found, len(hateful), 0.025) + 0.985 * th.upper_bound(touched, len(clean), 0.025)) > 1000


def test_more_readers_more_recall():
    scores, labels = sample(20_000)
    by = [th.choose_by_capacity(scores, labels, capacity=c, volume=50_000, prevalence=0.015, delta=0.05) for c in (600, 1000, 2000)]
    recalls = [p.recall.value for p in by]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1]


def test_too_few_readers():
    scores, labels = sample()
    promise = th.choose_by_capacity(scores, labels, capacity=5, volume=50_000, prevalence=0.015, delta=0.05)
    assert promise.threshold is None
    assert "posts a day must be expected" in promise.reason
    assert th.choose_by_capacity([0.1] * 500, [0] * 500, capacity=400, volume=50_000, prevalence=0.015, delta=0.05).reason.startswith("no post is labelled 1")


def test_a_capacity_that_is_none():
    with pytest.raises(InputError, match="capacity must be"):
        th.choose_by_capacity([0.1], [0], capacity=60_000, volume=50_000, prevalence=0.015, delta=0.05)


def test_the_trade_off_grows():
    rows = th.trade_off(*sample(), prevalence=0.015, volume=50_000)
    for name in ("touched", "recall"):
        values = [row[name]["value"] for row in rows]
        assert values == sorted(values)
    assert [row["reviews_per_day"] for row in rows] == sorted(row["reviews_per_day"] for row in rows)


# --- the promise is kept -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "alpha", "delta"), [(300, 0.02, 0.1), (1000, 0.02, 0.05), (1000, 0.01, 0.1), (5000, 0.005, 0.05)])
def test_the_promise_is_kept_in_samples(n, alpha, delta):
    """The truth is known: the share above t is 1 - t of a uniform score, so every grid point has its exact risk."""
    risks = np.array([stats.beta.sf(t, 1, 9) for t in th.GRID])
    random = np.random.default_rng(0)
    bins = random.multinomial(n, np.diff(np.concatenate((risks, [1.0])), prepend=0.0)[: len(risks) + 1], size=3_000)
    chosen = th.loosest(np.cumsum(bins, axis=1)[:, : len(risks)], n, alpha, delta)
    broken = np.sum((chosen >= 0) & (risks[np.maximum(chosen, 0)] > alpha))
    assert stats.binom.sf(broken - 1, 3_000, delta) > 1e-4  # not significantly more often than delta
    assert broken > 0  # and not for want of trying: the bound is not slack without need


def test_fixed_sequence_for_many_is_the_choice_for_one():
    for seed in range(20):
        scores, labels = sample(1500, seed=seed)
        clean = scores[labels == 0]
        index = int(th.loosest(th.count_touched(clean), len(clean), 0.02, 0.05))
        assert th.choose(scores, labels, alpha=0.02, delta=0.05).threshold == (None if index < 0 else th.GRID[index])


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_properties(data):
    n = data.draw(st.integers(1, 400))
    scores = np.array(data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)))
    labels = np.array(data.draw(st.lists(st.sampled_from([0, 0, 0, 1, -1]), min_size=n, max_size=n)))
    strict, loose = (th.choose(scores, labels, alpha=alpha, delta=0.1) for alpha in (0.05, 0.2))
    if strict.threshold is not None:  # who promises more touches less
        assert loose.threshold is not None
        assert strict.threshold >= loose.threshold
    for promise in (strict, loose):
        assert (promise.threshold is None) == (promise.reason is not None)
        if promise.threshold is not None:
            assert promise.touched.value <= promise.alpha
            assert promise.p_value <= promise.delta * (1 + 1e-9)
        json.dumps(promise.to_dict(), allow_nan=False)


def test_mapie_agrees():
    """MAPIE tests the same hypotheses in the same order; where its count of touched posts is not rounded up by a hair, its threshold is ours."""
    risk_control = pytest.importorskip("mapie.risk_control", reason="MAPIE is not installed: pip install mapie")
    same = 0
    for seed in range(4):
        scores, labels = sample(2500, seed=seed)
        controller = risk_control.BinaryClassificationController(
            lambda x: np.column_stack((1 - x[:, 0], x[:, 0])), "fpr", target_level=0.03, confidence_level=0.95, list_predict_params=th.GRID, fwer_method="fixed_sequence"
        )
        controller.calibrate(scores[:, None], labels)
        promise = th.choose(scores, labels, alpha=0.03, delta=0.05)
        theirs = float(controller.best_predict_param)
        assert theirs >= promise.threshold
        same += theirs == promise.threshold
        clean = scores[labels == 0]
        exact = np.array([th.binomial_tail(int(k), len(clean), 0.03) for k in th.count_touched(clean)])
        ours = exact[exact > 1e-12]
        mapies = np.ravel(controller.p_values)[exact > 1e-12]
        assert np.all(mapies >= ours * (1 - 1e-6))
        assert np.median(mapies / ours) == pytest.approx(1, rel=1e-6)
    assert same >= 2


# --- many ----------------------------------------------------------------------------------------------------------------------------------------

HATE, ABUSE, VIOLENCE = Category.HATE, Category.ABUSE, Category.VIOLENCE


def scored(sizes=None, categories=(HATE, VIOLENCE), positive=0.05, seed=0, **extra):
    """Languages with so many posts each."""
    sizes = sizes or {"de": 6000, "fr": 6000}
    languages = np.repeat(list(sizes), list(sizes.values()))
    parts = [sample(len(languages), positive, seed + i) for i in range(len(categories))]
    scores, labels = (np.column_stack([p[i] for p in parts]) for i in (0, 1))
    return th.Scored(languages, tuple(categories), scores, labels.astype(np.int8), **extra)


def test_delta_is_shared_by_all_promises():
    calibration = th.fit_all(scored(), alpha=0.02, alpha_hold=0.005, delta=0.08)
    assert calibration.tests == 8  # two languages, two categories, review and hold
    assert {f.review.delta for f in calibration.fits} == {0.01}
    each = th.fit_all(scored(), alpha=0.02, alpha_hold=0.005, delta=0.08, multiplicity="each")
    assert {f.review.delta for f in each.fits} == {0.08}
    assert "taken alone" in each.words()
    assert "hold together" in calibration.words()
    assert "confidence 92%" in calibration.words()


def test_promises_that_the_labels_cannot_carry_cost_nothing():
    few = th.fit_all(scored({"de": 6000, "is": 40}), alpha=0.02, delta=0.05, at_least=0)
    assert few.tests == 2
    assert {f.group: f.review.threshold is None for f in few.fits} == {"de": False, "is": True}
    assert next(f.review.needed for f in few.fits if f.group == "is") >= 149


def test_small_languages_share():
    calibration = th.fit_all(scored({"de": 3000, "is": 120, "mt": 140, "ary": 900, "arq": 900}), alpha=0.02, delta=0.05, mapping={"ary": "maghreb", "arq": "maghreb"})
    assert calibration.members == {"de": ("de",), "maghreb": ("arq", "ary"), "other": ("is", "mt")}
    assert any("pooled as 'other'" in w for w in calibration.warnings)
    cuts = calibration.cuts()
    assert cuts["ary"] == cuts["arq"]


def test_a_group_does_not_hide_its_members():
    data = scored({"ary": 4000, "arq": 300}, categories=(HATE,))
    data.scores[data.languages == "arq"] = np.clip(data.scores[data.languages == "arq"] + 0.5, 0, 1)
    calibration = th.fit_all(data, alpha=0.09, delta=0.05, mapping={"ary": "maghreb", "arq": "maghreb"})
    assert calibration.promised
    assert any("arq alone does not" in w for w in calibration.warnings)


def test_all_categories_together():
    data = scored(categories=(HATE, ABUSE, VIOLENCE))
    calibration = th.fit_all(data, alpha=0.05, alpha_hold=0.01, delta=0.05, together=True)
    assert {f.category for f in calibration.fits} == {None}
    review, hold = calibration.cuts()["de"][HATE]
    assert calibration.cuts()["de"] == {HATE: (review, hold), ABUSE: (review, None), VIOLENCE: (review, hold)}
    rows = (data.languages == "de") & (data.labels == 0).all(axis=1)
    fit = calibration.fits[0]
    assert fit.review.touched.k == (data.scores[rows] >= review).any(axis=1).sum()
    assert fit.hold.touched.k == (data.scores[rows][:, [0, 2]] >= hold).any(axis=1).sum()


def test_rules_are_counted_when_the_file_says_what_they_found():
    data = scored(categories=(HATE,))
    raised = tuple(frozenset({"incitement"}) if i % 100 == 0 else frozenset() for i in range(len(data)))
    with_rules = th.Scored(data.languages, data.categories, data.scores, data.labels, raised)
    blind = th.fit_all(data, alpha=0.02, delta=0.05, review_findings=["incitement"])
    seeing = th.fit_all(with_rules, alpha=0.02, delta=0.05, review_findings=["incitement"])
    assert any("not counted" in w for w in blind.warnings)
    assert "sent by a rule" in seeing.words()
    assert "sent by a rule" not in blind.words()
    assert seeing.fits[0].review.threshold > blind.fits[0].review.threshold


def test_doubts_are_said():
    enriched = th.fit_all(scored(positive=0.4), alpha=0.02, delta=0.05)
    assert any("were not drawn from one at random" in w for w in enriched.warnings)
    data = scored(categories=(HATE,))
    copies = th.fit_all(data.take(np.tile(np.arange(2000), 3)), alpha=0.02, delta=0.05)
    assert any("copies of one message" in w for w in copies.warnings)
    time = np.arange(len(data), dtype=float)
    drifting = th.Scored(data.languages, data.categories, np.clip(data.scores + 0.3 * (time[:, None] % 6000 > 3000), 0, 1), data.labels, time=time)
    assert any("while the labels were gathered" in w for w in th.fit_all(drifting, alpha=0.5, delta=0.05).warnings)
    steady = th.Scored(data.languages, data.categories, data.scores, data.labels, time=time)
    assert th.fit_all(steady, alpha=0.02, delta=0.05).warnings == ()


def test_capacity_is_shared_out():
    calibration = th.fit_all(scored(), capacity=1600, volume=50_000, prevalence=0.015, delta=0.05, mix={"de": 0.75, "fr": 0.25})
    loads = {(f.group, f.category): f.review.load for f in calibration.fits}
    assert loads["de", HATE].volume == 37_500
    assert sum(load.at_most for load in loads.values()) <= 1600
    assert "than people can read" in calibration.words()
    assert any("mixed in the file" in w for w in th.fit_all(scored(), capacity=1600, volume=50_000, prevalence=0.015).warnings)
    unseen = th.fit_all(scored(), capacity=1600, volume=50_000, prevalence=0.015, mix={"de": 1.0})
    assert {f.group: f.review.threshold is None for f in unseen.fits}["fr"]


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({}, "either alpha"),
        ({"alpha": 0.02, "capacity": 400}, "either alpha"),
        ({"capacity": 400}, "volume"),
        ({"alpha": 0.02, "alpha_hold": 0.1}, "weighs more"),
        ({"alpha": 0.02, "multiplicity": "holm"}, "bonferroni or each"),
        ({"alpha": 0.02, "prevalence": 0.0, "volume": 10}, "prevalence"),
        ({"alpha": 0.02, "categories": [ABUSE]}, "no labels with scores for abuse"),
    ],
)
def test_settings_that_are_none(settings, about):
    with pytest.raises(InputError, match=about):
        th.fit_all(scored(), **settings)


# --- the policy ------------------------------------------------------------------------------------------------------------------------------------


def assessment(language, scores, findings=()):
    values = {c: Score(c, v, "measured") for c, v in scores.items()}
    found = tuple(Finding(f"test/{c.value}", c, "raise", 0, 1, "a test.") for c in findings)
    return Assessment(Text("", "", "", (), ()), Language(language, 1.0), values, {}, found, Tier.NONE, {}, False)


def test_what_is_written_decides_as_chosen(tmp_path):
    calibration = th.fit_all(
        scored({"de": 6000, "fr": 6000, "is": 100}), alpha=0.02, alpha_hold=0.005, delta=0.05, review_findings=["incitement"], at_least=0, prevalence=0.015, volume=1000
    )
    path, evidence = calibration.write(tmp_path / "parliament.yaml")
    policy = load_policy(path)
    assert policy.evidence == evidence.name == "parliament.evidence.json"
    cut = policy.cut("de", HATE)
    assert (cut.review, cut.hold) == calibration.cuts()["de"][HATE]
    assert policy.decide(assessment("de", {HATE: cut.review})).action is Action.REVIEW
    assert policy.decide(assessment("de", {HATE: cut.review - 1e-6})).action is Action.ALLOW
    assert policy.decide(assessment("de", {HATE: cut.hold}, [Category.INCITEMENT])).action is Action.HOLD
    assert policy.decide(assessment("de", {HATE: 1.0})).action is Action.REVIEW  # one kind of evidence
    for unmeasured in ("is", "sv", "und"):  # nothing was promised there
        assert policy.decide(assessment(unmeasured, {HATE: 1.0, VIOLENCE: 1.0})).action is Action.ALLOW
        assert policy.decide(assessment(unmeasured, {HATE: 1.0}, [Category.INCITEMENT])).action is Action.REVIEW
    data = json.loads(evidence.read_text())
    assert data["what"] == calibration.words()
    assert len(data["assumptions"]) == 5
    assert data["fits"][0]["review"]["threshold"] == cut.review
    assert len(data["trade_off"]) == len(data["fits"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parliament.evidence.json", "parliament.yaml"]


def test_together_and_abuse_make_policies_too(tmp_path):
    path, _ = th.fit_all(scored(categories=(ABUSE, HATE)), alpha=0.05, alpha_hold=0.01, together=True).write(tmp_path / "together.yaml")
    assert load_policy(path).cut("de", ABUSE).hold is None


def test_the_unknown_language_is_never_held(tmp_path):
    path, _ = th.fit_all(scored({"und": 6000}, categories=(HATE,)), alpha=0.02, alpha_hold=0.005).write(tmp_path / "und.yaml")
    assert load_policy(path).cut("und", HATE).review is not None
    assert load_policy(path).cut("und", HATE).hold is None


def test_no_promise_no_file(tmp_path):
    calibration = th.fit_all(scored({"is": 50}), alpha=0.02, delta=0.05)
    with pytest.raises(InputError, match="nothing is written"):
        calibration.write(tmp_path / "policy.yaml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("path", "about"), [("missing/policy.yaml", "no such directory"), ("My_Policy.yaml", "--name")])
def test_places_that_are_none(tmp_path, path, about):
    with pytest.raises(InputError, match=about):
        th.fit_all(scored(), alpha=0.02).write(tmp_path / path)


# --- files -----------------------------------------------------------------------------------------------------------------------------------------


def write_jsonl(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


ROWS = [
    {"language": "de", "score_hate": 0.1, "hate": 0, "text": "left-handers smear ink"},
    {"language": "de", "score_hate": 0.9, "hate": 1, "text": "t"},
    {"language": None, "score_hate": None, "hate": None, "text": "t"},
]


def test_all_formats_say_the_same(tmp_path):
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    table = pa.Table.from_pylist(ROWS)
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    pa.csv.write_csv(table, tmp_path / "a.csv")
    for path in (write_jsonl(tmp_path / "a.jsonl", ROWS), tmp_path / "a.parquet", tmp_path / "a.csv"):
        got = th.read_scored(path)
        assert got.categories == (HATE,)
        assert got.languages.tolist()[:2] == ["de", "de"]
        assert got.labels[:, 0].tolist() == [0, 1, -1]
        assert got.scores[:2, 0].tolist() == [0.1, 0.9]
        assert np.isnan(got.scores[2, 0])


def test_assessments_and_labels_are_joined(tmp_path):
    def row(i, value, findings=()):
        return {"id": f"0{i}", "language": {"code": "de", "confidence": 1.0}, "scores": {"hate": value, "abuse": 0.1}, "findings": list(findings)}

    finding = {"rule": "de/x", "category": "incitement", "effect": "raise", "excused_by": None}
    rows = [row(1, 0.2), row(2, 0.8, [finding]), row(3, 0.5, [{**finding, "excused_by": "de/quotation"}]), {"id": "04", "error": "row 4: no text"}]
    (tmp_path / "labels.csv").write_text("id,hate,abuse,text\n02,1,,t\n01,0,1,t\n03,0,0,t\n04,1,1,t\n", encoding="utf-8")
    got = th.read_scored(write_jsonl(tmp_path / "assessed.jsonl", rows), tmp_path / "labels.csv")
    assert got.categories == (HATE, ABUSE)
    assert got.labels.tolist() == [[0, 1], [1, -1], [0, 0]]
    assert got.anyway(["incitement"]).tolist() == [False, True, False]
    flat = [{"id": "01", "language": "de", "hate": 0.3, "findings": json.dumps([finding])}]
    got = th.read_scored(write_jsonl(tmp_path / "flat.jsonl", flat), tmp_path / "labels.csv")
    assert got.scores.tolist() == [[0.3]]
    assert got.labels.tolist() == [[0]]
    assert got.anyway(["incitement"]).tolist() == [True]


def test_of_copies_one_is_kept(tmp_path):
    rows = [{"language": "de", "score_hate": 0.1, "hate": 0, "cluster": c} for c in ("a", "a", "a", "b", None, None)]
    assert len(th.read_scored(write_jsonl(tmp_path / "c.jsonl", rows))) == 4


def test_times_of_all_kinds(tmp_path):
    for values in ([1, 2], ["2025-03-27T10:00:00Z", "2025-03-27T11:00:00Z"], ["2025-03-27", "2025-03-28"]):
        rows = [{"language": "de", "score_hate": 0.1, "hate": 0, "time": v} for v in values]
        time = th.read_scored(write_jsonl(tmp_path / "t.jsonl", rows)).time
        assert time[0] < time[1]


FAULTS = [
    ([{"score_hate": 0.1, "hate": 0}], "no column 'language'"),
    ([{"language": "de", "hate": 0}], "no category has both"),
    ([{"language": "de", "score_hate": 0.1, "hate": 0}, {"language": "de", "score_hate": 1.5, "hate": 0}], "row 2: 'score_hate'"),
    ([{"language": "de", "score_hate": 0.1, "hate": 0.4}], "row 1: 'hate' must be 1, 0 or null"),
    ([{"language": "de", "score_hate": 0.1, "hate": 0}, {"language": "de", "score_hate": "secret words", "hate": 0}], "score_hate"),
    ([{"language": "de", "score_hate": 0.1, "hate": 0, "time": "secret words"}], "row 1: 'time'"),
]


@pytest.mark.parametrize(("rows", "about"), FAULTS)
def test_faults_are_named_without_their_content(tmp_path, rows, about):
    with pytest.raises(InputError, match=about) as caught:
        th.read_scored(write_jsonl(tmp_path / "f.jsonl", rows))
    assert "secret" not in str(caught.value)
    assert "f.jsonl" in str(caught.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "x.csv").write_text("language,score_hate,hate\nde,0.1,0\nde,secret words\n", encoding="utf-8")
    for name, about in (("x.csv", "row"), ("missing.csv", "no such file"), ("x.txt", "this ends in")):
        with pytest.raises(InputError, match=about) as caught:
            th.read_scored(tmp_path / name)
        assert "secret" not in str(caught.value)
    good = write_jsonl(tmp_path / "good.jsonl", [{"id": "1", "language": "de", "scores": {"hate": 0.1}}])
    for labels, about in (("id,hate\n9,0\n", "none of its ids"), ("id,hate\n1,0\n1,1\n", "twice"), ("name,hate\n1,0\n", "no column 'id'")):
        (tmp_path / "l.csv").write_text(labels, encoding="utf-8")
        with pytest.raises(InputError, match=about):
            th.read_scored(good, tmp_path / "l.csv")


# --- drift -----------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "shift"), [(50, 80, 0.0), (400, 300, 0.1), (2000, 2000, 0.02), (1000, 50, 0.5)])
def test_kolmogorov_smirnov_is_scipys(n, m, shift):
    random = np.random.default_rng(n)
    a, b = random.random(n), random.random(m) + shift
    d, p = th.kolmogorov_smirnov(a, b)
    expected = stats.ks_2samp(a, b, method="asymp")
    assert d == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, abs=0.02)
    assert th.kolmogorov_smirnov(a, b, slack=1.0)[1] == 1.0
    assert th.kolmogorov_smirnov([], b) == (0.0, 1.0)


def test_g_is_scipys():
    a, b = np.array([300, 120, 40, 0]), np.array([280, 150, 60, 5])
    expected = stats.chi2_contingency(np.vstack((a, b)), lambda_="log-likelihood", correction=False)
    g, p = th.g_test(a, b)
    assert g == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, abs=0.02)
    assert th.g_test([5], [9]) == (0.0, 1.0)
    assert th.g_test([500, 0], [0, 500])[1] == pytest.approx(1 / 2001)


def test_nobody_wins_against_an_exchangeable_stream():
    """Ville: the chance that the capital ever reaches 1 / level is at most level."""
    random = np.random.default_rng(0)
    alarms = sum(th.Martingale(0.1, seed=i).run(np.round(random.beta(1, 9, 400), 2)).changed for i in range(200))  # with ties
    assert stats.binom.sf(alarms - 1, 200, 0.1) > 1e-3


def test_conformal_p_values_are_uniform_and_independent():
    random = np.random.default_rng(0)
    martingale = th.Martingale()
    p = np.array([martingale._conformal_p(s) for s in np.round(random.beta(1, 9, 4000), 2)])
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(p[1:], p[:-1])[0, 1]) < 0.05


def test_one_by_one_is_all_at_once():
    stream = np.concatenate((np.random.default_rng(0).random(300), np.random.default_rng(1).random(300) / 3))
    one, all_at_once = th.Martingale(0.001), th.Martingale(0.001).run(stream)
    logs = [one.update(s) for s in stream]
    assert one.alarm_at == all_at_once.alarm_at == 1 + next(i for i, log in enumerate(logs) if log >= math.log(1000))
    assert one.highest == pytest.approx(all_at_once.highest)


@pytest.mark.parametrize("shift", [0.15, -0.15])
def test_a_change_is_seen_soon(shift):
    random = np.random.default_rng(0)
    stream = np.concatenate((random.beta(3, 9, 1000), np.clip(random.beta(3, 9, 1000) + shift, 0, 1)))
    martingale = th.Martingale(0.001).run(stream)
    assert martingale.changed
    assert 1000 < martingale.alarm_at < 1400
    assert martingale.p_value <= 0.001


def test_a_martingale_needs_a_level():
    with pytest.raises(ValueError, match="false alarm"):
        th.Martingale(1.0)


def test_drift_tells_alike_from_changed():
    reference = th.Drift.from_dict(json.loads(json.dumps(th.Drift.of(scored(seed=0)).to_dict())))
    alike = scored(seed=50, positive=0.015)
    alike = alike.take(np.random.default_rng(0).permutation(len(alike)))
    assert not any(c.changed for c in reference.check(alike))
    louder = th.Scored(alike.languages, alike.categories, np.clip(alike.scores + 0.05, 0, 1), alike.labels)
    assert {c.what for c in reference.check(louder) if c.changed} == {"scores"}
    assert "label a fresh sample" in next(c.words for c in reference.check(louder) if c.changed)
    mixed = scored({"de": 1000, "fr": 8000, "sv": 700}, seed=9)
    mixed = mixed.take(np.random.default_rng(0).permutation(len(mixed)))
    change = next(c for c in reference.check(mixed) if c.what == "languages")
    assert change.changed
    assert "Without any promise: sv (7.2%)" in change.words
    time = np.arange(len(alike), dtype=float)
    turning = th.Scored(alike.languages, alike.categories, np.clip(alike.scores + 0.2 * (time[:, None] > 6000), 0, 1), alike.labels, time=time)
    assert "order" in {c.what for c in reference.check(turning) if c.changed}


def test_false_alarms_are_rare():
    """All tests together share the level: over 30 streams at 10%, about three at most."""
    reference = th.Drift.of(scored({"de": 2000, "fr": 2000}))
    alarms = 0
    for seed in range(30):
        stream = scored({"de": 500, "fr": 500}, positive=0.0, seed=100 + 7 * seed)
        alarms += any(c.changed for c in reference.check(stream.take(np.random.default_rng(seed).permutation(len(stream))), level=0.1, prevalence=0.0))
    assert stats.binom.sf(alarms - 1, 30, 0.1) > 1e-3


@pytest.mark.parametrize("data", [{}, {"edges": [0.5], "scores": {}, "languages": {}}, {"edges": th.EDGES.tolist(), "scores": [], "languages": {}}])
def test_a_reference_that_is_none(data):
    with pytest.raises(InputError, match="policy fit"):
        th.Drift.from_dict(data)


# --- the module --------------------------------------------------------------------------------------------------------------------------------------


def test_the_import_is_light():
    code = "import sys, ipu_moderation.thresholds; print([m for m in ('scipy', 'sklearn', 'pyarrow', 'yaml', 'pydantic', 'torch', 'onnxruntime') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# --- the commands ------------------------------------------------------------------------------------------------------------------------------------


def command(*arguments):
    return CliRunner().invoke(policy_app, [str(a) for a in arguments], terminal_width=200)


@pytest.fixture(scope="module")
def scores_file(tmp_path_factory):
    data = scored({"de": 5000, "fr": 5000, "is": 160}, categories=(HATE,))
    rows = zip(data.languages.tolist(), data.scores[:, 0].tolist(), data.labels[:, 0].tolist(), strict=True)
    return write_jsonl(tmp_path_factory.mktemp("scores") / "scores.jsonl", [{"language": lang, "score_hate": s, "label_hate": y, "text": "secret words"} for lang, s, y in rows])


def test_fit_writes_a_policy_that_keeps_its_promise(scores_file, tmp_path):
    target = tmp_path / "mine.yaml"
    result = command("fit", scores_file, "-o", target, "--alpha", 0.02, "--alpha-hold", 0.004, "--volume", 50_000, "--prevalence", 0.015, "--at-least", 1)
    assert result.exit_code == 0, result.output
    assert "With confidence 95% all of these promises hold together" in result.stdout
    assert "at most 2% of protected posts" in result.stdout
    assert "none  is, hate, review" in result.stdout
    assert "labelled protected posts would do" in result.stdout
    assert "not counted" in result.stderr  # the file does not say what rules found
    assert "secret" not in result.output + target.read_text() + (tmp_path / "mine.evidence.json").read_text()
    policy = load_policy(target)
    data = th.read_scored(scores_file)
    clean = data.scores[(data.languages == "de") & (data.labels[:, 0] == 0), 0]
    assert np.mean(clean >= policy.cut("de", HATE).review) <= 0.02
    assert policy.cut("is", HATE).review is None
    assert [c.value for c in policy.review_findings] == [c.value for c in load_policy("cautious").review_findings]


def test_show_says_what_is_promised_and_whether_it_still_fits(scores_file, tmp_path):
    target = tmp_path / "mine.yaml"
    assert command("fit", scores_file, "-o", target, "--rules-of", "none", "--volume", 50_000, "--prevalence", 0.015).exit_code == 0
    shown = command("show", target, "--trade-off")
    assert shown.exit_code == 0, shown.output
    expected = ["Promise: With confidence 95%", "It assumes: The labelled protected posts are exchangeable", "any other", "by themselves: none", "precision"]
    for words in expected:
        assert words in shown.stdout
    data = th.read_scored(scores_file)
    order = np.random.default_rng(0).permutation(len(data))
    alike = write_jsonl(tmp_path / "alike.jsonl", [{"language": str(data.languages[i]), "score_hate": data.scores[i, 0]} for i in order])
    louder = write_jsonl(tmp_path / "louder.jsonl", [{"language": str(data.languages[i]), "score_hate": min(1, data.scores[i, 0] + 0.2)} for i in order])
    same = command("show", target, "--stream", alike, "--prevalence", 0.06)
    assert same.exit_code == 0, same.output
    assert "changed  " not in same.stdout
    assert "changed  scores for hate in de" in command("show", target, "--stream", louder).stdout
    tests = json.loads(command("show", target, "--stream", louder, "--json").stdout)["stream"]
    assert {t["what"] for t in tests if t["changed"]} == {"scores"}


def test_show_a_preset():
    result = command("show", "review-only")
    assert result.exit_code == 0, result.output
    assert "review-only@" in result.stdout


def test_fit_by_capacity(scores_file, tmp_path):
    result = command("fit", scores_file, "-o", tmp_path / "c.yaml", "--capacity", 1500, "--volume", 50_000, "--prevalence", 0.015, "--json", "--rules-of", "none")
    assert result.exit_code == 0, result.output
    loads = [f["review"]["load"] for f in json.loads(result.stdout)["fits"] if f["review"]["load"]]
    assert 0 < sum(load["reviews_per_day_at_most"] for load in loads) <= 1500


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["--alpha", 0.00001], "no threshold can be promised"),
        (["--alpha", 0.02, "--capacity", 400], "give one of them"),
        (["--capacity", 400], "volume"),
        (["--group", "north"], "NAME=CODE,CODE"),
        (["--group", "a=de", "--group", "b=de"], "already"),
        (["--mix", "de"], "CODE=SHARE"),
        (["--mix", "de=0.9", "--mix", "fr=0.9"], "sum up"),
        (["--confidence", 1.0], "delta"),
        (["--rules-of", "nosuch"], "there is no policy"),
    ],
)
def test_fit_stops_with_one_message_and_writes_nothing(scores_file, tmp_path, arguments, about):
    result = command("fit", scores_file, "-o", tmp_path / "p.yaml", *arguments)
    assert result.exit_code == 1
    assert about in result.stderr
    assert not list(tmp_path.iterdir())


def test_fit_writes_yaml_only(scores_file, tmp_path):
    assert "written as .yaml" in command("fit", scores_file, "-o", tmp_path / "p.json").stderr


def test_show_needs_evidence_for_a_stream(scores_file, tmp_path):
    target = tmp_path / "mine.yaml"
    command("fit", scores_file, "-o", target)
    (tmp_path / "mine.evidence.json").unlink()
    assert "not at hand" in command("show", target).stdout
    result = command("show", target, "--stream", scores_file)
    assert result.exit_code == 1
    assert "no evidence at hand" in result.stderr


# --- the docs ----------------------------------------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parent.parent


def test_the_numbers_in_the_docs_are_true():
    text = (ROOT / "docs" / "thresholds.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.partition("<!-- labels needed -->")[2].partition("<!-- /labels needed -->")[0].strip().splitlines()
    ]
    assert len(rows) == 7
    for alpha, *cells in rows[2:]:
        share = float(alpha.rstrip("%")) / 100
        assert cells == [f"{th.labels_needed(share, delta, rate * share):,}" for delta in (0.05, 0.05 / 20) for rate in (0, 0.5)]
    assert f"2% becomes {th.choose(*sample(), alpha=0.02, delta=0.05).if_labels_err(0.01):.2%}" in text


def test_the_table_in_the_docs_is_the_one_that_was_measured():
    guarantee = pytest.importorskip("eval.guarantee", reason="eval is not on the path: run from a clone")
    if not guarantee.RESULTS.is_file():
        pytest.skip("nothing was measured yet: python -m eval.guarantee")
    results = json.loads(guarantee.RESULTS.read_text(encoding="utf-8"))
    text = guarantee.DOCS.read_text(encoding="utf-8")
    assert guarantee.insert(text, guarantee.table(results)) == text
    assert results["all_kept"]
    assert results["languages"] >= 8
    assert results["resamplings"] >= 1000


def test_the_code_in_the_docs_runs(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "thresholds.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    data = scored({"de": 5000, "fr": 5000}, categories=(HATE,))
    rows = zip(data.languages.tolist(), data.scores[:, 0].tolist(), data.labels[:, 0].tolist(), strict=True)
    write_jsonl(tmp_path / "scores.jsonl", [{"language": lang, "score_hate": s, "label_hate": y} for lang, s, y in rows])
    write_jsonl(tmp_path / "stream.jsonl", [{"language": "de", "score_hate": s} for s in data.scores[:3000, 0].tolist()])
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    for block in blocks:
        exec(block, space)
    assert len(blocks) >= 2
    assert (tmp_path / "parliament.yaml").is_file()


def test_the_docs_quote_the_promise_as_it_is_made():
    text = " ".join((ROOT / "docs" / "thresholds.md").read_text(encoding="utf-8").replace("\n> ", " ").split())
    assert th.fit_all(scored(), alpha=0.02, alpha_hold=0.005, delta=0.05).words() in text


def test_every_option_of_fit_is_in_the_docs():
    text = (ROOT / "docs" / "thresholds.md").read_text(encoding="utf-8")
    command_line = typer.main.get_command(policy_app)
    for name, one in command_line.commands.items():
        assert f"policy {name}" in text
        for parameter in one.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option in text or option in ("-o", "--help"), f"{name} {option}"


# --- eval.guarantee ------------------------------------------------------------------------------------------------------------------------------------


def test_the_measurement_finds_a_promise_kept_and_one_broken(tmp_path, scores_file):
    guarantee = pytest.importorskip("eval.guarantee", reason="eval is not on the path: run from a clone")
    out = tmp_path / "out.json"
    assert guarantee.main([str(scores_file), "--scorer", "a test", "--resamplings", "300", "-o", str(out)]) == 0
    results = json.loads(out.read_text())
    assert results["languages"] == 2
    assert [(r["language"], r["action"]) for r in results["rows"]] == [(lang, action) for lang in ("de", "fr") for action in ("review", "hold")]
    for row in results["rows"]:
        assert row["kept"]["value"] > 0.85
        assert row["kept_without_a_test"] < 0.75  # the test earns its keep
        assert row["share_mean"] < row["promised_share"]
    assert "secret" not in out.read_text()
    setting = guarantee.Setting(0.02, 0.005, 0.1, 300, 500, 0.015, 50_000, 0)
    cell = guarantee.measure(th.read_scored(scores_file), setting)[0]
    cell.alone = cell.naive  # without a test
    assert cell.to_dict(setting)["broken_beyond_chance"]


def test_the_measurement_needs_posts(tmp_path, scores_file, capsys):
    guarantee = pytest.importorskip("eval.guarantee", reason="eval is not on the path: run from a clone")
    assert guarantee.main([str(scores_file), "--scorer", "a test", "--at-least", "100000", "-o", str(tmp_path / "out.json")]) == 1
    assert "no language has 100000 protected posts" in capsys.readouterr().err
