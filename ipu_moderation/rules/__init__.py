"""Rules that lawyers and linguists can read: what raises concern in a text, and what excuses it.

    from ipu_moderation.rules import load_packs

    rules = load_packs(extra=["our-parliament.yaml"])
    findings = rules.find(text, language)
"""

from __future__ import annotations

from ipu_moderation.rules.checker import check_pack
from ipu_moderation.rules.engine import RuleInfo, RuleSet, load_packs
from ipu_moderation.rules.schema import Fault

__all__ = ["Fault", "RuleInfo", "RuleSet", "check_pack", "load_packs"]
