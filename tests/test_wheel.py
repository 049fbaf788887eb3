"""The wheel holds what users need, nothing else, and works from anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_MB = 40


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)], check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_it_holds_data_and_no_recipes(wheel: Path, default_model: Callable[[], Path]) -> None:
    default_model()
    names = zipfile.ZipFile(wheel).namelist()
    for part in ("model/model.onnx", "model/tokenizer.json", "model/manifest.json", "rules/en.yaml", "rules/fr.yaml", "policies/cautious.yaml", "samples/posts.csv"):
        assert f"ipu_moderation/data/{part}" in names
    tops = {n.split("/")[0] for n in names}
    assert not tops & {"training", "eval", "tests", "docs"}, tops
    assert wheel.stat().st_size <= MAX_MB * 1e6


def test_it_works_from_another_directory(wheel: Path, tmp_path: Path, default_model: Callable[[], Path]) -> None:
    default_model()
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "import ipu_moderation, pathlib; from ipu_moderation import Moderator; m = Moderator.default(); print(pathlib.Path(ipu_moderation.__file__).parent, m.decide(m.assess('Hello there')).action)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    told = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(tmp_path / "site" / "ipu_moderation"), "allow"]
