"""Which words a text must hold for a pattern, or a part of one, to match: cheaper to know than to try."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

from ipu_moderation.rules.pattern import Choice, Gap, ListRef, Literal_, Mark, Node, Repeat, Sequence_, Space, Vocabulary
from ipu_moderation.rules.schema import fold


@lru_cache(maxsize=4096)
def without_accents(text: str) -> str:
    """The text with its Latin letters bare; other scripts as they are."""
    if text.isascii():
        return text
    return text.translate(BARE)


def _bare_letters() -> dict[int, str]:
    out = {0x153: "oe", 0xE6: "ae", 0xF8: "o", 0x142: "l", 0x111: "d", 0x131: "i"}
    for point in (*range(0xE0, 0x250), *range(0x1E00, 0x1F00)):
        decomposed = unicodedata.normalize("NFD", chr(point))
        if len(decomposed) > 1 and decomposed[0].isascii():
            out[point] = decomposed[0]
    return out


#: Accented Latin letters and their bare forms.
BARE: Mapping[int, str] = _bare_letters()


@lru_cache(maxsize=1 << 15)
def term_words(term: str) -> list[str]:
    """The words of a term, folded; a trailing or leading `*` stays where the author put it."""
    words = []
    for word in term.replace("-", " ").split():
        head, tail = "*" * word.startswith("*"), "*" * (word.endswith("*") and len(word) > 1)
        words.append(head + fold(word.strip("*")) + tail)
    return words


def _marks() -> str:
    points = (*range(0x370, 0x1D00), *range(0xA800, 0xAB00))
    return "".join(chr(p) for p in points if unicodedata.category(chr(p))[0] == "M")


_LATIN = "a-z0-9_\u00aa\u00b5\u00ba\u00df-\u00f6\u00f8-\u024f\u0300-\u036f\u1e00-\u1eff"
_WORD = re.compile(f"[{_LATIN}]+|(?:[^\\W{_LATIN}]|[{_marks()}\u200c\u200d])+")


_NO_WORD = {i: " " for i in range(128) if not (chr(i).isalnum() or chr(i) == "_")}


def words_in(text: str) -> list[str]:
    """The words of a match view, Latin letters parted from those of other scripts."""
    words = text.translate(_NO_WORD).split()
    if text.isascii():
        return words
    out: list[str] = []
    for word in words:
        if word.isascii():
            out.append(word)
        else:
            out += _WORD.findall(word)
    return out


def word_spans(view: str) -> Iterator[tuple[int, int]]:
    """Where the words of `words_in` stand in a match view."""
    return (match.span() for match in _WORD.finditer(view))


class Searched(Protocol):
    """What a text that is searched tells of its words, each worked out when first asked for."""

    words: frozenset[str]
    """Without accents."""
    written: dict[Any, Any]
    """What was written for this text already, by what it was written from."""

    @property
    def characters(self) -> frozenset[str]:
        """Those that occur, and the marks of names."""

    @property
    def grams(self) -> set[str]:
        """Letters and pairs of letters."""

    def stems(self, length: int) -> set[str]:
        """The first letters of its words."""


@dataclass(frozen=True, slots=True)
class Key:
    """Something that a text must hold: a word, a word that begins with `text` (stem), or `text` anywhere (gram); and all of `others`."""

    kind: Literal["word", "stem", "gram"]
    text: str
    others: tuple[str, ...] = ()

    def occurs(self, text: Searched) -> bool:
        """Whether a text holds it."""
        there = text.words if self.kind == "word" else text.grams if self.kind == "gram" else text.stems(len(self.text))
        return self.text in there and text.words.issuperset(self.others)


Clause = frozenset[Key]

_STEM = 8
_MAX_FORMS = 400


class Requirements:
    """Which words a text must hold for a pattern to match: all clauses, each by one of its keys. Cheaper to test than the pattern."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.lists: dict[tuple[str, bool, bool], Clause | None] = {}
        self.literals: dict[tuple[str, bool, bool], list[Clause]] = {}
        self.known: dict[tuple[int, bool, bool], list[Clause]] = {}

    def of(self, node: Node, most: int = 8) -> tuple[Clause, ...]:
        """Up to `most` clauses, the most telling first."""
        found = sorted(set(self.clauses(node, True, True)), key=_frequency)
        # What stands in every other text tells nothing.
        return tuple(c for i, c in enumerate(found[:most]) if i == 0 or _frequency(c) < 0.9)

    def clauses(self, node: Node, left: bool, right: bool) -> list[Clause]:
        """Clauses that must all hold. `left` and `right` say whether a word boundary stands on that side."""
        if id(node) not in self.vocabulary.shared:
            return self._fresh(node, left, right)
        key = (id(node), left, right)
        if key not in self.known:
            self.known[key] = self._fresh(node, left, right)
        return self.known[key]

    def _fresh(self, node: Node, left: bool, right: bool) -> list[Clause]:
        match node:
            case Literal_(text):
                if (text, left, right) not in self.literals:
                    key = key_of([text], left, right, self.vocabulary.spaced)
                    self.literals[text, left, right] = [frozenset([key])] if key else []
                return self.literals[text, left, right]
            case ListRef(name):
                clause = self._list(name, left, right)
                return [clause] if clause else []
            case Repeat(inner, low, high):
                apart = high == 1 or parted(inner)
                return self.clauses(inner, left and apart, right and apart) if low else []
            case Choice(options):
                best = [_joined(self.clauses(o, left, right)) for o in options]
                return [frozenset(k for clause in best for k in clause)] if all(best) else []
            case Sequence_():
                return [clause for item, at_left, at_right in flagged(node, left, right) for clause in self.clauses(item, at_left, at_right)]
            case _:
                return []

    def _list(self, name: str, left: bool, right: bool) -> Clause | None:
        if (name, left, right) not in self.lists:
            keys = {key for _, key in term_keys(self.vocabulary, name, left, right)}
            self.lists[name, left, right] = None if None in keys or not keys else frozenset(k for k in keys if k)
        return self.lists[name, left, right]


