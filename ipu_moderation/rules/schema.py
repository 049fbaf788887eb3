"""What a pack file may say.

    YAML -> Source (values and their lines) -> Pack (fields); `pattern` reads the patterns, `words` tells what must occur, `write` makes RE2 text of them

Everything that is wrong with a file is a `Fault` with a line, a caret and a hint; nothing here stops at the first one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


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
    def bare(self) -> TermList:
        """The list with its terms as one entry, and nothing of what is said of them."""
        return self.model_copy(update={"entries": (Entry.model_construct(terms=self.terms),)})

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
