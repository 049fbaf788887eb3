"""What the commands share: how an error of ours is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from ipu_moderation.errors import ModerationError

stderr = Console(stderr=True)


def say_error(error: Exception) -> None:
    """One message on standard error."""
    stderr.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)


@contextmanager
def errors() -> Iterator[None]:
    """Errors of ours on standard error and exit code 1, without a trace; anything else is a fault of ours and shows its trace (a reader that left is click's affair)."""
    try:
        yield
    except ModerationError as error:
        say_error(error)
        raise typer.Exit(1) from error
