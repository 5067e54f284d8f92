"""A synthetic data set: recordings, events, BOLD and truth of many people in one folder.

The folder is made under a temporary name beside the one asked for and renamed when it is whole.
While a recording is made its sensors lie in a scratch file of 8 bytes per sample in that folder;
memory holds the courses and drives of its few components, an hour at 256 Hz of each being 7 MB, and
blocks of ten seconds.
"""

import dataclasses
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import mne
import numpy as np

from brainfm.atomic import flush_to_disk, write_json_atomic, write_text_atomic
from brainfm.config_json import to_json
from brainfm.progress import track
from brainfm.simulation_config import SimulationConfig
from brainfm.simulation_readme import readme
from brainfm.simulation_truth import write_truth
from brainfm.synthetic_bold import Bold
from brainfm.synthetic_events import event_annotations, events_table
from brainfm.synthetic_head import electrode_names
from brainfm.synthetic_images import read_pictures
from brainfm.synthetic_person import SyntheticPerson, make_person
from brainfm.synthetic_session import Session, Stimuli, make_session, record
from brainfm.synthetic_speech import read_sounds
from brainfm.synthetic_words import write_words

STIMULI, PERSON, SESSION = range(3)
"""What a random stream is for; its seed is (seed, purpose, subject, session)."""

TASK = "task-synthetic"


@dataclass(frozen=True, kw_only=True)
class SimulationSummary:
    """What was made.

    Parameters
    ----------
    recordings
        The FIF files.
    snr
        SNR made in dB by channel type, mean over the recordings; ``-inf`` for the null.
    repeats
        Mean number of times that a recording presents a sound.
    """

    recordings: tuple[Path, ...]
    snr: dict[str, float]
    repeats: float


