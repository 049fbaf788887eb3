"""From a raw string to the two views that the rest of the package reads.

The *model view* is natural text: NFKC, one kind of space, without invisible characters, with links, handles, e-mail addresses and telephone
numbers masked (HTTPURL, @USER, EMAIL, PHONE), and with the commonest evasions undone: look-alike letters of another script, signs for letters,
letters parted by a sign, letters repeated four times or more (which become two). Training and serving use this one function, so a change of its
results is a new `VERSION`. It is idempotent.

The *match view* is what rules see, and every character of it leads back to the raw text. What the author of a pack has to know:

- It is the model view in lower case (`casefold`: "ß" is "ss", the final sigma a sigma). The dotless i and the dotted capital I are "i". Masks are
  in lower case too. Accents stay.
- Arabic: harakat and tatweel are gone; alef with hamza, madda or wasla is a bare alef, alef maqsura and the Persian yeh are yeh, the Persian kaf is
  kaf; teh marbuta stays. Hebrew: points are gone, maqaf is a hyphen.
- ZWNJ is gone and nothing stands in its place: a Persian word written with it reads as when written together. Space between the parts stays.
- Quotation marks are " or ', dashes are -, an ellipsis is three dots. Variation selectors are gone.
- A letter that stands three times or more stands twice; doubled letters stay. Between letters, 11 is ll, 55 is ss, and 3 between consonants is e.
- `fold` does all of this to a literal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property

from ipu_moderation.types import Text

#: A model refuses to run with a normaliser of another version.
VERSION = "1"

#: Passes after which a text is taken as it stands; ordinary texts need one or two.
_MAX_PASSES = 12


def _ranges(points: Iterable[int]) -> str:
    """The inside of a regular expression's character class for code points in rising order."""
    parts: list[list[int]] = []
    for point in points:
        if parts and parts[-1][1] == point - 1:
            parts[-1][1] = point
        else:
            parts.append([point, point])
    return "".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in parts)


@cache
def _marks(plane: int) -> str:
    """The marks of a plane, as the inside of a character class. Planes 0 and 1 hold every mark but the variation selectors supplement; they are kept apart
    since `re` is fast on classes of plane 0 alone."""
    return _ranges(i for i in range(plane << 16, plane + 1 << 16) if unicodedata.category(chr(i))[0] == "M")


class Late:
    """A regular expression that is compiled when a text first needs it: large classes take longer to compile than everything else that an import does.

    In its source, `{M}` stands for the marks of plane 0 and `{M1}` for those of plane 1.
    """

    def __init__(self, source: str, flags: int = 0) -> None:
        self._source, self._flags = source, flags

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        source = self._source
        if "{M" in source:
            source = source.replace("{M}", _marks(0)).replace("{M1}", _marks(1))
        return re.compile(source, self._flags)

    def search(self, text: str) -> re.Match[str] | None:
        """As of a pattern."""
        return self._compiled.search(text)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """As of a pattern."""
        return self._compiled.finditer(text)

    def sub(self, new: str | Callable[[re.Match[str]], str], text: str) -> str:
        """As of a pattern."""
        return self._compiled.sub(new, text)


_LATIN = "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_GREEK = "\u0370-\u0373\u0376-\u037d\u037f\u0386-\u03ff\u1f00-\u1fbc\u1fc2-\u1fcc\u1fd0-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ffc"
_CYRILLIC = "\u0400-\u0481\u048a-\u052f\u1c80-\u1c88"
_ARMENIAN = "\u0531-\u0587"
_CHEROKEE = "\u13a0-\u13fd\uab70-\uabbf"
_SMALL_CAPITALS = "\u0262\u026a\u0274\u0280\u028f\u0299\u029c\u029f\u1d00-\u1d22\ua730\ua731"
# Scripts in which words are not parted by spaces, or whose letters stand for syllables.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u2e80-\u2fff\u3005-\u30ff\u3100-\u31ff\u3400-\u9fff\ua000-\ua4cf\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U0001b000-\U0001b2ff\U00020000-\U0003ffff"
)
# Scripts in which ZWJ and ZWNJ change how letters join.
_JOINING = (
    "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1900-\u1c4f\ua800-\uaaff\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00010a5f\U00010d00-\U00010d3f\U00011000-\U0001137f\U00011400-\U000119ff\U0001e900-\U0001e95f"
)
_VIRAMA = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca"
# Pictographs that NFKC leaves alone: only these may carry a variation selector.
_PICTOGRAPH = "\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2934\u2935\u2b00-\u2bff\u3030\u303d\U0001f000-\U0001f0ff\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff"

