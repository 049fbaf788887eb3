"""Everything this package raises on purpose.

    ModerationError
    ├── InputError            a file, row or value from outside is not what it should be
    ├── PackError             a rule pack has faults (all of them listed)
    ├── PolicyError           a policy has faults, or asks for what no policy may do
    ├── ModelError            a model directory is missing, damaged, too old or foreign
    └── MissingExtraError     a part needs a package that is not installed

Messages name the file, the thing, what exists instead and what helps. They never hold the text of a user.
"""

from __future__ import annotations


class ModerationError(Exception):
    """The root: catching it catches everything that this package raises on purpose."""


class InputError(ModerationError):
    """A file, row or value from outside cannot be used as it stands."""


class PackError(ModerationError):
    """A rule pack has faults; `faults` lists them all."""

    def __init__(self, message: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class PolicyError(ModerationError):
    """A policy has faults, or asks for what no policy may do; `faults` lists them all."""

    def __init__(self, message: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class ModelError(ModerationError):
    """A model directory is missing, damaged, of another version, or not one of ours."""


class MissingExtraError(ModerationError):
    """A part of the package needs a distribution that is not installed."""

    def __init__(self, part: str, extra: str) -> None:
        super().__init__(f"{part} needs packages that are not installed. Install them with: pip install 'ipu-moderation[{extra}]'")
