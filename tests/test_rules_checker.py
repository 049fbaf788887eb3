"""What the checker says of packs that are wrong: the place, the reason and a hint, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipu_moderation.rules import Fault, check_pack

GOOD = """\
name: tiny
language: en
version: "1"
reviewed_by: none
script: Latin
lists:
  folk:
    - {target: profession, terms: [cyclists, bike riders]}
    - {target: age, term: left-handers}
  tease: [tease, tickle]
rules:
  - id: call
    effect: raise
    category: incitement
    about: A call to tease a group.
    note: {en: A call to tease a group., fr: Appel à taquiner un groupe.}
    pattern: '{tease} (all )?{folk}'
    should_match: ['Now [[tease all {folk}]]', '[[{tease} cyclists]] and [[tease left-handers]]!']
    should_not_match: ['tease nobody', '{folk} tease us']
  - id: never
    effect: excuse
    about: A negation right before.
    note: {en: It is refused., fr: C’est refusé.}
    scope: clause
    side: after
    window: 10
    pattern: never
    excuses: ['never tease {folk}', 'I never [[tease cyclists]]', 'never ever tease cyclists']
    does_not_excuse: ['tease {folk}, never stop', 'never again. Tease cyclists', 'never mind the rest of us: tease cyclists']
"""


def faults(tmp_path: Path, text: str) -> list[Fault]:
    path = tmp_path / "tiny.yaml"
    path.write_text(text, "utf-8")
    return check_pack(path)


def test_a_good_pack_has_no_faults(tmp_path: Path) -> None:
    assert faults(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("about: A call", "abuot: A call", 15, "rule call: 'abuot' is not a field here", "Fields here: id, effect, category"),
        ("script: Latin", "script: Latn", 5, "script", ""),
        ("version: \"1\"\n", "", 1, "'version' is missing", ""),
        ("language: en", "language: English", 2, "language", ""),
        ("  tease: [tease, tickle]", "  folk: [tease]", 10, "'folk' stands here twice", "Keep one"),
        ("  tease: [tease, tickle]", "  tease: []", 10, "list tease is empty", "Give it a term"),
        ("tease, tickle]", "tease, TEASE]", 10, "'TEASE' is listed twice (as 'tease')", "Keep one"),
        ("{target: age, term: left-handers}", "{term: left-handers}", 9, "an entry of a group list has no target", "gender, age"),
        ("{target: age, term", "{target: aeg, term", 9, "target", ""),
        ("id: never", "id: call", 20, "id call is there twice, as rules no. 1 and 2", ""),
        ("id: never", "id: Never", 20, "id", ""),
        ("effect: excuse", "effect: excuses", 21, "effect", ""),
        ("category: incitement", "category: rudeness", 14, "category", ""),
        ("    category: incitement\n", "", 12, "a raise needs a category", ""),
        ("    effect: excuse\n", "    effect: excuse\n    category: hate\n", 22, "'category' does not belong to an excuse", "Write covers"),
        ("    category: incitement\n", "    category: incitement\n    scope: clause\n", 15, "'scope' does not belong to a raise", "Only excuses"),
        (", fr: Appel à taquiner un groupe.}", "}", 16, "has no note in French", "Write fr:"),
        ("scope: clause", "scope: match", 26, "scope match has no window", ""),
        ("{tease} (all )?{folk}'", "{tease} (all )?{fokl}'", 17, "no list, macro or element is called {fokl}", "Lists and macros: folk, tease"),
        ("{tease} (all )?{folk}'", "{tease} (all {folk}'", 17, "a '(' without its ')'", "\\("),
        ("{tease} (all )?{folk}'", "{tease} all) {folk}'", 17, "a ')' without its '('", "\\)"),
        ("{tease} (all )?{folk}'", "{tease} .* {folk}'", 17, "'.' alone would match anything", "{gap:2}"),
        ("{tease} (all )?{folk}'", "{tease} (all )*{folk}'", 17, "'*' has no upper bound", "{0,3}"),
        ("{tease} (all )?{folk}'", "{tease} (?i)all {folk}'", 17, "only plain groups", ""),
        ("{tease} (all )?{folk}'", "{tease} \\ball {folk}'", 17, "\\b knows ASCII letters only", "boundaries stand by themselves"),
        ("{tease} (all )?{folk}'", "{tease} [^a] {folk}'", 17, "a class may not be negated", ""),
        ("{tease} (all )?{folk}'", "{tease} {gap:99} {folk}'", 17, "{gap:99} is no gap", "from 1 to"),
        ("{tease} (all )?{folk}'", "{tease} {gap:2}{folk}'", 17, "{gap:2} needs a space on both sides", ""),
        ("{tease} (all )?{folk}'", "{tease} {start}{folk}'", 17, "{start} may only stand first", ""),
        ("{tease} (all )?{folk}'", "{tease} (a{50}b{50}c{50}){50}{folk}'", 17, "RE2 refuses the pattern", "Make it shorter"),
        ("{tease} (all )?{folk}'", "({tease} )?({folk})?'", 17, "matches the empty string", "must not be optional"),
        ("{tease} (all )?{folk}'", "{name} {word}'", 17, "names no whole word or list that must occur", ""),
        ("{tease} (all )?{folk}'", "{tease} (all )?cyclists'", 17, "'cyclists' is one group of list folk", "Write {folk}"),
        ("[[tease all {folk}]]", "[[tease all cyclists]]", 18, "no example of should_match holds {folk}", "Put {folk}"),
        ("[[tease all {folk}]]", "tease all {folk}", 18, "the span is not marked", "[[ and ]]"),
        ("[[tease all {folk}]]", "[[tease all {folk}", 18, "[[ and ]] do not pair", ""),
        ("[[tease all {folk}]]", "[[tease all {fokl}]]", 18, "{fokl} is no list", "Lists: folk, tease"),
        ("[[tease all {folk}]]", "tease [[all {folk}]]", 18, "matches 'tease all cyclists' instead of 'all cyclists', with {folk} = cyclists", ""),
        ("[[tease all {folk}]]", "[[tease the {folk}]]", 18, "does not match, with {folk} = cyclists, {folk} = bike riders, {folk} = left", "{gap:N}"),
        ("    should_match:", "    unless: now\n    should_match:", 19, "matches, but `unless` voids it", "Narrow"),
        ("'tease nobody'", "'we tease {folk}'", 19, "matches 'tease cyclists', with {folk} = cyclists, {folk} = left-handers (of 2)", "Narrow"),
        (", '[[{tease} cyclists]] and [[tease left-handers]]!'", "", 18, "1 examples of should_match, at least 2", "every term"),
        (", 'never ever tease cyclists'", "", 28, "2 examples of excuses, at least 3", "fails in silence"),
        ("'I never [[tease cyclists]]'", "'I never sleep'", 28, "holds no raise of this pack", ""),
        ("'I never [[tease cyclists]]'", "'tease cyclists never'", 28, "does not cover 'tease cyclists'", "scope"),
        ("'I never [[tease cyclists]]'", "'tease cyclists'", 28, "the excuse does not match", ""),
        ("'never again. Tease cyclists'", "'never tease cyclists'", 29, "is excused by 'never'", "Narrow the excuse"),
        ("reviewed_by: none", "uses: [nobody]\nreviewed_by: none", 4, "uses 'nobody', which is not loaded", "Packs:"),
        ("reviewed_by: none", "off: [en/nothing]\nreviewed_by: none", 4, "switches off 'en/nothing'", "<pack>/<id>"),
        ("lists:", "lists: [", 8, "is not YAML", "single quotes"),
    ],
)
def test_faults(tmp_path: Path, old: str, new: str, line: int, message: str, hint: str) -> None:
    assert old in GOOD
    found = faults(tmp_path, GOOD.replace(old, new, 1))
    matching = [f for f in found if message in f.message]
    assert matching, "\n".join(map(str, found))
    assert matching[0].line == line
    assert hint in matching[0].hint
    assert matching[0].file == "tiny.yaml"


def test_all_faults_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("tease, tickle", "tease, TEASE").replace("'tease nobody'", "'tease {folk}'").replace("'never again. Tease", "'never tease")
    assert [f.line for f in faults(tmp_path, text)] == [10, 19, 29]


def test_a_fault_shows_the_line_a_caret_and_a_hint(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, GOOD.replace("(all )?{folk}'", "(all {folk}'"))
    assert str(fault) == (
        "tiny.yaml:17: rule call: a '(' without its ')'\n"
        "    17 |     pattern: '{tease} (all {folk}'\n"
        "       |                       ^\n"
        "       hint: Write \\( for the character itself."
    )


def test_a_caret_in_a_quoted_quote_and_in_a_long_line_stands_under_its_character(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, GOOD.replace("'{tease} (all )?{folk}'", "'{tease} (it''s |all )?{fokl}'"))
    shown, caret = str(fault).splitlines()[1:3]
    assert shown[caret.index("^") :].startswith("{fokl}")
    (fault,) = faults(tmp_path, GOOD.replace("'{tease} (all )?{folk}'", f"'{{tease}} ({'very|' * 60}all )?{{fokl}}'"))
    shown, caret = str(fault).splitlines()[1:3]
    assert shown[caret.index("^") :].startswith("{fokl}")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe", "cannot be read"), (b"", "holds no pack"), (b"- a\n- b\n", "holds no pack"), (b"just words", "holds no pack")],
)
def test_what_is_no_pack(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    (fault,) = check_pack(path)
    assert message in fault.message


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    (fault,) = check_pack(tmp_path / "absent.yaml")
    assert "cannot be read" in fault.message


def test_words_that_yaml_takes_for_truth_are_words(tmp_path: Path) -> None:
    """`no`, `on`, `off` and `yes` are words of many languages."""
    assert faults(tmp_path, GOOD.replace("tease: [tease, tickle]", "tease: [tease, tickle, no, on, off, yes]")) == []


def test_a_pack_may_use_the_lists_of_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(GOOD, "utf-8")
    own = tmp_path / "own.yaml"
    own.write_text(
        "name: own\nlanguage: en\nversion: '1'\nreviewed_by: none\nscript: Latin\nuses: [tiny]\noff: [tiny/never]\nrules:\n"
        "  - id: hush\n    effect: raise\n    category: hate\n    about: x\n    note: {en: x, fr: x}\n    pattern: 'hush {folk}'\n"
        "    should_match: ['[[hush {folk}]]', '[[hush cyclists]]']\n    should_not_match: [hush, 'cyclists hush']\n",
        "utf-8",
    )
    assert check_pack(own) == []


def test_the_first_rule_of_the_guide_is_in_order(tmp_path: Path) -> None:
    guide = (Path(__file__).resolve().parent.parent / "docs" / "rules.md").read_text("utf-8")
    pack = guide.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "our-rules.yaml").write_text(pack, "utf-8")
    assert check_pack(tmp_path / "our-rules.yaml") == []
    (tmp_path / "our-rules.yaml").write_text(pack.replace("{0,2}{riders}", "{0,2}{rider}"), "utf-8")
    (fault,) = check_pack(tmp_path / "our-rules.yaml")
    assert str(fault) in guide
