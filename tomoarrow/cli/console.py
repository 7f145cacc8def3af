"""Where commands print tables."""

from __future__ import annotations

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would leave with 1, which here means that something was left out.
        raise BrokenPipeError


def new_console(*, soft_wrap: bool = False) -> Console:
    """A terminal, or what stands in its place; colours only where they are asked for."""
    return _Console(highlight=False, soft_wrap=soft_wrap)
