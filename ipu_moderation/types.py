"""Every noun of the package, frozen, in the order in which data flows.

    Text -> Language -> Score, TargetScore, Finding -> Assessment -> (+ Context) -> Decision -> Verdict -> LabelledText

Evidence (`Assessment`) knows no threshold; what to do (`Decision`) is made without the text.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Literal, get_args

from ipu_moderation.errors import InputError
from ipu_moderation.taxonomy import Category, TargetGroup, Tier

Support = Literal["measured", "unmeasured"]
Effect = Literal["raise", "excuse"]
_REGION = re.compile(r"-(?:[A-Z]{2}|[0-9]{3})(?=-|$)")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")


class Action(str, Enum):
    """What a machine may do, weakest first. There is nothing beyond `hold`: a person's `Verdict` alone restricts."""

    ALLOW = "allow"
    REVIEW = "review"
    HOLD = "hold"

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        """0 for allow, 1 for review, 2 for hold."""
        return list(Action).index(self)


@dataclass(frozen=True, slots=True)
class Text:
    """One text in three views: as written, as the classifier reads it, and folded for rules."""

    raw: str = field(repr=False)
    model_view: str = field(repr=False)
    """Masked and cleaned, still readable: what the classifier is trained on and served with."""
    match_view: str = field(repr=False)
    """Case-folded and without evasion: what rules are matched against."""
    starts: tuple[int, ...] = field(repr=False)
    """For each character of the match view, the code point of `raw` at which its source begins."""
    ends: tuple[int, ...] = field(repr=False)
    """For each character of the match view, the code point of `raw` just after its source."""

    def span(self, i: int, j: int) -> tuple[int, int]:
        """Half-open span in code points of `raw` for the half-open span `[i, j)` of the match view.

        Raises:
            IndexError: when the span is not inside the match view.
        """
        if not 0 <= i <= j <= len(self.match_view):
            raise IndexError(f"span [{i}, {j}) lies outside a match view of {len(self.match_view)} characters")
        if i == j:
            at = self.starts[i] if i < len(self.starts) else len(self.raw)
            return at, at
        return self.starts[i], self.ends[j - 1]


@dataclass(frozen=True, slots=True)
class Language:
    """The language of a text: a BCP 47 code, or `und` when unsure."""

    code: str
    confidence: float
    """In [0, 1]. 0 for `und` without any guess."""
    candidates: tuple[str, ...] = ()
    """Other languages that the text may be in, likeliest first: rules of all of them are tried."""

    @classmethod
    def stated(cls, code: str) -> Language:
        """The language that a caller names, in the usual case of BCP 47: `EN_gb` is `en-GB`, `hi-latn` is `hi-Latn`.

        Raises:
            InputError: when it is no code. The message does not repeat it: out of a wrong column it would be the text of a user.
        """
        if not isinstance(code, str) or not _LANGUAGE.fullmatch(code):
            raise InputError("the language is no BCP 47 code; examples of codes: en, pt-BR, hi-Latn, und. Leave it out to have it identified")
        first, *rest = code.replace("_", "-").lower().split("-")
        return cls("-".join([first, *(part.upper() if len(part) == 2 else part.title() if len(part) == 4 and part.isalpha() else part for part in rest)]), 1.0)


def without_region(code: str) -> str:
    """`pt` for `pt-BR`: what was measured in a language holds in its regions, but `hi-Latn` is not `hi`."""
    return _REGION.sub("", code)


@dataclass(frozen=True, slots=True)
class Score:
    """A calibrated number for one category."""

    category: Category
    value: float
    """In [0, 1]: 0.5 is where a careful reader would begin to say yes."""
    support: Support
    """`measured` when the language has a test of sufficient quality behind this category."""

    def __post_init__(self) -> None:
        _check_share(self.value)


