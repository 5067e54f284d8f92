"""Windows of a corpus, read one by one or as a batch.

Shapes: B batch, C sensors, T samples.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from brainfm.batches import Batch, Window, batch_bytes, batch_in, clear
from brainfm.corpus import Corpus


def window_at(corpus: Corpus, recording: int, start: int, n_times: int) -> Window:
    """Read one window."""
    return Window(
        x=corpus.read(recording, start, n_times),
        sensors=corpus.sensors(recording),
        good=corpus.good(recording),
        scale=corpus.channel_scale(recording).astype(np.float32),
        lowpass=float(corpus.columns.lowpass[recording]),
        recording=recording,
        start=start,
    )


def read_batch(
    corpus: Corpus,
    recordings: Sequence[int],
    starts: Sequence[int],
    n_times: int,
    *,
    memory: Tensor | None = None,
) -> Batch:
    """Read windows of one length; equals ``collate`` of :func:`window_at` of each, only faster.

    Parameters
    ----------
    recordings, starts
        Position in the corpus and first sample of each window.
    n_times
        Samples per window.
    memory
        Bytes (uint8) to put the batch into; None: new ones.
    """
    sizes = [corpus.n_channels(i) for i in recordings]
    shape = (len(sizes), max(sizes), n_times)
    if memory is None:
        memory = torch.empty(batch_bytes(*shape), dtype=torch.uint8)
    batch = batch_in(memory, *shape)
    clear(batch)
    positions, orientations = batch.positions.numpy(), batch.orientations.numpy()
    types, mask, scale = batch.types.numpy(), batch.mask.numpy(), batch.scale.numpy()
    x_TC = batch.x.transpose(1, 2).unbind()
    raw = np.empty(n_times * shape[1], dtype="<f2")
    for b, (i, start, c) in enumerate(zip(recordings, starts, sizes, strict=True)):
        channels = corpus.channels(i)
        half = corpus.read_half(i, start, n_times, out=raw[: n_times * c].reshape(n_times, c))
        x = x_TC[b]
        # PyTorch converts with vector instructions, NumPy does not.
        x[:, :c].copy_(torch.from_numpy(half))
        if c < shape[1]:
            x[:, c:].zero_()
        if len(channels.bad):
            x[:, torch.from_numpy(channels.bad)] = 0
        positions[b, :c] = channels.positions
        orientations[b, :c] = channels.orientations
        types[b, :c] = channels.types
        mask[b, :c] = channels.good
        scale[b, :c] = channels.scale
    batch.lowpass.numpy()[:] = corpus.columns.lowpass[list(recordings)]
    batch.recording.numpy()[:] = recordings
    batch.start.numpy()[:] = starts
    return batch
