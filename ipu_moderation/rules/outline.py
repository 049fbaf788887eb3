"""In which order and how near the words of a pattern must stand: a bound that is quicker to test than the pattern is to write.

Places are counted in words of the pack's letters (in characters where a pack has no spaces), and a set of places is an integer, one bit a place. An
outline is followed from left to right over all places at once. It may let through what does not match, and never stops what does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import re2

from ipu_moderation.rules.pattern import Choice, Gap, ListRef, Literal_, Mark, Node, Raw, Repeat, Sequence_, Space
from ipu_moderation.rules.schema import ENDERS, fold
from ipu_moderation.rules.words import Clause, Requirements, flagged, parted, term_words, without_accents, word_spans

#: Places between two sentences: no bound leads from one to the next.
BREAK = 64
_ENDERS = frozenset(ENDERS)


@dataclass(frozen=True, slots=True)
class Step:
    """Something that takes at most `reach` places (None: any number), and holds one key of `clause` when that is not None."""

    clause: Clause | None
    reach: int | None


@dataclass(frozen=True, slots=True)
class Either:
    """One of these."""

    options: tuple[Outline, ...]


Outline = tuple[Step | Either, ...]
#: As an index reads it: the number of a clause and a reach; -1 where nothing is asked, and -2 with the programs of an `Either`.
Program = tuple[tuple[int, "int | tuple[Program, ...] | None"], ...]
ANY, EITHER = -1, -2


class Outliner:
    """Makes outlines of the patterns of one vocabulary."""

    def __init__(self, requirements: Requirements) -> None:
        self.requirements = requirements
        self.vocabulary = requirements.vocabulary
        self.spaced = self.vocabulary.spaced
        self._runs = re2.compile(f"[{self.vocabulary.letters}]+")
        self._known: dict[tuple[int, bool, bool], Outline] = {}
        self._lists: dict[str, int | None] = {}
        self._spans: dict[str, int | None] = {}

    def of(self, node: Node) -> Outline:
        """The outline of a pattern; what says nothing at its ends is left out."""
        found = list(self._of(node, True, True))
        while found and isinstance(found[-1], Step) and found[-1].clause is None:
            found.pop()
        while found and isinstance(found[0], Step) and found[0].clause is None:
            found.pop(0)
        return tuple(found)

    def _of(self, node: Node, left: bool, right: bool) -> Outline:
        """`left` and `right` say whether a word boundary stands on that side."""
        if id(node) not in self.vocabulary.shared:
            return self._fresh(node, left, right)
        key = (id(node), left, right)
        if key not in self._known:
            self._known[key] = self._fresh(node, left, right)
        return self._known[key]

    def _fresh(self, node: Node, left: bool, right: bool) -> Outline:
        match node:
            case Literal_() | ListRef():
                clauses = self.requirements.clauses(node, left, right)
                return (Step(clauses[0] if clauses else None, self.reach(node)),)
            case Repeat(inner, low, high):
                apart = high == 1 or parted(inner)
                if not low:
                    return (Step(None, self.reach(node)),)
                return _joined((*self._of(inner, left and apart, right and apart), Step(None, self.reach(Repeat(inner, 0, high - 1)))))
            case Sequence_():
                return _joined(step for item, at_left, at_right in flagged(node, left, right) for step in self._of(item, at_left, at_right))
            case Choice(options):
                outlines = tuple(dict.fromkeys(self._of(o, left, right) for o in options))
                if not all(any(isinstance(s, Either) or s.clause is not None for s in outline) for outline in outlines):
                    return (Step(None, self.reach(node)),)
                # What asks for one thing each is one thing to ask for.
                single = [o[0] for o in outlines if len(o) == 1 and isinstance(o[0], Step)]
                several = [o for o in outlines if not (len(o) == 1 and isinstance(o[0], Step))]
                merged = [(Step(frozenset(k for s in single for k in s.clause or ()), _widest(s.reach for s in single)),)] if single else []
                return merged[0] if not several else (Either((*merged, *several)),)
            case _:
                return (Step(None, self.reach(node)),)

    def reach(self, node: Node) -> int | None:
        """The places that a node can lead on at most; None when there is no bound, or when it may cross the end of a sentence."""
        match node:
            case Literal_(text):
                return self._span(text)
            case Space():
                return 1 if self.spaced else 3
            case Gap(count):
                return count
            case ListRef(name):
                if name not in self._lists:
                    self._lists[name] = self._list(name)
                return self._lists[name]
            case Mark(name):
                return {"start": 0, "end": 0, "quote": 1, "word": 1 if self.spaced else 40, "number": 1 if self.spaced else 9, "handle": 2 if self.spaced else 41}.get(name)
            case Raw(source):
                return None if any(re2.fullmatch(source, e) for e in ENDERS) else 1
            case Repeat(inner, _, high):
                one = self.reach(inner)
                return None if one is None else one * high
            case Sequence_(items):
                return _sum(self.reach(i) for i in items)
            case Choice(options):
                return _widest(self.reach(o) for o in options)

    def _span(self, text: str) -> int | None:
        """The places of characters that stand for themselves. Letters alone stay in their word."""
        if text not in self._spans:
            self._spans[text] = self._measured(text)
        return self._spans[text]

    def _measured(self, text: str) -> int | None:
        if not _ENDERS.isdisjoint(text):
            return None
        if not self.spaced:
            return len(without_accents(text))  # "æ" may stand as "ae"
        if not text or self._runs.fullmatch(text):
            return 0
        return 1 + len(self._runs.findall(text))

    def _list(self, name: str) -> int | None:
        chosen = self.vocabulary.lists[name]
        affixes = [_widest(self._span(fold(a)) for a in some) for some in (chosen.prefixes, chosen.suffixes) if some]
        most = _widest(self._term(t) for t in chosen.terms)
        return _sum([most, *(None if a is None else a * chosen.chain for a in affixes)])

    def _term(self, term: str) -> int | None:
        words = term_words(term)
        if not self.spaced and any("*" in w for w in words):
            return None
        inside = _sum(self._span(w.strip("*") or w) for w in words)
        return None if inside is None else inside + (len(words) - 1 if self.spaced else 0)


def _joined(steps: Iterable[Step | Either]) -> Outline:
    """Steps that ask for nothing, side by side, as one."""
    out: list[Step | Either] = []
    for step in steps:
        if isinstance(step, Step) and step.clause is None:
            if step.reach == 0:
                continue
            last = out[-1] if out else None
            if isinstance(last, Step) and last.clause is None:
                out[-1] = Step(None, _sum([last.reach, step.reach]))
                continue
        out.append(step)
    return tuple(out) or (Step(None, 0),)


def _sum(reaches: Iterable[int | None]) -> int | None:
    out = 0
    for reach in reaches:
        if reach is None:
            return None
        out += reach
    return out


def _widest(reaches: Iterable[int | None]) -> int | None:
    out = 0
    for reach in reaches:
        if reach is None:
            return None
        out = max(out, reach)
    return out


def program(outline: Outline, number: Callable[[Clause], int]) -> Program:
    """The outline with its clauses by number."""
    return tuple(
        (EITHER, tuple(program(o, number) for o in step.options)) if isinstance(step, Either) else (ANY if step.clause is None else number(step.clause), step.reach)
        for step in outline
    )


def follow(steps: Program, places: Mapping[int, int], at: int) -> int:
    """Where one can be after these steps, from any of the places `at`; 0 when they cannot be taken.

    Args:
        steps: of one pattern.
        places: of each clause, by number, where one of its keys stands.
        at: a bit for each place; -1 for all.
    """
    for clause, reach in steps:
        if clause == EITHER:
            assert isinstance(reach, tuple)
            after = 0
            for option in reach:
                after |= follow(option, places, at)
            at = after
        else:
            assert not isinstance(reach, tuple)
            if clause >= 0:
                there = places.get(clause, 0)
                if reach == 0:
                    at &= there
                else:
                    at = _up(at & _down(there, reach), reach) & _up(there, reach)
            elif reach != 0:
                at = _up(at, reach)
        if not at:
            return 0
    return at


def _up(at: int, reach: int | None) -> int:
    """These places and the next `reach`."""
    if reach is None:
        return -(at & -at)  # all from the first on: a negative integer has no last bit
    done = 0
    while done < reach:
        step = min(done + 1, reach - done)
        at |= at << step
        done += step
    return at


def _down(at: int, reach: int | None) -> int:
    """These places and the `reach` before."""
    if reach is None:
        return (1 << at.bit_length()) - 1
    done = 0
    while done < reach:
        step = min(done + 1, reach - done)
        at |= at >> step
        done += step
    return at


class Places:
    """Where the words of one text stand, for packs of the same letters."""

    def __init__(self, view: str, letters: frozenset[str], *, spaced: bool) -> None:
        self.words: dict[str, int] = {}
        self.grams: dict[str, int] = {}
        """Letters and pairs of letters, for packs without spaces."""
        self._stems: dict[int, dict[str, int]] = {}
        if spaced:
            self._by_word(view, letters)
        else:
            self._by_character(view)

    def _by_word(self, view: str, letters: frozenset[str]) -> None:
        at = last = 0
        words = self.words
        for start, end in word_spans(view):
            if start > last and not _ENDERS.isdisjoint(view[last:start]):
                at += BREAK
            word, last = view[start:end], end
            if letters.issuperset(word):
                at += 1
                here = 1 << at
            else:
                runs = sum(c in letters and (i == 0 or word[i - 1] not in letters) for i, c in enumerate(word))
                # A word of other letters is part of what parts its neighbours.
                here = ((1 << runs) - 1) << (at + 1) if runs else 3 << at
                at += runs
            bare = without_accents(word)
            words[bare] = words.get(bare, 0) | here

    def _by_character(self, view: str) -> None:
        at = 0
        before, there = "", 0
        for c in view:
            here = 1 << at
            self.grams[c] = self.grams.get(c, 0) | here
            self.grams[before + c] = self.grams.get(before + c, 0) | there
            before, there = c, here
            if c in _ENDERS:
                at += BREAK
            elif c not in " -":
                at += 1

    def stems(self, length: int) -> dict[str, int]:
        """The first `length` letters of each word."""
        if length not in self._stems:
            out: dict[str, int] = {}
            for word, places in self.words.items():
                out[word[:length]] = out.get(word[:length], 0) | places
            self._stems[length] = out
        return self._stems[length]