def simulate_dataset(
    out: str | Path,
    cfg: SimulationConfig,
    *,
    audio: Sequence[str | Path] = (),
    images: str | Path | None = None,
    channels: Sequence[str] = (),
) -> SimulationSummary:
    """Make a synthetic data set.

    Parameters
    ----------
    out
        Folder that must not exist or be empty.
    cfg
        The settings.
    audio
        WAV files that are played; ``NAME.words.tsv`` beside one (:mod:`.synthetic_words`) tells
        its words.
    images
        ``.npy`` file (pictures, features).
    channels
        Electrodes of the montage to use; none named: all.

    Raises
    ------
    ValueError, FileNotFoundError
        Nothing to plant, a stimulus that cannot be read, an unknown montage, a folder in use.
    """
    out = Path(out).absolute()
    if not audio and images is None and not cfg.bold_rois:
        raise ValueError("nothing to plant: give --audio, --image-features or --bold-rois")
    if cfg.montage != "none":
        electrode_names(cfg.montage, tuple(channels))
    elif channels:
        raise ValueError("--channels names electrodes, but the montage is 'none'")
    mixing = np.random.default_rng([cfg.seed, STIMULI])
    stimuli = Stimuli(
        sounds=tuple(read_sounds(audio, cfg)),
        pictures=None if images is None else read_pictures(images, cfg, generator=mixing),
    )
    with _whole_folder(out) as folder:
        made = _record_all(folder, cfg, stimuli, tuple(channels))
        write_words(folder, {sound.name: sound.words for sound in stimuli.sounds})
        write_json_atomic(
            folder / "truth" / "simulation.json",
            {
                "synthetic": True,
                "config": to_json(cfg),
                "channels": list(channels),
                "sounds": [{"name": s.name, "content_id": s.content_id} for s in stimuli.sounds],
                "images": None if images is None else Path(images).name,
            },
        )
    return dataclasses.replace(
        made, recordings=tuple(out / path.relative_to(folder) for path in made.recordings)
    )


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Yield a new folder that becomes ``out`` when the block ends without an exception."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and is not an empty folder: name another one, or empty it")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name[:180]}.{uuid.uuid4().hex[:12]}.tmp")
    folder.mkdir()
    try:
        yield folder
        for path in sorted(folder.rglob("*")):
            flush_to_disk(path)
        flush_to_disk(folder)
        os.replace(folder, out)
        flush_to_disk(out.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _record_all(
    folder: Path, cfg: SimulationConfig, stimuli: Stimuli, channels: tuple[str, ...]
) -> SimulationSummary:
    components = stimuli.components(cfg)
    weights = None if stimuli.pictures is None else stimuli.pictures.weights
    (folder / "truth").mkdir()
    paths, ratios, repeats = [], [], []
    pairs = list(product(range(1, cfg.subjects + 1), range(1, cfg.sessions + 1)))
    person, whose = None, 0
    for subject, number in track(pairs, "simulate", unit="recordings"):
        if person is None or subject != whose:
            draws = np.random.default_rng([cfg.seed, PERSON, subject])
            person, whose = make_person(cfg, components, channels, generator=draws), subject
        generator = np.random.default_rng([cfg.seed, SESSION, subject, number])
        doing, noise = generator.spawn(2)
        session = make_session(cfg, person, stimuli, generator=doing)
        stem = f"sub-{subject:02d}_ses-{number:02d}_{TASK}"
        place = folder / f"sub-{subject:02d}" / f"ses-{number:02d}"
        place.mkdir(parents=True)
        path = place / f"{stem}_raw.fif"
        moment, snr = _write_raw(path, cfg, person, session, noise)
        write_text_atomic(place / f"{stem}_events.tsv", events_table(session.presentations))
        if session.bold is not None:
            _write_bold(place / f"{stem}_bold", session.bold, cfg)
        write_truth(
            folder / "truth" / f"{stem}_truth",
            cfg=cfg,
            components=components,
            person=person,
            session=session.planted(moment),
            snr=snr,
            image_weights=weights,
        )
        paths.append(path)
        ratios.append(snr)
        heard = sum(p.kind == "speech" for p in session.presentations)
        repeats.append(heard / max(len(stimuli.sounds), 1))
    _write_description(folder, cfg)
    mean = {kind: float(np.mean([ratio[kind] for ratio in ratios])) for kind in ratios[0]}
    return SimulationSummary(recordings=tuple(paths), snr=mean, repeats=float(np.mean(repeats)))


def _write_raw(
    path: Path,
    cfg: SimulationConfig,
    person: SyntheticPerson,
    session: Session,
    generator: np.random.Generator,
) -> tuple[float, dict[str, float]]:
    """Compute the sensors into a scratch file, so that an hour fits any memory, and save them."""
    scratch = path.with_name("scratch.tmp")
    shape = (len(person.head.kinds), cfg.n_times)
    try:
        sensors = np.memmap(scratch, dtype=np.float64, mode="w+", shape=shape)
        result = record(cfg, person, session, sensors, generator=generator)
        with mne.use_log_level("ERROR"):
            raw = mne.io.RawArray(sensors, person.head.info.copy(), copy="auto")
            raw.info["description"] = "synthetic: made by 'brainfm simulate', not from a person"
            raw.info["subject_info"] = {"his_id": f"synthetic-{path.name.split('_')[0]}"}
            raw.set_annotations(event_annotations(session.presentations))
            raw.save(path, fmt="single")
        del raw, sensors
    finally:
        scratch.unlink(missing_ok=True)
    return result


def _write_bold(stem: Path, bold: Bold, cfg: SimulationConfig) -> None:
    names = [f"rhythm-{k}" for k in range(bold.series.shape[1])]
    rows = np.column_stack([bold.times, bold.series])
    lines = ["\t".join(["time", *names])]
    lines += ["\t".join(f"{value:.9g}" for value in row) for row in rows.tolist()]
    write_text_atomic(stem.with_name(stem.name + ".tsv"), "\n".join(lines) + "\n")
    write_json_atomic(
        stem.with_name(stem.name + ".json"),
        {
            "Description": "synthetic BOLD of regions, not from a person",
            "RepetitionTime": cfg.tr,
            "Units": "percent of the mean; time in s from the first sample of the recording",
            "SNR_dB": cfg.bold_snr,
        },
    )


def _write_description(folder: Path, cfg: SimulationConfig) -> None:
    write_text_atomic(folder / "README", readme(cfg))
    write_json_atomic(
        folder / "dataset_description.json",
        {"Name": "synthetic data set of brainfm", "BIDSVersion": "1.9.0", "DatasetType": "raw"},
    )
    people = [f"sub-{subject:02d}\tsynthetic" for subject in range(1, cfg.subjects + 1)]
    write_text_atomic(
        folder / "participants.tsv", "\n".join(["participant_id\tkind", *people]) + "\n"
    )
