"""Where the data of the package lies."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ipu_moderation import resources

PACKAGE = Path(resources.__file__).parent


def test_paths_lie_in_the_package() -> None:
    for path in (resources.model_directory(), resources.policy_file("cautious"), resources.sample_posts(), *resources.rule_packs()):
        assert path.is_relative_to(PACKAGE / "data")


def test_packs_are_there_and_carry_the_name_of_their_file() -> None:
    packs = resources.rule_packs()
    assert {"en", "fr"} <= {p.stem for p in packs}
    assert packs == sorted(packs)
    assert [re.findall(r"^name: (\S+)$", p.read_text(encoding="utf-8"), re.MULTILINE) for p in packs] == [[p.stem] for p in packs]


def test_policies_are_there() -> None:
    assert all(resources.policy_file(name).is_file() for name in resources.policy_names())
    assert not resources.policy_file("no-such-policy").exists()


def test_the_sample_posts_are_there() -> None:
    path = resources.sample_posts()
    if not path.is_file():
        pytest.skip("the sample posts are not written yet")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {"id", "text"} <= set(rows[0])
    assert len({r["id"] for r in rows}) == len(rows) >= 10
    assert all(r["text"].strip() for r in rows)


def test_the_model_is_there(default_model: Callable[[], Path]) -> None:
    assert {p.name for p in default_model().iterdir()} >= {"model.onnx", "tokenizer.json", "manifest.json"}


def test_no_other_module_knows_where_the_data_lies() -> None:
    """One place to change; the words that others use are in messages."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "resources.py":
            source = path.read_text(encoding="utf-8")
            assert "importlib.resources" not in source, path
            assert '/ "data"' not in source, path
