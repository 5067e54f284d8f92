"""A fine-tuned decoder as the head of a stream.

Every so often it judges the newest stretch of the causally prepared signal, as long as a trial was
in training, as a trial of an unseen subject. It says what it would say offline of the same prepared
stretch. It was trained on recordings whose filters look both ways and whose scale is that of all of
the recording, and on trials that begin at an event, so that scores of the run are not promised for
the stream; :meth:`StreamDecision.learn` and :meth:`StreamDecision.refit` adapt its readout.

Shapes: C sensors, G good ones, T samples, F pooled features.
"""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainfm.batches import Window
from brainfm.causal_signal import Calibration
from brainfm.filtering import usable_lowpass
from brainfm.processing_config import ProcessingConfig
from brainfm.stream_decisions import SignalHead
from brainfm.trials import samples_of, seen_samples

from .closed_form import pooled_features
from .decoder import Decoder, load_decoder, unlabelled
from .recalibration import refit_readout
from .trial_batch import TrialBatch, moved
from .trial_reader import no_signal

DECIDED = ("classes", "values", "text")
MAX_LEARNED = 2000
"""Labelled stretches that are kept; older ones are forgotten."""


class StreamDecision(SignalHead):
    """A decoder that decides again and again.

    Parameters
    ----------
    decoder
        Of a finished fold.
    every_s
        Seconds between two decisions.

    Raises
    ------
    ValueError
        A decoder that retrieves, needs whole passages, or whose run scaled its windows itself.
    """

    def __init__(self, decoder: Decoder, *, every_s: float = 0.5) -> None:
        head = decoder.module.head
        if head.kind not in DECIDED or head.whole_passages:
            raise ValueError(
                f"{type(head).__name__} decides nothing of one stretch of signal alone; heads of a "
                "stream tell classes, values or texts"
            )
        decoder.check_unscaled()
        if not every_s > 0:
            raise ValueError(f"decisions must be more than 0 s apart, got {every_s}")
        self.decoder = decoder
        rate = self.processing.sfreq
        self.first, stop = seen_samples(0.0, decoder.trials, rate)
        self.n_times, self.every = stop - self.first, max(1, round(every_s * rate))
        self._learned: deque[tuple[Tensor, int]] = deque(maxlen=MAX_LEARNED)

    @classmethod
    def of_run(
        cls, run: str | Path, fold: int = 0, *, every_s: float = 0.5, device: str = "cpu"
    ) -> "StreamDecision":
        """Return that of a fold of what ``brainfm finetune fit`` wrote; nothing is unpickled."""
        decoder = load_decoder(run, fold)
        decoder.module.to(device)
        return cls(decoder, every_s=every_s)

    @property
    def processing(self) -> ProcessingConfig:
        """Return how the backbone's signals are prepared."""
        found: ProcessingConfig = self.decoder.module.backbone.processing
        return found

    def decide(self, x: NDArray[np.float16], calibration: Calibration) -> Any:
        """Return the decision on a stretch (G, T): class -> probability, values, or a text."""
        found = self.decoder.predict(self.batch(x, calibration))
        head = self.decoder.module.head
        if head.kind == "classes":
            chances = [float(p) for p in found[0]]
            return dict(zip(self.decoder.ids, chances, strict=True))
        if head.kind == "text":
            return head.texts(found)[0]
        return found[0].tolist()

    @torch.no_grad()
    def learn(self, x: NDArray[np.float16], calibration: Calibration, label: str) -> bool:
        """Keep the features of a labelled stretch; False where the label is no class.

        Labels are what events were called, or classes where the run took events by their name.

        Raises
        ------
        ValueError
            The readout is not one linear map to classes.
        """
        self._check_linear()
        name = self.decoder.trials.labels.get(label, label)
        if name not in self.decoder.ids:
            return False
        module = self.decoder.module
        module.eval()
        # The backbone of features that never change is no part of the module.
        module.backbone.eval().to(self._device)
        batch = moved(self.batch(x, calibration), self._device)
        (features,) = pooled_features(module.head, module.features(batch))
        self._learned.append((features.cpu(), self.decoder.ids.index(name)))
        return True

    @property
    def n_learned(self) -> int:
        """Return the number of labelled stretches that :meth:`refit` would use."""
        return len(self._learned)

    def forget(self) -> None:
        """Drop the labelled stretches."""
        self._learned.clear()

    def refit(self) -> str:
        """Fit the readout to the labelled stretches, if that makes it better.

        Returns
        -------
        str
            Balanced accuracy of the old and the new readout, in a line.

        Raises
        ------
        ValueError
            Too few of a class; a readout that is not one linear map to classes.
        """
        self._check_linear()
        if not self._learned:
            raise ValueError("no labelled trial has come; were there markers, and their signal?")
        module = self.decoder.module
        x = torch.stack([features for features, _ in self._learned])
        rows = torch.tensor([row for _, row in self._learned])
        done = refit_readout(
            module.head,
            x,
            moved(_labelled(rows), self._device),
            penalties=module.adaptation.penalties,
            inputs=module.adaptation.inputs,
        )
        return str(done)

    def batch(self, x: NDArray[np.float16], calibration: Calibration) -> TrialBatch:
        """Return a stretch (G, T) of prepared signal as a trial, sensors in their own order."""
        rate, config = self.processing.sfreq, self.decoder.trials
        order, sensors = calibration.order, calibration.sensors
        signal = np.zeros((len(sensors), x.shape[1]), dtype=np.float32)
        signal[order] = x
        good = np.zeros(len(sensors), dtype=bool)
        good[order] = True
        scale = np.ones(len(sensors), dtype=np.float32)
        scale[order] = calibration.scale
        begin, end = (k - self.first for k in samples_of(0.0, config.window, rate))
        window = signal[:, begin:end]
        if config.baseline is not None:
            a, b = (k - self.first for k in samples_of(0.0, config.baseline, rate))
            window = window - signal[:, a:b].mean(axis=1, keepdims=True)
        lowpass = usable_lowpass(calibration.cfg.h_freq, calibration.sfreq, rate)
        trial = Window(
            x=window,
            sensors=sensors,
            good=good,
            scale=scale,
            lowpass=lowpass,
            recording=0,
            start=0,
        )
        return unlabelled([trial], [0.0])

    @property
    def _device(self) -> torch.device:
        return next(self.decoder.module.head.parameters()).device

    def _check_linear(self) -> None:
        module = self.decoder.module
        if module.head.kind != "classes" or not module.adaptation.linear:
            raise ValueError(
                f"a {type(module.head).__name__} of adaptation {module.adaptation.kind!r} cannot "
                "be refitted while it runs; heads of classes of 'linear' and 'ridge' can"
            )


def _labelled(rows: Tensor) -> TrialBatch:
    """Return a batch of trials of which nothing counts but the rows (n,) of their targets."""
    nothing = torch.zeros_like(rows)
    return TrialBatch(
        signal=no_signal(len(rows)),
        features=None,
        subject=nothing,
        target=rows,
        rivals=nothing.new_zeros(len(rows), 0),
        passage=nothing,
        onset=nothing.float(),
        trial=torch.arange(len(rows)),
    )
