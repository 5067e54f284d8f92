"""Windows of different arrays in one batch: padded, masked, and nothing left of what was there."""

import numpy as np
import pytest
import torch

from brainfm.batches import Window, batch_bytes, collate
from brainfm.corpus import Corpus
from brainfm.sensors import SensorArray
from brainfm.windows import read_batch, window_at


def test_padding_is_zero_and_masked():
    rng = np.random.default_rng(0)

    def window(n_channels):
        return Window(
            x=rng.standard_normal((n_channels, 8)).astype(np.float32),
            sensors=SensorArray(
                positions=rng.standard_normal((n_channels, 3)),
                orientations=np.zeros((n_channels, 3)),
                types=np.array(["eeg"] * n_channels),
                names=tuple(map(str, range(n_channels))),
            ),
            good=np.ones(n_channels, bool),
            scale=np.full(n_channels, 2.0, np.float32),
            lowpass=40.0,
            recording=1,
            start=2,
        )

    batch = collate([window(2), window(5)])
    assert batch.mask.sum(dim=1).tolist() == [2, 5]
    assert torch.count_nonzero(batch.x[0, 2:]) == torch.count_nonzero(batch.positions[0, 2:]) == 0
    assert batch.scale[0].tolist() == [2, 2, 1, 1, 1]


@pytest.mark.parametrize("half", [False, True])
def test_windows_of_different_arrays_are_padded_as_by_collate(small_corpus, half):
    corpus = Corpus(small_corpus)
    recordings, starts = [0, 2, 1], [5, 1000, 77]
    assert len({corpus.n_channels(i) for i in recordings}) > 1
    dirty = torch.full((batch_bytes(3, 7, 512),), 255, dtype=torch.uint8)
    found = read_batch(corpus, recordings, starts, 512, memory=dirty, half=half)
    windows = [window_at(corpus, i, s, 512) for i, s in zip(recordings, starts, strict=True)]
    found = found._replace(x=found.x.float())
    for field, value in collate(windows)._asdict().items():
        torch.testing.assert_close(getattr(found, field), value, rtol=0, atol=0, equal_nan=True)
