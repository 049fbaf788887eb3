"""Packs at work: which rules of which packs match a text, and which excuse covers which raise. Linear in the length of the text.

    match view -> words that occur -> candidate rules -> their order -> RE2, exact spans -> excuses of those texts alone that raise -> findings

A dictionary of words comes first and not an RE2 `Set`: over texts that it has not seen before, a set of 270 lists builds automaton states at
0.2 to 0.8 ms a post, since each subset of lists seen so far is a state of its own; looking up each word takes about 0.01 ms at any number of terms.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import re2

from ipu_moderation.errors import PackError
from ipu_moderation.personal import TRACEABLE, find_personal_data
from ipu_moderation.resources import rule_packs
from ipu_moderation.rules.outline import Outline, Outliner, Places, Program, follow, program
from ipu_moderation.rules.pattern import Node, PatternError, Vocabulary, parse, uses_names
from ipu_moderation.rules.schema import ENDERS, SCRIPTS, Fault, Pack, PackFile, Rule, Source, read_pack
from ipu_moderation.rules.words import BARE, Clause, Requirements, words_in
from ipu_moderation.rules.write import CAPITAL_CLOSE, CAPITAL_OPEN, NAME_CLOSE, NAME_OPEN, Writer
from ipu_moderation.taxonomy import Category, TargetGroup
from ipu_moderation.types import Effect, Finding, Language, Text

#: Matches of one pattern that are looked at in one text.
MAX_MATCHES = 1000
#: Characters between the frame of a quotation and its quotation marks, unless the rule says otherwise.
QUOTATION_WINDOW = 60
#: Longest quotation, in characters.
MAX_QUOTATION = 2000
#: Programs that are kept for the next text that needs the same, and the longest text after which one is kept: automata grow with what they have read.
KEPT_PROGRAMS = 128
MAX_SEARCHED = 1 << 14
#: Below this confidence, all packs of the scripts in a text are tried.
UNSURE = 0.5


DOXXING = "und/doxxing"
"""The one rule that stands in no pack: it looks at what the packs raised."""
DOXXING_NOTE: Mapping[str, str] = {
    "en": "Personal data that lead to somebody stand beside a threat or a call.",
    "fr": "Des données personnelles qui mènent à quelqu'un accompagnent une menace ou un appel.",
}
_THREATENING = frozenset((Category.VIOLENCE, Category.INCITEMENT, Category.MOBILISATION))


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    # A budget, not an allocation. On a megabyte of bait 4 MB take 3.1 s, 8 MB 1.2 s, 16 MB 0.7 s and 32 MB 0.7 s: with too little, automata are thrown away.
    options.max_mem = 16 << 20
    return options


_OPTIONS = _options()


def compile_re2(pattern: str) -> Any:
    """A compiled pattern over UTF-8 bytes.

    Raises:
        re2.error: when RE2 refuses it.
    """
    return re2.compile(pattern, _OPTIONS)


_program = lru_cache(maxsize=KEPT_PROGRAMS)(compile_re2)


# ------------------------------------------------------------------------------------------------------------------- public nouns


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """What is known of a rule without a text."""

    id: str
    """`<pack>/<id>`."""
    pack: str
    language: str
    effect: Effect
    category: Category | None
    """None for an excuse."""
    covers: tuple[Category, ...]
    """Empty for a raise."""
    about: str
    note: Mapping[str, str]
    """One sentence for the reviewer, by language."""
    targets: frozenset[TargetGroup]
    """The groups that the lists of its pattern name; empty when it needs none."""


@dataclass(frozen=True, slots=True)
class Match:
    """Where a rule matched, in characters of the match view."""

    start: int
    end: int


# ------------------------------------------------------------------------------------------------------------------------ one text


class View:
    """One text while rules look at it: everything beyond the bytes is made when first asked for."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.view = text.match_view
        self.data = self.view.encode("utf-8", "replace")
        self.ascii = self.view.isascii()
        self.words = frozenset(words_in(self.view if self.ascii else self.view.translate(BARE)))
        self._sentences: dict[frozenset[str], list[int]] = {}
        self._clauses: dict[int, list[int]] = {}
        self._quotations: list[tuple[int, int]] | None = None
        self._marked: dict[int, tuple[bytes, list[int]]] = {}
        self._group_names: dict[int, list[Match]] = {}
        self._stems: dict[int, set[str]] = {}
        self._places: dict[tuple[str, bool], Places] = {}
        self.written: dict[Any, Any] = {}
        """What `Writer` wrote for this text already."""

    @cached_property
    def characters(self) -> frozenset[str]:
        """Those that occur, and the marks that stand around names."""
        return frozenset(self.data.decode("utf-8")) | _MARKS

    @cached_property
    def grams(self) -> set[str]:
        """Letters and pairs of letters."""
        return {*self.view, *map("".join, pairwise(self.view))}

    def stems(self, length: int) -> set[str]:
        """The first `length` letters of each word."""
        if length not in self._stems:
            self._stems[length] = {word[:length] for word in self.words}
        return self._stems[length]

    def places(self, writer: Writer) -> Places:
        """Where its words stand, for packs of the same letters."""
        key = writer.vocabulary.letters, writer.vocabulary.spaced
        if key not in self._places:
            self._places[key] = Places(self.view, frozenset(filter(writer.is_letter, set(self.view))), spaced=writer.vocabulary.spaced)
        return self._places[key]

    def position(self, at: int, known_byte: int = 0, known: int = 0) -> int:
        """The character of a byte, counted on from a byte whose character is known."""
        return at if self.ascii else known + len(self.data[known_byte:at].decode("utf-8"))

    def sentences(self, abbreviations: frozenset[str]) -> list[int]:
        """Where sentences begin, in rising order; the first is 0."""
        if abbreviations not in self._sentences:
            starts = [0]
            view, raw = self.view, self.text.raw
            for match in _SENTENCE_END.finditer(view):
                if not match[1] and match.end() < len(view) and _FIRM_END.search(match[0]) is None:
                    continue
                if match[0][0] == "." and self._is_abbreviation(match.start(), abbreviations):
                    continue
                starts.append(match.end())
            if "\n" in raw:
                # The match view has one kind of space; the lines of a post still part its sentences.
                ends = self.text.ends
                starts += [bisect_left(ends, m.end()) for m in _LINE_END.finditer(raw)]
                starts = sorted({s for s in starts if s < max(1, len(view))})
            self._sentences[abbreviations] = starts
        return self._sentences[abbreviations]

    def _is_abbreviation(self, at: int, abbreviations: frozenset[str]) -> bool:
        begin = at
        while begin > 0 and at - begin < 12 and self.view[begin - 1].isalpha():
            begin -= 1
        word = self.view[begin:at]
        return word in abbreviations or (len(word) == 1 and self.view[begin - 1 : begin] == ".") or (len(word) == 1 and word.isascii() and word != "i")

    def clauses(self, pack: CompiledPack) -> list[int]:
        """Where clauses begin: at each sentence, after a semicolon or colon, and at the words that the pack names."""
        if id(pack) not in self._clauses:
            starts = {*self.sentences(pack.abbreviations), *(m.end() for m in _CLAUSE_END.finditer(self.view))}
            if pack.clause_breaks is not None:
                starts.update(m.start() for m in pack.clause_breaks.finditer(self.view))
            self._clauses[id(pack)] = sorted(starts)
        return self._clauses[id(pack)]

    def quotations(self) -> list[tuple[int, int]]:
        """What stands between quotation marks, in order; a mark that is never closed opens nothing."""
        if self._quotations is None:
            out: list[tuple[int, int]] = []
            opened: dict[str, int] = {}
            view = self.view
            for match in _QUOTE.finditer(view):
                at, c = match.start(), match[0]
                if c == "'":
                    before, after = view[at - 1 : at].isalnum(), view[at + 1 : at + 2].isalnum()
                    if before and after:
                        continue
                    if "'" in opened and not after:
                        _close(out, opened, "'", at)
                    elif not before and after:
                        opened["'"] = at
                elif c == '"':
                    if '"' in opened:
                        _close(out, opened, '"', at)
                    else:
                        opened['"'] = at
                elif c in _PAIRS:
                    opened[_PAIRS[c]] = at
                elif c in opened:
                    _close(out, opened, c, at)
            self._quotations = sorted(out)
        return self._quotations

    def group_names(self, pack: CompiledPack) -> list[Match]:
        """Where terms of the group lists of a pack stand."""
        if id(pack) not in self._group_names:
            self._group_names[id(pack)] = list(pack.group_names.matches(self, pack)) if pack.group_names else []
        return self._group_names[id(pack)]

    def marked(self, pack: CompiledPack) -> tuple[bytes, list[int]]:
        """The bytes with marks around names, and where each mark stands (in characters of the marked text)."""
        if id(pack) not in self._marked:
            view = self.view
            if _HAS_MARK.search(view):
                view = _HAS_MARK.sub(" ", view)
            pieces: list[str] = []
            places: list[int] = []
            done = shift = 0
            for start, end, full in _names(self.text, pack.not_names, self.sentences(pack.abbreviations)):
                pieces += (view[done:start], NAME_OPEN if full else CAPITAL_OPEN, view[start:end], NAME_CLOSE if full else CAPITAL_CLOSE)
                places += (start + shift, end + shift + 1)
                shift += 2
                done = end
            pieces.append(view[done:])
            self._marked[id(pack)] = "".join(pieces).encode("utf-8", "replace"), places
        return self._marked[id(pack)]


