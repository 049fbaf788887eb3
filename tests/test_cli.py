"""The command line, as a user meets it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from ipu_moderation.cli import app
from ipu_moderation.rules import engine

SMALL = "import sys; from pathlib import Path; from ipu_moderation.rules import engine; pack = Path(sys.argv.pop(1)); engine.rule_packs = lambda: [pack]; from ipu_moderation.cli import main; main()"


@pytest.fixture
def command(pack: Path) -> list[str]:
    """The command line in a process of its own, with one small pack in place of all that ship: these tests are not about rules."""
    return [sys.executable, "-c", SMALL, str(pack)]


@pytest.fixture(autouse=True)
def _one_small_pack(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "rule_packs", lambda: [pack])


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    path = tmp_path / "posts.csv"
    path.write_text("id,text\na,Cyclists met at noon.\nb,My printer is a worthless piece of junk.\n", encoding="utf-8")
    return path


def told(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_a_row_has_the_fields_that_the_documents_promise(posts: Path, tiny_model: Path, tmp_path: Path) -> None:
    code, _ = told("assess", str(posts), "--model", str(tiny_model), "-o", str(tmp_path / "out.jsonl"))
    assert code == 0
    row = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert row["id"] == "a"
    assert set(row["language"]) == {"code", "confidence"}
    assert list(row["scores"]) == ["hate", "abuse", "violence", "incitement"]
    assert row["support"] in ("measured", "unmeasured")
    assert {"targets", "findings", "tier", "truncated", "versions"} <= set(row)
    assert {"action", "priority", "category", "reasons", "policy"} <= set(row["decision"])
    assert "text" not in row


def test_a_pipe_gets_jsonl_and_a_table_comes_when_asked_for(posts: Path, tiny_model: Path) -> None:
    code, out = told("assess", str(posts), "--model", str(tiny_model))
    assert code == 0
    assert [json.loads(line)["id"] for line in out.splitlines() if line.startswith("{")] == ["a", "b"]
    code, out = told("assess", str(posts), "--model", str(tiny_model), "--table", "--show-text")
    assert code == 0
    assert "Cyclists met at noon." in out
    assert "2 posts:" in out


def test_decide_needs_neither_text_nor_model(posts: Path, tiny_model: Path, tmp_path: Path) -> None:
    told("assess", str(posts), "--model", str(tiny_model), "-o", str(tmp_path / "seen.jsonl"))
    code, out = told("decide", str(tmp_path / "seen.jsonl"), "--policy", "review-only")
    assert code == 0
    assert [json.loads(line)["decision"]["policy"] for line in out.splitlines()] == ["review-only@1"] * 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["assess", "{posts}", "--text-column", "comment", "--model", "{model}"], 1, "id, text"),
        (["assess", "nowhere.csv", "--model", "{model}"], 1, "No such file"),
        (["assess", "{posts}", "--policy", "draconian", "--model", "{model}"], 1, "cautious"),
        (["assess", "{posts}", "--model", "nowhere"], 1, "manifest.json"),
        (["rules", "check", "nowhere.yaml"], 1, "nowhere.yaml"),
        (["assess"], 2, ""),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(arguments: list[str], code: int, says: str, posts: Path, tiny_model: Path) -> None:
    got, out = told(*(a.format(posts=posts, model=tiny_model) for a in arguments))
    assert got == code, out
    assert says in out
    assert "Traceback" not in out


def test_a_row_not_read_ends_with_three(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "posts.jsonl").write_text('{"text": "fine"}\n{"text": 7}\n')
    code, _ = told("assess", str(tmp_path / "posts.jsonl"), "--model", str(tiny_model), "-o", str(tmp_path / "out.jsonl"))
    assert code == 3
    assert "row 2" in json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])["error"]


BROKEN = b'{"text": "calm words", "id": "a"}\n{"text": 7}\n{"text": "caf\xe9"}\n{"text": "more words", "id": "d"}\n'


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.tsv", "out.parquet", "out.jsonl.gz"])
def test_rows_not_read_are_told_and_carried_into_every_format(name: str, tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "posts.jsonl.gz").write_bytes(gzip.compress(BROKEN))
    code, out = told("assess", str(tmp_path / "posts.jsonl.gz"), "--model", str(tiny_model), "-o", str(tmp_path / name))
    assert code == 3, out
    assert out.count("row not read") == 2
    assert f"{tmp_path / 'posts.jsonl.gz'}, row 2: the text is int, not a string" in out
    assert f"{name}: 2 allow, 2 error" in out or "2 error" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "posts.jsonl.gz"])


def test_strict_stops_with_one_and_writes_nothing(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "posts.jsonl").write_bytes(BROKEN)
    code, out = told("assess", str(tmp_path / "posts.jsonl"), "--model", str(tiny_model), "-o", str(tmp_path / "out.jsonl"), "--strict")
    assert code == 1
    assert "row 2: the text is int, not a string (stopped here because of --strict)" in out
    assert [p.name for p in tmp_path.iterdir()] == ["posts.jsonl"]


def test_no_rows_is_no_error(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "posts.csv").write_text("id,text\n")
    code, out = told("assess", str(tmp_path / "posts.csv"), "--model", str(tiny_model), "-o", str(tmp_path / "out.csv"))
    assert (code, "no rows" in out) == (0, True)
    assert (tmp_path / "out.csv").read_text().startswith("id,language,")


def test_deciding_over_what_is_no_assessment_ends_with_three(posts: Path, tiny_model: Path, tmp_path: Path) -> None:
    saved = tmp_path / "seen.jsonl"
    told("assess", str(posts), "--model", str(tiny_model), "-o", str(saved))
    saved.write_text(saved.read_text() + '{"id": "c", "text": "secret words"}\n')
    code, out = told("decide", str(saved), "--policy", "balanced", "-o", str(tmp_path / "new.csv"))
    assert code == 3
    assert [line.split(",")[0] for line in (tmp_path / "new.csv").read_text().splitlines()] == ["id", "a", "b", "c"]
    assert "secret" not in out + (tmp_path / "new.csv").read_text()


def test_a_policy_file_of_ones_own_with_faults_lists_them(posts: Path, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\ncolour: red\n")
    code, out = told("assess", str(posts), "--model", str(tiny_model), "--policy", str(tmp_path / "mine.yaml"))
    assert code == 1
    assert all(f in out for f in ("mine.yaml: 5 faults", "version: Field required", "colour: Extra inputs"))


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*words, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))  # type: ignore[arg-type]


COMMANDS = dict(commands(typer.main.get_command(app)))  # type: ignore[arg-type]


def test_the_commands_that_the_documents_name_are_there() -> None:
    assert set(COMMANDS) >= {("assess",), ("decide",), ("version",), ("rules", "check"), ("rules", "list"), ("policy", "fit"), ("policy", "compare"), ("policy", "show")}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_and_option_says_what_it_does(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert (command.help or "").strip()
    assert [p.name for p in command.params if not getattr(p, "help", None)] == []


def test_versions_as_json(default_model: Callable[[], Path]) -> None:
    default_model()
    code, out = told("version", "--json")
    assert code == 0
    assert {"ipu-moderation", "model", "normaliser", "rules"} <= set(json.loads(out))


def test_standard_input_and_a_closed_pipe(command: list[str], tiny_model: Path) -> None:
    lines = "".join(f"cyclists, post {i}\n" for i in range(3000))
    run = subprocess.run(f"{shlex.join(command)} assess - --model {tiny_model} | head -n 1", shell=True, input=lines, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["id"] == "1"
    assert "Traceback" not in run.stderr


def test_two_workers_write_what_one_writes(command: list[str], tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "posts.txt").write_text("".join(f"cyclists met left-handers, post {i}\n" for i in range(700)))
    words = ["assess", str(tmp_path / "posts.txt"), "--model", str(tiny_model)]
    assert told(*words, "-o", str(tmp_path / "1.jsonl"))[0] == 0
    subprocess.run([*command, *words, "--workers", "2", "-o", str(tmp_path / "2.jsonl")], check=True, capture_output=True)
    one, two = ([json.loads(line) for line in (tmp_path / f"{n}.jsonl").read_text().splitlines()] for n in (1, 2))
    assert [r["id"] for r in two] == [str(i) for i in range(1, 701)]
    for a, b in zip(one, two, strict=True):
        assert a["scores"] == pytest.approx(b["scores"], abs=1.01e-4)
        assert (a["decision"]["action"], a["findings"], a["language"]) == (b["decision"]["action"], b["findings"], b["language"])


def test_a_reader_that_left_before_the_first_line_is_no_fault(command: list[str], tmp_path: Path, tiny_model: Path) -> None:
    """Few rows stay in the buffer until the end: the last flush must be quiet as well."""
    ours, theirs = os.pipe()
    os.close(ours)
    buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    run = subprocess.run([*command, "assess", "-", "--model", str(tiny_model)], input=b"one post\n", stdout=theirs, stderr=subprocess.PIPE, env=buffered, check=False)
    os.close(theirs)
    assert (run.returncode, run.stderr) == (1, b"")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no terminals of its own")
@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_drawn_on_a_terminal_only(command: list[str], terminal: bool, tmp_path: Path, posts: Path, tiny_model: Path) -> None:
    ours, theirs = os.openpty() if terminal else os.pipe()
    run = subprocess.Popen(
        [*command, "assess", str(posts), "--model", str(tiny_model), "-o", str(tmp_path / "out.jsonl")], stdin=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    drawn = b""
    try:
        while part := os.read(ours, 4096):
            drawn += part
    except OSError:  # a terminal ends this way
        pass
    os.close(ours)
    assert run.wait(60) == 0
    assert (b"\x1b[" in drawn) is terminal
    assert b"out.jsonl: " in drawn


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_file(command: list[str], by: signal.Signals, tmp_path: Path, tiny_model: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    run = subprocess.Popen(
        [*command, "assess", "-", "--model", str(tiny_model), "-o", str(out / "out.jsonl")], stdin=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(by, signal.SIG_DFL)
    )
    assert run.stdin is not None
    run.stdin.write(b"cyclists\n" * 2000)
    run.stdin.flush()
    for _ in range(200):
        if list(out.iterdir()):
            break
        time.sleep(0.1)
    assert [p.name for p in out.iterdir()] == [".out.jsonl.part"]
    run.send_signal(by)
    run.communicate(timeout=60)
    assert run.returncode != 0
    assert not list(out.iterdir())
