"""What the README shows runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from ipu_moderation.cli import app
from ipu_moderation.resources import policy_names

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "README.md"
README = FILE.read_text(encoding="utf-8") if FILE.is_file() else ""
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^(?:\$ )?ipu-moderation (.+?)(?:\s+#.*)?$", README, re.MULTILINE)
TARGETS = re.findall(r"^make (\w+)", README, re.MULTILINE)
LINKS = re.findall(r"\]\(([^)#:]+)[^):]*\)", README)

pytestmark = pytest.mark.skipif(not README, reason="there is no README.md yet")


def test_there_is_something_to_try() -> None:
    assert BLOCKS
    assert COMMANDS
    assert {"demo", "test"} <= set(TARGETS)


def test_the_python_blocks_run_in_order(default_model: Callable[[], Path], capsys: pytest.CaptureFixture[str]) -> None:
    default_model()
    names: dict[str, object] = {"__name__": "readme"}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert str(names["decision"].action) in capsys.readouterr().out  # type: ignore[attr-defined]


def unknown(line: str) -> list[str]:
    """What in a command line does not exist."""
    words, command = line.split(), typer.main.get_command(app)
    while hasattr(command, "commands"):
        if not words or words[0] not in command.commands:
            return [words[0] if words else "(no command)"]
        command = command.commands[words.pop(0)]
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    out = [w for w in words if w.startswith("-") and w != "-" and w.split("=")[0] not in options]
    return out + [b for a, b in pairwise(words) if a == "--policy" and not b.endswith(".yaml") and b not in policy_names()]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_exist_with_their_options(line: str) -> None:
    assert unknown(line) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [("assess x.csv -o y.jsonl --workers 2", []), ("asses x.csv", ["asses"]), ("rules chek", ["chek"]), ("rules", ["(no command)"]), ("assess x --colour", ["--colour"]), ("decide x --policy harsh", ["harsh"])],
)
def test_the_search_for_unknown_commands_itself(line: str, found: list[str]) -> None:
    assert unknown(line) == found


@pytest.mark.parametrize("target", TARGETS)
def test_the_targets_of_make_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("target", LINKS)
def test_the_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


def test_the_first_screen_has_the_two_commands() -> None:
    first = "\n".join(README.splitlines()[:12])
    assert "make demo" in first
    assert "make test" in first
