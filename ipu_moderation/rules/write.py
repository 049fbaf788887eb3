"""Patterns as RE2 reads them, made for one text: only what the text can match is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import re2

from ipu_moderation.rules.pattern import Choice, Gap, ListRef, Literal_, Mark, Node, Raw, Repeat, Sequence_, Space, Vocabulary
from ipu_moderation.rules.schema import ENDERS, fold
from ipu_moderation.rules.words import BARE, Key, Searched, Terms, flagged, key_of, parted, term_words

#: Characters that the engine puts around names in a copy of the text; no character of a text is ever one of them.
NAME_OPEN, NAME_CLOSE, CAPITAL_OPEN, CAPITAL_CLOSE = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"

_ESCAPED = frozenset(r"\.+*?()|[]{}^$-/")


@lru_cache(maxsize=1 << 15)
def literal(text: str, accents: bool) -> str:
    """RE2 text for characters that stand for themselves; with optional accents when asked."""
    out = []
    for c in text:
        bare = BARE.get(ord(c)) if accents else None
        out.append(f"(?:{c}|{bare})" if bare and len(bare) > 1 else f"[{c}{bare}]" if bare else f"\\{c}" if c in _ESCAPED else c)
    return "".join(out)


#: Different characters in a text above which classes are written in full.
MANY_CHARACTERS = 300
#: Answers that are kept for a class of characters.
KEPT_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Classes of characters, as RE2 writes them: of everything that there is, or, which makes programs a tenth as large, of what a text holds."""

    letter: str
    between: str
    """Between two words."""
    in_gap: str
    """The same in a gap, which may not run over a comma: what follows it is seldom the object of the verb before."""
    in_sentence: str
    other: str
    """No letter."""
    opening: str
    """After which a sentence, or what is said, begins."""
    after: str
    """Behind a match. Not before a possessive: what is said of women's rights is not said of women."""
    after_clause: str

    @classmethod
    def whole(cls, letters: str) -> Alphabet:
        """Of everything, where words are made of `letters` (the inside of a class)."""
        enders = ENDERS.replace(".", "\\.").replace("\n", "\\n")
        return cls(
            f"[{letters}]", f"[^{letters}{enders}]", f"[^{letters}{enders},;:()]", f"[^{enders},;:]", f"[^{letters}]", f"[{enders}" + _OPENERS + "]",
            f"(?:[^{letters}']|$|'(?:$|[^s]|s[{letters}]))", f"(?: ?(?:[^{letters} ]|$))",
        )  # fmt: skip

    @classmethod
    def of(cls, characters: Iterable[str], is_letter: Callable[[str], bool]) -> Alphabet:
        """Of these characters alone."""
        have = set(characters)
        letters = {c for c in have if is_letter(c)}
        others = have - letters
        inside, letter = others - _ENDERS, one_of(letters)
        possessive = f"'(?:$|{one_of(have - {'s'})}|s{letter})"
        return cls(
            letter, one_of(inside), one_of(inside - set(",;:()")), one_of(have - _ENDERS - set(",;:")), one_of(others), one_of(have & _OPENING),
            f"(?:{one_of(others - {chr(39)})}|$|{possessive})", f"(?: ?(?:{one_of(others - {' '})}|$))",
        )  # fmt: skip


_OPENERS = ';:"()\\x{61b}\\x{ff1a}>*-'
_ENDERS = frozenset(ENDERS)
_OPENING = _ENDERS | frozenset(';:"()\u061b\uff1a>*-')
NOTHING = "[^\\x{0}-\\x{10ffff}]"


def one_of(characters: Iterable[str]) -> str:
    """A class of these characters."""
    points = sorted(map(ord, characters))
    if not points:
        return NOTHING
    out: list[str] = []
    first = last = points[0]
    for point in [*points[1:], -1]:
        if point == last + 1:
            last = point
            continue
        out.append(f"\\x{{{first:x}}}" if first == last else f"\\x{{{first:x}}}-\\x{{{last:x}}}")
        first = last = point
    return f"[{''.join(out)}]"


