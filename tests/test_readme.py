"""What the README shows runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^ipu-moderation (.+?)(?:\s{2,}#.*)?$", README, re.MULTILINE)


def test_the_python_blocks_run_in_order(default_model: Callable[[], Path], capsys: pytest.CaptureFixture[str]) -> None:
    default_model()
    assert BLOCKS
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert str(names["decision"].action) in capsys.readouterr().out  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_exist_with_their_options(command: str) -> None:
    from ipu_moderation.cli import app

    words = command.split()
    name = words[:2] if words[0] == "rules" else words[:1]
    told = CliRunner().invoke(app, [*name, "--help"], env={"COLUMNS": "200"})
    assert told.exit_code == 0, told.output
    for option in (w for w in words if w.startswith("--")):
        assert option in told.output, f"{command}: {option} is not an option"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_the_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_first_screen_has_the_two_commands() -> None:
    first = "\n".join(README.splitlines()[:12])
    assert "make demo" in first
    assert "make test" in first
