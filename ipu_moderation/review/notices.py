"""What the author of a post is told, with reasons and with the way to object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ipu_moderation.review.types import NoticeKind
from ipu_moderation.taxonomy import Category

_OPENINGS: Mapping[NoticeKind, str] = {
    "held": "Your post is kept back for a limited time until a person has looked at it. It becomes visible again by itself at {until} unless people decide otherwise before.",
    "lapsed": "Your post is visible again: nobody decided within the time for which it was kept back.",
    "released": "Your post is visible again: people have looked at it and found no reason to restrict it.",
    "restricted": "Your post has been restricted. Two persons, each without knowing the other's opinion, came to this decision.",
    "appeal_upheld": "Your objection was decided by somebody who had no part in the first decision. The restriction stays.",
    "appeal_overturned": "An objection was decided by somebody who had no part in the first decision. The restriction is lifted.",
}
_OBJECT = "You can object once, with your reasons; somebody who had no part in this decision will decide."
_OUTSIDE = "You may also turn to an out-of-court body or to a court."


def write_notice(kind: NoticeKind, reasons: Sequence[str], until: str | None = None) -> str:
    """The notice in plain words. Source: Santa Clara Principles 2.0 (notice, appeal); DSA art. 17(3)."""
    parts = [_OPENINGS[kind].format(until=until or "the end of that time")]
    if reasons:
        parts.append("Why: " + " ".join(reasons))
    if kind == "restricted":
        parts += [_OBJECT, _OUTSIDE]
    elif kind == "appeal_upheld":
        parts.append(_OUTSIDE)
    return "\n".join(parts)


def reasons_of(opinions: Sequence[Any]) -> tuple[str, ...]:
    """Why people restricted, as the categories that the restricting persons named, each with its question. Their notes stay inside."""
    named = {category for opinion in opinions if opinion.restrict for category, value in opinion.labels.items() if value}
    return tuple(f"It was found to be {category.value.replace('_', ' ')}. The question asked was: {category.guideline}" for category in Category if category in named)
