"""Assessment + Context -> Decision. It never sees the text.

A policy is a YAML file: thresholds for review and hold by category and language, the file of the measurement that they were chosen on, and decision
examples that run whenever it is loaded. Whatever a policy says, these hold by construction:

- the strongest action is `hold`, and it lapses;
- `hold` needs a score over the hold threshold in a language where that category was measured, and a raising finding that no excuse covers;
- a text that was cut, a fault on the way, or an unmeasured language is never held;
- abuse and defamation risk lead to review at most;
- context changes priority; it never makes an action stronger.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ipu_moderation.errors import PolicyError
from ipu_moderation.resources import policy_file, policy_names
from ipu_moderation.taxonomy import REVIEW_AT_MOST, SCORED, Category, Tier
from ipu_moderation.types import Action, Assessment, Context, Decision, Finding, Language, Score, Text, without_region

MAX_HOLD_HOURS = 72
#: Findings that may stand beside a score as the second kind of evidence for a hold.
HOLDING_FINDINGS = (Category.INCITEMENT, Category.VIOLENCE, Category.MOBILISATION, Category.DEHUMANISATION, Category.HATE)

Threshold = Annotated[float, Field(gt=0, lt=1)]


class Cut(BaseModel):
    """Where one category begins to ask for an action; None is never."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    review: Threshold | None = None
    hold: Threshold | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Cut:
        if self.hold is not None and (self.review is None or self.hold < self.review):
            raise ValueError("hold needs a review threshold that is not above it")
        return self


class Example(BaseModel):
    """A decision that the policy must make; checked on loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    about: str
    scores: dict[Category, Annotated[float, Field(ge=0, le=1)]] = {}
    findings: list[Category] = []
    excused: list[Category] = []
    language: str = "en"
    measured: bool = True
    truncated: bool = False
    fault: bool = False
    expect: Action


class Policy(BaseModel):
    """Thresholds and what goes with them; see the module for what no policy can change."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: str
    about: str
    evidence: str | None = None
    """The file of the measurement that the thresholds were chosen on; None when they are the caller's own."""
    hold_hours: Annotated[float, Field(gt=0, le=MAX_HOLD_HOURS)] = 24
    default: dict[Category, Cut]
    languages: dict[str, dict[Category, Cut]] = {}
    review_findings: list[Category] = []
    """Categories in which a raising finding that no excuse covers is enough for review."""
    examples: list[Example]

    @field_validator("default")
    @classmethod
    def _scored(cls, value: dict[Category, Cut]) -> dict[Category, Cut]:
        _only_scored(value)
        return value

    @field_validator("languages")
    @classmethod
    def _scored_everywhere(cls, value: dict[str, dict[Category, Cut]]) -> dict[str, dict[Category, Cut]]:
        for cuts in value.values():
            _only_scored(cuts)
        return value

    @property
    def id(self) -> str:
        """`name@version`, as it stands in every decision."""
        return f"{self.name}@{self.version}"

    def cut(self, language: str, category: Category) -> Cut:
        """The thresholds of a category in a language: its own, those of the language without its region, or the default. `hi-Latn` does not get those of `hi`."""
        for code in (language, without_region(language)):
            if category in self.languages.get(code, {}):
                return self.languages[code][category]
        return self.default.get(category, Cut())

    def decide(self, assessment: Assessment, context: Context | None = None) -> Decision:
        """What to do with what was seen. Pure: same assessment, context and policy, same decision.

        Args:
            assessment: what was seen.
            context: in place of the one that the assessment carries.
        """
        context = context or assessment.context or Context()
        language = assessment.language.code
        asks: list[tuple[Action, float, Category, str]] = []  # action, weight, category, reason
        for category, score in assessment.scores.items():
            cut = self.cut(language, category)
            if cut.review is not None and score.value >= cut.review:
                asks.append((Action.REVIEW, score.value, category, f"The score for {_name(category)} is {score.value:.2f}; review begins at {cut.review:.2f}."))
        raised = assessment.raised()
        for finding in raised:
            if finding.category in self.review_findings:
                asks.append((Action.REVIEW, 0.6, finding.category, f"Rule {finding.rule}: {finding.note}"))
        held = self._hold(assessment, raised)
        if held:
            asks.append(held)
        if not asks:
            return Decision(Action.ALLOW, 0.0, None, _notes(assessment), self.id, assessment.versions)
        action, _, category, _ = max(asks, key=lambda ask: (ask[0].rank, ask[1]))
        priority = _priority(max(ask[1] for ask in asks), assessment, context, category)
        reasons = tuple(dict.fromkeys(ask[3] for ask in sorted(asks, key=lambda ask: (-ask[0].rank, -ask[1])))) + _notes(assessment) + _unmeasured(assessment)
        expires = dt.timedelta(hours=self.hold_hours) if action is Action.HOLD else None
        return Decision(action, priority, category, reasons, self.id, assessment.versions, expires)

    def _hold(self, assessment: Assessment, raised: tuple[Finding, ...]) -> tuple[Action, float, Category, str] | None:
        if assessment.truncated or assessment.faults or assessment.language.code == "und":
            return None
        second = next((f for f in raised if f.category in HOLDING_FINDINGS), None)
        if second is None:
            return None
        for category, score in sorted(assessment.scores.items(), key=lambda item: -item[1].value):
            hold = self.cut(assessment.language.code, category).hold
            if hold is not None and score.value >= hold and score.support == "measured" and category not in REVIEW_AT_MOST:
                reason = (
                    f"Kept back for at most {self.hold_hours:g} hours until a person looks: the score for {_name(category)} is {score.value:.2f} "
                    f"(hold begins at {hold:.2f}), and rule {second.rule} found: {second.note}"
                )
                return Action.HOLD, score.value, category, reason
        return None