#: Letters and marks that are nothing to see and are removed wherever they stand: Hangul fillers, the combining grapheme joiner, the two
#: inherent vowels of Khmer, variation selectors (the first sixteen and the Mongolian ones stay after what they vary).
INVISIBLE_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"

_INVISIBLE = Late(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
    "|(?<![\u1820-\u18aa])[\u180b-\u180f]"
    f"|(?<![{_PICTOGRAPH}])[\ufe0e\ufe0f]"
    # Joiners stay between letters of joining scripts, at the end of a half form (Malayalam chillus), and between pictographs.
    f"|(?<![{_JOINING}])(?<![{_PICTOGRAPH}])(?<![{_PICTOGRAPH}]\ufe0f)\u200d"
    f"|(?<=[{_JOINING}])(?<![{_VIRAMA}])\u200d(?![{_JOINING}])"
    f"|(?<=[{_PICTOGRAPH}\ufe0f])\u200d(?![{_PICTOGRAPH}])"
    f"|\u200c(?![{_JOINING}])|(?<![{_JOINING}])\u200c"
)

_MAYBE_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

# Controls, and what NFKC would turn into a space and a mark, or leave although it is a letter in disguise. White space is not among them.
_REPLACED = {
    **dict.fromkeys(map(chr, (*range(9), *range(0x0E, 0x1C), *range(0x7F, 0x85), *range(0x86, 0xA0), 0x2800)), " "),
    **dict.fromkeys("\u00b4\u1fbd\u1fbf\u1ffd\u1ffe", "'"),
    **{chr(0x1F150 + i): chr(65 + i) for i in range(26)},
    **{chr(0x1F170 + i): chr(65 + i) for i in range(26)},
}
_REPLACEABLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00b4\u1fbd\u1fbf\u1ffd\u1ffe\u2800\ud800-\udfff\U0001f150-\U0001f169\U0001f170-\U0001f189]")


def _replaced(match: re.Match[str]) -> str:
    return _REPLACED.get(match[0], "\ufffd")


# NFKC sorts runs of marks in quadratic time. Source: UAX 15, Stream-Safe Text Format, at most 30 non-starters.
_MAYBE_LONG_MARKS = re.compile(r"[^\w\x00-\x7f]{31}")
_LONG_MARKS = Late("((?:[{M}]|[{M1}]){30})(?:[{M}]|[{M1}])+")
# NFKC writes these two as whole phrases of 18 and 8 characters; as every letter, they are written at most twice when repeated.
_PHRASES = re.compile("([\ufdfa\ufdfb])\\1{3,}")

_FLAGS = (
    "ACADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCM"
    "CNCOCPCRCUCVCWCXCYCZDEDGDJDKDMDODZEAECEEEGEHERESETEUFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGT"
    "GUGWGYHKHMHNHRHTHUICIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMC"
    "MDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPY"
    "QARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTATCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUN"
    "USUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW"
)
_FLAG_CODES = frozenset(_FLAGS[i : i + 2] for i in range(0, len(_FLAGS), 2))
_INDICATORS = re.compile("[\U0001f1e6-\U0001f1ff]+")


def _indicators(match: re.Match[str]) -> str:
    """Regional indicators that make no flags are letters in disguise."""
    letters = "".join(chr(ord(c) - 0x1F1E6 + 65) for c in match[0])
    pairs = [letters[i : i + 2] for i in range(0, len(letters) - 1, 2)]
    return match[0] if pairs and all(pair in _FLAG_CODES for pair in pairs) else letters


# ---------------------------------------------------------------------------------------------------------------------------- masks

