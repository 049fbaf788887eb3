"""Statements of reasons under art. 17 of the EU's Digital Services Act: as text for the author, and as JSON for the Commission's Transparency Database.

The field rules are those of the database's API; a statement that breaks one cannot be made. No personal data goes in: facts are put together from the
categories and the machine's own sentences, never from the post, a note or a name, and a ground that holds a handle, link, address or number is refused.

Source: Regulation (EU) 2022/2065, art. 17(3) and 24(5); https://transparency.dsa.ec.europa.eu/page/api-documentation
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import sqlalchemy as sa
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ipu_moderation.errors import InputError
from ipu_moderation.normalise import model_view
from ipu_moderation.review.queue import read_labels
from ipu_moderation.review.schema import items, posts, verdicts
from ipu_moderation.review.store import Store, microseconds, moment
from ipu_moderation.taxonomy import Category

MOST_PER_CALL = 100
"""Statements in one call of `POST /api/v1/statements`."""
_MASK = re.compile(r"@USER|HTTPURL|EMAIL|PHONE")
_EARLIEST = dt.date(2000, 1, 1)
_EARLIEST_DECISION = dt.date(2020, 1, 1)

#: Source: ISO 639-1 codes that the database takes are two capital letters.
_LANGUAGE = re.compile(r"[a-z]{2}")

_SOURCES = {"own_initiative": "SOURCE_VOLUNTARY", "notice": "SOURCE_ARTICLE_16", "trusted_notifier": "SOURCE_TRUSTED_FLAGGER", "other_notice": "SOURCE_TYPE_OTHER_NOTIFICATION"}

#: How the database files our categories: its category and its keywords. Source: its list of categories and keywords.
_FILED: dict[Category, tuple[str, tuple[str, ...]]] = {
    Category.HATE: ("STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH", ("KEYWORD_HATE_SPEECH",)),
    Category.DEHUMANISATION: ("STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH", ("KEYWORD_HATE_SPEECH", "KEYWORD_DISCRIMINATION")),
    Category.DEFAMATION_RISK: ("STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH", ("KEYWORD_DEFAMATION",)),
    Category.ABUSE: ("STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH", ()),
    Category.INCITEMENT: ("STATEMENT_CATEGORY_VIOLENCE", ("KEYWORD_INCITEMENT_VIOLENCE_HATRED",)),
    Category.VIOLENCE: ("STATEMENT_CATEGORY_VIOLENCE", ("KEYWORD_INCITEMENT_VIOLENCE_HATRED",)),
    Category.MOBILISATION: ("STATEMENT_CATEGORY_VIOLENCE", ("KEYWORD_INCITEMENT_VIOLENCE_HATRED",)),
}
_AGAINST_WOMEN = ("STATEMENT_CATEGORY_CYBER_VIOLENCE_AGAINST_WOMEN", ("KEYWORD_INCITEMENT_AGAINST_WOMEN",))
#: The gravest first: one statement has one category.
_ORDER = (Category.INCITEMENT, Category.VIOLENCE, Category.MOBILISATION, Category.DEHUMANISATION, Category.HATE, Category.DEFAMATION_RISK, Category.ABUSE)

Visibility = Literal[
    "DECISION_VISIBILITY_CONTENT_REMOVED", "DECISION_VISIBILITY_CONTENT_DISABLED", "DECISION_VISIBILITY_CONTENT_DEMOTED", "DECISION_VISIBILITY_CONTENT_AGE_RESTRICTED",
    "DECISION_VISIBILITY_CONTENT_INTERACTION_RESTRICTED", "DECISION_VISIBILITY_CONTENT_LABELLED", "DECISION_VISIBILITY_OTHER",
]  # fmt: skip


def _impersonal(value: str) -> str:
    """Refuse what the normaliser would mask: a handle, link, e-mail address or telephone number."""
    if len(_MASK.findall(model_view(value))) > len(_MASK.findall(value)):
        raise ValueError("holds a handle, link, e-mail address or telephone number; no personal data may go into the database")
    return value


def _plain_date(value: str) -> str:
    dt.date.fromisoformat(value)
    return value


Words = Annotated[str, Field(min_length=1), AfterValidator(_impersonal)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_plain_date)]


class Ground(BaseModel):
    """What a restriction rests on and what it consists of: a lawyer writes it once, in YAML, for each ground that the house uses."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    kind: Literal["illegal", "incompatible"]
    """`illegal`: against a law. `incompatible`: against the terms of the house."""
    reference: Annotated[Words, Field(max_length=500)]
    """The law or clause, for example `Art. 20(2) ICCPR; section 130 Criminal Code`."""
    explanation: Annotated[Words, Field(max_length=2000)]
    """Why such posts fall under it."""
    visibility: Visibility
    """What is done with the post."""
    visibility_other: Annotated[Words | None, Field(max_length=500)] = None
    redress: Annotated[str, Field(min_length=1)]
    """How the author can object: inside the house, out of court, in court. It goes to the author alone, so links are welcome. Source: DSA art. 17(3)(f)."""
    categories: tuple[Category, ...] = ()
    """For which categories this ground is used; empty: for all."""
    against_women: bool = False
    """File it as cyber violence against women. The machine knows of gender at most, so this is for a person to say."""


