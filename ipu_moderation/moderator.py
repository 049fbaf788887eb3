"""Where the stages meet: text -> normalise -> language -> classifier scores and rule findings -> assessment -> decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from ipu_moderation.classifiers import Classifier
from ipu_moderation.errors import InputError, ModelError, ModerationError
from ipu_moderation.language import identify
from ipu_moderation.normalise import VERSION as NORMALISER
from ipu_moderation.normalise import normalise
from ipu_moderation.policy import Policy, load_policy
from ipu_moderation.rules import RuleSet, load_packs
from ipu_moderation.taxonomy import SCORED, Category, TargetGroup, Tier
from ipu_moderation.types import Assessment, Context, Decision, Finding, Language, Score, TargetScore, Text

CHUNK = 256
"""Texts that `assess_many` reads ahead: they are sorted by length for the classifier and given back in order."""
DIGITS = 4
"""Decimals of a score, so that what is written is what was decided on, and the last bits of a matrix product decide nothing."""

Value = TypeVar("Value")
_Post = tuple[str, Context | None, Language | None]
_Scored = tuple[dict[Category, Score], dict[TargetGroup, TargetScore], bool]


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
            context: what you know beyond the text. Evidence does not depend on it: it travels along in `assessment.context`, where `decide` finds it.
            language: BCP 47 code when you know it; identified when None.

        Raises:
            InputError: when `text` is no str or `language` no code.
        """
        return next(self._assess(iter([text]), None if context is None else iter([context]), iter([language])))

    def assess_many(
        self, texts: Iterable[str], contexts: Iterable[Context | None] | None = None, *, languages: Iterable[str | None] | None = None
    ) -> Iterator[Assessment]:
        """As `assess`, for many: in order, lazily, in memory that does not grow with their number.

        Args:
            texts: read ahead by at most `CHUNK`.
            contexts: one for each text, or None.
            languages: one for each text, or None.

        Raises:
            InputError: when something is not what it should be, or ended before the texts did. What came before is still given.
        """
        if isinstance(texts, str):
            raise InputError("texts is one str, not several: use `assess`, or give a list")
        return self._assess(iter(texts), None if contexts is None else iter(contexts), None if languages is None else iter(languages))

    def decide(self, assessment: Assessment, policy: str | Path | Policy = "cautious", context: Context | None = None) -> Decision:
        """What a policy makes of an assessment.

        Args:
            assessment: by `assess`, or read back by `Assessment.from_dict`.
            policy: a preset by name, a file by path (read once), or a policy.
            context: in place of the one that the assessment carries.

        Raises:
            PolicyError: when the policy is unknown or has faults.
        """
        return (policy if isinstance(policy, Policy) else _policy(policy)).decide(assessment, context)

    def _assess(self, texts: Iterator[str], contexts: Iterator[Context | None] | None, languages: Iterator[str | None] | None) -> Iterator[Assessment]:
        posts = _posts(texts, contexts, languages)
        stopped: Exception | None = None
        while stopped is None:
            chunk: list[_Post] = []
            try:
                for post in islice(posts, CHUNK):
                    chunk.append(post)
            except Exception as error:  # from here or from the caller's own iterators
                stopped = error
            if not chunk and stopped is None:
                return
            yield from self._assess_chunk(chunk)
        raise stopped

    def _assess_chunk(self, chunk: list[_Post]) -> Iterator[Assessment]:
        views = [normalise(text) for text, _, _ in chunk]
        languages = [given or identify(view) for view, (_, _, given) in zip(views, chunk, strict=True)]
        scored, found = self._read(views, languages)
        for view, language, row, findings, (_, context, _) in zip(views, languages, scored, found, chunk, strict=True):
            yield self._assessment(view, language, row, findings, context)

    def _read(self, views: list[Text], languages: list[Language]) -> tuple[list[_Scored | str], list[tuple[Finding, ...] | str]]:
        """What the classifier and the rules make of each text. Several at a time are read by both at once: the classifier seldom needs the interpreter."""
        if len(views) < 2:
            return self._score(views, languages) if views else [], self._find(views, languages)
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as beside:
            found = beside.submit(self._find, views, languages)
            return self._score(views, languages), found.result()

    def _find(self, views: list[Text], languages: list[Language]) -> list[tuple[Finding, ...] | str]:
        """For each text what the rules find, or in words why they could not be read."""
        found: list[tuple[Finding, ...] | str] = []
        for view, language in zip(views, languages, strict=True):
            try:
                found.append(self.rules.find(view, language))
            except Exception as error:  # one text must not stop a file; the message may hold text
                found.append(f"rules: {type(error).__name__}")
        return found

    def _score(self, views: list[Text], languages: list[Language]) -> list[_Scored | str]:
        """For each text its scores, or in words why there are none."""
        try:
            scores = self.classifier.score(views, languages)
            if scores.categories.shape != (len(views), len(SCORED)) or scores.targets.shape != (len(views), len(TargetGroup)) or len(scores.truncated) != len(views):
                raise ModelError("the scores have another shape than the texts and categories")
            columns = zip(views, languages, scores.categories.tolist(), scores.targets.tolist(), scores.truncated.tolist(), strict=True)
            return [self._scored(language, categories, targets, truncated) for _, language, categories, targets, truncated in columns]
        except Exception as error:
            if len(views) > 1:  # the fault of one text must not be that of its neighbours
                return [row for view, language in zip(views, languages, strict=True) for row in self._score([view], [language])]
            # A message of ours holds no text; that of a library may.
            return [f"classifier: {error}" if isinstance(error, ModerationError) else f"classifier: {type(error).__name__}"]

    def _scored(self, language: Language, categories: list[float], targets: list[float], truncated: bool) -> _Scored | str:
        if not all(0 <= value <= 1 for value in (*categories, *targets)):  # NaN is neither
            return "classifier: a score outside [0, 1]"
        values: dict[Category, Score] = {}
        for category, value in zip(SCORED, categories, strict=True):
            values[category] = Score(category, round(value, DIGITS), "measured" if self.classifier.measured(language.code, category.value) else "unmeasured")
        return values, {group: TargetScore(group, round(value, DIGITS)) for group, value in zip(TargetGroup, targets, strict=True)}, bool(truncated)

    def _assessment(self, text: Text, language: Language, scored: _Scored | str, found: tuple[Finding, ...] | str, context: Context | None) -> Assessment:
        values, targets, truncated = ({}, {}, False) if isinstance(scored, str) else scored
        findings = () if isinstance(found, str) else found
        faults = tuple(fault for fault in (scored, found) if isinstance(fault, str))
        return Assessment(text, language, values, targets, findings, _tier(values, findings), dict(self.versions), truncated, faults, context)

    def __reduce__(self) -> tuple[Any, ...]:
        return Moderator, (self.classifier, self.rules)