_MASK_TEXTS = frozenset({"@USER", "HTTPURL", "EMAIL", "PHONE"})
_MASK_WITHIN = re.compile(r"@USER|@user(?![a-z])|HTTPURL|EMAIL|PHONE")
_TLD = "com|org|net|edu|gov|info|biz|int|mil|online|site|xyz|news|app|shop|blog|co\\.uk|com\\.br"
_LINK = re.compile(
    r"(?:(?<![a-z])(?:https?|hxxps?|ftp)://|(?<![\w.@-])www\.)[!#-;=?-~]*[0-9A-Za-z/_=&#~%+-]"
    rf"|(?<![\w.@-])(?:[a-z0-9-]+\.)+(?:(?:{_TLD})(?![\w-])(?:[/?#:][!#-;=?-~]*[0-9A-Za-z/_=&#~%+-])?|[a-z]{{2}}/[!#-;=?-~]*[0-9A-Za-z/_=&#~%+-])",
    re.IGNORECASE | re.ASCII,
)
EMAIL = re.compile(r"(?<![\w.%+-])[A-Za-z0-9_.%+-]*[A-Za-z0-9_]@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}(?![\w-])", re.ASCII)
# Names in scripts without word spaces are left: nobody can tell where they end.
HANDLE = Late(
    rf"(?<![\w@{{M}}])@(?:[^\W{_UNSPACED}]|[{{M}}](?<![{_UNSPACED}]))+(?:\.bsky\.social\b|@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{{2,24}}\b)?"
)
PHONE = re.compile(r"(?<![\w.,:/+-])(?:\+ ?)?\(?\d+\)?(?:[ .-]{1,2}\(?\d+\)?|\(\d+\)|(?<=\))\d+)*(?!\w)")
_DIGITS = re.compile(r"\d+")
_SEVEN_DIGITS = re.compile(r"\d(?:\W{0,3}\d){6}")
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")


def phone_or_not(match: re.Match[str]) -> str:
    """`PHONE` for what has the form of a telephone number, and not that of a date, range of years, count, score or address."""
    found = match[0]
    groups = _DIGITS.findall(found)
    digits = sum(map(len, groups))
    if not 7 <= digits <= 15:
        return found
    first = groups[0]
    if found[0] == "+":
        return found if first[0] == "0" else "PHONE"  # no country code begins with 0, but "+0000" is a time zone
    if len(groups) == 1:
        zero = unicodedata.digit(first[0]) == 0
        return "PHONE" if (10 <= digits <= 13 or (zero and digits == 9)) and len(set(first)) > 2 and not first.endswith("000") else found
    if any(len(g) > 8 for g in groups):
        return found
    separators = set(_DIGITS.sub("", found))
    if all(_YEAR.fullmatch(g) for g in groups):
        return found
    if len(groups) == 3 and max(map(len, groups)) == 4 and min(map(len, groups)) <= 2 and "(" not in separators:
        return found  # a date
    if len(groups[0]) <= 3 and all(len(g) == 3 for g in groups[1:]) and separators <= {" "} | {"."} and len(separators) == 1 and len(first) < 3:
        return found  # a count
    if separators == {"."} and len(groups) == 4 and all(len(g) <= 3 for g in groups):
        return found  # an internet address
    if "(" in separators or unicodedata.digit(first[0]) == 0:
        return "PHONE"
    if max(map(len, groups)) <= 2 or min(map(len, groups[1:])) < 2 or _YEAR.fullmatch(first):
        return found
    if len(groups) == 2:
        shape = len(first), len(groups[1])
        return "PHONE" if shape in ((5, 5), (5, 6)) or (separators == {"-"} and shape in ((3, 4), (4, 4))) else found
    return "PHONE" if all(len(g) >= 3 for g in groups[1:]) and max(map(len, groups)) >= 4 else found


# ----------------------------------------------------------------------------------------------------------------------- homoglyphs

_CYRILLIC_LATIN = dict(zip("аеорсухіјѕһԁԛԝѵкАВЕКМНОРСТУХІЈЅԚԜҮ", "aeopcyxijshdqwvkABEKMHOPCTYXIJSQWY", strict=True))
_GREEK_LATIN = dict(zip("ονικρτυχαηωγεϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹͿ", "ovikptuxanwyecjABEZHIKMNOPTYXCJ", strict=True))
_OTHER_LATIN = dict(
    zip(
        "օսհոցյզՕՍՏԼᎪᎠᎡᎢᎬᎫᎳᎷᎻᏀᏃᏚᏞᏟᏢᏦᏴᏙᏯᎩᏒᎾ",
        "ouhngjqOUSLADRTEJWMHGZSLCPKBVGYRO",
        strict=True,
    )
)
_SMALL_LATIN = dict(zip("ᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢꜰ", "abcdeghijklmnoprstuvwyzf", strict=True))


