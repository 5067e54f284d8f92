"""The samples of trials, read when they are asked for.

Shapes: C sensors, T samples of a window, N trials.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.amplitude import SegmentReader
from brainfm.corpus import Corpus
from brainfm.trials import Trials, samples_of, seen_samples


@dataclass(frozen=True)
class CorpusSignal:
    """One recording of a corpus, read like any other signal but scaled (float32)."""

    corpus: Corpus
    index: int

    def __call__(self, start: int, stop: int) -> NDArray[Any]:
        """Return samples ``start`` to ``stop``, (C, stop - start)."""
        return self.corpus.read(self.index, start, stop - start)


def corpus_signals(corpus: Corpus, trials: Trials) -> dict[str, SegmentReader]:
    """Return the signals of the recordings that have trials, by id.

    Raises
    ------
    ValueError
        A recording is not in the corpus, or has other samples there than when it was cut.
    """
    index = {info.id: k for k, info in enumerate(corpus.recordings)}
    signals: dict[str, SegmentReader] = {}
    for key, info in trials.recordings.items():
        if key not in index:
            raise ValueError(f"recording {key} has trials but is not in {corpus.path}")
        if corpus.recordings[index[key]].digest != info.digest:
            raise ValueError(
                f"recording {key} of {corpus.path} changed since its trials were cut; cut them anew"
            )
        signals[key] = CorpusSignal(corpus, index[key])
    return signals


class TrialWindows:
    """The windows of trials in the order of their table; a map-style data set for torch.

    Parameters
    ----------
    trials
        The table.
    signals
        By recording id, ``signal(start, stop)`` -> (C, stop - start): the ``read`` of a
        :class:`~brainfm.recordings.Recording`, or :func:`corpus_signals`.
    """

    def __init__(self, trials: Trials, signals: Mapping[str, SegmentReader]) -> None:
        missing = sorted(set(trials.recordings) - set(signals))
        if missing:
            raise ValueError(
                f"no signal was given for {len(missing)} recordings, e.g. {missing[0]}"
            )
        self.trials = trials
        self.signals = signals

    def __len__(self) -> int:
        return len(self.trials)

    def __getitem__(self, k: int) -> NDArray[Any]:
        """Return the window of trial ``k``, (C, T), less the mean of its baseline.

        In the units and with the precision of the signal. Where nothing was acquired it is NaN,
        all of a channel if that was in the baseline. Of several presentations it is the mean of
        those that were acquired.
        """
        trial = self.trials.rows[k]
        if not trial.repeats:
            return self._window(trial.recording, trial.onset)
        window = self._window(trial.recording, trial.onset)
        total, count = (
            np.nan_to_num(window).astype(np.float64),
            (~np.isnan(window)).astype(np.int64),
        )
        # One at a time: hundreds of presentations are no more memory than one.
        for onset in trial.repeats:
            window = self._window(trial.recording, onset)
            total += np.nan_to_num(window)
            count += ~np.isnan(window)
        mean = np.where(count, total / np.maximum(count, 1), np.nan)
        return mean.astype(window.dtype)

    def _window(self, recording: str, onset: float) -> NDArray[Any]:
        cfg, sfreq = self.trials.config, self.trials.recordings[recording].sfreq
        # One read for both: on a disk, a window and its baseline are neighbours.
        first, end = seen_samples(onset, cfg, sfreq)
        values = self.signals[recording](first, end)
        start, stop = samples_of(onset, cfg.window, sfreq)
        window = values[:, start - first : stop - first]
        if cfg.baseline is None:
            return window
        start, stop = samples_of(onset, cfg.baseline, sfreq)
        return window - values[:, start - first : stop - first].mean(axis=1, keepdims=True)
