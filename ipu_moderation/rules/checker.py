"""Everything that can be wrong with a pack, found at once: the checker that authors use is the one that the tests run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ipu_moderation.normalise import fold, normalise
from ipu_moderation.resources import rule_packs
from ipu_moderation.rules.engine import CompiledRule, Cover, Engine, Match, View, pattern_faults, refusals
from ipu_moderation.rules.pattern import Choice, Literal_, Node, Repeat, Sequence_, Vocabulary, parse
from ipu_moderation.rules.schema import Fault, Pack, Rule, Source, TermList, read_pack
from ipu_moderation.rules.words import words_in
from ipu_moderation.taxonomy import Category, TargetGroup

#: Examples that a rule needs, of each of its two kinds. A wide excuse fails in silence, so it needs more.
LEAST = {"raise": 2, "excuse": 3}
_KINDS = {"raise": ("should_match", "should_not_match"), "excuse": ("excuses", "does_not_excuse")}
_ONLY_EXCUSE = ("covers", "scope", "side", "window")
_INSTEAD = {
    "category": "covers",
    "should_match": "excuses",
    "should_not_match": "does_not_excuse",
    "excuses": "should_match",
    "does_not_excuse": "should_not_match",
}
_SLOT = re.compile(r"\{([^{}]*)\}")
_SHOWN = 5
#: Expansions of an example that run as a text of a user would; the further ones run on the whole pattern, which is the same and quicker.
_FIRST = 2


def check_pack(path: Path | str, *, quick: bool = False) -> list[Fault]:
    """All faults of a pack: of its YAML, fields, references, patterns, lists and examples; empty when it is in order.

    A pack that `uses` others finds them beside itself or among those that ship with the package.

    Args:
        path: of the pack.
        quick: run the examples with one term of each target and not with every term: for while a pack is being written.

    Raises:
        Nothing: what is wrong comes back as faults.
    """
    path = Path(path)
    pack, source, faults = read_pack(path)
    if pack is None:
        return faults
    among = _neighbours(path, pack)
    used = [p for p in among if p.name in pack.uses]
    vocabulary = Vocabulary.of(pack, used)
    faults = pattern_faults([pack], [source], among)
    readable = not any(f.message.startswith("rule ") for f in faults)
    faults += _list_faults(pack, source)
    for n, rule in enumerate(pack.rules):
        faults += _field_faults(rule, n, source)
        faults += _count_faults(rule, n, source)
    if readable:
        for n, rule in enumerate(pack.rules):
            faults += _symmetry_faults(rule, n, source, vocabulary)
        examples = _Examples(pack, used, source, vocabulary, quick)
        faults += list(refusals(examples.own, source)) or examples.faults()
    return sorted(faults, key=lambda f: (f.line, f.column))


def _neighbours(path: Path, pack: Pack) -> list[Pack]:
    """The packs that this one names in `uses` and `off`."""
    found: dict[str, Pack] = {}
    wanted = {*pack.uses, *(rule.partition("/")[0] for rule in pack.off)}
    for other in (*rule_packs(), *sorted(path.parent.glob("*.yaml"))):
        if other.stem in wanted and other.resolve() != path.resolve() and other.stem not in found:
            read, _, _ = read_pack(other)
            if read is not None:
                found[other.stem] = read
    return list(found.values())


def _list_faults(pack: Pack, source: Source) -> Iterator[Fault]:
    for name, chosen in pack.lists.items():
        where = ("lists", name)
        if not chosen.terms:
            yield source.fault(where, f"list {name} is empty", "Give it a term, or take it out.", key=True)
        seen: dict[str, str] = {}
        for i, entry in enumerate(chosen.entries):
            if chosen.is_group and entry.target is None:
                hint = f"Targets: {', '.join(t.value for t in TargetGroup)}."
                yield source.fault((*where, "entries", i), f"list {name}: an entry of a group list has no target", hint)
            for j, term in enumerate(entry.terms):
                at = (*where, "entries", i, "terms", j)
                if not term.strip("* -"):
                    yield source.fault(at, f"list {name}: a term without letters")
                    continue
                folded = fold(term)
                if folded in seen:
                    yield source.fault(at, f"list {name}: '{term}' is listed twice (as '{seen[folded]}')", "Keep one of the two.")
                seen.setdefault(folded, term)


def _field_faults(rule: Rule, n: int, source: Source) -> Iterator[Fault]:
    given = rule.model_fields_set
    where = ("rules", n)
    for code, language in (("en", "English"), ("fr", "French")):
        if not rule.note.get(code, "").strip():
            yield source.fault((*where, "note"), f"rule {rule.id}: has no note in {language}", f"Write {code}: and one sentence on what was seen.", key=True)
    foreign = _KINDS["excuse" if rule.effect == "raise" else "raise"] + (_ONLY_EXCUSE if rule.effect == "raise" else ("category",))
    for name in foreign:
        if name in given:
            kind = "a raise" if rule.effect == "raise" else "an excuse"
            hint = f"Write {_INSTEAD[name]}." if name in _INSTEAD else "Only excuses have it."
            yield source.fault((*where, name), f"rule {rule.id}: '{name}' does not belong to {kind}", hint, key=True)
    if rule.effect == "raise" and rule.category is None:
        yield source.fault(where, f"rule {rule.id}: a raise needs a category")
    if rule.scope == "match" and "window" in given:
        yield source.fault((*where, "window"), f"rule {rule.id}: scope match has no window", "It covers what it overlaps.", key=True)


def _count_faults(rule: Rule, n: int, source: Source) -> Iterator[Fault]:
    for kind in _KINDS[rule.effect]:
        count = len(getattr(rule, kind))
        if count < LEAST[rule.effect]:
            raises = rule.effect == "raise"
            hint = "Write real sentences; {list} runs with every term." if raises else "Each holds a raise of this pack; a wide excuse fails in silence."
            yield source.fault(("rules", n, kind), f"rule {rule.id}: {count} examples of {kind}, at least {LEAST[rule.effect]} are needed", hint, key=True)


def _symmetry_faults(rule: Rule, n: int, source: Source, vocabulary: Vocabulary) -> Iterator[Fault]:
    """A rule names groups by list, and its examples run with each of them."""
    groups = {name: chosen for name, chosen in vocabulary.lists.items() if chosen.is_group}
    named = {fold(t): name for name, chosen in groups.items() for t in chosen.terms}
    about_groups = rule.effect == "raise" and rule.category is not Category.DEFAMATION_RISK
    for i, pattern in enumerate(rule.pattern if about_groups else ()):
        for word in _literals(parse(pattern, vocabulary)):
            if word in named:
                at = pattern.casefold().find(word)
                message = f"rule {rule.id}: '{word}' is one group of list {named[word]}; a rule is for all of them or for none"
                hint = f"Write {{{named[word]}}}, or a list without targets for words of a general sense."
                yield source.fault(("rules", n, "pattern", i), message, hint, offset=max(0, at))
    if rule.effect == "raise" and rule.should_match:
        used = {name for p in rule.pattern for name in vocabulary.lists_in(p)}
        for name in sorted(used & groups.keys()):
            if not any(f"{{{name}}}" in e for e in rule.should_match):
                message = f"rule {rule.id}: no example of should_match holds {{{name}}}, so that it would run with each group"
                yield source.fault(("rules", n, "should_match"), message, f"Put {{{name}}} in place of the group.", key=True)


def _literals(node: Node) -> Iterator[str]:
    match node:
        case Literal_(text):
            yield from words_in(text)
        case Repeat(inner, _, _):
            yield from _literals(inner)
        case Sequence_(items):
            for item in items:
                yield from _literals(item)
        case Choice(options):
            for option in options:
                yield from _literals(option)


# ------------------------------------------------------------------------------------------------------------------------ examples


@dataclass(frozen=True, slots=True)
class _Example:
    """One example with its slots filled and its marks taken out."""

    text: str
    marks: tuple[tuple[int, int], ...]
    """Marked spans, in characters of the text."""
    filled: str
    """How the slots were filled, for messages; empty without slots."""


class ExampleError(ValueError):
    """An example is not written as examples are."""


def expand(example: str, lists: Mapping[str, TermList], *, one_a_target: bool = False) -> list[_Example]:
    """An example for each term of each list that it names as {list}, the others at their first term.

    Raises:
        ExampleError: for a slot that is no list, or marks that do not pair.
    """
    names = list(dict.fromkeys(_SLOT.findall(example)))
    for name in names:
        if name not in lists:
            raise ExampleError(f"{{{name}}} is no list")
        if not lists[name].terms:
            raise ExampleError(f"list {name} is empty")
    first = {name: _bare(lists[name].terms[0]) for name in names}
    if not names:
        return [_unmark(example, "")]
    out = []
    for name in names:
        terms = _telling(lists[name]) if one_a_target else lists[name].terms
        for term in dict.fromkeys(map(_bare, terms)):
            filled = {**first, name: term}
            out.append(_unmark(_SLOT.sub(lambda m, filled=filled: filled[m[1]], example), f"{{{name}}} = {term}"))  # type: ignore[misc]
    return out


def _bare(term: str) -> str:
    return term.replace("*", "")


def _telling(chosen: TermList) -> list[str]:
    """One term of each target; the first of a list without targets."""
    seen: dict[TargetGroup | None, str] = {}
    for entry in chosen.entries:
        seen.setdefault(entry.target, entry.terms[0])
    return list(seen.values())


def _unmark(text: str, filled: str) -> _Example:
    pieces = re.split(r"(\[\[|\]\])", text)
    out = ""
    marks: list[tuple[int, int]] = []
    begin: int | None = None
    for piece in pieces:
        if piece == "[[" and begin is None:
            begin = len(out)
        elif piece == "]]" and begin is not None:
            marks.append((begin, len(out)))
            begin = None
        elif piece in ("[[", "]]"):
            raise ExampleError("[[ and ]] do not pair")
        else:
            out += piece
    if begin is not None:
        raise ExampleError("[[ and ]] do not pair")
    return _Example(out, tuple(marks), filled)


class _Examples:
    """The examples of a pack, run."""

    def __init__(self, pack: Pack, used: Sequence[Pack], source: Source, vocabulary: Vocabulary, quick: bool) -> None:
        self.pack = pack
        self.quick = quick
        self.source = source
        self.lists = vocabulary.lists
        self.engine = Engine([*used, pack])
        self.own = self.engine.packs[-1]
        self.rules = self.own.rules
        self.numbers = {rule.id: n for n, rule in enumerate(pack.rules)}

    def faults(self) -> Iterator[Fault]:
        """What fails, one fault an example."""
        for rule in self.rules:
            n = self.numbers[rule.rule.id]
            for kind in _KINDS[rule.rule.effect]:
                for i, example in enumerate(getattr(rule.rule, kind)):
                    message = self._run(rule, kind, example)
                    if message:
                        yield self.source.fault(("rules", n, kind, i), f"rule {rule.rule.id}: {message[0]}", message[1])

    def _run(self, rule: CompiledRule, kind: str, example: str) -> tuple[str, str] | None:
        try:
            expanded = expand(example, self.lists, one_a_target=self.quick or kind != "should_match")
        except ExampleError as error:
            return f"{kind}: {error}", f"Lists: {', '.join(sorted(self.lists))}."
        if kind == "should_match" and not all(e.marks for e in expanded):
            return "should_match: the span is not marked", "Put [[ and ]] around what the rule must match."
        tests = {"should_match": self._matches, "should_not_match": self._does_not_match, "excuses": self._excuses, "does_not_excuse": self._does_not_excuse}
        test = tests[kind]
        failed: dict[str, list[str]] = {}
        hint = ""
        for k, e in enumerate(expanded):
            for pack in self.engine.packs:
                pack.whole = k >= _FIRST
            found = test(rule, e)
            if found:
                failed.setdefault(found[0], []).append(e.filled)
                hint = hint or found[1]
        if not failed:
            return None
        message = next(iter(failed))
        every = [f for fs in failed.values() for f in fs]
        if not every[0]:
            return f"{kind}: {message}", hint
        more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
        return f"{kind}: {message}, with {', '.join(every[:_SHOWN])}{more} (of {len(expanded)})", hint

    def _found(self, rule: CompiledRule, view: View) -> list[Match]:
        """Matches of a rule as a user's text would get them: only patterns whose words occur are tried."""
        return rule.find(view, [m for candidate, m in self.own.index(rule.rule.effect).candidates(view, self.own.writer) if candidate is rule])

    def _matches(self, rule: CompiledRule, example: _Example) -> tuple[str, str] | None:
        view = View(normalise(example.text))
        found = [view.text.span(m.start, m.end) for m in self._found(rule, view)]
        if sorted(found) == sorted(example.marks):
            return None
        if found:
            return f"matches {_quoted(example.text, found)} instead of {_quoted(example.text, example.marks)}", "Move [[ and ]], or mend the pattern."
        if rule.find(view, rule.matchers):
            return "is not among the candidates of its own example", "This is a fault of the engine; please report it."
        if any(True for m in rule.matchers for _ in m.matches(view, rule.pack)):
            return "matches, but `unless` voids it", "Narrow `unless`."
        return "does not match", "Look at spaces, forms and {gap:N}; the text is folded (case, points, leet) before it is matched."

    def _does_not_match(self, rule: CompiledRule, example: _Example) -> tuple[str, str] | None:
        view = View(normalise(example.text))
        found = [view.text.span(m.start, m.end) for m in self._found(rule, view)]
        return (f"matches {_quoted(example.text, found)}", "Narrow the pattern, or say `unless`.") if found else None

    def _raised(self, rule: CompiledRule, example: _Example, view: View) -> list[tuple[Match, Match | None]]:
        """Raises that this excuse may cover, those marked when some are, and the match that covers each."""
        cover = Cover(rule, self._found(rule, view), view)
        out = []
        for raised, matches in self.engine.matches("raise", view, self.engine.packs):
            if raised.rule.category in rule.rule.covers:
                for m in matches:
                    a, b = view.text.span(m.start, m.end)
                    if not example.marks or any(a < end and start < b for start, end in example.marks):
                        out.append((m, cover.of(m)))
        return out

    def _excuses(self, rule: CompiledRule, example: _Example) -> tuple[str, str] | None:
        view = View(normalise(example.text))
        raised = self._raised(rule, example, view)
        if not raised:
            return "holds no raise of this pack that could be excused", "Use words that one of the raising rules matches."
        bare = [view.text.span(m.start, m.end) for m, by in raised if by is None]
        if not bare:
            return None
        if not self._found(rule, view):
            return "the excuse does not match", "Mend its pattern, or `unless`."
        return f"does not cover {_quoted(example.text, bare)}", "Look at scope, side and window."

    def _does_not_excuse(self, rule: CompiledRule, example: _Example) -> tuple[str, str] | None:
        view = View(normalise(example.text))
        raised = self._raised(rule, example, view)
        if not raised:
            return "holds no raise of this pack that could be excused", "Use words that one of the raising rules matches."
        if any(by is None for _, by in raised):
            return None
        covering = [view.text.span(by.start, by.end) for _, by in raised if by is not None]
        return f"is excused by {_quoted(example.text, covering)}", "Narrow the excuse: pattern, unless, scope, side or window."


def _quoted(text: str, spans: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"'{text[a:b]}'" for a, b in spans)
