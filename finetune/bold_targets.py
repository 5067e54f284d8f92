"""BOLD of regions as targets: what every volume shows, from a table or an image with an atlas.

Series stay in their own unit here. The head standardises them with what training volumes of a
recording show; nothing that is fitted to a whole scan may serve where a scan is divided.

Shapes: V volumes, R regions, N trials, F confounds.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from brainfm.bold import RoiSeries, clean_confounds, roi_series
from brainfm.recording_info import RecordingInfo
from brainfm.sensors import FloatArray
from brainfm.trial_splits import INSIDE, TrialSplit
from brainfm.trials import Trials

from .bold_sources import volume_of
from .recorded_events import stem_of
from .standardisation import moments
from .targets import Targets, TargetSource

LEAST_GAP = 20.0
"""Seconds that a response lasts: nearer volumes have been made by the same activity."""
TABLES = {".tsv": "\t", ".csv": ","}
IMAGES = (".nii", ".nii.gz")


class BoldTargets(TargetSource):
    """The series of regions, volume by volume.

    Parameters
    ----------
    file
        Path below ``root`` of a recording's table (.tsv or .csv with a header, .npy (V, R)) or
        image (.nii, .nii.gz). ``{id}``, ``{dataset}``, ``{subject}``, ``{session}``, ``{task}``,
        ``{run}`` and ``{stem}`` (the recording's name without ending and without ``_raw``) stand
        for those of the recording; with ``*`` there must be one such file.
    t_r
        Seconds between volumes.
    root
        Folder of the data set.
    atlas
        For images: labels or maps in their space (:func:`brainfm.bold.roi_series`).
    regions
        Columns of a table to take, or names of the atlas's regions; not given: all but ``time``,
        or numbers.
    confounds
        Path like ``file`` of a table (V, F) to regress out; empty: none.
    confound_columns
        Its columns; not given: all.
    high_pass
        Hz of the slowest cosine left in; None leaves drifts.
    resample
        Bring the atlas to the grid of the images.
    """

    def __init__(
        self,
        file: str,
        t_r: float,
        root: str = ".",
        atlas: str = "",
        regions: list[str] | None = None,
        confounds: str = "",
        confound_columns: list[str] | None = None,
        high_pass: float | None = None,
        resample: bool = False,
    ) -> None:
        if not t_r > 0:
            raise ValueError(f"t_r must be positive (s), got {t_r}")
        if high_pass is not None and not 0 < high_pass < 0.5 / t_r:
            raise ValueError(
                f"high_pass must lie in (0, {0.5 / t_r:g}) Hz at t_r {t_r:g} s, got {high_pass}"
            )
        if file.endswith(IMAGES) != bool(atlas):
            raise ValueError(f"an atlas belongs to an image, not to a table: {file}, {atlas!r}")
        self.file, self.t_r, self.root = file, t_r, Path(root).expanduser()
        self.atlas, self.regions, self.resample = atlas, regions, resample
        self.confounds, self.confound_columns = confounds, confound_columns
        self.high_pass = high_pass

    def make(self, trials: Trials) -> Targets:
        """Return the values of every trial's volume.

        Raises
        ------
        ValueError, FileNotFoundError
            Triggers and volumes differ in number, a file is missing or has other regions, trials
            see what comes after their volume.
        """
        window = trials.config.window
        if window[1] > 0:
            raise ValueError(
                f"data.trials.window must end at a volume or before (s from it), got {window}: "
                "BOLD follows what it is decoded from"
            )
        found = {key: self.series(info) for key, info in trials.recordings.items()}
        names = next(iter(found.values())).names
        for key, series in found.items():
            if series.names != names:
                raise ValueError(f"recording {key} has other regions than the others")
        volumes = [volume_of(trial.stimulus) for trial in trials.rows]
        values = np.empty((len(volumes), len(names)), dtype=np.float32)
        for row, (recording, number, total) in enumerate(volumes):
            shown = found[recording].series
            if len(shown) != total:
                raise ValueError(
                    f"recording {recording}: {total} volume triggers for {len(shown)} volumes; "
                    "cut the recording, drop volumes without a partner, or set data.source.skip"
                )
            values[row] = shown[number]
        return Targets(
            ids=np.array([trial.stimulus for trial in trials.rows], dtype=np.str_),
            rows=np.arange(len(trials), dtype=np.int64),
            values=values,
            units=names,
            window=window,
        )

    def audit(self, trials: Trials, targets: Targets, split: TrialSplit) -> list[str]:
        """Find a gap that is too short, and series fitted to a scan that is divided."""
        if split.config.by not in INSIDE:
            return []
        begin, end = trials.config.window
        least, findings = max(LEAST_GAP, end - begin), []
        if split.config.gap < least:
            findings.append(
                f"a gap of {split.config.gap:g} s is less than the {least:g} s in which volumes of "
                "one recording still share activity; set data.split.gap"
            )
        fitted = {"high_pass": self.high_pass is not None, "confounds": bool(self.confounds)}
        for name in (name for name, used in fitted.items() if used):
            findings.append(
                f"{name} is fitted to whole scans, and a split by {split.config.by} divides them: "
                "training would know test volumes; leave it out, or split by subject or session"
            )
        return findings

    def series(self, info: RecordingInfo) -> RoiSeries:
        """Return the series of a recording, without confounds and drifts."""
        path = self._path(self.file, info)
        if path.name.endswith(IMAGES):
            found = roi_series(
                path,
                self.root / Path(self.atlas).expanduser(),
                t_r=self.t_r,
                names=self.regions,
                resample=self.resample,
            )
        else:
            found = read_table(path, self.regions)
        if not np.isfinite(found.series).all():
            raise ValueError(f"{path}: holds values that are not finite")
        if not self.confounds and self.high_pass is None:
            return found
        from nilearn.signal import clean

        confounds = None
        if self.confounds:
            named = self._path(self.confounds, info)
            rows = read_table(named, self.confound_columns, missing=True).series
            confounds = clean_confounds(rows, len(found.series))
        cleaned = clean(
            found.series,
            detrend=False,
            standardize=None,
            confounds=confounds,
            filter=False if self.high_pass is None else "cosine",
            high_pass=self.high_pass,
            t_r=self.t_r,
        )
        return found._replace(series=np.asarray(cleaned, dtype=np.float64))

    def _path(self, template: str, info: RecordingInfo) -> Path:
        labels = ("id", "dataset", "subject", "session", "task", "run")
        values = {name: getattr(info, name) for name in labels}
        values["stem"] = stem_of(Path(info.source or info.id))
        try:
            below = template.format(**values)
        except (KeyError, IndexError, ValueError) as error:
            known = ", ".join(f"{{{name}}}" for name in values)
            raise ValueError(f"file {template!r} may use {known}, not {error}") from None
        there = sorted(self.root.glob(below)) if "*" in below else [self.root / below]
        if len(there) != 1 or not there[0].is_file():
            what = f"{len(there)} files" if len(there) > 1 else "no file"
            raise FileNotFoundError(
                f"recording {info.id}: {what} {self.root / below}; there must be one"
            )
        return there[0]


def recording_moments(
    targets: Targets, training: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and deviation (N, R) that the value of each volume is standardised with.

    Those of the training volumes of its recording; of a recording without any its own, which
    nothing is learned from. A region that never changes has deviation 1.

    Parameters
    ----------
    targets
        Of :class:`BoldTargets`.
    training
        Rows of training volumes.
    """
    assert targets.values is not None
    learned = np.zeros(len(targets.ids), dtype=np.bool_)
    learned[training] = True
    recording = np.array([volume_of(name)[0] for name in targets.ids.tolist()], dtype=np.str_)
    mean, deviation = np.empty_like(targets.values), np.empty_like(targets.values)
    for name in np.unique(recording):
        there = recording == name
        known = there & learned
        values = torch.from_numpy(targets.values[known if known.any() else there])
        found = moments(values, torch.ones(len(values)))
        mean[there], deviation[there] = found[0].numpy(), found[1].numpy()
    return mean, deviation


def read_table(path: Path, columns: list[str] | None, *, missing: bool = False) -> RoiSeries:
    """Return columns of a table (V, R), .tsv, .csv or .npy; ``missing`` allows gaps (NaN)."""
    if path.suffix == ".npy":
        found = np.load(path, allow_pickle=False)
        if found.ndim != 2:
            raise ValueError(f"{path}: must be a table (volumes, regions), got {found.shape}")
        names = tuple(columns or (str(k + 1) for k in range(found.shape[1])))
        if len(names) != found.shape[1]:
            raise ValueError(f"{path}: {len(names)} names for {found.shape[1]} columns")
        return RoiSeries(found.astype(np.float64), names)
    if path.suffix not in TABLES:
        raise ValueError(f"{path}: a table ends in {', '.join(TABLES)} or .npy")
    header, *lines = path.read_text(encoding="utf-8").strip().split("\n")
    mark = TABLES[path.suffix]
    there = [name.strip() for name in header.split(mark)]
    wanted = columns or [name for name in there if name != "time"]
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise ValueError(f"{path}: has no column {unknown[0]!r}; it has {', '.join(there[:20])}")
    rows = [[cell.strip() for cell in line.split(mark)] for line in lines]
    places = [there.index(name) for name in wanted]
    return RoiSeries(_numbers(path, rows, places, missing), tuple(wanted))


def _numbers(path: Path, rows: list[list[str]], places: list[int], missing: bool) -> FloatArray:
    table = np.empty((len(rows), len(places)))
    for k, row in enumerate(rows):
        try:
            cells = [row[place] for place in places]
            table[k] = [np.nan if missing and c in ("", "n/a") else float(c) for c in cells]
        except (ValueError, IndexError):
            raise ValueError(f"{path}: row {k + 1} holds no number in some column") from None
    return table
