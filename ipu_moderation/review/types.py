"""The nouns of review, frozen, in the order in which they appear: a post comes in, an item is claimed, people give opinions, a ruling follows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ipu_moderation.errors import InputError
from ipu_moderation.taxonomy import Category
from ipu_moderation.types import Assessment, Context, Decision
from ipu_moderation.worksheets import Worksheet

Source = Literal["own_initiative", "notice", "trusted_notifier", "other_notice"]
"""How the post came to notice. Source: DSA art. 17(3)(b)."""
Outcome = Literal["allowed", "restricted"]
"""What people settled. `restricted` exists only behind the verdicts of two persons."""
Party = Literal["author", "notifier"]
"""Who appeals: the author against a restriction, whoever gave notice against an allowance. Source: DSA art. 20(1)."""
NoticeKind = Literal["held", "lapsed", "released", "restricted", "appeal_upheld", "appeal_overturned"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the queue is run. No setting lifts the second opinion on a restriction, or makes a hold longer than its policy says."""

    lease: dt.timedelta = dt.timedelta(minutes=15)
    """A claimed item returns to the queue after this time without a verdict."""
    patience: dt.timedelta = dt.timedelta(hours=72)
    """An item of priority 0 is due after this time, one of priority 1 at once; a hold is due at half its time at the latest."""
    second_share: float = 0.1
    """Share of items, chosen by a keyed hash, that get a second opinion even when the first allows."""
    golden_share: float = 0.02
    """Share of claims that are answered with an item whose answer is known."""
    sample_share: float = 0.01
    """Probability with which an allowed post is shown to reviewers, for the estimate of what is missed. 0: no sample."""
    sample_share_near: float = 0.05
    """The same for allowed posts with a score of at least `near_score`: more is missed there, so the estimate is sharper."""
    near_score: float = 0.3
    similarity: float = 0.8
    """Jaccard similarity of character 5-grams from which two posts belong to one campaign."""
    campaign_window: dt.timedelta = dt.timedelta(days=7)
    """Posts further apart are not one campaign."""
    pause_after_graphic: int = 15
    """After so many graphic items within an hour a pause is suggested."""
    pause_after: dt.timedelta = dt.timedelta(minutes=50)
    """After so much reviewing without a gap of ten minutes a pause is suggested."""

    def __post_init__(self) -> None:
        for name in ("second_share", "golden_share", "sample_share", "sample_share_near", "near_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"settings: {name} is {getattr(self, name)}; a share lies in [0, 1]")
        if not 0.5 <= self.similarity <= 1:
            raise InputError(f"settings: similarity is {self.similarity}; below 0.5 unlike posts would be decided together, above 1 there is none")
        for name in ("lease", "patience", "campaign_window", "pause_after"):
            if getattr(self, name) <= dt.timedelta(0):
                raise InputError(f"settings: {name} must be longer than nothing")
        if self.pause_after_graphic < 1:
            raise InputError("settings: pause_after_graphic must be at least 1")


@dataclass(frozen=True, slots=True)
class Post:
    """One post as the caller knows it."""

    id: str
    """The caller's own name for the post; unique."""
    text: str = field(repr=False)
    author: str | None = field(default=None, repr=False)
    """The caller's name for the author; only a keyed pseudonym of it is stored. None when unknown."""
    posted: dt.datetime | None = None
    """When it was published, with a time zone. None when unknown."""
    source: Source = "own_initiative"


@dataclass(frozen=True, slots=True)
class Submission:
    """A post with what the machine made of it."""

    post: Post
    assessment: Assessment
    decision: Decision
    context: Context | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """One wording within an item; the verdict covers every wording that was shown."""

    text: str | None = field(repr=False)
    """None when it was deleted by retention or at its author's wish."""
    copies: int
    post: str
    """The caller's name of one post with this wording."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Near copies of one message: when, how many, by how many accounts. Evidence of mobilisation, not of hatred."""

    copies: int
    authors: int | None
    """Different accounts; None when no post named its author."""
    first: dt.datetime
    last: dt.datetime


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """What one reviewer is asked. Golden items and samples of allowed posts look like all others."""

    id: str
    variants: tuple[Variant, ...]
    language: str
    context: Context
    campaign: Campaign | None
    held_until: dt.datetime | None
    """The post is kept back until then unless people decide earlier; None when it is visible."""
    lease_until: dt.datetime
    appeal: str | None = field(default=None, repr=False)
    """The grounds of the appeal, when the item is one."""
    graphic: bool = False
    reasons: tuple[str, ...] = ()
    """Why the machine sent it; empty unless asked for, so that the machine does not sway the reader."""
    worksheets: Mapping[str, Worksheet] = field(default_factory=dict)
    """The legal tests that the evidence calls for, filled in as far as it goes; empty unless the evidence was asked for."""
    pause: str | None = None
    """A suggestion to rest, in words."""

    @property
    def text(self) -> str | None:
        """The commonest wording; None when deleted."""
        return self.variants[0].text if self.variants else None


@dataclass(frozen=True, slots=True)
class Opinion:
    """A verdict as it lies in the database."""

    item: str
    round: int
    """0 for the first decision, then one more for each appeal."""
    reviewer: str
    labels: Mapping[Category, bool | None]
    restrict: bool
    at: dt.datetime
    seconds: float | None
    """From claim to verdict; None when it was given elsewhere."""
    note: str | None = field(default=None, repr=False)

    @property
    def cannot_tell(self) -> bool:
        """True when the reviewer answered yes or no to nothing."""
        return not self.restrict and all(value is None for value in self.labels.values())


@dataclass(frozen=True, slots=True)
class Ruling:
    """What follows from the opinions on an item."""

    item: str
    settled: bool
    outcome: Outcome | None
    """The outcome that stands now: while an appeal is open, still the earlier one. None before the first."""
    waiting_for: str
    """What is missing, in words; empty when settled."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a post may be seen, now."""

    state: Literal["allowed", "held", "restricted"]
    item: str
    until: dt.datetime | None = None
    """For `held`: the deadline at which it is allowed again by itself."""
    open: bool = False
    """People have still to decide, for the first time or on appeal."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What the author of a post is to be told. The caller delivers it."""

    id: int
    post: str | None
    """The caller's name of the post; None after erasure."""
    kind: NoticeKind
    at: dt.datetime
    reasons: tuple[str, ...]
    """Of a hold, the policy's own, in English; else as they stand in the text."""
    text: str
    language: str = "en"
    """Of the text: that of the post where there are words for it, else English."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One link of the chain: who did what, when, to which item. It never holds the text of a post, a note or an author."""

    seq: int
    at: str
    """UTC, ISO 8601 with microseconds."""
    kind: str
    item: str
    actor: str
    body: Mapping[str, Any]
    previous: str
    hash: str