def _notes(assessment: Assessment) -> tuple[str, ...]:
    """What a reader of any decision should know of the assessment's limits."""
    notes = []
    excuses = sorted({f.excused_by for f in assessment.findings if f.excused_by})
    if excuses:
        notes.append(f"Not counted, since something in the text excuses it ({', '.join(excuses)}).")
    if assessment.truncated:
        notes.append("The text was longer than what the classifier reads; it is never held for that reason.")
    if assessment.faults:
        notes.append("Something failed on the way; the text is never held for that reason: " + "; ".join(assessment.faults) + ".")
    return tuple(notes)


def _unmeasured(assessment: Assessment) -> tuple[str, ...]:
    """What a reviewer should know before trusting the scores."""
    if assessment.support == "measured" or not assessment.scores:
        return ()
    return (f"The quality for language '{assessment.language.code}' is not measured in every category: read the scores with care.",)


def _only_scored(cuts: Mapping[Category, Cut]) -> None:
    for category, cut in cuts.items():
        if category not in SCORED:
            raise ValueError(f"{category.value} is found by rules and has no threshold; categories with scores: {', '.join(SCORED)}")
        if category in REVIEW_AT_MOST and cut.hold is not None:
            raise ValueError(f"{category.value} leads to review at most: hold must be null")


def _name(category: Category) -> str:
    return str(category).replace("_", " ")


def _priority(weight: float, assessment: Assessment, context: Context, category: Category) -> float:
    """Weight of evidence, moved by the parts of the Rabat test that a caller can know; in [0, 1]."""
    value = 0.5 * weight + {Tier.TOP: 0.3, Tier.INTERMEDIATE: 0.15, Tier.BOTTOM: 0.0, Tier.NONE: 0.0}[assessment.tier]
    grave = assessment.tier is Tier.TOP
    if context.speaker_role in ("influential", "official", "candidate"):
        value += 0.1 if grave else 0.0
    if context.situation in ("unrest", "conflict", "election"):
        value += 0.1 if grave else 0.02
    if context.reach is not None and context.reach >= 10_000:
        value += 0.05
    if context.repeated is not None and context.repeated >= 5:
        value += 0.05
    if context.reports is not None and context.reports >= 3:
        value += 0.05
    if context.medium == "private_message":
        value -= 0.05
    if context.about in ("public_figure", "official", "candidate", "journalist") and category in REVIEW_AT_MOST:
        value -= 0.2  # criticism of those in public life is tolerated more: Lingens v. Austria
    return round(min(1.0, max(0.01, value)), 4)


def load_policy(name: str | Path) -> Policy:
    """A preset by name, or a policy file by path; its examples have run.

    Raises:
        PolicyError: when there is none, or when it has faults (all of them listed).
    """
    path = Path(name) if isinstance(name, Path) or "/" in name or name.endswith((".yaml", ".yml")) else policy_file(name)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PolicyError(f"there is no policy '{name}'. Presets: {', '.join(policy_names())}; or name a YAML file by its path") from error
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: not valid YAML: {error}") from error
    try:
        policy = Policy.model_validate(data)
    except ValidationError as error:
        raise _faulty(f"{path}: {error.error_count()} faults", [f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]) from error
    wrong = [
        f"example {i}, {example.about}: expected {example.expect}, got {action}"
        for i, example in enumerate(policy.examples, 1)
        if (action := policy.decide(_assessment(example)).action) is not example.expect
    ]
    if wrong:
        raise _faulty(f"{path}: {len(wrong)} of {len(policy.examples)} examples decide otherwise", wrong)
    return policy


def _faulty(message: str, faults: list[str]) -> PolicyError:
    return PolicyError("\n".join([message, *(f"{i}. {fault}" for i, fault in enumerate(faults, 1))]), tuple(faults))


def _assessment(example: Example) -> Assessment:
    """The assessment that an example describes."""
    support: Literal["measured", "unmeasured"] = "measured" if example.measured else "unmeasured"
    findings = [Finding(f"example/{c.value}", c, "raise", 0, 1, "an example.") for c in example.findings]
    findings += [Finding(f"example/{c.value}", c, "raise", 0, 1, "an example.", excused_by="example/excuse") for c in example.excused]
    scores = {c: Score(c, v, support) for c, v in example.scores.items()}
    extra: dict[str, Any] = {"faults": ("example",)} if example.fault else {}
    return Assessment(Text("", "", "", (), ()), Language(example.language, 1.0), scores, {}, tuple(findings), Tier.NONE, {}, example.truncated, **extra)
