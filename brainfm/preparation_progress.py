"""How far a preparation is: a bar on a terminal, a line per minute in a log file."""

import sys
import time
from types import TracebackType
from typing import Any

from brainfm.preparation import Outcome
from brainfm.source_files import files_of
from brainfm.sources import Source

LOG_EVERY_S = 60.0


def source_size(source: Source) -> int:
    """Return the bytes of a source's files; 1 where they cannot be looked at."""
    try:
        return max(1, sum(path.stat().st_size for path in files_of(source.path)))
    except OSError:
        return 1


class Progress:
    """Counts outcomes; speed in hours of signal per minute, time left by bytes still to read.

    Parameters
    ----------
    sources
        All there is to do.
    doing
        What the bar says is done to them.
    """

    def __init__(self, sources: list[Source], *, doing: str = "preparing") -> None:
        self._doing = doing
        self._sizes = {source.id: source_size(source) for source in sources}
        self._total = sum(self._sizes.values())
        self._counts = {"prepared": 0, "kept": 0, "failed": 0}
        self._signal_s = 0.0
        self._worked = 0
        self._skipped = 0
        self._begin = self._logged = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.TextColumn(self._doing),
                progress.BarColumn(),
                progress.TextColumn("{task.description}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.line(), total=self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, outcome: Outcome) -> None:
        """Count one source."""
        self._counts[outcome.status] += 1
        size = self._sizes[outcome.id]
        if outcome.status == "prepared":
            self._worked += size
            self._signal_s += outcome.duration
        else:
            self._skipped += size
        if self._bar is not None:
            self._bar.update(self._task, completed=self._worked + self._skipped)
            self._bar.update(self._task, description=self.line())
        elif time.monotonic() - self._logged > LOG_EVERY_S:
            self._logged = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """Return the state in words."""
        done = sum(self._counts.values())
        text = f"{done}/{len(self._sizes)} recordings"
        if self._counts["failed"]:
            text += f", {self._counts['failed']} failed"
        spent = time.monotonic() - self._begin
        if self._worked:
            rate = self._signal_s / 60 / spent
            left = (self._total - self._worked - self._skipped) * spent / self._worked
            text += f", {rate:.2g} h of signal per minute, {format_time(left)} left"
        return text


def format_time(seconds: float) -> str:
    """Write a time with two numbers, ``2 h 05 min``."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    if hours:
        return f"{hours} h {m:02d} min"
    return f"{m} min {s:02d} s" if m else f"{s} s"
