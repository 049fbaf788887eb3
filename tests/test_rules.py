"""Rules at work, on packs about cyclists and left-handers: what matches, what excuses, which packs are tried, and that time is linear."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipu_moderation.errors import PackError
from ipu_moderation.normalise import normalise
from ipu_moderation.resources import rule_packs
from ipu_moderation.rules import RuleSet, engine, load_packs
from ipu_moderation.rules.engine import CompiledPack, View, compile_re2
from ipu_moderation.rules.outline import Places
from ipu_moderation.rules.schema import ENDERS, SCRIPTS, PackFile, read_pack
from ipu_moderation.taxonomy import Category, TargetGroup
from ipu_moderation.types import Finding, Language, Text

EN = Language("en", 0.99)
HEAD = "name: {name}\nlanguage: {language}\nversion: '1'\nreviewed_by: none\nscript: {script}\n"

MINI = (
    HEAD.format(name="mini", language="en", script="Latin")
    + """
abbreviations: [mr, dr]
clause_breaks: [but]
not_names: [the, yesterday, share]
lists:
  folk:
    - {target: profession, terms: [cyclists, bike riders]}
    - {target: age, terms: [left-handers]}
  tease: [tease, tickle*]
macros:
  somebody: '({name}|dr\\.? {capital})'
rules:
  - {id: call, effect: raise, category: incitement, about: A call., note: {en: A call., fr: Un appel.}, pattern: '(we must )?{tease} (all )?{folk}'}
  - {id: start, effect: raise, category: violence, about: Start., note: {en: Start., fr: Début.}, pattern: '{start}hush {gap:2} {folk}{end}', unless: [softly]}
  - {id: cheated, effect: raise, category: defamation_risk, about: Cheating., note: {en: Cheating., fr: Triche.}, pattern: '{somebody} {gap:2} cheated'}
  - {id: quoted, effect: excuse, scope: quotation, about: Quoted., note: {en: Quoted., fr: Citation.}, pattern: '(he|she) (said|sang)', unless: [she is right]}
  - {id: not, effect: excuse, scope: clause, side: after, window: 12, about: A negation., note: {en: A negation., fr: Une négation.}, pattern: never}
  - {id: law, effect: excuse, scope: sentence, about: A law., note: {en: A law., fr: Une loi.}, pattern: is forbidden, covers: [incitement, violence]}
  - {id: idiom, effect: excuse, scope: match, about: An idiom., note: {en: An idiom., fr: Une tournure.}, pattern: '{tease} {gap:4} with feathers'}
  - {id: sorry, effect: excuse, scope: text, side: after, window: 40, about: An apology., note: {en: An apology., fr: Des excuses.}, pattern: we apologise for}
