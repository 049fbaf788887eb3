"""Reviewers are people: texts are blurred until asked for, and pauses are suggested."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from ipu_moderation.review.types import Settings

_WORD = re.compile(r"(\w)(\w+)")
GAP = dt.timedelta(minutes=10)
"""A gap of this length between two verdicts is a pause that was taken."""


def blur(text: str) -> str:
    """The text with all but the first letter of each word covered: its length and shape can be seen, its words cannot."""
    return _WORD.sub(lambda match: match[1] + "▒" * len(match[2]), text)


def suggest_pause(recent: Sequence[tuple[dt.datetime, bool]], now: dt.datetime, settings: Settings) -> str | None:
    """A suggestion in words, or None.

    Args:
        recent: when verdicts were given and whether the item was graphic, latest first, of at least the last hours.
        now: the time.
        settings: how many are too many.
    """
    start, later, graphic = now, now, 0
    for at, was_graphic in recent:
        if later - at > GAP:
            break
        start = later = at
        graphic += was_graphic and now - at <= dt.timedelta(hours=1)
    if graphic >= settings.pause_after_graphic:
        return f"{graphic} graphic items without a pause: rest for ten minutes, or ask for items of another kind."
    if now - start >= settings.pause_after:
        return f"{int((now - start).total_seconds() // 60)} minutes without a pause: rest for ten minutes."
    return None
