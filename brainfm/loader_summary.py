"""What a loader uses of a corpus, and what it leaves out or repeats."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brainfm.corpus import Corpus
from brainfm.sampling import Ints
from brainfm.schedule import EpochSchedule
from brainfm.stretches import Stretches


@dataclass(frozen=True, kw_only=True)
class LoaderSummary:
    """An epoch in numbers; ``str`` of it is what is printed.

    Parameters
    ----------
    recordings, hours
        What the loader was given.
    windows, window_s
        Windows per epoch over all ranks, and seconds of each.
    steps
        Batches per rank.
    kinds
        Channels, most windows per batch and windows per epoch of every kind of batch.
    unused_recordings
        Recordings without a single window: too short, or too much of them flagged.
    flagged_hours
        Hours that no window may come from: flagged seconds and pieces between them that are
        shorter than a window; whole recordings that are too short included.
    edge_hours
        Hours outside the windows of one epoch; others in the next, as offsets change.
    repeated
        Windows handed out twice per epoch because there are fewer than ranks.
    factors
        How often an epoch draws a window, per data set.
    """

    recordings: int
    hours: float
    windows: int
    window_s: float
    steps: int
    kinds: tuple[tuple[int, int, int], ...]
    unused_recordings: int
    flagged_hours: float
    edge_hours: float
    repeated: int
    factors: Mapping[str, float]

    def __str__(self) -> str:
        lines = [
            f"{self.recordings} recordings, {self.hours:.2f} h: {self.windows} windows of "
            f"{self.window_s:g} s per epoch in {self.steps} steps",
            "batches: "
            + "; ".join(
                f"{size} x {channels} channels ({n} windows)" for channels, size, n in self.kinds
            ),
            f"left out: {self.unused_recordings} recordings without a clean window, "
            f"{self.flagged_hours:.2f} h flagged or in pieces shorter than a window; "
            f"{self.edge_hours:.2f} h at edges, others in every epoch",
            f"repeated: {self.repeated} windows per epoch",
        ]
        uneven = [f"{name} {factor:.3g}" for name, factor in self.factors.items() if factor != 1]
        if uneven:
            lines.append(f"drawn per window and epoch: {', '.join(uneven)}")
        return "\n".join(lines)


def summarise(
    corpus: Corpus, chosen: Ints, stretches: Stretches, schedule: EpochSchedule
) -> LoaderSummary:
    """Count what a schedule over these stretches of the chosen recordings uses."""
    pool = schedule.pool
    rate = float(corpus.columns.sfreq[chosen[0]])
    total = int(corpus.columns.n_times[chosen].sum())
    usable = int(stretches.length[pool.counts > 0].sum())
    used = np.unique(stretches.recording[pool.counts > 0])
    present = np.unique(corpus.columns.dataset[chosen])
    assert pool.factors is not None
    return LoaderSummary(
        recordings=len(chosen),
        hours=total / rate / 3600,
        windows=int(pool.sizes.sum()),
        window_s=pool.window / rate,
        steps=len(schedule),
        kinds=tuple(
            (channels, size, n)
            for channels, size, n in zip(
                pool.group_costs.tolist(),
                schedule.sizes.tolist(),
                pool.sizes.tolist(),
                strict=True,
            )
            if n
        ),
        unused_recordings=len(chosen) - len(used),
        flagged_hours=(total - usable) / rate / 3600,
        edge_hours=(usable - int(pool.counts.sum()) * pool.window) / rate / 3600,
        repeated=schedule.repeated,
        factors={
            corpus.columns.datasets[d]: float(pool.factors[d])
            for d in present.tolist()
            if d < len(pool.factors)
        },
    )
