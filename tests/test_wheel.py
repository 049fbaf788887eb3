"""The wheel holds what users need, nothing else, and works from anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_MB = 40
RECIPES = ("training", "eval", "tests", "docs")


def setuptools_is_new_enough() -> bool:
    try:
        return int(version("setuptools").split(".")[0]) >= 77  # as pyproject.toml asks
    except PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a `build` directory of an earlier day would put files into the wheel that are gone."""
    pytest.importorskip("build", reason="the extra `dev`")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if not (ROOT / name).is_file():
            pytest.skip(f"{name} is not written yet")
        shutil.copy(ROOT / name, source)
    for name in ("ipu_moderation", *RECIPES):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    isolation = ["--no-isolation"] if setuptools_is_new_enough() else []
    made = subprocess.run([sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", str(out), str(source)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    return next(out.glob("*.whl"))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    ours = {str(p.relative_to(ROOT)) for p in (ROOT / "ipu_moderation").rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {n for n in names(wheel) if ".dist-info/" not in n} == ours
    assert not {n.split("/")[0] for n in names(wheel)} & set(RECIPES)


def test_it_holds_the_data(wheel: Path, default_model: Callable[[], Path]) -> None:
    default_model()
    parts = ("model/model.onnx", "model/tokenizer.json", "model/manifest.json", "rules/en.yaml", "rules/fr.yaml", "policies/cautious.yaml", "samples/posts.csv")
    assert {f"ipu_moderation/data/{part}" for part in parts} <= names(wheel)


def test_it_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= MAX_MB * 1e6


PROBE = """
import pathlib, sys
import ipu_moderation
from ipu_moderation import Moderator
moderator = Moderator.default()
print(pathlib.Path(ipu_moderation.__file__).parent)
print(moderator.decide(moderator.assess("Hello there, what a lovely day")).action)
print(sorted({m.split(".")[0] for m in sys.modules} & {"training", "eval", "torch", "transformers", "sklearn"}))
"""


def test_it_works_installed_elsewhere_and_from_another_directory(wheel: Path, tmp_path: Path, default_model: Callable[[], Path]) -> None:
    default_model()
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site), str(wheel)], check=True, capture_output=True)
    told = subprocess.run([sys.executable, "-c", PROBE], cwd=elsewhere, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [str(site / "ipu_moderation"), "allow", "[]"]
    assert (site / "bin/ipu-moderation").is_file()