def _posts(texts: Iterator[str], contexts: Iterator[Context | None] | None, languages: Iterator[str | None] | None) -> Iterator[_Post]:
    """Texts and what the caller says of each, checked."""
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise InputError(f"text {number} is {type(text).__name__}, not str")
        yield text, _beside(contexts, "contexts", number, _context), _beside(languages, "languages", number, Language.stated)


def _beside(values: Iterator[Any] | None, name: str, number: int, made: Callable[[Any], Value]) -> Value | None:
    """What stands beside a text; None when nothing is said of it."""
    if values is None:
        return None
    try:
        value = next(values)
    except StopIteration:
        raise InputError(f"{name} ended after {number - 1}, but there is a text {number}: give one for each text, or None") from None
    try:
        return None if value is None else made(value)
    except InputError as error:
        raise InputError(f"text {number}: {error}") from error


def _context(value: Any) -> Context:
    if not isinstance(value, Context):
        raise InputError(f"the context is {type(value).__name__}, not Context")
    return value


def _tier(scores: Mapping[Category, Score], findings: tuple[Finding, ...]) -> Tier:
    """A first reading: what a careful reader would begin to say yes to (a score of 0.5), and rules that no excuse covers."""
    yes = {c for c, s in scores.items() if s.value >= 0.5} | {f.category for f in findings if f.effect == "raise" and f.excused_by is None}
    if Category.INCITEMENT in yes or Category.MOBILISATION in yes:
        return Tier.TOP
    if yes & {Category.HATE, Category.VIOLENCE, Category.DEHUMANISATION}:
        return Tier.INTERMEDIATE
    return Tier.BOTTOM if yes else Tier.NONE


@lru_cache(maxsize=32)
def _policy(name: str | Path) -> Policy:
    return load_policy(name)


def package_version() -> str:
    """The installed version, or `0+source` from a bare checkout."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ipu-moderation")
    except PackageNotFoundError:
        return "0+source"
