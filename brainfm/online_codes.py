"""Codes that are computed when they are wanted, from the signal: nothing is stored beforehand.

The same windows of the same recordings have the codes that :mod:`brainfm.codes` stores, to the last
bit on a CPU. Between signal and codes, arrays can be varied (:mod:`brainfm.augmentation`).

Shapes: B batch, C sensors, T samples, P frames, N sources, Q quantizers.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from brainfm.augmentation import NO_AUGMENTATION, AugmentationConfig, augment
from brainfm.batches import Batch
from brainfm.checkpoints import codes_digest
from brainfm.code_file import flagged_frames
from brainfm.code_loader import CodeBatch, FrameStream
from brainfm.code_times import n_frames
from brainfm.codes import CodeCorpus
from brainfm.corpus import Channels, Corpus
from brainfm.corpus_signal import CorpusSignal, check_settings, too_short
from brainfm.encoder import Encoder, canonical_order
from brainfm.hub import find_checkpoint
from brainfm.permutation import key_of
from brainfm.sampling import Ints
from brainfm.schedule import Unit
from brainfm.signal_frames import (
    SignalBatch,
    as_bits,
    encode_signals,
    from_bits,
    windows_under,
)

MAX_KEPT = 1024
"""Recordings whose channels are kept in memory, per process."""

_AUGMENT = 5  # 1 to 4 are keys of brainfm.sampling and brainfm.schedule


class OnlineCodes(CodeCorpus):
    """The codes of a corpus, computed at every reading.

    Parameters
    ----------
    corpus
        Folder that ``brainfm prepare`` made.
    tokenizer
        Checkpoint folder or name; not a causal one.
    """

    def __init__(self, corpus: str | Path, tokenizer: str | Path) -> None:
        self.corpus = Corpus(corpus)
        self.path = self.corpus.path
        self._checkpoint = find_checkpoint(tokenizer)
        self.encoder = Encoder.from_pretrained(self._checkpoint)
        check_settings(self.corpus, self.encoder, tokenizer)
        self.tokenizer = self.encoder.model.record.tokenizer
        if self.encoder.model.record.input_contract != "brainfm":
            raise ValueError(
                f"{tokenizer} takes segments of 30 s, standardised as BrainOmni was published, so "
                "codes cannot be computed for a window alone; run 'brainfm codes' and give its "
                "folder as --data.codes"
            )
        if self.tokenizer.causal:
            raise ValueError(
                f"{tokenizer} is causal: a code depends on its recording from the first sample on, "
                "so it cannot be computed for a window alone; run 'brainfm codes' and give its "
                "folder as --data.codes"
            )
        self.digest = self.corpus.digest
        self.codes_digest = codes_digest(self.encoder.model.tokenizer)
        infos = self.corpus.recordings
        reasons = [self._obstacle(i) for i in range(len(infos))]
        self.left_out = {info.id: r for info, r in zip(infos, reasons, strict=True) if r}
        self._in_corpus = np.array([i for i, r in enumerate(reasons) if not r], np.int64)
        self.recordings = [infos[i] for i in self._in_corpus.tolist()]
        lengths = self.corpus.columns.n_times[self._in_corpus].tolist()
        self.n_frames = np.array([n_frames(n, self.tokenizer) for n in lengths], np.int64)
        self._flagged = [
            flagged_frames(self.corpus, i, self.tokenizer) for i in self._in_corpus.tolist()
        ]
        # Loaders read ahead in threads of their own, and a corpus is for one thread at a time.
        self._lock = threading.Lock()
        self._channels: OrderedDict[int, tuple[NDArray[np.int64], Channels]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"corpus": self.corpus.path, "tokenizer": self._checkpoint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def tokenizer_folder(self) -> Path:
        """Return the checkpoint that makes the codes."""
        return self._checkpoint

    def read(self, i: int, start: int = 0, n: int | None = None) -> NDArray[np.uint16]:
        """Return frames ``start`` to ``start + n`` of recording ``i``, (n, N, Q)."""
        n = int(self.n_frames[i]) - start if n is None else n
        return self.read_windows(np.array([i]), np.array([start]), n)[0]

    def read_windows(
        self, recordings: NDArray[np.int64], starts: NDArray[np.int64], n: int
    ) -> NDArray[np.uint16]:
        """Return ``n`` frames from each start on of each recording, (B, n, N, Q)."""
        batch = self.encode(self.read_signals(recordings, starts, n), n)
        return rearrange(batch.codes, "b n p q -> b p n q").cpu().numpy().astype(np.uint16)

    def encode(self, batch: SignalBatch, n: int) -> CodeBatch:
        """Compute ``n`` frames of every window of a loader's batch, on the device where it is."""
        self.encoder.to(batch.start.device)
        return encode_signals(self.encoder.model.tokenizer, from_bits(batch), n)

    def read_signals(
        self, recordings: NDArray[np.int64], starts: NDArray[np.int64], n: int
    ) -> SignalBatch:
        """Return the signal under ``n`` frames from each start on of each recording."""
        with self._lock:
            return self._read_signals(recordings, starts, n)

    def _read_signals(
        self, recordings: NDArray[np.int64], starts: NDArray[np.int64], n: int
    ) -> SignalBatch:
        if ((starts < 0) | (starts > self.n_frames[recordings] - n)).any():
            raise ValueError(f"{n} frames from {starts.tolist()} on are outside their recordings")
        cfg = self.tokenizer
        n_times = (windows_under(n, cfg) - 1) * cfg.stride + cfg.window
        found = [self._usable(i) for i in recordings.tolist()]
        counts = [len(order) for order, _ in found]
        shape = (len(found), max(counts))
        x = np.zeros((shape[0], n_times, shape[1]), np.float16)
        positions, orientations = (np.zeros((*shape, 3), np.float32) for _ in range(2))
        types, mask = np.zeros(shape, np.int64), np.zeros(shape, bool)
        scale = np.ones(shape, np.float32)
        begins = (starts // cfg.frames_per_window * cfg.stride).tolist()
        places = self._in_corpus[recordings]
        for b, (place, begin, c) in enumerate(zip(places.tolist(), begins, counts, strict=True)):
            order, channels = found[b]
            there = min(n_times, int(self.corpus.columns.n_times[place]) - begin)
            x[b, :there, :c] = self.corpus.read_half(place, begin, there)[:, order]
            positions[b, :c], orientations[b, :c] = channels.positions, channels.orientations
            types[b, :c], mask[b, :c], scale[b, :c] = channels.types, True, channels.scale
        lowpass = self.corpus.columns.lowpass[places].astype(np.float32)
        arrays = (positions, orientations, types, mask, scale, lowpass, recordings, starts)
        fields = [torch.from_numpy(values) for values in arrays]
        signal = Batch._make([torch.from_numpy(x).transpose(1, 2), *fields])
        return SignalBatch(signal, torch.tensor(counts), signal.recording, signal.start)

    def _obstacle(self, place: int) -> str:
        """Return why the tokenizer cannot take a recording of the corpus; empty if it can."""
        signal = CorpusSignal(corpus=self.corpus, index=place)
        try:
            self.encoder.check_types(signal.sensors.select(np.flatnonzero(signal.good)))
        except ValueError as error:
            return str(error)
        return too_short(signal.n_times, self.tokenizer)

    def _usable(self, i: int) -> tuple[NDArray[np.int64], Channels]:
        """Return the canonical order of a recording's usable channels, and those in it."""
        if i in self._channels:
            self._channels.move_to_end(i)
            return self._channels[i]
        place = int(self._in_corpus[i])
        signal = CorpusSignal(corpus=self.corpus, index=place)
        order = canonical_order(signal.sensors, signal.good)
        *fields, _ = self.corpus.channels(place)
        usable = [np.asarray(values)[order] for values in fields]
        if len(self._channels) >= MAX_KEPT:
            self._channels.popitem(last=False)
        self._channels[i] = order, Channels._make([*usable, np.zeros(0, np.int64)])
        return self._channels[i]


class SignalLoader(FrameStream[OnlineCodes, SignalBatch]):
    """The windows of a :class:`~brainfm.code_loader.CodeLoader`, as signal instead of codes.

    Parameters
    ----------
    augmentation
        How arrays are varied; drawn anew for every batch of every epoch.
    frames, recordings, settings
        As of :class:`~brainfm.code_loader.FrameStream`.
    """

    def __init__(
        self,
        frames: OnlineCodes,
        recordings: Sequence[int],
        *,
        augmentation: AugmentationConfig = NO_AUGMENTATION,
        **settings: Any,
    ) -> None:
        super().__init__(frames, recordings, **settings)
        self.augmentation = augmentation

    def batch(self, recordings: Ints, starts: Ints, unit: Unit) -> SignalBatch:
        """Read and vary the signal under windows, for :meth:`OnlineCodes.encode`."""
        batch = self.frames.read_signals(recordings, starts, self.context_frames)
        if self.augmentation != NO_AUGMENTATION:
            key = int(key_of(self.pool.seed, unit.epoch, _AUGMENT, unit.begin))
            generator = torch.Generator().manual_seed(key >> 1)
            varied = augment(batch.signal, self.augmentation, generator=generator)
            batch = batch._replace(signal=varied)
        return as_bits(batch)
