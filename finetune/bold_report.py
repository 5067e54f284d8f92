"""What a report shows of decoded BOLD: courses, responses of regions, and r on the brain.

Shapes: V volumes, R regions, P frames before a volume.
"""

from pathlib import Path
from typing import Any

import numpy as np

from brainfm.bold_maps import in_template_space, map_figure, region_map
from brainfm.bold_pictures import Course, course_figure, response_figure
from brainfm.report_page import Page
from brainfm.sensors import FloatArray

from .bold_targets import BoldTargets
from .decoded_run import DecodedRun
from .evaluation_curves import per_output
from .evaluation_scores import ScoringConfig
from .lag_layers import LagConfig, Query, Window, basis_in_frames
from .run_data import targets_of
from .run_record import at_home
from .series_measures import LEAST_VOLUMES, Series, mean_r

SECTION = "BOLD"
MAX_COURSES = 4
MAX_RESPONSES = 16
"""Most regions whose courses and responses are drawn."""


def add_bold_pictures(page: Page, run: DecodedRun) -> None:
    """Add courses, responses and a map of a run that decodes BOLD.

    Parameters
    ----------
    page
        Where to; what cannot be drawn is noted there with its reason.
    run
        A run of :class:`~.bold_targets.BoldTargets` with its folder.
    """
    r = region_values(run)
    _add_courses(page, run, r)
    _add_responses(page, run, r)
    _add_map(page, run, r)


def region_values(run: DecodedRun) -> FloatArray:
    """Return r of every region (R,), as the table of the report has it; NaN where unknown."""
    found = [one["r"]["value"] for one in per_output(run, ScoringConfig(n_resamples=100))]
    return np.array([np.nan if value is None else value for value in found])


def chosen_regions(r: FloatArray, n: int) -> list[int]:
    """Return at most ``n`` regions from the best to the worst r, at equal steps of rank."""
    order = np.argsort(-np.nan_to_num(r, nan=-2.0), kind="stable")
    steps = np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(int)
    return [int(k) for k in order[steps]]


def middle_part(series: Series) -> int | None:
    """Return the part (a recording in a fold) whose mean r is the median; None if none is known."""
    r = np.array([mean_r(series.output[m], series.truth[m]) for m in series.parts])
    known = np.flatnonzero(np.isfinite(r))
    if not len(known):
        return None
    order = known[np.argsort(r[known], kind="stable")]
    return int(order[(len(order) - 1) // 2])


def _names(run: DecodedRun, n: int) -> list[str]:
    return list(run.record.units) or [f"region {k + 1}" for k in range(n)]


def _add_courses(page: Page, run: DecodedRun, r: FloatArray) -> None:
    series = Series.of(run)
    part = middle_part(series)
    if part is None:
        page.leave_out("courses of BOLD", f"no recording has {LEAST_VOLUMES} test volumes")
        return
    names, members = _names(run, len(r)), series.parts[part]
    courses = [
        Course(
            name=names[k], measured=series.truth[members, k], predicted=series.output[members, k]
        )
        for k in chosen_regions(r, MAX_COURSES)
    ]
    recording, fold = run.column("recording")[members[0]], run.fold[members[0]]
    caption = (
        f"Test volumes of {recording}, fold {fold}: of {len(series.parts)} recordings in folds the "
        "one with the median r. Regions from the best to the worst r of the whole run; each course "
        "has mean 0 and deviation 1."
    )
    page.add(
        SECTION, "Measured and predicted", course_figure(series.onsets[members], courses), caption
    )


def _add_responses(page: Page, run: DecodedRun, r: FloatArray) -> None:
    from .decoder import load_decoder
    from .folds import best_checkpoint
    from .predictions import fold_path

    try:
        for fold in range(len(run.folds)):
            best_checkpoint(fold_path(run.path, fold))
    except FileNotFoundError as error:
        page.leave_out("responses of regions", f"no decoder: {error}")
        return
    heads: list[Any] = [load_decoder(run.path, fold).module.head for fold in range(len(run.folds))]
    if any(not hasattr(head, "lag") or isinstance(head.lag, Query) for head in heads):
        page.leave_out("responses of regions", "the head has none (attention, or no BoldHead)")
        return
    some = chosen_regions(r, MAX_RESPONSES)
    names = _names(run, len(r))
    n_frames = heads[0].lag.basis.shape[1]
    window: Window = heads[0].window
    edges = -np.linspace(window[0], window[1], n_frames + 1)
    only = LagConfig(derivatives=0).response
    figure = response_figure(
        (edges[:-1] + edges[1:]) / 2,
        [(head.lag.weight @ head.lag.basis).detach().double().numpy()[some] for head in heads],
        [names[k] for k in some],
        canonical=basis_in_frames(only, window, n_frames)[0],
        delays=[head.lags()[some] for head in heads],
    )
    shown = f"{len(some)} of {len(r)} regions" if len(some) < len(r) else "All regions"
    caption = (
        f"{shown}, from the best to the worst r, a line per fold. Titles: by how "
        "many seconds they are later than the canonical response (dashed)."
    )
    page.add(SECTION, "Responses", figure, caption)


def _add_map(page: Page, run: DecodedRun, r: FloatArray) -> None:
    source = targets_of(run.path)
    if not isinstance(source, BoldTargets) or not source.atlas:
        page.leave_out("map of r", "the regions come from a table; no atlas says where they are")
        return
    path = source.root / Path(source.atlas).expanduser()
    with at_home(run.path):
        if not path.is_file():
            page.leave_out("map of r", f"the atlas {path} is not there any more")
            return
        image = region_map(path, r)
    where = (
        "slices on the template, and seen through"
        if in_template_space(image)
        else "slices; the header of the atlas does not say that it is in MNI space"
    )
    page.add(
        SECTION, "r on the brain", map_figure(image), f"r of every region of the atlas: {where}."
    )
