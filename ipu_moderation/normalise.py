"""From a raw string to the two views that the rest of the package reads.

The *model view* is natural text: NFKC, one kind of space, without invisible characters, with links, handles, e-mail addresses and telephone
numbers masked, and with the commonest evasions undone. Training and serving use this one function, so a change of its results is a new `VERSION`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

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


# Planes 0 and 1 hold every mark but the variation selectors supplement.
_CATEGORIES = list(map(unicodedata.category, map(chr, range(0x20000))))
_M = _ranges(i for i, c in enumerate(_CATEGORIES) if c[0] == "M")
del _CATEGORIES

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

_INVISIBLE = re.compile(
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

# What NFKC would turn into a space and a mark, or leave although it is a letter in disguise.
_BEFORE_NFKC = {
    **dict.fromkeys(range(0x20), " "),
    **dict.fromkeys(range(0x7F, 0xA1), " "),
    **dict.fromkeys((0x2028, 0x2029, 0x2800), " "),
    **dict.fromkeys((0x00B4, 0x1FBD, 0x1FBF, 0x1FFD, 0x1FFE), "'"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
    **{0x1F150 + i: chr(65 + i) for i in range(26)},
    **{0x1F170 + i: chr(65 + i) for i in range(26)},
}
_HAS_BEFORE_NFKC = re.compile("[\x00-\x1f\x7f-\xa0\u00b4\u1fbd\u1fbf\u1ffd\u1ffe\u2028\u2029\u2800\ud800-\udfff\U0001f150-\U0001f169\U0001f170-\U0001f189]")

# NFKC sorts runs of marks in quadratic time. Source: UAX 15, Stream-Safe Text Format, at most 30 non-starters.
_MAYBE_LONG_MARKS = re.compile(r"[^\w\x00-\x7f]{31}")
_LONG_MARKS = re.compile(f"([{_M}]{{30}})[{_M}]+")
# NFKC writes these two as whole phrases of 18 and 8 characters; as every letter, they are written at most twice when repeated.
_PHRASES = re.compile("([\ufdfa\ufdfb])\\1{3,}")

_FLAGS = (
    "AC AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CP CR "
    "CU CV CW CX CY CZ DE DG DJ DK DM DO DZ EA EC EE EG EH ER ES ET EU FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT "
    "HU IC ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ "
    "MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK "
    "SL SM SN SO SR SS ST SV SX SY SZ TA TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM UN US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"
)
_FLAG_CODES = frozenset(_FLAGS.split())
_INDICATORS = re.compile("[\U0001f1e6-\U0001f1ff]+")


def _indicators(match: re.Match[str]) -> str:
    """Regional indicators that make no flags are letters in disguise."""
    letters = "".join(chr(ord(c) - 0x1F1E6 + 65) for c in match[0])
    pairs = [letters[i : i + 2] for i in range(0, len(letters), 2)]
    return match[0] if all(pair in _FLAG_CODES for pair in pairs) else letters


# ---------------------------------------------------------------------------------------------------------------------------- masks

_TLD = "com|org|net|edu|gov|info|biz|int|mil|online|site|xyz|news|app|shop|blog|co\\.uk|com\\.br"
_LINK = re.compile(
    r"(?:(?<![a-z])(?:https?|hxxps?|ftp)://|(?<![\w.@-])www\.)[!#-;=?-~]*[0-9A-Za-z/_=&#~%+-]"
    rf"|(?<![\w.@-])(?:[a-z0-9-]+\.)+(?:(?:{_TLD})(?![\w-])(?:[/?#:][!#-;=?-~]*[0-9A-Za-z/_=&#~%+-])?|[a-z]{{2}}/[!#-;=?-~]*[0-9A-Za-z/_=&#~%+-])",
    re.IGNORECASE | re.ASCII,
)
_EMAIL = re.compile(r"(?<![\w.%+-])[A-Za-z0-9_.%+-]*[A-Za-z0-9_]@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}(?![\w-])", re.ASCII)
# Names in scripts without word spaces are left: nobody can tell where they end.
_HANDLE = re.compile(
    rf"(?<![\w@{_M}])@(?:[^\W{_UNSPACED}]|[{_M}](?<![{_UNSPACED}]))+(?:\.bsky\.social\b|@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{{2,24}}\b)?"
)
_PHONE = re.compile(r"(?<![\w.,:/+-])(?:\+ ?)?\(?\d+\)?(?:[ .-]{1,2}\(?\d+\)?|\(\d+\)|(?<=\))\d+)*(?!\w)")
_DIGITS = re.compile(r"\d+")
_SEVEN_DIGITS = re.compile(r"\d(?:\W{0,3}\d){6}")
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")


def _phone(match: re.Match[str]) -> str:
    """`PHONE` for what has the form of a telephone number, and not that of a date, range of years, count, score or address."""
    found = match[0]
    groups = _DIGITS.findall(found)
    digits = sum(map(len, groups))
    if not 7 <= digits <= 15:
        return found
    if found[0] == "+":
        return "PHONE"
    first = groups[0]
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
        return "PHONE" if separators == {"-"} and len(first) in (3, 4) and len(groups[1]) == 4 or (len(first) == 5 and len(groups[1]) in (5, 6)) else found
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
        base, *marks = unicodedata.normalize("NFD", chr(point))
        if marks and base in table:
            composed = unicodedata.normalize("NFC", table[base] + "".join(marks))
            if len(composed) == 1:
                out[chr(point)] = composed
    return out


_CYRILLIC_LATIN = _with_accents(_CYRILLIC_LATIN, 0x400, 0x530)
_GREEK_LATIN = _with_accents(_GREEK_LATIN, 0x370, 0x400)
_TO_LATIN = {**_CYRILLIC_LATIN, **_GREEK_LATIN, **_OTHER_LATIN, **_SMALL_LATIN}
_TO_CYRILLIC = {latin: foreign for foreign, latin in _CYRILLIC_LATIN.items()}
_TO_GREEK = {latin: foreign for foreign, latin in _GREEK_LATIN.items() if foreign not in "ωηγε"}
_TO_LATIN_TABLE = str.maketrans(_TO_LATIN)

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
    if word.isascii():
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
            return word.translate(str.maketrans(table))
    return word


# ------------------------------------------------------------------------------------------------------------------------- evasions

_LEET = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i", "|": "i"}
_TOKEN = f"{_LATIN}\\d@$!|"
_LEET_WORD = re.compile(f"(?<![{_TOKEN}{_EUROPEAN_MARKS}*_])[{_TOKEN}]*?[{_LATIN}][014@$!|]{{1,2}}(?=[{_LATIN}])[{_TOKEN}]*(?![*_{_EUROPEAN_MARKS}])")
_HAS_LEET = re.compile(f"[{_LATIN}][014@$!|]{{1,2}}[{_LATIN}]")
_LEADING_DOLLAR = re.compile(r"(?<![\w$@.,])\$(?=[a-z]{3,}(?![\w$]))")
_MASK_TEXTS = frozenset({"@USER", "HTTPURL", "EMAIL", "PHONE"})
_MASKS = ("USER", "HTTPURL", "EMAIL", "PHONE")
_VOWELS = frozenset("aeiouyAEIOUY")
_HEX = re.compile(r"[0-9a-fA-F]{5,}")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}", re.IGNORECASE)


def _leet(match: re.Match[str]) -> str:
    """A word with digits or signs for letters, spelt out; anything doubtful stays.

    0 1 4 @ $ ! | between letters are folded; 3 5 7 only in their company, since the Arabic chat alphabet writes with 2 3 5 6 7 8 9.
    """
    word = match[0]
    if any(mask in word for mask in _MASKS):
        return word
    end = len(word.rstrip("!|@"))
    body, tail = word[:end], word[end:]
    letters = sum(c.isalpha() for c in body)
    signs = len(body) - letters
    if letters < 2 or signs >= letters or (signs > 1 and _HEX.fullmatch(body)):
        return word
    out = list(body)
    last = len(body) - 1
    i = 0
    while i <= last:
        c = body[i]
        if c.isalpha():
            i += 1
            continue
        run = i
        while run <= last and not body[run].isalpha():
            run += 1
        signs_here = body[i:run]
        if len(signs_here) > 2 or len(set(signs_here)) > 1 or c not in _LEET or (len(signs_here) == 2 and c not in "0$"):
            return word
        before = body[i - 1] if i else ""
        after = body[run] if run <= last else ""
        if c in "!|" and (not 1 <= i <= 2 or any(b in _VOWELS for b in body[:i])):
            return word  # more often "stop!now" than a letter
        if c in "4@" and before in _VOWELS and before:
            return word  # "iPhone4s", "hi@name"
        if c in "01" and before in _VOWELS and after in _VOWELS and before and after:
            return word
        if not before and c not in "1$":
            return word  # "4chan", "3arab"
        if not after and c.isdigit() and len(signs_here) > 1:
            return word
        out[i:run] = _LEET[c] * len(signs_here)
        i = run
    folded = "".join(out)
    if not any(c in _VOWELS for c in folded) or _CONSONANTS.search(folded):
        return word
    return folded + tail


_SPELT_LETTER = f"[^\\W\\d_{_UNSPACED}][{_M}]*"
_SPELT = re.compile(f"(?<![\\w{_M}])(?<!\\w['’.-])({_SPELT_LETTER})([ .*_-])(?:{_SPELT_LETTER}\\2){{2,}}{_SPELT_LETTER}(?![\\w'’{_M}])(\\.?)")
_HAS_SPELT = re.compile(r"(?<!\w)[^\W\d_](?:\W+|_)[^\W\d_](?:\W+|_)[^\W\d_](?:\W|_)")


def _spelt(match: re.Match[str]) -> str:
    """Letters parted by one separator, joined; initials such as those of a state with four words stay."""
    found = match[0]
    if match[2] == "." and match[3] and found.isupper():
        return found
    return found[: len(found) - len(match[3])].replace(match[2], "") + match[3]


_REPEATED = re.compile(
    f"([^\\W\\d_][{_M}]*)\\1{{3,}}|([{_M}])\\2{{3,}}|((?:[^\\w\\s{_M}]|_)[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]?)\\3{{3,}}|([\U0001f1e6-\U0001f1ff]{{2}})\\4{{3,}}"
)
_HAS_REPEATED = re.compile(r"(\S\S?)\1\1\1")


def _repeated(match: re.Match[str]) -> str:
    """Letters and marks twice, signs and pictographs three times."""
    return (match[1] or match[2] or "") * 2 or (match[3] or match[4]) * 3


# ------------------------------------------------------------------------------------------------------------------------- the view

Replacement = Callable[[re.Match[str]], str]


def _constant(text: str) -> Replacement:
    return lambda match: text


#: (gate, pattern, replacement), in order: where the gate says no, the pattern is not tried.
_STEPS: tuple[tuple[Callable[[str], object], re.Pattern[str], Replacement], ...] = (
    (_INDICATORS.search, _INDICATORS, _indicators),
    (re.compile("@").search, _EMAIL, _constant("EMAIL")),
    (re.compile(r"://|[a-zA-Z0-9-]\.[a-zA-Z]").search, _LINK, _constant("HTTPURL")),
    (re.compile("@").search, _HANDLE, _constant("@USER")),
    (_SEVEN_DIGITS.search, _PHONE, _phone),
    (_has_mixed, _WORD, _homoglyphs),
    (_HAS_LEET.search, _LEET_WORD, _leet),
    (re.compile(r"\$[a-z]").search, _LEADING_DOLLAR, _constant("s")),
    (_HAS_SPELT.search, _SPELT, _spelt),
    (_HAS_REPEATED.search, _REPEATED, _repeated),
)

_PLAIN_ASCII = re.compile(
    r"[\x00-\x1f\x7f@$|*_/\d]|  |\.\w|!\w|(?:(?<!\w)\w\W){3}|(.)\1\1\1|^ | $",
    re.DOTALL,
)


def _clean(text: str) -> str:
    """NFKC, one kind of space, nothing invisible."""
    if not text.isascii():
        if _MAYBE_INVISIBLE.search(text):
            text = _INVISIBLE.sub("", text)
        if _HAS_BEFORE_NFKC.search(text):
            text = text.translate(_BEFORE_NFKC)
        if _MAYBE_LONG_MARKS.search(text):
            text = _LONG_MARKS.sub(r"\1", text)
        text = _PHRASES.sub(r"\1\1", text)
        text = unicodedata.normalize("NFKC", text)
    elif _HAS_BEFORE_NFKC.search(text):
        text = text.translate(_BEFORE_NFKC)
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

_FOLDED_LETTERS = str.maketrans(
    {
        **dict.fromkeys("أإآٱ", "ا"),
        **dict.fromkeys("ىی", "ي"),
        "ک": "ك",
        "ı": "i",
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u05f3`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\u2039\u203a\u05f4", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u05be", "-"),
    }
)
_HARAKAT = "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
_NIQQUD = "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
_DROPPED = re.compile(f"[{_HARAKAT}{_NIQQUD}\u200c\ufe0e\ufe0f]+|(?<=i)\u0307|(?<![{_PICTOGRAPH}\ufe0f])\u200d")

_BOLD = re.compile("(?<=[bcdfghjklmnpqrstvwxz])3(?=[bcdfghjklmnpqrstvwxz])|(?<=[a-z])(?:11|55)(?=[a-z])")
_BOLD_LEET = {"3": "e", "11": "ll", "55": "ss"}
_TRIPLED = re.compile(r"([^\W\d_])\1{2,}")

_FOLD_STEPS: tuple[tuple[re.Pattern[str], Replacement], ...] = (
    (_DROPPED, _constant("")),
    (_BOLD, lambda match: _BOLD_LEET[match[0]]),
    (_TRIPLED, lambda match: match[1] * 2),
)

# What a letter or pictograph drags along: marks, variation selectors, skin tones, tags, and what is joined by ZWJ; flags are pairs.
_EXTENDING = f"{_M}\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\U000e0100-\U000e01ef"
_HAS_CLUSTER = re.compile(f"[{_EXTENDING}\U0001f1e6-\U0001f1ff]")
_CLUSTER = re.compile(f".?[{_EXTENDING}]+(?:(?<=\u200d)[{_PICTOGRAPH}][{_EXTENDING}]*)*|[\U0001f1e6-\U0001f1ff]{{2}}", re.DOTALL)

# Pieces that NFKC treats apart: a letter with its marks, and Hangul syllables spelt in (half-width, compatibility) letters.
_COMPOSING = f"{_M}\u1160-\u11ff\u314f-\u3163\ud7b0-\ud7ff\uff9e\uff9f\uffa0-\uffdc"
_PIECE = re.compile(f".[{_COMPOSING}]*", re.DOTALL)
_SPACES = re.compile(r"\s\s+|[^\S ]")


class _Tracked:
    """A text under change, and for each of its characters the half-open range of the raw text that it comes from."""

    __slots__ = ("text", "starts", "ends")

    def __init__(self, raw: str) -> None:
        self.text = raw
        self.starts: list[int] = list(range(len(raw)))
        self.ends: list[int] = list(range(1, len(raw) + 1))

    def edit(self, pattern: re.Pattern[str], replacement: Replacement) -> None:
        """As `pattern.sub(replacement, text)`."""
        text = self.text
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        for match in pattern.finditer(text):
            old, new = match[0], replacement(match)
            if new == old:
                continue
            i, j = match.span()
            pieces += (text[done:i], new)
            starts += self.starts[done:i]
            ends += self.ends[done:i]
            self._align(old, new, i, j, starts, ends)
            done = j
        if done:
            pieces.append(text[done:])
            self.starts = starts + self.starts[done:]
            self.ends = ends + self.ends[done:]
            self.text = "".join(pieces)

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
        if _MAYBE_INVISIBLE.search(self.text):
            self.edit(_INVISIBLE, _constant(""))
        self.text = self.text.translate(_BEFORE_NFKC)
        if not self.text.isascii():
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
        self.text = self.text.translate(_FOLDED_LETTERS)
        for pattern, replacement in _FOLD_STEPS:
            self.edit(pattern, replacement)

    def spans(self, raw: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ranges, widened to whole letters and pictographs."""
        if not _HAS_CLUSTER.search(raw):
            return tuple(self.starts), tuple(self.ends)
        first = list(range(len(raw)))
        last = list(range(1, len(raw) + 1))
        for match in _CLUSTER.finditer(raw):
            i, j = match.span()
            first[i:j] = [i] * (j - i)
            last[i:j] = [j] * (j - i)
        return tuple([first[i] for i in self.starts]), tuple([last[j - 1] for j in self.ends])


def _matched(tracked: _Tracked) -> None:
    """From the model view to the match view."""
    tracked.fold()
    for _ in range(_MAX_PASSES):
        before = tracked.text
        tracked.model_pass()
        tracked.fold()
        if tracked.text == before:
            break


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
    _matched(tracked)
    starts, ends = tracked.spans(raw)
    return Text(raw=raw, model_view=model, match_view=tracked.text, starts=starts, ends=ends)


def fold(pattern_text: str) -> str:
    """The match view of a literal, so that word lists of rule packs are folded as the texts are. Space at its ends is lost.

    Raises:
        Nothing: every string can be folded.
    """
    return normalise(pattern_text).match_view
