"""The order of the gallery, as a newcomer reads it, and what each example begins with."""

import shutil
from pathlib import Path
from typing import Any

ORDER = (
    "first_features",
    "prepare_bids",
    "sensors_and_geometry",
    "codes_and_reconstruction",
    "pretrain_tiny",
    "finetune_own_labels",
    "speech_synthetic",
    "images_synthetic",
    "bold_synthetic",
    "write_a_head",
    "streaming",
    "reproducibility_and_leakage",
    "evaluation_report",
)


def reading_order(filename: str) -> int:
    """Return the place of an example; an example that is not listed is an error."""
    name = filename.removesuffix(".py")
    if name not in ORDER:
        raise ValueError(f"docs/examples/{filename}: add it to ORDER in docs/_ext/gallery_order.py")
    return ORDER.index(name)


def without_runs(gallery_conf: dict[str, Any], example: str) -> None:
    """Remove the runs of the example before: all work in one folder, and begin in an empty one."""
    shutil.rmtree(Path(gallery_conf["examples_dirs"]) / "runs", ignore_errors=True)