@dataclass(frozen=True, slots=True)
class TargetScore:
    """How likely a group is the one under attack; read only beside a score, never alone."""

    group: TargetGroup
    value: float
    """In [0, 1]."""

    def __post_init__(self) -> None:
        _check_share(self.value)


def _check_share(value: float) -> None:
    if not 0 <= value <= 1:  # NaN fails as well
        raise ValueError("a score lies in [0, 1]")


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that matched."""

    rule: str
    """`<pack>/<id>`, as in `en/call-to-kill`."""
    category: Category
    effect: Effect
    start: int
    """First code point of the raw text; `end` is just after the last."""
    end: int
    note: str
    """What was seen, in one sentence for the reviewer; holds no text of the user."""
    excused_by: str | None = None
    """The excuse that covers this raising finding, if one does."""


SpeakerRole = Literal["unknown", "private", "influential", "official", "candidate", "journalist"]
Addressee = Literal["unknown", "private", "public_figure", "official", "journalist", "candidate"]
Medium = Literal["unknown", "private_message", "comment", "post", "article", "broadcast", "speech"]
Situation = Literal["unknown", "ordinary", "election", "unrest", "conflict"]
_CONTEXT_WORDS: Mapping[str, tuple[str, ...]] = {
    "speaker_role": get_args(SpeakerRole),
    "about": get_args(Addressee),
    "medium": get_args(Medium),
    "situation": get_args(Situation),
}


@dataclass(frozen=True, slots=True)
class Context:
    """What the caller knows beyond the text. Every field may stay unknown; context changes priority and never invents evidence.

    Source: Rabat Plan of Action, para. 29 (context, speaker, intent, content and form, extent, likelihood).
    """

    speaker_role: SpeakerRole = "unknown"
    about: Addressee = "unknown"
    """Who is spoken of: criticism of public figures, officials and journalists' work is tolerated more (Lingens v. Austria)."""
    medium: Medium = "unknown"
    situation: Situation = "unknown"
    reach: int | None = None
    """How many people can see it; None when unknown."""
    repeated: int | None = None
    """How many copies or near copies were seen; None when unknown."""
    reports: int | None = None
    """How many people reported it; None when unknown."""

    def __post_init__(self) -> None:
        for name, words in _CONTEXT_WORDS.items():
            if getattr(self, name) not in words:
                raise InputError(f"context: {name} is not one of {', '.join(words)}")
        for name in ("reach", "repeated", "reports"):
            count = getattr(self, name)
            if count is not None and (not isinstance(count, int) or count < 0):
                raise InputError(f"context: {name} is a count of at least 0, or None when unknown")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form: what is known, and nothing else."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "unknown")}


