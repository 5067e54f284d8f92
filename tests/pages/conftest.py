"""Running lines of the pages as they stand there, and files such as the pages speak of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shown_commands import ROOT, documented


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a line of a page in a folder of its own; more words, the last ones win, make it short."""
    from brainfm.cli import main

    monkeypatch.chdir(tmp_path)

    def run(name: str, *more: str, **put: str) -> None:
        assert main([*documented(name, **put), *more]) == 0, name

    return run


@pytest.fixture(scope="session")
def block() -> Callable[..., str]:
    """Return a block of code of a page, by language and place among those of that language."""
    import re

    def find(page: str, language: str, place: int = 0) -> str:
        text = (ROOT / page).read_text(encoding="utf-8")
        return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[place]

    return find


@pytest.fixture(scope="session")
def synthetic_edf() -> Callable[..., Path]:
    """Write noise as EDF with events T1 and T2 in turn, every 5 s; T2 has a rhythm at C4."""

    def write(path: Path, *, seed: int, trials: int = 12, sfreq: float = 128.0) -> Path:
        import mne

        channels = ["Fz", "C3", "Cz", "C4", "Pz", "Oz"]
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((len(channels), int(5 * sfreq * (trials + 1))))
        times = np.arange(int(4 * sfreq)) / sfreq
        for k in range(1, trials, 2):
            begin = int(5 * sfreq * k)
            x[3, begin : begin + len(times)] += 2 * np.sin(2 * np.pi * 20 * times)
        with mne.use_log_level("ERROR"):
            raw = mne.io.RawArray(1e-5 * x, mne.create_info(channels, sfreq, "eeg"))
            names: Any = ["T1", "T2"] * (trials // 2)
            raw.set_annotations(mne.Annotations(5.0 * np.arange(trials), 4.0, names))
            path.parent.mkdir(parents=True, exist_ok=True)
            mne.export.export_raw(path, raw, fmt="edf", overwrite=True)
        return path

    return write