class Statement(BaseModel):
    """One statement, in the fields of the Transparency Database; making one checks every rule."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    decision_visibility: Annotated[tuple[Visibility, ...] | None, Field(min_length=1)] = None
    decision_visibility_other: Annotated[Words | None, Field(max_length=500)] = None
    decision_monetary: Literal["DECISION_MONETARY_SUSPENSION", "DECISION_MONETARY_TERMINATION", "DECISION_MONETARY_OTHER"] | None = None
    decision_monetary_other: Annotated[Words | None, Field(max_length=500)] = None
    decision_provision: (
        Literal["DECISION_PROVISION_PARTIAL_SUSPENSION", "DECISION_PROVISION_TOTAL_SUSPENSION", "DECISION_PROVISION_PARTIAL_TERMINATION", "DECISION_PROVISION_TOTAL_TERMINATION"]
        | None
    ) = None
    decision_account: Literal["DECISION_ACCOUNT_SUSPENDED", "DECISION_ACCOUNT_TERMINATED"] | None = None
    decision_ground: Literal["DECISION_GROUND_ILLEGAL_CONTENT", "DECISION_GROUND_INCOMPATIBLE_CONTENT"]
    illegal_content_legal_ground: Annotated[Words | None, Field(max_length=500)] = None
    illegal_content_explanation: Annotated[Words | None, Field(max_length=2000)] = None
    incompatible_content_ground: Annotated[Words | None, Field(max_length=500)] = None
    incompatible_content_explanation: Annotated[Words | None, Field(max_length=2000)] = None
    content_type: Annotated[tuple[Literal["CONTENT_TYPE_TEXT"], ...], Field(min_length=1)] = ("CONTENT_TYPE_TEXT",)
    category: Literal["STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH", "STATEMENT_CATEGORY_VIOLENCE", "STATEMENT_CATEGORY_CYBER_VIOLENCE_AGAINST_WOMEN"]
    category_specification: tuple[str, ...] = ()
    content_language: Annotated[str | None, Field(pattern=r"^[A-Z]{2}$")] = None
    content_date: Day
    application_date: Day
    end_date_visibility_restriction: Day | None = None
    decision_facts: Annotated[Words, Field(max_length=5000)]
    source_type: Literal["SOURCE_ARTICLE_16", "SOURCE_TRUSTED_FLAGGER", "SOURCE_VOLUNTARY", "SOURCE_TYPE_OTHER_NOTIFICATION"]
    automated_detection: Literal["Yes", "No"]
    automated_decision: Literal["AUTOMATED_DECISION_FULLY", "AUTOMATED_DECISION_PARTIALLY", "AUTOMATED_DECISION_NOT_AUTOMATED"]
    puid: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[A-Za-z0-9_-]+$")]

    @model_validator(mode="after")
    def _whole(self) -> Statement:
        if not (self.decision_visibility or self.decision_monetary or self.decision_provision or self.decision_account):
            raise ValueError("one of decision_visibility, decision_monetary, decision_provision and decision_account is required")
        for name, other in (("decision_visibility", self.decision_visibility or ()), ("decision_monetary", (self.decision_monetary or "",))):
            if any(value.endswith("_OTHER") for value in other) != (getattr(self, f"{name}_other") is not None):
                raise ValueError(f"{name}_other is required beside {name.upper()}_OTHER, and only there")
        illegal = self.decision_ground == "DECISION_GROUND_ILLEGAL_CONTENT"
        wanted, unwanted = ("illegal_content_legal_ground", "illegal_content_explanation"), ("incompatible_content_ground", "incompatible_content_explanation")
        if not illegal:
            wanted, unwanted = unwanted, wanted
        if any(getattr(self, name) is None for name in wanted) or any(getattr(self, name) is not None for name in unwanted):
            raise ValueError(f"{self.decision_ground} asks for {' and '.join(wanted)}, and for no {' or '.join(unwanted)}")
        written, applied = dt.date.fromisoformat(self.content_date), dt.date.fromisoformat(self.application_date)
        if written < _EARLIEST or applied < _EARLIEST_DECISION:
            raise ValueError("content_date must not be before 2000-01-01, nor application_date before 2020-01-01")
        if self.end_date_visibility_restriction is not None and dt.date.fromisoformat(self.end_date_visibility_restriction) < applied:
            raise ValueError("end_date_visibility_restriction must not be before application_date")
        return self

    def to_dict(self) -> dict[str, Any]:
        """The JSON that the database takes, without what is not said."""
        return self.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True, slots=True)
class Reasons:
    """A statement with what the author is told beside it."""

    post: str | None
    """The caller's name of the post; None after erasure. It is not part of the statement."""
    statement: Statement
    redress: str

    def text(self) -> str:
        """The statement for the author, in words. Source: DSA art. 17(3)(a) to (f)."""
        s = self.statement
        measure = ", ".join(v.removeprefix("DECISION_VISIBILITY_").replace("CONTENT_", "").replace("_", " ").lower() for v in s.decision_visibility or ())
        how = {
            "AUTOMATED_DECISION_FULLY": "The post was kept back by software, for a limited time, until a person looks at it.",
            "AUTOMATED_DECISION_PARTIALLY": "Software found the post and kept it back for a limited time; people decided on the restriction.",
            "AUTOMATED_DECISION_NOT_AUTOMATED": "People decided on the restriction." + (" Software had found the post." if s.automated_detection == "Yes" else ""),
        }[s.automated_decision]
        found = {"SOURCE_VOLUNTARY": "on our own initiative"}.get(s.source_type, "after a notice")
        law = s.decision_ground == "DECISION_GROUND_ILLEGAL_CONTENT"
        lines = [
            "Statement of reasons",
            f"Reference: {s.puid}",
            f"What was decided: {s.decision_visibility_other or measure}, from {s.application_date}"
            + (f" to {s.end_date_visibility_restriction} at the latest." if s.end_date_visibility_restriction else "."),
            f"The post: text published on {s.content_date}.",
            f"Facts: {s.decision_facts}",
            f"How it was found: {found}. {how}",
            f"{'Law' if law else 'Clause of our terms'}: {s.illegal_content_legal_ground if law else s.incompatible_content_ground}",
            f"Why it applies: {s.illegal_content_explanation if law else s.incompatible_content_explanation}",
            f"How to object: {self.redress}",
        ]
        return "\n".join(lines) + "\n"