class Terms:
    """From the words of a text to the terms of some lists that may occur in it."""

    def __init__(self, vocabulary: Vocabulary, names: Iterable[str], left: bool, right: bool) -> None:
        self.tables: dict[tuple[str, int], dict[str, list[tuple[str, tuple[str, ...]]]]] = {}
        self.always: list[str] = []
        for name in names:
            for term, key in term_keys(vocabulary, name, left, right):
                if key is None:
                    self.always.append(term)
                else:
                    table = self.tables.setdefault((key.kind, len(key.text) if key.kind == "stem" else 0), {})
                    table.setdefault(key.text, []).append((term, key.others))

    def occurring(self, text: Searched) -> list[str]:
        """The terms whose words are all there."""
        out = list(self.always)
        for (kind, length), table in self.tables.items():
            there = text.words if kind == "word" else text.grams if kind == "gram" else text.stems(length)
            for word in there & table.keys():
                out += [term for term, others in table[word] if text.words.issuperset(others)]
        return out


def term_keys(vocabulary: Vocabulary, name: str, left: bool, right: bool) -> Iterator[tuple[str, Key | None]]:
    """Each term with each key by which it can be found; None when nothing tells."""
    chosen = vocabulary.lists[name]
    heads = _chains(chosen.prefixes, chosen.chain) if vocabulary.spaced else ("",)
    for term in chosen.terms:
        words = term_words(term)
        if not words or len(heads) > _MAX_FORMS:
            yield term, None
            continue
        for head in heads:
            yield term, key_of([fold(head) + words[0], *words[1:]], left, right and not chosen.suffixes, vocabulary.spaced)


def flagged(node: Sequence_, left: bool, right: bool) -> Iterator[tuple[Node, bool, bool]]:
    """The items of a sequence, with whether a word boundary surely stands before and after each."""
    lefts, rights = [left], [right]
    for item in node.items:
        lefts.append(_boundary(item, lefts[-1], forward=True))
    for item in reversed(node.items):
        rights.append(_boundary(item, rights[-1], forward=False))
    rights.reverse()
    return zip(node.items, lefts[:-1], rights[1:], strict=True)


def parted(node: Node) -> bool:
    """Whether a word boundary surely stands between two repeats."""
    return _boundary(node, False, forward=True) or _boundary(node, False, forward=False)