_SENTENCE_END = re.compile(f"[{re.escape(ENDERS)}]+[\"')\\]\u300d\u300f]*(\\s*)")
#: What ends a sentence without a space after it, as a full stop in a number or an address does not.
_FIRM_END = re.compile("[!?\u061f\u3002\u0964\u0965]")
_LINE_END = re.compile(r"\n\s*")
_CLAUSE_END = re.compile(r"[;:]\s|\s-\s|[\uff1b\u061b]")
_HAS_MARK = re.compile(f"[{NAME_OPEN}-{CAPITAL_CLOSE}]")
_MARKS = frozenset((NAME_OPEN, NAME_CLOSE, CAPITAL_OPEN, CAPITAL_CLOSE, " "))
_PAIRS = {"«": "»", "„": "“", "‹": "›", "「": "」", "『": "』", "《": "》"}
_QUOTE = re.compile("[\"'«»„“‹›「」『』《》]")


def _close(out: list[tuple[int, int]], opened: dict[str, int], mark: str, at: int) -> None:
    begin = opened.pop(mark) + 1
    if at - begin <= MAX_QUOTATION:
        out.append((begin, at))


def _names(text: Text, not_names: frozenset[str], sentences: list[int]) -> Iterator[tuple[int, int, bool]]:
    """Spans of names in the match view. `True` with the span: two capitalised words or a handle; else one capitalised word inside a sentence."""
    view, raw, starts, ends = text.match_view, text.raw, text.starts, text.ends
    words: list[tuple[int, int]] = []
    capital: list[bool] = []
    long = titled = shouted = 0
    for match in _NAME_WORD.finditer(view):
        a, b = match.span()
        up = raw[starts[a]].isupper()
        words.append((a, b))
        capital.append(up)
        if b - a > 3:
            long += 1
            if up:
                titled += 1
                shouted += raw[starts[a] : ends[b - 1]].isupper()
    # In a headline, and where somebody shouts, capitals say nothing about names.
    if not any(capital) and "@" not in view:
        return
    trusted = not (shouted > 0.5 * long or (long >= 5 and titled > 0.7 * long))
    first_words = set(sentences)
    run: list[int] = []

    def spans() -> Iterator[tuple[int, int, bool]]:
        while run and view[words[run[0]][0] : words[run[0]][1]] in not_names:
            run.pop(0)
        while run and view[words[run[-1]][0] : words[run[-1]][1]] in not_names:
            run.pop()
        if run:
            begin, end = words[run[0]][0], words[run[-1]][1]
            if len(run) > 1:
                yield begin, end, True
            elif begin not in first_words and end - begin > 1:
                yield begin, end, False
        run.clear()

    def leads_to_capital(i: int) -> bool:
        while i < len(words) and view[slice(*words[i])] in _PARTICLES and not capital[i] and run and i - run[-1] < 4:
            i += 1
        return i < len(words) and capital[i]

    for i, (a, b) in enumerate(words):
        if a and view[a - 1] == "@":
            yield from spans()
            yield a - 1, b, True
            continue
        follows = run and a not in first_words and _JOINT.fullmatch(view[words[run[-1]][1] : a])
        joins = follows and view[a:b] in _PARTICLES and leads_to_capital(i + 1)
        is_capital = capital[i] and trusted
        if is_capital and run and not follows:
            yield from spans()
        if is_capital or joins:
            run.append(i)
        elif run:
            yield from spans()
        if len(run) >= 5:
            yield from spans()
    yield from spans()