@dataclass(frozen=True, slots=True)
class Assessment:
    """All that was seen in one text. It holds no threshold and no action."""

    text: Text = field(repr=False)
    language: Language
    scores: Mapping[Category, Score]
    """Empty when the classifier failed: see `faults`."""
    targets: Mapping[TargetGroup, TargetScore]
    findings: tuple[Finding, ...]
    tier: Tier
    versions: Mapping[str, str]
    """Of the code, model, normaliser and rule packs."""
    truncated: bool
    """The text was longer than what the classifier reads (see `Classifier.max_windows`)."""
    faults: tuple[str, ...] = ()
    """What went wrong on the way, in words; a text with faults is never held."""
    context: Context | None = field(default=None, compare=False)
    """What the caller knew, as it was given with the text. No part of the evidence: it travels along so that `decide` finds it."""

    @property
    def support(self) -> Support:
        """`measured` when every score is."""
        scores = self.scores.values()
        return "measured" if scores and all(s.support == "measured" for s in scores) else "unmeasured"

    @property
    def top(self) -> Score | None:
        """The highest score, or None without scores."""
        return max(self.scores.values(), key=lambda s: s.value, default=None)

    def raised(self, category: Category | None = None) -> tuple[Finding, ...]:
        """Raising findings that no excuse covers, of one category or of all."""
        return tuple(f for f in self.findings if f.effect == "raise" and f.excused_by is None and (category is None or f.category is category))

    def to_dict(self, *, show_text: bool = False) -> dict[str, Any]:
        """A JSON-ready form. The text is left out unless asked for."""
        out: dict[str, Any] = {
            "language": {"code": self.language.code, "confidence": self.language.confidence},
            "support": self.support,
            "scores": {c.value: s.value for c, s in self.scores.items()},
            "support_by_score": {c.value: s.support for c, s in self.scores.items()},
            "targets": {g.value: t.value for g, t in self.targets.items()},
            "findings": [
                {"rule": f.rule, "category": f.category.value, "effect": f.effect, "start": f.start, "end": f.end, "note": f.note, "excused_by": f.excused_by}
                for f in self.findings
            ],
            "tier": self.tier.value,
            "truncated": self.truncated,
            "faults": list(self.faults),
            "versions": dict(self.versions),
        }
        if self.context is not None:
            out["context"] = self.context.to_dict()
        return {"text": self.text.raw, **out} if show_text else out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Assessment:
        """The assessment that `to_dict` gave, without its text and without the candidates of its language.

        Raises:
            ValueError: when it is none.
        """
        try:
            support = data["support_by_score"]
            return cls(
                text=Text("", "", "", (), ()),
                language=Language(str(data["language"]["code"]), float(data["language"]["confidence"])),
                scores={Category(c): Score(Category(c), float(v), _word(support[c], Support)) for c, v in data["scores"].items()},
                targets={TargetGroup(g): TargetScore(TargetGroup(g), float(v)) for g, v in data["targets"].items()},
                findings=tuple(
                    Finding(str(f["rule"]), Category(f["category"]), _word(f["effect"], Effect), int(f["start"]), int(f["end"]), str(f["note"]), f["excused_by"])
                    for f in data["findings"]
                ),
                tier=Tier(data["tier"]),
                versions=dict(data["versions"]),
                truncated=bool(data["truncated"]),
                faults=tuple(data["faults"]),
                context=Context(**data["context"]) if "context" in data else None,
            )
        except (KeyError, TypeError, AttributeError, InputError) as error:
            raise ValueError(f"not an assessment ({type(error).__name__})") from error


def _word(value: Any, words: Any) -> Any:
    """One of the words of a Literal.

    Raises:
        ValueError: when it is another.
    """
    if value not in get_args(words):
        raise ValueError(f"not one of {', '.join(get_args(words))}")
    return value


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy makes of an assessment: allow, review, or hold until a person looks."""

    action: Action
    priority: float
    """In [0, 1]; orders the review queue. 0 for allow."""
    category: Category | None
    """The category that weighed most, None for allow."""
    reasons: tuple[str, ...]
    """Whole sentences that a reviewer and an author can read."""
    policy: str
    """`name@version`."""
    versions: Mapping[str, str]
    expires_after: dt.timedelta | None = None
    """For `hold`: after this time without a verdict the post is allowed again. None otherwise."""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "action": self.action.value,
            "priority": round(self.priority, 4),
            "category": self.category.value if self.category else None,
            "reasons": list(self.reasons),
            "policy": self.policy,
            "expires_after_seconds": int(self.expires_after.total_seconds()) if self.expires_after else None,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person said. The only thing in this package that can restrict a post."""

    item: str
    labels: Mapping[Category, bool | None]
    """None: the reviewer cannot tell."""
    restrict: bool
    reviewer: str
    """A pseudonym; never empty."""
    note: str = field(default="", repr=False)
    """Free words, which may quote the post: not in the repr."""

    def __post_init__(self) -> None:
        if not self.reviewer.strip():
            raise ValueError("a verdict needs a reviewer: only a person restricts")


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A verdict as training data."""

    text: str = field(repr=False)
    language: str
    labels: Mapping[Category, bool | None]
    targets: tuple[TargetGroup, ...] = ()
    source: str = ""
