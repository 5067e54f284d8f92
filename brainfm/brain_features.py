"""Features of trials as a scikit-learn transformer: pipelines, cross-validation, MOABB.

Nothing is learned from the trials: every trial is prepared and encoded by itself, so that a
pipeline's test trials tell its training nothing.

Examples::

    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from brainfm import BrainFeatures

    features = BrainFeatures("runs/demo/checkpoint", sfreq=256, ch_names=names, unit="uV")
    pipeline = make_pipeline(features, LogisticRegression())
    cross_val_score(pipeline, x, y)  # x (n_trials, C, T), or mne Epochs

Shapes: B trials, C sensors, T samples, F features.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from brainfm.amplitude import unit_factors
from brainfm.channels import ReadOptions
from brainfm.checkpoints import CONFIG
from brainfm.encoder import Encoder, Layer
from brainfm.features_together import features_together
from brainfm.frame_pooling import FramePooling, check_pooling, pool_frames
from brainfm.given_recordings import recordings_of
from brainfm.lazy_signal import ArraySignal
from brainfm.montage import DEFAULT_MONTAGE, sensors_by_name
from brainfm.processing import Processed
from brainfm.recordings import Recording, recording_from_array
from brainfm.sensors import SensorArray

CHECKED = 10
"""Trials of an array whose amplitudes are looked at."""


class BrainFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Features (B, F) of trials from a trained model.

    Parameters
    ----------
    checkpoint
        Folder or name that :func:`brainfm.from_pretrained` takes (a process loads it once, however
        many clones there are), or an :class:`~brainfm.encoder.Encoder`.
    sfreq
        Samples per second of arrays, Hz.
    ch_names
        Names (C,) of the electrodes of arrays, placed by ``montage``.
    montage
        MNE's standard montage or an electrode file, for ``ch_names`` and for Epochs without
        positions.
    sensors
        Instead of ``ch_names``: any sensors, MEG too.
    info
        Instead of ``sfreq`` and ``ch_names``: the :class:`mne.Info` of the Epochs that arrays were
        taken from, with all of their channels.
    unit
        What the numbers are where they are not V, T or T/m: "uV" (MOABB's arrays).
    line_freq
        Mains frequency, Hz; None: as found in the trial or its header.
    layer
        0 is the input of the masked model, -1 its last block, -2 the block before; "mixture" the
        mean of all.
    pooling
        "flat" (nothing is lost; all trials must be of one length), "mean" over frames, "moments"
        (mean and standard deviation over frames), "all" (mean over frames and sources), "power"
        (logarithm of the mean square over frames), "source_covariance", "feature_covariance"
        (logarithm of the covariance matrix of sources or of features).
    device
        "cpu", "cuda" or "cuda:N" for a checkpoint given by name.
    """

    def __init__(
        self,
        checkpoint: str | Path | Encoder,
        *,
        sfreq: float | None = None,
        ch_names: Sequence[str] | None = None,
        montage: str | None = None,
        sensors: SensorArray | None = None,
        info: mne.Info | None = None,
        unit: str | None = None,
        line_freq: float | None = None,
        layer: Layer = -2,
        pooling: FramePooling = "moments",
        device: str = "cpu",
    ) -> None:
        self.checkpoint = checkpoint
        self.sfreq = sfreq
        self.ch_names = ch_names
        self.montage = montage
        self.sensors = sensors
        self.info = info
        self.unit = unit
        self.line_freq = line_freq
        self.layer = layer
        self.pooling = pooling
        self.device = device

    def fit(self, X: Any, y: Any = None) -> "BrainFeatures":
        """Encode the first trial, to check the settings; nothing is learned.

        Parameters
        ----------
        X
            (B, C, T) array, mne Epochs, or a list of anything that :meth:`Encoder.encode` takes.
        y
            Not used.

        Raises
        ------
        ValueError
            Settings that contradict each other or the trials; no trials.
        """
        check_pooling(self.pooling)
        encoder = self._encoder()
        encoder.check_features()
        first = self._vectors(encoder, iter([next(self._recordings(X))]))
        self.n_features_out_ = first.shape[1]
        self.n_channels_in_ = X.shape[1] if isinstance(X, np.ndarray) else None
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the features (B, F) of trials; each depends on its own trial only.

        Raises
        ------
        ValueError
            A trial that cannot be encoded, by number; other channels than in fit.
        """
        check_is_fitted(self, "n_features_out_")
        if isinstance(X, np.ndarray) and self.n_channels_in_ not in (None, *X.shape[1:2]):
            raise ValueError(
                f"trials have {X.shape[1]} channels, those of fit had {self.n_channels_in_}"
            )
        found = self._vectors(self._encoder(), self._recordings(X))
        if found.shape[1] != self.n_features_out_:
            raise ValueError(
                f"trials give {found.shape[1]} features, those of fit gave {self.n_features_out_}: "
                "with pooling='flat' all trials must be of one length"
            )
        return found

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what trials are: three axes, NaN where samples are missing."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _encoder(self) -> Encoder:
        if isinstance(self.checkpoint, Encoder):
            return self.checkpoint
        config = Path(self.checkpoint).expanduser() / CONFIG
        # Written last, so that another checkpoint under the same name is loaded anew.
        written = config.stat().st_mtime_ns if config.is_file() else None
        return _loaded(str(self.checkpoint), self.device, written)

    def _vectors(self, encoder: Encoder, recordings: Iterator[Recording]) -> NDArray[np.float32]:
        """Return the pooled features (B, F) of recordings in order."""

        def signals() -> Iterator[tuple[int, Processed]]:
            for i, recording in enumerate(recordings):
                try:
                    yield i, encoder.process(recording)
                except ValueError as error:
                    trial = "" if recording.source == f"trial {i}" else f"trial {i}: "
                    raise ValueError(f"{trial}{error}") from error

        found: dict[int, NDArray[np.float32]] = {}
        for i, features in features_together(encoder, signals(), layer=self.layer):
            if isinstance(features, Exception):
                raise ValueError(f"trial {i}: {features}") from features
            found[i] = pool_frames(features.values, self.pooling)
        lengths = {len(vector) for vector in found.values()}
        if len(lengths) > 1:
            raise ValueError("pooling='flat' needs trials of one length; choose another pooling")
        return np.stack([found[i] for i in sorted(found)])

    def _recordings(self, X: Any) -> Iterator[Recording]:
        """Yield trials as recordings."""
        options = ReadOptions(montage=self.montage, unit=self.unit, line_freq=self.line_freq)
        if isinstance(X, np.ndarray) and X.dtype != object:
            yield from self._trials(X, options)
            return
        if not isinstance(X, mne.BaseEpochs | np.ndarray | list):
            raise ValueError(
                "X must be trials: an array (B, C, T), mne Epochs or a list, got "
                f"{type(X).__name__}"
            )
        many = [X] if isinstance(X, mne.BaseEpochs) else list(X)
        if many and isinstance(many[0], np.ndarray):
            yield from self._trials(np.stack(many), options)
            return
        for item in many:
            yield from recordings_of(item, options)[0]
        if not many:
            raise ValueError("X holds no trials")

    def _trials(self, X: NDArray[Any], options: ReadOptions) -> Iterator[Recording]:
        """Yield the trials of an array (B, C, T)."""
        if X.ndim != 3 or 0 in X.shape:
            raise ValueError(f"X must be trials x channels x samples (B, C, T), got {X.shape}")
        if self.info is not None:
            for name in ("sfreq", "ch_names", "sensors"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} must be left out where info is given")
            if len(self.info["ch_names"]) != X.shape[1]:
                raise ValueError(
                    f"info has {len(self.info['ch_names'])} channels, X has {X.shape[1]}"
                )
            epochs = mne.EpochsArray(np.asarray(X, np.float64), self.info, verbose="error")
            yield from recordings_of(epochs, options)[0]
            return
        template = self._template(X)
        factors = unit_factors(self.unit, template.sensors.types)
        for i, trial in enumerate(X):
            yield dataclasses.replace(
                template,
                source=f"trial {i}",
                n_times=X.shape[2],
                signal=ArraySignal(trial, factors),
            )

    def _template(self, X: NDArray[Any]) -> Recording:
        """Return some trials of X as a recording: sensors and amplitudes are checked once."""
        if self.sfreq is None:
            raise ValueError("sfreq must be given for arrays (Hz), or info")
        if (self.sensors is None) == (self.ch_names is None):
            raise ValueError("one of ch_names, sensors and info must be given for arrays")
        sensors = self.sensors
        if sensors is None:
            sensors = sensors_by_name(list(self.ch_names or ()), self.montage or DEFAULT_MONTAGE)
        if len(sensors) != X.shape[1]:
            raise ValueError(f"X has {X.shape[1]} channels, there are {len(sensors)} sensors")
        looked_at = X[:: -(-len(X) // CHECKED)]
        together: ArrayLike = np.concatenate(list(looked_at), axis=1)
        return recording_from_array(
            together, self.sfreq, sensors, unit=self.unit, line_freq=self.line_freq, source="X"
        )


@lru_cache(maxsize=2)
def _loaded(checkpoint: str, device: str, written: int | None) -> Encoder:
    return Encoder.from_pretrained(checkpoint).to(device)