_NAME_WORD = re.compile(r"[^\W\d_]\w*(?:['-]\w+)*")
_JOINT = re.compile(r" |\. |-| ?\"")
#: Small words inside names.
_PARTICLES = frozenset(
    ("de", "da", "do", "dos", "del", "della", "di", "du", "la", "le", "van", "von", "der", "den", "bin", "ibn", "al", "el", "of", "y", "e", "abu", "ould", "wa")
)


# ----------------------------------------------------------------------------------------------------------------------- one rule


class Matcher:
    """One pattern of one rule. Its RE2 program is made for each text, of what the text holds of it: small, hence quick to make, and nothing to keep."""

    __slots__ = ("needs", "node", "outline", "program", "uses_names", "writer")

    def __init__(self, node: Node, writer: Writer, needs: tuple[Clause, ...], outline: Outline) -> None:
        self.node = node
        self.writer = writer
        self.needs = needs
        """Words that must occur; of a pack that ships, given to its index and then let go."""
        self.outline = outline
        """The order in which they must stand; let go alike."""
        self.uses_names = uses_names(node)
        self.program: Any = None
        """Of the whole pattern, once it was needed while its pack was `whole`."""

    @property
    def regex(self) -> str:
        """The whole pattern as RE2 reads it."""
        written = self.writer.write(self.node)
        assert written is not None, "without a text nothing is left out"
        return written

    def matches(self, view: View, pack: CompiledPack) -> Iterator[Match]:
        """Matches from left to right; they do not overlap."""
        if pack.whole:
            self.program = self.program or compile_re2(self.regex)
            program = self.program
        elif (regex := self.writer.write(self.node, view)) is None:
            return
        else:
            program = _program(regex) if len(view.data) <= MAX_SEARCHED else compile_re2(regex)
        data, places = view.marked(pack) if self.uses_names else (view.data, None)
        if len(data) > MAX_SEARCHED:
            re2.purge()  # what RE2's own cache would keep
        search = program.search
        at = known_byte = known = 0
        for _ in range(MAX_MATCHES):
            found = search(data, at)
            if found is None:
                return
            i, j = found.span(1)
            if places is None:
                known, known_byte = view.position(i, known_byte, known), i
                yield Match(known, view.position(j, i, known))
            else:
                known, known_byte = known + len(data[known_byte:i].decode("utf-8")), i
                end = known + len(data[i:j].decode("utf-8"))
                yield Match(known - bisect_left(places, known), end - bisect_left(places, end))
            at = j if j > at else at + 1


