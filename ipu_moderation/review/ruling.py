"""Opinions -> ruling. Pure, short, and the only place where `restricted` comes from.

- A restriction needs two persons who say so, each without sight of the other, and more of them than say otherwise.
- Two who differ get a third; when the third does not bring a majority for a restriction, the post is allowed: in doubt, for expression.
- One person is enough to allow, unless the item was drawn for a second opinion.
- On appeal the readers are new. One new person is enough to lift a restriction or to keep it; a first restriction needs two, as ever.
- After three in one round there is an answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipu_moderation.review.types import Opinion, Outcome, Ruling

MOST_OPINIONS = 3
RESTRICTING_OPINIONS = 2


def rule(item: str, opinions: Sequence[Opinion], *, second: bool, standing: Outcome | None) -> Ruling:
    """What follows from the opinions of one round.

    Args:
        item: the item's id.
        opinions: of this round, by different persons; those of earlier rounds are not among them.
        second: the item was drawn for a second opinion.
        standing: the outcome of the earlier round; None in the first.

    Raises:
        ValueError: when one person speaks twice.
    """
    if len({o.reviewer for o in opinions}) != len(opinions):
        raise ValueError("one person gave two opinions on an item")
    restrict = sum(o.restrict for o in opinions)
    allow = sum(not o.restrict and not o.cannot_tell for o in opinions)
    if standing == "restricted":
        if allow or restrict:
            return Ruling(item, True, "allowed" if allow else "restricted", "")
        return Ruling(item, True, "allowed", "") if len(opinions) >= MOST_OPINIONS else Ruling(item, False, standing, "a person who did not decide on it before")
    if restrict >= RESTRICTING_OPINIONS and restrict > allow:
        return Ruling(item, True, "restricted", "")
    if not restrict and allow >= (2 if second else 1):
        return Ruling(item, True, "allowed", "")
    if len(opinions) >= MOST_OPINIONS:
        return Ruling(item, True, "allowed", "")
    wanted = "a third opinion" if len(opinions) == 2 else "a second opinion" if opinions else "a first opinion"
    return Ruling(item, False, standing, wanted)
