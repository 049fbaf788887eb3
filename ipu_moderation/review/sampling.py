"""What is missed: an unbiased estimate from a random sample of allowed posts, each drawn with a known probability.

Each drawn post stands for 1 / probability posts (Horvitz and Thompson 1952), so posts near a threshold may be drawn more often without bias. Posts that
were drawn and are not answered yet, or that nobody could tell about, are taken to be like the answered ones of the same probability; how many they
are is said beside the figure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Draw:
    """One post of the sample."""

    probability: float
    """With which it was drawn; in (0, 1]."""
    missed: bool | None
    """People would have restricted it; None when not answered, or nobody could tell."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A share with what it rests on. Unknown is None, never 0."""

    value: float | None
    low: float | None
    high: float | None
    """Bounds of the 95 % interval."""
    n: int
    """How many answers it rests on."""

    def to_dict(self) -> dict[str, float | int | None]:
        """JSON-ready, rounded to five digits after the point."""
        return {name: None if (v := getattr(self, name)) is None else round(v, 5) for name in ("value", "low", "high")} | {"n": self.n}


@dataclass(frozen=True, slots=True)
class Missed:
    """The estimate of what was allowed and should not have been."""

    share: Figure
    """Of all allowed posts."""
    total: float | None
    """Posts in the whole period; None when nothing is answered."""
    drawn: int
    answered: int
    population: int
    """Allowed posts in all."""


def share_of(successes: float, n: float, answers: int | None = None) -> Figure:
    """A share with the exact interval of Clopper and Pearson (1934); counts may be effective ones, and so not whole.

    Raises:
        ValueError: when there are more successes than trials.
    """
    from scipy.stats import beta  # type: ignore[import-untyped]

    rests_on = int(n) if answers is None else answers
    if n <= 0:
        return Figure(None, None, None, rests_on)
    if not 0 <= successes <= n * (1 + 1e-9):
        raise ValueError(f"{successes} of {n} is no share")
    successes, tail = min(successes, n), (1 - CONFIDENCE) / 2
    low = 0.0 if successes <= 0 else float(beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes >= n else float(beta.ppf(1 - tail, successes + 1, n - successes))
    return Figure(successes / n, low, high, rests_on)


def estimate_missed(draws: Iterable[Draw], population: int) -> Missed:
    """How much of what was allowed people would have restricted.

    The interval is that of Clopper and Pearson over the effective number of answers (Korn and Graubard 1998), since rare events have no normal one.
    """
    strata: dict[float, list[bool | None]] = defaultdict(list)
    for draw in draws:
        strata[draw.probability].append(draw.missed)
    drawn = sum(map(len, strata.values()))
    weights: list[tuple[float, bool]] = []
    for probability, answers in strata.items():
        known = [a for a in answers if a is not None]
        weights += [(len(answers) / len(known) / probability, a) for a in known]
    if not weights or population <= 0:
        return Missed(Figure(None, None, None, len(weights)), None, drawn, len(weights), population)
    total = sum(w for w, missed in weights if missed)
    share = min(1.0, total / population)
    variance = sum(w * (w - 1) for w, missed in weights if missed) / population**2  # of Poisson sampling: sum of (1 - p) / p^2 over what was found
    effective = sum(w for w, _ in weights) ** 2 / sum(w * w for w, _ in weights)  # Kish 1965
    if 0 < share < 1 and variance > 0:
        effective = min(float(len(weights)), share * (1 - share) / variance)
    figure = share_of(share * effective, effective, len(weights))
    return Missed(Figure(share, figure.low, figure.high, len(weights)), total, drawn, len(weights), population)