class CompiledRule:
    """A rule of a pack with its matchers."""

    __slots__ = ("info", "matchers", "order", "pack", "rule", "unless")

    def __init__(self, info: RuleInfo, rule: Rule, pack: CompiledPack, order: int) -> None:
        self.info = info
        self.rule = rule
        self.pack = pack
        self.order = order
        self.matchers = tuple(pack.matcher(p) for p in rule.pattern)
        self.unless = tuple(pack.matcher(p) for p in rule.unless)

    def find(self, view: View, matchers: Iterable[Matcher]) -> list[Match]:
        """Matches of any of the patterns, in order, without those that `unless` voids; overlapping ones count once."""
        found = sorted((m for matcher in matchers for m in matcher.matches(view, self.pack)), key=lambda m: (m.start, -m.end))
        out: list[Match] = []
        for match in found:
            if out and match.start < out[-1].end:
                continue
            out.append(match)
        if out and self.unless:
            out = self._without(view, out)
        return out

    def _without(self, view: View, matches: list[Match]) -> list[Match]:
        sentences = view.sentences(self.pack.abbreviations)
        voided: set[int] = set()
        reach = 1 if self.rule.effect == "excuse" else 0
        held = {bisect_right(sentences, m.start) - 1 for m in matches}
        for matcher in self.unless:
            for match in matcher.matches(view, self.pack):
                at = bisect_right(sentences, match.start) - 1
                if held.isdisjoint(range(at - reach, at + 1)):
                    continue
                # What a group is called voids nothing: "volunteers" does, and "volunteers of the mosque" are a group like any other.
                if not any(n.start <= match.start and match.end <= n.end for n in view.group_names(self.pack)):
                    voided.update(range(at - reach, at + 1))
        return [m for m in matches if bisect_right(sentences, m.start) - 1 not in voided]


class CompiledPack:
    """A pack with its vocabulary. Its lists and patterns are read when the first text comes that it is tried on."""

    def __init__(self, pack: Pack | PackFile, used: Sequence[Pack | PackFile] = (), off: frozenset[str] = frozenset()) -> None:
        self.head = head = _head(pack)
        self._pack, self._used, self._off = pack, used, off
        self.abbreviations = frozenset(a.casefold() for a in head.abbreviations)
        self.not_names = frozenset(n.casefold() for n in head.not_names)
        words = "|".join(re.escape(w.casefold()) for w in head.clause_breaks)
        self.clause_breaks = re.compile(rf"(?<!\w)(?:{words})(?!\w)" if head.words == "spaced" else words) if words else None
        self.whole = False
        """Try whole patterns instead of such as are written for a text: quicker for thousands of texts that all hold their words, as the examples of the pack do."""
        self._lock = threading.Lock()
        self._built: tuple[tuple[CompiledRule, ...], dict[Effect, Index]] | None = None

    @cached_property
    def pack(self) -> Pack:
        """The pack as it was read."""
        return _whole(self._pack)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What its patterns may refer to."""
        return Vocabulary.of(self.pack, map(_whole, self._used))

    @cached_property
    def infos(self) -> tuple[RuleInfo, ...]:
        """Its rules that are switched on, in the order of the file."""
        return tuple(info for info in map(self._info, self.pack.rules) if info.id not in self._off)

    @property
    def rules(self) -> tuple[CompiledRule, ...]:
        """The rules that are switched on, in the order of the file."""
        return self._build()[0]

    def index(self, effect: Effect) -> Index:
        """The index of its raises or of its excuses."""
        return self._build()[1][effect]

    def _build(self) -> tuple[tuple[CompiledRule, ...], dict[Effect, Index]]:
        if self._built is None:
            with self._lock:
                if self._built is None:
                    known = {r.id: r for r in self.pack.rules}
                    rules = tuple(CompiledRule(info, known[info.id.partition("/")[2]], self, n) for n, info in enumerate(self.infos))
                    raises, excuses = ([r for r in rules if r.rule.effect == effect] for effect in ("raise", "excuse"))
                    index: dict[Effect, Index] = {"raise": Index(raises), "excuse": Index(excuses)}
                    if isinstance(self._pack, PackFile):
                        self._let_go(self._pack, rules)
                    self._built = rules, index
        return self._built

    def _let_go(self, file: PackFile, rules: Iterable[CompiledRule]) -> None:
        """Examples, the file's own objects and what the index was made of: two thirds of the memory of a pack, and nothing that matching needs."""
        for rule in rules:
            rule.rule = rule.rule.bare
        matchers = [matcher for rule in rules for matcher in (*rule.matchers, *rule.unless)]
        for matcher in [*matchers, *([self.group_names] if self.group_names else ())]:
            matcher.needs = matcher.outline = ()
        self.vocabulary.let_go()
        for name in ("pack", "requirements", "outliner"):
            self.__dict__.pop(name, None)
        file.let_go()

    @cached_property
    def writer(self) -> Writer:
        """Writes its patterns as RE2."""
        return Writer(self.vocabulary)

    @cached_property
    def requirements(self) -> Requirements:
        """Tells which words its patterns need."""
        return Requirements(self.vocabulary)

    @cached_property
    def outliner(self) -> Outliner:
        """Tells in which order they must stand."""
        return Outliner(self.requirements)

    @cached_property
    def group_names(self) -> Matcher | None:
        """Matches any term that says who is meant."""
        named = [name for name, terms in self.vocabulary.lists.items() if any(e.target is not None for e in terms.entries)]
        return self.matcher("(" + "|".join(f"{{{name}}}" for name in named) + ")") if named else None

    def matcher(self, pattern: str) -> Matcher:
        """The matcher of a pattern.

        Raises:
            PatternError: when it cannot be read.
        """
        node = parse(pattern, self.vocabulary)
        return Matcher(node, self.writer, self.requirements.of(node), self.outliner.of(node))

    def _info(self, rule: Rule) -> RuleInfo:
        raises = rule.effect == "raise"
        named = {name for pattern in rule.pattern for name in self.vocabulary.lists_in(pattern)}
        return RuleInfo(
            id=f"{self.pack.name}/{rule.id}",
            pack=self.pack.name,
            language=self.pack.language,
            effect=rule.effect,
            category=rule.category if raises else None,
            covers=() if raises else rule.covers,
            about=rule.about,
            note=rule.note,
            targets=frozenset(e.target for name in named for e in self.vocabulary.lists[name].entries if e.target is not None),
        )


