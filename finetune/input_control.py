"""Null controls at the input: the same run with nothing of the brain left in it.

Shapes: C sensors, T samples, N trials.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainfm.recording_info import content_hash
from brainfm.trials import Trials

from .targets import Targets


@dataclass(frozen=True, kw_only=True)
class InputControl:
    """What is put in the place of the truth.

    Parameters
    ----------
    kind
        ``none``; ``noise``: Gaussian noise instead of every window, on all sides, of the same
        spread everywhere, so that not even amplitudes are left; ``shuffled``: targets of training
        and of validation are permuted within subjects, the test side keeps the true ones;
        ``shifted``: all windows of a recording are taken later by one random time, around its end
        (:mod:`~.circular_shift`).
    seed
        Of what is random; with the content of the recordings it decides all.
    shift_s
        Least shift in s, or a third of the recording where that is less.
    """

    kind: Literal["none", "noise", "shuffled", "shifted"] = "none"
    seed: int = 0
    shift_s: float = 30.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if not 0 < self.shift_s < np.inf:
            raise ValueError(f"shift_s must be positive (s), got {self.shift_s}")

    def generator(self, *content: Any) -> np.random.Generator:
        """Return the random numbers that belong to some content."""
        return np.random.default_rng([self.seed, int(content_hash(self.kind, *content)[:15], 16)])


def noise_like(
    window: NDArray[np.float32], control: InputControl, *content: Any
) -> NDArray[np.float32]:
    """Return noise of mean 0 and spread 1 of the shape of a window (C, T).

    The spread is that of corpus signals as a whole; the window's own would tell of its power.
    """
    generator = control.generator(*content)
    return generator.standard_normal(window.shape, dtype=np.float32)


def shuffled_targets(
    targets: Targets,
    trials: Trials,
    sides: list[NDArray[np.int64]],
    control: InputControl,
) -> Targets:
    """Return targets permuted among the trials of a subject, on each of some sides by itself.

    Where every subject has one target only, they are permuted among all trials of the side.

    Parameters
    ----------
    targets
        The true ones.
    trials
        The table.
    sides
        Trials of each side whose targets are permuted.
    control
        Its seed counts.
    """
    subjects = trials.units("subject")
    order = np.arange(len(trials))
    for number, side in enumerate(sides):
        groups = [side[subjects[side] == name] for name in np.unique(subjects[side]).tolist()]
        if all(len(np.unique(targets.rows[group])) < 2 for group in groups):
            groups = [side]
        for k, group in enumerate(groups):
            order[group] = control.generator(trials.digest, number, k).permutation(group)
    rivals = None if targets.rivals is None else targets.rivals[order]
    return replace(targets, rows=targets.rows[order], rivals=rivals)
