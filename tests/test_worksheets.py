"""The sheets of the legal tests: what is known is told, what is not stays unknown."""

from __future__ import annotations

import pytest

from ipu_moderation.taxonomy import Category, Tier
from ipu_moderation.types import Assessment, Context, Finding, Language, Score, Text
from ipu_moderation.worksheets import defamation_worksheet, legal_worksheets, rabat_worksheet

CALL = Finding("en/call", Category.INCITEMENT, "raise", 0, 4, "A call to violence against a group.")
WHEN = Finding("en/when", Category.MOBILISATION, "raise", 5, 9, "A time and a place to gather.")
ACCUSED = Finding("en/accused", Category.DEFAMATION_RISK, "raise", 0, 4, "A named person is accused of a crime.")


def assessment(*findings: Finding, **scores: float) -> Assessment:
    return Assessment(
        Text("the words", "", "", (), ()), Language("en", 1.0), {Category(c): Score(Category(c), v, "measured") for c, v in scores.items()}, {}, findings, Tier.NONE, {}, False,
    )  # fmt: skip


def test_a_text_alone_shows_content_and_form_at_most() -> None:
    sheet = rabat_worksheet(assessment(CALL))
    assert list(sheet.parts()) == ["context", "speaker", "intent", "content_and_form", "extent", "likelihood"]
    assert sheet.content_and_form.seen == ("A call to violence against a group.",)
    assert sheet.missing == ("context", "speaker", "intent", "extent", "likelihood")
    assert sheet.to_dict()["intent"]["known"] is False


def test_what_the_caller_knows_is_told_as_the_callers_word() -> None:
    sheet = rabat_worksheet(assessment(CALL, WHEN), Context(speaker_role="candidate", situation="unrest", reach=12_000))
    assert sheet.context.seen == ("Stated by the caller: there is unrest.",)
    assert sheet.speaker.seen == ("Stated by the caller: a candidate.",)
    assert sheet.extent.seen == ("Stated by the caller: 12,000 people can see it.",)
    assert sheet.likelihood.seen == ("A time and a place to gather.",)
    assert sheet.missing == ("intent",)


def test_an_excuse_speaks_against() -> None:
    excused = Finding("en/call", Category.INCITEMENT, "raise", 0, 4, "A call.", excused_by="en/condemned")
    condemned = Finding("en/condemned", Category.INCITEMENT, "excuse", 5, 9, "It is condemned.")
    sheet = rabat_worksheet(assessment(excused, condemned))
    assert sheet.content_and_form.seen == ()
    assert sheet.intent.against == ("Something in the text speaks against it (en/condemned): It is condemned.",)
    assert sheet.intent.known


def test_a_lawyers_questions_on_an_accusation() -> None:
    sheet = defamation_worksheet(assessment(ACCUSED), Context(about="official"), "fr")
    assert sheet.identified_person.seen == ("A named person is accused of a crime.",)
    assert sheet.public_figure.seen == ("Indiqué par l'appelant : une personne chargée de fonctions officielles.",)
    assert sheet.attributed.seen == ("Aucune règle n'a trouvé de tribunal, de document ou de source nommée auquel cela serait attribué.",)
    assert sheet.missing == ("verifiable", "public_interest")


@pytest.mark.parametrize(
    ("given", "sheets"),
    [((), []), ((CALL,), ["rabat"]), ((ACCUSED,), ["defamation"]), ((CALL, ACCUSED), ["rabat", "defamation"])],
)
def test_which_sheets_are_called_for(given: tuple[Finding, ...], sheets: list[str]) -> None:
    assert list(legal_worksheets(assessment(*given))) == sheets


def test_a_score_calls_for_the_rabat_test_too() -> None:
    assert list(legal_worksheets(assessment(incitement=0.6))) == ["rabat"]
    assert not legal_worksheets(assessment(incitement=0.4, hate=0.9))


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_word_of_a_context_has_an_answer(language: str) -> None:
    from typing import get_args

    from ipu_moderation import types

    for name, words in (("speaker_role", types.SpeakerRole), ("about", types.Addressee), ("medium", types.Medium), ("situation", types.Situation)):
        for word in get_args(words):
            context = Context(**{name: word})
            told = [seen for sheet in (rabat_worksheet(assessment(CALL), context, language), defamation_worksheet(assessment(ACCUSED), context, language))
                    for part in sheet.parts().values() for seen in part.seen]  # fmt: skip
            assert all("{" not in line for line in told)
            if word != "unknown" and (name, word) != ("situation", "ordinary"):
                assert any("caller" in line or "appelant" in line for line in told), (name, word)


def test_another_language_is_refused() -> None:
    with pytest.raises(ValueError, match="en and fr"):
        rabat_worksheet(assessment(CALL), language="sw")


def test_no_text_of_the_user_is_in_a_sheet() -> None:
    assert "the words" not in repr(legal_worksheets(assessment(CALL, ACCUSED)))