def _whole(pack: Pack | PackFile) -> Pack:
    return pack.whole if isinstance(pack, PackFile) else pack


def _head(pack: Pack | PackFile) -> Pack:
    return pack.head if isinstance(pack, PackFile) else pack


#: The number of a clause, with the words that must be there beside the one it was found by, if any.
_Entry = int | tuple[int, tuple[str, ...]]


class Index:
    """From the words of a text to the patterns of one pack that may match it."""

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        self.words: dict[str, list[_Entry]] = {}
        self.stems: dict[int, dict[str, list[_Entry]]] = {}
        self.grams: dict[str, list[_Entry]] = {}
        self.by_clause: dict[int, list[tuple[CompiledRule, Matcher, tuple[int, ...], Program]]] = {}
        self.always: list[tuple[CompiledRule, Matcher]] = []
        numbers: dict[Clause, int] = {}

        def number(clause: Clause) -> int:
            if clause not in numbers:
                numbers[clause] = len(numbers)
                self._enter(clause, numbers[clause])
            return numbers[clause]

        for rule in rules:
            for matcher in rule.matchers:
                if not matcher.needs:
                    self.always.append((rule, matcher))
                    continue
                first, *rest = map(number, matcher.needs)
                self.by_clause.setdefault(first, []).append((rule, matcher, tuple(rest), program(matcher.outline, number)))

    def _enter(self, clause: Clause, number: int) -> None:
        for key in clause:
            table = self.words if key.kind == "word" else self.grams if key.kind == "gram" else self.stems.setdefault(len(key.text), {})
            table.setdefault(key.text, []).append((number, key.others) if key.others else number)

    def candidates(self, view: View, writer: Writer) -> Iterator[tuple[CompiledRule, Matcher]]:
        """Rules and patterns whose clauses all have a word in the text, in an order and at distances that the pattern allows."""
        places = view.places(writer)
        hits: dict[int, int] = {}
        for table, there in ((self.words, places.words), *((stems, places.stems(length)) for length, stems in self.stems.items()), (self.grams, places.grams)):
            for text in table.keys() & there.keys():
                where = there[text]
                for entry in table[text]:
                    if isinstance(entry, int):
                        hits[entry] = hits.get(entry, 0) | where
                    elif view.words.issuperset(entry[1]):
                        hits[entry[0]] = hits.get(entry[0], 0) | where
        for number in hits.keys() & self.by_clause.keys():
            for rule, matcher, rest, steps in self.by_clause[number]:
                if all(n in hits for n in rest) and follow(steps, hits, -1):
                    yield rule, matcher
        yield from self.always


# ----------------------------------------------------------------------------------------------------------------------- all packs


