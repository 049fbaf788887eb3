"""Help for those who write packs: what a pack would raise on real posts, what changes between two packs, and a skeleton for another language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ipu_moderation.errors import InputError
from ipu_moderation.normalise import normalise
from ipu_moderation.rules.engine import RuleSet
from ipu_moderation.rules.schema import Pack, Rule
from ipu_moderation.types import Finding, Language

SHOWN = 5
"""Rows that are named of each rule."""

#: A post, as (name of the row, text, language).
Post = tuple[str, str, str]


@dataclass(slots=True)
class Uses:
    """How often one rule matched."""

    posts: int = 0
    covered: int = 0
    """Of a raise: posts on which an excuse covers every match. Of an excuse: posts on which it covers something."""
    rows: list[str] = field(default_factory=list)
    """The first rows that it matched without being covered."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What packs make of some posts."""

    posts: int
    raised: int
    """Posts with a raise that nothing excuses."""
    rules: dict[str, Uses]
    """By rule, the commonest first; rules that matched nothing come last, with 0."""


def try_out(rules: RuleSet, posts: Iterable[Post]) -> Trial:
    """Run packs over posts and count.

    Args:
        rules: the packs.
        posts: read once.
    """
    uses: dict[str, Uses] = {info.id: Uses() for info in rules.rules}
    n = raised = 0
    for name, text, language in posts:
        n += 1
        found = _find(rules, text, language, every_excuse=True)
        raised += any(_bare(f) for f in found)
        covering = {f.excused_by for f in found if f.excused_by}
        for rule in dict.fromkeys(f.rule for f in found):
            use = uses.setdefault(rule, Uses())
            use.posts += 1
            own = [f for f in found if f.rule == rule]
            covered = all(f.excused_by for f in own) if own[0].effect == "raise" else rule in covering
            use.covered += covered
            if not covered and len(use.rows) < SHOWN:
                use.rows.append(name)
    return Trial(n, raised, dict(sorted(uses.items(), key=lambda item: -item[1].posts)))


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes from one pack to another."""

    added: tuple[str, ...]
    """Ids of rules, without the name of the pack."""
    removed: tuple[str, ...]
    changed: dict[str, tuple[str, ...]]
    """Rule to the fields that differ; `lists`, `macros` and `head` for what rules share."""
    posts: int = 0
    gained: tuple[str, ...] = ()
    """Rows that the second pack raises and the first does not."""
    lost: tuple[str, ...] = ()


def compare(old: Pack, new: Pack, posts: Iterable[Post] = ()) -> Difference:
    """The rules that differ, and the posts on which they do.

    Args:
        old: a pack.
        new: the pack that would take its place.
        posts: read once.
    """
    before, after = ({r.id: r for r in p.rules} for p in (old, new))
    changed = {rule: _fields(before[rule], after[rule]) for rule in before if rule in after and before[rule] != after[rule]}
    for part in ("lists", "macros"):
        mine, theirs = getattr(old, part), getattr(new, part)
        if names := tuple(sorted(k for k in {*mine, *theirs} if mine.get(k) != theirs.get(k))):
            changed[part] = names
    rest = tuple(name for name in Pack.model_fields if name not in ("lists", "macros", "rules") and getattr(old, name) != getattr(new, name))
    if rest:
        changed["head"] = rest
    sets = RuleSet([old]), RuleSet([new])
    gained: list[str] = []
    lost: list[str] = []
    n = 0
    for name, text, language in posts:
        n += 1
        was, now = (any(map(_bare, _find(rules, text, language))) for rules in sets)
        if was != now:
            (gained if now else lost).append(name)
    return Difference(tuple(r for r in after if r not in before), tuple(r for r in before if r not in after), changed, n, tuple(gained), tuple(lost))


def _fields(one: Rule, other: Rule) -> tuple[str, ...]:
    return tuple(name for name in Rule.model_fields if getattr(one, name) != getattr(other, name))


def _find(rules: RuleSet, text: str, language: str, *, every_excuse: bool = False) -> Sequence[Finding]:
    return rules.find(normalise(text), Language.stated(language), every_excuse=every_excuse)


def _bare(finding: Finding) -> bool:
    return finding.effect == "raise" and finding.excused_by is None


def skeleton(source: Pack, language: str, script: str) -> str:
    """A pack for another language with every list, macro and rule of a pack, and nothing in them yet: `rules check` then lists what is to be written.

    Ids, effects, categories, scopes and notes are kept; patterns and examples of the source stand beside the gaps as comments.

    Raises:
        InputError: when the language is no BCP 47 code.
    """
    code = Language.stated(language).code
    return "\n".join(_skeleton(source, code, script)) + "\n"


def _skeleton(source: Pack, code: str, script: str) -> Iterator[str]:
    yield f"# Begun from {source.name} {source.version}. Write it by the language's own idiom; do not translate word by word. Then: ipu-moderation rules check {code}.yaml"
    yield f"name: {code}"
    yield f"language: {code}"
    yield 'version: "1"'
    yield "reviewed_by: none"
    yield f"script: {script}"
    yield "clause_breaks: []" + _beside(source.clause_breaks)
    yield "abbreviations: []" + _beside(source.abbreviations)
    yield "lists:"
    for name, chosen in source.lists.items():
        yield f"  {name}:"
        yield "    entries:"
        for entry in chosen.entries:
            target = f"target: {entry.target.value}, " if entry.target else ""
            yield f"      - {{{target}terms: []}}" + _beside(entry.terms)
    yield "macros:"
    for name, pattern in source.macros.items():
        yield f"  {name}: ''  # {pattern}"
    yield "rules:"
    for rule in source.rules:
        yield f"  - id: {rule.id}"
        yield f"    effect: {rule.effect}"
        if rule.category is not None:
            yield f"    category: {rule.category.value}"
        if rule.effect == "excuse" and "covers" in rule.model_fields_set:
            yield f"    covers: [{', '.join(c.value for c in rule.covers)}]"
        for name in ("scope", "side", "window"):
            if name in rule.model_fields_set:
                yield f"    {name}: {getattr(rule, name)}"
        yield f"    about: {_scalar(rule.about)}"
        yield "    note:"
        for spoken, note in rule.note.items():
            yield f"      {spoken}: {_scalar(note)}"
        yield "    pattern: []"
        for pattern in rule.pattern:
            yield f"      # {pattern}"
        for kind in ("should_match", "should_not_match") if rule.effect == "raise" else ("excuses", "does_not_excuse"):
            yield f"    {kind}: []"
            for example in getattr(rule, kind)[:2]:
                yield f"      # {example}"


def _scalar(text: str) -> str:
    """Text as a YAML scalar on one line."""
    return yaml.safe_dump(text, allow_unicode=True, width=10**9, default_style='"').strip()


def _beside(words: Sequence[str], most: int = 8) -> str:
    return f"  # {', '.join(words[:most])}{', ...' if len(words) > most else ''}" if words else ""


def writable(path: Path) -> Path:
    """The path of a new pack.

    Raises:
        InputError: when a file is there already, or its directory is not.
    """
    if path.exists():
        raise InputError(f"{path} is there already. Move it away, or give another name with -o.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such directory")
    return path
