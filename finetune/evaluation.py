"""An evaluation of a run in its folder: computed, written, and found again."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brainfm.atomic import write_json_atomic
from brainfm.report_page import Page

from .decoded_run import load_run
from .evaluation_numbers import FORMAT, as_numbers, evaluate_run, refuse_leaks
from .evaluation_page import evaluation_page, title_of
from .evaluation_scores import ScoringConfig, json_value
from .run_controls import (
    ALL,
    BASELINES_FOLDER,
    CONTROLS,
    CONTROLS_FOLDER,
    chosen,
    make_beside,
)
from .sensor_maps import run_sensor_maps
from .usual_baselines import usual_baselines

EVALUATION_FOLDER, REPORT_FILE, NUMBERS_FILE = "evaluation", "report.html", "evaluation.json"
SENSOR_MAPS = "sensor maps"


def evaluated(
    path: Path,
    cfg: ScoringConfig,
    *,
    controls: Sequence[str] = (ALL,),
    baselines: Sequence[str] = (ALL,),
    only_finished: bool = False,
    metric: str | None = None,
    occlusion_trials: int = 128,
    no_maps: str = "switched off",
) -> dict[str, Any]:
    """Evaluate a run, its controls and baselines, which are run first where they are not there.

    Parameters
    ----------
    path
        Folder of a finished run.
    cfg
        Permutations and resamples.
    controls, baselines
        ``all``, ``none`` or names.
    only_finished
        Start none of them.
    metric
        What the verdict goes by; None: by kind.
    occlusion_trials
        Most test trials, of all folds, for sensor maps; 0: none.
    no_maps
        Why there are none then.

    Returns
    -------
    dict
        The content of ``evaluation.json``.

    Raises
    ------
    ValueError
        The audit of the run found a leak; a control is not known.
    """
    judged = load_run(path)
    refuse_leaks(judged)  # before hours of controls
    usual = usual_baselines(judged)
    names = chosen(controls, CONTROLS, "controls"), chosen(baselines, usual, "baselines")
    beside = make_beside(path, *names, only_finished=only_finished)
    found = evaluate_run(path, *beside, cfg, metric=metric)
    maps: list[dict[str, Any]] = []
    left_out = {SENSOR_MAPS: no_maps}
    if occlusion_trials:
        maps, left_out = run_sensor_maps(
            found.run, found.scores[0].name, max_trials=occlusion_trials
        )
    return as_numbers(found) | {"sensor_maps": json_value(maps), "left_out": left_out}


def write_evaluation(
    path: Path, cfg: ScoringConfig, *, out: Path | None = None, **options: Any
) -> dict[str, Any]:
    """Evaluate a run and write its report; ``options`` as in :func:`evaluated`.

    Parameters
    ----------
    path
        Folder of a finished run.
    cfg
        Permutations and resamples.
    out
        Folder for the results; None: ``evaluation`` in the run.

    Returns
    -------
    dict
        The content of ``evaluation.json``.
    """
    numbers = evaluated(path, cfg, **options)
    folder = out or path / EVALUATION_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    page = evaluation_page(numbers, load_run(path))
    numbers["left_out"] = dict(page.left_out)
    page.write(folder / REPORT_FILE, title_of(numbers))
    write_json_atomic(folder / NUMBERS_FILE, numbers)
    return numbers


def known_evaluation(path: Path) -> dict[str, Any] | None:
    """Return the numbers in a run's folder; None if there are none of the run as it is now."""
    file = path / EVALUATION_FOLDER / NUMBERS_FILE
    if not file.is_file():
        return None
    numbers: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    decoded = [
        made
        for where in (".", f"{CONTROLS_FOLDER}/*", f"{BASELINES_FOLDER}/*")
        for made in path.glob(f"{where}/fold-*/predictions-test.npz")
    ]
    since = file.stat().st_mtime
    newer = any(made.stat().st_mtime > since for made in decoded)
    return None if newer or numbers.get("format") != FORMAT else numbers


def run_page(path: Path, cfg: ScoringConfig) -> tuple[Page, dict[str, Any]]:
    """Return the page of a run and its numbers, with the controls that are finished.

    What 'brainfm evaluate' has found is taken where it is of the run as it is now; else ``cfg``
    says how sure scores are to be.
    """
    run = load_run(path)
    refuse_leaks(run)
    numbers = known_evaluation(path)
    if numbers is None:
        numbers = evaluated(
            path,
            cfg,
            only_finished=True,
            occlusion_trials=0,
            no_maps="'brainfm evaluate' makes them",
        )
    return evaluation_page(numbers, run), numbers
