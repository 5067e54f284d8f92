"""Classical decoders of a run's own trials, folds and targets, as baselines beside it.

Each is a fixed transformation of trials and a linear readout. Nothing but the penalty of the
readout and, where there are several, the transformation is chosen, on the validation side.

Shapes: N trials, F features, M things to decode, G of them in a gallery, O outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.formats import quiet_mne
from brainfm.hub import find_checkpoint
from brainfm.trial_splits import TRIAL_SPLIT_FILE

from . import bold_features
from . import classical_features as features
from .bold_targets import recording_moments
from .classical_readout import Readout, readouts
from .data import DecodingData
from .predictions import Predictions, fold_path, predictions_path
from .run_controls import BASELINES_FOLDER
from .run_data import load_data, settings_of
from .run_record import RunRecord

Array = NDArray[Any]
CHUNK = 256
"""Trials read at once by features that are the same function of every trial."""
BITS_PER_SECOND = 2048.0
"""Of a code of fixed quantiles, where there is no checkpoint whose rate it could have."""


@dataclass(frozen=True)
class Task:
    """What a decoder has to know of the data: ``sfreq`` in Hz, the things to decode, the run."""

    sfreq: float
    ids: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def window(self) -> tuple[float, float]:
        """Return begin and end of a trial, seconds from its event."""
        begin, end = self.settings["data"]["trials"]["window"]
        return float(begin), float(end)

    @property
    def checkpoint(self) -> str | None:
        """Return the folder of the run's checkpoint, None if its backbone has none."""
        found = (self.settings["model"]["backbone"].get("init_args") or {}).get("checkpoint")
        return None if found is None else str(find_checkpoint(found))


Make = Callable[[Task], Any]
"""A scikit-learn transformer for a task."""


@dataclass(frozen=True)
class Classical:
    """A decoder: transformers to choose from, whether the readout is Fisher's discriminant."""

    transformers: tuple[Make, ...]
    discriminant: bool = False


def _csp(task: Task) -> Any:
    from mne.decoding import CSP
    from sklearn.pipeline import make_pipeline

    band = features.BandPass(task.sfreq, features.MOTOR[0])
    return make_pipeline(band, CSP(6, reg="ledoit_wolf", log=True, rank="full"))


def _xdawn(task: Task) -> Any:
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.tangentspace import TangentSpace
    from sklearn.pipeline import make_pipeline

    band = features.BandPass(task.sfreq, features.EVOKED)
    return make_pipeline(band, XdawnCovariances(4, estimator="oas"), TangentSpace())


def _bits_per_second(task: Task) -> float:
    if task.checkpoint is None:
        return BITS_PER_SECOND
    from brainfm.brain_tokenizer import TokenizerConfig
    from brainfm.checkpoints import read_config
    from brainfm.config_json import from_json
    from brainfm.fidelity_card_numbers import bits_per_second

    config = read_config(task.checkpoint)
    return bits_per_second(from_json(TokenizerConfig, config["tokenizer"], task.checkpoint))


DECODERS: MappingProxyType[str, Classical] = MappingProxyType(
    {
        "band_power": Classical((lambda task: features.BandPower(task.sfreq),)),
        "riemann": Classical(
            (
                lambda task: features.TangentSpaces(task.sfreq, features.MOTOR),
                lambda task: features.TangentSpaces(task.sfreq, features.FILTER_BANK),
            )
        ),
        "csp": Classical((_csp,), discriminant=True),
        "cca": Classical(
            (
                lambda task: features.CanonicalCorrelations(
                    task.sfreq, features.frequencies_of(task.ids)
                ),
            ),
            discriminant=True,
        ),
        "evoked": Classical((lambda task: features.TimeWindows(task.sfreq),)),
        "evoked_lda": Classical(
            (lambda task: features.TimeWindows(task.sfreq),), discriminant=True
        ),
        "xdawn": Classical((_xdawn,)),
        "quantile_tokens": Classical(
            (lambda task: features.QuantileTokens(task.sfreq, _bits_per_second(task)),)
        ),
        "mean": Classical((lambda task: bold_features.Nothing(),)),
        "response_power": Classical(
            (lambda task: bold_features.ResponsePower(task.sfreq, task.window),)
        ),
        "lagged_power": Classical(
            (lambda task: bold_features.LaggedPower(task.sfreq, task.window),)
        ),
        "alpha_theta": Classical((lambda task: bold_features.AlphaTheta(task.sfreq, task.window),)),
        "voxel_means": Classical((lambda task: features.Means(),)),
        "voxel_lda": Classical((lambda task: features.Means(),), discriminant=True),
        "code_histogram": Classical((lambda task: features.Stateless(),)),
    }
)
"""By name. ``csp``, ``cca`` and ``xdawn`` know classes only; ``mean``, ``response_power``,
``lagged_power`` and ``alpha_theta`` are meant for volumes of BOLD."""
CLASSES_ONLY = ("csp", "cca", "xdawn", "evoked_lda", "voxel_lda")


