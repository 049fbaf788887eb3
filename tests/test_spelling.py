"""Doubtful spellings: what a vocabulary knows is found behind them, and what only looks like them stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipu_moderation.classifiers.compact import CompactClassifier
from ipu_moderation.classifiers.spelling import LONGEST, respelt
from ipu_moderation.normalise import normalise
from ipu_moderation.types import Language

KNOWN = frozenset("kill them all good morning so immigrant s are vermin done then stupid basta los coffee over but hello the cat ahora sans see".split())


def cut(words: Sequence[str]) -> list[list[int]]:
    """Pieces: from the left the longest known one, or else one character."""
    out = []
    for word in words:
        ends, at = [], 0
        while at < len(word):
            at = next((j for j in range(len(word), at, -1) if word[at:j].lower() in KNOWN), at + 1)
            ends.append(at)
        out.append(ends)
    return out


def read(raw: str) -> str:
    return respelt(raw, normalise(raw).model_view, cut)


@pytest.mark.parametrize(
    ("raw", "known"),
    [
        ("kiiill themmm alll", "kill them all"),
        ("goooood mooooorning", "good morning"),
        ("Killl them", "Kill them"),
        ("immmmigrants", "immigrants"),
        ("verm.in the.m", "vermin them"),
        ("im.migr.ants are ver_min", "immigrants are vermin"),
        ("5tup1d v3rmin b4sta", "stupid vermin basta"),
        ("immigr4nts", "immigrants"),
    ],
)
def test_a_disguised_word_is_read_as_the_known_one(raw: str, known: str) -> None:
    assert read(raw) == known


@pytest.mark.parametrize(
    "raw",
    [
        "coffee and good vermin",  # doubles are letters
        "over.but done.then hello.the",  # a space is missing
        "KKK xxx",  # a name; a laugh
        "哈哈哈哈 kill",
        "5ans 1st mp3 covid19 m3a 3arab A250k",
        "e.g. U.S.A. p.m. c*t",
        "s*ee",  # a star may stand for a letter
        "abcdefgh" * (LONGEST // 8) + "kiiill",
    ],
)
def test_what_only_looks_like_it_stays(raw: str) -> None:
    assert read(raw) == normalise(raw).model_view


def test_a_long_run_elsewhere_leaves_ordinary_doubles_alone() -> None:
    assert read("coffee killlll") == "coffee kill"


@given(st.text(max_size=60) | st.from_regex(r"[a-c.*_0-9 ]{0,30}", fullmatch=True))
def test_any_text_has_a_reading(raw: str) -> None:
    assert isinstance(read(raw), str)


def test_the_default_classifier_scores_disguised_words_like_plain_ones() -> None:
    plain, *disguised = ["Throw all these immigrants out, they are vermin", "Throoow all these immmigrants out, they are verminnnn", "Throw all these immi.grants out, they are ver.min"]
    scores = CompactClassifier().score([normalise(t) for t in (plain, *disguised)], [Language("en", 1.0)] * 3).categories[:, 0]
    assert scores[0] > 0.5
    assert np.abs(scores[1:] - scores[0]).max() < 0.1
