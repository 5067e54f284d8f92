"""Single-trial responses of voxels to pictures, from the tables of published fMRI data sets.

What is said of a layout is what its makers publish of it; none was tried on the data themselves,
only on small synthetic folders of the same layout.

Shapes: N trials, V voxels, M pictures, H height, W width.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.sensors import FloatArray

NSD_SCALE = 300.0
"""NSD stores percent of signal change as whole numbers, that many times as large."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureResponses:
    """Responses of one person.

    Parameters
    ----------
    x
        (N, V).
    picture
        (N,) name of the picture.
    session
        (N,) name of the session.
    test
        (N,) whether the data set means the picture for testing.
    """

    x: FloatArray
    picture: NDArray[np.str_]
    session: NDArray[np.str_]
    test: NDArray[np.bool_]

    def __post_init__(self) -> None:
        counts = {len(self.x), len(self.picture), len(self.session), len(self.test)}
        if self.x.ndim != 2 or len(counts) != 1 or not len(self.x):
            raise ValueError(f"responses {self.x.shape} need a row for each of their pictures")
        both = set(self.picture[self.test].tolist()) & set(self.picture[~self.test].tolist())
        if both:
            raise ValueError(f"{len(both)} pictures are for training and test, e.g. {min(both)}")

    def standardised(self) -> "PictureResponses":
        """Return them with mean 0 and deviation 1 of each voxel over the training of its session.

        Raises
        ------
        ValueError
            A session with fewer than two training trials.
        """
        x = np.empty_like(self.x)
        for session in np.unique(self.session):
            here = self.session == session
            train = self.x[here & ~self.test]
            if len(train) < 2:
                raise ValueError(f"session {session} has {len(train)} training trials, 2 are few")
            deviation = train.std(0)
            x[here] = (self.x[here] - train.mean(0)) / np.where(deviation > 0, deviation, 1)
        return replace(self, x=x)

    def select(self, chosen: NDArray[np.bool_]) -> "PictureResponses":
        """Return some of the trials (N,).

        Raises
        ------
        ValueError
            None of them.
        """
        return PictureResponses(
            x=self.x[chosen],
            picture=self.picture[chosen],
            session=self.session[chosen],
            test=self.test[chosen],
        )

    def averaged(self) -> "PictureResponses":
        """Return the mean response to each picture, sorted by name; sessions are joined."""
        names, first, place = np.unique(self.picture, return_index=True, return_inverse=True)
        total = np.zeros((len(names), self.x.shape[1]), dtype=np.float64)
        np.add.at(total, place, self.x)
        mean = total / np.bincount(place)[:, None]
        return PictureResponses(
            x=mean.astype(self.x.dtype),
            picture=names,
            session=np.full(len(names), "all"),
            test=self.test[first],
        )


