"""Pictures that were retrieved, beside the one that was shown.

Shapes: N trials, K listed ranks, H height, W width.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from brainfm.image_files import image_files, read_image
from brainfm.image_montage import montage
from brainfm.report_page import Page
from brainfm.report_style import ORIGINAL, TYPE_COLOURS, new_figure

from .image_targets import ImageTargets, picture_concepts
from .run_data import targets_of
from .run_record import at_home

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS, GAP = 96, 4
"""Of a picture in the montage, and between two."""
RIGHT = TYPE_COLOURS["planar"]


def add_retrieved_pictures(page: Page, examples: Sequence[Mapping[str, Any]], run: Path) -> None:
    """Add the best and worst trials of a run whose contents are pictures; others have none.

    Parameters
    ----------
    page
        Where to.
    examples
        Trials with the first of their galleries, as ``evaluation.json`` has them.
    run
        Its folder; the settings there say where the pictures are.
    """
    from jsonargparse import ArgumentError  # of targets whose class is not to be found

    name = "montage of retrieved pictures"
    try:
        targets = targets_of(run)
        if not isinstance(targets, ImageTargets):
            return
        with at_home(run):
            files = {name: path.absolute() for name, path in picture_files(targets).items()}
        ids = {one["truth"] for one in examples} | {m["id"] for e in examples for m in e["first"]}
        missing = sorted(ids - set(files))
        if missing:
            raise ValueError(f"{len(missing)} pictures are no longer there, e.g. {missing[0]}")
        figure = montage_figure(examples, files)
    except (ValueError, FileNotFoundError, ArgumentError) as error:
        page.leave_out(name, " ".join(str(error).split()))
        return
    what = (
        "a picture of each concept"
        if targets.gallery == "concept_centre"
        else "pictures themselves"
    )
    page.add(
        "Retrieval",
        "Shown and retrieved",
        figure,
        f"Trials that were retrieved best and worst: {what}; the right one is framed where it is "
        "among the first.",
    )


def picture_files(targets: ImageTargets) -> dict[str, Path]:
    """Return a picture's file for every name of what is decoded: a content id, or a concept."""
    files = image_files(targets.images)
    if targets.gallery == "exact_image":
        return dict(files)
    concepts = picture_concepts(files, targets.concepts)
    return {concepts[content]: files[content] for content in sorted(concepts, reverse=True)}


def montage_figure(examples: Sequence[Mapping[str, Any]], files: Mapping[str, Path]) -> "Figure":
    """Draw a row for each trial: the picture shown, then those of the first ranks."""
    from matplotlib.patches import Rectangle

    listed = min(len(one["first"]) for one in examples)
    names = [[one["truth"], *(m["id"] for m in one["first"][:listed])] for one in examples]
    read = {name: read_image(files[name], PIXELS) for row in names for name in row}
    heads = ["shown", *(f"rank {k + 1}" for k in range(listed))]
    columns = {head: torch.stack([read[row[k]] for row in names]) for k, head in enumerate(heads)}
    picture, step = montage(columns, pixels=PIXELS, gap=GAP), PIXELS + GAP
    width = 2.2 + 0.95 * len(heads)
    with new_figure(0.3 + 0.95 * len(names), width=width) as figure:
        axes = figure.subplots()
        axes.imshow(picture, interpolation="nearest")
        middle = GAP + PIXELS / 2
        axes.set_xticks([middle + step * k for k in range(len(heads))], heads)
        axes.xaxis.tick_top()
        rows = [
            f"{one['which']}: rank {one['rank']:g} of {one['gallery_size']}" for one in examples
        ]
        axes.set_yticks([middle + step * k for k in range(len(rows))], rows)
        axes.tick_params(length=0, labelcolor=ORIGINAL)
        axes.spines[:].set_visible(False)
        for row, column in ((r, c) for r in range(len(names)) for c in range(1, len(heads))):
            if names[row][column] == names[row][0]:
                corner = step * column + GAP / 2, step * row + GAP / 2
                frame = Rectangle(corner, step, step, fill=False, ec=RIGHT, lw=3)
                axes.add_patch(frame)
    return figure
