"""The moderator: order, laziness, threads, forks, and what it makes of callers who give the wrong thing."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice, repeat
from pathlib import Path
from typing import Any

import pytest
from conftest import StandIn, held

from ipu_moderation import Action, Category, Context, Decision, InputError, Language, ModelError, Moderator, PolicyError, Tier
from ipu_moderation.moderator import CHUNK, DIGITS, package_version
from ipu_moderation.policy import load_policy
from ipu_moderation.resources import policy_file
from ipu_moderation.rules import RuleSet

TEXTS = [f"post {i} of a cyclist {'who is furious' * (i % 7 == 0)}" for i in range(2 * CHUNK + 10)]


def test_a_text_is_seen_from_end_to_end(moderator: Moderator) -> None:
    assessment = moderator.assess("I am furious: the cyclists must go!")
    assert assessment.language.code == "en"
    assert assessment.scores[Category.HATE].value == 0.97
    assert assessment.scores[Category.HATE].support == "measured"
    [finding] = assessment.raised(Category.INCITEMENT)
    assert (finding.rule, finding.start, finding.end) == ("stand-in/cyclists-must-go", 18, 34)
    assert assessment.tier is Tier.TOP
    assert moderator.decide(assessment).action is Action.HOLD


def test_an_excuse_is_seen(moderator: Moderator) -> None:
    assessment = moderator.assess("I am furious, but nobody says cyclists must go")
    assert assessment.raised() == ()
    assert [f.excused_by for f in assessment.findings if f.effect == "raise"] == ["stand-in/nobody-says"]
    assert moderator.decide(assessment).action is Action.REVIEW


@pytest.mark.parametrize(
    ("text", "tier"),
    [("calm words about bread", Tier.NONE), ("calm words: she took bribes", Tier.BOTTOM), ("calm: cyclists must go", Tier.TOP), ("furious", Tier.TOP)],
)
def test_the_first_reading_of_gravity(text: str, tier: Tier, moderator: Moderator) -> None:
    assert moderator.assess(text).tier is tier


# ------------------------------------------------------------------------------------------------------------------ many texts


def test_many_come_back_in_order_and_as_one_by_one(moderator: Moderator) -> None:
    many = list(moderator.assess_many(TEXTS))
    assert [a.text.raw for a in many] == TEXTS
    assert [many[i] for i in (0, CHUNK - 1, CHUNK, -1)] == [moderator.assess(TEXTS[i]) for i in (0, CHUNK - 1, CHUNK, -1)]


def test_reading_ahead_is_bounded(moderator: Moderator) -> None:
    taken = count()
    endless: Iterator[str] = (f"post {n}" for n in taken)
    seen = moderator.assess_many(endless)
    assert next(taken) == 0  # nothing is read before something is asked for
    next(seen)
    assert next(taken) == CHUNK + 1
    assert len(list(islice(seen, 2 * CHUNK))) == 2 * CHUNK
    assert next(taken) == 3 * CHUNK + 2


def test_no_texts_no_assessments(rules: RuleSet) -> None:
    classifier = StandIn()
    assert list(Moderator(classifier, rules).assess_many([])) == []
    assert classifier.batches == []


def test_batches_are_whole(rules: RuleSet) -> None:
    classifier = StandIn()
    list(Moderator(classifier, rules).assess_many(TEXTS))
    assert classifier.batches == [CHUNK, CHUNK, 10]


@pytest.mark.parametrize("wrong", [None, 7, b"bytes", ["list"], float("nan")], ids=lambda w: type(w).__name__)
def test_what_is_no_text_is_refused(wrong: Any, moderator: Moderator) -> None:
    with pytest.raises(InputError, match=f"text 1 is {type(wrong).__name__}, not str"):
        moderator.assess(wrong)


def test_what_came_before_a_wrong_text_is_given_first(moderator: Moderator) -> None:
    seen, texts = [], [*TEXTS[: CHUNK + 3], None, "never reached"]
    with pytest.raises(InputError, match=f"text {CHUNK + 4} is NoneType, not str"):
        for assessment in moderator.assess_many(texts):  # type: ignore[arg-type]
            seen.append(assessment.text.raw)
    assert seen == TEXTS[: CHUNK + 3]


def test_an_error_of_the_callers_iterator_passes_through(moderator: Moderator) -> None:
    def texts() -> Iterator[str]:
        yield "one"
        raise OSError("the line went dead")

    seen = moderator.assess_many(texts())
    assert next(seen).text.raw == "one"
    with pytest.raises(OSError, match="went dead"):
        next(seen)


def test_one_string_is_not_many_texts(moderator: Moderator) -> None:
    with pytest.raises(InputError, match="use `assess`"):
        moderator.assess_many("hello")


# ----------------------------------------------------------------------------------------------------- languages and contexts beside texts


@pytest.mark.parametrize(("stated", "code", "support"), [("fr", "fr", "measured"), ("EN_gb", "en-GB", "unmeasured"), ("sw", "sw", "unmeasured"), ("und", "und", "unmeasured")])
def test_a_stated_language_is_taken(stated: str, code: str, support: str, moderator: Moderator) -> None:
    assessment = moderator.assess("furious words", language=stated)
    assert assessment.language == Language(code, 1.0)
    assert assessment.support == support


def test_languages_stand_beside_texts_and_none_is_identified(moderator: Moderator) -> None:
    text = "The council votes on the new bicycle lanes next week."
    assert [a.language.code for a in moderator.assess_many([text] * 3, languages=["fr", None, "pt-br"])] == ["fr", "en", "pt-BR"]
    assert [a.language.code for a in moderator.assess_many([text] * 2, languages=repeat("sw"))] == ["sw", "sw"]


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"languages": ["en"]}, "languages ended after 1, but there is a text 2"),
        ({"contexts": []}, "contexts ended after 0, but there is a text 1"),
        ({"languages": ["en", "my secret post"]}, "text 2: the language is no BCP 47 code"),
        ({"contexts": [None, {"reach": 5}]}, "text 2: the context is dict, not Context"),
    ],
)
def test_what_stands_beside_must_fit(beside: dict[str, Any], message: str, moderator: Moderator) -> None:
    with pytest.raises(InputError, match=message) as caught:
        list(moderator.assess_many(["one", "two"], **beside))
    assert "secret" not in str(caught.value)


def test_a_context_travels_along_to_the_decision_and_is_no_evidence(moderator: Moderator) -> None:
    known, text = Context(speaker_role="influential", situation="unrest", reach=1_000_000), "calm: cyclists must go"
    plain, told = moderator.assess_many([text, text], [None, known])
    assert plain == told
    assert (plain.context, told.context) == (None, known)
    assert moderator.decide(told).priority == moderator.decide(plain, context=known).priority > moderator.decide(plain).priority
    assert moderator.assess(text, known).context == known
    assert "context" not in plain.to_dict()
    assert told.to_dict()["context"] == {"speaker_role": "influential", "situation": "unrest", "reach": 1_000_000}


# ------------------------------------------------------------------------------------------------------------------------ decisions


def test_a_policy_by_name_by_path_or_as_it_is(moderator: Moderator, tmp_path: Path) -> None:
    shutil.copyfile(policy_file("review-only"), tmp_path / "ours.yaml")
    made: list[Decision] = [moderator.decide(held(), p) for p in ("review-only", tmp_path / "ours.yaml", str(tmp_path / "ours.yaml"), load_policy("review-only"))]
    assert made == [made[0]] * 4
    assert made[0].action is Action.REVIEW
    assert moderator.decide(held()).policy.startswith("cautious@")


def test_an_unknown_policy_is_named(moderator: Moderator) -> None:
    with pytest.raises(PolicyError, match="no policy 'harsh'"):
        moderator.decide(held(), "harsh")


def test_scores_have_as_many_decimals_as_are_written(moderator: Moderator) -> None:
    assert all(s.value == round(s.value, DIGITS) for a in moderator.assess_many(TEXTS[:20]) for s in (*a.scores.values(), *a.targets.values()))


# ------------------------------------------------------------------------------------------------------- threads, forks, pickles


@pytest.fixture(params=["stand-in", "compact"])
def any_moderator(request: pytest.FixtureRequest, rules: RuleSet) -> Moderator:
    if request.param == "stand-in":
        return Moderator(StandIn(), rules)
    return Moderator.from_directory(request.getfixturevalue("tiny_model"), rules)


SOME = [f"left-hander {i} says furious things, cyclists must go" for i in range(24)]


def test_eight_threads_see_the_same(any_moderator: Moderator) -> None:
    start = threading.Barrier(8)

    def look(n: int) -> list[Any]:
        start.wait()
        return [a.to_dict() for a in (any_moderator.assess_many(SOME) if n % 2 else map(any_moderator.assess, SOME))]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(look, range(8)))
    for result in results[1:]:
        assert_alike(result, results[0])


def assert_alike(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    """Equal but for the last decimal of a score: a matrix product may add up in another order."""
    for a, b in zip(one, other, strict=True):
        for part in ("scores", "targets"):
            assert a[part] == pytest.approx(b[part], abs=1.01 * 10**-DIGITS)
        assert {k: v for k, v in a.items() if k not in ("scores", "targets")} == {k: v for k, v in b.items() if k not in ("scores", "targets")}


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_sees_the_same(any_moderator: Moderator) -> None:
    before = [a.to_dict() for a in any_moderator.assess_many(SOME)]
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def look() -> None:
        seen = [a.to_dict() for a in any_moderator.assess_many(SOME)]
        pid, *_ = getattr(any_moderator.classifier, "_loaded", None) or [os.getpid()]
        results.put((seen, pid == os.getpid()))

    child = context.Process(target=look, daemon=True)
    child.start()
    try:
        seen, loaded_anew = results.get(timeout=60)
        assert_alike(seen, before)
        assert loaded_anew  # what is inherited has lost its threads: it would still be right, and slow
        child.join(30)
    finally:
        child.kill()  # nothing happens to one that has ended
    assert child.exitcode == 0
    assert_alike([a.to_dict() for a in any_moderator.assess_many(SOME)], before)  # and the parent goes on


def test_a_pickle_holds_the_configuration_and_sees_the_same(any_moderator: Moderator) -> None:
    list(any_moderator.assess_many(SOME))
    packed = pickle.dumps(any_moderator)
    assert b"cyclists" in packed  # the rules travel
    assert len(packed) < 20_000  # the weights do not
    copy = pickle.loads(packed)
    assert copy.versions == any_moderator.versions
    assert_alike([a.to_dict() for a in copy.assess_many(SOME)], [a.to_dict() for a in any_moderator.assess_many(SOME)])


def test_an_assessment_can_be_sent_between_processes(moderator: Moderator) -> None:
    assessment = moderator.assess("furious cyclists", Context(reach=3))
    assert pickle.loads(pickle.dumps(assessment)) == assessment


# --------------------------------------------------------------------------------------------------------------------- put together


def test_the_versions_of_one_assessment_are_its_own(moderator: Moderator) -> None:
    one = moderator.assess("calm")
    one.versions["model"] = "forged"  # type: ignore[index]
    assert moderator.assess("calm").versions["model"] == "stand-in@1"


def test_a_directory_without_a_model_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model directory"):
        Moderator.from_directory(tmp_path)


def test_faulty_rules_lose_neither_the_scores_nor_the_file(moderator: Moderator, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("furious secret")

    monkeypatch.setattr(type(moderator.rules), "find", fail)
    assessment = moderator.assess("furious secret")
    assert assessment.faults == ("rules: MemoryError",)
    assert assessment.scores
    assert moderator.decide(assessment).action is not Action.HOLD


def test_of_several_texts_rules_are_read_beside_the_classifier(moderator: Moderator, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, scoring = threading.Event(), threading.Event()
    find, score = type(moderator.rules).find, type(moderator.classifier).score
    met: list[bool] = []

    def find_after_scoring_began(*args: Any, **more: Any) -> Any:
        reading.set()
        met.append(scoring.wait(20))
        return find(*args, **more)

    def score_after_reading_began(*args: Any) -> Any:
        scoring.set()
        met.append(reading.wait(20))
        return score(*args)

    texts = [*TEXTS[:20], "They are vermin."]
    expected = [moderator.assess(t).to_dict() for t in texts]
    monkeypatch.setattr(type(moderator.rules), "find", find_after_scoring_began)
    monkeypatch.setattr(type(moderator.classifier), "score", score_after_reading_began)
    assert [a.to_dict() for a in moderator.assess_many(texts)] == expected
    assert len(met) == len(texts) + 1 and all(met)


def test_faults_of_rules_in_a_batch_stay_with_their_text(moderator: Moderator, monkeypatch: pytest.MonkeyPatch) -> None:
    find = type(moderator.rules).find

    def sometimes(rules: RuleSet, text: Any, language: Language) -> Any:
        if text.raw == TEXTS[3]:
            raise MemoryError("secret")
        return find(rules, text, language)

    monkeypatch.setattr(type(moderator.rules), "find", sometimes)
    assert [a.faults for a in moderator.assess_many(TEXTS[:6])] == [("rules: MemoryError",) if i == 3 else () for i in range(6)]


def test_the_default_is_the_model_of_the_package(default_model: Callable[[], Path]) -> None:
    default_model()
    moderator = Moderator.default()
    assert moderator.assess("Nobody may call our neighbours vermin.").scores
    assert moderator.versions["model"].startswith("compact@")


def test_the_version_is_the_installed_one_or_says_that_there_is_none() -> None:
    assert package_version()
