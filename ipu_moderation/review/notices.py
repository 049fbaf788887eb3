"""What the author of a post is told, with reasons and with the way to object, in the language of the post where `data/notices.yaml` has it, else in English."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from ipu_moderation.resources import notices_file
from ipu_moderation.review.types import NoticeKind
from ipu_moderation.taxonomy import Category
from ipu_moderation.types import Decision, without_region

ENGLISH = "en"


@cache
def _words() -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(notices_file().read_text(encoding="utf-8"))
    return found


def languages() -> tuple[str, ...]:
    """The languages that notices can be written in."""
    return tuple(_words())


def notice_language(code: str) -> str:
    """The language of the notice on a post in this one: `pt` for `pt-BR`; English where there are no words of its own, as for `hi-Latn`."""
    return found if (found := without_region(code)) in _words() else ENGLISH


def write_notice(kind: NoticeKind, reasons: Sequence[str], until: str | None = None, language: str = ENGLISH) -> str:
    """The notice in plain words. Source: Santa Clara Principles 2.0 (notice, appeal); DSA art. 17(3).

    Args:
        kind: what happened.
        reasons: in the same language, as `reasons_of` and `signs_of` give them.
        until: end of a hold; needed for `held`.
        language: one of `languages`.
    """
    words = _words()[language]
    parts = [words[kind].format(until=until)]
    if reasons:
        parts.append(words["why"].format(reasons=" ".join(reasons)))
    if kind == "restricted":
        parts += [words["object"], words["outside"]]
    elif kind == "appeal_upheld":
        parts.append(words["outside"])
    return "\n".join(parts)


def reasons_of(opinions: Sequence[Any], language: str = ENGLISH) -> tuple[str, ...]:
    """Why people restricted, as the categories that the restricting persons named, each with its question. Their notes stay inside."""
    named = {category for opinion in opinions if opinion.restrict for category, value in opinion.labels.items() if value}
    return _asked("found", (category for category in Category if category in named), language)


def signs_of(decision: Decision, language: str = ENGLISH) -> tuple[str, ...]:
    """Why a machine holds a post, in the author's words: the category of the decision, and the question that a person will answer."""
    return _asked("signs", () if decision.category is None else (decision.category,), language)


def _asked(sentence: str, categories: Iterable[Category], language: str) -> tuple[str, ...]:
    words = _words()[language]
    return tuple(words[sentence].format(category=words["categories"][c.value], question=words["questions"][c.value]) for c in categories)