def _with_accents(table: dict[str, str], first: int, last: int) -> dict[str, str]:
    """The table and its accented letters, where these are one character on both sides."""
    out = dict(table)
    for point in range(first, last):
        letter = unicodedata.normalize("NFD", chr(point))
        base, marks = letter[0], letter[1:]
        if marks and base in table:
            composed = unicodedata.normalize("NFC", table[base] + marks)
            if len(composed) == 1:
                out[chr(point)] = composed
    return out


_CYRILLIC_LATIN = _with_accents(_CYRILLIC_LATIN, 0x400, 0x530)
_GREEK_LATIN = _with_accents(_GREEK_LATIN, 0x370, 0x400)
_TO_LATIN = {**_CYRILLIC_LATIN, **_GREEK_LATIN, **_OTHER_LATIN, **_SMALL_LATIN}
_TO_CYRILLIC = {latin: foreign for foreign, latin in _CYRILLIC_LATIN.items()}
_TO_GREEK = {latin: foreign for foreign, latin in _GREEK_LATIN.items() if foreign not in "ωηγε"}
_TO_LATIN_TABLE = {ord(foreign): latin for foreign, latin in _TO_LATIN.items()}

_FOREIGN = _GREEK + _CYRILLIC + _ARMENIAN + _CHEROKEE + _SMALL_CAPITALS
_EUROPEAN_MARKS = "\u0300-\u036f\u0483-\u0487"
_SIGN = r"\d@$!|*" + _EUROPEAN_MARKS
_MIXED = re.compile(f"[{_LATIN}][{_SIGN}]*[{_FOREIGN}]|[{_FOREIGN}][{_SIGN}]*[{_LATIN}]")
_WORD = re.compile(f"(?:[^\\W_]|[{_EUROPEAN_MARKS}@$!|*])+")
_SMALL_WORD = re.compile(f"[{_SMALL_CAPITALS}]{{3}}")
_IN_LATIN = re.compile(f"[{_LATIN}]")
_IN_GREEK = re.compile(f"[{_GREEK}]")
_IN_CYRILLIC = re.compile(f"[{_CYRILLIC}]")
_IN_FOREIGN = re.compile(f"[{_FOREIGN}]")
_IN_SMALL = re.compile(f"[{_SMALL_CAPITALS}]")


def _has_mixed(text: str) -> bool:
    return bool(not text.isascii() and _IN_FOREIGN.search(text) and ((_IN_LATIN.search(text) and _MIXED.search(text)) or _SMALL_WORD.search(text)))


def _homoglyphs(match: re.Match[str]) -> str:
    """A word of mixed scripts in its majority script, when every stranger has a double there."""
    word = match[0]
    if word.isascii() or _MASK_WITHIN.search(word):
        return word
    latin = _IN_LATIN.findall(word)
    foreign = _IN_FOREIGN.findall(word)
    if not foreign:
        return word
    if not latin:
        small = _IN_SMALL.findall(word)
        return word.translate(_TO_LATIN_TABLE) if len(small) == len(foreign) >= 3 else word
    if len(latin) >= len(foreign):
        return word.translate(_TO_LATIN_TABLE) if all(c in _TO_LATIN for c in foreign) else word
    for inside, table in ((_IN_CYRILLIC, _TO_CYRILLIC), (_IN_GREEK, _TO_GREEK)):
        if len(inside.findall(word)) == len(foreign) and all(c in table for c in latin):
            return "".join(table.get(c, c) for c in word)
    return word


# ------------------------------------------------------------------------------------------------------------------------- evasions

_LEET = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i", "|": "i"}
_TOKEN = f"{_LATIN}\\d@$!|"
_LEET_WORD = re.compile(f"(?<![{_TOKEN}{_EUROPEAN_MARKS}*_])[{_TOKEN}]*?[{_LATIN}][014@$!|]{{1,2}}(?=[{_LATIN}])[{_TOKEN}]*(?![*_{_EUROPEAN_MARKS}])")
_HAS_LEET = re.compile(f"[{_LATIN}][014@$!|]{{1,2}}[{_LATIN}]")
_LEADING_DOLLAR = re.compile(r"(?<![\w$@.,])\$(?=[a-z]{3,}(?![\w$]))")
_VOWELS = frozenset("aeiouyAEIOUY")
_HEX = re.compile(r"(?:0?x|u\+?)?[0-9a-f]{4,}", re.IGNORECASE)
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}", re.IGNORECASE)
_SIGN_RUN = re.compile(r"[\d@$!|]+")