class Engine:
    """Packs together; never changed once made, apart from what each pack makes when first needed."""

    def __init__(self, packs: Sequence[Pack | PackFile]) -> None:
        heads = [_head(p) for p in packs]
        by_name = {head.name: p for head, p in zip(heads, packs, strict=True)}
        off = frozenset(rule for head in heads for rule in head.off)
        self.packs = [CompiledPack(p, [by_name[u] for u in head.uses if u in by_name], off) for head, p in zip(heads, packs, strict=True)]
        self.plausible = lru_cache(maxsize=1024)(self._plausible)
        scripts = sorted({s for head in heads for s in head.script})
        self.scripts = {s: compile_re2(f"[{SCRIPTS[s]}a-z]" if s == "Latin" else f"[{SCRIPTS[s]}]") for s in scripts}

    def _plausible(self, code: str, candidates: tuple[str, ...], unsure: bool, scripts: frozenset[str]) -> tuple[CompiledPack, ...]:
        """The packs to try: those of the languages named and of what they derive from; of every script present when unsure."""
        wanted = {"und"}
        for c in (code, *candidates):
            parts = c.split("-")
            wanted.update("-".join(parts[:n]) for n in range(1, len(parts) + 1))
        if "Latin" in scripts:
            # English is mixed into posts of every language, and its rules need too much English to be met by chance.
            wanted.add("en")
        return tuple(p for p in self.packs if p.head.language in wanted or (unsure and scripts.intersection(p.head.script)))

    def packs_for(self, language: Language, view: View) -> tuple[CompiledPack, ...]:
        """The packs to try for a text."""
        unsure = language.code == "und" or language.confidence < UNSURE
        if unsure:
            scripts = frozenset(s for s, pattern in self.scripts.items() if pattern.search(view.data) is not None)
        else:
            scripts = frozenset(("Latin",)) if _LATIN_LETTER.search(view.view) else frozenset()
        return self.plausible(language.code, language.candidates, unsure, scripts)

    def matches(self, effect: Effect, view: View, packs: Iterable[CompiledPack]) -> list[tuple[CompiledRule, list[Match]]]:
        """Rules of these packs that match, in the order of the packs."""
        out: list[tuple[CompiledRule, list[Match]]] = []
        for pack in packs:
            chosen: dict[int, tuple[CompiledRule, list[Matcher]]] = {}
            for rule, matcher in pack.index(effect).candidates(view, pack.writer):
                chosen.setdefault(rule.order, (rule, []))[1].append(matcher)
            for _, (rule, matchers) in sorted(chosen.items()):
                matches = rule.find(view, matchers)
                if matches:
                    out.append((rule, matches))
        return out


_LATIN_LETTER = re.compile("[a-z]")


