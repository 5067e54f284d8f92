"""Runs of BOLD in NIfTI files as a source of trials: a mask or an atlas, and blocks or events.

Shapes: V volumes, R voxels or regions.
"""

from collections import defaultdict
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from brainfm.bold import loaded, roi_series, voxel_series
from brainfm.catalogue import DatasetEntry, catalogue_sources
from brainfm.config_json import to_json
from brainfm.sources import Source
from brainfm.trial_events import Event
from brainfm.voxel_series import bright_voxels, condition_events, standardised_run, voxel_places

from .bold_targets import read_table
from .path_labels import label_pattern, labelled
from .recorded_events import EventConfig, event_path, table_events
from .voxel_sources import VoxelRun, VoxelSeries, VoxelSource, stamp_of


class VoxelImages(VoxelSource):
    r"""Runs of BOLD, each a 4-D NIfTI file; every voxel standardised within its run.

    Parameters
    ----------
    files
        Globs below ``root``; ``**`` for any folders.
    t_r
        Seconds between volumes; headers are often wrong about it.
    root
        Folder of the data set.
    mask
        Image of the voxels to take, in the space of the runs; with ``{subject}`` and the like one
        for each person. Empty, and no ``atlas``: the bright voxels of the mean of a person's runs.
    atlas
        Labels or maps, in the space of the runs, whose regions are taken instead of voxels.
    events
        A table for every run (``kind: table``, ``file: "{folder}/{stem}_events.tsv"``), onsets in s
        from the start of its first volume.
    conditions
        In place of it: name of a condition -> file of its blocks (FSL's three columns), as in
        ``{house: "{folder}/onsets/{run}/house.txt"}``; placeholders as in ``events.file``, relative
        paths below ``root``.
    skip_volumes
        Volumes to leave out at the start; events still count from the very first.
    drift
        Degree of the polynomial in time that is taken out of every run.
    confounds
        Table of every run (V, F) to regress out, a file as in ``conditions``; empty: none.
    dataset
        Its name; empty: that of the folder.
    labels
        As in :class:`~.recording_sources.Files`: regular expression with named groups that says
        whose run it is.
    licence
        Of the data.
    synthetic
        Whether the runs were simulated.
    """

    def __init__(
        self,
        files: list[str],
        t_r: float,
        root: str = ".",
        mask: str = "",
        atlas: str = "",
        events: EventConfig | None = None,
        conditions: dict[str, str] | None = None,
        skip_volumes: int = 0,
        drift: int = 1,
        confounds: str = "",
        dataset: str = "",
        labels: str = "",
        licence: str = "",
        synthetic: bool = False,
    ) -> None:
        folder = Path(root).expanduser().absolute()
        if not folder.is_dir():
            raise FileNotFoundError(f"data.source root {root} is no folder")
        if not t_r > 0:
            raise ValueError(f"data.source t_r must be positive (s), got {t_r}")
        if mask and atlas:
            raise ValueError("data.source takes a mask (voxels) or an atlas (regions), not both")
        if (events is None) == (not conditions):
            raise ValueError(
                "data.source needs events (a table for every run) or conditions (a file of blocks "
                "for every condition), one of the two"
            )
        if events is not None and events.kind != "table":
            raise ValueError(f"events of fMRI are in tables (kind 'table'), not {events.kind!r}")
        if skip_volumes < 0 or drift < 0:
            raise ValueError(f"skip_volumes ({skip_volumes}) and drift ({drift}) are 0 or more")
        self.t_r, self.mask, self.atlas, self.confounds = t_r, mask, atlas, confounds
        self.events, self.conditions = events, dict(conditions or {})
        self.skip, self.drift, self.synthetic = skip_volumes, drift, synthetic
        self.labels = label_pattern(labels)
        self.entry = DatasetEntry(
            name=dataset or folder.name, root=folder, files=tuple(files), licence=licence
        )

    def runs(self) -> list[VoxelRun]:
        """Return the runs that the globs name.

        Raises
        ------
        ValueError, FileNotFoundError
            No such file, no mask or atlas.
        """
        sources = self._sources()
        people: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for source in sources:
            people[source.dataset, source.subject].append(source.path)
        names = ("id", "dataset", "subject", "session", "task", "run", "licence")
        return [
            VoxelRun(
                **{name: getattr(source, name) for name in names},
                source=source.path.name,
                sfreq=1 / self.t_r,
                series=partial(self._series, source, tuple(people[source.dataset, source.subject])),
                events=partial(self._events, source),
            )
            for source in sources
        ]

    def stamp(self) -> str:
        """Return a hash of the files that are read, by size and time, and of the settings."""
        beside = [self.mask, self.atlas, self.confounds, *self.conditions.values()]
        beside += [self.events.file] if self.events is not None else []
        sources = self._sources()
        paths = {self._file(name, source) for name in beside if name for source in sources}
        told = None if self.events is None else to_json(self.events)
        settings = [self.t_r, self.skip, self.drift, sorted(self.conditions.items()), told]
        labels = [[source.id, source.subject, source.session, source.run] for source in sources]
        return stamp_of([*(s.path for s in sources), *sorted(paths)], settings, labels)

    def _sources(self) -> list[Source]:
        found = catalogue_sources([self.entry])
        return [labelled(source, self.labels, self.entry.root) for source in found]

    def _series(self, source: Source, same_person: tuple[Path, ...]) -> VoxelSeries:
        path = source.path
        if self.atlas:
            atlas = self._file(self.atlas, source)
            found = roi_series(path, atlas, t_r=self.t_r)
            series, names, places = found.series, found.names, region_places(atlas)
        else:
            mask = self._file(self.mask, source) if self.mask else _bright(same_person)
            series, (names, places) = voxel_series(path, mask), voxel_places(mask)
        extra = None
        if self.confounds:
            confounds = self._file(self.confounds, source)
            extra = read_table(confounds, None, missing=True).series
        if extra is not None and len(extra) != len(series):
            raise ValueError(f"{confounds}: {len(extra)} rows for {len(series)} volumes of {path}")
        if len(series) <= self.skip:
            raise ValueError(f"{path}: {len(series)} volumes, {self.skip} of them to skip")
        kept = slice(self.skip, None)
        cleaned = standardised_run(
            series[kept], drift=self.drift, confounds=None if extra is None else extra[kept]
        )
        return VoxelSeries(cleaned, names, places)

    def _events(self, source: Source) -> list[Event]:
        if self.events is not None:
            path = self._file(self.events.file, source)
            found = table_events(path, self.events)
        else:
            found = [
                event
                for name, file in self.conditions.items()
                for event in condition_events(self._file(file, source), name)
            ]
        start = self.skip * self.t_r
        kept = [replace(event, onset=event.onset - start) for event in found]
        return sorted((e for e in kept if e.onset >= 0), key=lambda event: event.onset)

    def _file(self, template: str, source: Source) -> Path:
        rooted = str(self.entry.root / Path(template).expanduser())
        if template.startswith("{folder}"):
            rooted = template
        return event_path(source, EventConfig(kind="table", file=rooted))


@lru_cache(maxsize=4)
def _bright(paths: tuple[Path, ...]) -> Any:
    return bright_voxels(paths)


def region_places(atlas: Path) -> np.ndarray:
    """Return the centres (R, 3) in m of the regions of an atlas, labels or maps."""
    image = loaded(atlas, "atlas", dims=(3, 4))
    values = np.asanyarray(image.dataobj)
    if values.ndim == 3:
        labels = np.unique(values)
        weights = [values == label for label in labels[labels != 0]]
    else:
        weights = [np.abs(values[..., k]) for k in range(values.shape[3])]
    index = np.stack([np.argwhere(w > 0).mean(axis=0) for w in weights])
    return np.asarray((index @ image.affine[:3, :3].T + image.affine[:3, 3]) / 1000)
