"""Whatever can be measured, behind one face: `Scorer.score(texts, languages) -> Outcome`.

    default                 the classifier and the rules of the package
    DIR                     a model directory of ours (manifest.json), or a Hugging Face sequence classifier (config.json)
    module:name             a Classifier, or a callable: list of texts -> array (n,), array (n, 4), or a list of {category: score}
    tfidf:FILE              TF-IDF of words and letters with logistic regression, fitted on the rows of a labelled file
    profanity-check         alt-profanity-check (English)

A model that gives one number only is measured with that number in every category asked for; the results say so.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from eval.data import open_data
from ipu_moderation.errors import InputError, MissingExtraError, ModelError
from ipu_moderation.moderator import Moderator
from ipu_moderation.policy import Policy
from ipu_moderation.resources import rule_packs
from ipu_moderation.taxonomy import SCORED, Category
from training.labelled import MEASURED

SPECS = "default, a model directory, a Hugging Face directory, module:name, tfidf:FILE, profanity-check"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model said of a batch."""

    scores: np.ndarray  # (n_texts, len(MEASURED)), NaN where the model has no score
    actions: np.ndarray  # (n_texts,), int8: the rank of the policy's action, -1 without a policy
    languages: list[str]  # as given, else as identified
    truncated: np.ndarray  # (n_texts,), bool
    faults: int


class Scorer(Protocol):
    """A model that can be measured."""

    name: str
    versions: dict[str, str]
    """What the scores depend on."""
    one_score: bool
    """It gives one number, which stands for every category."""

    def score(self, texts: Sequence[str], languages: Sequence[str | None]) -> Outcome:
        """Scores, in order."""
        ...


class ModeratorScorer:
    """The whole way that a text takes in the package: language, classifier, rules, policy."""

    one_score = False

    def __init__(self, moderator: Moderator, policy: Policy) -> None:
        self.moderator, self.policy = moderator, policy
        self.name = moderator.classifier.name
        self.versions = {**moderator.versions, "policy": policy.id, "rule-files": _digest(rule_packs())}
        manifest = getattr(moderator.classifier, "manifest", None)
        if manifest:  # a model trained anew may keep its version
            self.versions |= {"weights": weights_of(manifest), "calibration": hashlib.sha256(json.dumps(manifest["calibration"]).encode()).hexdigest()[:16]}

    def score(self, texts: Sequence[str], languages: Sequence[str | None]) -> Outcome:
        """Scores of the classifier; defamation risk is 1 where a rule found it and nothing excuses it."""
        scores = np.full((len(texts), len(MEASURED)), np.nan, dtype=np.float32)
        actions, truncated = np.full(len(texts), -1, np.int8), np.zeros(len(texts), bool)
        codes, faults = [], 0
        for i, assessment in enumerate(self.moderator.assess_many(texts, languages=languages)):
            for j, category in enumerate(SCORED):
                if category in assessment.scores:
                    scores[i, j] = assessment.scores[category].value
            scores[i, len(SCORED)] = float(bool(assessment.raised(Category.DEFAMATION_RISK)))
            actions[i] = self.policy.decide(assessment).action.rank
            truncated[i] = assessment.truncated
            codes.append(assessment.language.code)
            faults += bool(assessment.faults)
        return Outcome(scores, actions, codes, truncated, faults)


def weights_of(manifest: dict[str, Any]) -> str:
    """What stands for the weights of a model directory in results."""
    return str(manifest["files"].get("model.onnx", "-"))[:16]


class CallableScorer:
    """Any function from texts to scores."""

    def __init__(self, call: Callable[..., Any], name: str, versions: dict[str, str]) -> None:
        self.call, self.name, self.versions = call, name, versions
        self.one_score = bool(getattr(call, "one_score", False))
        self._wants_languages = _wants_languages(call)

    def score(self, texts: Sequence[str], languages: Sequence[str | None]) -> Outcome:
        """Scores, in order.

        Raises:
            InputError: when the function gives something else than a score in [0, 1] for each text.
        """
        codes = [code or identified(text) for text, code in zip(texts, languages, strict=True)]
        given = self.call(list(texts), codes) if self._wants_languages else self.call(list(texts))
        scores, self.one_score = _as_scores(given, len(texts), self.name)
        return Outcome(scores, np.full(len(texts), -1, np.int8), codes, np.zeros(len(texts), bool), 0)


