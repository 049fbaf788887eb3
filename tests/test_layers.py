"""The import law, read from the syntax trees: text flows one way, and nothing heavy is loaded before it is asked for."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "ipu_moderation"

#: From the ground upwards; a name stands for the module or for the whole package below it. A module imports from lower layers, or from its own package.
LAYERS = (
    ("errors", "taxonomy"),
    ("types",),
    ("normalise", "resources"),
    ("personal",),
    ("classifiers",),  # the protocol alone
    ("language", "rules.*", "classifiers.*"),
    ("policy", "thresholds", "worksheets"),
    ("shadow",),
    ("moderator",),
    ("review.*", "batch"),
    ("reports.*",),
    ("terminal",),
    ("*_commands", "service.*"),
    ("cli",),
)
HEAVY = {"torch", "transformers", "sklearn", "scipy", "datasets", "matplotlib", "pandas", "onnxruntime"}
#: Who may import whom, beyond themselves.
TREES = {"ipu_moderation": set(), "training": {"ipu_moderation"}, "eval": {"ipu_moderation", "training"}}


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(tree: str) -> dict[str, Path]:
    return {module_name(p): p for p in sorted((ROOT / tree).rglob("*.py"))}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module, known: set[str]) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, those inside of functions and of TYPE_CHECKING included; `from a import b` is `a.b` when that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "." * node.level + (node.module or "")
            else:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield node.lineno, inner if inner in known else str(node.module)


def place(module: str) -> tuple[int, str] | None:
    """The layer of a module of the package, and what it belongs to there; None when the law does not name it."""
    name = module.removeprefix(f"{PACKAGE}.")
    first = name.split(".")[0]
    if name.endswith(("_commands", ".commands")):
        return next(n for n, layer in enumerate(LAYERS) if "*_commands" in layer), name
    for n, layer in enumerate(LAYERS):
        for pattern in layer:
            if pattern == name:
                return n, name
            if pattern == f"{first}.*" and (name, pattern) != ("classifiers", "classifiers.*"):
                return n, first
    return None


def breaches(module: str, tree: ast.Module, known: set[str]) -> list[str]:
    """What a module of the package imports against the law."""
    own = place(module)
    if own is None:
        return [f"{module} has no place in the import law: give it one in LAYERS"]
    out = []
    for line, target in imports(tree, known):
        if target.startswith("."):
            out.append(f"{module}:{line} imports relatively ({target})")
        elif target == PACKAGE:
            out.append(f"{module}:{line} imports from the package's front door, which lies above everything")
        elif target.startswith(f"{PACKAGE}."):
            other = place(target)
            if other is None or not (other[0] < own[0] or other == own):
                out.append(f"{module}:{line} imports {target}, which does not lie below it")
    return out


MODULES = modules(PACKAGE)
KNOWN = set(MODULES)


@pytest.mark.parametrize("module", sorted(KNOWN - {PACKAGE}))
def test_a_module_imports_from_below_only(module: str) -> None:
    assert breaches(module, tree_of(MODULES[module]), KNOWN) == []


@pytest.mark.parametrize(
    ("module", "line", "allowed"),
    [
        ("policy", "from ipu_moderation.types import Action", True),
        ("rules.engine", "from ipu_moderation.rules.schema import Pack", True),
        ("cli", "def f():\n    from ipu_moderation import batch", True),
        ("classifiers.compact", "from ipu_moderation.classifiers import Scores", True),
        ("policy", "from ipu_moderation.moderator import Moderator", False),
        ("policy", "from ipu_moderation.thresholds import fit_all", False),
        ("policy", "def f():\n    import ipu_moderation.batch", False),
        ("types", "if TYPE_CHECKING:\n    from ipu_moderation.language import identify", False),
        ("language", "from ipu_moderation.rules import RuleSet", False),
        ("classifiers", "from ipu_moderation.classifiers.compact import CompactClassifier", False),
        ("batch", "from ipu_moderation import Moderator", False),
        ("batch", "from . import moderator", False),
        ("novelty", "import json", False),
    ],
)
def test_the_law_itself(module: str, line: str, allowed: bool) -> None:
    assert (breaches(f"{PACKAGE}.{module}", ast.parse(line), KNOWN) == []) is allowed


@pytest.mark.parametrize("tree", TREES)
def test_package_training_and_eval_stand_on_each_other_in_this_order(tree: str) -> None:
    foreign = {"ipu_moderation", "training", "eval", "tests"} - TREES[tree] - {tree}
    found = [
        f"{module}:{line} imports {target}"
        for module, path in modules(tree).items()
        for line, target in imports(tree_of(path), set())
        if target.split(".")[0] in foreign
    ]
    assert found == []


def at_module_level(tree: ast.Module) -> Iterator[str]:
    """Top packages that are imported when the module is, those behind `if` and `try` included, TYPE_CHECKING apart."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).split(".")[0]
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("module", sorted(KNOWN))
def test_nothing_heavy_is_imported_at_module_level(module: str) -> None:
    assert HEAVY.isdisjoint(at_module_level(tree_of(MODULES[module])))


@pytest.mark.parametrize(("source", "found"), [("import torch", True), ("try:\n    from sklearn.svm import SVC\nexcept ImportError: pass", True), ("def f():\n    import torch", False)])
def test_the_search_for_heavy_imports_itself(source: str, found: bool) -> None:
    assert (not HEAVY.isdisjoint(at_module_level(ast.parse(source)))) is found


def in_a_new_interpreter(code: str) -> dict[str, object]:
    probe = f"import sys, time, json; began = time.process_time(); {code}; print(json.dumps({{'seconds': time.process_time() - began, 'modules': sorted(sys.modules)}}))"
    out = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    return dict(json.loads(out.stdout))


@pytest.mark.parametrize(
    ("code", "seconds", "absent"),
    [
        ("import ipu_moderation", 0.4, HEAVY | {"numpy", "pydantic", "yaml", "pyarrow", "typer"}),
        ("from ipu_moderation import Moderator", 2, HEAVY | {"numpy", "pyarrow", "typer", "stdnum"}),
        ("import ipu_moderation.cli", 4, HEAVY | {"numpy", "pyarrow", "sqlalchemy", "datasketch"}),
    ],
)
def test_an_import_is_light(code: str, seconds: float, absent: set[str]) -> None:
    probe = in_a_new_interpreter(code)
    assert absent.isdisjoint(probe["modules"])  # type: ignore[arg-type]
    assert float(probe["seconds"]) <= seconds  # type: ignore[arg-type]  # of the processor, so that a busy machine does not matter


@pytest.mark.parametrize("tree", TREES)
def test_files_say_what_they_are(tree: str) -> None:
    assert [m for m in modules(tree) if re.search(r"utils|helpers|manager|(^|\.)base$|misc|common", m)] == []
    assert [m for m, p in modules(tree).items() if not ast.get_docstring(tree_of(p))] == []