def _is_vowel(letter: str) -> bool:
    return bool(letter) and unicodedata.normalize("NFD", letter)[0] in _VOWELS


def _leet(match: re.Match[str]) -> str:
    """A word with digits or signs for letters, spelt out; anything doubtful stays as it is.

    0 1 4 @ $ ! | between letters are folded; 3 5 7 only in their company, since the Arabic chat alphabet writes with 2 3 5 6 7 8 9.
    """
    word = match[0]
    if _MASK_WITHIN.search(word):
        return word
    body = word.rstrip("!|@")
    runs = list(_SIGN_RUN.finditer(body))
    signs = sum(len(r[0]) for r in runs)
    letters = len(body) - signs
    if letters < 2 or signs >= letters or (_HEX.fullmatch(body) and (signs > 1 or body.isupper())):
        return word
    out = list(body)
    for run in runs:
        (i, j), sign = run.span(), run[0][0]
        before, after = body[i - 1 : i], body[j : j + 1]
        inside = bool(before and after)
        vowel_before, vowel_after = _is_vowel(before), _is_vowel(after)
        alone = len(runs) == 1 and inside
        if (
            sign not in _LEET
            or run[0] not in (sign, "00", "$$")
            or (not before and sign not in "1$")  # "4chan", "3arab"
            or (not after and len(run[0]) > 1)
            or (sign in "01@" and vowel_before and vowel_after)
            or (sign in "4@" and vowel_before)  # "iPhone4s", "hi@name"
            or (sign in "14" and inside and before.islower() and after.isupper())  # "News1India"
            or (sign in "!|" and (i > 2 or any(map(_is_vowel, body[:i]))))  # more often "stop!now" than a letter
            or (sign == "4" and alone and ((vowel_after and after not in "yY") or i > 2))  # more often "for": "Mums4cyclists"
            or (sign == "1" and alone and (letters > 8 or (letters > 3 and (vowel_after or body[j:] == "st"))))  # "news1today"
            or (sign == "@" and alone and (i > 5 or letters > 9))  # a handle without a space before it
            or (alone and sign in "014$" and letters < 4 and body.isupper())  # "H1B", "C4D"
        ):
            return word
        out[i:j] = _LEET[sign] * len(run[0])
    folded = "".join(out)
    return folded + word[len(body) :] if any(map(_is_vowel, folded)) and not _CONSONANTS.search(folded) else word


_SYLLABIC = "\u0900-\u0dff\U00011000-\U000119ff"
_SPELT_LETTER = f"[^\\W\\d_{_UNSPACED}][{{M}}]*"
# In scripts of India a letter with its vowel sign is often a word: there, spaces do not count as a separator.
_SPELT_SPACED = f"[^\\W\\d_{_UNSPACED}{_SYLLABIC}][{_EUROPEAN_MARKS}]*"
_SPELT = Late(
    f"(?<![\\w{{M}}])(?<!\\w['’.-])(?:{_SPELT_SPACED}(?P<space> )(?:{_SPELT_SPACED} ){{2,}}{_SPELT_SPACED}"
    f"|{_SPELT_LETTER}(?P<sign>[.*_-])(?:{_SPELT_LETTER}(?P=sign)){{2,}}{_SPELT_LETTER})(?![\\w'’{{M}}])(?P<stop>\\.?)"
)
_HAS_SPELT = re.compile(r"(?<!\w)[^\W\d_](?:\W+|_)[^\W\d_](?:\W+|_)[^\W\d_](?:\W|_)")


def _spelt(match: re.Match[str]) -> str:
    """Letters parted by one separator, joined; initials such as those of a state with four words stay."""
    found = match[0]
    separator, stop = match["space"] or match["sign"], match["stop"]
    if separator == "." and stop and found.isupper():
        return found
    return found[: len(found) - len(stop)].replace(separator, "") + stop


