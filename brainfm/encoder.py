"""Codes and features of recordings from a checkpoint: what most users need of brainfm.

Shapes: C sensors, T samples, P latent frames, N sources, Q quantizers, D width.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from brainfm.brain_tokenizer import Sensors
from brainfm.checkpoints import BrainModel, load_checkpoint, save_checkpoint
from brainfm.code_times import context_frames, frame_times, n_frames
from brainfm.given_recordings import are_several, recordings_of
from brainfm.hub import find_checkpoint, push_checkpoint
from brainfm.input_contract import contracted_positions, contracted_windows
from brainfm.masked_model import MaskedBrainModel
from brainfm.processing import Processed, process
from brainfm.recordings import ReadOptions, Recording
from brainfm.seanet_layers import Past
from brainfm.sensors import SensorArray
from brainfm.window_codes import CHANNEL_WINDOWS, as_frames, repeated, window_codes
from brainfm.window_stream import Standardised, regroup

__all__ = ["CHANNEL_WINDOWS", "Codes", "Encoder", "Features", "canonical_order", "from_pretrained"]

Layer = int | Literal["mixture"]


class Codes(NamedTuple):
    """Codes of one recording.

    ``values`` (P, N, Q) uint16; ``times`` (P,) seconds from the first sample, centres of frames.
    """

    values: NDArray[np.uint16]
    times: NDArray[np.float64]


class Features(NamedTuple):
    """Features of one recording.

    ``values`` (P, N, D) float32, unit length along D; ``times`` (P,) seconds from the first sample,
    centres of frames.
    """

    values: NDArray[np.float32]
    times: NDArray[np.float64]


class Encoder(nn.Module):
    """A trained model as a function of recordings; deterministic.

    Parameters
    ----------
    model
        Tokenizer, with or without masked model.
    """

    def __init__(self, model: BrainModel) -> None:
        super().__init__()
        self.model = model.eval()

    @classmethod
    def from_pretrained(cls, source: str | Path, **where: Any) -> "Encoder":
        """Load a checkpoint by name; see :func:`brainfm.from_pretrained`."""
        return cls(load_checkpoint(find_checkpoint(source, **where)))

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write a checkpoint folder, card included, and return it."""
        return save_checkpoint(self.model, folder)

    def push_to_hub(self, repo_id: str, **settings: Any) -> str:
        """Put the checkpoint on the hub; see :func:`brainfm.hub.push_checkpoint`."""
        return push_checkpoint(self.model, repo_id, **settings)

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        return self.model.tokenizer.gather.queries.device

    def tokenize(
        self, data: Any, options: ReadOptions | None = None
    ) -> Codes | list[Codes] | list[Codes | list[Codes]]:
        """Return the codes of a recording, or of each of several.

        Parameters
        ----------
        data
            ``mne.io.Raw``, ``mne.Epochs``, a file, ``(array, sfreq, SensorArray)`` with the array
            (C, T) in V, T or T/m, or a :class:`~brainfm.recordings.Recording`; or a list of these,
            of any devices and lengths, which then share calls of the network.
        options
            How to read it: montage, units, channels.

        Returns
        -------
        Codes or list of Codes
            A list, one for each epoch, if ``data`` is Epochs. Of a list, what each of it gives
            alone, in order.

        Raises
        ------
        ValueError, OSError, MemoryError
            What cannot be read or encoded; ``recordings[2]: ...`` is the third of a list.
        """
        if are_several(data):
            from brainfm.recordings_together import tokenize_together

            return tokenize_together(self, data, options)
        return _each(data, options, self._tokenize)

    def encode(
        self, data: Any, options: ReadOptions | None = None, *, layer: Layer = -2
    ) -> Features | list[Features] | list[Features | list[Features]]:
        """Return the features of a recording, or of each of several.

        Parameters
        ----------
        data, options
            As for :meth:`tokenize`.
        layer
            0 is the input of the masked model, -1 its last block; -2 the block before. ``mixture``
            is the mean of all.

        Returns
        -------
        Features or list of Features
            A list, one for each epoch, if ``data`` is Epochs. Of a list, what each of it gives
            alone, in order, up to the rounding of sums (1e-5).

        Raises
        ------
        ValueError, OSError, MemoryError
            As :meth:`tokenize`; also a checkpoint without masked model, or no such layer.
        """
        if are_several(data):
            from brainfm.features_together import encode_together

            return encode_together(self, data, options, layer=layer)
        return _each(data, options, lambda recording: self._encode(recording, layer))

    def code_blocks(self, processed: Standardised) -> Iterator[NDArray[np.uint16]]:
        """Yield the codes of a processed recording in order, (P, N, Q) blocks of whole windows."""
        total, done = n_frames(processed.n_times, self.model.tokenizer.cfg), 0
        for block in self._padded_blocks(processed):
            block = block[: total - done]
            done += len(block)
            yield block

    def _padded_blocks(self, processed: Standardised) -> Iterator[NDArray[np.uint16]]:
        """Yield codes as :meth:`code_blocks` does, with frames that begin after the end."""
        cfg = self.model.tokenizer.cfg
        order, sensors = self.usable(processed)
        batch_windows = max(1, CHANNEL_WINDOWS // len(order))
        past: Past = {}
        contract = self.model.record.input_contract
        for x in contracted_windows(processed, order, contract, cfg, batch_windows):
            windows = x.to(self.device)
            if cfg.causal:
                block = self._next_frames(windows, sensors, past)
            else:
                windows = rearrange(windows, "c w l -> w c l")
                many = repeated(sensors, len(windows))
                block = as_frames(window_codes(self.model.tokenizer, windows, many))
            yield block

    def _next_frames(self, windows: Tensor, sensors: Sensors, past: Past) -> NDArray[np.uint16]:
        """Return the codes (P, N, Q) of windows (C, W, L) that follow those in ``past``."""
        with torch.inference_mode():
            z = self.model.tokenizer.encode(windows.unsqueeze(0), sensors, past)
            return as_frames(self.model.tokenizer.quantizer(z).codes)

    def usable(self, processed: Standardised) -> tuple[NDArray[np.int64], Sensors]:
        """Return the order in which a recording's sensors are taken, (C,), and their embedding.

        Raises
        ------
        ValueError
            No sensor, or one of a type that the model does not take.
        """
        order = canonical_order(processed.sensors, processed.good)
        sensors = processed.sensors.select(order)
        self.check_types(sensors)
        return order, self.embed(sensors)

    def feature_blocks(
        self, processed: Standardised, *, layer: Layer = -2
    ) -> Iterator[tuple[Features, NDArray[np.uint16]]]:
        """Yield features and codes of a processed recording, a block per stretch of context."""
        masked = self.check_features()
        cfg = self.model.tokenizer.cfg
        context = context_frames(self.model.record.training, cfg.frames_per_window)
        begin, total = 0, n_frames(processed.n_times, cfg)
        # Published models were trained on whole windows, the zeros after the end included.
        whole = self.model.record.input_contract == "brainomni"
        blocks = self._padded_blocks(processed) if whole else self.code_blocks(processed)
        with torch.inference_mode():
            for codes in regroup(blocks, context):
                inputs = torch.from_numpy(codes.astype(np.int64)).to(self.device)
                values = masked.features(rearrange(inputs, "p n q -> 1 n p q"), layer)
                features = rearrange(values, "1 n p d -> p n d").float().cpu().numpy()
                times = frame_times(begin, min(begin + len(codes), total), cfg)
                yield Features(features[: len(times)], times), codes[: len(times)]
                begin += len(times)

    def process(self, recording: Recording) -> Processed:
        """Prepare a recording as the model's training data was."""
        return process(recording, self.model.record.processing)

    def embed(self, sensors: SensorArray) -> Sensors:
        """Embed a sensor array for the tokenizer, as its input contract says; batch axis of one."""

        def tensor(values: NDArray[Any], dtype: torch.dtype) -> Tensor:
            return torch.from_numpy(values).to(self.device, dtype).unsqueeze(0)

        tokenizer, contract = self.model.tokenizer, self.model.record.input_contract
        types = tensor(sensors.codes, torch.int64)
        mask = torch.ones_like(types, dtype=torch.bool)
        positions = tensor(sensors.positions, torch.float32)
        positions = contracted_positions(positions, types, mask, contract, tokenizer.cfg)
        with torch.no_grad():
            return tokenizer.embed_sensors(
                positions, tensor(sensors.orientations, torch.float32), types, mask
            )

    def _tokenize(self, recording: Recording) -> Codes:
        values = np.concatenate(list(self.code_blocks(self.process(recording))))
        return Codes(values, frame_times(0, len(values), self.model.tokenizer.cfg))

    def _encode(self, recording: Recording, layer: Layer) -> Features:
        processed = self.process(recording)
        blocks = [block for block, _ in self.feature_blocks(processed, layer=layer)]
        return Features(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))

    def check_features(self) -> MaskedBrainModel:
        """Return the masked model; raise ValueError if the checkpoint has none."""
        if self.model.masked_model is None:
            raise ValueError(
                "this checkpoint holds a tokenizer only, which gives codes (tokenize) and no "
                "features; export a pretraining run to get features"
            )
        return self.model.masked_model

    def check_types(self, sensors: SensorArray) -> None:
        """Raise ValueError if there is no sensor, or one of a type that the model does not take."""
        known = self.model.tokenizer.cfg.types
        foreign = sorted(set(sensors.types.tolist()) - set(known))
        if foreign:
            raise ValueError(
                f"this model takes {', '.join(known)}; the recording also has {', '.join(foreign)} "
                "channels: exclude them"
            )
        if len(sensors) == 0:
            raise ValueError("no usable channel is left")


