"""Predictions for recordings that a run has not seen, whose events need no labels."""

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import write_bytes_atomic, write_text_atomic
from brainfm.trial_cutting import make_trials
from brainfm.trials import Trials

from .data import CACHE, DecodingData
from .decoder import Decoder, load_decoder
from .input_control import InputControl
from .targets import Targets
from .trial_reader import TrialReader
from .trial_stream import TrialStream

TABLE, ARRAYS = "predictions.csv", "predictions.npz"
MAX_COLUMNS = 200


def write_new_predictions(data: DecodingData, run: Path, out: Path) -> Path:
    """Decode the trials of a source with one fold of a run.

    Writes ``predictions.npz`` (recording, onset, event, output, ids) and, where a trial's output is
    a short row, ``predictions.csv``.

    Parameters
    ----------
    data
        With the new source; its fold is that of the run, 0 if it has none.
    run
        A finished one.
    out
        Folder for the results.

    Returns
    -------
    Path
        The file to look at.
    """
    decoder = load_decoder(run, data.fold or 0)
    folder = Path(data.cache).expanduser() if data.cache else out / CACHE
    processing = decoder.module.backbone.processing
    corpus, cuts = data.source.prepare(folder, processing, n_jobs=data.n_jobs)
    trials = make_trials(cuts, data.trial_config)
    nothing = Targets(ids=np.array(decoder.ids), rows=np.zeros(len(trials), dtype=np.int64))
    reader = TrialReader(
        trials,
        corpus,
        nothing,
        InputControl(),
        scaling=data.scaling,
        clamp=data.clamp,
        several=data.source.one_modality_batches,
    )
    slots = {name: k for k, name in enumerate(decoder.record.subjects, start=1)}
    subjects = trials.units("subject").tolist()
    reader.subject = np.array([slots.get(name, 0) for name in subjects])
    if new := sorted(set(subjects) - set(slots)):
        print(new_subjects(new, own_maps=decoder.module.subject_config.enabled), file=sys.stderr)
    stream = TrialStream(
        reader,
        np.arange(len(trials), dtype=np.int64),
        batch_size=data.batch_size,
        passage=reader.passage if data.keep_passages else None,
        kind=reader.modality,
        n_workers=data.n_workers,
    )
    output = decoder.outputs(stream)
    out.mkdir(parents=True, exist_ok=True)
    _write_arrays(out / ARRAYS, trials, output, decoder)
    header, rows = _table(trials, output, decoder)
    if len(header) > MAX_COLUMNS or decoder.module.head.kind == "retrieval":
        return out / ARRAYS
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text_atomic(out / TABLE, text.getvalue())
    return out / TABLE


def new_subjects(names: Sequence[str], *, own_maps: bool) -> str:
    """Return in words how subjects are decoded that the fold was not trained on."""
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    how = (
        "by the map for unseen subjects" if own_maps else "as all are: there are no subject layers"
    )
    return f"not among the training subjects: {listed}; decoded {how}"


def _write_arrays(path: Path, trials: Trials, output: NDArray[Any], decoder: Decoder) -> None:
    memory = io.BytesIO()
    np.savez_compressed(
        memory,
        recording=np.array([trial.recording for trial in trials.rows]),
        onset=np.array([trial.onset for trial in trials.rows]),
        event=trials.labels,
        output=output,
        ids=decoder.record.targets.ids,
    )
    write_bytes_atomic(path, memory.getvalue())


def _table(
    trials: Trials, output: NDArray[Any], decoder: Decoder
) -> tuple[list[str], list[list[str]]]:
    head, targets = decoder.module.head, decoder.record.targets
    flat = output.reshape(len(output), -1)
    if head.kind != "text":
        numbers = [[f"{value:.6g}" for value in row] for row in flat.tolist()]
    if head.kind == "classes":
        names = ["predicted", *decoder.ids]
        best = [decoder.ids[k] for k in flat.argmax(1).tolist()]
        found = [[name, *row] for name, row in zip(best, numbers, strict=True)]
    elif head.kind == "text":
        names, found = ["text"], [[text] for text in output.tolist()]
    else:
        names = list(targets.units) or [f"output {k}" for k in range(flat.shape[1])]
        found = numbers
    rows = [
        [trial.recording, f"{trial.onset:.6f}", trial.label, *values]
        for trial, values in zip(trials.rows, found, strict=True)
    ]
    return ["recording", "onset", "event", *names], rows
