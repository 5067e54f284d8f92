"""The data of a finished run, made again from its settings."""

from pathlib import Path
from typing import Any

import yaml

from .backbone import Backbone
from .data import DecodingData
from .run_record import CONFIG_FILE, at_home
from .targets import TargetSource

Settings = dict[str, Any]
OF_THE_RUN = ("out", "ckpt_path", "resume", "config")
"""Settings that say where a run lies, not what it does."""


def settings_of(run: Path) -> Settings:
    """Return all settings of a run, as ``--config`` takes them, without those of its folder.

    Raises
    ------
    FileNotFoundError
        The run has none.
    """
    path = run / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it holds the settings of the run")
    settings: Settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in OF_THE_RUN:
        settings.pop(name, None)
    (settings.get("trainer") or {}).pop("default_root_dir", None)
    (settings.get("data") or {}).pop("fold", None)
    return settings


def load_data(run: Path, *, fold: int | None = None) -> DecodingData:
    """Return the data of a run with trials, targets and split; recordings are prepared once.

    Parameters
    ----------
    run
        Its folder.
    fold
        Whose training side decides slots of subjects and scaling; None where neither is needed.
    """
    from jsonargparse import ArgumentParser

    settings = settings_of(run)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DecodingData, "data")
    parser.add_subclass_arguments(Backbone, "backbone")
    chosen = {"data": {**settings["data"], "fold": fold}, "backbone": settings["model"]["backbone"]}
    with at_home(run):
        made = parser.instantiate_classes(parser.parse_object(chosen))
        data: DecodingData = made["data"]
        data.prepare(made["backbone"].processing)
    return data


def targets_of(run: Path) -> TargetSource | None:
    """Return the source of a run's targets as its settings make it; None where labels are decoded.

    Raises
    ------
    FileNotFoundError
        The run has no settings.
    """
    from jsonargparse import ArgumentParser

    chosen = settings_of(run)["data"].get("targets")
    if chosen is None:
        return None
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(TargetSource, "targets")
    with at_home(run):
        made = parser.instantiate_classes(parser.parse_object({"targets": chosen}))
    targets: TargetSource = made["targets"]
    return targets