def load_grounds(path: Path) -> list[Ground]:
    """Grounds from a YAML file: a list, the first that fits a category is taken.

    Raises:
        InputError: when the file is missing or has faults, all of them listed.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. docs/lawyer.md shows what stands in it") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML") from error
    if not isinstance(data, list) or not data:
        raise InputError(f"{path}: a list of grounds is expected. docs/lawyer.md shows what stands in it")
    grounds, faults = [], []
    for number, entry in enumerate(data, 1):
        try:
            grounds.append(Ground.model_validate(entry))
        except ValidationError as error:
            faults += [f"ground {number}, {'.'.join(map(str, e['loc'])) or 'whole'}: {e['msg']}" for e in error.errors()]
    if faults:
        raise InputError(f"{path}: {len(faults)} faults\n" + "\n".join(f"{i}. {fault}" for i, fault in enumerate(faults, 1)))
    return grounds


def statements(store: Store, grounds: list[Ground], since: dt.datetime, until: dt.datetime) -> Iterator[Reasons]:
    """A statement for every post that people restricted in the half-open time, and that is still restricted.

    Raises:
        InputError: when no ground fits a category, or a statement would break a rule of the database.
    """
    query = sa.select(items).where(items.c.outcome == "restricted", items.c.kind != "golden", items.c.decided >= microseconds(since), items.c.decided < microseconds(until))
    with store.read() as connection:
        for item in connection.execute(query.order_by(items.c.decided, items.c.id)).all():
            labels = [read_labels(v.labels) for v in connection.execute(sa.select(verdicts).where(verdicts.c.item == item.id, verdicts.c.restrict).order_by(verdicts.c.id))]
            named = {category for one in labels for category, value in one.items() if value}
            ground, category = _ground(grounds, named, item.id)
            facts = f"Two or more persons, each without knowing the others' opinions, found the post to be {', '.join(c.value.replace('_', ' ') for c in _ORDER if c in named)}. "
            facts += " ".join(f"The question they answered: {c.guideline}" for c in _ORDER if c in named)
            facts += f" The same message was posted {item.copies} times." if item.copies > 1 else ""
            for post in connection.execute(sa.select(posts).where(posts.c.item == item.id).order_by(posts.c.received, posts.c.id)):
                yield _statement(item, post, ground, category, {
                    "decision_visibility": (ground.visibility,), "decision_visibility_other": ground.visibility_other, "application_date": _day(item.decided),
                    "decision_facts": facts,
                    "automated_decision": "AUTOMATED_DECISION_NOT_AUTOMATED" if post.held_until is None else "AUTOMATED_DECISION_PARTIALLY", "puid": f"{post.id}-{item.round}",
                })  # fmt: skip


def hold_statements(store: Store, grounds: list[Ground], since: dt.datetime, until: dt.datetime) -> Iterator[Reasons]:
    """A statement for every post that was kept back in the half-open time: for some hours it was less visible, and that by software alone.

    Raises:
        InputError: see `statements`.
    """
    query = sa.select(posts, items.c.category, items.c.skill, items.c.policy, items.c.evidence).join(items, items.c.id == posts.c.item)
    query = query.where(posts.c.held_until.is_not(None), posts.c.received >= microseconds(since), posts.c.received < microseconds(until))
    with store.read() as connection:
        for post in connection.execute(query.order_by(posts.c.received, posts.c.id)).all():
            ground, category = _ground(grounds, {Category(post.category)} if post.category else set(), post.item)
            yield _statement(post, post, ground, category, {
                "decision_visibility": ("DECISION_VISIBILITY_OTHER",),
                "decision_visibility_other": f"Kept back until a person looks, at most until {moment(post.held_until):%Y-%m-%d %H:%M} UTC.",
                "application_date": _day(post.received), "end_date_visibility_restriction": _day(post.held_until), "decision_facts": " ".join(json.loads(post.evidence)["reasons"]),
                "automated_decision": "AUTOMATED_DECISION_FULLY", "puid": f"{post.id}-hold",
            })  # fmt: skip


def _day(at: int) -> str:
    return moment(at).date().isoformat()


def _statement(item: Any, post: Any, ground: Ground, category: Category, values: dict[str, Any]) -> Reasons:
    filed, keywords = _AGAINST_WOMEN if ground.against_women else _FILED[category]
    law = ground.kind == "illegal"
    try:
        statement = Statement.model_validate({
            **values,
            "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT" if law else "DECISION_GROUND_INCOMPATIBLE_CONTENT",
            "illegal_content_legal_ground" if law else "incompatible_content_ground": ground.reference,
            "illegal_content_explanation" if law else "incompatible_content_explanation": ground.explanation,
            "category": filed, "category_specification": keywords, "content_language": item.skill.upper() if _LANGUAGE.fullmatch(item.skill) else None,
            "content_date": _day(post.posted if post.posted is not None else post.received), "source_type": _SOURCES[post.source],
            "automated_detection": "No" if item.policy.split("@")[0] in ("import", "coop-report") else "Yes",
        })  # fmt: skip
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'whole'}: {e['msg']}" for e in error.errors())
        raise InputError(f"post {post.id}: the statement breaks rules of the database: {faults}") from error
    return Reasons(post.external, statement, ground.redress)


def _ground(grounds: list[Ground], named: set[Category], item: str) -> tuple[Ground, Category]:
    for category in _ORDER:
        if category in named:
            for ground in grounds:
                if not ground.categories or category in ground.categories:
                    return ground, category
    raise InputError(f"item {item}: no ground fits {', '.join(sorted(c.value for c in named)) or 'a restriction without a category'}; add one to the file of grounds")


def batches(found: Iterable[Reasons]) -> Iterator[dict[str, Any]]:
    """Bodies for `POST /api/v1/statements`, at most `MOST_PER_CALL` statements each."""
    part: list[dict[str, Any]] = []
    for one in found:
        part.append(one.statement.to_dict())
        if len(part) == MOST_PER_CALL:
            yield {"statements": part}
            part = []
    if part:
        yield {"statements": part}


def to_json(found: Iterable[Reasons]) -> str:
    """All batches as one JSON array."""
    return json.dumps(list(batches(found)), ensure_ascii=False, indent=1)