def run_classical(run: Path, name: str) -> Path:
    """Fit a classical decoder to the folds of a run; return its folder, ``RUN/baselines/NAME``.

    Finished folds are not fitted again.

    Parameters
    ----------
    run
        A run that ``brainfm finetune fit`` made.
    name
        One of :data:`DECODERS`.

    Raises
    ------
    ValueError
        The decoder is not apt: it is not known, decodes classes only, or needs the same channels in
        all recordings, frequencies of stimuli, or a checkpoint.
    """
    if name not in DECODERS:
        raise ValueError(f"no classical decoder {name!r}; there are {', '.join(DECODERS)}")
    record = RunRecord.load(run)
    if record.kind == "text":
        raise ValueError("classical decoders make no text")
    if name in CLASSES_ONLY and record.kind != "classes":
        raise ValueError(f"{name} decodes classes, and the run decodes {record.kind}")
    out = run / BASELINES_FOLDER / name
    settings = settings_of(run)
    for fold in range(record.n_folds):
        folder = fold_path(out, fold)
        if predictions_path(folder, "test").is_file():
            continue
        data = load_data(run, fold=fold)
        task = Task(data.corpus.config.sfreq, record.ids, settings)
        try:
            with quiet_mne():
                fitted = _fit(data, task, name, record)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{name} needs {error.name}: pip install 'brainfm-toolkit[baselines]'"
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        for side in ("validation", "test"):
            if len(data.indices(side)):
                fitted(side).save(predictions_path(folder, side))
    manifest = run / TRIAL_SPLIT_FILE
    (out / TRIAL_SPLIT_FILE).write_bytes(manifest.read_bytes())
    replace(record, name=name, overlap=_overlap(record, name)).save(out)
    return out


def _overlap(record: RunRecord, name: str) -> str:
    """Return what the record says of pretraining, which only codes have any part in."""
    return record.overlap if name == "code_histogram" else "no pretraining"


def _signal(data: DecodingData, task: Task, name: str) -> Callable[[NDArray[np.int64]], Array]:
    """Return what reads the input of a decoder: windows, or histograms of codes."""
    if name != "code_histogram":
        return lambda trials: data.windows(trials).astype(np.float64)
    if task.checkpoint is None:
        raise ValueError("code_histogram needs a checkpoint, which the run's backbone has not")
    from .code_histogram import code_histograms

    found = code_histograms(task.checkpoint, data)
    return lambda trials: found[trials]


def _fit(
    data: DecodingData, task: Task, name: str, record: RunRecord
) -> Callable[[str], Predictions]:
    """Fit all candidates on the training side and return what predicts a side with the best."""
    read = _signal(data, task, name)
    train, validation = data.indices("train"), data.indices("validation")
    rows, decoder, targets = data.targets.rows, DECODERS[name], data.targets
    if targets.window is not None:
        assert targets.values is not None
        mean, deviation = recording_moments(targets, rows[train])
        targets = replace(targets, values=(targets.values - mean) / deviation)
    best: tuple[float, Any, Readout] | None = None
    for make in decoder.transformers:
        transformer = make(task)
        x = _fitted(transformer, read, train, rows)
        kinds = readouts(record.kind, targets, discriminant=decoder.discriminant)
        if not len(validation):
            # No choice without a side for it: the first transformation, the middle penalty.
            best = (0.0, transformer, kinds[len(kinds) // 2].fit(x, rows[train]))
            break
        checked = _transformed(transformer, read, validation)
        for readout in kinds:
            readout.fit(x, rows[train])
            score = readout.score(checked, rows[validation])
            if best is None or score > best[0]:
                best = (score, transformer, readout)
    assert best is not None
    _, transformer, readout = best
    return lambda side: _predict(data, read, transformer, readout, side)


def _fitted(
    transformer: Any,
    read: Callable[[NDArray[np.int64]], Array],
    trials: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> Array:
    """Fit a transformer and return what it makes of the trials."""
    if isinstance(transformer, features.Stateless):
        return _transformed(transformer, read, trials)
    x = read(trials)
    return np.asarray(transformer.fit(x, rows[trials]).transform(x))


def _transformed(
    transformer: Any, read: Callable[[NDArray[np.int64]], Array], trials: NDArray[np.int64]
) -> Array:
    """Return the features of trials; no more of them are in memory at once than needed."""
    if not isinstance(transformer, features.Stateless):
        return np.asarray(transformer.transform(read(trials)))
    chunks = np.split(trials, range(CHUNK, len(trials), CHUNK))
    return np.concatenate([transformer.transform(read(chunk)) for chunk in chunks])


def _predict(
    data: DecodingData,
    read: Callable[[NDArray[np.int64]], Array],
    transformer: Any,
    readout: Readout,
    side: str,
) -> Predictions:
    targets, trials = data.targets, data.indices(side)
    rows, rivals = targets.rows[trials], targets.rivals
    gallery = np.unique(rows if rivals is None else np.union1d(rows, rivals[trials]))
    values = targets.values if readout.kind == "values" else None
    return Predictions(
        trial=trials,
        target=rows,
        output=readout.predict(_transformed(transformer, read, trials), gallery),
        truth=np.zeros(0, np.float32) if values is None else np.asarray(values[rows]),
        gallery=gallery if readout.kind == "retrieval" else gallery[:0],
        rivals=np.zeros((len(trials), 0), np.int64) if rivals is None else rivals[trials],
    )
