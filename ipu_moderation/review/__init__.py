"""Human review: the queue, verdicts, the audit trail, privacy and exchange. Needs the extra `review`; PostgreSQL also `postgres`.

from ipu_moderation.review import Post, ReviewQueue

queue = ReviewQueue("review.sqlite", key)
queue.submit(Post("post-1", text, author="ann"), assessment, decision)
item = queue.claim("reviewer-1", ["en"])
queue.label(Verdict(item.id, {Category.HATE: False}, restrict=False, reviewer="reviewer-1"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ipu_moderation.errors import MissingExtraError

if TYPE_CHECKING:
    from ipu_moderation.review.privacy import Key
    from ipu_moderation.review.queue import ReviewQueue
    from ipu_moderation.review.store import Store
    from ipu_moderation.review.types import AuditEntry, Notice, Opinion, Post, ReviewItem, Ruling, Settings, Standing, Submission

_HOMES = {
    "privacy": ("Key",),
    "queue": ("ReviewQueue",),
    "store": ("Store",),
    "types": ("AuditEntry", "Notice", "Opinion", "Post", "ReviewItem", "Ruling", "Settings", "Standing", "Submission"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["AuditEntry", "Key", "Notice", "Opinion", "Post", "ReviewItem", "ReviewQueue", "Ruling", "Settings", "Standing", "Store", "Submission"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the database library is heavy."""
    if name not in _HOME:
        raise AttributeError(f"module 'ipu_moderation.review' has no attribute '{name}'")
    try:
        value = getattr(import_module(f"ipu_moderation.review.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ipu_moderation"):
            raise
        raise MissingExtraError("human review", "review") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