_REPEATED = re.compile(r"(.)\1{3,}", re.DOTALL)
# A letter or pictograph with one mark, selector or skin tone, or a flag.
_REPEATED_PAIR = re.compile(r"(.[^\x00-\x7f])\1{3,}", re.DOTALL)


def _repeated(match: re.Match[str]) -> str:
    """Letters and marks twice, signs and pictographs three times; digits and space as they are."""
    one: str = match[1]
    category = unicodedata.category(one)
    return one * 2 if category[0] in "LM" else match[0] if category[0] in "NZC" else one * 3


def _repeated_pair(match: re.Match[str]) -> str:
    pair: str = match[1]
    first, second = map(unicodedata.category, pair)
    if second[0] == "M" and first[0] in "LM":
        return pair * 2
    return pair * 3 if first == "So" and (second[0] == "M" or "\U0001f3fb" <= pair[1] <= "\U0001f3ff" or _INDICATORS.fullmatch(pair)) else match[0]


# ------------------------------------------------------------------------------------------------------------------------- the view

Replacement = Callable[[re.Match[str]], str]


def _constant(text: str) -> Replacement:
    return lambda match: text


#: A gate, a pattern and its replacement: where the gate says no, the pattern is not tried.
Step = tuple[Callable[[str], object], re.Pattern[str] | Late, Replacement]

_STEPS: tuple[Step, ...] = (
    (_INDICATORS.search, _INDICATORS, _indicators),
    (re.compile("@").search, EMAIL, _constant("EMAIL")),
    (re.compile(r"\.[a-zA-Z]|://").search, _LINK, _constant("HTTPURL")),
    (re.compile("@").search, HANDLE, _constant("@USER")),
    (_SEVEN_DIGITS.search, PHONE, phone_or_not),
    (_has_mixed, _WORD, _homoglyphs),
    (_HAS_LEET.search, _LEET_WORD, _leet),
    (re.compile(r"\$[a-z]").search, _LEADING_DOLLAR, _constant("s")),
    (_HAS_SPELT.search, _SPELT, _spelt),
    (re.compile(r"(.)\1\1\1", re.DOTALL).search, _REPEATED, _repeated),
    (re.compile(r"(.[^\x00-\x7f])\1\1\1", re.DOTALL).search, _REPEATED_PAIR, _repeated_pair),
)

_PLAIN_ASCII = re.compile(
    r"[\x00-\x1f\x7f@$|*_/\d]|  |\.\w|!\w|(?:(?<!\w)\w\W){3}|(.)\1\1\1|^ | $",
    re.DOTALL,
)


def _clean(text: str) -> str:
    """NFKC, one kind of space, nothing invisible."""
    text = _REPLACEABLE.sub(_replaced, text)
    if not text.isascii():
        if _MAYBE_INVISIBLE.search(text):
            text = _INVISIBLE.sub("", text)
        if _MAYBE_LONG_MARKS.search(text):
            text = _LONG_MARKS.sub(r"\1", text)
        text = unicodedata.normalize("NFKC", _PHRASES.sub(r"\1\1", text))
    return " ".join(text.split())


def model_view(raw: str) -> str:
    """What the classifier reads; the same as `normalise(raw).model_view`, without the cost of the match view.

    Raises:
        Nothing: every string has a model view.
    """
    if raw.isascii() and not _PLAIN_ASCII.search(raw):
        return raw
    text = raw
    for _ in range(_MAX_PASSES):
        before = text
        text = _clean(text)
        for gate, pattern, replacement in _STEPS:
            if gate(text):
                text = pattern.sub(replacement, text)
        if text == before:
            break
    return text


# ------------------------------------------------------------------------------------------------------------------- the match view

