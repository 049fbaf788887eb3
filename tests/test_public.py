"""The public face: complete, sorted, documented, and loaded name by name."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path

import pytest

import ipu_moderation
from ipu_moderation import errors

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ast.parse((ROOT / "ipu_moderation/__init__.py").read_text(encoding="utf-8"))


def shown_to_type_checkers() -> dict[str, str]:
    """Name -> module, as written under TYPE_CHECKING."""
    [block] = [node for node in SOURCE.body if isinstance(node, ast.If)]
    return {alias.name: str(node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_type_checkers_and_programs_see_the_same_names() -> None:
    assert shown_to_type_checkers() == {name: f"ipu_moderation.{home}" for name, home in ipu_moderation._HOME.items()}
    assert sorted(ipu_moderation.__all__) == sorted(shown_to_type_checkers())
    assert ipu_moderation.__dir__() == ipu_moderation.__all__


def test_names_stand_in_order() -> None:
    classes = [n for n in ipu_moderation.__all__ if n[0].isupper()]
    assert ipu_moderation.__all__ == [*sorted(classes), *sorted(set(ipu_moderation.__all__) - set(classes))]


@pytest.mark.parametrize("name", ipu_moderation.__all__)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(ipu_moderation, name)
    assert value is getattr(import_module(shown_to_type_checkers()[name]), name)
    own = inspect.getdoc(value) or ""
    assert own and not (is_dataclass(value) and own.startswith(f"{name}("))  # dataclasses write one of their own


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(AttributeError, match=r"'ipu_moderation' has no attribute 'Moderater'"):
        ipu_moderation.Moderater  # noqa: B018


def test_the_exception_tree_is_as_drawn() -> None:
    drawn = set(re.findall(r"^ *(?:[├└]── )?(\w+Error)\b", errors.__doc__ or "", re.MULTILINE))
    there = {n for n, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, Exception)}
    assert drawn == there
    assert there <= set(ipu_moderation.__all__)
    for name in there - {"ModerationError"}:
        assert getattr(errors, name).__mro__[1] is errors.ModerationError


def test_a_missing_extra_says_how_to_install_it() -> None:
    assert "pip install 'ipu-moderation[train]'" in str(errors.MissingExtraError("This part", "train"))


@pytest.mark.parametrize("module", ["errors", "taxonomy", "types", "resources", "classifiers", "classifiers.compact", "policy", "moderator", "batch", "cli"])
def test_what_has_no_underscore_has_a_docstring(module: str) -> None:
    tree = ast.parse(Path(str(import_module(f"ipu_moderation.{module}").__file__)).read_text(encoding="utf-8"))
    bare = []
    for owner in ast.walk(tree):
        if isinstance(owner, ast.Module | ast.ClassDef) and not getattr(owner, "name", "").startswith("_"):
            bare += [n.name for n in owner.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_") and not ast.get_docstring(n)]
    assert bare == []


def test_types_are_shipped() -> None:
    assert (ROOT / "ipu_moderation/py.typed").is_file()
