"""What a pack file may say: its fields, and the small language in which its patterns are written.

    YAML -> Source (values and their lines) -> Pack (fields) -> Node (a pattern) -> RE2 text and the words that must occur

Everything that is wrong with a file is a `Fault` with a line, a caret and a hint; nothing here stops at the first one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ipu_moderation.errors import PackError
from ipu_moderation.normalise import fold as _fold
from ipu_moderation.taxonomy import Category, TargetGroup
from ipu_moderation.types import Effect

fold = lru_cache(maxsize=1 << 16)(_fold)

Scope = Literal["match", "quotation", "clause", "sentence", "text"]
Side = Literal["before", "after", "both"]

#: The characters that end a sentence, in the match view.
ENDERS = ".!?\u2026\n\u061f\u06d4\u0964\u0965\u3002\u1362\u0589\u17d4\u104b"

#: Letters of a word beside a-z and digits, as the inside of an RE2 class: far smaller than `\p{L}\p{M}\p{N}`, hence fast automata.
#: Scripts that count their own full stop among themselves are written as ranges without it.
SCRIPTS: Mapping[str, str] = {
    "Latin": r"\p{Latin}\x{300}-\x{36f}",
    "Cyrillic": r"\p{Cyrillic}\x{300}-\x{36f}",
    "Greek": r"\p{Greek}\x{300}-\x{36f}",
    "Arabic": r"\x{610}-\x{61a}\x{620}-\x{669}\x{66e}-\x{6d3}\x{6d5}-\x{6dc}\x{6df}-\x{6e8}\x{6ea}-\x{6ff}\x{750}-\x{77f}\x{870}-\x{8ff}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari": r"\p{Devanagari}\x{200c}\x{200d}",
    "Bengali": r"\p{Bengali}\x{200c}\x{200d}",
    "Gurmukhi": r"\p{Gurmukhi}",
    "Gujarati": r"\p{Gujarati}",
    "Tamil": r"\p{Tamil}",
    "Telugu": r"\p{Telugu}",
    "Kannada": r"\p{Kannada}",
    "Malayalam": r"\p{Malayalam}\x{200c}\x{200d}",
    "Sinhala": r"\p{Sinhala}\x{200d}",
    "Ethiopic": r"\x{1200}-\x{135f}\x{1369}-\x{139f}\x{2d80}-\x{2ddf}\x{ab00}-\x{ab2f}",
    "Armenian": r"\x{531}-\x{559}\x{560}-\x{588}",
    "Georgian": r"\p{Georgian}",
    "Thai": r"\p{Thai}",
    "Lao": r"\p{Lao}",
    "Khmer": r"\x{1780}-\x{17d3}\x{17d7}\x{17dc}-\x{17e9}",
    "Myanmar": r"\x{1000}-\x{1049}\x{104c}-\x{109f}\x{aa60}-\x{aa7f}",
    "Hangul": r"\p{Hangul}",
    "Han": r"\p{Han}",
    "Hiragana": r"\p{Hiragana}",
    "Katakana": r"\p{Katakana}",
}

#: Characters that the engine puts around names in a copy of the text; no character of a text is ever one of them.
NAME_OPEN, NAME_CLOSE, CAPITAL_OPEN, CAPITAL_CLOSE = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"

BUILT_IN = ("gap:N", "name", "capital", "handle", "number", "word", "quote", "start", "end")
MAX_GAP = 12


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a pack."""

    file: str
    line: int
    """From 1; 0 when the file as a whole is meant."""
    column: int
    """From 1; 0 when the line as a whole is meant."""
    message: str
    hint: str = ""
    source: str = ""
    """The line of the file, or the pattern when the pattern spans several lines."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        out = [f"{where}: {self.message}"]
        if self.source:
            lead = f"{self.line:>6} | "
            shift = 0
            shown = self.source
            if self.column > 100:
                shift = self.column - 60
                shown = "..." + shown[shift + 3 :]
            out.append(lead + shown[:150])
            if self.column:
                out.append(" " * (len(lead) - 2) + "| " + " " * (self.column - 1 - shift) + "^")
        if self.hint:
            out.append(f"       hint: {self.hint}")
        return "\n".join(out)


# ---------------------------------------------------------------------------------------------------------------------------- fields


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Strings = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_tuple)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Model):
    """A term of a list with its forms, and what a group list says of it."""

    terms: Strings
    target: TargetGroup | None = None
    note: str = ""
    severity: Literal["low", "medium", "high"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"terms": [value]}
        if isinstance(value, dict) and "term" in value and "terms" not in value:
            return {**{k: v for k, v in value.items() if k != "term"}, "terms": value["term"]}
        return value


class TermList(_Model):
    """A named list. `prefixes` and `suffixes` are letters that may be joined to every term, up to `chain` of them."""

    entries: tuple[Entry, ...]
    prefixes: Strings = ()
    suffixes: Strings = ()
    chain: int = Field(1, ge=1, le=4)
    about: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"entries": value} if isinstance(value, list | tuple) else value

    @property
    def terms(self) -> tuple[str, ...]:
        """Every form of every entry, in the order of the file."""
        return tuple(t for e in self.entries for t in e.terms)

    @property
    def is_group(self) -> bool:
        """True when its entries say who is meant."""
        return any(e.target is not None for e in self.entries)


class Rule(_Model):
    """A pattern that raises or excuses, with the examples that prove it."""

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)
    effect: Effect
    category: Category | None = None
    """Of a raise; an excuse says `covers`."""
    covers: tuple[Category, ...] = tuple(Category)
    """What an excuse excuses; all by default."""
    about: str = Field(min_length=1)
    """What is looked for and why, for the next author."""
    note: Mapping[str, str]
    """What was seen, in one sentence for a reviewer, by language."""
    pattern: Strings = Field(min_length=1)
    """Any one of these."""
    unless: Strings = ()
    """Voids a match when found in its sentence; for an excuse the sentence after counts too, where endorsement often stands."""
    scope: Scope = "sentence"
    side: Side = "both"
    """Where the raise stands, seen from the excuse."""
    window: int | None = Field(None, ge=0, le=2000)
    """Most characters between excuse and raise; None for the whole scope."""
    should_match: Strings = ()
    should_not_match: Strings = ()
    excuses: Strings = ()
    does_not_excuse: Strings = ()

    @property
    def bare(self) -> Rule:
        """The rule without its patterns and examples."""
        return self.model_copy(update=dict.fromkeys(("pattern", "unless", "should_match", "should_not_match", "excuses", "does_not_excuse"), ()))


class Pack(_Model):
    """All rules of one file."""

    name: str = Field(pattern=r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$", max_length=60)
    language: str = Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")
    """BCP 47; `und` for rules that hold in every language."""
    version: str = Field(min_length=1)
    reviewed_by: str = Field(min_length=1)
    """Who speaks the language natively and has read the pack; `none` until somebody has."""
    about: str = ""
    script: Annotated[tuple[Literal[tuple(SCRIPTS)], ...], BeforeValidator(_as_tuple)] = Field(min_length=1)  # type: ignore[valid-type]
    words: Literal["spaced", "unspaced"] = "spaced"
    accents: Literal["strict", "optional"] = "strict"
    """`optional`: a term written with accents is also found without them."""
    abbreviations: Strings = ()
    """Words after which a full stop ends no sentence."""
    clause_breaks: Strings = ()
    """Words that begin a new clause inside a sentence, such as `but`."""
    not_names: Strings = ()
    """Capitalised words that are no part of a name: days, months, words that often begin a sentence."""
    uses: Strings = ()
    """Packs whose lists and macros this one may refer to."""
    off: Strings = ()
    """Rules of other packs that this one switches off, as `en/some-id`."""
    lists: Mapping[str, TermList] = Field(default_factory=dict)
    macros: Mapping[str, str] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @property
    def letters(self) -> str:
        """The inside of an RE2 class: what a word is made of."""
        return "0-9a-z_" + "".join(SCRIPTS[s] for s in self.script)


# ------------------------------------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True)
class Source:
    """A parsed YAML file that still knows its lines."""

    file: str
    lines: list[str]
    root: yaml.Node | None

    def fault(self, path: Sequence[str | int], message: str, hint: str = "", *, key: bool = False, offset: int | None = None) -> Fault:
        """A fault at the value (or the key) under `path`, or `offset` characters into the value."""
        node, key_node = self._find(path)
        shown = key_node if key and key_node is not None else node
        if shown is None:
            return Fault(self.file, 0, 0, message, hint)
        mark = shown.start_mark
        line, column = mark.line, mark.column
        text = self.lines[line] if line < len(self.lines) else ""
        if offset is not None and isinstance(node, yaml.ScalarNode):
            if node.start_mark.line == node.end_mark.line:
                column = _column(text, node, offset)
            else:
                return Fault(self.file, line + 1, offset + 1, message, hint, node.value)
        return Fault(self.file, line + 1, column + 1, message, hint, text)

    def _find(self, path: Sequence[str | int]) -> tuple[yaml.Node | None, yaml.Node | None]:
        """The node under `path`, skipping steps that the file does not have (short forms); and the node of its key."""
        node, key_node = self.root, None
        for step in path:
            if isinstance(node, yaml.MappingNode):
                for k, v in node.value:
                    if k.value == str(step):
                        node, key_node = v, k
                        break
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node, key_node = node.value[step], None
        return node, key_node


def _column(text: str, node: yaml.ScalarNode, offset: int) -> int:
    """The column of a character of a scalar on one line, where a doubled quote or a backslash takes two columns."""
    start = node.start_mark.column
    if node.style not in ("'", '"'):
        return start + offset
    at = start + 1
    for _ in range(offset):
        at += 2 if (text[at : at + 2] == "''" and node.style == "'") or (node.style == '"' and text[at : at + 1] == "\\") else 1
    return at


#: The C reader when there is one; every scalar stays a string.
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_BODY = re.compile(r"^(?:lists|macros|rules):", re.MULTILINE)


def read_source(path: Path) -> tuple[Source, Any, list[Fault]]:
    """The file, its plain value (all scalars as strings) and what is wrong with its YAML.

    Raises:
        Nothing: an unreadable file is a fault.
    """
    name = path.name
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Source(name, [], None), None, [Fault(str(path), 0, 0, f"cannot be read: {error.__class__.__name__}", "A pack is a YAML file in UTF-8.")]
    lines = text.splitlines()
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        shown = lines[line] if line < len(lines) else ""
        return Source(name, lines, None), None, [Fault(name, line + 1, column + 1, f"is not YAML: {error.problem}", "Put patterns in 'single quotes'.", shown)]
    except yaml.YAMLError as error:
        return Source(name, lines, None), None, [Fault(name, 0, 0, f"is not YAML: {error.__class__.__name__}")]
    source = Source(name, lines, root)
    faults: list[Fault] = []
    return source, _plain(root, source, faults), faults


def _plain(node: yaml.Node | None, source: Source, faults: list[Fault]) -> Any:
    if isinstance(node, yaml.MappingNode):
        out: dict[str, Any] = {}
        for key, value in node.value:
            if key.value in out:
                line = key.start_mark.line
                faults.append(
                    Fault(source.file, line + 1, key.start_mark.column + 1, f"'{key.value}' stands here twice", "Keep one of the two.", source.lines[line])
                )
            out[key.value] = _plain(value, source, faults)
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_plain(v, source, faults) for v in node.value]
    return node.value if node is not None else None


_PLAINER = {
    "extra_forbidden": "is not a field here",
    "missing": "is missing",
}


def read_pack(path: Path) -> tuple[Pack | None, Source, list[Fault]]:
    """A pack and the faults of its YAML and its fields; no pack when there are any.

    Raises:
        Nothing: what is wrong comes back as faults.
    """
    source, value, faults = read_source(path)
    if faults:
        return None, source, faults
    if not isinstance(value, dict):
        return None, source, [Fault(source.file, 1, 0, "holds no pack", "Begin with name, language, version, reviewed_by and script; see docs/rules.md.")]
    try:
        return Pack.model_validate(value), source, []
    except ValidationError as error:
        for e in error.errors():
            loc = tuple(p for p in e["loc"] if isinstance(p, int | str))
            last = str(loc[-1]) if loc else ""
            owner = _owner(value, loc)
            if e["type"] in _PLAINER:
                fields = _fields_at(loc) if e["type"] == "extra_forbidden" else ()
                hint = f"Fields here: {', '.join(fields)}." if fields else ""
                faults.append(source.fault(loc, f"{owner}'{last}' {_PLAINER[e['type']]}", hint, key=e["type"] == "extra_forbidden"))
            else:
                name = ".".join(p for p in loc if isinstance(p, str) and p != "entries")
                faults.append(source.fault(loc, f"{owner}{name}: {e['msg']}"))
        return None, source, faults


class PackFile:
    """A pack that ships with the package: its head is read at once, its lists and rules when the first text comes that they are tried on.

    The tests of the package have checked these files, so that faults are not looked for again.
    """

    def __init__(self, path: Path) -> None:
        """Read the head.

        Raises:
            PackError: when the file has faults.
        """
        self.path = path
        self._whole: Pack | None = None
        try:
            text = path.read_text("utf-8")
            body = _BODY.search(text)
            self.head = Pack.model_validate(yaml.load(text[: body.start()] if body else text, Loader=_LOADER))
        except (OSError, ValueError, yaml.YAMLError):
            self.head = self.whole  # says what is wrong and where

    @property
    def whole(self) -> Pack:
        """The pack with its lists and rules.

        Raises:
            PackError: when the file has faults.
        """
        if self._whole is None:
            pack, _, faults = read_pack(self.path)
            if pack is None:
                raise PackError("\n".join(map(str, faults)), tuple(map(str, faults)))
            self._whole = pack
        return self._whole

    def let_go(self) -> None:
        """Forget the lists and rules; `whole` reads them again."""
        self._whole = None


def _owner(value: Mapping[str, Any], loc: Sequence[str | int]) -> str:
    if len(loc) >= 2 and loc[0] == "rules" and isinstance(loc[1], int) and isinstance(value.get("rules"), list):
        rule = value["rules"][loc[1]]
        if isinstance(rule, dict) and isinstance(rule.get("id"), str):
            return f"rule {rule['id']}: "
        return f"rule no. {loc[1] + 1}: "
    return ""


def _fields_at(loc: Sequence[str | int]) -> tuple[str, ...]:
    if loc[:1] == ("rules",) and len(loc) == 3:
        return tuple(Rule.model_fields)
    if loc[:1] == ("lists",):
        return tuple(Entry.model_fields) if "entries" in loc[:-1] else tuple(TermList.model_fields)
    return tuple(Pack.model_fields) if len(loc) == 1 else ()


# ------------------------------------------------------------------------------------------------------------------------ patterns


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
    lists: Mapping[str, TermList] = field(repr=False)
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


# ------------------------------------------------------------------------------------------------------------------------ to RE2

_ESCAPED = frozenset(r"\.+*?()|[]{}^$-/")


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


def literal(text: str, accents: bool) -> str:
    """RE2 text for characters that stand for themselves; with optional accents when asked."""
    out = []
    for c in text:
        bare = BARE.get(ord(c)) if accents else None
        out.append(f"(?:{c}|{bare})" if bare and len(bare) > 1 else f"[{c}{bare}]" if bare else f"\\{c}" if c in _ESCAPED else c)
    return "".join(out)


def term_words(term: str) -> list[str]:
    """The words of a term, folded; a trailing or leading `*` stays where the author put it."""
    words = []
    for word in term.replace("-", " ").split():
        head, tail = "*" * word.startswith("*"), "*" * (word.endswith("*") and len(word) > 1)
        words.append(head + fold(word.strip("*")) + tail)
    return words


class Writer:
    """Writes trees of one vocabulary as RE2."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.letter = f"[{vocabulary.letters}]"
        enders = self.enders = ENDERS.replace(".", "\\.").replace("\n", "\\n")
        self.between = f"[^{vocabulary.letters}{enders}]+"
        # A gap may not run over a comma: what follows it is seldom the object of the verb before.
        self.in_gap = f"[^{vocabulary.letters}{enders},;:()]+"
        self.any_in_sentence = f"[^{enders},;:]"
        self.lists: dict[tuple[str, ...], str] = {}
        self.known: dict[int, str] = {}

    def write(self, node: Node) -> str:
        """The whole pattern with its guards; group 1 is what it matches."""
        items = list(node.items) if isinstance(node, Sequence_) else [node]
        other = f"[^{self.vocabulary.letters}]"
        spaced = self.vocabulary.spaced
        before = f"(?:^|{other})" if spaced else ""
        # Not before a possessive: what is said of women's rights is not said of women.
        after = f"(?:[^{self.vocabulary.letters}']|$|'(?:$|[^s]|s[{self.vocabulary.letters}]))" if spaced else ""
        if items and items[0] == Mark("start"):
            items.pop(0)
            # The start of a sentence or of what follows a colon, a dash or a quotation mark; handles before it do not count. After a comma
            # stands more often a further verb of somebody else ("they loot, kill ...") than a call.
            marks = f"[{self.enders}" + ';:"()\\x{61b}\\x{ff1a}>*-]'
            before = f"(?:^|{marks}){other}*(?:@[{self.vocabulary.letters}]+{other}+)*" if spaced else f"(?:^|{marks})\\s*"
        if items and items[-1] == Mark("end"):
            items.pop()
            after = f"(?: ?(?:[^{self.vocabulary.letters} ]|$))"
        return f"{before}({self._sequence(items)}){after}"

    def _node(self, node: Node) -> str:
        if id(node) in self.vocabulary.shared:
            if id(node) not in self.known:
                self.known[id(node)] = self._fresh(node)
            return self.known[id(node)]
        return self._fresh(node)

    def _fresh(self, node: Node) -> str:
        match node:
            case Literal_(text):
                return literal(text, self.vocabulary.accents)
            case Space():
                return self.between if self.vocabulary.spaced else "\\s{0,3}"
            case Gap(count):
                return f"(?:{self.letter}+{self.in_gap}){{0,{count}}}?" if self.vocabulary.spaced else f"{self.any_in_sentence}{{0,{count}}}?"
            case ListRef(name):
                return self._list(name)
            case Mark(name):
                return self._mark(name)
            case Raw(source):
                return source
            case Repeat(inner, low, high):
                text = self._node(inner)
                return f"(?:{text})" + ("?" if (low, high) == (0, 1) else f"{{{low},{high}}}")
            case Sequence_(items):
                return self._sequence(items)
            case Choice(options):
                return "(?:" + "|".join(self._options(options)) + ")"

    def _options(self, options: Iterable[Node]) -> Iterator[str]:
        """Lists that are neighbours count as one: "left" of the first must not hide "left louts" of the second."""
        flat: list[Node] = [o for option in options for o in (self._lists_of(option) or (option,))]
        for mergeable, run in groupby(flat, key=lambda o: isinstance(o, ListRef) and not self.vocabulary.lists[o.name].prefixes and not self.vocabulary.lists[o.name].suffixes):
            if mergeable:
                yield self._list(*(o.name for o in run if isinstance(o, ListRef)))
            else:
                yield from map(self._node, run)

    def _lists_of(self, node: Node) -> list[ListRef] | None:
        """The lists of a choice between lists alone."""
        if isinstance(node, Choice):
            inner = [self._lists_of(o) for o in node.options]
            return [ref for refs in inner for ref in refs or ()] if all(inner) else None
        return [node] if isinstance(node, ListRef) else None

    def _sequence(self, items: Iterable[Node]) -> str:
        return "".join(self._node(i) for i in items)

    def _mark(self, name: str) -> str:
        letters = self.vocabulary.letters
        if name == "name":
            return f"{NAME_OPEN}[^{NAME_OPEN}{NAME_CLOSE}\\n]+{NAME_CLOSE}"
        if name == "capital":
            marks = NAME_OPEN + NAME_CLOSE + CAPITAL_OPEN + CAPITAL_CLOSE
            return f"[{NAME_OPEN}{CAPITAL_OPEN}][^{marks}\\n]+[{NAME_CLOSE}{CAPITAL_CLOSE}]"
        if name == "handle":
            return f"@[{letters}]{{1,40}}"
        if name == "number":
            return r"\p{Nd}{1,9}"
        if name == "word":
            return f"{self.letter}{{1,40}}"
        return "[\"'«»„‹›「」『』]"

    def _list(self, *names: str) -> str:
        """One list, or several without prefixes and suffixes as one."""
        if names not in self.lists:
            chosen = self.vocabulary.lists[names[0]]
            # In falling order a longer term stands before its own beginning, and RE2 shares what neighbours begin with.
            words = sorted({self._term(t) for name in names for t in self.vocabulary.lists[name].terms}, reverse=True)
            text = "(?:" + "|".join(words) + ")"
            many = f"{{0,{chosen.chain}}}" if chosen.chain > 1 else "?"
            if chosen.prefixes:
                text = f"(?:{'|'.join(sorted((literal(fold(p), False) for p in chosen.prefixes), reverse=True))}){many}" + text
            if chosen.suffixes:
                text += f"(?:{'|'.join(sorted((literal(fold(s), self.vocabulary.accents) for s in chosen.suffixes), reverse=True))}){many}"
            self.lists[names] = text
        return self.lists[names]

    def _term(self, term: str) -> str:
        out = []
        for word in term_words(term):
            star = f"{self.letter}*"
            bare = word.strip("*") or word
            out.append((star if word.startswith("*") else "") + literal(bare, self.vocabulary.accents) + (star if word.endswith("*") else ""))
        # Few signs between the words of a term: the full class for each of a thousand terms would make programs ten times as large.
        return f"[ {NAME_OPEN}-{CAPITAL_CLOSE}-]{'+' if self.vocabulary.spaced else '*'}".join(out)


