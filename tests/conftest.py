"""Fixtures and rules that several test modules share."""

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# No window may open, and nothing a developer has set may decide how a test ends.
os.environ["MPLBACKEND"] = "agg"
for _name in [name for name in os.environ if name.startswith("BRAINFM_")]:
    del os.environ[_name]

ROOT = Path(__file__).resolve().parents[1]


def _missing(marker: str) -> str | None:
    """Return why tests with this marker cannot run here, None if they can."""
    if marker == "deepspeed" and find_spec("deepspeed") is None:
        return "DeepSpeed is not installed"
    if marker == "network" and os.environ.get("NETWORK_TESTS") != "1":
        return "set NETWORK_TESTS=1 to run tests that need a network"
    if marker == "gpu":
        import torch

        if not torch.cuda.is_available():
            return "no CUDA device"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with a reason, what this machine cannot run."""
    reasons: dict[str, str | None] = {}
    for item in items:
        for marker in ("deepspeed", "network", "gpu"):
            if item.get_closest_marker(marker) is None:
                continue
            if marker not in reasons:
                reasons[marker] = _missing(marker)
            if reasons[marker] is not None:
                item.add_marker(pytest.mark.skip(reason=reasons[marker]))


@pytest.fixture(scope="session")
def root() -> Path:
    """Top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real recordings and golden values beside the checkout."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("the folder shared/ with real recordings is not beside this checkout")
    return path


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """Real recordings (see shared/data/README.md)."""
    return shared / "data"


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """Golden values of the published architecture."""
    return shared / "golden" / "brainomni_small"


@pytest.fixture(scope="session")
def samples() -> Path:
    """Folder of the bundled recordings."""
    return ROOT / "brainfm" / "samples"


# --- tiny models and recordings, for tests of everything from the tokenizer on ---


@pytest.fixture(scope="session")
def tokenizer_config() -> Callable[..., Any]:
    """Make a tokenizer configuration of 4,000 parameters: windows of 0.5 s, 4 frames each."""

    def make(
        *, levels: int = 2, codes: int = 8, code_dim: int | None = None, **changes: Any
    ) -> Any:
        from brainfm.brain_tokenizer import TokenizerConfig
        from brainfm.quantizers import QuantizerConfig

        sizes: dict[str, Any] = {
            "window": 128,
            "n_filters": 2,
            "ratios": (4, 4, 2),
            "width": 16,
            "n_sources": 3,
            "n_heads": 2,
            "quantizer": QuantizerConfig(
                n_quantizers=levels, codebook_size=codes, codebook_dim=code_dim
            ),
        }
        return TokenizerConfig(**(sizes | changes))

    return make


@pytest.fixture(scope="session")
def tiny_model(tokenizer_config: Callable[..., Any]) -> Callable[..., Any]:
    """Make a :class:`BrainModel` with codebooks set, in eval mode; the same for the same seed."""

    def make(*, masked: Any = "tiny", seed: int = 0, **changes: Any) -> Any:
        import torch
        import torch.nn.functional as F

        from brainfm.checkpoints import BrainModel, ModelRecord
        from brainfm.masked_model import MaskedModelConfig
        from brainfm.processing import ProcessingConfig

        if masked == "tiny":
            masked = MaskedModelConfig(width=24, n_heads=2, depth=2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            cfg = tokenizer_config(**changes)
            record = ModelRecord(
                tokenizer=cfg,
                masked_model=masked,
                processing=ProcessingConfig(),
                training={"context_frames": 3 * cfg.frames_per_window},
            )
            model = BrainModel(record)
            model.tokenizer.quantizer.initialise(F.normalize(torch.randn(256, cfg.width), dim=-1))
            model.share_codes()
        return model.eval().requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def head_sensors() -> Callable[..., Any]:
    """Make sensors on a sphere of 9 cm, of the types given."""

    def make(types: Sequence[str], seed: int = 3) -> Any:
        import numpy as np

        from brainfm.sensors import SENSOR_TYPES, SensorArray

        places = np.random.default_rng(seed).standard_normal((len(types), 3))
        places /= np.linalg.norm(places, axis=1, keepdims=True)
        oriented = np.array([SENSOR_TYPES[kind].oriented for kind in types])[:, None]
        return SensorArray(
            positions=places * 0.09,
            orientations=np.where(oriented, places, 0.0),
            types=np.array(types),
            names=tuple(f"{kind}{i}" for i, kind in enumerate(types)),
        )

    return make


@pytest.fixture(scope="session")
def brain_noise() -> Callable[..., Any]:
    """Draw noise (C, T) with a falling spectrum and the size of EEG, in volts."""

    def make(n_channels: int, seconds: float, *, sfreq: float = 256.0, seed: int = 0) -> Any:
        import numpy as np

        rng = np.random.default_rng(seed)
        white = rng.standard_normal((n_channels, int(seconds * sfreq)))
        slow = np.cumsum(white, axis=1)
        return 1e-5 * (white + 0.05 * (slow - slow.mean(axis=1, keepdims=True)))

    return make


@pytest.fixture(scope="session")
def noise_corpus(
    head_sensors: Callable[..., Any], brain_noise: Callable[..., Any]
) -> Callable[..., Path]:
    """Make a corpus of processed noise, one subject a recording, with ``split.json``.

    Every second recording has 4 EEG channels, the others 3 magnetometers and 2 EEG channels; two
    are for validation and one for the test.
    """

    def make(folder: Path, *, n: int = 6, seconds: float = 8.0) -> Path:
        import dataclasses

        from brainfm.corpus import Corpus, create_corpus
        from brainfm.corpus_file import write_recording
        from brainfm.corpus_index import write_index
        from brainfm.processing import ProcessingConfig, process
        from brainfm.recording_info import RecordingInfo
        from brainfm.recordings import recording_from_array
        from brainfm.splits import Listed, Split, SplitConfig

        cfg = ProcessingConfig()
        create_corpus(folder, cfg.settings())
        for k in range(n):
            sensors = head_sensors(["eeg"] * 4 if k % 2 else ["mag"] * 3 + ["eeg"] * 2, seed=k)
            x = brain_noise(len(sensors), seconds + 0.3 * k, seed=k)
            x[sensors.types == "mag"] *= 1e-8
            processed = process(recording_from_array(x, 256.0, sensors), cfg)
            write_recording(
                folder,
                RecordingInfo(id=f"rec{k}", dataset="noise", subject=f"s{k}", sfreq=256.0),
                sensors=processed.sensors,
                good=processed.good,
                scale=processed.scale,
                quality=processed.quality,
                n_times=processed.n_times,
                blocks=processed.blocks(),
            )
        write_index(folder)
        sides: dict[str, list[Listed]] = {"train": [], "validation": [], "test": []}
        for k, info in enumerate(Corpus(folder).recordings):
            side = "test" if k == n - 1 else "validation" if k >= n - 3 else "train"
            names = [f.name for f in dataclasses.fields(Listed)]
            sides[side].append(Listed(**{name: getattr(info, name) for name in names}))
        split = Split(
            config=SplitConfig(),
            sides={side: tuple(entries) for side, entries in sides.items()},
            units={f"noise/s{k}": "train" for k in range(n)},
        )
        split.save(folder / "split.json")
        return folder

    return make
