"""Run an exported ONNX file on recordings: preparation as in training, then onnxruntime.

No model is built and no checkpoint is needed.

Shapes: B trials or stretches, C sensors, T samples, P latent frames, N sources, Q quantizers,
D width, O outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.code_times import frame_times
from brainfm.encoder import Codes, Features, canonical_order
from brainfm.exported_record import INPUTS, METADATA, ExportedRecord
from brainfm.given_recordings import recordings_of
from brainfm.processing import Processed, process
from brainfm.recordings import ReadOptions, Recording
from brainfm.sensors import SensorArray
from brainfm.trial_signals import trial_signals
from brainfm.window_stream import window_batches

Arrays = dict[str, NDArray[Any]]


class ExportedModel:
    """An encoder or decoder that ``brainfm export --format onnx`` wrote.

    Parameters
    ----------
    file
        The ONNX file.
    threads
        Of onnxruntime; None: as many as it likes.
    providers
        Of onnxruntime, e.g. ``["CUDAExecutionProvider"]``; None: the CPU.

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        No such file; onnxruntime is not installed; not one of ours, or damaged.
    """

    def __init__(
        self,
        file: str | Path,
        *,
        threads: int | None = None,
        providers: Sequence[str] | None = None,
    ) -> None:
        if find_spec("onnxruntime") is None:
            raise ImportError(
                "onnxruntime not installed; pip install 'brainfm-toolkit[export]' (or onnxruntime)"
            )
        import onnxruntime

        path = Path(file)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there; 'brainfm export' writes such files")
        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=list(providers or ["CPUExecutionProvider"])
            )
        except Exception as error:  # its errors have no common class but this
            reason = (str(error).splitlines() or [""])[0]
            raise ValueError(f"{path} is no readable ONNX file ({reason})") from error
        found = self.session.get_modelmeta().custom_metadata_map.get(METADATA)
        if found is None:
            raise ValueError(f"{path} was not written by 'brainfm export --format onnx'")
        self.record = ExportedRecord.loads(found, str(path))

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the names of what a decoder decodes, in the order of a classifier's outputs."""
        return self.record.ids

    def __call__(self, signal: NDArray[Any], sensors: SensorArray) -> Arrays:
        """Run the graph.

        Parameters
        ----------
        signal
            (B, C, T), prepared: at the rate of ``record.processing``, filtered and scaled. Of an
            encoder, no more than ``record.context`` frames; of a decoder ``record.n_times``
            samples.
        sensors
            The C sensors; the good ones only.

        Returns
        -------
        dict
            Arrays by the names of ``record.outputs``.
        """
        self._check(sensors)
        given = (
            np.ascontiguousarray(signal, dtype=np.float32),
            sensors.positions.astype(np.float32),
            sensors.orientations.astype(np.float32),
            sensors.codes.astype(np.int64),
        )
        taken = {node.name for node in self.session.get_inputs()}
        feed = {name: x for name, x in zip(INPUTS, given, strict=True) if name in taken}
        return dict(zip(self.record.outputs, self.session.run(None, feed), strict=True))

    def tokenize(self, data: Any, options: ReadOptions | None = None) -> Codes | list[Codes]:
        """Return codes, as :meth:`brainfm.encoder.Encoder.tokenize` does."""
        self._need("codes")
        return self._each(data, options, lambda recording: self._joined(recording, "codes"))

    def encode(self, data: Any, options: ReadOptions | None = None) -> Features | list[Features]:
        """Return features of the exported layer, as :meth:`brainfm.encoder.Encoder.encode` does."""
        self._need("features")
        return self._each(data, options, lambda recording: self._joined(recording, "features"))

    def predict(
        self, data: Any, onsets: Sequence[float], options: ReadOptions | None = None
    ) -> NDArray[np.float32]:
        """Return what a decoder says of trials of a recording, as of an unseen subject.

        Parameters
        ----------
        data
            ``mne.io.Raw``, a file, or ``(array, sfreq, SensorArray)`` with the array (C, T) in V, T
            or T/m.
        onsets
            (B,) seconds from the first sample to each event.
        options
            How to read it.

        Returns
        -------
        array
            (B, O): of a classifier probabilities, else the head's output.

        Raises
        ------
        ValueError
            Not a decoder; a trial reaches beyond the recording.
        """
        self._need("output")
        assert self.record.trials is not None
        (recording,), _ = recordings_of(data, options)
        processed = process(recording, self.record.processing)
        order = canonical_order(processed.sensors, processed.good)
        signal = trial_signals(processed, onsets, self.record.trials)[:, order]
        output = self(signal, processed.sensors.select(order))["output"].astype(np.float64)
        if self.record.predicts == "classes":
            output = np.exp(output - output.max(axis=-1, keepdims=True))
            output /= output.sum(axis=-1, keepdims=True)
        return output.astype(np.float32)

    def stretches(self, processed: Processed) -> Iterator[Arrays]:
        """Yield the outputs of a prepared recording, (P, N, ...) a stretch; memory is bounded."""
        cfg = self.record.tokenizer
        order = canonical_order(processed.sensors, processed.good)
        sensors = processed.sensors.select(order)
        left, at_once = processed.n_times, self.record.context // cfg.frames_per_window
        for windows in window_batches(processed, order, cfg.window, cfg.stride, at_once):
            signal = windows.reshape(len(order), -1).numpy()[:, :left]
            left -= signal.shape[1]
            yield {name: values[0] for name, values in self(signal[None], sensors).items()}

    def _joined(self, recording: Recording, name: str) -> Any:
        processed = process(recording, self.record.processing)
        values = np.concatenate([found[name] for found in self.stretches(processed)])
        times = frame_times(0, len(values), self.record.tokenizer)
        if name == "codes":
            return Codes(values.astype(np.uint16), times)
        return Features(values, times)

    def _each(
        self, data: Any, options: ReadOptions | None, function: Callable[[Recording], Any]
    ) -> Any:
        recordings, are_epochs = recordings_of(data, options)
        return [function(r) for r in recordings] if are_epochs else function(recordings[0])

    def _need(self, output: str) -> None:
        if output not in self.record.outputs:
            raise ValueError(
                f"this file is an {self.record.kind} that gives {' and '.join(self.record.outputs)}"
                f", not {output}".replace("an decoder", "a decoder")
            )

    def _check(self, sensors: SensorArray) -> None:
        known = self.record.tokenizer.types
        foreign = sorted(set(sensors.types.tolist()) - set(known))
        if foreign or not len(sensors):
            found = f"channels of type {', '.join(foreign)}" if foreign else "no usable channel"
            raise ValueError(
                f"this model takes {', '.join(known)}; the recording has {found}: exclude them or "
                "use another model"
            )
