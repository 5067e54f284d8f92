"""Null controls and baselines of a run: which there are, and how each is made.

A control is the same command with one setting changed, in ``RUN/controls/NAME``; a baseline is
another decoder of the same trials, in ``RUN/baselines/NAME``. What is finished is not run again.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from brainfm.atomic import write_json_atomic, write_text_atomic

from .control_settings import OF_INPUT, DoesNotApplyError, control_settings
from .predictions import fold_path, predictions_path
from .run_data import settings_of
from .run_record import RunRecord, at_home

CONTROLS_FOLDER, BASELINES_FOLDER = "controls", "baselines"
ALL, NONE = "all", "none"
ASKED_FILE = "asked.yaml"
"""The settings a control was asked for with."""
LEFT_OUT_FILE = "left-out.json"
"""Why a control could not be run, for reports that run none."""

UNTRAINED = ("metadata", "prior_only", "nearest_neighbour")
CONTROLS = (*OF_INPUT, *UNTRAINED, "random_backbone")
BASELINES = ("band_power", "riemann", "code_histogram", "quantile_tokens", "conv_net")
"""Those run by default; others that :mod:`.classical` knows can be named."""
SERIES_BASELINES = ("mean", "response_power", "lagged_power", "alpha_theta")
"""Those run by default where volumes of a slow series are decoded."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What stands beside a run.

    Parameters
    ----------
    paths
        By name, folders of finished controls and baselines.
    missing
        By name, why one is not there.
    inapplicable
        By name, why one has no meaning for the run.
    """

    paths: Mapping[str, Path] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    inapplicable: Mapping[str, str] = field(default_factory=dict)


def chosen(asked: Sequence[str], known: Sequence[str], what: str) -> tuple[str, ...]:
    """Return the names that ``all``, ``none`` or a list of names stands for.

    Raises
    ------
    ValueError
        A control is not known; ``all`` or ``none`` beside names.
    """
    words = tuple(dict.fromkeys(asked))
    if words == (ALL,):
        return tuple(known)
    if words in ((NONE,), ()):
        return ()
    if ALL in words or NONE in words:
        raise ValueError(f"--{what} takes 'all', 'none' or names, not both: {' '.join(words)}")
    if what == CONTROLS_FOLDER:
        unknown = [word for word in words if word not in known]
        if unknown:
            raise ValueError(f"--{what}: {', '.join(unknown)} unknown; one of {', '.join(known)}")
    return words


def is_finished(run: Path) -> bool:
    """Tell whether a run has its record and the predictions of every fold."""
    try:
        record = RunRecord.load(run)
    except FileNotFoundError:
        return False
    tests = [predictions_path(fold_path(run, k), "test") for k in range(record.n_folds)]
    return all(path.is_file() for path in tests)


def make_beside(
    run: Path, controls: Sequence[str], baselines: Sequence[str], *, only_finished: bool = False
) -> tuple[Beside, Beside]:
    """Run the controls and baselines that are not finished yet, and say how many those are.

    Parameters
    ----------
    run
        A finished run.
    controls
        Of :data:`CONTROLS`.
    baselines
        Of :data:`BASELINES`, or others that :mod:`.classical` knows.
    only_finished
        Start nothing.

    Returns
    -------
    tuple
        The controls, the baselines.
    """
    pending = (
        *_pending(run, CONTROLS_FOLDER, controls),
        *_pending(run, BASELINES_FOLDER, baselines),
    )
    if pending and not only_finished:
        listed = ", ".join(spoken(path.name) for path in pending)
        print(
            f"{len(pending)} runs beside {run} follow: {listed} (--controls and --baselines choose "
            "others)",
            file=sys.stderr,
            flush=True,
        )
    return (
        make_controls(run, controls, only_finished=only_finished, pending=pending),
        make_baselines(run, baselines, only_finished=only_finished, pending=pending),
    )


def make_controls(
    run: Path, names: Sequence[str], *, only_finished: bool = False, pending: Sequence[Path] = ()
) -> Beside:
    """Run the controls that are not finished yet; see :func:`make_beside`.

    ``pending`` are the folders of all runs to come, by which they are numbered.
    """
    makers = {name: _maker_of_control(name) for name in names}
    pending = pending or _pending(run, CONTROLS_FOLDER, names)
    found = _make(run, CONTROLS_FOLDER, makers, only_finished, pending)
    off = {name: "switched off" for name in CONTROLS if name not in names}
    return replace(found, missing={**found.missing, **off})


def make_baselines(
    run: Path, names: Sequence[str], *, only_finished: bool = False, pending: Sequence[Path] = ()
) -> Beside:
    """Run the baselines that are not finished yet; as :func:`make_controls`."""
    makers = {name: _maker_of_baseline(name) for name in names}
    pending = pending or _pending(run, BASELINES_FOLDER, names)
    return _make(run, BASELINES_FOLDER, makers, only_finished, pending)


def spoken(name: str) -> str:
    """Return the name of a control or baseline as a reader knows it."""
    return name.replace("_", " ")


def left_out_before(folder: Path) -> tuple[str, bool]:
    """Return why a control is not there, and whether it has a meaning for the run."""
    path = folder / LEFT_OUT_FILE
    if not path.is_file():
        return "not run", True
    said = json.loads(path.read_text(encoding="utf-8"))
    return str(said["why"]), bool(said["applies"])


def _pending(run: Path, where: str, names: Sequence[str]) -> tuple[Path, ...]:
    return tuple(run / where / name for name in names if not is_finished(run / where / name))


def _maker_of_control(name: str) -> Callable[[Path, Path], None]:
    if name not in UNTRAINED:
        return lambda run, folder: _train(run, folder, name)

    def untrained(run: Path, folder: Path) -> None:
        from .metadata_control import run_metadata
        from .neighbour_control import run_neighbour
        from .prior_control import run_prior

        make = dict(zip(UNTRAINED, (run_metadata, run_prior, run_neighbour), strict=True))[name]
        make(run, folder)

    return untrained


def _maker_of_baseline(name: str) -> Callable[[Path, Path], None]:
    if name == "conv_net":
        return lambda run, folder: _train(run, folder, name)

    def classical(run: Path, folder: Path) -> None:
        from .classical import run_classical

        made = run_classical(run, name)
        assert made.resolve() == folder.resolve(), f"{name} was written to {made}"

    return classical


def _train(run: Path, folder: Path, name: str) -> None:
    """Run the fine-tuning command in this process with changed settings."""
    from .command import main

    settings = control_settings(settings_of(run), name)
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / ASKED_FILE
    write_text_atomic(asked, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    status: int | str | None
    try:
        status = main(["fit", "--config", str(asked), "--out", str(folder)])
    except SystemExit as stop:  # settings that do not parse, said on stderr
        status = stop.code
    if status:
        raise ValueError(f"'brainfm finetune fit --config {asked}' ended with status {status}")


def _make(
    run: Path,
    where: str,
    makers: Mapping[str, Callable[[Path, Path], None]],
    only_finished: bool,
    pending: Sequence[Path],
) -> Beside:
    paths: dict[str, Path] = {}
    missing: dict[str, str] = {}
    inapplicable: dict[str, str] = {}
    for name, make in makers.items():
        folder = run / where / name
        if not is_finished(folder):
            if only_finished:
                why, applies = left_out_before(folder)
                (missing if applies else inapplicable)[name] = why
                continue
            place = f"{pending.index(folder) + 1} of {len(pending)}"
            kind = where.removesuffix("s")
            print(f"{kind} {spoken(name)} ({place}): running", file=sys.stderr, flush=True)
            try:
                # What a control says of itself is no result of this command.
                with redirect_stdout(sys.stderr), at_home(run):
                    make(run.absolute(), folder.absolute())
            except (ValueError, ImportError, FileNotFoundError) as error:
                # A refusal in words: said in the verdict, not passed over.
                why, applies = (
                    " ".join(str(error).split()),
                    not isinstance(error, DoesNotApplyError),
                )
                (missing if applies else inapplicable)[name] = why
                folder.mkdir(parents=True, exist_ok=True)
                write_json_atomic(folder / LEFT_OUT_FILE, {"why": why, "applies": applies})
                print(f"{kind} {spoken(name)}: left out: {why}", file=sys.stderr, flush=True)
                continue
        paths[name] = folder
    return Beside(paths=paths, missing=missing, inapplicable=inapplicable)
