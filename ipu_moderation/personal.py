"""Personal data in posts: found, so that exports and logs can mask it, and so that rules can tell when a threat comes with somebody's address.

E-mail addresses, handles and telephone numbers are found as the normaliser masks them; numbers of documents, accounts and cards by their check digits
(python-stdnum); street addresses and coordinates by their form, in the languages named in `_ADDRESSES`. A name alone is not looked for: who is a
private person, no machine can tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Literal

from ipu_moderation.normalise import EMAIL, HANDLE, PHONE, Late, phone_or_not

PersonalKind = Literal["email", "handle", "phone", "address", "coordinates", "bank_account", "card", "identity_number"]
#: What leads to somebody's door, telephone or identity; a handle is how people are spoken to.
TRACEABLE: frozenset[PersonalKind] = frozenset(("email", "phone", "address", "coordinates", "bank_account", "card", "identity_number"))


@dataclass(frozen=True, slots=True)
class PersonalData:
    """One piece of personal data; holds no text."""

    kind: PersonalKind
    start: int
    """First code point; `end` is just after the last."""
    end: int


#: Numbers of documents: how one is written, and the module of python-stdnum that checks it. Only kinds whose check digits or form leave little to chance.
_IDENTITY: tuple[tuple[str, str], ...] = (
    (r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale"),
    (r"[A-Z][AEIOUX][A-Z]{2}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d", "mx.curp"),
    (r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", "fr.nir"),
    (r"\d{8}-?[A-HJ-NP-TV-Z]", "es.dni"),
    (r"[XYZ]-?\d{7}-?[A-Z]", "es.nie"),
    (r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
    (r"[1-9]\d{10}", "tr.tckimlik"),
    (r"\d{17}[0-9X]", "cn.ric"),
    (r"[2-9]\d{3} \d{4} \d{4}", "in_.aadhaar"),
    (r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]", "in_.pan"),
    (r"\d{5}-\d{7}-\d", "pk.cnic"),
    (r"\d{2}(?:0[1-9]|1[0-2])\d{9}", "za.idnr"),
    (r"[1-9]\d{12}", "ro.cnp"),
    (r"\d{2}(?:[02468][1-9]|[13579][0-2])(?:0[1-9]|[12]\d|3[01])\d{5}", "pl.pesel"),
    (r"\d{3}-\d{2}-\d{4}", "us.ssn"),
)
_ENDS = r"(?![\w-])"
_STARTS = r"(?<![\w.,+-])"
_IBAN = Late(rf"{_STARTS}[A-Z]{{2}}\d{{2}}(?: ?[A-Z0-9]{{4}}){{2,7}}(?: ?[A-Z0-9]{{1,3}})?{_ENDS}")
_CARD = Late(rf"{_STARTS}(?:4\d{{3}}|5[1-5]\d\d|2[2-7]\d\d|3[47]\d\d|6(?:011|5\d\d))(?:[ -]?\d{{3,6}}){{2,4}}{_ENDS}")
_COORDINATES = Late(r"(?<![\w.])-?\d{1,2}\.\d{4,8}°?\s*[NS]?,\s*-?\d{1,3}\.\d{4,8}(?![\w.])")
_NUMBER = r"\d{1,4}(?: ?[a-zA-Z](?!\w))?(?:[/-]\d{1,4}[a-zA-Z]?)?"
_TITLE = r"[A-ZÀ-ÞĀ-Ž][\w'’.-]*"
#: Street addresses with a house number, by language.
_ADDRESSES = Late(
    "|".join(
        (
            rf"(?<!\w){_NUMBER},? (?:{_TITLE} ){{1,3}}(?i:street|st|road|rd|avenue|ave|lane|drive|close|court|crescent|terrace|boulevard|blvd|way|square|sq)\b",  # en
            rf"\b{_NUMBER},? (?:bis |ter )?(?i:rue|avenue|boulevard|place|chemin|impasse|allée|quai|route|cours)(?: \w+){{0,3}} {_TITLE}",  # fr
            rf"\b[A-ZÄÖÜ][\w-]+(?:straße|strasse|str\.|weg|gasse|platz|allee|ufer|damm) {_NUMBER}\b",  # de
            rf"\b[A-Z][\w-]+(?:straat|laan|gracht|plein|kade|weg) {_NUMBER}\b",  # nl
            rf"\b(?i:calle|avenida|avda\.|plaza|paseo|carrera|carretera)(?: \w+){{0,3}} {_TITLE},? (?:n\.?º ?|nº ?|# ?|número )?{_NUMBER}\b",  # es
            rf"\b(?i:rua|avenida|travessa|praça|alameda|largo)(?: \w+){{0,3}} {_TITLE},? (?:n\.?º ?|nº ?|número )?{_NUMBER}\b",  # pt
            rf"\b(?i:via|viale|piazza|corso|vicolo|largo)(?: \w+){{0,3}} {_TITLE},? (?:n\. ?|numero )?{_NUMBER}\b",  # it
            rf"\b(?i:ul\.|ulica|al\.|aleja) {_TITLE}(?: {_TITLE})? {_NUMBER}\b",  # pl
            rf"(?<!\w)(?i:ул\.|улица|улице|проспект|пр-т|переулок|пер\.) ?(?:\w+ ){{0,2}}\w+,? ?(?:д\.|дом)? ?{_NUMBER}(?!\w)",  # ru
            rf"\b\w+(?: \w+)? (?i:sokak|sokağı|sok\.|cadde|caddesi|cad\.|bulvarı|blv\.)[, ]+(?i:no|numara)[:. ]*{_NUMBER}\b",  # tr
            rf"\b(?i:jalan|jl\.?|gang|gg\.?) (?:\w+ ){{1,3}}(?i:no|nomor)[. ]*{_NUMBER}\b",  # id
            r"[\u4e00-\u9fff]{2,8}(?:路|街|道|巷|弄)\d{1,5}(?:号|號)(?:\d{1,4}(?:室|楼|樓))?",  # zh
            rf"(?<!\w)(?:شارع|زنقة|خیابان|کوچه) [^\W\d_]+(?: [^\W\d_]+)?،? (?:رقم|پلاک|عمارة) ?{_NUMBER}(?!\w)",  # ar, fa
        )
    ),
)


@cache
def _validator(module: str) -> Callable[[str], bool]:
    check: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid
    return check


@cache
def _identity_patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(f"{_STARTS}(?:{form}){_ENDS}"), module) for form, module in _IDENTITY)


def _candidates(text: str) -> Iterator[PersonalData]:
    """Everything that may be one, the surer kinds first."""
    if "@" in text:
        yield from (PersonalData("email", *m.span()) for m in EMAIL.finditer(text))
        yield from (PersonalData("handle", *m.span()) for m in HANDLE.finditer(text))
    if not any(map(str.isdigit, text)):
        return
    yield from (PersonalData("bank_account", *m.span()) for m in _IBAN.finditer(text) if _validator("iban")(m[0]))
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if 13 <= len(digits) <= 19 and _validator("luhn")(digits):
            yield PersonalData("card", *match.span())
    for pattern, module in _identity_patterns():
        yield from (PersonalData("identity_number", *m.span()) for m in pattern.finditer(text) if _validator(module)(m[0]))
    yield from (PersonalData("coordinates", *m.span()) for m in _COORDINATES.finditer(text))
    yield from (PersonalData("phone", *m.span()) for m in PHONE.finditer(text) if phone_or_not(m) == "PHONE")
    yield from (PersonalData("address", *m.span()) for m in _ADDRESSES.finditer(text))


def find_personal_data(text: str) -> tuple[PersonalData, ...]:
    """Personal data in a text, by place; pieces do not overlap.

    Args:
        text: as written.

    Raises:
        Nothing: every string can be searched.
    """
    out: list[PersonalData] = []
    for found in _candidates(text):
        if all(found.end <= o.start or o.end <= found.start for o in out):
            out.append(found)
    return tuple(sorted(out, key=lambda p: p.start))


#: As the normaliser writes them, so that a masked post reads to the classifier as the post itself did.
_WORDS: dict[PersonalKind, str] = {"email": "EMAIL", "handle": "@USER", "phone": "PHONE"}


def mask_personal_data(text: str, *, keep_length: bool = False) -> str:
    """The text with each piece replaced by a word for its kind: `EMAIL`, `@USER` and `PHONE` as the classifier reads them, `[address]` and so on for the rest.

    Args:
        text: as written.
        keep_length: put a dot for each character instead, so that spans into the text stay right.

    Raises:
        Nothing: every string can be masked.
    """
    out, done = [], 0
    for found in find_personal_data(text):
        out += [text[done : found.start], "•" * (found.end - found.start) if keep_length else _WORDS.get(found.kind, f"[{found.kind}]")]
        done = found.end
    return "".join([*out, text[done:]])
