"""The small language in which the patterns of a pack are written: text -> Node, by the vocabulary of the pack.

`write` makes RE2 text of a tree, `words` tells which words must occur.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ipu_moderation.rules.schema import Pack, TermList, fold

BUILT_IN = ("gap:N", "name", "capital", "handle", "number", "word", "quote", "start", "end")
MAX_GAP = 12



class PatternError(ValueError):
    """A pattern cannot be read; `offset` is the character at which."""

    def __init__(self, message: str, offset: int, hint: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Literal_:
    """Characters that stand for themselves, folded as the match view is."""

    text: str


@dataclass(frozen=True, slots=True)
class Space:
    """Between two words."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Up to `count` words, and the space after them."""

    count: int


@dataclass(frozen=True, slots=True)
class ListRef:
    """Any term of a list."""

    name: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A built-in element other than a gap."""

    name: str


@dataclass(frozen=True, slots=True)
class Raw:
    """A character class, as RE2 writes it."""

    source: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """`low` to `high` times."""

    node: Node
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Sequence_:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of these."""

    options: tuple[Node, ...]


Node = Literal_ | Space | Gap | ListRef | Mark | Raw | Repeat | Sequence_ | Choice


_SLOT = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the patterns of a pack may refer to, and how it writes words."""

    letters: str
    spaced: bool
    accents: bool
    """True when accents are optional."""
    lists: dict[str, TermList] = field(repr=False)
    macros: Mapping[str, str] = field(repr=False)
    read: dict[str, Node] = field(default_factory=dict, repr=False, compare=False)
    """Macros that were read already: one tree each, so that what is made of it can be kept too."""
    shared: set[int] = field(default_factory=set, repr=False, compare=False)
    """Identities of those trees, which live as long as the vocabulary."""

    @classmethod
    def of(cls, pack: Pack, used: Iterable[Pack] = ()) -> Vocabulary:
        """The vocabulary of a pack, its own names before those of the packs that it uses."""
        lists: dict[str, TermList] = {}
        macros: dict[str, str] = {}
        for p in (*used, pack):
            lists.update(p.lists)
            macros.update(p.macros)
        return cls(pack.letters, pack.words == "spaced", pack.accents == "optional", lists, macros)

    def let_go(self) -> None:
        """Of each list, all but its terms."""
        for name, chosen in self.lists.items():
            self.lists[name] = chosen.bare

    def lists_in(self, pattern: str, depth: int = 0) -> set[str]:
        """The lists that a pattern refers to, by itself or by macros."""
        out: set[str] = set()
        for name in _SLOT.findall(pattern):
            if name in self.macros and depth < 8:
                out |= self.lists_in(self.macros[name], depth + 1)
            elif name in self.lists:
                out.add(name)
        return out


#: Characters that stand for themselves, up to the last before a sign that may say more of it.
_PLAIN = re.compile(r"[^\s|()\[\]{}?*+\\.^$-]+")


class _Reader:
    """Recursive descent over one pattern."""

    def __init__(self, text: str, vocabulary: Vocabulary, inside: tuple[str, ...] = ()) -> None:
        self.text = text
        self.at = 0
        self.vocabulary = vocabulary
        self.inside = inside

    def read(self) -> Node:
        node = self._choice()
        if self.at < len(self.text):
            raise PatternError("a ')' without its '('", self.at, "Write \\) for the character itself.")
        return node

    def _choice(self) -> Node:
        options = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Node:
        items: list[Node] = []
        letters: list[str] = []

        def flush() -> None:
            if letters:
                items.append(Literal_(fold("".join(letters))))
                letters.clear()

        while self.at < len(self.text) and self._peek() not in "|)":
            start = self.at
            c = self._peek()
            if c in "?*+" or (c == "{" and self._digit_follows()):
                if not letters and (not items or isinstance(items[-1], Space | Gap)):
                    hint = "A gap may hold no word already." if items and isinstance(items[-1], Gap) else f"Write \\{c} for the character itself."
                    raise PatternError(f"'{c}' has nothing to repeat", start, hint)
                low, high = self._quantifier()
                if letters:
                    last = letters.pop()
                    flush()
                    items.append(Repeat(Literal_(fold(last)), low, high))
                else:
                    items.append(Repeat(items.pop(), low, high))
                continue
            if c in " \t\n" or (c == "-" and letters):
                # A hyphen inside a word is often written as a space, so both stand for both.
                self.at += 1
                flush()
                if not (items and isinstance(items[-1], Space | Gap)):
                    items.append(Space())
                continue
            if c == "\\" and self.text[self.at + 1 : self.at + 2] and not self.text[self.at + 1].isalnum():
                letters.append(self.text[self.at + 1])
                self.at += 2
                continue
            if c not in "([{\\.^$":
                plain = _PLAIN.match(self.text, self.at)
                letters.extend(plain[0] if plain else c)
                self.at += len(plain[0]) if plain else 1
                continue
            flush()
            if c == "(":
                items.append(self._group())
            elif c == "[":
                items.append(self._class())
            elif c == "{":
                items.append(self._element(items))
            elif c == "\\":
                items.append(self._escape())
            elif c == ".":
                raise PatternError("'.' alone would match anything", start, "Write {gap:2} for words between, or \\. for a full stop.")
            else:
                raise PatternError(f"'{c}' is not used here", start, "Write {start} or {end}: the start of a sentence, the end of a clause.")
        flush()
        return items[0] if len(items) == 1 else Sequence_(tuple(items))

    def _peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def _digit_follows(self) -> bool:
        return self.text[self.at + 1 : self.at + 2].isdigit() or self.text[self.at + 1 : self.at + 2] == ","

    def _quantifier(self) -> tuple[int, int]:
        start = self.at
        c = self._peek()
        self.at += 1
        if c == "?":
            out = (0, 1)
        elif c in "*+":
            raise PatternError(f"'{c}' has no upper bound", start, "Say how often at most, as in {0,3}; for words between, {gap:3}.")
        else:
            end = self.text.find("}", start)
            low, comma, high = self.text[start + 1 : end if end > 0 else None].partition(",")
            if end < 0 or not low.isdigit() or (comma and not high.isdigit()):
                raise PatternError("a repeat needs an upper bound", start, "Write {2} or {0,3}.")
            out = (int(low), int(high) if comma else int(low))
            if out[0] > out[1] or out[1] > 50:
                raise PatternError("a repeat counts from low to high, at most 50", start)
            self.at = end + 1
        if self._peek() == "?":
            raise PatternError("lazy repeats are not used", self.at, "Matches are found leftmost; gaps are as short as they can be.")
        return out

    def _group(self) -> Node:
        start = self.at
        self.at += 1
        if self.text.startswith("?:", self.at):
            self.at += 2
        elif self._peek() == "?":
            raise PatternError("only plain groups are used", start, "Write ( ... ); named groups, look-around and flags do not exist here.")
        node = self._choice()
        if self._peek() != ")":
            raise PatternError("a '(' without its ')'", start, "Write \\( for the character itself.")
        self.at += 1
        return node

    def _class(self) -> Node:
        start = self.at
        end = self.at + 1
        if self.text[end : end + 1] == "^":
            raise PatternError("a class may not be negated", start, "It would run over word and sentence ends; say what may stand here.")
        if self.text[end : end + 1] == "]":
            end += 1
        while end < len(self.text) and self.text[end] != "]":
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise PatternError("a '[' without its ']'", start, "Write \\[ for the character itself.")
        self.at = end + 1
        return Raw(self.text[start : end + 1].casefold() if "\\" not in self.text[start:end] else self.text[start : end + 1])

    def _escape(self) -> Node:
        start = self.at
        c = self.text[start + 1 : start + 2]
        if not c:
            raise PatternError("a backslash at the end", start)
        if c == "d":
            self.at += 2
            return Raw(r"\p{Nd}")
        if c == "b":
            raise PatternError("\\b knows ASCII letters only", start, "Word boundaries stand by themselves at both ends of a pattern and at each space.")
        if c in "wWsSDB":
            raise PatternError(f"\\{c} knows ASCII only", start, "Write {word} for a word, a space for what parts two words.")
        if c == "p" and self.text[start + 2 : start + 3] == "{":
            end = self.text.find("}", start)
            if end > 0:
                self.at = end + 1
                return Raw(self.text[start : end + 1])
        raise PatternError(f"\\{c} is not used here", start, "Escapes: \\d, \\p{...}, and a backslash before a sign such as \\. or \\?.")

    def _element(self, items: list[Node]) -> Node:
        start = self.at
        end = self.text.find("}", start)
        if end < 0:
            raise PatternError("a '{' without its '}'", start, "Write \\{ for the character itself.")
        name = self.text[start + 1 : end]
        self.at = end + 1
        if name.startswith("gap"):
            return self._gap(name, start, items)
        vocabulary = self.vocabulary
        if name in vocabulary.macros:
            if name in self.inside:
                raise PatternError(f"macro {{{name}}} refers to itself", start)
            if name not in vocabulary.read:
                try:
                    vocabulary.read[name] = _Reader(vocabulary.macros[name], vocabulary, (*self.inside, name)).read()
                except PatternError as error:
                    raise PatternError(f"in macro {{{name}}}: {error}", start, error.hint) from error
                vocabulary.shared.add(id(vocabulary.read[name]))
            return vocabulary.read[name]
        if name in vocabulary.lists:
            return ListRef(name)
        if name in ("start", "end"):
            if self.inside or (start if name == "start" else self.at < len(self.text)):
                where = "first" if name == "start" else "last"
                raise PatternError(f"{{{name}}} may only stand {where} in a pattern", start, "Give the rule a list of patterns when only some of them need it.")
            if name == "start" and self._peek() == " ":
                self.at += 1
            return Mark(name)
        if name in BUILT_IN:
            return Mark(name)
        known = ", ".join([*sorted(vocabulary.lists), *sorted(vocabulary.macros)]) or "none"
        raise PatternError(f"no list, macro or element is called {{{name}}}", start, f"Lists and macros: {known}. Elements: {', '.join(BUILT_IN)}.")

    def _gap(self, name: str, start: int, items: list[Node]) -> Node:
        count = name[4:]
        if not name.startswith("gap:") or not count.isdigit() or not 1 <= int(count) <= MAX_GAP:
            raise PatternError(f"{{{name}}} is no gap", start, f"Write {{gap:N}} with N from 1 to {MAX_GAP}: at most so many words between, in one sentence.")
        if self.vocabulary.spaced:
            if self._peek() != " " or not _ends_in_space(items):
                raise PatternError(f"{{{name}}} needs a space on both sides", start)
            self.at += 1
        return Gap(int(count))


def _ends_in_space(items: Sequence[Node]) -> bool:
    """Whether a word may begin after these."""
    for item in reversed(items):
        match item:
            case Space() | Gap() | Mark():
                return True
            case Repeat(inner, low, _):
                if not _ends_in_space([inner]):
                    return False
                if low:
                    return True
            case Choice(options):
                return all(_ends_in_space([o]) for o in options)
            case Sequence_(inside):
                return _ends_in_space(inside)
            case _:
                return False
    return True


def parse(text: str, vocabulary: Vocabulary) -> Node:
    """The tree of a pattern.

    Raises:
        PatternError: when it cannot be read, with the place and a hint.
    """
    text = text.strip()
    if not text:
        raise PatternError("the pattern is empty", 0)
    return _without_last_space(_Reader(text, vocabulary).read())


def _without_last_space(node: Node) -> Node:
    """`said (that )?` as `said( that)?`: a pattern ends with its last word."""
    items = list(node.items) if isinstance(node, Sequence_) else [node]
    moved: list[Node] = []
    while items and isinstance(items[-1], Repeat) and (rotated := _rotated(items[-1].node)) is not None:
        moved.insert(0, Repeat(rotated, items[-1].low, items[-1].high))
        items.pop()
    if moved and not (items and isinstance(items[-1], Space)):
        return node
    while items and isinstance(items[-1], Space):
        items.pop()
    return Sequence_((*items, *moved))


def _rotated(node: Node) -> Node | None:
    """The node with the space at its end put first; None when it does not end in one."""
    match node:
        case Sequence_(items) if items and isinstance(items[-1], Space):
            return Sequence_((Space(), *items[:-1]))
        case Choice(options):
            rotated = [_rotated(o) for o in options]
            return Choice(tuple(r for r in rotated if r is not None)) if all(r is not None for r in rotated) else None
        case _:
            return None


def uses_names(node: Node) -> bool:
    """Whether a pattern asks for names or capitals, which only the raw text shows."""
    match node:
        case Mark(name):
            return name in ("name", "capital")
        case Repeat(inner, _, _):
            return uses_names(inner)
        case Sequence_(items):
            return any(map(uses_names, items))
        case Choice(options):
            return any(map(uses_names, options))
        case _:
            return False
