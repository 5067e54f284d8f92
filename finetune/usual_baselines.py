"""Which baselines stand beside a run where none are named: those that read what it reads."""

from .decoded_run import DecodedRun
from .run_controls import BASELINES, SERIES_BASELINES
from .run_data import settings_of
from .run_record import CONFIG_FILE

VOXEL_BASELINES = ("voxel_means", "voxel_lda")
"""Of voxels, which have no rhythms: the mean pattern, read out by regression or discriminant."""


def usual_baselines(run: DecodedRun) -> tuple[str, ...]:
    """Return the names of baselines for a run."""
    if run.record.series:
        return SERIES_BASELINES
    if not (run.path / CONFIG_FILE).is_file():
        return BASELINES
    backbone = str(settings_of(run.path)["model"]["backbone"]["class_path"])
    return VOXEL_BASELINES if backbone.endswith(".Voxels") else BASELINES
