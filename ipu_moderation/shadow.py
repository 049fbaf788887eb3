"""Policy B beside policy A: what would change, by language and by group, before anybody switches.

A acts, B only says what it would have done. Counts are kept, and nothing of the posts: a shadow may run for months.

    shadow = Shadow(load_policy("cautious"), load_policy("mine.yaml"))
    decision = shadow.decide(assessment, context)  # A's
    print("\\n".join(shadow.comparison().words()))
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ipu_moderation.policy import Policy
from ipu_moderation.taxonomy import TargetGroup
from ipu_moderation.thresholds import Share
from ipu_moderation.types import Action, Assessment, Context, Decision

SPOKEN_OF = 0.5
"""From this target score on a post counts as speaking of a group; it may speak of several."""
NO_GROUP = "-"
FEW = 30
"""Slices with fewer posts are shown, and nothing is concluded from them."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Posts of one language, group or category, by what A and B make of them."""

    name: str
    moves: Mapping[tuple[Action, Action], int]
    """(A's action, B's action) -> posts."""

    @property
    def posts(self) -> int:
        """All posts of the slice."""
        return sum(self.moves.values())

    def under_a(self, action: Action) -> int:
        """Posts for which A takes this action."""
        return sum(n for (a, _), n in self.moves.items() if a is action)

    def under_b(self, action: Action) -> int:
        """Posts for which B would take this action."""
        return sum(n for (_, b), n in self.moves.items() if b is action)

    @property
    def stronger(self) -> int:
        """Posts for which B would do more than A."""
        return sum(n for (a, b), n in self.moves.items() if b.rank > a.rank)

    @property
    def weaker(self) -> int:
        """Posts for which B would do less than A."""
        return sum(n for (a, b), n in self.moves.items() if b.rank < a.rank)

    @property
    def newly_touched(self) -> Share | None:
        """The share that A leaves alone and B would not, with its interval; None without posts."""
        return Share.of(sum(n for (a, b), n in self.moves.items() if a is Action.ALLOW and b is not Action.ALLOW), self.posts)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        touched = self.newly_touched
        return {
            "name": self.name,
            "posts": self.posts,
            "a": {action.value: self.under_a(action) for action in Action},
            "b": {action.value: self.under_b(action) for action in Action},
            "stronger": self.stronger,
            "weaker": self.weaker,
            "newly_touched": touched.to_dict() if touched else None,
            "moves": {f"{a.value} -> {b.value}": n for (a, b), n in sorted(self.moves.items(), key=lambda m: (m[0][0].rank, m[0][1].rank))},
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """What would change if B took A's place."""

    a: str
    b: str
    """`name@version` of the policies."""
    total: Slice
    by_language: tuple[Slice, ...]
    by_group: tuple[Slice, ...]
    """A post counts for each group that it speaks of; `-`: of none."""
    by_category: tuple[Slice, ...]
    """The category that decided, B's if B would do more, else A's; `-`: neither acts."""
    priority: float | None
    """The mean change of priority of posts that both touch; None when there is none."""

    def uneven(self) -> tuple[str, ...]:
        """Languages and groups that the change hits harder than all posts together, beyond chance; a sentence each."""
        all_posts = self.total.newly_touched
        if all_posts is None:
            return ()
        out = []
        for kind, slices in (("language", self.by_language), ("group", self.by_group)):
            for one in slices:
                touched = one.newly_touched
                if touched and one.posts >= FEW and one.name != NO_GROUP and one.posts < self.total.posts and touched.low > all_posts.high:
                    out.append(f"{kind} {one.name}: {self.b} would newly touch {touched}, against {all_posts} of all posts.")
        return tuple(out)

    def words(self) -> tuple[str, ...]:
        """The comparison in sentences."""
        t = self.total
        if not t.posts:
            return ("No posts were seen.",)
        review, hold = Action.REVIEW, Action.HOLD
        lines = [
            f"Of {t.posts:,} posts, {self.b} would do more than {self.a} with {t.stronger:,}, less with {t.weaker:,}, and the same with {t.posts - t.stronger - t.weaker:,}.",
            f"Sent to review: {t.under_a(review):,} -> {t.under_b(review):,}. Held until a person looks: {t.under_a(hold):,} -> {t.under_b(hold):,}.",
        ]
        if self.priority is not None and abs(self.priority) >= 0.005:
            lines.append(f"Posts that both touch would have a priority {'higher' if self.priority > 0 else 'lower'} by {abs(self.priority):.2f} on average.")
        return (*lines, *self.uneven())

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "a": self.a,
            "b": self.b,
            "total": self.total.to_dict(),
            "by_language": [s.to_dict() for s in self.by_language],
            "by_group": [s.to_dict() for s in self.by_group],
            "by_category": [s.to_dict() for s in self.by_category],
            "priority_change_where_both_act": None if self.priority is None else round(self.priority, 4),
            "uneven": list(self.uneven()),
        }


class Shadow:
    """Decides by A and counts what B would have done. Thread-safe."""

    def __init__(self, a: Policy, b: Policy) -> None:
        self.a, self.b = a, b
        self._lock = threading.Lock()
        self._moves: Counter[tuple[str, str, Action, Action]] = Counter()  # (kind of slice, its name, A's action, B's action)
        self._both, self._priority = 0, 0.0

    def decide(self, assessment: Assessment, context: Context | None = None) -> Decision:
        """A's decision. B's is counted, and has no effect."""
        first, second = self.a.decide(assessment, context), self.b.decide(assessment, context)
        groups = [g.value for g, t in assessment.targets.items() if t.value >= SPOKEN_OF] or [NO_GROUP]
        decisive = second if second.action.rank > first.action.rank else first
        slices = [("all", "all"), ("language", assessment.language.code), ("category", decisive.category.value if decisive.category else NO_GROUP)]
        with self._lock:
            for kind, name in (*slices, *(("group", g) for g in groups)):
                self._moves[kind, name, first.action, second.action] += 1
            if Action.ALLOW not in (first.action, second.action):
                self._both += 1
                self._priority += second.priority - first.priority
        return first

    def comparison(self) -> Comparison:
        """What was seen so far."""
        with self._lock:
            moves, both, priority = dict(self._moves), self._both, self._priority
        found: dict[str, dict[str, dict[tuple[Action, Action], int]]] = {"all": {"all": {}}, "language": {}, "group": {}, "category": {}}
        for (kind, name, a, b), n in moves.items():
            found[kind].setdefault(name, {})[a, b] = n
        order = [g.value for g in TargetGroup]

        def slices(kind: str) -> tuple[Slice, ...]:
            every = [Slice(name, by) for name, by in found[kind].items()]
            if kind == "group":  # in the order of the taxonomy, posts that speak of nobody last
                return tuple(sorted(every, key=lambda s: order.index(s.name) if s.name in order else len(order)))
            return tuple(sorted(every, key=lambda s: (s.name == NO_GROUP, -s.posts, s.name)))

        return Comparison(self.a.id, self.b.id, slices("all")[0], slices("language"), slices("group"), slices("category"), priority / both if both else None)


def compare(a: Policy, b: Policy, assessments: Iterable[Assessment], contexts: Iterable[Context | None] | None = None) -> Comparison:
    """What would change over these assessments if B took A's place; contexts beside them when they are known.

    Raises:
        ValueError: when there are fewer contexts than assessments.
    """
    shadow = Shadow(a, b)
    if contexts is None:
        for assessment in assessments:
            shadow.decide(assessment)
    else:
        for assessment, context in zip(assessments, contexts, strict=True):
            shadow.decide(assessment, context)
    return shadow.comparison()
