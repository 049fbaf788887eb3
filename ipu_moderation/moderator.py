"""Where the stages meet: text -> normalise -> language -> classifier scores and rule findings -> assessment -> decision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

from ipu_moderation.classifiers import Classifier, Scores
from ipu_moderation.errors import InputError, ModerationError
from ipu_moderation.language import identify
from ipu_moderation.normalise import VERSION as NORMALISER
from ipu_moderation.normalise import normalise
from ipu_moderation.policy import Policy, load_policy
from ipu_moderation.rules import RuleSet, load_packs
from ipu_moderation.taxonomy import SCORED, Category, TargetGroup, Tier
from ipu_moderation.types import Assessment, Context, Decision, Finding, Language, Score, TargetScore, Text

CHUNK = 256
"""Texts that `assess_many` reads ahead: they are sorted by length for the classifier and given back in order."""


class Moderator:
    """Assesses texts and decides by a policy. Thread-safe, usable after a fork, picklable when its classifier is."""

    def __init__(self, classifier: Classifier | None = None, rules: RuleSet | None = None) -> None:
        """Put together from parts; the default classifier and the packs that ship with the package when None.

        Raises:
            ModelError, PackError: when a part cannot be used.
        """
        if classifier is None:
            from ipu_moderation.classifiers.compact import CompactClassifier

            classifier = CompactClassifier()
        self.classifier = classifier
        self.rules = rules if rules is not None else load_packs()
        self.versions: Mapping[str, str] = {
            "ipu-moderation": package_version(),
            "model": classifier.name,
            "normaliser": NORMALISER,
            "rules": ",".join(f"{name}@{number}" for name, number in sorted(self.rules.versions.items())),
        }

    @classmethod
    def default(cls) -> Moderator:
        """With the classifier and the rule packs of the package."""
        return cls()

    @classmethod
    def from_directory(cls, directory: Path | str, rules: RuleSet | None = None) -> Moderator:
        """With a model directory of your own, as `training` writes it.

        Raises:
            ModelError: when the directory is missing, damaged, older or foreign.
        """
        from ipu_moderation.classifiers.compact import CompactClassifier

        return cls(CompactClassifier(directory), rules)

    def assess(self, text: str, context: Context | None = None, *, language: str | None = None) -> Assessment:
        """All that can be seen in one text.

        Args:
            text: any str; lone surrogates and NULs included.
            context: accepted so that callers pass one value around; evidence does not depend on it.
            language: BCP 47 code when the caller knows it; identified when None.

        Raises:
            InputError: when `text` is no str.
        """
        return self._assess_chunk([text], [language])[0]

    def assess_many(self, texts: Iterable[str], contexts: Iterable[Context] | None = None, *, languages: Iterable[str | None] | None = None) -> Iterator[Assessment]:
        """As `assess`, for many: in order, lazily, in memory that does not grow with their number.

        Raises:
            InputError: when a text is no str; `assess_many` stops there.
        """
        texts, codes = iter(texts), iter(languages) if languages is not None else None
        while chunk := list(islice(texts, CHUNK)):
            given = [None] * len(chunk) if codes is None else list(islice(codes, len(chunk)))
            if len(given) != len(chunk):
                raise InputError(f"languages ended after {len(given)} of {len(chunk)} texts: give one for each text, or None")
            yield from self._assess_chunk(chunk, given)

    def decide(self, assessment: Assessment, policy: str | Path | Policy = "cautious", context: Context | None = None) -> Decision:
        """What a policy makes of an assessment.

        Raises:
            PolicyError: when the policy is unknown or has faults.
        """
        return (policy if isinstance(policy, Policy) else _policy(str(policy))).decide(assessment, context)

    def _assess_chunk(self, texts: list[str], given: list[str | None]) -> list[Assessment]:
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {i + 1} of {len(texts)} is {type(text).__name__}, not str")
        views = [normalise(text) for text in texts]
        languages = [identify(view) if code is None else Language(code, 1.0) for view, code in zip(views, given, strict=True)]
        try:
            scores, fault = self.classifier.score(views, languages), None
        except ModerationError as error:
            scores, fault = None, f"classifier: {error}"
        except Exception as error:  # a fault of a library must not lose the findings; its message may hold text
            scores, fault = None, f"classifier: {type(error).__name__}"
        return [self._assessment(view, language, scores, i, fault) for i, (view, language) in enumerate(zip(views, languages, strict=True))]

    def _assessment(self, text: Text, language: Language, scores: Scores | None, row: int, fault: str | None) -> Assessment:
        findings = self.rules.find(text, language)
        values: dict[Category, Score] = {}
        targets: dict[TargetGroup, TargetScore] = {}
        if scores is not None:
            for category, value in zip(SCORED, scores.categories[row].tolist(), strict=True):
                values[category] = Score(category, value, "measured" if self.classifier.measured(language.code, category.value) else "unmeasured")
            for group, value in zip(TargetGroup, scores.targets[row].tolist(), strict=True):
                targets[group] = TargetScore(group, value)
        truncated = bool(scores is not None and scores.truncated[row])
        return Assessment(text, language, values, targets, findings, _tier(values, findings), self.versions, truncated, (fault,) if fault else ())

    def __reduce__(self) -> tuple[Any, ...]:
        return Moderator, (self.classifier, self.rules)


def _tier(scores: Mapping[Category, Score], findings: tuple[Finding, ...]) -> Tier:
    """A first reading: what a careful reader would begin to say yes to (a score of 0.5), and rules that no excuse covers."""
    yes = {c for c, s in scores.items() if s.value >= 0.5} | {f.category for f in findings if f.effect == "raise" and f.excused_by is None}
    if Category.INCITEMENT in yes or Category.MOBILISATION in yes:
        return Tier.TOP
    if yes & {Category.HATE, Category.VIOLENCE, Category.DEHUMANISATION}:
        return Tier.INTERMEDIATE
    return Tier.BOTTOM if yes else Tier.NONE


@lru_cache(maxsize=32)
def _policy(name: str) -> Policy:
    return load_policy(name)


def package_version() -> str:
    """The installed version, or `0+source` from a bare checkout."""
    try:
        return version("ipu-moderation")
    except PackageNotFoundError:
        return "0+source"
