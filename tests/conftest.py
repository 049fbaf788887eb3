"""What the tests of the core share: a stand-in classifier, a stand-in rule pack, a tiny model directory, and strategies for random evidence."""

from __future__ import annotations

import datetime as dt
import os
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and its like: on the few rows of a test, threads do nothing but wait for each other

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ipu_moderation.classifiers import Scores
from ipu_moderation.moderator import Moderator
from ipu_moderation.policy import HOLDING_FINDINGS, Cut, Policy
from ipu_moderation.rules import RuleSet, load_packs
from ipu_moderation.taxonomy import REVIEW_AT_MOST, SCORED, Category, TargetGroup, Tier
from ipu_moderation.types import Assessment, Context, Finding, Language, Score, TargetScore, Text

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # `pytest` alone, unlike `python -m pytest`, would not find `training`
    sys.path.insert(0, str(ROOT))

settings.register_profile("core", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.load_profile("core")

# ------------------------------------------------------------------------------------------------------------------------ stand-ins


class StandIn:
    """A classifier whose scores follow from the text alone; `furious` scores high everywhere, `calm` low."""

    name = "stand-in@1"
    languages = frozenset({"en", "fr"})

    def __init__(self, longest: int = 10_000) -> None:
        self.longest = longest
        self.batches: list[int] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return StandIn, (self.longest,)

    def measured(self, language: str, category: str) -> bool:
        return language in self.languages

    def score(self, texts: Sequence[Text], languages: Sequence[Language]) -> Scores:
        self.batches.append(len(texts))
        categories = np.array([self._values(t.model_view, len(SCORED)) for t in texts], np.float32).reshape(len(texts), len(SCORED))
        targets = np.array([self._values(t.model_view[::-1], len(TargetGroup)) for t in texts], np.float32).reshape(len(texts), len(TargetGroup))
        return Scores(categories, targets, np.array([len(t.model_view) > self.longest for t in texts], bool))

    @staticmethod
    def _values(view: str, n: int) -> list[float]:
        if "furious" in view:
            return [0.97] * n
        if "calm" in view:
            return [0.01] * n
        return [zlib.crc32(f"{i}{view}".encode("utf-8", "surrogatepass")) % 1000 / 1000 for i in range(n)]


PACK = """
name: stand-in
language: en
version: "3"
reviewed_by: none
about: Harmless stand-ins for what packs hold.
script: Latin
rules:
  - id: cyclists-must-go
    effect: raise
    category: incitement
    about: A call to drive cyclists out.
    note: {en: A call against a group.}
    pattern: ['cyclists must go']
    should_match: ['the [[cyclists must go]]', '[[cyclists must go]] now', 'all [[cyclists must go]]!']
    should_not_match: ['cyclists go', 'must cyclists go', 'go cyclists']
  - id: took-bribes
    effect: raise
    category: defamation_risk
    about: An assertion that would harm a reputation.
    note: {en: Something that would harm a reputation is asserted.}
    pattern: ['took bribes']
    should_match: ['she [[took bribes]]', 'he [[took bribes]] again', 'they [[took bribes]]']
    should_not_match: ['took bread', 'bribes', 'no bribes were taken']
  - id: nobody-says
    effect: excuse
    about: A denial that anybody says so.
    note: {en: Somebody denies it.}
    pattern: ['nobody says']
    excuses: ['nobody says cyclists must go', 'nobody says: cyclists must go', 'here nobody says cyclists must go', 'nobody says that cyclists must go']
    does_not_excuse: ['somebody says cyclists must go', 'Nobody says so. But cyclists must go', 'says who? cyclists must go', 'cyclists must go, I say']
"""


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in pack, as a file."""
    path = tmp_path_factory.mktemp("pack") / "stand-in.yaml"
    path.write_text(PACK, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def rules(pack: Path) -> RuleSet:
    return load_packs([pack])


@pytest.fixture
def moderator(rules: RuleSet) -> Moderator:
    """Put together from the stand-ins: fast, and the same everywhere."""
    return Moderator(StandIn(), rules)


HIDDEN, LAYERS, HEADS, WIDE, POSITIONS = 64, 2, 4, 96, 40
MAX_TOKENS, STRIDE, MAX_WINDOWS = 24, 6, 3
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'@éèà"


def write_tiny_model(out: Path, *, weights: str = "fp32", seed: int = 5, **manifest: Any) -> Path:
    """A model directory as `training.export` writes it, with small random weights over single letters."""
    import hashlib
    import json

    from ipu_moderation.classifiers.compact import FORMAT
    from ipu_moderation.normalise import VERSION
    from training import graph, pretrained

    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((c, -3.0) for c in LETTERS)]
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) * 0.25).astype(np.float32)

    state = {"embeddings.position_embeddings.weight": draw(POSITIONS, HIDDEN), "embeddings.token_type_embeddings.weight": draw(1, HIDDEN)}
    norms = ["embeddings.LayerNorm"]
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        for name, rows, columns in [
            *((f"attention.self.{n}", HIDDEN, HIDDEN) for n in ("query", "key", "value")),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", WIDE, HIDDEN),
            ("output.dense", HIDDEN, WIDE),
        ]:
            state[f"{layer}.{name}.weight"], state[f"{layer}.{name}.bias"] = draw(rows, columns), draw(rows)
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for norm in norms:
        state[f"{norm}.weight"], state[f"{norm}.bias"] = np.ones(HIDDEN, np.float32), draw(HIDDEN)
    blocks = len(pieces) * HIDDEN // 32
    scale = np.full((blocks, 1), 0.1, "<f2").view(np.uint8)
    words = np.concatenate([scale, random.integers(0, 256, (blocks, 16), np.uint8)], 1).reshape(len(pieces), -1)
    outputs = {"categories": (draw(len(SCORED), 2 * HIDDEN), draw(len(SCORED))), "targets": (draw(len(TargetGroup), 2 * HIDDEN), draw(len(TargetGroup)))}
    model = graph.encoder(state, words, layers=LAYERS, heads=HEADS, epsilon=1e-12, weights=weights, outputs=outputs)  # type: ignore[arg-type]

    out.mkdir(parents=True, exist_ok=True)
    graph.save(model, out / "model.onnx")
    shape = pretrained.Pretrained(HIDDEN, LAYERS, HEADS, WIDE, POSITIONS, 1, 1e-12, pieces, {})
    pretrained.tokenizer(shape).save(str(out / "tokenizer.json"))
    whole = {
        "format": FORMAT, "name": "tiny", "version": "1", "normaliser": VERSION, "heads": [c.value for c in SCORED], "targets": [g.value for g in TargetGroup],
        "max_tokens": MAX_TOKENS, "stride": STRIDE, "max_windows": MAX_WINDOWS, "calibration": {"*": [[1.0, 0.0]] * 4, "fr": [[0.5, 1.0]] * 4},
        "measured": {"en": [c.value for c in SCORED], "fr": ["hate"]}, "files": {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in ("model.onnx", "tokenizer.json")}, **manifest,
    }  # fmt: skip
    (out / "manifest.json").write_text(json.dumps(whole), encoding="utf-8")
    return out


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with fp32 weights; read-only for the tests."""
    pytest.importorskip("onnx", reason="the tiny model is made with the extra `train`")
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def model_at(tmp_path: Path) -> Callable[..., Path]:
    """Makes a model directory of one's own, to damage."""
    pytest.importorskip("onnx", reason="the tiny model is made with the extra `train`")
    return lambda name="own", **kinds: write_tiny_model(tmp_path / name, **kinds)


# ----------------------------------------------------------------------------------------------------------------- random evidence

NO_TEXT = Text("", "", "", (), ())
shares = st.floats(0, 1, allow_nan=False)
#: Values and thresholds come from one grid, so that they meet; strategies over ready-made parts are ten times as fast as over their fields.
GRID = (0.05, 0.3, 0.5, 0.5001, 0.7, 0.9, 0.95, 0.99)
SCORES = {c: [None, *(Score(c, v, s) for v in (0.0, *GRID, 1.0) for s in ("measured", "measured", "unmeasured"))] for c in SCORED}  # type: ignore[arg-type]
FINDINGS = [
    Finding(f"en/{c}", c, effect, 0, 7, "Something was seen.", excused_by)  # type: ignore[arg-type]
    for c in Category
    for effect, excused_by in (("raise", None), ("raise", None), ("raise", "en/report"), ("excuse", None))
]
findings = st.sampled_from(FINDINGS)
contexts = st.builds(
    Context,
    speaker_role=st.sampled_from(["unknown", "private", "influential", "official", "candidate", "journalist"]),
    about=st.sampled_from(["unknown", "private", "public_figure", "official", "journalist", "candidate"]),
    medium=st.sampled_from(["unknown", "private_message", "comment", "speech"]),
    situation=st.sampled_from(["unknown", "ordinary", "election", "unrest", "conflict"]),
    reach=st.sampled_from([None, 0, 9_999, 10_000, 10**7]),
    repeated=st.sampled_from([None, 0, 5, 1000]),
    reports=st.sampled_from([None, 0, 3, 1000]),
)


@st.composite
def assessments(draw: st.DrawFn, categories: Sequence[Category] = SCORED, raised: st.SearchStrategy[Finding] = findings) -> Assessment:
    """Any evidence that the types allow, strong evidence often."""
    scores = [draw(st.sampled_from(SCORES[c])) for c in categories]
    return Assessment(
        text=NO_TEXT,
        language=draw(st.sampled_from([Language("en", 1.0), Language("en", 0.4), Language("pt-BR", 1.0), Language("hi-Latn", 0.5), Language("und", 0.9)])),
        scores={s.category: s for s in scores if s},
        targets=draw(st.sampled_from([{}, {TargetGroup.AGE: TargetScore(TargetGroup.AGE, 0.12345)}])),
        findings=tuple(draw(st.lists(raised, max_size=3))),
        tier=draw(st.sampled_from(Tier)),
        versions={"ipu-moderation": "0", "model": "any@1"},
        truncated=draw(st.sampled_from([False, False, False, True])),
        faults=draw(st.sampled_from([(), (), (), ("classifier: RuntimeError",)])),
        context=draw(st.none() | contexts),
    )


CUTS = [Cut(), *(Cut(review=r) for r in GRID), *(Cut(review=r, hold=h) for r in GRID for h in GRID if h >= r)]
MILD = [cut for cut in CUTS if cut.hold is None]


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any policy that can be written."""

    def table() -> dict[Category, Cut]:
        return {c: draw(st.sampled_from(MILD if c in REVIEW_AT_MOST else CUTS)) for c in SCORED}

    return Policy(
        name="any",
        version="1",
        about="Any.",
        hold_hours=draw(st.sampled_from([0.1, 24, 72])),
        default=table(),
        languages={code: table() for code in draw(st.sampled_from([(), ("en",), ("pt",), ("hi", "und")]))},
        review_findings=draw(st.lists(st.sampled_from(Category), max_size=3)),
        examples=[],
    )


def held(**changes: Any) -> Assessment:
    """Evidence on which `cautious` holds, with changes."""
    parts: dict[str, Any] = {
        "text": NO_TEXT, "language": Language("en", 1.0), "scores": {Category.INCITEMENT: Score(Category.INCITEMENT, 0.95, "measured")}, "targets": {},
        "findings": (Finding("en/call", HOLDING_FINDINGS[0], "raise", 0, 1, "A call."),), "tier": Tier.TOP, "versions": {"model": "any@1"}, "truncated": False,
    }  # fmt: skip
    return Assessment(**{**parts, **changes})


DAY = dt.timedelta(hours=24)


@pytest.fixture
def default_model() -> Callable[[], Path]:
    """The model that ships, or a visible skip where it is not made yet."""

    def find() -> Path:
        from ipu_moderation.resources import model_directory

        if not (model_directory() / "manifest.json").is_file():
            pytest.skip("ipu_moderation/data/model is not made yet: make model")
        return model_directory()

    return find
