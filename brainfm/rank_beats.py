"""What ranks tell of themselves, and what follows from it: who has died, failed or hangs."""

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, kw_only=True)
class RankWatchConfig:
    """How long the ranks of a job wait for one of them.

    Parameters
    ----------
    timeout_s
        Seconds without a sign of life after which a rank counts as dead and the job ends.
    stall_s
        Seconds in which no rank goes on, though all are alive, after which the job ends. Writing a
        checkpoint and compiling count as waiting.
    """

    timeout_s: float = 20.0
    stall_s: float = 1800.0

    def __post_init__(self) -> None:
        for name in ("timeout_s", "stall_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    @property
    def period_s(self) -> float:
        """Return the seconds between two signs of life."""
        return self.timeout_s / 6


@dataclass(kw_only=True)
class Beat:
    """A sign of life.

    Parameters
    ----------
    count
        Signs so far.
    done
        Pieces of work begun so far; the same on all ranks that are equally far.
    doing
        The last of them.
    failed
        The error that ended the rank; empty while there is none.
    left
        Whether the rank has ended in order.
    where
        Machine and process, for messages.
    """

    count: int = 0
    done: int = 0
    doing: str = "start"
    failed: str = ""
    left: bool = False
    where: str = field(default_factory=lambda: f"{socket.gethostname()}, process {os.getpid()}")

    def to_text(self) -> str:
        """Return what :meth:`from_text` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str | bytes) -> "Beat":
        """Read what :meth:`to_text` returned."""
        return cls(**json.loads(text))


class Judge:
    """Looks at the signs of all ranks once a period and says when the job is lost.

    It counts its own looks, not a clock: a job that is suspended as a whole misses none.
    """

    def __init__(self, cfg: RankWatchConfig) -> None:
        self.cfg = cfg
        self._before: list[Beat] = []
        self._missed: list[int] = []
        self._stalled = 0

    def look(self, beats: Sequence[Beat]) -> str | None:
        """Return why the job must end, None while it need not. ``beats`` holds one per rank."""
        before = self._before
        self._before = list(beats)
        if not before:
            self._missed = [0] * len(beats)
            return self._failed()
        pairs = list(zip(beats, before, strict=True))
        self._missed = [
            missed + 1 if beat.count == old.count and not beat.left else 0
            for (beat, old), missed in zip(pairs, self._missed, strict=True)
        ]
        moved = any(beat.done != old.done or beat.left for beat, old in pairs)
        self._stalled = 0 if moved else self._stalled + 1
        return self._failed() or self._silent() or self._hanging()

    def _failed(self) -> str | None:
        for rank, beat in enumerate(self._before):
            if beat.failed:
                return f"rank {rank} ({beat.where}) failed: {beat.failed}"
        return None

    def _silent(self) -> str | None:
        for rank, missed in enumerate(self._missed):
            if missed * self.cfg.period_s >= self.cfg.timeout_s:
                return (
                    f"rank {rank} ({self._before[rank].where}) has given no sign of life for "
                    f"{self.cfg.timeout_s:g} s: it was killed, or its machine is gone"
                )
        return None

    def _hanging(self) -> str | None:
        if self._stalled * self.cfg.period_s < self.cfg.stall_s:
            return None
        last = min(range(len(self._before)), key=lambda rank: self._before[rank].done)
        beat = self._before[last]
        return (
            f"no rank has gone on for {self.cfg.stall_s:g} s; the furthest behind is rank {last} "
            f"({beat.where}), in '{beat.doing}'"
        )