def things_fmri(root: str | Path, subject: str) -> PictureResponses:
    """Read the tables of THINGS-fMRI (Hebart et al. 2023, doi:10.25452/figshare.plus.20492835).

    ``betas_csv/sub-01_ResponseData.h5`` is a table of pandas with a row per voxel: the block of
    ``ResponseData`` with a column per trial counts. ``sub-01_StimulusMetadata.csv`` has columns
    ``trial_type`` (train, test), ``session`` and ``stimulus`` (``aardvark_01b.jpg``).

    Parameters
    ----------
    root
        Folder that holds ``betas_csv``.
    subject
        As in ``sub-01``: "01".

    Raises
    ------
    ValueError, FileNotFoundError
        A file is missing or not laid out so.
    """
    import h5py

    folder = Path(root).expanduser() / "betas_csv"
    table = _there(folder / f"sub-{subject}_StimulusMetadata.csv")
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = {"trial_type", "session", "stimulus"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{table}: has no column {min(missing)!r}")
        rows = [(n, row) for n, row in enumerate(reader) if row["trial_type"] in ("train", "test")]
        n_trials = reader.line_num - 1
    path = _there(folder / f"sub-{subject}_ResponseData.h5")
    with h5py.File(path) as stored:
        group = stored.get("ResponseData", {})
        blocks = [
            name
            for name in group
            if name.startswith("block") and name.endswith("_values")
            if group[name].ndim == 2 and group[name].shape[1] == n_trials
        ]
        if len(blocks) != 1:
            raise ValueError(f"{path}: has no block of {n_trials} trials, as {table.name} has")
        responses = np.asarray(group[blocks[0]], dtype=np.float32)
    return PictureResponses(
        x=np.ascontiguousarray(responses[:, [n for n, _ in rows]].T),
        picture=np.array([row["stimulus"] for _, row in rows], dtype=np.str_),
        session=np.array([row["session"] for _, row in rows], dtype=np.str_),
        test=np.array([row["trial_type"] == "test" for _, row in rows]),
    )


def nsd(
    root: str | Path,
    subject: str,
    *,
    sessions: Sequence[int],
    mask: str = "nsdgeneral",
    betas: str = "betas_fithrf_GLMdenoise_RR",
    space: str = "func1pt8mm",
) -> PictureResponses:
    """Read sessions of NSD (Allen et al. 2022, doi:10.1038/s41593-021-00962-x).

    Parameters
    ----------
    root
        Folder that holds ``nsddata`` and ``nsddata_betas``.
    subject
        As in ``subj01``: "01".
    sessions
        Numbers, from 1; each has 750 trials in the order of ``nsd_expdesign.mat``.
    mask
        Name of the ROI file; its voxels above 0 are taken.
    betas, space
        Folders of the preparation and of the space.

    Returns
    -------
    PictureResponses
        In percent of signal change; pictures are named by their number among the 73,000, from 0.
        The thousand that all people saw are the test.

    Raises
    ------
    ValueError, FileNotFoundError
        A file is missing or not laid out so; a mask in another space.
    """
    import h5py
    import nibabel
    from scipy.io import loadmat

    base = Path(root).expanduser()
    design = loadmat(_there(base / "nsddata" / "experiments" / "nsd" / "nsd_expdesign.mat"))
    order = design["masterordering"].ravel().astype(np.int64) - 1
    mine = design["subjectim"][int(subject) - 1].astype(np.int64) - 1
    shared = set((design["sharedix"].ravel().astype(np.int64) - 1).tolist())
    roi = _there(base / f"nsddata/ppdata/subj{subject}/{space}/roi/{mask}.nii.gz")
    # Written by MATLAB, the volumes of the betas have their axes in reverse order.
    inside = np.asarray(nibabel.load(roi).dataobj).T > 0  # type: ignore[attr-defined]
    folder = base / f"nsddata_betas/ppdata/subj{subject}/{space}/{betas}"
    parts, pictures, names = [], [], []
    for session in sessions:
        path = _there(folder / f"betas_session{session:02d}.hdf5")
        with h5py.File(path) as stored:
            volumes = stored["betas"]
            if volumes.shape[1:] != inside.shape:
                raise ValueError(
                    f"{path}: volumes are {volumes.shape[1:]}, but the mask {roi.name} is "
                    f"{inside.shape}: take both in one space"
                )
            n = volumes.shape[0]
            part = np.stack([volumes[k][inside] for k in range(n)]).astype(np.float32)
        first = (session - 1) * n
        if session < 1 or first + n > len(order):
            raise ValueError(f"session {session} is beyond the {len(order)} trials of the design")
        parts.append(part / NSD_SCALE)
        pictures.append(mine[order[first : first + n]])
        names += [f"{session:02d}"] * n
    number = np.concatenate(pictures)
    return PictureResponses(
        x=np.concatenate(parts),
        picture=np.array([f"{n:05d}" for n in number.tolist()], dtype=np.str_),
        session=np.array(names, dtype=np.str_),
        test=np.array([n in shared for n in number.tolist()]),
    )


def response_table(root: str | Path, subject: str) -> PictureResponses:
    """Read responses of any origin: an array, and a table with a row for each of its rows.

    Parameters
    ----------
    root
        Folder with ``sub-01_responses.npy`` (N, V) and ``sub-01_trials.tsv``, whose columns are
        ``picture``, and if wanted ``session`` and ``part`` (train, test).
    subject
        As in ``sub-01``: "01".

    Raises
    ------
    ValueError, FileNotFoundError
        A file is missing, has other rows or columns, or values that are not finite.
    """
    folder = Path(root).expanduser()
    path, table = (_there(folder / f"sub-{subject}_{n}") for n in ("responses.npy", "trials.tsv"))
    x = np.load(path, allow_pickle=False)
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter="\t", restval="")
        if "picture" not in (reader.fieldnames or ()):
            raise ValueError(f"{table}: has no column 'picture'")
        rows = list(reader)
    if x.ndim != 2 or len(x) != len(rows):
        raise ValueError(f"{path}: responses {x.shape} for the {len(rows)} trials of {table.name}")
    if not np.isfinite(x).all():
        raise ValueError(f"{path}: holds values that are not finite")
    parts = [row.get("part") or "train" for row in rows]
    unknown = sorted(set(parts) - {"train", "test"})
    if unknown:
        raise ValueError(f"{table}: part must be train or test, got {unknown[0]!r}")
    return PictureResponses(
        x=x.astype(np.float32),
        picture=np.array([row["picture"] for row in rows], dtype=np.str_),
        session=np.array([row.get("session") or "1" for row in rows], dtype=np.str_),
        test=np.array([part == "test" for part in parts]),
    )


def nsd_pictures(root: str | Path, names: Sequence[str]) -> Tensor:
    """Return pictures of NSD (M, 3, 425, 425) in [0, 1] by the names that :func:`nsd` gives."""
    import h5py

    path = _there(Path(root).expanduser() / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5")
    with h5py.File(path) as stored:
        brick = stored["imgBrick"]
        bytes_ = np.stack([brick[int(name)] for name in names])
    return torch.from_numpy(bytes_).permute(0, 3, 1, 2).float() / 255


def _there(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    return path