def _boundary(node: Node, before: bool, *, forward: bool) -> bool:
    """Whether a word boundary surely stands on the far side of a node, when `before` says so of the near side."""
    match node:
        case Space() | Gap():
            return True
        case Mark(name):
            return name in ("start", "end", "name", "capital")
        case Repeat(inner, low, _):
            return _boundary(inner, before, forward=forward) and (before or low > 0)
        case Choice(options):
            return all(_boundary(o, before, forward=forward) for o in options)
        case Sequence_(items):
            for item in items if forward else reversed(items):
                before = _boundary(item, before, forward=forward)
            return before
        case Literal_(text):
            return not words_in(text[-1] if forward else text[0])
        case _:
            return False


def key_of(words: Sequence[str], left: bool, right: bool, spaced: bool) -> Key | None:
    """The most telling word of a literal or a term, with those beside it; None when it has none that must stand as it is."""
    parts: list[tuple[str, bool, bool]] = []
    for n, word in enumerate(words):
        open_left = word.startswith("*") or (n == 0 and not left)
        open_right = (word.endswith("*") and len(word) > 1) or (n == len(words) - 1 and not right)
        bare = word.strip("*") or word
        if bare.isascii() and bare.isalpha():
            parts.append((bare, open_left, open_right))
            continue
        pieces = words_in(without_accents(bare))
        ends_in_letter = bool(words_in(bare[-1]))
        begins_in_letter = bool(words_in(bare[0]))
        for i, piece in enumerate(pieces):
            parts.append((piece, open_left and i == 0 and begins_in_letter, open_right and i == len(pieces) - 1 and ends_in_letter))
    if not spaced:
        joined = max((p for p, _, _ in parts), key=len, default="")
        return Key("gram", joined[:2]) if joined else None
    return _one([Key("stem", p[:_STEM]) if more else Key("word", p) for p, less, more in parts if not less])


def _chains(parts: Sequence[str], most: int) -> tuple[str, ...]:
    """Every way to join up to `most` parts, the empty one included."""
    out = [""]
    layer = [""]
    for _ in range(most if parts else 0):
        layer = [a + b for a in layer for b in parts]
        out += layer
        if len(out) > _MAX_FORMS:
            break
    return tuple(dict.fromkeys(out))


_COMMON = frozenset(
    (
        *("the", "and", "you", "that", "this", "they", "them", "all", "are", "for", "not", "with", "have", "has", "was", "will", "must", "should", "need"),
        *("can", "who", "our", "your", "from", "but", "what", "when", "there", "their", "would", "les", "des", "une", "que", "qui", "pas", "pour", "dans"),
        *("est", "sont", "ont", "nous", "vous", "ils", "elle", "doit", "faut", "tous", "tout", "avec", "sur", "plus", "etre", "avoir", "cette", "ces"),
    )
)


@lru_cache(maxsize=1 << 14)
def _frequency(clause: Clause) -> float:
    """A rough guess at how many texts hold one of the keys; only the order matters."""
    out = 0.0
    for key in clause:
        share = _share(key.text) * (4 if key.kind == "stem" else 1)
        for word in key.others:
            share *= _share(word)
        out += share
    return out


def _share(word: str) -> float:
    return 0.4 if word in _COMMON else (0.4, 0.4, 0.4, 0.1, 0.01, 0.003, 0.001, 0.0007, 0.0005)[min(len(word), 8)]


def _one(keys: Sequence[Key]) -> Key | None:
    """One key for several that must all be there: the rarest, with the words beside it."""
    if len(keys) < 2:
        return keys[0] if keys else None
    first = min(keys, key=lambda k: _frequency(frozenset([k])))
    others = [w for k in keys if k is not first for w in ((k.text,) if k.kind == "word" else ()) + k.others]
    return Key(first.kind, first.text, tuple(dict.fromkeys([*first.others, *others])))


def _joined(clauses: Sequence[Clause]) -> Clause:
    """One clause for several that must all hold: the most telling, or those of one key as one."""
    single = _one([next(iter(c)) for c in clauses if len(c) == 1])
    candidates = [c for c in clauses if len(c) > 1] + ([frozenset([single])] if single else [])
    return min(candidates, key=_frequency, default=frozenset())
