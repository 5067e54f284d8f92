"""A score that can be believed: with its chance level, its p-value and its interval.

Shapes: N trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.bootstrap import FEW_UNITS, MIN_UNITS, blocks_interval, mean_interval
from brainfm.chance import exchangeable, permutation_test
from brainfm.decoding_metrics import Metric
from brainfm.sensors import FloatArray

CONFOUNDED = "no p: every block has one target only, so the block alone gives it away"


@dataclass(frozen=True, kw_only=True)
class Score:
    """A measure of decoding over subjects.

    Parameters
    ----------
    name
        Of the measure.
    value
        Mean over subjects of each subject's value; NaN if no subject has one.
    subjects
        The values by subject, those that are not defined left out.
    n_trials
        Trials that were decoded.
    chance
        Analytic chance level, None where there is none.
    null_mean
        Mean with shuffled targets, None where they were not shuffled.
    p_value
        One-sided, of the permutation test; likewise.
    n_permutations
        Of that test.
    interval
        95 % bootstrap interval of ``value``, widened for the number of units as Student's is
        (:mod:`brainfm.bootstrap`); None with fewer than three.
    over, n_units
        What the interval is over and how many there are: ``"subjects"`` or, if there are fewer
        than three, blocks of the subjects by the caller's name. Then it says nothing of others.
    note
        What a reader must know, else empty.
    """

    name: str
    value: float
    subjects: dict[str, float] = field(default_factory=dict)
    n_trials: int
    chance: float | None
    null_mean: float | None = None
    p_value: float | None = None
    n_permutations: int = 0
    interval: tuple[float, float] | None = None
    over: str = "subjects"
    n_units: int = 0
    note: str = ""


def score(
    metric: Metric,
    prediction: NDArray[Any],
    target: NDArray[Any],
    *,
    subjects: Sequence[str] | NDArray[np.str_],
    blocks: Sequence[str] | NDArray[np.str_] | None = None,
    block_name: str = "sessions",
    generator: np.random.Generator,
    n_permutations: int = 1000,
    n_resamples: int = 2000,
) -> Score:
    """Compute a measure, how it compares with chance and how sure it is.

    Parameters
    ----------
    metric
        The measure.
    prediction, target
        (N, ...) each, as it wants them, of test trials alone.
    subjects
        (N,) whose trial each is.
    blocks
        (N,) session or run of each within its subject: what targets are exchangeable in, and what
        the interval is over with fewer than three subjects. Not given: the subject.
    block_name
        What the blocks are called in the result.
    generator
        Draws permutations and resamples.
    n_permutations, n_resamples
        How many; 0 leaves out the test, or the interval.

    Raises
    ------
    ValueError
        Lengths differ, or there is no trial.
    """
    who = np.asarray(subjects, dtype=np.str_)
    lengths = {len(prediction), len(target), len(who), len(who if blocks is None else blocks)}
    if len(lengths) > 1 or not len(who):
        raise ValueError(
            f"predictions, targets, subjects and blocks must have one length, got {sorted(lengths)}"
        )
    inner = who if blocks is None else np.asarray(blocks, dtype=np.str_)
    # A block's name counts within its subject only.
    block = np.unique(np.stack([who, inner]), axis=1, return_inverse=True)[1].reshape(-1)
    names, owner = np.unique(who, return_inverse=True)
    members = [np.flatnonzero(owner == k) for k in range(len(names))]

    def by_subject(truth: NDArray[Any]) -> FloatArray:
        return np.array([metric.compute(prediction[m], truth[m]) for m in members])

    values = by_subject(target)
    there = np.isfinite(values)
    found: dict[str, Any] = {}
    notes = []
    if not there.any():
        notes.append(f"{metric.name} is not defined for any subject")
    elif n_permutations and metric.chance is not None:
        if exchangeable(target, block):
            test = permutation_test(
                lambda truth: float(by_subject(truth)[there].mean()),
                target,
                block,
                generator=generator,
                n_permutations=n_permutations,
                higher_is_better=metric.higher_is_better,
            )
            found |= {
                "p_value": test.p_value,
                "null_mean": _mean(test.null),
                "n_permutations": n_permutations,
            }
        else:
            notes.append(CONFOUNDED)
    if there.any() and n_resamples:
        found |= _interval(
            metric,
            prediction,
            target,
            values[there],
            [_split(members[k], block) for k in np.flatnonzero(there).tolist()],
            block_name,
            generator,
            n_resamples,
        )
    if "interval" in found and found["n_units"] < FEW_UNITS:
        few = f"the interval is over {found['n_units']} {found.get('over', 'subjects')} only"
        notes.append(f"{few}: wide, and right only if those are about normal")
    return Score(
        name=metric.name,
        value=_mean(values),
        subjects=dict(zip(names[there].tolist(), values[there].tolist(), strict=True)),
        n_trials=len(who),
        chance=metric.chance,
        note="; ".join(notes),
        **found,
    )


def _mean(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _split(members: NDArray[np.int64], block: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return a subject's trials block by block."""
    return [members[block[members] == one] for one in np.unique(block[members])]


def _interval(
    metric: Metric,
    prediction: NDArray[Any],
    target: NDArray[Any],
    values: FloatArray,
    blocks: list[list[NDArray[np.int64]]],
    block_name: str,
    generator: np.random.Generator,
    n_resamples: int,
) -> dict[str, Any]:
    if len(values) >= MIN_UNITS:
        low, high = mean_interval(
            values, generator=generator, n_resamples=n_resamples, limits=metric.limits
        )
        return {"interval": (float(low), float(high)), "n_units": len(values)}
    counts = [len(each) for each in blocks]
    found: dict[str, Any] = {"over": block_name, "n_units": sum(counts)}
    if min(counts) < 2 or sum(counts) < MIN_UNITS:
        return found

    def redrawn(chosen: Sequence[NDArray[np.int64]]) -> float:
        drawn = [
            np.concatenate([own[k] for k in picks.tolist()])
            for own, picks in zip(blocks, chosen, strict=True)
        ]
        return _mean(np.array([metric.compute(prediction[m], target[m]) for m in drawn]))

    interval = blocks_interval(
        redrawn, counts, generator=generator, n_resamples=n_resamples, limits=metric.limits
    )
    return found | {"interval": interval}
