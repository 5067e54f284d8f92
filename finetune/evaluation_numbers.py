"""All numbers of an evaluation, as they are written to ``evaluation.json``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from brainfm.config_json import to_json
from brainfm.decoding_scores import Score

from .decoded_run import DecodedRun, load_run
from .evaluation_curves import class_details, per_output, retrieval_details
from .evaluation_scores import (
    Difference,
    ScoringConfig,
    json_value,
    paired_difference,
    score_measure,
)
from .measures import Measure, choose_main, measures_of
from .modalities import MODALITY
from .run_controls import Beside
from .series_nulls import series_details
from .verdict import Compared, Verdict, verdict

FORMAT = 2
N_TEXTS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """An evaluated run.

    Parameters
    ----------
    run
        The run.
    scores
        Its scores, the main one first.
    measures
        What they were computed from.
    verdict
        The first line.
    controls, baselines
        By name, those it was compared with.
    missing
        By name, controls and baselines it was not compared with, and why.
    details
        Curves, confusions, examples, as JSON values.
    """

    run: DecodedRun
    scores: tuple[Score, ...]
    measures: tuple[Measure, ...]
    verdict: Verdict
    controls: Mapping[str, Compared]
    baselines: Mapping[str, Compared]
    missing: Mapping[str, str]
    details: Mapping[str, Any] = field(default_factory=dict)


def evaluate_run(
    path: Path,
    controls: Beside,
    baselines: Beside,
    cfg: ScoringConfig,
    *,
    metric: str | None = None,
) -> Evaluation:
    """Score a run, what stands beside it, and judge.

    Parameters
    ----------
    path
        Folder of a finished run.
    controls, baselines
        Finished ones, and why others are missing.
    cfg
        Permutations and resamples.
    metric
        The main measure; None: by kind.

    Raises
    ------
    ValueError
        The audit of the run found a leak, or a control is of other trials.
    """
    run = load_run(path)
    refuse_leaks(run)
    measures = choose_main(measures_of(run), metric)
    scores = tuple(score_measure(run, measure, cfg) for measure in measures)
    compared = [
        {name: compare(run, measures[0], folder, cfg) for name, folder in beside.paths.items()}
        for beside in (controls, baselines)
    ]
    found = verdict(
        scores[0],
        compared[0],
        controls.missing,
        compared[1],
        synthetic=run.record.synthetic,
        control=run.record.control,
    )
    return Evaluation(
        run=run,
        scores=scores,
        measures=tuple(measures),
        verdict=found,
        controls=compared[0],
        baselines=compared[1],
        missing={
            **controls.missing,
            **controls.inapplicable,
            **baselines.missing,
            **baselines.inapplicable,
        },
        details={**details_of(run, cfg), **modality_scores(run, measures[0], cfg)},
    )


def refuse_leaks(run: DecodedRun) -> None:
    """Raise ValueError if the audit of the run found anything."""
    if run.record.audit:
        more = f" (and {len(run.record.audit) - 1} more)" if len(run.record.audit) > 1 else ""
        raise ValueError(
            f"{run.path} is not evaluated, its audit found: {run.record.audit[0]}{more}; mend the "
            "split and fit again"
        )


def compare(run: DecodedRun, main: Measure, folder: Path, cfg: ScoringConfig) -> Compared:
    """Score a control by the main measure and pair it with the run.

    Raises
    ------
    ValueError
        It is not of the same trials.
    """
    other = load_run(folder)
    check_same_trials(run, other)
    measure = choose_main(measures_of(other), main.metric.name)[0]
    return Compared(
        score=score_measure(other, measure, cfg),
        difference=paired_difference(run, main, measure, cfg),
    )


def check_same_trials(first: DecodedRun, second: DecodedRun) -> None:
    """Raise ValueError unless two runs decoded the same trials by the same split."""
    if first.record.kind != second.record.kind:
        raise ValueError(
            f"{first.path} predicts {first.record.kind} and {second.path} {second.record.kind}; "
            "they cannot be compared"
        )
    if first.identity != second.identity:
        raise ValueError(
            f"{first.path} and {second.path} were not judged by the same trials and sides (splits "
            f"{first.split.digest[:12]} and {second.split.digest[:12]}); fit both with the same "
            "recordings, events and split"
        )


def details_of(run: DecodedRun, cfg: ScoringConfig) -> dict[str, Any]:
    """Return what the kind of the run has besides scores."""
    kind = run.record.kind
    if kind == "retrieval":
        return retrieval_details(run, cfg)
    if kind == "classes":
        return class_details(run, cfg)
    if run.record.series:
        return series_details(run, cfg)
    if kind == "values":
        return {"outputs": per_output(run, cfg)}
    output, truth = (
        run.pooled([getattr(fold, name) for fold in run.folds]) for name in ("output", "truth")
    )
    step = max(1, len(truth) // N_TEXTS)
    pairs = zip(truth[::step].tolist(), output[::step].tolist(), strict=True)
    return {"texts": [{"truth": t, "decoded": o} for t, o in pairs][:N_TEXTS]}


def modality_scores(run: DecodedRun, main: Measure, cfg: ScoringConfig) -> dict[str, Any]:
    """Return the main measure of the trials of every modality, where there are several."""
    if MODALITY not in run.record.columns:
        return {}
    of_trial, found = run.column(MODALITY), []
    for name in np.unique(of_trial).tolist():
        one = score_measure(run, main, cfg, of_trial == name)
        found.append(to_json(replace(one, name=f"{one.name}, {name}")))
    return {"modalities": found}


def as_numbers(found: Evaluation) -> dict[str, Any]:
    """Return the content of ``evaluation.json``."""
    record = found.run.record
    values: dict[str, Any] = json_value(
        {
            "format": FORMAT,
            "verdict": found.verdict.line,
            "above_controls": found.verdict.above,
            "baselines_line": found.verdict.baselines,
            "warnings": list(found.verdict.warnings),
            "name": record.name,
            "kind": record.kind,
            "synthetic": record.synthetic,
            "n_folds": record.n_folds,
            "n_subjects": len(set(found.run.subjects.tolist())),
            "n_test_trials": len(found.run.trial),
            "presentations_averaged": list(record.presentations),
            "trial_split_digest": record.trial_split_digest,
            "split_by": found.run.split.config.by,
            "stimuli_shared_with_training": [f.shared_stimuli for f in found.run.split.folds],
            "overlap": record.overlap,
            "audit": "no finding",
            "software": record.software,
            "seed": record.seed,
            "scores": [
                {**to_json(score), "gallery_size": measure.gallery_size}
                for score, measure in zip(found.scores, found.measures, strict=True)
            ],
            "controls": {name: _compared(one) for name, one in found.controls.items()},
            "baselines": {name: _compared(one) for name, one in found.baselines.items()},
            "not_compared": dict(found.missing),
            "details": dict(found.details),
        }
    )
    return values


def difference_json(difference: Difference) -> dict[str, Any]:
    """Return a difference as JSON values."""
    return to_json(difference)


def _compared(one: Compared) -> dict[str, Any]:
    return {"score": to_json(one.score), "run_minus_it": difference_json(one.difference)}
