"""The normaliser: tables of what changes, tables of what must not, and properties that hold for every string."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipu_moderation.normalise import INVISIBLE_LETTERS, fold, model_view, normalise

# ------------------------------------------------------------------------------------------------------------------- the model view

CHANGED = [
    # white space, controls, invisible characters
    ("  two \t\n words ", "two words"),
    ("a\x00b\x7fc", "a b c"),
    ("lone \ud800 surrogate", "lone \ufffd surrogate"),
    ("ki\u200bll\u200d them", "kill them"),
    ("so\u00adft hy\u2060phen", "soft hyphen"),
    ("\u202eright\u202c \u2066left\u2069", "right left"),
    ("не\u200cна\u200dвижу", "ненавижу"),
    ("μι\u200dσώ", "μισώ"),
    ("tag\U000e0041\U000e007f", "tag"),
    ("x\ufe0f y", "x y"),
    ("\u3164word\u115f", "word"),
    # NFKC
    ("ＦＵＬＬ　ｗｉｄｔｈ", "FULL width"),
    ("𝓱𝓪𝓽𝓮 𝕙𝕒𝕥𝕖 ⓗⓐⓣⓔ", "hate hate hate"),
    ("🅷🅰🆃🅴", "HATE"),
    ("🇰🇮🇱🇱", "KILL"),
    ("e\u0301te\u0301", "été"),
    ("ﻣﺮﺣﺒﺎ", "مرحبا"),
    ("ｶﾞｷﾞ", "ガギ"),
    ("don´t", "don't"),
    # masks
    ("see https://example.org/a?b=c.", "see HTTPURL."),
    ("(www.example.org/x)", "(HTTPURL)"),
    ("bit.ly/2abc and example.com, ok", "HTTPURL and HTTPURL, ok"),
    ("看https://t.co/abc这个", "看HTTPURL这个"),
    ("@john_doe hi", "@USER hi"),
    ("@alice.bsky.social and @bob@mastodon.example.org", "@USER and @USER"),
    ("@हिन्दी नमस्ते", "@USER नमस्ते"),
    ("@مستخدم مرحبا", "@USER مرحبا"),
    ("mail foo.bar+x@example.co.uk!", "mail EMAIL!"),
    ("call +1 555 123 4567 now", "call PHONE now"),
    ("(555) 123-4567", "PHONE"),
    ("555-123-4567", "PHONE"),
    ("0612345678", "PHONE"),
    ("06 12 34 56 78", "PHONE"),
    ("+91 98765-43210", "PHONE"),
    ("07700 900123", "PHONE"),
    ("٠٥٠١٢٣٤٥٦٧", "PHONE"),
    # homoglyphs: to the majority script
    ("hеllо wоrld", "hello world"),
    ("cусlists", "cyclists"),
    ("Mоcква", "Москва"),
    ("сыp", "сыр"),
    ("Nτειβιντ", "Ντειβιντ"),
    ("gαmεs", "games"),
    ("ᴛʜɪɴᴋ", "think"),
    # letters written with signs
    ("k1ll h@te 1di0ts", "kill hate idiots"),
    ("sh!t $hit a$$hole", "shit shit asshole"),
    ("b00bs wh0re bl4ck", "boobs whore black"),
    ("h4t3r unc0nf0rt4bl3", "hater unconfortable"),
    ("Musl1m", "Muslim"),
    # letters parted
    ("k i l l them", "kill them"),
    ("k.i.l.l and k-i-l-l and k*i*l*l", "kill and kill and kill"),
    ("с п а с и б о", "спасибо"),
    ("ל ה ת נ צ ל", "להתנצל"),
    ("ح م ا ر ة", "حمارة"),
    ("ኢ.ት.ዮ.ጵ.ያ", "ኢትዮጵያ"),
    # repetition
    ("noooooo!!!!!!", "noo!!!"),
    ("لاااااا", "لاا"),
    ("哈哈哈哈哈", "哈哈"),
    ("😂😂😂😂😂", "😂😂😂"),
    ("❤️❤️❤️❤️❤️", "❤️❤️❤️"),
    ("👍🏽👍🏽👍🏽👍🏽", "👍🏽👍🏽👍🏽"),
    ("🇫🇷🇫🇷🇫🇷🇫🇷", "🇫🇷🇫🇷🇫🇷"),
]


@pytest.mark.parametrize(("raw", "expected"), CHANGED)
def test_model_view_changes(raw: str, expected: str) -> None:
    assert model_view(raw) == expected
    assert normalise(raw).model_view == expected


UNCHANGED = [
    "",
    "Plain English, with Case and “quotes” — and a dash.",
    "@USER HTTPURL EMAIL PHONE",
    "text@USER glued",
    # digits and signs that are no letters
    "covid19 b2b h1n1 4th 1st mp3 3d v2 5km 10am G20 AK47 H1B C4D",
    "iPhone4s iPhone14pro win10pro Mums4cyclists News1India news1today",
    "stop!now Wow!so what|ever hi@name n1",
    "0xdeadbeef 0xc0ffee1 FE0F u1f1e6",
    "US$ 5 R$10 A$AP $5 $AAPL 100$",
    "f*ck f**k",
    # the Arabic chat alphabet
    "7abibi 3arab ma3lesh fe2a ya3ni m3lsh 3shan sa7bi 5ales ba3d",
    # dates, years, counts, prices, scores, addresses
    "2019-2020 and 1939-1945, 12.05.2023, 2023-05-12, 12/05/2023",
    "1,000,000 people, 1 000 000 people, 1.000.000 Menschen",
    "$1,234,567.89 and 3-2, 10:30, 192.168.100.200",
    "2010 2011 2012 2013",
    "Mon Jan 01 00:00:00 +0000 2023",
    # initials and short runs
    "U.S.A. U.S.S.R. e.g. i.e. J. R. R. Tolkien",
    "a b c",
    "में हो या ना हो",
    "की चु त को",
    "나 는 너 를 사",
    "我 爱 你 们 吗",
    "yes.no and/or a.m./p.m.",
    # one script a word, or a word that cannot be folded
    "Москва и сосо, Αθήνα, αβγ",
    "Telegram-канал IT-компания SMSки iPhone’ы",
    "5μm and β-carotene",
    # joiners and selectors with a meaning
    "می‌خواهم",
    "ക്‍ษ",
    "क्‍ष र्‌य",
    "ශ්‍රී",
    "👨‍👩‍👧 ❤️‍🔥 ☺️ 🇫🇷🇩🇪 👍🏽",
    # marks and letters of several scripts
    "مَرْحَبًا أإآٱ مدرسة على علی کتاب",
    "שָׁלוֹם",
    "ሰላም ኣብ",
    "สวัสดีครับ",
    "こんにちは、世界。",
    "안녕하세요",
    "আমি বাংলায়",
    "İstanbul ışık KADIN",
    "Größe naïve façade",
    "coool 😂😂😂 ... !!! 1000000",
]


@pytest.mark.parametrize("raw", UNCHANGED)
def test_model_view_leaves_alone(raw: str) -> None:
    assert model_view(raw) == raw
    assert normalise(raw).model_view == raw


# ------------------------------------------------------------------------------------------------------------------- the match view

FOLDED = [
    ("HELLO World", "hello world"),
    ("Straße", "strasse"),
    ("İSTANBUL Işık KADIN", "istanbul işik kadin"),
    ("ΟΔΟΣ οδός", "οδοσ οδόσ"),
    ("ПРИВЕТ", "привет"),
    ("مَرْحَبًا", "مرحبا"),
    ("أهلاً إلى آل ٱلله", "اهلا الي ال الله"),
    ("مـــرحبا", "مرحبا"),
    ("می‌خواهم کتاب", "ميخواهم كتاب"),
    ("مدرسة", "مدرسة"),
    ("שָׁלוֹם בית־ספר", "שלום בית-ספר"),
    ("“Hi” ‘x’ «q» — … ʼ", '"hi" \'x\' "q" - ... \''),
    ("@John see https://a.example/c or a@b.org", "@user see httpurl or email"),
    ("murd3r ki11er a55hole", "murder killer asshole"),
    ("K.I.L.L. and K I L L", "kill. and kill"),
    ("coool schiffff", "cool schiff"),
    ("kill Schiff Bett 1000", "kill schiff bett 1000"),
    ("l'été À LA UNE", "l'été à la une"),
    ("❤️ 👨‍👩‍👧", "❤ 👨‍👩‍👧"),
    ("हिन्दी", "हिन्दी"),
    ("ไทย 日本 한국", "ไทย 日本 한국"),
]


@pytest.mark.parametrize(("raw", "expected"), FOLDED)
def test_match_view(raw: str, expected: str) -> None:
    assert normalise(raw).match_view == expected
    assert fold(raw) == expected
    assert fold(expected) == expected


SPANS = [
    ("They said KILL them", "kill", "KILL"),
    ("They said k.i.l.l them", "kill", "k.i.l.l"),
    ("They said k\u200bi\u200bll them", "kill", "k\u200bi\u200bll"),
    ("oh nooooo way", "noo", "nooooo"),
    ("oh noooo", "noo", "noooo"),
    ("ask @somebody about it", "@user", "@somebody"),
    ("see https://example.org/x, ok", "httpurl", "https://example.org/x"),
    ("in İstanbul now", "istanbul", "İstanbul"),
    ("die Straße da", "strasse", "Straße"),
    ("قال مَرْحَبًا لهم", "مرحبا", "مَرْحَبًا"),
    ("قال مرحبًا", "مرحبا", "مرحبًا"),
    ("אמר שָׁלוֹם להם", "שלום", "שָׁלוֹם"),
    ("l'e\u0301te\u0301 dure", "été", "e\u0301te\u0301"),
    ("ein 𝓱𝓪𝓽𝓮 wort", "hate", "𝓱𝓪𝓽𝓮"),
    ("x ❤️‍🔥 y", "❤‍🔥", "❤️‍🔥"),
    ("x 👍🏽 y", "👍", "👍🏽"),
    ("go 🇫🇷 go", "🇫🇷", "🇫🇷"),
    ("a hеllо b", "hello", "hеllо"),
    ("a  \n k1ll\t b", "kill", "k1ll"),
    ("من می‌خواهم", "ميخواهم", "می‌خواهم"),
    ("वह हिन्दी है", "हिन्दी", "हिन्दी"),
    ("ｶﾞｷﾞ だ", "ガギ", "ｶﾞｷﾞ"),
]


@pytest.mark.parametrize(("raw", "found", "source"), SPANS)
def test_span_leads_back_to_the_raw_text(raw: str, found: str, source: str) -> None:
    text = normalise(raw)
    at = text.match_view.index(found)
    start, end = text.span(at, at + len(found))
    assert raw[start:end] == source


# ----------------------------------------------------------------------------------------------------------------------- properties

NASTY = st.text(
    alphabet=list("abikKlS1045379@$!|.-*_ '’:/+(){}<>\t\x00\x1f")
    + list("еоαιᴋıİßſ´¨…½ⓚ🅺ﷺاـًکलिक्ি한ㅋㅏｶﾞ漢ไำ֑אָ")
    + ["\u200b", "\u200c", "\u200d", "\ufe0f", "\u180b", "ᠠ", "\u0301", "\u0327", "\u0345", "\u09be", "\u1160", "\u20e3", "\ud800", "\udfff", "\U000e0041"]
    + ["😂", "👨", "🏽", "🇫", "🇷", "❤", "\u0307", "\u2028", "\x85", "\xa0"],
    max_size=40,
)
PIECES = st.lists(
    st.sampled_from(
        [
            "http://",
            "x.com",
            "www.",
            "@USER",
            "@user",
            "USER",
            "HTTPURL",
            "EMAIL",
            "PHONE",
            "k.i.l.l",
            " ",
            ".",
            "@",
            "a",
            "0",
            "555",
            "+",
            "-",
            "h@te",
            "е",
            "ا",
        ]
    ),
    max_size=14,
).map("".join)
ANY = st.one_of(st.text(max_size=60), NASTY, PIECES)


@settings(max_examples=600, deadline=None)
@given(ANY)
def test_properties_of_every_string(raw: str) -> None:
    text = normalise(raw)
    assert text.raw == raw
    assert text.model_view == model_view(raw)
    assert model_view(text.model_view) == text.model_view
    assert fold(text.match_view) == text.match_view
    assert len(text.starts) == len(text.ends) == len(text.match_view)
    assert all(0 <= start < end <= len(raw) for start, end in zip(text.starts, text.ends, strict=True))
    assert list(text.starts) == sorted(text.starts)
    assert list(text.ends) == sorted(text.ends)
    text.model_view.encode()
    assert text.model_view == text.model_view.strip()


@settings(max_examples=200, deadline=None)
@given(ANY)
def test_masks_survive(raw: str) -> None:
    for mask in ("@USER", "HTTPURL", "EMAIL", "PHONE"):
        assert f" {mask} " in f" {model_view(f'{mask} {raw}')} "


def test_no_letter_of_any_script_is_lost() -> None:
    invisible = re.compile(f"[{INVISIBLE_LETTERS}]")
    lost = []
    for point in range(0x110000):
        letter = chr(point)
        if unicodedata.category(letter)[0] not in "LM" or invisible.match(letter):
            continue
        expected = " ".join(unicodedata.normalize("NFKC", letter).split())
        inside = " ".join(unicodedata.normalize("NFKC", f"ا {letter} ا").split())
        if model_view(letter) != expected or model_view(f"ا {letter} ا") != inside:
            lost.append(f"U+{point:04X}")
    assert lost == []


@pytest.mark.parametrize("letter", ["ا", "أ", "ّ", "ָ", "ि", "्", "ሀ", "ั", "ً"])
def test_letters_survive_between_letters_of_their_script(letter: str) -> None:
    for left, right in (("ب", "ت"), ("ב", "ת"), ("क", "ख"), ("ለ", "መ"), ("ก", "ข")):
        assert letter in model_view(left + letter + right)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a.a.a.",
        "a ",
        "1",
        "1 ",
        "@",
        "a@",
        "a-",
        "http://",
        "!",
        "x!",
        "0a",
        "$a",
        "😂",
        "\u200d",
        "\u0301",
        "\u0301\u0327",
        "ا\u064b",
        "ﷺ",
        "漢",
        "аe",
        "1(",
    ],
)
def test_time_is_linear(piece: str) -> None:
    raw = (piece * 1_000_000)[:1_000_000]
    began = time.process_time()
    model_view(raw)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("piece", ["a", "a.a.a.", "ا", "😂"])
def test_time_of_all_views_is_linear(piece: str) -> None:
    raw = (piece * 1_000_000)[:1_000_000]
    began = time.process_time()
    normalise(raw)
    assert time.process_time() - began < 5


def test_repr_holds_no_text_of_the_user() -> None:
    assert "secret" not in repr(normalise("a secret"))
