"""Find hate speech, incitement and defamation risk in many languages, and leave everything else alone.

    from ipu_moderation import Moderator

    moderator = Moderator.default()
    assessment = moderator.assess("...")
    decision = moderator.decide(assessment, policy="cautious")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipu_moderation.errors import InputError, MissingExtraError, ModelError, ModerationError, PackError, PolicyError
    from ipu_moderation.moderator import Moderator
    from ipu_moderation.personal import PersonalData, find_personal_data, mask_personal_data
    from ipu_moderation.policy import Policy, load_policy
    from ipu_moderation.taxonomy import Category, TargetGroup, Tier
    from ipu_moderation.types import (
        Action,
        Assessment,
        Context,
        Decision,
        Finding,
        LabelledText,
        Language,
        Score,
        TargetScore,
        Text,
        Verdict,
    )
    from ipu_moderation.worksheets import DefamationWorksheet, RabatWorksheet, legal_worksheets

_HOMES = {
    "errors": ("InputError", "MissingExtraError", "ModelError", "ModerationError", "PackError", "PolicyError"),
    "moderator": ("Moderator",),
    "policy": ("Policy", "load_policy"),
    "taxonomy": ("Category", "TargetGroup", "Tier"),
    "personal": ("PersonalData", "find_personal_data", "mask_personal_data"),
    "worksheets": ("DefamationWorksheet", "RabatWorksheet", "legal_worksheets"),
    "types": ("Action", "Assessment", "Context", "Decision", "Finding", "LabelledText", "Language", "Score", "TargetScore", "Text", "Verdict"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Action",
    "Assessment",
    "Category",
    "Context",
    "Decision",
    "DefamationWorksheet",
    "Finding",
    "InputError",
    "LabelledText",
    "Language",
    "MissingExtraError",
    "ModelError",
    "ModerationError",
    "Moderator",
    "PackError",
    "PersonalData",
    "Policy",
    "PolicyError",
    "RabatWorksheet",
    "Score",
    "TargetGroup",
    "TargetScore",
    "Text",
    "Tier",
    "Verdict",
    "find_personal_data",
    "legal_worksheets",
    "load_policy",
    "mask_personal_data",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import ipu_moderation` stays light."""
    if name not in _HOME:
        raise AttributeError(f"module 'ipu_moderation' has no attribute '{name}'")
    value = getattr(import_module(f"ipu_moderation.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
