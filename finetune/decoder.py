"""A trained decoder as a function of trials: load a finished fold and predict.

Shapes: B trials, C sensors, T samples, O outputs.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from brainfm.batches import Window, collate
from brainfm.config_json import from_json
from brainfm.given_recordings import recordings_of
from brainfm.processing import process
from brainfm.recordings import ReadOptions
from brainfm.torch_files import read_torch_file
from brainfm.trial_signals import trial_signals
from brainfm.trials import TrialConfig, samples_of

from .decoder_record import DecoderRecord
from .folds import best_checkpoint
from .module import DecodingModule
from .predicting import predicted
from .predictions import fold_path
from .run_record import CONFIG_FILE, at_home
from .trial_batch import TrialBatch


class Decoder:
    """What :func:`load_decoder` returns.

    Parameters
    ----------
    module
        With the weights of a fold, in eval mode.
    record
        What it was built with.
    data_settings
        Those of the run's data.
    """

    def __init__(
        self, module: DecodingModule, record: DecoderRecord, data_settings: dict[str, Any]
    ) -> None:
        self.module, self.record = module.eval(), record
        self.data_settings = data_settings
        self.trials = from_json(TrialConfig, data_settings["trials"], "config.yaml: data.trials")

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the names of what is decoded, in the order of a classifier's outputs."""
        return tuple(self.record.targets.ids.tolist())

    def predict(self, batch: TrialBatch) -> Tensor:
        """Return what the head predicts of a batch, on the CPU: probabilities, queries, values."""
        ((found, _),) = predicted(self.module, [batch])
        return found.cpu()

    def outputs(self, batches: Iterable[TrialBatch]) -> NDArray[Any]:
        """Return the predictions of all batches, texts as strings."""
        found = torch.cat([output.cpu() for output, _ in predicted(self.module, batches)])
        if self.module.head.kind == "text":
            return np.array(self.module.head.texts(found), dtype=np.str_)
        return found.float().numpy()

    def check_unscaled(self) -> None:
        """Raise ValueError if the run scaled its windows by those of training."""
        settings = self.data_settings
        if settings.get("scaling", "none") != "none" or settings.get("clamp") is not None:
            raise ValueError(
                "this run scales its windows itself (data.scaling, data.clamp); use 'brainfm "
                "finetune predict'"
            )

    def predict_recording(
        self, data: Any, onsets: Sequence[float], options: ReadOptions | None = None
    ) -> Tensor:
        """Return what the head predicts of trials of a new recording, as of an unseen subject.

        Parameters
        ----------
        data
            ``mne.io.Raw``, a file, or ``(array, sfreq, SensorArray)`` with the array (C, T) in V, T
            or T/m.
        onsets
            (B,) seconds from the first sample to each event.
        options
            How to read it.

        Raises
        ------
        ValueError
            A trial reaches beyond the recording; the run's data were scaled by windows of training.
        """
        self.check_unscaled()
        (recording,), _ = recordings_of(data, options)
        processed = process(recording, self.module.backbone.processing)
        scale = np.array([processed.scale[kind] for kind in processed.sensors.types.tolist()])
        windows = []
        for onset, x in zip(onsets, trial_signals(processed, onsets, self.trials), strict=True):
            begin, _ = samples_of(onset, self.trials.window, processed.sfreq)
            windows.append(
                Window(
                    x=x,
                    sensors=processed.sensors,
                    good=processed.good,
                    scale=scale.astype(np.float32),
                    lowpass=processed.lowpass if processed.lowpass else math.nan,
                    recording=0,
                    start=begin,
                )
            )
        return self.predict(unlabelled(windows, onsets))


def load_decoder(run: str | Path, fold: int = 0) -> Decoder:
    """Return the decoder of a finished fold of a run.

    Parameters
    ----------
    run
        What ``brainfm finetune fit`` wrote; its checkpoint must be where the settings say.
    fold
        Its number, from 0.

    Raises
    ------
    FileNotFoundError
        No such run or fold.
    """
    from jsonargparse import ArgumentParser

    run = Path(run)
    path = run / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{run} is no fine-tuning run (it has no {CONFIG_FILE})")
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DecodingModule, "model")
    content = read_torch_file(best_checkpoint(fold_path(run, fold)))
    record = DecoderRecord.from_plain(content["brainfm"]["decoder"])
    with at_home(run):
        made = parser.instantiate_classes(parser.parse_object({"model": settings["model"]}))
        module: DecodingModule = made.model
        module.build_backbone(record.example, len(record.subjects))
        module.build_rest(record)
    module.load_state_dict(content["state_dict"], strict=True)
    return Decoder(module, record, settings["data"])


def unlabelled(windows: Sequence[Window], onsets: Sequence[float]) -> TrialBatch:
    """Return windows as trials of an unseen subject, with no target."""
    nothing = torch.zeros(len(windows), dtype=torch.int64)
    return TrialBatch(
        signal=collate(windows),
        features=None,
        subject=nothing,
        target=nothing,
        rivals=nothing.new_zeros(len(windows), 0),
        passage=nothing,
        onset=torch.tensor(onsets, dtype=torch.float32),
        trial=torch.arange(len(windows)),
    )
