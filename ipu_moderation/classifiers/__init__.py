"""The one seam behind which a classifier stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ipu_moderation.types import Language, Text

if TYPE_CHECKING:
    import numpy as np


@runtime_checkable
class Classifier(Protocol):
    """Scores texts. Implementations are thread-safe, survive a fork and make no network call."""

    name: str
    """`name@version`, as it stands in every assessment."""
    languages: frozenset[str]
    """BCP 47 codes in which at least one category was measured and passed the floor of quality."""

    def score(self, texts: Sequence[Text], languages: Sequence[Language]) -> Scores:
        """Scores for a batch, in order."""
        ...

    def measured(self, language: str, category: str) -> bool:
        """True when this category was measured in this language and passed the floor of quality."""
        ...


class Scores:
    """What a classifier returns for a batch."""

    __slots__ = ("categories", "targets", "truncated")

    def __init__(self, categories: np.ndarray, targets: np.ndarray, truncated: np.ndarray) -> None:
        self.categories = categories  # (n_texts, len(SCORED)), calibrated, in [0, 1]
        self.targets = targets  # (n_texts, len(TargetGroup)), in [0, 1]
        self.truncated = truncated  # (n_texts,), bool
