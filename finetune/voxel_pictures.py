"""Responses of voxels to pictures, trial by trial, from the tables of published data sets.

A sample of a recording is the response to one picture, a second long by convention: ``data.trials``
has the window 0 to 1 s.

Shapes: N trials, R voxels.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from brainfm.image_files import ENDINGS
from brainfm.picture_responses import PictureResponses, nsd, response_table, things_fmri
from brainfm.sensors import FloatArray
from brainfm.trial_events import Event, content_id

from .voxel_sources import VoxelRun, VoxelSeries, VoxelSource, stamp_of

TRIALS_PER_SECOND = 1.0


@dataclass(frozen=True, kw_only=True)
class VoxelLayout:
    """How responses of a data set lie on the disk.

    Parameters
    ----------
    files
        Globs below the root of all that is read of a person; ``{subject}`` is one.
    read
        ``read(root, subject, sessions, mask)``.
    concept
        From the name of a picture to what it shows; empty where the names do not tell.
    licence
        Of the data.
    """

    files: tuple[str, ...]
    read: Callable[[Path, str, Sequence[int], str], PictureResponses]
    concept: Callable[[str], str]
    licence: str = ""


def _things(root: Path, subject: str, sessions: Sequence[int], mask: str) -> PictureResponses:
    found = things_fmri(root, subject)
    if mask:
        found = replace(found, x=found.x[:, things_regions(root, subject, mask.split())])
    wanted = {str(session) for session in sessions}
    if wanted:
        found = found.select(np.isin(found.session, sorted(wanted)))
    return found


def things_regions(root: Path, subject: str, regions: Sequence[str]) -> NDArray[np.bool_]:
    """Return which voxels are in any of some regions, by ``sub-01_VoxelMetadata.csv``, (R,).

    Raises
    ------
    ValueError, FileNotFoundError
        No such table or column.
    """
    path = root / "betas_csv" / f"sub-{subject}_VoxelMetadata.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it says which voxels are in {regions[0]}")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        unknown = [name for name in regions if name not in (rows.fieldnames or ())]
        if unknown:
            there = ", ".join(rows.fieldnames or ())
            raise ValueError(f"{path}: has no region {unknown[0]!r}; columns: {there}")
        inside = [any(float(row[name] or 0) != 0 for name in regions) for row in rows]
    return np.array(inside, dtype=np.bool_)


def _nsd(root: Path, subject: str, sessions: Sequence[int], mask: str) -> PictureResponses:
    if not sessions:
        raise ValueError("NSD needs data.source.init_args.sessions, for example [1, 2, 3]")
    return nsd(root, subject, sessions=sessions, mask=mask or "nsdgeneral")


def _table(root: Path, subject: str, sessions: Sequence[int], mask: str) -> PictureResponses:
    if sessions or mask:
        raise ValueError("the layout 'table' has no sessions and masks to choose from")
    return response_table(root, subject)


LAYOUTS = MappingProxyType(
    {
        "things_fmri": VoxelLayout(
            files=(
                "betas_csv/sub-{subject}_ResponseData.h5",
                "betas_csv/sub-{subject}_StimulusMetadata.csv",
            ),
            read=_things,
            concept=lambda name: name.rsplit("_", 1)[0],
            licence="CC0 1.0",
        ),
        "nsd": VoxelLayout(
            files=("nsddata_betas/ppdata/subj{subject}/*/*/betas_session*.hdf5",),
            read=_nsd,
            concept=lambda name: name,
            licence="NSD data access agreement",
        ),
        "table": VoxelLayout(
            files=("sub-{subject}_responses.npy", "sub-{subject}_trials.tsv"),
            read=_table,
            concept=lambda name: Path(name).stem,
        ),
    }
)
"""The layouts by name."""


class PictureVoxels(VoxelSource):
    """Single-trial responses (betas) to pictures, standardised by the training of each session.

    Where a data set means pictures for testing, its two parts count as data sets (``nsd-train``,
    ``nsd-test``): a split by data set is the published division, and its reverse. Else split by
    stimulus or group.

    Parameters
    ----------
    root
        Folder of the data set as it is published.
    layout
        ``things_fmri``, ``nsd``, or ``table``: ``sub-01_responses.npy`` (N, R) with a row for each
        of ``sub-01_trials.tsv``, whose columns are ``picture``, and if wanted ``session`` and
        ``part`` (train, test).
    subjects
        People, by their number in the names of files ("01").
    images
        Folder of the picture files; then a picture is known by their bytes, as
        :class:`~.image_targets.ImageTargets` wants it. Empty: by its name, as
        :class:`~.picture_features.PictureFeatures` wants it.
    sessions
        Numbers; none: all (NSD needs some).
    mask
        Of NSD the name of a ROI file, of THINGS-fMRI columns of its table of voxels; empty:
        nsdgeneral, all voxels.
    average
        Take the mean over the presentations of a picture.
    dataset
        Name; empty: that of the layout.
    synthetic
        Whether the responses were simulated.
    """

    def __init__(
        self,
        root: str,
        layout: str,
        subjects: list[str],
        images: str = "",
        sessions: list[int] | None = None,
        mask: str = "",
        average: bool = False,
        dataset: str = "",
        synthetic: bool = False,
    ) -> None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
        if not subjects:
            raise ValueError("data.source.init_args.subjects names nobody, for example ['01']")
        self.root = Path(root).expanduser().absolute()
        self.images = Path(images).expanduser() if images else None
        for name, folder in (("root", self.root), ("images", self.images)):
            if folder is not None and not folder.is_dir():
                raise FileNotFoundError(f"data.source {name} {folder} is no folder")
        self.name, self.layout = dataset or layout, LAYOUTS[layout]
        self.subjects, self.sessions, self.mask = list(subjects), list(sessions or ()), mask
        self.average, self.synthetic = average, synthetic

    def runs(self) -> list[VoxelRun]:
        """Return a recording for every person, part and session.

        Raises
        ------
        ValueError, FileNotFoundError
            A person without responses, a file that is missing or not laid out so.
        """
        files = self._picture_files()
        return [run for subject in self.subjects for run in self._of_person(subject, files)]

    def stamp(self) -> str:
        """Return a hash of the files of responses and pictures, and of the settings.

        Raises
        ------
        FileNotFoundError
            A person has no file.
        """
        paths: list[Path] = []
        for subject in self.subjects:
            globs = [pattern.format(subject=subject) for pattern in self.layout.files]
            read = sorted(path for pattern in globs for path in self.root.glob(pattern))
            if not read:
                raise FileNotFoundError(f"{self.root}: no file {globs[0]} of subject {subject}")
            paths += read
        paths += sorted(self._picture_files().values())
        return stamp_of(paths, self.name, self.subjects, self.sessions, self.mask, self.average)

    def _of_person(self, subject: str, files: dict[str, Path]) -> list[VoxelRun]:
        found = self.layout.read(self.root, subject, self.sessions, self.mask).standardised()
        if self.average:
            found = found.averaged()
        tested, runs = bool(found.test.any()), []
        for part, of_part in (("train", ~found.test), ("test", found.test)):
            for session in sorted(set(found.session[of_part].tolist())):
                rows = found.select(of_part & (found.session == session))
                dataset = f"{self.name}-{part}" if tested else self.name
                runs.append(
                    VoxelRun(
                        id=f"{dataset}_sub-{subject}_ses-{session}",
                        dataset=dataset,
                        subject=subject,
                        session=session,
                        licence=self.layout.licence,
                        sfreq=TRIALS_PER_SECOND,
                        series=partial(_series, rows.x),
                        events=partial(self._events, rows.picture.tolist(), files),
                    )
                )
        return runs

    def _events(self, pictures: Sequence[str], files: dict[str, Path]) -> list[Event]:
        events = []
        for k, name in enumerate(pictures):
            stimulus = content_id(name)
            if self.images is not None:
                if name not in files:
                    raise FileNotFoundError(
                        f"{self.images} has no picture {name}, which was shown; name the folder of "
                        "the pictures in data.source.init_args.images"
                    )
                stimulus = content_id(files[name].read_bytes())
            concept = self.layout.concept(name)
            events.append(
                Event(
                    onset=k / TRIALS_PER_SECOND,
                    name=concept,
                    stimulus=stimulus,
                    group=content_id(concept),
                )
            )
        return events

    def _picture_files(self) -> dict[str, Path]:
        if self.images is None:
            return {}
        paths = sorted(self.images.rglob("*"))
        return {path.name: path for path in paths if path.suffix.lower() in ENDINGS}


def _series(x: FloatArray) -> VoxelSeries:
    names = tuple(str(k) for k in range(x.shape[1]))
    return VoxelSeries(np.asarray(x, dtype=np.float64), names, np.zeros((x.shape[1], 3)))
