"""Windows of a corpus, read one by one, as a batch, or by a worker that is asked for a batch.

Shapes: B batch, C sensors, T samples.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

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
    half: bool = False,
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
    half
        Leave ``x`` float16, as it is stored: nothing but the file is read, nothing is converted.
    """
    sizes = [corpus.n_channels(i) for i in recordings]
    shape = (len(sizes), max(sizes), n_times)
    samples = torch.float16 if half else torch.float32
    if memory is None:
        memory = torch.empty(batch_bytes(*shape, samples=samples), dtype=torch.uint8)
    batch = batch_in(memory, *shape, samples=samples)
    clear(batch)
    positions, orientations = batch.positions.numpy(), batch.orientations.numpy()
    types, mask, scale = batch.types.numpy(), batch.mask.numpy(), batch.scale.numpy()
    x_TC = batch.x.transpose(1, 2).unbind()
    scratch = np.empty(n_times * shape[1], dtype="<f2")
    for b, (i, start, c) in enumerate(zip(recordings, starts, sizes, strict=True)):
        channels = corpus.channels(i)
        x = x_TC[b]
        if half and c == shape[1]:
            corpus.read_half(i, start, n_times, out=x.numpy())
        else:
            stored = scratch[: n_times * c].reshape(n_times, c)
            corpus.read_half(i, start, n_times, out=stored)
            # PyTorch converts with vector instructions, NumPy does not.
            x[:, :c].copy_(torch.from_numpy(stored))
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


class Request(NamedTuple):
    """What a worker is asked for: windows by recording and first sample, and where to put them."""

    recordings: list[int]
    starts: list[int]
    slot: int | None


class Filled(NamedTuple):
    """A worker's answer: this block holds a batch of this shape (B, C, T)."""

    slot: int
    shape: tuple[int, int, int]


class BatchReader(Dataset):
    """Answers requests; has no state, so workers never have to be told anything.

    An error comes back as a value: raised in a worker it would arrive as pages of traceback.

    Parameters
    ----------
    corpus
        Where to read.
    window
        T.
    memory
        Blocks of bytes (uint8) for the batches; a request without a slot gets new memory.
    half
        As :func:`read_batch`.
    """

    def __init__(self, corpus: Corpus, window: int, memory: Sequence[Tensor], *, half: bool):
        self._corpus, self._window = corpus, window
        self._memory, self._half = memory, half

    def __getitem__(self, request: Request) -> Filled | Batch | OSError | ValueError:
        """Read a batch into its slot and tell its shape, or return it where it has none."""
        recordings, starts, slot = request
        memory = None if slot is None else self._memory[slot]
        try:
            batch = read_batch(
                self._corpus, recordings, starts, self._window, memory=memory, half=self._half
            )
        except (OSError, ValueError) as error:
            return error
        n_windows, n_channels, n_times = batch.x.shape
        return batch if slot is None else Filled(slot, (n_windows, n_channels, n_times))
