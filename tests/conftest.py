"""Fixtures and rules that several test modules share."""

import os
from importlib.util import find_spec
from pathlib import Path

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
