"""Sensor maps of a run: which decoders, which trials, how they are drawn."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from brainfm.averaging import credit_of
from brainfm.report_page import Page
from brainfm.report_sensors import fit_head, unroll
from brainfm.report_style import SIGNED_MAP, new_figure
from brainfm.sensors import SENSOR_TYPES, SensorArray

from .data import DecodingData
from .decoded_run import DecodedRun
from .measures import choose_main, measures_of
from .modalities import modalities_of
from .occlusion import Decode, Device, Judge, SensorMap, mean_map, select, sensor_maps
from .predictions import Predictions
from .running_score import similarity
from .trial_batch import TrialBatch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = Mapping[str, Any]
MIN_PLACES = 8
SECTION = "Sensors"


def run_sensor_maps(
    run: DecodedRun, main: str, *, max_trials: int
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return what is lost without the sensors around each place, a map for every device.

    Parameters
    ----------
    run
        A run whose decoders are there.
    main
        Name of the measure whose loss is shown, where that is one of few trials (see
        :func:`judge_of`).
    max_trials
        Most test trials of all folds that are decoded, drawn once for all; one of each at least.

    Returns
    -------
    list of dict, dict of str
        The maps as JSON values; by name, why one was not made.
    """
    if run.record.kind == "text":
        return [], {"sensor maps": "not made for texts"}
    devices: list[Device] = []
    maps: dict[int, list[SensorMap]] = {}
    for fold in range(len(run.folds)):
        decode, data = _decoder(run.path, fold, run.folds[fold])
        batches = of_sensors(chosen_batches(data, max(1, max_trials // len(run.folds))))
        judge = judge_of(run, fold, main)
        for number, found in sensor_maps(decode, batches, judge, devices).items():
            maps.setdefault(number, []).append(found)
    found_maps, left_out = [], {}
    if not maps:
        left_out["sensor maps"] = "channels are voxels"
    for each in maps.values():
        mean = mean_map(each)
        if mean is None:
            left_out[f"sensor map of {each[0].device.name}"] = "no fold defines the score"
        else:
            found_maps.append(map_numbers(mean, judged_name(run, main)))
    return found_maps, left_out


def add_sensor_maps(page: Page, maps: Sequence[Numbers]) -> None:
    """Draw maps of :func:`run_sensor_maps`."""
    for one in maps:
        if len(one["drop"]) < MIN_PLACES:
            page.leave_out(f"sensor map of {one['device']}", "too few places for a map")
            continue
        caption = (
            f"Loss of {one['judged_by']} ({one['score']:.3f} with all sensors) without the "
            f"sensors within 4 cm, mean over folds, {one['n_trials']} trials."
        )
        page.add(SECTION, f"What is lost: {one['device']}", map_figure(one), caption)


def judged_name(run: DecodedRun, main: str) -> str:
    """Return what maps are judged by."""
    return "2-way identification" if run.record.kind == "retrieval" else main


def judge_of(run: DecodedRun, fold: int, main: str) -> Judge:
    """Return the score of outputs of some trials of a fold.

    Of retrieval it is 2-way identification, which has a value for every trial that small changes
    move; of the others the main measure.
    """
    there = run.folds[fold]

    def of_retrieval(output: NDArray[Any], trial: NDArray[np.int64]) -> float:
        target = there.target[np.searchsorted(there.trial, trial)]
        order = np.argsort(there.gallery)
        place = order[np.searchsorted(there.gallery, target, sorter=order)]
        return float(credit_of(output, place, ())["2-way"].mean())

    def of_others(output: NDArray[Any], trial: NDArray[np.int64]) -> float:
        chosen = np.searchsorted(there.trial, trial)
        truth = there.truth[chosen] if run.record.kind == "values" else there.truth
        part = Predictions(
            trial=trial,
            target=there.target[chosen],
            output=output,
            truth=truth,
            gallery=there.gallery,
            rivals=there.rivals[chosen],
        )
        alone = DecodedRun(path=run.path, record=run.record, split=run.split, folds=(part,))
        measure = choose_main(measures_of(alone), main)[0]
        value = measure.metric.compute(measure.prediction, measure.target)
        return value if measure.metric.higher_is_better else -value

    return of_retrieval if run.record.kind == "retrieval" else of_others


def chosen_batches(data: DecodingData, max_trials: int) -> Iterator[TrialBatch]:
    """Yield trials of the test side, drawn the same way every time; passages stay whole.

    Not every n-th one: classes often take turns.
    """
    trials = data.indices("test")
    generator = np.random.default_rng(0)
    unit = data.reader.passage[trials] if data.keep_passages else trials
    chosen: set[int] = set()
    n = 0
    for one in generator.permutation(np.unique(unit)).tolist():
        n += int((unit == one).sum())
        if chosen and n > max_trials:
            break
        chosen.update(trials[unit == one].tolist())
    for batch in data.side_batches("test"):
        keep = [k for k, trial in enumerate(batch.trial.tolist()) if trial in chosen]
        if keep:
            yield select(batch, keep)


def of_sensors(batches: Iterable[TrialBatch]) -> Iterator[TrialBatch]:
    """Yield the batches whose channels are sensors; voxels are too many to silence each."""
    for batch in batches:
        if "fmri" not in modalities_of(batch.signal):
            yield batch


def _decoder(run: Path, fold: int, there: Predictions) -> tuple[Decode, DecodingData]:
    """Return the decoder of a fold, as a function to outputs like its predictions, and its data."""
    from .decoder import load_decoder
    from .run_data import load_data

    decoder, data = load_decoder(run, fold), load_data(run, fold=fold)
    head = decoder.module.head
    if head.kind == "retrieval" and data.targets.values is not None:
        head.values = torch.as_tensor(data.targets.values)
    gallery = torch.from_numpy(there.gallery)

    @torch.inference_mode()
    def decode(batch: TrialBatch) -> NDArray[Any]:
        found = decoder.predict(batch)
        if head.kind == "retrieval":
            found = similarity(head, found, gallery)
        return np.asarray(found.float().cpu())

    return decode, data


def map_numbers(found: SensorMap, judged_by: str) -> dict[str, Any]:
    """Return a map as JSON values, positions in m."""
    device = found.device
    return {
        "device": device.name,
        "positions": device.positions[device.places].tolist(),
        "electrodes": device.positions[device.types == SENSOR_TYPES["eeg"].code].tolist(),
        "drop": found.drop.tolist(),
        "score": found.score,
        "judged_by": judged_by,
        "n_trials": found.n_trials,
    }


def map_figure(numbers: Numbers) -> "Figure":
    """Draw the loss over the head, seen from above; red: worse without the sensors there."""
    from mne.viz import plot_topomap

    drop = np.array(numbers["drop"], dtype=np.float64)
    flat = unroll(np.array(numbers["positions"]), fit_head(_electrodes(numbers["electrodes"])))
    reach = max(float(np.abs(drop).max()), 1e-6)
    with new_figure(4.2, width=5.6) as figure:
        axes = figure.subplots()
        image, _ = plot_topomap(
            drop,
            flat,
            axes=axes,
            show=False,
            cmap=SIGNED_MAP,
            vlim=(-reach, reach),
            sphere=(0.0, 0.0, 0.0, 1.0),
            extrapolate="local",
            contours=4,
        )
        figure.colorbar(image, ax=axes, label="loss of the score", fraction=0.04, pad=0.03)
    return figure


def _electrodes(positions: Sequence[Sequence[float]]) -> SensorArray:
    """Return the electrodes, which tell where the head is."""
    places = np.array(positions, dtype=np.float64).reshape(-1, 3)
    return SensorArray(
        positions=places,
        orientations=np.zeros_like(places),
        types=np.full(len(places), "eeg"),
        names=tuple(f"{k}" for k in range(len(places))),
    )
