"""Functional tests of ours: one YAML file a language, templates x terms -> posts with an expected outcome and why.

    python -m eval.suites                 # check all files of eval/suites; all faults at once
    python -m eval.suites eval/suites/de.yaml

`eval/README.md` says how a file is written. No sentence may stand in `training/templates`: what is trained on cannot be measured with.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ipu_moderation.errors import InputError
from ipu_moderation.taxonomy import TargetGroup
from training.labelled import FACETS, MEASURED, Post

SUITES = Path(__file__).parent / "suites"
FILLS = 12
"""Terms a template is filled with at most; which ones is decided by hash."""
VARIANTS = 3
"""Sentences of a template that takes no term, only plain slots."""
_PLACE = re.compile(r"\{(\w+)\}")
_TARGETS = frozenset(g.value for g in TargetGroup)


class Test(BaseModel):
    """One functionality of one language: templates with one expected outcome."""

    __test__ = False  # not for pytest
    model_config = ConfigDict(extra="forbid", frozen=True)
    functionality: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    expect: Annotated[dict[str, bool], Field(min_length=1)]
    why: str
    protected: str | None = None
    only: list[str] = []
    """Targets that the templates make sense for; all when empty."""
    templates: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Test:
        strange = [c for c in self.expect if c not in MEASURED]
        if strange:
            raise ValueError(f"expect: {', '.join(strange)}: no category; categories: {', '.join(MEASURED)}")
        if self.functionality.endswith("_nh") and self.expect.get("hate"):
            raise ValueError("a functionality that ends in _nh expects hate: false")
        return self


class Suite(BaseModel):
    """One file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    language: str
    reviewed_by: str
    slots: dict[str, list[str] | list[dict[str, str]]]
    tests: Annotated[list[Test], Field(min_length=1)]

    @property
    def terms(self) -> list[dict[str, str]]:
        """All entries that carry forms (and the `target` they belong to)."""
        return [entry for entries in self.slots.values() for entry in entries if isinstance(entry, dict)]

    def plain(self, name: str) -> list[str]:
        """The words of a plain slot; empty when there is no such slot, or when its entries carry forms."""
        return [e for e in self.slots.get(name, []) if isinstance(e, str)]

    def fitting(self, template: str, only: list[str]) -> list[dict[str, str]]:
        """The terms that have every form that a template asks for."""
        forms = {name for name in _PLACE.findall(template) if not self.plain(name)}
        return [t for t in self.terms if forms and forms <= set(t) and (not only or t.get("target") in only)]


def suite_files(path: Path) -> list[Path]:
    """The suites under a path, by name.

    Raises:
        InputError: when there are none.
    """
    files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise InputError(f"{path}: no suites (.yaml files, one a language) are here. eval/README.md says how one is written.")
    return files


def read_suite(path: Path) -> Suite:
    """One suite, checked.

    Raises:
        InputError: with all faults of the file, numbered.
    """
    try:
        suite = Suite.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"{path}: not valid YAML" + (f" at line {mark.line + 1}" if mark else "")) from error
    except ValidationError as error:
        raise InputError(_list(path, [f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()])) from error
    faults = [] if suite.language == path.stem else [f"language: {suite.language} does not fit the file name"]
    faults += [f"slots: unknown target '{t['target']}'; targets: {', '.join(sorted(_TARGETS))}" for t in suite.terms if t.get("target") not in (None, *_TARGETS)]
    seen: dict[str, str] = {}
    for i, test in enumerate(suite.tests):
        where = f"tests.{i} ({test.functionality})"
        for template in test.templates:
            if template in seen:
                faults.append(f"{where}: a template stands in {seen[template]} too: number {test.templates.index(template) + 1}")
            seen[template] = where
            forms = {name for name in _PLACE.findall(template) if not suite.plain(name)}
            if forms and not suite.fitting(template, test.only):
                faults.append(f"{where}: no entry of slots has {', '.join(sorted(forms))}, asked for by template {test.templates.index(template) + 1}")
            if "{" in _PLACE.sub("", template) or "}" in _PLACE.sub("", template):
                faults.append(f"{where}: a brace without its fellow in template {test.templates.index(template) + 1}")
    if faults:
        raise InputError(_list(path, faults))
    return suite


def _list(path: Path, faults: list[str]) -> str:
    return f"{path}: {len(faults)} faults\n" + "\n".join(f"{i:3d}. {fault}" for i, fault in enumerate(faults, 1))


def _rank(*parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()


def fill(suite: Suite, template: str, term: dict[str, str], variant: str = "") -> str:
    """A template with this term; plain slots are filled by hash of template, term and variant."""

    def word(match: re.Match[str]) -> str:
        words = suite.plain(match[1])
        value = min(words, key=lambda w: _rank(template, str(sorted(term.items())), variant, match[1], w)) if words else term[match[1]]
        return value[:1].upper() + value[1:] if not re.search(r"\w", template[: match.start()]) else value

    return _PLACE.sub(word, template)


def sentences(suite: Suite, test: Test, template: str, fills: int = FILLS) -> list[tuple[str, dict[str, str]]]:
    """The posts of one template, with the term of each: the same ones every time."""
    terms = sorted(suite.fitting(template, test.only), key=lambda t: _rank(template, str(sorted(t.items()))))[:fills]
    if terms:
        return list({text: (text, term) for term in terms if (text := fill(suite, template, term))}.values())
    variants = VARIANTS if _PLACE.search(template) else 1
    return [(text, {}) for text in dict.fromkeys(fill(suite, template, {}, str(i)) for i in range(variants))]


def expand(path: Path, fills: int = FILLS) -> Iterator[Post]:
    """The posts of all suites under a path, in order.

    Raises:
        InputError: when a suite has faults.
    """
    number = 0
    for file in suite_files(path):
        suite = read_suite(file)
        for test in suite.tests:
            labels = tuple(int(test.expect[c]) if c in test.expect else -1 for c in MEASURED)
            facets: list[str | None] = [None] * len(FACETS)
            facets[FACETS.index("functionality")], facets[FACETS.index("protected")] = test.functionality, test.protected
            for template in test.templates:
                cluster = f"{suite.language}/{_rank(template).hex()}"
                for text, term in sentences(suite, test, template, fills):
                    number += 1
                    groups = (term["target"],) if "target" in term else ()
                    yield Post(f"{cluster}/{_rank(text).hex()[:8]}", number, text, suite.language, labels, groups, tuple(facets), cluster)


def main(arguments: list[str] | None = None) -> int:
    """Check suites; a line each."""
    paths = [Path(a) for a in (sys.argv[1:] if arguments is None else arguments)] or [SUITES]
    faults = 0
    for path in paths:
        try:
            files = suite_files(path)
        except InputError as error:
            print(error)
            return 1
        for file in files:
            try:
                suite = read_suite(file)
            except InputError as error:
                print(error)
                faults += 1
                continue
            rows: list[Any] = list(expand(file))
            hateful = sum(p.labels[0] == 1 for p in rows)
            templates = sum(len(t.templates) for t in suite.tests)
            kinds = len({t.functionality for t in suite.tests})
            print(f"{file.name:14s} {kinds:3d} functionalities, {templates:4d} templates, {len(rows):5,} posts, {hateful:5,} hateful, reviewed by: {suite.reviewed_by}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
