"""Progress on a terminal: a bar for bytes, a line for what is happening."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from apps.cli.render.console import is_live


@contextmanager
def bar(title: str, *, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show a bar while bytes pass; it yields what to call with each amount."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns,
        TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not is_live(),
    ) as shown:
        task = shown.add_task(title, total=total_bytes)
        yield lambda amount: shown.update(task, advance=amount)
