"""Where commands print tables."""

from __future__ import annotations

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would leave with 1, which here means that something was left out.
        raise BrokenPipeError


def new_console() -> Console:
    """A terminal, or what stands in its place; colours only where they are asked for."""
    # Emoji would stand for ":100:", which is line 100 of a file.
    return _Console(highlight=False, emoji=False)