def from_pretrained(source: str | Path, **where: Any) -> Encoder:
    """Load a model.

    Parameters
    ----------
    source
        ``nano``, the bundled model; a checkpoint folder; ``OWNER/NAME`` on the Hugging Face Hub;
        ``brainomni-tiny``, ``brainomni-base``, ``braintokenizer``, or a folder with their files.
    where
        ``revision``, ``cache_dir``, ``offline`` of :func:`brainfm.hub.find_checkpoint`.

    Raises
    ------
    FileNotFoundError, ValueError
        Not a checkpoint, damaged, or not fitting its own configuration.
    """
    return Encoder.from_pretrained(source, **where)


def canonical_order(sensors: SensorArray, good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the good sensors in an order that follows from what they are, not from the file.

    Sums over sensors are rounded in the order of the sensors; with this one, the same recording
    gives the same bytes however its channels are ordered.
    """
    keys = np.concatenate([sensors.orientations, sensors.positions, sensors.codes[:, None]], axis=1)
    order = np.lexsort(keys.T)
    return order[good[order]].astype(np.int64)


def _each(data: Any, options: ReadOptions | None, function: Any) -> Any:
    recordings, are_epochs = recordings_of(data, options)
    return [function(r) for r in recordings] if are_epochs else function(recordings[0])
