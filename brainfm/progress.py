"""Progress bars of long commands."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def track(items: Sequence[T], label: str, *, unit: str) -> Iterator[T]:
    """Yield ``items`` with a bar on stderr: label, count, rate and time left."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn(f"{label} {{task.completed}}/{{task.total}} {unit}"),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(items, total=len(items))