class Writer:
    """Writes trees of one vocabulary as RE2, for one text: what needs a word that the text lacks is left out, so that a pattern with thousands of terms
    becomes one with the few that are there, or none at all. It matches what the whole pattern matches."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.alphabet = Alphabet.whole(vocabulary.letters)
        # By id of a node: the vocabulary and `_wholes` hold the nodes, so that an id stays its own.
        self._wholes: dict[int, tuple[Node, bool, Sequence_, bool]] = {}
        self._parts: dict[tuple[int, bool, bool], tuple[tuple[Node, bool, bool], ...]] = {}
        self._groups: dict[int, tuple[Node | tuple[str, ...], ...]] = {}
        self._keys: dict[tuple[str, bool, bool], Key | None] = {}
        self._indexes: dict[tuple[tuple[str, ...], bool, bool], Terms] = {}
        self._members: dict[str, dict[str, bool]] = {}

    def write(self, node: Node, text: Searched | None = None) -> str | None:
        """The pattern with its guards, for a text, or for any when None; group 1 is what it matches. None when it cannot match this text."""
        if id(node) not in self._wholes:
            items = list(node.items) if isinstance(node, Sequence_) else [node]
            starts, ends = items[0] == Mark("start"), items[-1] == Mark("end")
            self._wholes[id(node)] = node, starts, Sequence_(tuple(items[starts : len(items) - ends])), ends
        _, starts, inner, ends = self._wholes[id(node)]
        written = self._write(inner, True, True, text)
        if written is None:
            return None
        known, spaced = self._alphabet(text), self.vocabulary.spaced
        before, after = f"(?:^|{known.other})" if spaced else "", known.after if spaced else ""
        if starts:
            # The start of a sentence or of what follows a colon, a dash or a quotation mark; handles before it do not count. After a comma
            # stands more often a further verb of somebody else ("they loot, kill ...") than a call.
            handles = f"{known.other}*(?:@{known.letter}+{known.other}+)*" if spaced else "\\s*"
            before = f"(?:^|{known.opening}){handles}"
        return f"{before}({written}){known.after_clause if ends else after}"

    def is_letter(self, character: str) -> bool:
        """Whether words of these packs are made of it."""
        return self._is_of(self.alphabet.letter, character)

    def _is_of(self, source: str, character: str) -> bool:
        """Whether a character is of a class. Asked of the same few characters for each text, so that answers are kept."""
        known = self._members.setdefault(source, {})
        if character not in known:
            if len(known) >= KEPT_CHARACTERS:
                known.clear()
            known[character] = re2.fullmatch(source, character) is not None
        return known[character]

    def _alphabet(self, text: Searched | None) -> Alphabet:
        if text is None or len(text.characters) > MANY_CHARACTERS:
            return self.alphabet
        if self not in text.written:
            text.written[self] = Alphabet.of(text.characters, self.is_letter)
        known: Alphabet = text.written[self]
        return known

    def _write(self, node: Node, left: bool, right: bool, text: Searched | None) -> str | None:
        """`left` and `right` say whether a word boundary stands on that side."""
        if text is None or id(node) not in self.vocabulary.shared:
            return self._fresh(node, left, right, text)
        key = (id(node), left, right)
        if key not in text.written:
            text.written[key] = self._fresh(node, left, right, text)
        found: str | None = text.written[key]
        return found

    def _fresh(self, node: Node, left: bool, right: bool, text: Searched | None) -> str | None:
        match node:
            case Literal_(word):
                return literal(word, self.vocabulary.accents) if text is None or self._occurs(word, left, right, text) else None
            case Space():
                return f"{self._alphabet(text).between}+" if self.vocabulary.spaced else "\\s{0,3}"
            case Gap(count):
                known = self._alphabet(text)
                return f"(?:{known.letter}+{known.in_gap}+){{0,{count}}}?" if self.vocabulary.spaced else f"{known.in_sentence}{{0,{count}}}?"
            case ListRef(name):
                return self._lists((name,), left, right, text)
            case Mark(name):
                return self._mark(name, self._alphabet(text))
            case Raw(source):
                return self._raw(source, text)
            case Repeat(inner, low, high):
                apart = high == 1 or parted(inner)
                written = self._write(inner, left and apart, right and apart, text)
                if written is None:
                    return None if low else ""
                return f"(?:{written})" + ("?" if (low, high) == (0, 1) else f"{{{low},{high}}}")
            case Sequence_():
                out = []
                for item, at_left, at_right in self._flagged(node, left, right):
                    written = self._write(item, at_left, at_right, text)
                    if written is None:
                        return None
                    out.append(written)
                return "".join(out)
            case Choice():
                some = []
                for option in self._grouped(node):
                    written = self._lists(option, left, right, text) if isinstance(option, tuple) else self._write(option, left, right, text)
                    if written is not None:
                        some.append(written)
                return "(?:" + "|".join(some) + ")" if some else None

    def _raw(self, source: str, text: Searched | None) -> str | None:
        """A class of characters: those that occur."""
        if text is None or len(text.characters) > MANY_CHARACTERS:
            return source
        if (self, source) not in text.written:
            found = [c for c in text.characters if self._is_of(source, c)]
            text.written[self, source] = one_of(found) if found else None
        written: str | None = text.written[self, source]
        return written

    def _flagged(self, node: Sequence_, left: bool, right: bool) -> tuple[tuple[Node, bool, bool], ...]:
        """The items with whether a word boundary stands on either side."""
        key = (id(node), left, right)
        if key not in self._parts:
            self._parts[key] = tuple(flagged(node, left, right))
        return self._parts[key]

    def _grouped(self, node: Choice) -> tuple[Node | tuple[str, ...], ...]:
        """Lists that are neighbours count as one: "left" of the first must not hide "left louts" of the second."""
        if id(node) not in self._groups:
            flat: list[Node] = [o for option in node.options for o in (self._lists_of(option) or (option,))]
            out: list[Node | tuple[str, ...]] = []
            for bare, neighbours in groupby(flat, key=self._is_bare):
                run = list(neighbours)
                out += [tuple(o.name for o in run if isinstance(o, ListRef))] if bare else run
            self._groups[id(node)] = tuple(out)
        return self._groups[id(node)]

    def _is_bare(self, node: Node) -> bool:
        """A list without prefixes and suffixes."""
        return isinstance(node, ListRef) and not (self.vocabulary.lists[node.name].prefixes or self.vocabulary.lists[node.name].suffixes)

    def _lists_of(self, node: Node) -> list[ListRef] | None:
        """The lists of a choice between lists alone."""
        if isinstance(node, Choice):
            inner = [self._lists_of(o) for o in node.options]
            return [ref for refs in inner for ref in refs or ()] if all(inner) else None
        return [node] if isinstance(node, ListRef) else None

    def _mark(self, name: str, known: Alphabet) -> str:
        if name == "name":
            return f"{NAME_OPEN}[^{NAME_OPEN}{NAME_CLOSE}\\n]+{NAME_CLOSE}"
        if name == "capital":
            marks = NAME_OPEN + NAME_CLOSE + CAPITAL_OPEN + CAPITAL_CLOSE
            return f"[{NAME_OPEN}{CAPITAL_OPEN}][^{marks}\\n]+[{NAME_CLOSE}{CAPITAL_CLOSE}]"
        if name == "handle":
            return f"@{known.letter}{{1,40}}"
        if name == "number":
            return r"\p{Nd}{1,9}"
        if name == "word":
            return f"{known.letter}{{1,40}}"
        return "[\"'«»„‹›「」『』]"

    def _occurs(self, word: str, left: bool, right: bool, text: Searched) -> bool:
        at = (word, left, right)
        if at not in self._keys:
            self._keys[at] = key_of([word], left, right, self.vocabulary.spaced)
        key = self._keys[at]
        return key is None or key.occurs(text)

    def _lists(self, names: tuple[str, ...], left: bool, right: bool, text: Searched | None) -> str | None:
        """The terms that occur: of one list, or of several without prefixes and suffixes as one."""
        if text is None:
            return self._terms(names, None, text)
        key = (self, names, left, right)
        if key not in text.written:
            if key[1:] not in self._indexes:
                self._indexes[key[1:]] = Terms(self.vocabulary, names, left, right)
            found = self._indexes[key[1:]].occurring(text)
            text.written[key] = self._terms(names, found, text) if found else None
        written: str | None = text.written[key]
        return written

    def _terms(self, names: tuple[str, ...], found: Iterable[str] | None, text: Searched | None) -> str:
        chosen = self.vocabulary.lists[names[0]]
        some = found if found is not None else (t for name in names for t in self.vocabulary.lists[name].terms)
        letter = self._alphabet(text).letter
        # In falling order a longer term stands before its own beginning, and RE2 shares what neighbours begin with.
        out = "(?:" + "|".join(sorted({self._term(t, letter) for t in some}, reverse=True)) + ")"
        many = f"{{0,{chosen.chain}}}" if chosen.chain > 1 else "?"
        if chosen.prefixes:
            out = f"(?:{'|'.join(sorted((literal(fold(p), False) for p in chosen.prefixes), reverse=True))}){many}" + out
        if chosen.suffixes:
            out += f"(?:{'|'.join(sorted((literal(fold(s), self.vocabulary.accents) for s in chosen.suffixes), reverse=True))}){many}"
        return out

    def _term(self, term: str, letter: str) -> str:
        out = []
        for word in term_words(term):
            star = f"{letter}*"
            bare = word.strip("*") or word
            out.append((star if word.startswith("*") else "") + literal(bare, self.vocabulary.accents) + (star if word.endswith("*") else ""))
        # Few signs between the words of a term: the full class for each of a thousand terms would make programs ten times as large.
        return f"[ {NAME_OPEN}-{CAPITAL_CLOSE}-]{'+' if self.vocabulary.spaced else '*'}".join(out)
