"""A recording of a corpus as input of the tokenizer.

Shapes: C sensors, n samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.sensors import SensorArray

BLOCK_SAMPLES = 2**14


@dataclass(frozen=True, kw_only=True)
class CorpusSignal:
    """One recording of a corpus as input of the tokenizer."""

    corpus: Corpus
    index: int

    @property
    def sensors(self) -> SensorArray:
        """Return the sensors."""
        return self.corpus.sensors(self.index)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Return which sensors may be used, (C,)."""
        return self.corpus.good(self.index)

    @property
    def channel_scale(self) -> NDArray[np.float64]:
        """Return the SI value of one unit of the signal, (C,)."""
        return self.corpus.channel_scale(self.index)

    @property
    def n_times(self) -> int:
        """Return the number of samples."""
        return int(self.corpus.columns.n_times[self.index])

    def blocks(self) -> Iterator[NDArray[np.float16]]:
        """Yield the signal in order, (C, n) blocks."""
        for start in range(0, self.n_times, BLOCK_SAMPLES):
            n = min(BLOCK_SAMPLES, self.n_times - start)
            yield self.corpus.read_half(self.index, start, n).T


def check_settings(corpus: Corpus, encoder: Encoder, checkpoint: str | Path) -> None:
    """Raise ValueError if a corpus was prepared otherwise than the model's training data."""
    made_with = encoder.model.record.processing.settings()
    settings = corpus.config.settings()
    if made_with != settings:
        differing = [name for name, value in settings.items() if made_with.get(name) != value]
        raise ValueError(
            f"{corpus.path} was prepared with other settings ({', '.join(differing)}) than the "
            f"tokenizer {checkpoint} was trained with; prepare it again with the tokenizer's"
        )


def too_short(n_times: int, cfg: TokenizerConfig) -> str:
    """Return in words that a recording holds no window of the tokenizer; empty if it does."""
    if n_times >= cfg.window:
        return ""
    return (
        f"is {n_times / cfg.sfreq:g} s long, shorter than a window of the tokenizer "
        f"({cfg.window / cfg.sfreq:g} s)"
    )