def _wants_languages(call: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        return False
    return len([p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]) >= 2


def _as_scores(given: Any, n: int, name: str) -> tuple[np.ndarray, bool]:
    """(n, len(MEASURED)) and whether one number stands for all."""
    out = np.full((n, len(MEASURED)), np.nan, dtype=np.float32)
    one = False
    if isinstance(given, (list, tuple)) and given and isinstance(given[0], dict):
        for i, row in enumerate(given):
            for category, value in row.items():
                if str(category) not in MEASURED:
                    raise InputError(f"{name} gave a score for '{category}', which is no category. Categories: {', '.join(MEASURED)}.")
                out[i, MEASURED.index(str(category))] = value
        if len(given) != n:
            raise InputError(f"{name} gave {len(given)} rows of scores for {n} texts.")
    else:
        array = np.asarray(given, dtype=np.float32)
        if array.shape == (n,):
            out[:], one = array[:, None], True
        elif array.ndim == 2 and len(array) == n and array.shape[1] in (len(SCORED), len(MEASURED)):
            out[:, : array.shape[1]] = array
        else:
            raise InputError(f"{name} gave scores of shape {array.shape} for {n} texts; ({n},), ({n}, {len(SCORED)}) or a list of {{category: score}} is expected.")
    with np.errstate(invalid="ignore"):
        if (out < 0).any() or (out > 1).any():
            raise InputError(f"{name} gave scores outside [0, 1]. Logits need a sigmoid or softmax first.")
    return out, one


def identified(text: str) -> str:
    """The language as the package tells it."""
    from ipu_moderation.language import identify
    from ipu_moderation.normalise import normalise

    return identify(normalise(text)).code


def load(spec: str, policy: Policy) -> Scorer:
    """A model by its spec (see the module).

    Raises:
        ModelError, InputError, MissingExtraError: when there is no such model or it cannot be used.
    """
    if spec == "default":
        return ModeratorScorer(Moderator.default(), policy)
    if spec == "profanity-check":
        return _profanity_check()
    if spec.startswith("tfidf:"):
        return fit_tfidf(Path(spec.removeprefix("tfidf:")))
    path = Path(spec)
    if path.is_dir():
        if (path / "manifest.json").is_file():
            return ModeratorScorer(Moderator.from_directory(path), policy)
        if (path / "config.json").is_file():
            return _hugging_face(path)
        raise ModelError(f"{path}: neither a model directory of this project (manifest.json) nor a Hugging Face one (config.json)")
    if ":" in spec and not path.exists():
        return _from_module(spec, policy)
    raise ModelError(f"there is no model '{spec}'. Models: {SPECS}.")


def _from_module(spec: str, policy: Policy) -> Scorer:
    module_name, _, attribute = spec.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ModelError(f"{spec}: no module '{error.name}'. It is looked for in the working directory and in what is installed.") from error
    finally:
        sys.path.remove(str(Path.cwd()))
    found = getattr(module, attribute, None)
    if found is None:
        raise ModelError(f"{spec}: '{module_name}' has no '{attribute}'. It has: {', '.join(n for n in vars(module) if not n.startswith('_')) or 'nothing'}.")
    if inspect.isclass(found):
        found = found()
    if hasattr(found, "score") and hasattr(found, "measured"):
        return ModeratorScorer(Moderator(found), policy)
    if not callable(found):
        raise ModelError(f"{spec} is {type(found).__name__}: a Classifier, or a callable from texts to scores is expected.")
    return CallableScorer(found, spec, {"source": _digest([Path(module.__file__)]) if module.__file__ else "-"})


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


# --- peers -------------------------------------------------------------------------------------------------------------------------------------


def _profanity_check() -> Scorer:
    try:
        from profanity_check import predict_prob
    except ImportError as error:
        raise ModelError("profanity-check is not installed. Install it with: pip install alt-profanity-check") from error

    def score(texts: list[str]) -> np.ndarray:
        return np.asarray(predict_prob(texts))

    return CallableScorer(score, "alt-profanity-check", {"alt-profanity-check": version("alt-profanity-check"), "scikit-learn": version("scikit-learn")})


def fit_tfidf(path: Path) -> Scorer:
    """The usual first baseline, one per category that the rows label on both sides.

    Raises:
        InputError: when the file cannot be read, or no category has both classes.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    data = open_data(path)
    rows = [(post.text, post.labels) for post in data if post.text is not None]
    texts, labels = [text for text, _ in rows], np.array([label for _, label in rows], dtype=np.int8)
    fitted: dict[str, Any] = {}
    for i, category in enumerate(MEASURED):
        known = np.flatnonzero(labels[:, i] >= 0)
        if len(np.unique(labels[known, i])) < 2:
            continue
        least = 2 if len(known) >= 1000 else 1
        words = TfidfVectorizer(ngram_range=(1, 2), min_df=least, sublinear_tf=True, max_features=100_000, dtype=np.float32)
        letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=least, sublinear_tf=True, max_features=200_000, dtype=np.float32)
        model = make_pipeline(make_union(words, letters), LogisticRegression(C=4.0, class_weight="balanced", solver="liblinear"))
        fitted[category] = model.fit([texts[k] for k in known], labels[known, i])
    if not fitted:
        raise InputError(f"{path}: a baseline needs rows labelled yes and rows labelled no in some category; there are none.")

    def score(batch: list[str]) -> list[dict[str, float]]:
        columns = {category: model.predict_proba(batch)[:, 1].tolist() for category, model in fitted.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    return CallableScorer(score, f"tfidf ({len(rows):,} rows)", {"scikit-learn": version("scikit-learn"), "fitted on": data.sha256[:16]})


#: Parts of label names of public checkpoints -> our categories; the first that fits counts.
_LABELS = (
    ("hate", "hate"), ("hs", "hate"), ("identity", "hate"), ("threat", "violence"), ("violen", "violence"), ("incit", "incitement"),
    ("toxic", "abuse"), ("offens", "abuse"), ("abus", "abuse"), ("insult", "abuse"), ("profan", "abuse"), ("obscen", "abuse"),
)  # fmt: skip
_NEGATIVE = ("no", "neutral", "neither", "clean", "acceptable", "other")
"""How labels for "nothing of the kind" begin: none, not-hate, normal, non-toxic, ..."""


def label_categories(names: Sequence[str]) -> list[str | None]:
    """What the labels of a checkpoint mean; two labels without a name are no and yes.

    Raises:
        ModelError: when none of them is told by its name.
    """
    if len(names) == 1:
        return ["hate"]
    if all(name.upper().startswith("LABEL_") for name in names):
        if len(names) == 2:
            return [None, "hate"]
        raise ModelError(f"the {len(names)} labels of this checkpoint have no names: wrap it in a function and measure it as module:name")

    def one(name: str) -> str | None:
        low = name.lower().strip()
        return None if low.startswith(_NEGATIVE) else next((category for part, category in _LABELS if part in low), None)

    told = [one(name) for name in names]
    if not any(told):
        raise ModelError(f"none of the labels {', '.join(names)} is told by its name: wrap the checkpoint in a function and measure it as module:name")
    return told


def _hugging_face(path: Path) -> Scorer:
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("a Hugging Face directory", "transformers") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(path, local_files_only=True, use_safetensors=True).eval()
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: transformers {version('transformers')} cannot load it as a sequence classifier with safetensors weights ({type(error).__name__})") from error
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    categories = label_categories([model.config.id2label[i] for i in range(model.config.num_labels)])
    many = model.config.num_labels == 1 or config.get("problem_type") == "multi_label_classification"
    longest = min(512, getattr(model.config, "max_position_embeddings", 514) - 2)

    def score(texts: list[str]) -> Any:
        out = np.zeros((len(texts), len(categories)), np.float32)
        order = np.argsort([len(t) for t in texts], kind="stable")
        for start in range(0, len(texts), 32):
            some = order[start : start + 32]
            batch = tokenizer([texts[i] for i in some], padding=True, truncation=True, max_length=longest, return_tensors="pt")
            with torch.inference_mode():
                logits = model(**batch).logits
            out[some] = (logits.sigmoid() if many else logits.softmax(-1)).float().numpy()
        told = sorted({c for c in categories if c})
        if len(told) == 1:  # several labels for one category, such as hateful and targeted: the highest counts
            return np.max(out[:, [i for i, c in enumerate(categories) if c]], axis=1)
        return [{c: float(max(row[i] for i, name in enumerate(categories) if name == c)) for c in told} for row in out]

    weights = sorted(path.glob("*.safetensors"))
    return CallableScorer(score, path.name, {"weights": _digest(weights), **{p: version(p) for p in ("torch", "transformers")}})


def package_versions() -> dict[str, str]:
    """Of what the measuring itself depends on."""
    out = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("numpy", "scipy", "scikit-learn"):
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = "-"
    return out