class RuleSet:
    """Packs that are used together. Thread-safe; may be forked and pickled; each pack is compiled when the first text comes that it is tried on."""

    def __init__(self, packs: Sequence[Pack | PackFile], note_language: str = "en") -> None:
        self._packs = tuple(packs)
        self._note_language = note_language
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        _ALL.add(self)

    def find(self, text: Text, language: Language, *, every_excuse: bool = False) -> tuple[Finding, ...]:
        """Raises, and the excuses that cover them, by place in the text.

        Args:
            text: as `normalise` makes it.
            language: its code, candidates and confidence choose the packs.
            every_excuse: with excuses that cover no raise as well, also of a text that raises nothing.

        Raises:
            Nothing: every text can be searched.
        """
        if not text.match_view:
            return ()
        engine = self._engine or self._compile()
        view = View(text)
        packs = engine.packs_for(language, view)
        raises = engine.matches("raise", view, packs)
        if not raises and not every_excuse:
            return ()
        excuses = engine.matches("excuse", view, packs)
        covers = [(rule, Cover(rule, matches, view)) for rule, matches in excuses]
        out: list[Finding] = []
        used: dict[tuple[str, Match], Category] = {}
        for rule, matches in raises:
            category = rule.rule.category or Category.HATE
            for match in matches:
                excused_by = None
                for excuse, cover in covers:
                    if category in excuse.rule.covers and (by := cover.of(match)) is not None:
                        used.setdefault((excuse.info.id, by), category)
                        excused_by = excused_by or excuse.info.id
                out.append(self._finding(rule, category, match, text, excused_by))
        out += self._doxxing(text, out)
        for rule, matches in excuses:
            for match in matches:
                if every_excuse or (rule.info.id, match) in used:
                    out.append(self._finding(rule, used.get((rule.info.id, match), rule.rule.covers[0]), match, text, None))
        return tuple(sorted(out, key=lambda f: (f.start, f.end, f.effect, f.rule)))

    @property
    def versions(self) -> Mapping[str, str]:
        """Pack to version."""
        return {p.name: p.version for p in map(_head, self._packs)}

    @property
    def packs(self) -> tuple[Pack, ...]:
        """The packs, as they were read."""
        return tuple(map(_whole, self._packs))

    @property
    def rules(self) -> tuple[RuleInfo, ...]:
        """Every rule that is switched on, in the order of the packs."""
        engine = self._engine or self._compile()
        return tuple(info for pack in engine.packs for info in pack.infos)

    def _finding(self, rule: CompiledRule, category: Category, match: Match, text: Text, excused_by: str | None) -> Finding:
        start, end = text.span(match.start, match.end)
        notes = rule.rule.note
        note = notes.get(self._note_language) or notes.get("en") or next(iter(notes.values()), "")
        return Finding(rule.info.id, category, rule.rule.effect, start, end, note, excused_by)

    def _doxxing(self, text: Text, raised: Sequence[Finding]) -> list[Finding]:
        """Personal data that lead to somebody, beside a threat or a call that nothing excuses."""
        beside = next((f.category for f in raised if f.category in _THREATENING and f.excused_by is None), None)
        if beside is None:
            return []
        note = DOXXING_NOTE.get(self._note_language, DOXXING_NOTE["en"])
        return [Finding(DOXXING, beside, "raise", p.start, p.end, note) for p in find_personal_data(text.raw) if p.kind in TRACEABLE]

    def _compile(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = Engine(self._packs)
            return self._engine

    def _after_fork(self) -> None:
        # A thread of the parent may have held a lock of ours or of RE2 when the process was forked.
        self._lock = threading.Lock()
        self._engine = None

    def __reduce__(self) -> tuple[Any, ...]:
        return RuleSet, (self._packs, self._note_language)


_ALL: weakref.WeakSet[RuleSet] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for rules in list(_ALL):
        rules._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# ------------------------------------------------------------------------------------------------------------------------ excuses


class Cover:
    """What the matches of one excuse cover. Sorted once, so that each question costs a logarithm."""

    def __init__(self, rule: CompiledRule, matches: list[Match], view: View) -> None:
        self.rule = rule.rule
        self.view = view
        self.units: list[int] = [0]
        if self.rule.scope == "sentence":
            self.units = view.sentences(rule.pack.abbreviations)
        elif self.rule.scope == "clause":
            self.units = view.clauses(rule.pack)
        self.by_unit: dict[int, tuple[list[int], list[int], list[Match]]] = {}
        self.inside: list[tuple[int, int, Match]] = []
        self.ends: list[int] = []
        if self.rule.scope == "quotation":
            self._quotations(matches)
        else:
            for match in matches:
                starts, ends, all_ = self.by_unit.setdefault(self._unit(match.end - 1), ([], [], []))
                starts.append(match.start)
                ends.append(match.end)
                all_.append(match)

    def of(self, raised: Match) -> Match | None:
        """The match of the excuse that covers a raise, if one does."""
        if self.rule.scope == "quotation":
            return self._quotation_around(raised)
        for unit in {self._unit(raised.start), self._unit(raised.end - 1)}:
            if unit in self.by_unit:
                found = self._near(raised, *self.by_unit[unit])
                if found is not None:
                    return found
        return None

    def _unit(self, at: int) -> int:
        return bisect_right(self.units, at) - 1

    def _near(self, raised: Match, starts: list[int], ends: list[int], matches: list[Match]) -> Match | None:
        """Matches of one rule do not overlap: starts and ends both rise, so one bisection finds the nearest."""
        window = self.rule.window
        if self.rule.scope == "match":
            i = bisect_right(ends, raised.start)
            return matches[i] if i < len(matches) and starts[i] < raised.end else None
        if self.rule.side != "before":
            # The raise stands after: the last excuse that ends before the raise ends.
            i = bisect_left(ends, raised.end) - 1
            if i >= 0 and (window is None or raised.start - ends[i] <= window):
                return matches[i]
        if self.rule.side != "after":
            i = bisect_right(starts, raised.start)
            if i < len(matches) and (window is None or starts[i] - raised.end <= window):
                return matches[i]
        if self.rule.side == "both":
            i = bisect_right(ends, raised.start)
            return matches[i] if i < len(matches) and starts[i] < raised.end else None
        return None

    def _quotations(self, matches: list[Match]) -> None:
        quotations = self.view.quotations()
        begins = [q[0] for q in quotations]
        finishes = sorted((q[1], q[0]) for q in quotations)
        window = QUOTATION_WINDOW if self.rule.window is None else self.rule.window
        found: dict[tuple[int, int], Match] = {}
        for match in matches:
            if self.rule.side != "before":
                i = bisect_left(begins, match.end)
                while i < len(quotations) and begins[i] - match.end <= window and self._same_sentence(match.end, begins[i] - 1):
                    found.setdefault(quotations[i], match)
                    i += 1
            if self.rule.side != "after":
                i = bisect_right(finishes, (match.start, match.start)) - 1
                while i >= 0 and match.start - finishes[i][0] <= window and self._goes_on(finishes[i][0], match.start):
                    found.setdefault((finishes[i][1], finishes[i][0]), match)
                    i -= 1
        reach = 0
        for (begin, end), match in sorted(found.items(), key=lambda item: item[0]):
            # Of nested quotations the widest tells.
            if end > reach:
                self.inside.append((begin, end, match))
                self.ends.append(end)
                reach = end

    def _goes_on(self, end: int, start: int) -> bool:
        """Whether the sentence of a quotation goes on after its closing mark: not when it ended inside and a capital letter begins anew."""
        view, text = self.view.view, self.view.text
        following = end + 2
        if view[end - 1 : end] == "." and following < len(view) and text.raw[text.starts[following]].isupper():
            return False
        return self._same_sentence(end + 1, start)

    def _same_sentence(self, start: int, end: int) -> bool:
        return _ENDER.search(self.view.view, start, end) is None

    def _quotation_around(self, raised: Match) -> Match | None:
        i = bisect_left(self.ends, raised.end)
        if i < len(self.inside) and self.inside[i][0] <= raised.start:
            return self.inside[i][2]
        return None


_ENDER = re.compile(f"[{re.escape(ENDERS)}](?=[\\s\"']|$)")


# ------------------------------------------------------------------------------------------------------------------------- loading


def load_packs(paths: Iterable[Path | str] | None = None, extra: Iterable[Path | str] = (), *, note_language: str = "en") -> RuleSet:
    """The packs that ship with the package, or those at `paths`, and `extra` ones beside them.

    Examples are not run here: `check_pack` does.

    Args:
        paths: pack files or directories of pack files in place of the shipped ones.
        extra: packs of your own beside them.
        note_language: language of the notes of findings, where a rule has a note in it; English otherwise.

    Raises:
        PackError: with every fault of every pack.
    """
    packs: list[Pack | PackFile] = [PackFile(p) for p in rule_packs()] if paths is None else []
    own: list[Pack] = []
    sources: list[Source] = []
    faults: list[Fault] = []
    for path in [*(_files(paths) if paths is not None else ()), *_files(extra)]:
        pack, source, found = read_pack(path)
        faults += found
        if pack is not None:
            own.append(pack)
            sources.append(source)
    faults += pattern_faults(own, sources, packs)
    packs += own
    if not faults:
        by_name = {_head(p).name: p for p in packs}
        for pack, source in zip(own, sources, strict=True):
            faults += refusals(CompiledPack(pack, [by_name[u] for u in pack.uses]), source)
    if faults:
        shown = "\n".join(f"{n}. {f}" for n, f in enumerate(faults, 1))
        raise PackError(
            f"{len(faults)} faults in rule packs; see them with their examples by: ipu-moderation rules check FILE\n{shown}", tuple(str(f) for f in faults)
        )
    return RuleSet(packs, note_language)


def refusals(pack: CompiledPack, source: Source) -> Iterator[Fault]:
    """Patterns that RE2 does not take, that match nothing at all, or that no word can rule out."""
    numbers = {rule.id: n for n, rule in enumerate(pack.pack.rules)}
    for rule in pack.rules:
        for field, matchers in (("pattern", rule.matchers), ("unless", rule.unless)):
            for i, matcher in enumerate(matchers):
                message = _refusal(matcher, needs_words=rule.rule.effect == "raise" and field == "pattern")
                if message:
                    yield source.fault(("rules", numbers[rule.rule.id], field, i), f"rule {rule.rule.id}: {message[0]}", message[1])


def _refusal(matcher: Matcher, *, needs_words: bool) -> tuple[str, str] | None:
    try:
        compiled = compile_re2(matcher.regex)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        return f"RE2 refuses the pattern: {reason}", "Make it shorter, or its repeats smaller."
    found = compiled.search(b" ")
    if found is not None and found.span(1)[0] == found.span(1)[1]:
        return "matches the empty string", "Something in it must not be optional."
    if needs_words and not matcher.needs:
        return "names no whole word or list that must occur", "Name one outside of optional parts, so that most texts need no look."
    return None


def _files(paths: Iterable[Path | str]) -> list[Path]:
    out: list[Path] = []
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        out += sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return out


def pattern_faults(packs: Sequence[Pack], sources: Sequence[Source], among: Iterable[Pack | PackFile] = ()) -> list[Fault]:
    """What is wrong with patterns and references: of each pack alone, and between packs.

    Args:
        packs: the packs to look at, in the order in which they are loaded.
        sources: their files.
        among: packs that are known beside them and not looked at.
    """
    faults: list[Fault] = []
    known: dict[str, Pack | PackFile] = {_head(p).name: p for p in (*among, *packs)}
    names = {_head(p).name: "ships with the package" for p in among if isinstance(p, PackFile)}
    for pack, source in zip(packs, sources, strict=True):
        if pack.name in names:
            faults.append(source.fault(("name",), f"a pack called '{pack.name}' is there already ({names[pack.name]})", "Give yours a name of its own."))
        names[pack.name] = source.file
    for pack, source in zip(packs, sources, strict=True):
        for i, name in enumerate(pack.uses):
            if name not in known:
                faults.append(source.fault(("uses", i), f"uses '{name}', which is not loaded", f"Packs: {', '.join(sorted(known))}."))
        for i, name in enumerate(pack.off):
            other, _, rule_id = name.partition("/")
            if other not in known or rule_id not in {r.id for r in _whole(known[other]).rules}:
                faults.append(source.fault(("off", i), f"switches off '{name}', which does not exist", "Write <pack>/<id>; see: ipu-moderation rules list."))
        vocabulary = Vocabulary.of(pack, [_whole(known[u]) for u in pack.uses if u in known])
        seen: dict[str, int] = {}
        for n, rule in enumerate(pack.rules):
            where = ("rules", n)
            if rule.id in seen:
                message = f"id {rule.id} is there twice, as rules no. {seen[rule.id] + 1} and {n + 1}"
                faults.append(source.fault((*where, "id"), message, "Give each rule an id of its own."))
            seen.setdefault(rule.id, n)
            for field in ("pattern", "unless"):
                for i, pattern in enumerate(getattr(rule, field)):
                    try:
                        parse(pattern, vocabulary)
                    except PatternError as error:
                        offset = error.offset + len(pattern) - len(pattern.lstrip())
                        faults.append(source.fault((*where, field, i), f"rule {rule.id}: {error}", error.hint, offset=offset))
    return faults