"""
)


def rules_of(tmp_path: Path, *packs: str, note_language: str = "en") -> RuleSet:
    """A rule set of packs given as text."""
    paths = []
    for n, text in enumerate(packs):
        paths.append(tmp_path / f"{n}.yaml")
        paths[-1].write_text(text, "utf-8")
    return load_packs(paths, note_language=note_language)


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    return rules_of(tmp_path_factory.mktemp("mini"), MINI)


def seen(rules: RuleSet, text: str, language: Language = EN) -> list[tuple[str, str, str | None]]:
    """Raises as (id, what it stands on, id of the excuse)."""
    short = lambda rule: rule and rule.partition("/")[2]  # noqa: E731
    return [(short(f.rule), text[f.start : f.end], short(f.excused_by)) for f in rules.find(normalise(text), language) if f.effect == "raise"]


# ------------------------------------------------------------------------------------------------------------------------- matching


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tease cyclists", [("call", "Tease cyclists", None)]),
        ("so WE MUST tease all Bike-Riders!", [("call", "WE MUST tease all Bike-Riders", None)]),
        ("tease cyclists tease cyclists", [("call", "tease cyclists", None)] * 2),
        ("tickled left-handers, tickling cyclists", [("call", "tickled left-handers", None)]),
        ("te\u200base cyсlists", [("call", "te\u200base cyсlists", None)]),  # zero-width space; a Cyrillic letter
        ("t3a$e cyclists", [("call", "t3a$e cyclists", None)]),
        ("teaseeee cyclists", []),
        ("teaser cyclists", []),
        ("tease motorcyclists", []),
        ("tease cyclists' bells", [("call", "tease cyclists", None)]),
        ("tease cyclists's bells", []),
        ("tease, cyclists", [("call", "tease, cyclists", None)]),
        ("tease. cyclists", []),
        ("Hush you lot cyclists!", [("start", "Hush you lot cyclists", None)]),
        ("Then hush cyclists", []),
        ("Well: hush cyclists", [("start", "hush cyclists", None)]),
        ("@someone hush cyclists", [("start", "hush cyclists", None)]),
        ("hush cyclists of old", []),
        ("hush softly, cyclists", []),
        ("hush cyclists. Softly now", [("start", "hush cyclists", None)]),
        ("hush one, two cyclists", []),
        ("", []),
    ],
)
def test_matches(mini: RuleSet, text: str, expected: list[tuple[str, str, str | None]]) -> None:
    assert seen(mini, text) == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Anna Keller often cheated", "Anna Keller often cheated"),
        ("Yesterday Anna de la Cruz cheated", "Anna de la Cruz cheated"),
        ("The Green Hill Clinic cheated", "Green Hill Clinic cheated"),
        ("we saw that @anna cheated", "@anna cheated"),
        ("so dr. Keller cheated", "dr. Keller cheated"),
        ("anna keller cheated", None),
        ("Anna cheated", None),
        ("WE ALL KNOW THAT ANNA KELLER CHEATED", None),
        ("Famous Painter Anna Keller Openly Cheated", None),
        ("Anna Keller. Somebody cheated", None),
        ("\ufdd0anna keller\ufdd1 cheated", None),
    ],
)
def test_names_are_seen_in_the_raw_text(mini: RuleSet, text: str, name: str | None) -> None:
    assert [match for rule, match, _ in seen(mini, text) if rule == "cheated"] == ([name] if name else [])


# -------------------------------------------------------------------------------------------------------------------------- excuses


@pytest.mark.parametrize(
    ("text", "excused_by"),
    [
        ('He said "tease cyclists" again', ["quoted"]),
        ("\u201cTease cyclists!\u201d she sang", ["quoted"]),
        ("\u00ab tease cyclists \u00bb, he said", ["quoted"]),
        ("he said 'tease cyclists', didn't he", ["quoted"]),
        ("he said tease cyclists", [None]),
        ('He said nothing. "Tease cyclists"', [None]),
        ('"Tease cyclists." She said no more', [None]),
        ('he said "tease cyclists', [None]),
        ('He said "tease cyclists". And she is right!', [None]),
        ('He said "no". Tease cyclists', [None]),
        ("never tease cyclists", ["not"]),
        ("never ever ever ever tease cyclists", [None]),
        ("never mind but tease cyclists", [None]),
        ("tease cyclists, never stop", [None]),
        ("To tease cyclists is forbidden", ["law"]),
        ("Parking is forbidden. Tease cyclists", [None]),
        ("Parking is forbidden\ntease cyclists", [None]),
        ("Dr. Keller says it is forbidden to tease cyclists", ["law"]),
        ("tease cyclists with feathers", ["idiom"]),
        ("tease cyclists, but with feathers", [None]),
        ("We apologise for this. We wrote: tease cyclists", ["sorry"]),
        ("Tease cyclists. We apologise for this.", [None]),
        ("Tease cyclists, never! To tease left-handers is forbidden. Tease bike riders", [None, "law", None]),
    ],
)
def test_excuses(mini: RuleSet, text: str, excused_by: list[str | None]) -> None:
    assert [excuse for rule, _, excuse in seen(mini, text) if rule == "call"] == excused_by


def test_lists_that_are_neighbours_count_as_one_and_the_longest_term_wins(tmp_path: Path) -> None:
    pack = HEAD.format(name="near", language="en", script="Latin") + (
        "lists: {plain: [riders], rude: [riders of scrap, scrap]}\n"
        "macros: {any: '({plain}|{rude})'}\n"
        "rules:\n  - {id: call, effect: raise, category: abuse, about: A., note: {en: A., fr: A.}, pattern: 'shun ({any}|cyclists)'}\n"
    )
    rules = rules_of(tmp_path, pack)
    assert [match for _, match, _ in seen(rules, "shun riders of scrap and shun riders")] == ["shun riders of scrap", "shun riders"]


def test_what_a_group_is_called_voids_nothing(tmp_path: Path) -> None:
    pack = HEAD.format(name="void", language="en", script="Latin") + (
        "lists: {folk: [{target: profession, terms: [cyclists, cycling volunteers]}]}\n"
        "rules:\n  - {id: call, effect: raise, category: abuse, about: A., note: {en: A., fr: A.}, pattern: 'shun {folk}', unless: [volunteers, '{folk} are fine']}\n"
    )
    rules = rules_of(tmp_path, pack)
    assert seen(rules, "Shun cyclists") and seen(rules, "Shun cycling volunteers")
    assert not seen(rules, "Shun cyclists, say volunteers")
    assert not seen(rules, "Shun cycling volunteers, cyclists are fine")


def test_an_excuse_covers_its_categories_alone(mini: RuleSet) -> None:
    found = seen(mini, "It is forbidden to tease cyclists, Anna Keller cheated")
    assert [(rule, excuse) for rule, _, excuse in found] == [("call", "law"), ("cheated", None)]


def test_excuses_are_given_where_they_cover_or_when_asked_for(mini: RuleSet) -> None:
    text = normalise("Smoking is forbidden. Never tease cyclists.")
    assert [f.rule for f in mini.find(text, EN)] == ["mini/not", "mini/call"]
    assert [f.rule for f in mini.find(text, EN, every_excuse=True)] == ["mini/law", "mini/not", "mini/call"]
    assert mini.find(normalise("Smoking is forbidden"), EN) == ()
    assert [f.effect for f in mini.find(normalise("Smoking is forbidden"), EN, every_excuse=True)] == ["excuse"]


def test_a_finding_is_complete(mini: RuleSet) -> None:
    excuse, raised = mini.find(normalise("x never tease cyclists"), EN)
    assert raised == Finding("mini/call", Category.INCITEMENT, "raise", 8, 22, "A call.", "mini/not")
    assert excuse == Finding("mini/not", Category.INCITEMENT, "excuse", 2, 7, "A negation.", None)


# ------------------------------------------------------------------------------------------------------------- scripts and languages

LISTED = """
lists:
  folk: {{prefixes: [{prefixes}], suffixes: [{suffixes}], chain: 2, entries: [{terms}]}}
