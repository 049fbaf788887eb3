"""The words: what each category is, where it comes from, and which words this house does not use."""

from __future__ import annotations

import ast
import re
from enum import Enum
from pathlib import Path

import pytest

from ipu_moderation.taxonomy import REVIEW_AT_MOST, SCORED, Category, TargetGroup, Tier
from ipu_moderation.types import Action

ROOT = Path(__file__).resolve().parent.parent

VALUES = {
    Category: "hate abuse violence incitement dehumanisation mobilisation defamation_risk",
    TargetGroup: "gender age socioeconomic residence disability religion ethnicity political nationality lgbtq caste profession",
    Tier: "none bottom intermediate top",
    Action: "allow review hold",
}


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_values_stand_in_files_and_stay(kind: type[Enum]) -> None:
    assert [member.value for member in kind] == VALUES[kind].split()
    assert [str(member) for member in kind] == VALUES[kind].split()
    assert all(kind(member.value) is member for member in kind)


@pytest.mark.parametrize("member", [*Category, *TargetGroup, *Tier], ids=str)
def test_a_member_has_a_guideline_and_a_source(member: Category | TargetGroup | Tier) -> None:
    assert len(member.guideline) >= 10
    assert re.search(r"ICCPR|UN Strategy|IPU|Rabat|General Comment|CERD|Dangerous Speech|Yogyakarta", member.source)


def test_the_columns_of_a_classifier_keep_their_order() -> None:
    assert [c.value for c in SCORED] == ["hate", "abuse", "violence", "incitement"]


def test_what_leads_to_review_at_most() -> None:
    assert {Category.ABUSE, Category.DEFAMATION_RISK} == REVIEW_AT_MOST


def test_the_eight_groups_of_the_resolution_are_there() -> None:
    assert sum("Quito 2013, para. 6" in g.source for g in TargetGroup) == 8


def test_actions_rise_and_end_with_hold() -> None:
    assert [a.rank for a in Action] == [0, 1, 2]
    assert max(Action, key=lambda a: a.rank) is Action.HOLD


def names(tree: ast.Module) -> set[str]:
    """Everything that a module gives a name to."""
    out = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            out.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            out.add(node.id)
        elif isinstance(node, ast.arg):
            out.add(node.arg)
    return out


FOREIGN = re.compile(r"flagged|toxic|blocked|removed", re.IGNORECASE)


@pytest.mark.parametrize("name", ["taxonomy", "types", "classifiers/__init__", "classifiers/compact", "policy", "moderator", "batch", "cli"])
def test_no_name_speaks_of_what_the_machine_never_does(name: str) -> None:
    assert [n for n in names(ast.parse((ROOT / f"ipu_moderation/{name}.py").read_text(encoding="utf-8"))) if FOREIGN.search(n)] == []


def test_the_search_for_foreign_words_itself() -> None:
    assert [n for n in names(ast.parse("def f(is_flagged):\n    toxicity = 1")) if FOREIGN.search(n)]
