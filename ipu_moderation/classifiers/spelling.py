"""Words spelt to get past a filter, written as a vocabulary knows them: "verminnn", "im.migrants", "v3rm1n".

The normaliser knows no words. A tokenizer does: a spelling that it reads in fewer pieces is the likelier one. Only words are touched in which a letter stands
three times or more in a row, a dot, star or underscore stands between small letters, or figures among letters; all others are read as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import product

Cut = Callable[[Sequence[str]], Sequence[Sequence[int]]]
"""Words -> for each, after how many characters the pieces end that a tokenizer cuts it into."""
_LETTER = r"[^\W\d_\u2e80-\uffff]"  # in Chinese, Japanese and Korean a sign that is repeated is a word
_OFTEN = re.compile(rf"({_LETTER})\1{{2}}", re.IGNORECASE)
_OFTENER = re.compile(rf"({_LETTER})\1{{3}}", re.IGNORECASE)
_DOUBTFUL = re.compile(r"[^\W\d_][.*_][^\W\d_]|[a-z][0-578]|[0-578][a-z]", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:[.*_][^\W_]+)*")
_RUN = re.compile(rf"({_LETTER})\1+", re.IGNORECASE)
_SIGN = re.compile(r"[.*_]")
_FIGURES = str.maketrans("01234578", "oizeastb")
_NUMBER = re.compile(r"(\d)(?!\1)\d")
_CHAT = re.compile("[23578]")
"""Figures that the Arabic chat alphabet writes letters with."""
SHORTEST, LONG, LONGEST = 3, 5, 40
"""Letters of a word: fewer may be an abbreviation ("e.g", "p.m"); long ones count as known when they are cut into two pieces; none is longer."""
MOST_RUNS = 4
"""Of so many runs of letters every combination is tried; of more, all shortened alike."""


def respelt(raw: str, view: str, cut: Cut) -> str:
    """The model view of a text, or its beginning, with doubtful words as the vocabulary knows them."""
    tripled = _OFTEN.search(raw)
    if not tripled and not _DOUBTFUL.search(view):
        return view
    hidden = frozenset(m[1].lower() for m in _OFTENER.finditer(raw)) if tripled else frozenset()

    def word(match: re.Match[str]) -> str:
        found = match[0]
        if len(found) > LONGEST:
            return found
        spelt = _figures(_joined(found, cut), cut)
        return _shortened(spelt, hidden, cut) if tripled else spelt

    return _WORD.sub(word, view)


def _joined(word: str, cut: Cut) -> str:
    """Without the signs between its letters, if that makes one word. A missing space makes two: "done.then" falls apart where the stop was."""
    joined = _SIGN.sub("", word)
    if joined == word or len(joined) < SHORTEST or not joined[1:].islower() or ("*" in word and len(joined) < LONG):  # a star may stand for a letter
        return word
    before, after = cut([word, joined])
    if len(after) == 1:
        return joined
    signs = [m.start() - n for n, m in enumerate(_SIGN.finditer(word))]  # after how many letters of the joined word each stood
    known = len(after) <= 1 + min(len(signs), 2) and "*" not in word and len(joined) >= LONG
    return joined if known and len(before) >= len(after) + len(signs) and not set(signs) & set(after) else word


def _figures(word: str, cut: Cut) -> str:
    """With letters for figures, if that makes a word: not "1st", "mp3", "5ans", "covid19"."""
    if not word.isascii() or word.isdigit() or word.isalpha() or not word[-1].isalpha() or _NUMBER.search(word):
        return word
    spelt, figures = word.translate(_FIGURES), sum(map(str.isdigit, word))
    chat = figures == 1 and bool(_CHAT.search(word))
    if not spelt.isalpha() or len(word) < SHORTEST + chat or (word[0].isdigit() and len(word) < LONG):
        return word
    before, after = cut([word, spelt])
    return spelt if len(after) == 1 or (not chat and len(word) >= LONG and len(before) >= len(after) + 2) else word


def _shortened(word: str, hidden: frozenset[str], cut: Cut) -> str:
    """The spelling with the fewest pieces where letters are written once or twice; of equals the longest. A word of one letter alone is a laugh, or a name.

    Args:
        word: of the model view.
        hidden: letters that stood four times or more in a row: the model view has them twice.
        cut: the tokenizer.
    """
    runs = [m for m in _RUN.finditer(word) if len(m[0]) > 2 or m[1].lower() in hidden]
    if not runs or len(runs[0][0]) == len(word):
        return word
    lengths = product((2, 1), repeat=len(runs)) if len(runs) <= MOST_RUNS else [(2,) * len(runs), (1,) * len(runs)]
    spellings = [word]
    for some in lengths:
        out, at = [], 0
        for run, n in zip(runs, some, strict=True):
            out += [word[at : run.start()], run[0][:n]]
            at = run.end()
        spellings.append("".join([*out, word[at:]]))
    return min(zip(map(len, cut(spellings)), spellings, strict=True), key=lambda x: (x[0], -len(x[1])))[1]