rules:
  - {{id: x, effect: raise, category: hate, about: x, note: {{en: x, fr: x}}, pattern: '{pattern}'}}
"""


@pytest.mark.parametrize(
    ("script", "extra", "listed", "text", "expected"),
    [
        ("Arabic", "", ("ال, و, ب", "", "دراجين", "اطردوا {folk}"), "اِطردوا والدرّاجين الآن", "اِطردوا والدرّاجين"),
        ("Hebrew", "", ("ה, ו", "", "רוכבים", "{folk}"), "כל הרוכבים כאן", "הרוכבים"),
        ("Latin", "", ("", "lar, dan, ın", "bisiklet", "{folk}"), "bu bisikletlardan uzak", "bisikletlardan"),
        ("Latin", "", ("", "", "mwend*", "fukuza {folk}"), "fukuza mwendesha haraka", "fukuza mwendesha"),
        ("Latin", "", ("wa, wasio", "", "endesha", "{folk}"), "hawa waendesha", "waendesha"),
        ("Devanagari", "", ("", "", "साइकिलवाले", "{folk} जाओ"), "सब साइकिलवाले जाओ!", "साइकिलवाले जाओ"),
        ("Bengali", "", ("", "রা", "চালক", "{folk}"), "ওই চালকরা এসেছে", "চালকরা"),
        ("Ethiopic", "", ("", "", "ብስክሌተኞች", "{folk} ይውጡ"), "ብስክሌተኞች ይውጡ።", "ብስክሌተኞች ይውጡ"),
        ("Cyrillic", "", ("", "", "велосипедисты", "гнать {folk}"), "Гнать, ВЕЛОСИПЕДИСТЫ", "Гнать, ВЕЛОСИПЕДИСТЫ"),
        ("Han", "words: unspaced\n", ("", "", "骑车的人", "赶走{gap:3}{folk}"), "我们要赶走那些骑车的人吧", "赶走那些骑车的人"),
        ("Han", "words: unspaced\n", ("", "", "骑车的人", "赶走{gap:3}{folk}"), "赶走他。骑车的人", None),
        ("Thai", "words: unspaced\n", ("", "", "นักปั่น", "ไล่{folk}"), "เราจะไล่นักปั่นออกไป", "ไล่นักปั่น"),
        ("Latin", "accents: optional\n", ("", "", "pédaleurs, cœurs", "chassez {folk}"), "chassez pedaleurs", "chassez pedaleurs"),
        ("Latin", "accents: optional\n", ("", "", "pédaleurs, cœurs", "chassez {folk}"), "Chassez PÉDALEURS", "Chassez PÉDALEURS"),
        ("Latin", "accents: optional\n", ("", "", "pédaleurs, cœurs", "chassez {folk}"), "chassez coeurs", "chassez coeurs"),
        ("Latin", "", ("", "", "pédaleurs", "chassez {folk}"), "chassez pedaleurs", None),
    ],
)
def test_scripts(tmp_path: Path, script: str, extra: str, listed: tuple[str, str, str, str], text: str, expected: str | None) -> None:
    prefixes, suffixes, terms, pattern = listed
    pack = HEAD.format(name="x", language="und", script=script) + extra + LISTED.format(prefixes=prefixes, suffixes=suffixes, terms=terms, pattern=pattern)
    assert [match for _, match, _ in seen(rules_of(tmp_path, pack), text, Language("und", 0.0))] == ([expected] if expected else [])


RULE = "rules: [{{id: x, effect: raise, category: hate, about: x, note: {{en: x, fr: y}}, pattern: {word}}}]\n"


@pytest.mark.parametrize(
    ("language", "tried"),
    [
        (Language("en", 0.9), {"en"}),
        (Language("fr", 0.9), {"fr", "en"}),
        (Language("pt-BR", 0.9), {"pt", "en"}),
        (Language("hi-Latn", 0.9), {"hi-Latn", "hi", "en"}),
        (Language("hi", 0.9), {"hi", "en"}),
        (Language("sw", 0.9, ("fr",)), {"fr", "en"}),
        (Language("fr", 0.3), {"en", "fr", "pt", "hi-Latn", "hi"}),
        (Language("und", 0.0), {"en", "fr", "pt", "hi-Latn", "hi"}),
    ],
)
def test_packs_of_all_plausible_languages_are_tried(tmp_path: Path, language: Language, tried: set[str]) -> None:
    packs = [HEAD.format(name=code, language=code, script="Latin") + RULE.format(word="pedalo") for code in ("en", "fr", "pt", "hi-Latn")]
    packs.append(HEAD.format(name="hi", language="hi", script="[Devanagari, Latin]") + RULE.format(word="pedalo"))
    packs.append(HEAD.format(name="ru", language="ru", script="Cyrillic") + RULE.format(word="pedalo"))
    assert {f.rule.partition("/")[0] for f in rules_of(tmp_path, *packs).find(normalise("one pedalo"), language)} == tried


def test_an_excuse_of_one_language_covers_a_raise_of_another(tmp_path: Path) -> None:
    hindi = HEAD.format(name="hi", language="hi", script="Devanagari") + (
        "rules: [{id: law, effect: excuse, scope: sentence, about: x, note: {en: x, fr: y}, pattern: मना है}]\n"
    )
    assert seen(rules_of(tmp_path, MINI, hindi), "tease cyclists मना है", Language("hi", 0.9)) == [("call", "tease cyclists", "law")]


@pytest.mark.parametrize("script", SCRIPTS)
def test_letters_of_no_script_hold_the_end_of_a_sentence_or_a_sign(script: str) -> None:
    letters = compile_re2(f"[{SCRIPTS[script]}]")
    assert not [c for c in ENDERS + " ,;:()\"'-،؛፣" if letters.search(c.encode())]


# --------------------------------------------------------------------------------------------------------------------------- packs


def test_own_packs_stand_beside_others_use_their_lists_and_switch_off_their_rules(tmp_path: Path) -> None:
    own = HEAD.format(name="own", language="en", script="Latin") + (
        "uses: [mini]\noff: [mini/call]\nrules: [{id: ban, effect: raise, category: hate, about: x, note: {en: x, fr: y}, pattern: 'ban {folk}'}]\n"
    )
    rules = rules_of(tmp_path, MINI, own)
    assert [f.rule for f in rules.find(normalise("tease cyclists, ban cyclists"), EN)] == ["own/ban"]
    assert dict(rules.versions) == {"mini": "1", "own": "1"}
    assert "mini/call" not in {r.id for r in rules.rules}
    ban = next(r for r in rules.rules if r.id == "own/ban")
    assert ban.targets == {TargetGroup.PROFESSION, TargetGroup.AGE}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (MINI, "a pack called 'mini' is there already"),
        (MINI.replace("name: mini", "name: other\noff: [mini/nothing]"), "switches off 'mini/nothing', which does not exist"),
        (MINI.replace("name: mini", "name: other\nuses: [nobody]"), "uses 'nobody', which is not loaded"),
        (MINI.replace("name: mini", "name: other").replace("{id: start,", "{id: call,"), "id call is there twice"),
        (MINI.replace("name: mini", "name: other").replace("never}", "'(never'}"), "a '(' without its ')'"),
        (MINI.replace("name: mini", "name: other").replace("never}", "'(never)?'}"), "matches the empty string"),
    ],
)
def test_packs_that_do_not_go_together_are_refused_with_all_faults(tmp_path: Path, second: str, message: str) -> None:
    with pytest.raises(PackError) as caught:
        rules_of(tmp_path, MINI, second)
    assert any(message in fault for fault in caught.value.faults)
    assert "rules check FILE" in str(caught.value)


def test_notes_come_in_the_language_asked_for(tmp_path: Path) -> None:
    for language, note in (("fr", "Un appel."), ("en", "A call."), ("sw", "A call.")):
        assert rules_of(tmp_path, MINI, note_language=language).find(normalise("tease cyclists"), EN)[0].note == note


# ---------------------------------------------------------------------------------------------------------------------- properties


PIECES = ["tease", "cyclists", "never", "he said", '"', "'", ".", "!", "\n", " ", "we must", "Anna Keller cheated", "é", "🚲", "\u200b", "مرحبا", ","]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=6)))
def test_any_text_can_be_searched_and_spans_lie_inside(mini: RuleSet, pieces: list[str]) -> None:
    text = " ".join(pieces)
    findings = mini.find(normalise(text), EN, every_excuse=True)
    for f in findings:
        assert 0 <= f.start < f.end <= len(text)
        assert f.excused_by is None or f.excused_by in {g.rule for g in findings if g.effect == "excuse"}
    assert findings == mini.find(normalise(text), EN, every_excuse=True)


@pytest.mark.parametrize("code", ["en", "fr", "ar", "tr", "zh", "hi", "am"])
def test_no_match_is_lost_by_looking_at_words_first(code: str) -> None:
    """The words that a pattern needs are a condition, never a filter of its own: the index, patterns written for the text, and whole patterns find the same."""
    pack, _, _ = read_pack(next(p for p in rule_packs() if p.stem == code))
    assert pack is not None
    compiled = CompiledPack(pack)
    chosen = random.Random(0)
    firsts = {name: entries.terms for name, entries in pack.lists.items()}
    for rule in compiled.rules:
        for example in (*rule.rule.should_match[:2], *rule.rule.excuses[:2]):
            text = example.replace("[[", "").replace("]]", "")
            for name, terms in firsts.items():
                text = text.replace(f"{{{name}}}", chosen.choice(terms).replace("*", ""))
            view = View(normalise(text))
            tried = [m for candidate, m in compiled.index(rule.rule.effect).candidates(view, compiled.writer) if candidate is rule]
            found = rule.find(view, rule.matchers)
            assert rule.find(view, tried) == found, (rule.rule.id, text)
            for matcher in rule.matchers:
                assert bool(list(matcher.matches(view, compiled))) == bool(compile_re2(matcher.regex).search(view.marked(compiled)[0] if matcher.uses_names else view.data)), text


ORDERED = (
    HEAD.format(name="ordered", language="en", script="Latin")
    + """
