"""Published data sets of people who looked at pictures as sources of trials."""

import re
from functools import partial
from pathlib import Path
from typing import Any, Literal

from brainfm.image_files import ENDINGS
from brainfm.recordings import ReadOptions
from brainfm.sources import check_ids, file_id
from brainfm.trial_events import Event, content_id

from .image_layouts import LAYOUTS, ImageLayout
from .trial_source import Found, TrialSource


class ImageRecordings(TrialSource):
    """Recordings of people who looked at pictures, in the public layout of a data set.

    An event is named by the concept of its picture; its stimulus is the content id of the picture's
    file, as :class:`~.image_targets.ImageTargets` wants it.

    Parameters
    ----------
    root
        Folder of the data set as it is published, archives unpacked.
    layout
        ``things_eeg2`` or ``things_meg``; see the functions of :mod:`.image_layouts`.
    images
        Folder of the pictures; they may lie in it at any depth.
    together
        What a split by group keeps on one side: all pictures of a ``concept`` (what is tested is
        then new), or an ``image``.
    subjects
        Those to take, by the names of the layout; none named: all.
    read
        How recordings are read; not given: as the layout says.
    """

    def __init__(
        self,
        root: str,
        layout: str,
        images: str,
        together: Literal["concept", "image"] = "concept",
        subjects: list[str] | None = None,
        read: ReadOptions | None = None,
    ) -> None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
        if together not in ("concept", "image"):
            raise ValueError(f"together must be concept or image, got {together!r}")
        self.root, self.images = Path(root).expanduser().absolute(), Path(images).expanduser()
        for name, folder in (("root", self.root), ("images", self.images)):
            if not folder.is_dir():
                raise ValueError(f"data.source {name} {folder} is no folder")
        self.name, self.together = layout, together
        self.layout: ImageLayout = LAYOUTS[layout]
        self.subjects, self.read = tuple(subjects or ()), read or self.layout.options

    def recordings(self) -> list[Found]:
        """Return the recordings, their events to be read when they are asked for.

        Raises
        ------
        ValueError
            No recording, or none of a subject that is wanted.
        """
        places: dict[str, list[Path]] = {}
        for path in sorted(self.images.rglob("*")):
            if path.suffix.lower() in ENDINGS:
                places.setdefault(path.name, []).append(path)
        contents: dict[Path, str] = {}
        labels, sources = [], []
        for path in sorted({p for glob in self.layout.recordings for p in self.root.glob(glob)}):
            match = re.search(self.layout.labels, path.relative_to(self.root).as_posix())
            if match is not None and match["subject"] in (self.subjects or (match["subject"],)):
                labels.append({key: text for key, text in match.groupdict().items() if text})
                sources.append(self._source(path, labels[-1]))
        unknown = sorted(set(self.subjects) - {label["subject"] for label in labels})
        if unknown or not sources:
            raise ValueError(
                f"{self.root}: no recording of {unknown[0] if unknown else 'anyone'} in the layout "
                f"{self.name!r} ({', '.join(self.layout.recordings)})"
            )
        return [
            Found(source=s, events=partial(self._events, s.path, label, places, contents))
            for s, label in zip(check_ids(sources), labels, strict=True)
        ]

    def _source(self, path: Path, labels: dict[str, Any]) -> Any:
        return self.layout.source(
            path=path,
            id=file_id(path, self.name, self.root),
            dataset=f"{self.name}-{labels['task']}" if self.layout.parts else self.name,
            licence=self.layout.licence,
            options=self.read,
            modality=self.layout.modality,
            **labels,
        )

    def _events(
        self,
        path: Path,
        labels: dict[str, str],
        places: dict[str, list[Path]],
        contents: dict[Path, str],
    ) -> list[Event]:
        events = []
        for shown in self.layout.shown(path, self.root, self.images, labels):
            file = self._file(shown.file, places, path)
            if file not in contents:
                contents[file] = content_id(file.read_bytes())
            group = "" if self.together == "image" else content_id(shown.concept)
            events.append(
                Event(onset=shown.onset, name=shown.concept, stimulus=contents[file], group=group)
            )
        if not events:
            raise ValueError(f"{path}: shows no picture")
        return events

    def _file(self, name: str, places: dict[str, list[Path]], path: Path) -> Path:
        """Return where a picture lies; a folder in its name decides between files of one name."""
        found = places.get(name.rsplit("/", 1)[-1], [])
        exact = [file for file in found if f"/{file.as_posix()}".endswith(f"/{name}")]
        if not found:
            raise FileNotFoundError(
                f"{self.images} has no picture {name}, which {path.name} says was shown; name the "
                "folder of the pictures in data.source.init_args.images"
            )
        if not exact and len({file.read_bytes() for file in found}) > 1:
            raise ValueError(
                f"{self.images} has {len(found)} different pictures {name}, e.g. {found[0]} and "
                f"{found[1]}; name a folder that has one of each"
            )
        return (exact or found)[0]
