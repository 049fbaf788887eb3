"""The packs that ship: in order by the users' own checker, broad enough, and silent on what is only near to the matter."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pytest

from ipu_moderation.classifiers.compact import cores
from ipu_moderation.normalise import normalise
from ipu_moderation.resources import rule_packs
from ipu_moderation.rules import Fault, RuleSet, check_pack, load_packs
from ipu_moderation.rules.schema import Pack
from ipu_moderation.taxonomy import Category, TargetGroup
from ipu_moderation.types import Language

FOUNDERS = ("en", "fr")


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_packs([p for p in rule_packs() if p.stem in FOUNDERS])


@pytest.fixture(scope="module")
def checks() -> Iterator[dict[Path, Future[list[Fault]]]]:
    """The full check of every pack, a process a core: every example with every term takes some seconds a pack."""
    with ProcessPoolExecutor(cores(), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield {path: pool.submit(check_pack, path) for path in rule_packs()}


@pytest.mark.parametrize("path", rule_packs(), ids=lambda p: p.stem)
def test_every_pack_is_in_order(path: Path, checks: dict[Path, Future[list[Fault]]]) -> None:
    faults = checks[path].result()
    assert not faults, "\n".join(f"{n}. {f}" for n, f in enumerate(faults, 1))
    assert path.stem == next(line.removeprefix("name:").strip() for line in path.read_text("utf-8").splitlines() if line.startswith("name:"))


@pytest.mark.parametrize("name", FOUNDERS)
def test_packs_are_broad(rules: RuleSet, name: str) -> None:
    pack: Pack = next(p for p in rules.packs if p.name == name)
    effects = Counter(r.effect for r in pack.rules)
    assert effects["raise"] >= 25
    assert effects["excuse"] >= 15
    assert {r.category for r in pack.rules if r.effect == "raise"} == set(Category)
    groups = [chosen for chosen in pack.lists.values() if chosen.is_group]
    assert max(len(chosen.terms) for chosen in groups) >= 60
    for target in TargetGroup:
        assert any(e.target is target for chosen in groups for e in chosen.entries), target
    assert all(name in r.note for r in pack.rules)


@pytest.mark.parametrize("name", FOUNDERS)
def test_the_long_group_lists_name_every_target(rules: RuleSet, name: str) -> None:
    pack = next(p for p in rules.packs if p.name == name)
    for list_name, chosen in pack.lists.items():
        if chosen.is_group and len(chosen.terms) >= 60:
            assert {e.target for e in chosen.entries} == set(TargetGroup), list_name


BENIGN = {
    "en": [
        "Refugees should be welcomed in our city",
        "The police shot two men last night near the mosque",
        "We must protect all migrants from the cold",
        "Women are being killed every day and nobody cares",
        "The march for the rights of immigrants starts tomorrow at nine, bring friends and water",
        "Killing civilians is a war crime",
        "This government is a disgrace and must go",
        "My mom is going to kill me lol",
        "Journalists should be free to work without being attacked",
        "We will beat the Germans in the final on Sunday",
        "The mayor cut the ribbon at the new school",
        "John Carter was acquitted of taking bribes",
        "The court found that John Carter took bribes",
        "Is it true that the mayor took bribes?",
        "Mayor John Carter denied that he took bribes",
        "Everyone knows Ruth Miller is a great singer",
        "Please stop calling immigrants criminals",
        "Elderly people are dying in care homes and the minister is silent",
        "How many women have to die before parliament acts?",
        "The rich should pay more taxes",
        "Kids are animals before breakfast haha",
        "The asylum seekers were attacked by a mob with machetes",
        "Republicans attack Democrats over the budget",
        "Bring your own knives to the cooking class, we meet tonight at seven",
        "Ban plastic bags from schools",
        "We must eliminate women's unpaid overtime",
        "Militias who rob, burn and kill villagers must face justice",
        "No jobs for young people in this town, that is the problem",
        "German cockroaches are hard to get rid of",
        "Someone shot him last night",
        "Jobs for teachers, homes for nurses, respect for pensioners",
        "If refugees come to our town, we will help them",
        "I would kill for a coffee with those journalists",
        "Anna Keller stole the show at the concert",
        "The minister should be replaced, says the opposition",
    ],
    "fr": [
        "Les réfugiés ont besoin d’un toit cet hiver",
        "La police a tué deux hommes cette nuit",
        "Il faut protéger les migrants du froid",
        "Des femmes sont tuées chaque jour et personne ne bouge",
        "La marche pour les droits des immigrés part demain à midi",
        "Tuer des civils est un crime de guerre",
        "Ce gouvernement est une honte",
        "Je meurs de rire",
        "Ma mère va me tuer mdr",
        "Les journalistes doivent pouvoir travailler sans être frappés",
        "On va battre les Allemands en finale dimanche",
        "Le maire a inauguré l’école",
        "Jean Dupont a été relaxé, il est faux de dire qu’il a volé",
        "Le tribunal a jugé que Jean Dupont a touché des pots-de-vin",
        "Est-il vrai que le maire a touché des pots-de-vin ?",
        "Le maire dément avoir touché des pots-de-vin",
        "Tout le monde sait que Jean Dupont est un bon chanteur",
        "Arrêtez de dire que les immigrés sont des criminels",
        "Les vieux meurent dans les maisons de retraite",
        "Combien de femmes doivent mourir avant que le Parlement agisse ?",
        "Les riches doivent payer plus d’impôts",
        "Les enfants sont des petits singes avant le goûter",
        "Les demandeurs d’asile ont été attaqués par une foule armée de machettes",
        "Les macronistes attaquent les socialistes sur le budget",
        "Atelier cuisine ce soir, venez avec vos couteaux",
        "La loi interdit d’expulser les mineurs",
        "Les jeunes doivent partir à l’étranger",
        "Pas de logement pour les étudiants, quelle honte",
        "Paul Mercier a violé la loi, selon le préfet",
        "Il faut lutter contre la pauvreté, pas contre les pauvres",
        "Si les réfugiés viennent ici, on les aidera",
    ],
}


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in BENIGN.items() for text in texts])
def test_what_is_only_near_raises_nothing(rules: RuleSet, code: str, text: str) -> None:
    assert [f.rule for f in rules.find(normalise(text), Language(code, 0.99)) if f.effect == "raise" and f.excused_by is None] == []


@pytest.mark.parametrize(
    ("code", "text", "rule"),
    [
        ("en", "M4yor Tom Baxter t0ok br1bes", "en/alleges-corruption"),
        ("en", "The electoral commission rigged\u200b the count!", "en/alleges-rigging"),
        ("fr", "LE MAIRE A DETOURNE NOS SUBVENTIONS", "fr/accuse-de-corruption"),
        ("fr", "Professeure Lind a plagie la moitie", "fr/accuse-de-plagiat"),
    ],
)
def test_packs_see_through_evasion_and_missing_accents(rules: RuleSet, code: str, text: str, rule: str) -> None:
    assert rule in {f.rule for f in rules.find(normalise(text), Language(code, 0.99))}
