"""Personal data: found by form and check digits, masked for exports, and a finding beside a threat."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipu_moderation.normalise import normalise
from ipu_moderation.personal import find_personal_data, mask_personal_data
from ipu_moderation.rules import load_packs
from ipu_moderation.rules.engine import DOXXING
from ipu_moderation.types import Language

#: text, kind and what is found. Numbers are the published examples of their formats; addresses are made up.
FOUND = [
    ("write to a.b@example.org please", "email", "a.b@example.org"),
    ("ask @nobody_here about it", "handle", "@nobody_here"),
    ("call +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
    ("he lives at 12 Acacia Avenue, go", "address", "12 Acacia Avenue"),
    ("sie wohnt Lindenstraße 14 im Hof", "address", "Lindenstraße 14"),
    ("il habite 12 rue de la Paix", "address", "12 rue de la Paix"),
    ("vive en calle Mayor 5, Madrid", "address", "calle Mayor 5"),
    ("mora na Rua das Flores 7", "address", "Rua das Flores 7"),
    ("abita in via Roma 10", "address", "via Roma 10"),
    ("mieszka ul. Długa 3", "address", "ul. Długa 3"),
    ("живёт ул. Ленина, д. 5", "address", "ул. Ленина, д. 5"),
    ("Atatürk Caddesi No:5", "address", "Atatürk Caddesi No:5"),
    ("rumahnya Jl. Merdeka Raya No. 12", "address", "Jl. Merdeka Raya No. 12"),
    ("地址：北京路12号", "address", "北京路12号"),
    ("يسكن شارع الحرية رقم 5", "address", "شارع الحرية رقم 5"),
    ("meet at 52.520008, 13.404954", "coordinates", "52.520008, 13.404954"),
    ("IBAN GB82 WEST 1234 5698 7654 32", "bank_account", "GB82 WEST 1234 5698 7654 32"),
    ("card 4111 1111 1111 1111", "card", "4111 1111 1111 1111"),
    ("CPF 529.982.247-25", "identity_number", "529.982.247-25"),
    ("DNI 12345678Z", "identity_number", "12345678Z"),
    ("TC 10000000146", "identity_number", "10000000146"),
]
#: Numbers and words that look like some kind and are none.
NOTHING = [
    "in 2024 there were 1,200,000 voters, 50 seats and a score of 3-2",
    "no way, 5 times he drove 12 hours to court",
    "IBAN GB82 WEST 1234 5698 7654 33",
    "card 4111 1111 1111 1112",
    "DNI 12345678A",
    "version 1.2.3.4 on 2026-01-02 at 10:30",
    "12 people in the street want a close vote",
    "Article 19 (3), page 144, resolution 128",
]


@pytest.mark.parametrize(("text", "kind", "piece"), FOUND)
def test_found(text: str, kind: str, piece: str) -> None:
    assert [(p.kind, text[p.start : p.end]) for p in find_personal_data(text)] == [(kind, piece)]


@pytest.mark.parametrize("text", NOTHING)
def test_not_found(text: str) -> None:
    assert find_personal_data(text) == ()


def test_masked_as_the_classifier_reads_it() -> None:
    text = "call +44 20 7946 0958 or a.b@example.org, @nobody_here, 12 Acacia Avenue"
    masked = mask_personal_data(text)
    assert masked == "call PHONE or EMAIL, @USER, [address]"
    assert normalise(masked).model_view == normalise(text.replace("12 Acacia Avenue", "[address]")).model_view
    dotted = mask_personal_data(text, keep_length=True)
    assert len(dotted) == len(text)
    assert dotted.startswith("call •")


@given(st.text(alphabet=st.characters() | st.sampled_from("0123456789 .-@+"), max_size=200))
def test_any_text_is_searched_and_nothing_is_left_to_mask_twice(text: str) -> None:
    found = find_personal_data(text)
    assert all(a.end <= b.start for a, b in zip(found, found[1:], strict=False))
    assert all(0 <= p.start < p.end <= len(text) for p in found)
    assert len(mask_personal_data(text, keep_length=True)) == len(text)


@pytest.mark.parametrize("bait", ["1", "A", "Aa ", "1 ", "via A ", "@", "路", "a.", "12-", "ул. а "])
def test_long_bait_takes_linear_time(bait: str) -> None:
    def seconds(n: int) -> float:
        text = (bait * (n // len(bait) + 1))[:n]
        began = time.process_time()
        find_personal_data(text)
        return time.process_time() - began

    short = max(seconds(20_000), 0.01)
    assert seconds(200_000) < short * 40


PACK = """
name: mini
language: en
version: "1"
reviewed_by: none
script: Latin
rules:
  - id: visit
    effect: raise
    category: violence
    about: a threat to visit
    note: {en: A threat., fr: Une menace.}
    pattern: we will visit you
    should_match: ["[[we will visit you]]", "now [[we will visit you]]"]
    should_not_match: [we visited you, will you visit]
"""


def test_personal_data_beside_a_threat_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "mini.yaml"
    path.write_text(PACK, encoding="utf-8")
    rules = load_packs([path])
    english = Language("en", 1.0)
    text = "We will visit you at 12 Acacia Avenue, @nobody_here"
    assert [(f.rule, text[f.start : f.end]) for f in rules.find(normalise(text), english)] == [("mini/visit", "We will visit you"), (DOXXING, "12 Acacia Avenue")]
    assert rules.find(normalise("Our office is at 12 Acacia Avenue"), english) == ()
    assert [f.rule for f in rules.find(normalise("We will visit you, @nobody_here"), english)] == ["mini/visit"]
