"""The nouns: frozen, checked where a wrong value would travel far, and the same after a journey through JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from conftest import assessments, contexts, held
from hypothesis import given

from ipu_moderation import types
from ipu_moderation.errors import InputError
from ipu_moderation.normalise import normalise
from ipu_moderation.taxonomy import Category, TargetGroup
from ipu_moderation.types import Assessment, Context, Finding, LabelledText, Language, Score, TargetScore, Verdict

NOUNS = [c for c in vars(types).values() if dataclasses.is_dataclass(c)]


@pytest.mark.parametrize("noun", NOUNS, ids=lambda c: c.__name__)
def test_nouns_are_frozen_and_have_slots(noun: Any) -> None:
    assert noun.__dataclass_params__.frozen
    assert "__slots__" in vars(noun)


@pytest.mark.parametrize(
    ("given_code", "code"),
    [("en", "en"), ("EN", "en"), ("en_gb", "en-GB"), ("PT-br", "pt-BR"), ("hi-latn", "hi-Latn"), ("zh_hant_tw", "zh-Hant-TW"), ("es-419", "es-419"), ("und", "und"), ("ary", "ary")],
)
def test_a_stated_language_takes_its_usual_case(given_code: str, code: str) -> None:
    assert Language.stated(given_code) == Language(code, 1.0)


@pytest.mark.parametrize("code", ["", " en", "e", "en-", "english please", "I like cyclists", "en\n", "12", "en--GB", 7, None, b"en"])
def test_what_is_no_language_is_refused_and_not_repeated(code: Any) -> None:
    with pytest.raises(InputError, match="no BCP 47 code") as caught:
        Language.stated(code)
    assert "cyclists" not in str(caught.value)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf"), 87])
def test_a_score_lies_in_its_range(value: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Score(Category.HATE, value, "measured")
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        TargetScore(TargetGroup.AGE, value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"speaker_role": "king"}, "speaker_role is not one of unknown, private, influential, official, candidate, journalist"),
        ({"about": "me"}, "about is not one of"),
        ({"medium": "pigeon"}, "medium is not one of"),
        ({"situation": None}, "situation is not one of"),
        ({"reach": -1}, "reach is a count"),
        ({"repeated": "many"}, "repeated is a count"),
        ({"reports": 0.5}, "reports is a count"),
    ],
)
def test_a_context_with_another_word_names_the_words_that_exist(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Context(**fields)


def test_a_context_says_what_is_known_and_nothing_else() -> None:
    assert Context().to_dict() == {}
    assert Context(reach=0, medium="speech").to_dict() == {"medium": "speech", "reach": 0}


@given(contexts)
def test_a_context_comes_back(context: Context) -> None:
    assert Context(**json.loads(json.dumps(context.to_dict()))) == context


@given(assessments())
def test_an_assessment_comes_back_from_json(assessment: Assessment) -> None:
    back = Assessment.from_dict(json.loads(json.dumps(assessment.to_dict())))
    assert back == assessment
    assert back.context == assessment.context


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("scores"),
        lambda d: d.pop("support_by_score"),
        lambda d: d.update(scores=[0.5]),
        lambda d: d.update(scores={"hate": 7}),
        lambda d: d.update(scores={"kindness": 0.5}),
        lambda d: d.update(support_by_score={"incitement": "guessed"}),
        lambda d: d.update(language="en"),
        lambda d: d.update(tier="worst"),
        lambda d: d.update(targets={"cyclists": 0.5}),
        lambda d: d.update(findings=[{"rule": "x"}]),
        lambda d: d["findings"][0].update(effect="punish"),
        lambda d: d.update(context={"speaker_role": "king"}),
        lambda d: d.update(context={"shoe_size": 44}),
        lambda d: d.update(faults=None),
    ],
)
def test_what_is_no_assessment_is_a_value_error(damage: Any) -> None:
    data = json.loads(json.dumps(held().to_dict()))
    damage(data)
    with pytest.raises(ValueError):  # noqa: PT011 - of ours and of the enums
        Assessment.from_dict(data)


def finding(effect: Any, category: Category, excused_by: str | None = None) -> Finding:
    return Finding("en/x", category, effect, 0, 1, "Seen.", excused_by)


@pytest.mark.parametrize(
    ("findings", "category", "number"),
    [
        ([], None, 0),
        ([finding("raise", Category.HATE)], None, 1),
        ([finding("raise", Category.HATE)], Category.HATE, 1),
        ([finding("raise", Category.HATE)], Category.VIOLENCE, 0),
        ([finding("raise", Category.HATE, "en/report")], Category.HATE, 0),
        ([finding("excuse", Category.HATE)], None, 0),
        ([finding("raise", Category.HATE), finding("raise", Category.VIOLENCE, "en/report")], None, 1),
    ],
)
def test_raised_counts_what_no_excuse_covers(findings: list[Finding], category: Category | None, number: int) -> None:
    assert len(held(findings=tuple(findings)).raised(category)) == number


def test_top_and_support_say_none_rather_than_guess() -> None:
    assert held(scores={}).top is None
    assert held(scores={}).support == "unmeasured"
    mixed = {Category.HATE: Score(Category.HATE, 0.2, "measured"), Category.ABUSE: Score(Category.ABUSE, 0.7, "unmeasured")}
    assert held(scores=mixed).support == "unmeasured"
    assert held(scores=mixed).top == mixed[Category.ABUSE]
    assert held().support == "measured"


@pytest.mark.parametrize(("i", "j", "span"), [(0, 6, (0, 6)), (7, 15, (9, 17)), (0, 0, (0, 0)), (15, 15, (17, 17))])
def test_spans_lead_back_to_the_raw_text(i: int, j: int, span: tuple[int, int]) -> None:
    text = normalise("LITTLE   cyclists")
    assert text.match_view == "little cyclists"
    assert text.span(i, j) == span


@pytest.mark.parametrize(("i", "j"), [(-1, 2), (3, 2), (0, 99)])
def test_a_span_outside_is_refused(i: int, j: int) -> None:
    with pytest.raises(IndexError, match="outside"):
        normalise("little cyclists").span(i, j)


@pytest.mark.parametrize("reviewer", ["", "  ", "\n"])
def test_a_verdict_needs_a_person(reviewer: str) -> None:
    with pytest.raises(ValueError, match="only a person restricts"):
        Verdict("item", {}, True, reviewer)


def test_words_of_people_are_in_no_repr() -> None:
    shown = repr([Verdict("1", {}, False, "r1", "quotes left-handers"), LabelledText("of left-handers", "en", {}), held(text=normalise("of left-handers"))])
    assert "left-handers" not in shown
