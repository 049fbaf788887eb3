"""The only file that knows where the data of the package lies."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_DATA = Path(str(files("ipu_moderation"))) / "data"


def model_directory() -> Path:
    """The default classifier."""
    return _DATA / "model"


def rule_packs() -> list[Path]:
    """The rule packs that ship with the package, by name."""
    return sorted((_DATA / "rules").glob("*.yaml"))


def policy_file(name: str) -> Path:
    """A preset policy; the file need not exist."""
    return _DATA / "policies" / f"{name}.yaml"


def policy_names() -> list[str]:
    """The preset policies, by name."""
    return sorted(p.stem for p in (_DATA / "policies").glob("*.yaml"))


def worksheets_file() -> Path:
    """The questions of the legal tests."""
    return _DATA / "worksheets.yaml"


def notices_file() -> Path:
    """What authors are told, by language."""
    return _DATA / "notices.yaml"


def sample_posts() -> Path:
    """The posts that `make demo` assesses: written for this project, harmless stand-in groups."""
    return _DATA / "samples" / "posts.csv"
