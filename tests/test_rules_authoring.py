"""What helps the authors of packs: trying a pack on posts, comparing two, beginning a new one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipu_moderation.cli import app
from ipu_moderation.rules import check_pack, load_packs
from ipu_moderation.rules.authoring import compare, skeleton, try_out
from ipu_moderation.rules.schema import Pack, read_pack

PACK = """
name: mini
language: en
version: "1"
reviewed_by: none
script: Latin
clause_breaks: [but]
lists:
  riders:
    - {target: profession, terms: [cyclists, bike couriers]}
macros:
  must: must|have to
rules:
  - id: tease
    effect: raise
    category: incitement
    about: "calls to tease: riders"
    note: {en: A call., fr: Un appel.}
    pattern: '{must} tease {riders}'
    should_match: ["we [[must tease {riders}]]", "you [[have to tease {riders}]]"]
    should_not_match: [we tease nobody, riders must tease]
  - id: quiet
    effect: raise
    category: hate
    about: never met
    note: {en: Nothing., fr: Rien.}
    pattern: 'pelt {riders}'
    should_match: ["[[pelt {riders}]]", "go [[pelt {riders}]]"]
    should_not_match: [pelt it, pelt]
  - id: condemned
    effect: excuse
    about: it is condemned
    note: {en: Condemned., fr: Condamné.}
    pattern: it is wrong that
    excuses: ["it is wrong that we must tease cyclists", "it is wrong that they have to tease cyclists", "it is wrong that you must tease bike couriers"]
    does_not_excuse: ["It is wrong that it rains. We must tease cyclists.", "It is wrong that you lie. You have to tease cyclists.", "It is wrong that it snows. They must tease cyclists."]
"""
POSTS = [("1", "We must tease cyclists", "en"), ("2", "It is wrong that we must tease cyclists", "en"), ("3", "Lovely weather", "en"), ("4", "Pelt cyclists", "en")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(PACK, encoding="utf-8")
    assert check_pack(path) == []
    return path


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    path = tmp_path / "posts.csv"
    path.write_text("id,text\n" + "".join(f"{n},{text}\n" for n, text, _ in POSTS), encoding="utf-8")
    return path


def pack(path: Path) -> Pack:
    found, _, faults = read_pack(path)
    assert found is not None, faults
    return found


def test_a_pack_is_tried_on_posts(file: Path) -> None:
    trial = try_out(load_packs([file]), POSTS)
    assert (trial.posts, trial.raised) == (4, 2)
    assert {rule: (u.posts, u.covered, u.rows) for rule, u in trial.rules.items()} == {
        "mini/tease": (2, 1, ["1"]), "mini/quiet": (1, 0, ["4"]), "mini/condemned": (1, 1, []),
    }  # fmt: skip


def test_two_packs_are_compared(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(PACK.replace("{must} tease", "(must|shall) tease").replace("id: quiet", "id: loud").replace("pelt", "shout at"), encoding="utf-8")
    found = compare(pack(file), pack(other), POSTS)
    assert (found.added, found.removed, found.changed) == (("loud",), ("quiet",), {"tease": ("pattern",)})
    assert (found.posts, found.gained, found.lost) == (4, (), ("4",))
    assert compare(pack(file), pack(file)).changed == {}


def test_a_skeleton_has_every_gap_and_its_faults_are_the_work_to_be_done(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "sw.yaml"
    path.write_text(skeleton(pack(file), "SW", "Latin"), encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    assert "language: sw" in text
    assert '"calls to tease: riders"' in text
    faults = [str(f) for f in check_pack(path)]
    assert sum("pattern" in f for f in faults) == 3, "each rule lacks its pattern"
    filled = text.replace("terms: []", "terms: [waendesha baiskeli]").replace("pattern: []", "pattern: ['lazima {riders}']").replace("must: ''", "must: lazima")
    path.write_text(filled, encoding="utf-8")
    assert all("examples of" in str(f) or "no example" in str(f) for f in check_pack(path)), "then only examples are missing"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["rules", *map(str, arguments)])
    return result.exit_code, result.output


def test_the_commands(file: Path, posts: Path, tmp_path: Path) -> None:
    code, said = run("test", file, "--posts", posts)
    assert code == 0
    assert "mini/tease" in said
    assert "4 posts, 2 raised (50.00%); 0 of 3 rules matched nothing." in said
    assert "weather" not in said, "texts are not shown"
    code, said = run("test", file, "--posts", posts, "--json")
    assert json.loads(said)["rules"]["mini/tease"] == {"posts": 2, "covered": 1, "rows": ["1"]}
    code, said = run("diff", file, file, "--posts", posts)
    assert code == 0
    assert "The packs say the same." in said
    assert "now raised: 0 of 4 posts" in said
    new = tmp_path / "new.yaml"
    code, said = run("new", "sw", "--from", file, "-o", new)
    assert code == 0
    assert new.exists()
    code, said = run("new", "sw", "--from", file, "-o", new)
    assert (code, "is there already" in said) == (1, True)
    code, said = run("new", "sw", "--from", "xx")
    assert (code, "there is no pack 'xx'" in said) == (1, True)
    code, said = run("new", "sw", "--from", file, "--script", "Runic", "-o", tmp_path / "x.yaml")
    assert (code, "Scripts: Latin" in said) == (1, True)
    code, said = run("test", file, "--posts", posts, "--text-column", "words")
    assert (code, "there is no column 'words'" in said) == (1, True)