# ------------------------------------------------------------------------------------------------------------- words that must occur


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


@dataclass(frozen=True, slots=True)
class Key:
    """Something that a text must hold: a word, a word that begins with `text` (stem), or `text` anywhere (gram); and all of `others`."""

    kind: Literal["word", "stem", "gram"]
    text: str
    others: tuple[str, ...] = ()


Clause = frozenset[Key]

_STEM = 8
_MAX_FORMS = 400


class Requirements:
    """Which words a text must hold for a pattern to match: all clauses, each by one of its keys. Cheaper to test than the pattern."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.lists: dict[tuple[str, bool, bool], Clause | None] = {}
        self.known: dict[tuple[int, bool, bool], list[Clause]] = {}

    def of(self, node: Node, most: int = 3) -> tuple[Clause, ...]:
        """Up to `most` clauses, the most telling first."""
        found = sorted(set(self._clauses(node, True, True)), key=_frequency)
        # What stands in every other text tells nothing.
        return tuple(c for i, c in enumerate(found[:most]) if i == 0 or _frequency(c) < 0.3)

    def _clauses(self, node: Node, left: bool, right: bool) -> list[Clause]:
        """`left` and `right` say whether a word boundary stands on that side."""
        if id(node) not in self.vocabulary.shared:
            return self._fresh(node, left, right)
        key = (id(node), left, right)
        if key not in self.known:
            self.known[key] = self._fresh(node, left, right)
        return self.known[key]

    def _fresh(self, node: Node, left: bool, right: bool) -> list[Clause]:
        match node:
            case Literal_(text):
                key = self._key([text], left, right)
                return [frozenset([key])] if key else []
            case ListRef(name):
                clause = self._list(name, left, right)
                return [clause] if clause else []
            case Repeat(inner, low, high):
                return self._clauses(inner, left and high == 1, right and high == 1) if low else []
            case Choice(options):
                best = [_joined(self._clauses(o, left, right)) for o in options]
                return [frozenset(k for clause in best for k in clause)] if all(best) else []
            case Sequence_(items):
                out: list[Clause] = []
                lefts = [left]
                for item in items:
                    lefts.append(self._boundary(item, lefts[-1], forward=True))
                rights = [right]
                for item in reversed(items):
                    rights.append(self._boundary(item, rights[-1], forward=False))
                rights.reverse()
                for i, item in enumerate(items):
                    out += self._clauses(item, lefts[i], rights[i + 1])
                return out
            case _:
                return []

    def _boundary(self, node: Node, before: bool, *, forward: bool) -> bool:
        """Whether a word boundary surely stands on the far side of a node, when `before` says so of the near side."""
        match node:
            case Space() | Gap():
                return True
            case Mark(name):
                return name in ("start", "end", "name", "capital")
            case Repeat(inner, low, _):
                return self._boundary(inner, before, forward=forward) and (before or low > 0)
            case Choice(options):
                return all(self._boundary(o, before, forward=forward) for o in options)
            case Sequence_(items):
                for item in items if forward else reversed(items):
                    before = self._boundary(item, before, forward=forward)
                return before
            case Literal_(text):
                return not words_in(text[-1] if forward else text[0])
            case _:
                return False

    def _key(self, words: Sequence[str], left: bool, right: bool) -> Key | None:
        """The most telling word of a literal or a term."""
        parts: list[tuple[str, bool, bool]] = []
        for n, word in enumerate(words):
            open_left = word.startswith("*") or (n == 0 and not left)
            open_right = (word.endswith("*") and len(word) > 1) or (n == len(words) - 1 and not right)
            bare = word.strip("*") or word
            pieces = words_in(without_accents(bare))
            ends_in_letter = bool(words_in(bare[-1]))
            begins_in_letter = bool(words_in(bare[0]))
            for i, piece in enumerate(pieces):
                parts.append((piece, open_left and i == 0 and begins_in_letter, open_right and i == len(pieces) - 1 and ends_in_letter))
        if not self.vocabulary.spaced:
            joined = max((p for p, _, _ in parts), key=len, default="")
            return Key("gram", joined[:2]) if joined else None
        return _one([Key("stem", p[:_STEM]) if more else Key("word", p) for p, less, more in parts if not less])

    def _list(self, name: str, left: bool, right: bool) -> Clause | None:
        if (name, left, right) not in self.lists:
            chosen = self.vocabulary.lists[name]
            heads = _chains(chosen.prefixes, chosen.chain) if self.vocabulary.spaced else ("",)
            keys: set[Key | None] = set()
            for term in chosen.terms:
                words = term_words(term)
                for head in heads if words else ():
                    keys.add(self._key([fold(head) + words[0], *words[1:]], left, right and not chosen.suffixes))
            self.lists[name, left, right] = None if None in keys or not keys or len(heads) > _MAX_FORMS else frozenset(k for k in keys if k)
        return self.lists[name, left, right]


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
    if not keys:
        return None
    first = min(keys, key=lambda k: _frequency(frozenset([k])))
    others = [w for k in keys if k is not first for w in ((k.text,) if k.kind == "word" else ()) + k.others]
    return Key(first.kind, first.text, tuple(dict.fromkeys([*first.others, *others])))


def _joined(clauses: Sequence[Clause]) -> Clause:
    """One clause for several that must all hold: the most telling, or those of one key as one."""
    single = _one([next(iter(c)) for c in clauses if len(c) == 1])
    candidates = [c for c in clauses if len(c) > 1] + ([frozenset([single])] if single else [])
    return min(candidates, key=_frequency, default=frozenset())
