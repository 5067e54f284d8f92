"""Small corpora with known samples for the tests of corpus, loader and splits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainfm.corpus import create_corpus
from brainfm.corpus_file import n_seconds, write_recording
from brainfm.corpus_index import write_index
from brainfm.recording_info import RecordingInfo
from brainfm.sensors import SensorArray

SFREQ = 256.0


def _sensors(n_channels: int, kind: str = "eeg", seed: int = 0) -> SensorArray:
    rng = np.random.default_rng(seed)
    oriented = kind not in ("eeg", "ieeg")
    normals = rng.standard_normal((n_channels, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return SensorArray(
        positions=rng.standard_normal((n_channels, 3)) * 0.1,
        orientations=normals * oriented,
        types=np.array([kind] * n_channels),
        names=tuple(f"{kind}{k}µ" for k in range(n_channels)),
    )


def _signal(n_channels: int, n_times: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_channels, n_times)).astype(np.float16)


def _add_recording(
    folder: Path,
    recording_id: str,
    x: np.ndarray,
    *,
    kind: str = "eeg",
    good: np.ndarray | None = None,
    flagged: tuple[int, ...] = (),
    block: int = 1000,
    dataset: str = "set",
    subject: str | None = None,
    **fields: object,
) -> RecordingInfo:
    n_channels, n_times = x.shape
    quality = np.zeros(n_seconds(n_times, SFREQ), np.uint8)
    quality[list(flagged)] = 2
    return write_recording(
        folder,
        RecordingInfo(
            id=recording_id,
            dataset=dataset,
            subject=subject or recording_id,
            sfreq=SFREQ,
            lowpass=96.0,
            **fields,
        ),
        sensors=_sensors(n_channels, kind),
        good=np.ones(n_channels, bool) if good is None else good,
        scale={kind: 1e-5},
        quality=quality,
        n_times=n_times,
        blocks=(x[:, k : k + block] for k in range(0, n_times, block)),
    )


def _small_corpus(folder: Path, *, n_seconds_each: int = 23) -> Path:
    """Nine recordings of three kinds: 4 and 7 channels of EEG, 7 magnetometers."""
    create_corpus(folder, {"sfreq": SFREQ})
    for k in range(9):
        n_channels, kind = ((4, "eeg"), (7, "eeg"), (7, "mag"))[k % 3]
        x = _signal(n_channels, int(SFREQ) * n_seconds_each + 11 * k, seed=k)
        good = np.ones(n_channels, bool)
        good[0] = k != 2
        _add_recording(folder, f"rec{k}", x, kind=kind, good=good, dataset=f"set{k % 2}")
    write_index(folder)
    return folder


@pytest.fixture
def add_recording() -> Callable[..., RecordingInfo]:
    """Write one recording (C, T) float16 into a corpus folder."""
    return _add_recording


@pytest.fixture
def signal() -> Callable[[int, int, int], np.ndarray]:
    """Draw float16 noise (C, T) from (n_channels, n_times, seed)."""
    return _signal


@pytest.fixture
def make_small_corpus() -> Callable[..., Path]:
    """Make a new corpus of nine recordings in a folder."""
    return _small_corpus


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Share a corpus of nine recordings; do not write to it."""
    return _small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def publish(tiny_model: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Make a folder as BrainOmni is published, from a tiny model; settings go by name."""
    from published_folder import MASKED, TYPES, Published

    def make(masked: Any = MASKED, seed: int = 0, **changes: Any) -> Published:
        sizes = {
            "types": TYPES,
            "architecture": "brainomni",
            "position_scale": 1.0,
            "fourier_bands": 0,
            "name_sources": False,
            "overlap": 0.0 if masked is None else 0.25,
        }
        model = tiny_model(masked=masked, seed=seed, **(sizes | changes))
        return Published(model, tmp_path / "published")

    return make


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Write three FIF files of synthetic EEG, ``sK/rest_raw.fif``."""
    from prepared_files import write_eeg

    return [write_eeg(tmp_path / f"s{i}" / "rest_raw.fif", seed=i) for i in range(3)]
