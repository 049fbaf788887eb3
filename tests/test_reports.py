"""Reports: figures that can be checked by hand, pages without texts or names, statements that the Transparency Database takes."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
from test_review import KEY, PLAIN, START, Clock, restrict, say, submission

from ipu_moderation.errors import InputError
from ipu_moderation.reports import dsa
from ipu_moderation.reports.figures import collect, span_of
from ipu_moderation.reports.transparency import render, write_report
from ipu_moderation.review.agreement import alpha
from ipu_moderation.review.queue import ReviewQueue
from ipu_moderation.review.sampling import Draw, estimate_missed, share_of
from ipu_moderation.review.store import Store
from ipu_moderation.review.types import Settings
from ipu_moderation.taxonomy import Category
from ipu_moderation.types import Action

ROOT = Path(__file__).parents[1]
UNTIL = START + dt.timedelta(days=30)
SECRET = "the secret words of ann-marie"


@pytest.fixture
def queue(tmp_path: Path):
    with Store(str(tmp_path / "a.sqlite"), clock=Clock()) as store:
        yield ReviewQueue(store, KEY, PLAIN)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory):
    """Thirty days in two languages: 400 posts, of which 80 go to people, some are held, appealed, drawn for the sample."""
    clock = Clock()
    rng = random.Random(5)
    with Store(str(tmp_path_factory.mktemp("busy") / "a.sqlite"), clock=clock) as store:
        queue = ReviewQueue(store, KEY, Settings(second_share=0.4, golden_share=0, sample_share=0.2, sample_share_near=0.5))
        posts = []
        for i in range(400):
            action = Action.ALLOW if i % 5 else Action.HOLD if i % 50 == 0 else Action.REVIEW
            category = None if action is Action.ALLOW else (Category.HATE, Category.INCITEMENT)[i % 2]
            text = f"{SECRET} {' '.join(format(rng.getrandbits(32), 'x') for _ in range(9))}"
            posts.append(submission(f"p{i}", text, action, language=("en", "fr")[i % 3 == 0], author="ann-marie", hate=rng.random(), category=category))
        queue.submit_many(posts)
        clock.move(hours=5)
        for n in range(1000):
            reviewer = f"r{n % 4}"
            item = queue.claim(reviewer, ["en", "fr"])
            if item is None:
                break
            clock.move(minutes=1)
            queue.label(_verdict(item.id, reviewer, rng.random() < 0.5))
        for i in range(0, 400, 5):
            if queue.standing(f"p{i}").state == "restricted" and i % 3 == 0:
                item_id = queue.appeal(f"p{i}", "author", "It was a quotation.")
                queue.claim_item(item_id, "r9")
                queue.label(_verdict(item_id, "r9", i % 2 == 0))
        yield queue


def _verdict(item: str, reviewer: str, restricted: bool):
    from ipu_moderation.types import Verdict

    return Verdict(item, {Category.HATE: restricted}, restricted, reviewer)


# --- figures ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "n", "low", "high"),
    # the values of R's binom.test
    [(0, 10, 0.0, 0.3084971), (1, 10, 0.002528579, 0.4450161), (5, 10, 0.1870860, 0.8129140), (10, 10, 0.6915029, 1.0), (3, 1000, 0.0006190, 0.0087424)],
)
def test_shares(x, n, low, high):
    figure = share_of(x, n)
    assert (figure.value, figure.n) == (x / n, n)
    assert figure.low == pytest.approx(low, abs=1e-6)
    assert figure.high == pytest.approx(high, abs=1e-6)


def test_unknown_is_none():
    assert share_of(0, 0).to_dict() == {"value": None, "low": None, "high": None, "n": 0}
    assert estimate_missed([], 100).share.value is None
    assert estimate_missed([Draw(0.1, None)], 100).total is None


def test_the_estimate_of_what_is_missed_is_unbiased_and_its_interval_covers():
    """2,000 posts of which 3 % are missed, most near the threshold, where more are drawn; 400 samples of them."""
    rng = np.random.default_rng(1)
    near = rng.random(2000) < 0.2
    missed = rng.random(2000) < np.where(near, 0.12, 0.0075)
    probability = np.where(near, 0.5, 0.1)
    estimates, covered = [], 0
    for _ in range(400):
        drawn = rng.random(2000) < probability
        found = estimate_missed([Draw(p, bool(m)) for p, m in zip(probability[drawn], missed[drawn], strict=True)], 2000)
        estimates.append(found.total)
        covered += found.share.low <= missed.mean() <= found.share.high
    error = np.mean(estimates) - missed.sum()
    assert abs(error) < 3 * np.std(estimates) / 20  # within three standard errors of the mean of 400
    assert covered / 400 >= 0.94


def test_alpha_is_that_of_the_book():
    # Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section B: two observers, binary data, ten units
    a, b = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert alpha([[bool(x), bool(y)] for x, y in zip(a, b, strict=True)]) == pytest.approx(0.095, abs=0.001)
    assert alpha([[True, None], [True]]) is None
    assert alpha([[True, True], [True, True]]) is None


def test_figures_by_hand(queue):
    queue.submit_many([submission(f"a{i}", action=Action.ALLOW) for i in range(90)])
    for i in range(4):
        restrict(queue, f"r{i}")
    for i in range(6):
        say(queue, queue.submit_many([submission(f"f{i}", language="fr")])[0], "ann", "allow")
    item = queue.appeal("r0", "author", "No.")
    say(queue, item, "cid", "allow")
    figures = collect(queue.store, START - dt.timedelta(days=1), UNTIL)
    assert figures["volumes"]["by_action"] == {"allow": 90, "review": 10, "hold": 0}
    assert figures["volumes"]["by_language"]["fr"] == {"allow": 0, "review": 6, "hold": 0, "touched": share_of(6, 6).to_dict()}
    reviewed = figures["reviewed"]
    assert (reviewed["items"], reviewed["decided"], reviewed["open"]) == (10, 10, 0)
    assert reviewed["all"]["restricted"] == share_of(4, 10).to_dict()  # the first decision counts, also where an appeal changed it
    assert reviewed["by_language"]["fr"]["wrongly_touched"] == share_of(6, 6).to_dict()
    assert reviewed["by_language"]["en"]["restricted"]["value"] is None  # fewer than five cases
    assert reviewed["category_confirmed"]["hate"] == share_of(4, 10).to_dict()
    assert figures["appeals"]["all"] == {"made": 1, "decided": 1, "overturned": {"value": None, "low": None, "high": None, "n": 1}}
    assert figures["missed"]["all"]["share"]["value"] is None
    assert figures["audit"]["sound"]


def test_a_report_outside_of_the_time_is_empty(queue):
    restrict(queue, "p")
    figures = collect(queue.store, START - dt.timedelta(days=20), START - dt.timedelta(days=10))
    assert (figures["volumes"]["posts"], figures["reviewed"]["items"]) == (0, 0)
    render(figures)
    with pytest.raises(InputError, match="after its beginning"):
        collect(queue.store, UNTIL, START)


def test_nothing_to_report(queue):
    with pytest.raises(InputError, match="nothing to report"):
        span_of(queue.store)


def test_neither_texts_nor_names_nor_post_names_are_in_a_report(busy, tmp_path):
    figures = collect(busy.store, *span_of(busy.store))
    for path in (tmp_path / "r.html", tmp_path / "r.json"):
        write_report(figures, path)
        content = path.read_text(encoding="utf-8")
        for private in ("secret", "ann-marie", "p15", busy.key.pseudonym("ann-marie"), "quotation"):
            assert private not in content
        assert not re.search(r"\br[0-9]\b", content)  # reviewers
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(json.dumps(figures))


def test_the_page_stands_alone_and_shows_every_section(busy):
    page = render(collect(busy.store, *span_of(busy.store)), title="A <report>")
    assert "A &lt;report&gt;" in page
    assert not re.search(r"(src|href)=\"https?:|<script|@import|url\(http", page)
    for heading in ("Volumes", "Wrongly touched expression", "Missed", "Kept back", "Appeals", "Time", "Quality of decisions", "Audit trail"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("<svg") == 3
    assert "None" not in page
    assert "nan" not in page


@pytest.mark.parametrize(("name", "match"), [("r.pdf", "html or .json"), ("none/r.html", "no such directory")])
def test_files_that_are_refused(tmp_path, name, match):
    with pytest.raises(InputError, match=match):
        write_report({}, tmp_path / name)


# --- statements of reasons -------------------------------------------------------------------------------------------------------------------

GROUND = dsa.Ground(
    kind="illegal", reference="Art. 20(2) ICCPR; section 17 of the Media Act", explanation="Advocacy of hatred that incites to violence is prohibited by law.",
    visibility="DECISION_VISIBILITY_CONTENT_DISABLED", redress="Write to https://parliament.example/appeals within six months; a court is open to you too.",
)  # fmt: skip
VALID = {
    "decision_visibility": ("DECISION_VISIBILITY_CONTENT_DISABLED",), "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT", "illegal_content_legal_ground": "Art. 20(2) ICCPR",
    "illegal_content_explanation": "It is prohibited.", "category": "STATEMENT_CATEGORY_VIOLENCE", "content_date": "2026-03-01", "application_date": "2026-03-02", "decision_facts": "Facts.",
    "source_type": "SOURCE_VOLUNTARY", "automated_detection": "Yes", "automated_decision": "AUTOMATED_DECISION_NOT_AUTOMATED", "puid": "a-1_B",
}  # fmt: skip


def test_a_valid_statement():
    assert dsa.Statement(**VALID).to_dict()["content_type"] == ["CONTENT_TYPE_TEXT"]


@pytest.mark.parametrize(
    "broken",
    [
        {"decision_visibility": None},
        {"decision_visibility": ()},
        {"decision_visibility": ("DECISION_VISIBILITY_OTHER",)},
        {"decision_visibility_other": "something"},
        {"decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT"},
        {"illegal_content_legal_ground": None},
        {"illegal_content_legal_ground": "x" * 501},
        {"illegal_content_explanation": "x" * 2001},
        {"incompatible_content_ground": "clause 3"},
        {"category": "STATEMENT_CATEGORY_NONSENSE"},
        {"content_date": "1999-12-31"},
        {"content_date": "2026-02-30"},
        {"content_date": "01.03.2026"},
        {"application_date": "2019-12-31"},
        {"end_date_visibility_restriction": "2026-03-01"},
        {"decision_facts": ""},
        {"decision_facts": "x" * 5001},
        {"source_type": "SOURCE_NONSENSE"},
        {"automated_detection": "Maybe"},
        {"automated_decision": "Yes"},
        {"puid": "with space"},
        {"puid": "x" * 501},
        {"puid": ""},
        {"content_language": "en"},
        {"decision_facts": "Written by @ann_marie yesterday."},
        {"decision_facts": "See https://example.org/post/1 for it."},
        {"illegal_content_explanation": "Ask ann@example.org about it."},
        {"illegal_content_explanation": "Call +41 22 919 41 50 for it."},
        {"something_else": "x"},
    ],
)
def test_statements_that_break_a_rule_cannot_be_made(broken):
    with pytest.raises(ValueError, match=r"validation error"):
        dsa.Statement(**{**VALID, **broken})


def test_a_restriction_gets_a_statement_of_reasons(queue):
    restrict(queue, "post-17", text=f"{SECRET}: +41 22 919 41 50", author="ann-marie", posted=START)
    restrict(queue, "held", action=Action.HOLD, text="other words")
    queue.submit_many([submission("open")])
    made = list(dsa.statements(queue.store, [GROUND], START - dt.timedelta(days=1), UNTIL))
    assert {m.post for m in made} == {"post-17", "held"}
    one, held = sorted(made, key=lambda m: m.post == "held")
    assert one.statement.automated_decision == "AUTOMATED_DECISION_NOT_AUTOMATED"
    assert held.statement.automated_decision == "AUTOMATED_DECISION_PARTIALLY"
    assert (one.statement.category, one.statement.category_specification) == ("STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH", ("KEYWORD_HATE_SPEECH",))
    assert (one.statement.content_date, one.statement.content_language) == ("2026-03-01", "EN")
    sent = dsa.to_json(made)
    for private in ("secret", "ann", "post-17", "919"):
        assert private not in sent
    letter = one.text()
    for wanted in ("What was decided: disabled", "Two or more persons", "Art. 20(2) ICCPR", "https://parliament.example/appeals", "own initiative"):
        assert wanted in letter
    assert "secret" not in letter


def test_no_statement_of_a_restriction_says_that_it_was_fully_automated(busy):
    made = list(dsa.statements(busy.store, [GROUND], *span_of(busy.store)))
    assert made
    assert all(m.statement.automated_decision != "AUTOMATED_DECISION_FULLY" for m in made)
    assert len({m.statement.puid for m in made}) == len(made)


def test_a_hold_gets_a_statement_that_says_what_software_did_and_until_when(queue):
    queue.submit_many([submission("p", action=Action.HOLD)])
    (one,) = dsa.hold_statements(queue.store, [GROUND], START - dt.timedelta(days=1), UNTIL)
    assert one.statement.automated_decision == "AUTOMATED_DECISION_FULLY"
    assert one.statement.end_date_visibility_restriction == "2026-03-02"
    assert "Kept back until a person looks" in one.text()


def test_an_overturned_restriction_gets_no_statement(queue):
    item = restrict(queue, "p")
    queue.appeal("p", "author", "No.")
    say(queue, item, "cid", "allow")
    assert list(dsa.statements(queue.store, [GROUND], START - dt.timedelta(days=1), UNTIL)) == []


@pytest.mark.parametrize(("n", "sizes"), [(0, []), (1, [1]), (100, [100]), (250, [100, 100, 50])])
def test_batches(n, sizes):
    reasons = [dsa.Reasons("p", dsa.Statement(**VALID), "r")] * n
    assert [len(b["statements"]) for b in dsa.batches(reasons)] == sizes


def test_a_ground_must_fit(queue):
    restrict(queue, "p")
    narrow = GROUND.model_copy(update={"categories": (Category.DEFAMATION_RISK,)})
    with pytest.raises(InputError, match="no ground fits hate"):
        list(dsa.statements(queue.store, [narrow], START - dt.timedelta(days=1), UNTIL))
    assert len(list(dsa.statements(queue.store, [narrow, GROUND], START - dt.timedelta(days=1), UNTIL))) == 1


def test_the_grounds_in_the_docs_load(tmp_path):
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "lawyer.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "grounds.yaml").write_text(block)
    assert {g.kind for g in dsa.load_grounds(tmp_path / "grounds.yaml")} == {"illegal", "incompatible"}


def test_all_faults_of_a_file_of_grounds_are_listed(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text("- {kind: odd, reference: call +41 22 919 41 50, explanation: x, visibility: y, redress: z}\n")
    with pytest.raises(InputError, match=r"(?s)3 faults.*1\. ground 1, kind.*3\. "):
        dsa.load_grounds(path)
    for content in ("", "[]", "{", "kind: illegal"):
        path.write_text(content)
        with pytest.raises(InputError, match=r"g\.yaml"):
            dsa.load_grounds(path)
