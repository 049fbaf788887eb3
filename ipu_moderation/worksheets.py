"""The legal tests as sheets that a reviewer fills in: what the text and the caller already tell, and which elements are missing.

A sheet decides nothing. All six parts of the Rabat test must be met, and a text alone shows content and form at most; what is not known stays unknown.
Questions and answers are in `data/worksheets.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import yaml

from ipu_moderation.resources import worksheets_file
from ipu_moderation.taxonomy import Category
from ipu_moderation.types import Assessment, Context, Finding

_INCITES = frozenset((Category.INCITEMENT, Category.VIOLENCE, Category.MOBILISATION, Category.DEHUMANISATION, Category.HATE))


@dataclass(frozen=True, slots=True)
class Part:
    """One element of a legal test."""

    question: str
    seen: tuple[str, ...] = ()
    """What the text or the caller tells towards an answer; holds no text of the user."""
    against: tuple[str, ...] = ()
    """What the text shows against it: the excuses that were found."""

    @property
    def known(self) -> bool:
        """False: only the caller or a reviewer can answer."""
        return bool(self.seen or self.against)


class _Sheet:
    __slots__ = ()

    def parts(self) -> dict[str, Part]:
        """Element to part, in the order of the test."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    @property
    def missing(self) -> tuple[str, ...]:
        """The elements on which nothing is known."""
        return tuple(name for name, part in self.parts().items() if not part.known)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form; an unknown part has `"known": false`."""
        return {name: {"question": p.question, "known": p.known, "seen": list(p.seen), "against": list(p.against)} for name, p in self.parts().items()}


@dataclass(frozen=True, slots=True)
class RabatWorksheet(_Sheet):
    """The six-part threshold test for incitement. Source: Rabat Plan of Action (A/HRC/22/17/Add.4), para. 29."""

    context: Part
    speaker: Part
    intent: Part
    content_and_form: Part
    extent: Part
    likelihood: Part


@dataclass(frozen=True, slots=True)
class DefamationWorksheet(_Sheet):
    """The questions that a lawyer asks of an accusation. Source: General Comment 34, para. 47; Lingens v. Austria."""

    identified_person: Part
    assertion_of_fact: Part
    verifiable: Part
    attributed: Part
    public_interest: Part
    public_figure: Part


Worksheet = RabatWorksheet | DefamationWorksheet


@cache
def _words() -> dict[str, dict[str, dict[str, str]]]:
    loaded: dict[str, dict[str, dict[str, str]]] = yaml.safe_load(worksheets_file().read_text(encoding="utf-8"))
    return loaded


class _Writer:
    """Answers in one language."""

    def __init__(self, assessment: Assessment, context: Context | None, language: str) -> None:
        if language not in ("en", "fr"):
            raise ValueError(f"worksheets are written in en and fr, not in '{language}'")
        self.language = language
        self.context = context or assessment.context or Context()
        self.raises = [f for f in assessment.findings if f.effect == "raise"]
        self.excuses = {f.rule: f for f in assessment.findings if f.effect == "excuse"}

    def question(self, sheet: str, part: str) -> str:
        return _words()[sheet][part][self.language]

    def answer(self, name: str, **values: str) -> str:
        return _words()["answers"][name][self.language].format(**values)

    def stated(self, *names: str) -> tuple[str, ...]:
        """What the caller said of these fields of the context."""
        out = []
        for name in names:
            value = getattr(self.context, name)
            if value not in (None, "unknown"):
                key, n = (name, f"{value:,}") if isinstance(value, int) else (value, "")
                out.append(self.answer("said_by_caller", value=_words()["values"][key][self.language].format(n=n)))
        return tuple(out)

    def notes(self, *categories: Category) -> tuple[str, ...]:
        """What rules saw and nothing excuses."""
        return tuple(dict.fromkeys(f.note for f in self.raises if f.category in categories and f.excused_by is None))

    def excused(self, *categories: Category) -> tuple[str, ...]:
        """The excuses that cover findings of these categories."""
        covering = dict.fromkeys(f.excused_by for f in self.raises if f.category in categories and f.excused_by)
        return tuple(self.answer("excused", rule=str(rule), note=_note(self.excuses.get(str(rule)))) for rule in covering)


def _note(finding: Finding | None) -> str:
    return finding.note if finding is not None else ""


def rabat_worksheet(assessment: Assessment, context: Context | None = None, language: str = "en") -> RabatWorksheet:
    """The six parts of the Rabat test for one assessment.

    Args:
        assessment: what was seen.
        context: what the caller knows; that of the assessment when None.
        language: of questions and answers, `en` or `fr`; the notes of findings are in the language that the rules were loaded with.

    Raises:
        ValueError: for another language.
    """
    w = _Writer(assessment, context, language)
    seen = {
        "context": w.stated("situation"),
        "speaker": w.stated("speaker_role"),
        "intent": (),
        "content_and_form": w.notes(*_INCITES),
        "extent": w.stated("reach", "repeated", "reports", "medium"),
        "likelihood": w.notes(Category.MOBILISATION),
    }
    against = {"intent": w.excused(*_INCITES)}
    return RabatWorksheet(**{name: Part(w.question("rabat", name), found, against.get(name, ())) for name, found in seen.items()})


def defamation_worksheet(assessment: Assessment, context: Context | None = None, language: str = "en") -> DefamationWorksheet:
    """A lawyer's questions on an accusation, for one assessment.

    Args:
        assessment: what was seen.
        context: what the caller knows; that of the assessment when None.
        language: of questions and answers, `en` or `fr`; the notes of findings are in the language that the rules were loaded with.

    Raises:
        ValueError: for another language.
    """
    w = _Writer(assessment, context, language)
    notes, excused = w.notes(Category.DEFAMATION_RISK), w.excused(Category.DEFAMATION_RISK)
    seen = {
        "identified_person": notes,
        "assertion_of_fact": notes,
        "verifiable": (),
        "attributed": (w.answer("no_source"),) if notes else (),
        "public_interest": w.stated("situation") if w.context.situation == "election" else (),
        "public_figure": w.stated("about"),
    }
    against = {"assertion_of_fact": excused, "attributed": excused}
    return DefamationWorksheet(**{name: Part(w.question("defamation", name), found, against.get(name, ())) for name, found in seen.items()})


def legal_worksheets(assessment: Assessment, context: Context | None = None, language: str = "en") -> dict[str, Worksheet]:
    """The sheets that one assessment calls for, by name: `rabat` where a rule or a score of at least 0.5 points to incitement, `defamation` where a rule points to a risk.

    Raises:
        ValueError: for another language than `en` or `fr`.
    """
    out: dict[str, Worksheet] = {}
    pointed = {f.category for f in assessment.findings if f.effect == "raise"}
    incites = assessment.scores.get(Category.INCITEMENT)
    if pointed & (_INCITES - {Category.HATE}) or (incites is not None and incites.value >= 0.5):
        out["rabat"] = rabat_worksheet(assessment, context, language)
    if Category.DEFAMATION_RISK in pointed:
        out["defamation"] = defamation_worksheet(assessment, context, language)
    return out