_FOLDED = {
    **dict.fromkeys("أإآٱ", "ا"),
    **dict.fromkeys("ىی", "ي"),
    "ک": "ك",
    "ı": "i",
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u05f3`", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\u2039\u203a\u05f4", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u05be", "-"),
}
_FOLDABLE = re.compile("[" + "".join(_FOLDED) + "]")
_HARAKAT = "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
_NIQQUD = "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
_DROPPED = re.compile(f"[{_HARAKAT}{_NIQQUD}\u200c\ufe0e\ufe0f]+|(?<=i)\u0307+|(?<![{_PICTOGRAPH}\ufe0f])\u200d")

_BOLD = re.compile("3(?<=[bcdfghjklmnpqrstvwxz]3)(?=[bcdfghjklmnpqrstvwxz])|11(?<=[a-z]11)(?=[a-z])|55(?<=[a-z]55)(?=[a-z])")
_BOLD_LETTERS = {"3": "e", "11": "ll", "55": "ss"}
_TRIPLED = re.compile(r"([^\W\d_])\1{2,}")

_FOLD_STEPS: tuple[Step, ...] = (
    (_FOLDABLE.search, _FOLDABLE, lambda match: _FOLDED[match[0]]),
    (re.compile(f"[{_HARAKAT}{_NIQQUD}\u0307\u200c\u200d\ufe0e\ufe0f]").search, _DROPPED, _constant("")),
    (re.compile("3|11|55").search, _BOLD, lambda match: _BOLD_LETTERS[match[0]]),
    (re.compile(r"(.)\1\1", re.DOTALL).search, _TRIPLED, lambda match: match[1] * 2),
)

# What a letter or pictograph drags along: marks, variation selectors, skin tones, tags, and what is joined by ZWJ; flags are pairs.
_EXTENDING = "(?:[{M}\u200d]|[{M1}\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\U000e0100-\U000e01ef])"
_HAS_CLUSTER = Late("[{M}\u200d]|[\U00010000-\U000fffff]")
_CLUSTER = Late(f".?{_EXTENDING}+(?:(?<=\u200d)[{_PICTOGRAPH}]{_EXTENDING}*)*|[\U0001f1e6-\U0001f1ff]{{2}}", re.DOTALL)

# Pieces that NFKC treats apart: a letter with its marks, and Hangul syllables spelt in (half-width, compatibility) letters.
_PIECE = Late(".(?:[{M}\u1160-\u11ff\u314f-\u3163\ud7b0-\ud7ff\uff9e\uff9f\uffa0-\uffdc]|[{M1}])*", re.DOTALL)
_SPACES = re.compile(r"\s\s+|[^\S ]")


class _Tracked:
    """A text under change, and for each of its characters the half-open range of the raw text that it comes from."""

    __slots__ = ("ends", "starts", "text")

    def __init__(self, raw: str) -> None:
        self.text = raw
        self.starts: Sequence[int] = range(len(raw))
        self.ends: Sequence[int] = range(1, len(raw) + 1)

    def edit(self, pattern: re.Pattern[str] | Late, replacement: Replacement) -> None:
        """As `pattern.sub(replacement, text)`."""
        text = self.text
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        shifted = False
        for match in pattern.finditer(text):
            old, new = match[0], replacement(match)
            if new == old:
                continue
            i, j = match.span()
            pieces += (text[done:i], new)
            if shifted or len(old) != len(new) or new in _MASK_TEXTS:
                from_ = 0 if not shifted else done
                starts += self.starts[from_:i]
                ends += self.ends[from_:i]
                shifted = True
                self._align(old, new, i, j, starts, ends)
            done = j
        if done:
            pieces.append(text[done:])
            self.text = "".join(pieces)
        if shifted:
            starts += self.starts[done:]
            ends += self.ends[done:]
            self.starts, self.ends = starts, ends

    def _align(self, old: str, new: str, i: int, j: int, starts: list[int], ends: list[int]) -> None:
        """Sources of `new`, which stands for `text[i:j]`: one to one, by what was left out, or the whole for each."""
        if not new:
            return
        if new not in _MASK_TEXTS:
            if len(old) == len(new):
                starts += self.starts[i:j]
                ends += self.ends[i:j]
                return
            kept: list[int] = []
            at = -1
            for c in new:
                at = old.find(c, at + 1)
                if at < 0:
                    break
                kept.append(i + at)
            if at >= 0:
                starts += [self.starts[k] for k in kept]
                ends += [self.ends[k] for k in kept[:-1]]
                ends.append(self.ends[j - 1])
                return
        starts += [self.starts[i]] * len(new)
        ends += [self.ends[j - 1]] * len(new)

    def rewrite(self, pieces: Iterable[tuple[int, int, str]]) -> None:
        """The text anew, from `(start, end, new)` pieces that cover it."""
        texts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        for i, j, new in pieces:
            texts.append(new)
            if len(new) == j - i == 1:
                starts.append(self.starts[i])
                ends.append(self.ends[i])
            elif new == self.text[i:j]:
                starts += self.starts[i:j]
                ends += self.ends[i:j]
            else:
                starts += [self.starts[i]] * len(new)
                ends += [self.ends[j - 1]] * len(new)
        self.text, self.starts, self.ends = "".join(texts), starts, ends

    def clean(self) -> None:
        """As `_clean`."""
        self.edit(_REPLACEABLE, _replaced)
        if not self.text.isascii():
            if _MAYBE_INVISIBLE.search(self.text):
                self.edit(_INVISIBLE, _constant(""))
            if _MAYBE_LONG_MARKS.search(self.text):
                self.edit(_LONG_MARKS, lambda match: match[1])
            self.edit(_PHRASES, lambda match: match[1] * 2)
            self.nfkc()
        self.edit(_SPACES, _constant(" "))
        if self.text[:1] == " ":
            self.text, self.starts, self.ends = self.text[1:], self.starts[1:], self.ends[1:]
        if self.text[-1:] == " ":
            self.text, self.starts, self.ends = self.text[:-1], self.starts[:-1], self.ends[:-1]

    def nfkc(self) -> None:
        """NFKC, piece by piece."""
        if unicodedata.is_normalized("NFKC", self.text):
            return
        whole = unicodedata.normalize("NFKC", self.text)
        pieces = [(m.start(), m.end(), unicodedata.normalize("NFKC", m[0])) for m in _PIECE.finditer(self.text)]
        if "".join(new for _, _, new in pieces) != whole:
            pieces = [(0, len(self.text), whole)]
        self.rewrite(pieces)

    def model_pass(self) -> None:
        """As one pass of `model_view`."""
        self.clean()
        for gate, pattern, replacement in _STEPS:
            if gate(self.text):
                self.edit(pattern, replacement)

    def fold(self) -> None:
        """Case, variants of letters, marks that are optional in writing, quotation marks, dashes, repetition."""
        folded = self.text.casefold()
        if len(folded) == len(self.text):
            self.text = folded
        else:
            self.rewrite((i, i + 1, c.casefold()) for i, c in enumerate(self.text))
        for gate, pattern, replacement in _FOLD_STEPS:
            if gate(self.text):
                self.edit(pattern, replacement)

    def spans(self, raw: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ranges, widened to whole letters and pictographs."""
        if raw.isascii() or not _HAS_CLUSTER.search(raw):
            return tuple(self.starts), tuple(self.ends)
        first = list(range(len(raw)))
        last = list(range(1, len(raw) + 1))
        for match in _CLUSTER.finditer(raw):
            i, j = match.span()
            for k in range(i + 1, j):
                first[k] = i
                last[k - 1] = j
        if isinstance(self.starts, range) and len(self.starts) == len(raw):
            return tuple(first), tuple(last)
        return tuple([first[i] for i in self.starts]), tuple([last[j - 1] for j in self.ends])


def normalise(raw: str) -> Text:
    """The text in its three views.

    Raises:
        Nothing: every string can be normalised.
    """
    if raw.isascii() and not _PLAIN_ASCII.search(raw):
        folded = raw.lower()
        if "`" not in raw and not _TRIPLED.search(folded):
            return Text(raw=raw, model_view=raw, match_view=folded, starts=tuple(range(len(raw))), ends=tuple(range(1, len(raw) + 1)))
    tracked = _Tracked(raw)
    for _ in range(_MAX_PASSES):
        before = tracked.text
        tracked.model_pass()
        if tracked.text == before:
            break
    model = tracked.text
    tracked.fold()
    for _ in range(_MAX_PASSES):
        before = tracked.text
        tracked.model_pass()
        if tracked.text == before:
            break
        tracked.fold()
        if tracked.text == before:
            break
    starts, ends = tracked.spans(raw)
    return Text(raw=raw, model_view=model, match_view=tracked.text, starts=starts, ends=ends)


def fold(pattern_text: str) -> str:
    """The match view of a literal, so that word lists of rule packs are folded as the texts are. Space at its ends is lost.

    Raises:
        Nothing: every string can be folded.
    """
    return normalise(pattern_text).match_view
