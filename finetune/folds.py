"""A fine-tuning run: what lies in its folder, and how its folds come to their predictions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from brainfm.atomic import atomic_path, write_text_atomic
from brainfm.checkpoints import software_versions
from brainfm.run_checkpoints import BEST, CHECKPOINTS, LAST
from brainfm.torch_files import read_torch_file
from brainfm.trial_splits import TRIAL_SPLIT_FILE

from .closed_form import fit_readout
from .data import DecodingData, Side
from .decoded_run import load_run
from .measures import measures_of
from .modalities import MODALITY
from .module import DecodingModule
from .predicting import predict_side
from .predictions import fold_path, predictions_path
from .run_record import CONFIG_FILE, RunRecord

PREDICTED: tuple[Side, ...] = ("validation", "test")
"""Sides whose predictions are kept, in the order of writing: with the last, a fold is finished."""
DECIDES = ("seed_everything", "model", "data")
"""Settings that decide the results; the others only say how they are computed."""


def write_run(
    run: Path, module: DecodingModule, data: DecodingData, settings: Mapping[str, Any]
) -> None:
    """Write what a run says of itself, once: settings, trials, folds, audit.

    Parameters
    ----------
    run
        Its folder.
    module, data
        As the settings make them; the data are prepared.
    settings
        All of them, as plain values, without those that name the folder or a fold.

    Raises
    ------
    ValueError
        The folder holds a run with other settings, or the folds leak.
    """
    run.mkdir(parents=True, exist_ok=True)
    check_settings(run, settings)
    known = module.backbone.pretraining()
    overlap = "overlap with pretraining: none (not pretrained)"
    if known is not None:
        overlap = data.overlap(*known).line
    targets = data.targets
    data.split.save(run / TRIAL_SPLIT_FILE, data.trials)
    RunRecord(
        kind=module.head.kind,
        name=decoder_name(module),
        control=data.control.kind,
        synthetic=data.synthetic,
        ids=tuple(targets.ids.tolist()),
        alphabet=targets.alphabet,
        units=targets.units,
        series=targets.window is not None,
        n_folds=data.n_folds,
        columns=data.columns,
        onsets=tuple(trial.onset for trial in data.trials.rows),
        trial_split_digest=data.split.digest,
        overlap=overlap,
        audit=tuple(data.findings),
        software=software_versions(),
        seed=int(settings.get("seed_everything") or 0),
        presentations=data.trials.presentations,
        folder=str(Path.cwd()),
    ).save(run)
    write_text_atomic(run / CONFIG_FILE, yaml.safe_dump(dict(settings), sort_keys=False))
    if data.findings:
        raise ValueError(f"the folds leak: {data.findings[0]}; change data.split")


def decoder_name(module: DecodingModule) -> str:
    """Return backbone and adaptation in words; a pretrained backbone with new weights says so."""
    backbone = module.backbone
    random = backbone.digest and not backbone.weightless and backbone.pretraining() is None
    new = " with random weights" if random else ""
    return f"{type(backbone).__name__}{new}, {module.adaptation.kind}"


def check_settings(run: Path, settings: Mapping[str, Any]) -> None:
    """Raise ValueError if a folder holds a run whose settings would give other results."""
    path = run / CONFIG_FILE
    if not path.is_file():
        return
    before = yaml.safe_load(path.read_text(encoding="utf-8"))
    now = yaml.safe_load(yaml.safe_dump(dict(settings)))
    changed = [
        f"{part}.{name}" if name else part
        for part in DECIDES
        for name in _changed(before.get(part), now.get(part))
    ]
    if changed:
        raise ValueError(
            f"{run} holds a run with other settings ({', '.join(changed[:5])}); name another --out"
        )


def _changed(before: Any, now: Any) -> list[str]:
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return [] if before == now else [""]
    names = sorted({*before, *now})
    return [name for name in names if before.get(name) != now.get(name)]


def is_finished(run: Path, fold: int) -> bool:
    """Tell whether a fold of a run needs nothing more."""
    return predictions_path(fold_path(run, fold), PREDICTED[-1]).is_file()


def solve_fold(module: DecodingModule, data: DecodingData, folder: Path) -> None:
    """Fit the readout of a prepared module in closed form and save it as training would."""
    penalty = fit_readout(module, data)
    print(f"ridge with penalty {penalty:g}", flush=True)
    content: dict[str, Any] = {"state_dict": module.state_dict(), "global_step": 0}
    module.on_save_checkpoint(content)
    path = folder / CHECKPOINTS / BEST
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def best_checkpoint(folder: Path) -> Path:
    """Return the best checkpoint by the validation side, or the last where there is none."""
    for name in (BEST, LAST):
        if (folder / CHECKPOINTS / name).is_file():
            return folder / CHECKPOINTS / name
    raise FileNotFoundError(f"{folder} holds no checkpoint; fit the fold first")


def load_best(module: DecodingModule, folder: Path) -> None:
    """Give a prepared module the weights of the best checkpoint."""
    content = read_torch_file(best_checkpoint(folder))
    module.load_state_dict(content["state_dict"], strict=True)


def write_predictions(
    module: DecodingModule,
    data: DecodingData,
    folder: Path,
    sides: tuple[Side, ...] = PREDICTED,
) -> None:
    """Write the predictions of a trained module; a side without trials has none."""
    for side in sides:
        if len(data.indices(side)):
            predict_side(module, data, side).save(predictions_path(folder, side))


def sides_of(data: DecodingData, fold: int) -> str:
    """Return how many trials each side of a fold has, and how many are on none."""
    sides = data.split.folds[fold]
    counts = {side: len(sides.indices(side)) for side in ("train", "validation", "test")}
    said = ", ".join(f"{count} {side}" for side, count in counts.items())
    left = len(sides.sides) - sum(counts.values())
    more = f"; {left} on no side, too near in time to another's" if left else ""
    return f"{said} trials{more}"


def scores(run: Path) -> str:
    """Return the main measure of every fold and of all of them, beside its chance level."""
    decoded = load_run(run)
    main = measures_of(decoded)[0]
    metric, folds = main.metric, decoded.fold
    lines = [f"{'fold':>6}  trials  {metric.name}"]
    for fold in np.unique(folds).tolist():
        chosen = folds == fold
        value = metric.compute(main.prediction[chosen], main.target[chosen])
        lines.append(f"{fold:>6}  {int(chosen.sum()):>6}  {value:.3f}")
    chance = "" if metric.chance is None else f"  (chance {metric.chance:.3f})"
    value = metric.compute(main.prediction, main.target)
    lines.append(f"{'all':>6}  {len(folds):>6}  {value:.3f}{chance}")
    of_trial = decoded.column(MODALITY) if MODALITY in decoded.record.columns else folds[:0]
    for name in np.unique(of_trial).tolist():
        chosen = of_trial == name
        value = metric.compute(main.prediction[chosen], main.target[chosen])
        lines.append(f"{name:>6}  {int(chosen.sum()):>6}  {value:.3f}")
    if decoded.record.synthetic:
        lines.append("the recordings are synthetic")
    if decoded.record.control != "none":
        lines.append(f"this is a null control: {decoded.record.control}")
    return "\n".join([*lines, decoded.record.overlap])