lists:
  hit: [tickle, poke at]
  who: [cyclists, the left bank walkers]
rules:
  - {id: call, effect: raise, category: incitement, about: A call., note: {en: A call.}, pattern: ['{hit} {gap:2} {who}', '(go|come) and {hit} (them|{who})']}
"""
)


@pytest.mark.parametrize(
    ("text", "passes", "matches"),
    [
        ("tickle cyclists", True, True),
        ("tickle all of cyclists", True, True),
        ("poke at 12 34 the left bank walkers", True, True),
        ("tickle \u4eba\u4eba cyclists", True, True),
        ("cyclists tickle", False, False),
        ("tickle nobody. cyclists", False, False),
        ("tickle one two three four five six seven eight cyclists", False, False),
        ("come and poke at them", True, True),
        ("go home and tickle cats and them", False, False),
        ("cyclists go and tickle poke at cats", False, False),
    ],
)
def test_words_in_the_wrong_order_or_too_far_apart_are_not_tried(tmp_path: Path, text: str, passes: bool, matches: bool) -> None:
    path = tmp_path / "ordered.yaml"
    path.write_text(ORDERED, encoding="utf-8")
    pack, _, faults = read_pack(path)
    assert pack is not None, faults
    compiled = CompiledPack(pack)
    view = View(normalise(text))
    assert bool(list(compiled.index("raise").candidates(view, compiled.writer))) is passes
    assert bool(compiled.rules[0].find(view, compiled.rules[0].matchers)) is matches


_WORDS = ("tickle", "poke", "at", "cyclists", "the", "left", "bank", "walkers", "go", "and", "them", "Left-Handers", "Mr.", "Ann", "Lee", "@ann", "3foo", "12", "人", "cheated", "never", "hush", "feathers", "we", "must", "all")
_BETWEEN = (" ", " ", " ", "-", ". ", "! ", ", ", "\n", " (", '"', "…", " / ")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_WORDS), st.sampled_from(_BETWEEN)), max_size=14))
def test_order_and_distance_stop_nothing_that_matches(parts: list[tuple[str, str]]) -> None:
    view = View(normalise("".join(word + between for word, between in parts)))
    for compiled in _small_packs():
        tried = {(rule.info.id, id(matcher)) for rule, matcher in compiled.index("raise").candidates(view, compiled.writer)}
        for rule in compiled.rules:
            if rule.rule.effect == "raise":
                missed = [m for m in rule.matchers if (rule.info.id, id(m)) not in tried and list(m.matches(view, compiled))]
                assert not missed, (rule.info.id, view.view)


@lru_cache(maxsize=1)
def _small_packs() -> tuple[CompiledPack, ...]:
    with TemporaryDirectory() as directory:
        out = []
        for number, text in enumerate((MINI, ORDERED)):
            path = Path(directory) / f"{number}.yaml"
            path.write_text(text, encoding="utf-8")
            pack, _, faults = read_pack(path)
            assert pack is not None, faults
            out.append(CompiledPack(pack))
        return tuple(out)


@given(st.text(max_size=60))
def test_places_know_the_words_of_the_index(text: str) -> None:
    view = View(normalise(text))
    assert Places(view.view, frozenset("abcdefghijklmnopqrstuvwxyz"), spaced=True).words.keys() == view.words


# ------------------------------------------------------------------------------------------------------------ threads, forks, pickles


def test_threads_share_one_rule_set(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, MINI)
    texts = [normalise(f"{'never ' * (n % 2)}tease cyclists {n}") for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda t: rules.find(t, EN), texts))
    assert [len(f) for f in found] == [1 + n % 2 for n in range(200)]


def test_a_rule_set_can_be_pickled(mini: RuleSet) -> None:
    again = pickle.loads(pickle.dumps(mini))
    assert again.find(normalise("tease cyclists"), EN) == mini.find(normalise("tease cyclists"), EN)


def _found_in_child(rules: RuleSet) -> int:
    return len(rules.find(normalise("tease cyclists"), EN))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_rule_set_works_after_a_fork(mini: RuleSet) -> None:
    mini.find(normalise("tease cyclists"), EN)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_found_in_child, [mini, mini]) == [1, 1]


# ----------------------------------------------------------------------------------------------------------------------------- time

BAIT = {
    "matches without end": "we must tease all cyclists ",
    "nearly matches": "we must tease all the ",
    "excuses and raises": 'he said "tease cyclists" never is forbidden tease cyclists with feathers ',
    "names": "Anna Keller and Dr. Tom de la Cruz ",
    "names that match": "Anna Keller cheated ",
    "open quotations": '\' " « ',
    "ends of sentences": ".!.?",
    "handles": "@a ",
    "one word": "a",
    "letters of another script": "велосипедисты ",
    "starts": ": hush ",
}


def plain(raw: str) -> Text:
    """A text whose views are itself: what is timed is the rules, not the normaliser."""
    return Text(raw, raw, raw.lower(), tuple(range(len(raw))), tuple(range(1, len(raw) + 1)))


@pytest.mark.parametrize("bait", BAIT)
def test_time_is_linear(mini: RuleSet, bait: str) -> None:
    """10 kB, 100 kB, 1 MB: ten times the text is not a hundred times the time, and a megabyte is a matter of seconds on any machine."""
    took = []
    for size in (10_000, 100_000, 1_000_000):
        text = plain((BAIT[bait] * (size // len(BAIT[bait]) + 1))[:size])
        begin = time.process_time()
        mini.find(text, EN, every_excuse=True)
        took.append(time.process_time() - begin)
    assert took[2] < 10
    assert took[2] < 40 * max(took[1], 0.02), took


def test_eighteen_packs_and_five_thousand_terms_are_quick(tmp_path: Path) -> None:
    """The bound is some ten times what was measured, so that a busy machine passes; a design that looks at every term does not."""
    chosen = random.Random(1)
    word = lambda: "".join(chosen.choice("aabcdeefghiiklmnooprsttuu") for _ in range(chosen.randint(4, 10)))  # noqa: E731
    packs = []
    vocabulary = [word() for _ in range(5000)]
    for n in range(18):
        terms = ", ".join(dict.fromkeys(word() for _ in range(300)))
        packs.append(
            HEAD.format(name=f"p{n}", language="en", script="Latin")
            + f"lists:\n  a: [{terms}]\n  b: [{', '.join(dict.fromkeys(word() for _ in range(40)))}]\nrules:\n"
            + "".join(
                f"  - {{id: r{i}, effect: raise, category: hate, about: x, note: {{en: x}}, pattern: '{{b}} {{gap:{1 + i % 4}}} {{a}}'}}\n" for i in range(20)
            )
        )
    rules = rules_of(tmp_path, *packs)
    posts = [normalise(" ".join(chosen.choice(vocabulary) for _ in range(25))) for _ in range(600)]
    for post in posts[:100]:
        rules.find(post, EN)
    begin = time.process_time()
    for post in posts[100:]:
        rules.find(post, EN)
    assert (time.process_time() - begin) / 500 < 0.005


# ------------------------------------------------------------------------------------------------------------------ memory in bounds


def test_no_program_of_a_long_text_is_kept_and_few_of_short_ones(mini: RuleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Automata grow with the texts that they have read, and a stream of posts never ends."""
    engine._program.cache_clear()
    for n in range(3 * engine.KEPT_PROGRAMS):
        assert mini.find(normalise(f"tease cyclists {chr(0x1F300 + n)}"), EN)
    assert engine._program.cache_info().currsize <= engine.KEPT_PROGRAMS
    engine._program.cache_clear()
    assert mini.find(normalise("tease cyclists " + "and so on " * engine.MAX_SEARCHED), EN)
    assert engine._program.cache_info().currsize == 0


def test_a_pack_that_ships_keeps_no_examples_and_can_be_read_again() -> None:
    rules = RuleSet([PackFile(next(p for p in rule_packs() if p.stem == "sw"))])
    assert rules.find(normalise("Waue wakikuyu wote!"), Language("sw", 1.0))
    pack = rules._compile().packs[0]
    assert not any(r.rule.should_match or r.rule.excuses for r in pack.rules) and "pack" not in vars(pack)
    assert pack.pack.rules[0].pattern, "whoever asks for the file gets it"
