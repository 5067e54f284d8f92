"""Trials of real recordings with labels: how many, of what shape, and with what in them."""

import numpy as np
import pytest
from brainfm.finetune.data import DecodingData
from brainfm.finetune.recorded_events import EventConfig
from brainfm.finetune.recording_sources import Files

from brainfm.processing_config import ProcessingConfig
from brainfm.recordings import ReadOptions
from brainfm.trial_splits import TrialSplitConfig
from brainfm.trials import TrialConfig


@pytest.mark.shared
def test_real_ssvep(shared_data, tmp_path):
    source = Files(
        ["subject0[123]/*_raw.fif"],
        str(shared_data / "ssvep"),
        labels=r"^subject(?P<subject>\d+)/record-\[(?P<session>[^]]+)\]",
        read=ReadOptions(position_unit="mm", unit="mV", line_freq=50.0),
        events=EventConfig(
            kind="event_file",
            file="{folder}/{stem}-eve.fif",
            names={"1": "rest", "2": "13 Hz", "3": "21 Hz", "4": "17 Hz"},
        ),
    )
    data = DecodingData(source, TrialConfig(window=(2, 5)), fold=0, cache=str(tmp_path))
    data.prepare(ProcessingConfig())
    assert len(data.trials) == 3 * 64
    x = data.windows(data.indices("all"))
    power = np.abs(np.fft.rfft(x - x.mean(2, keepdims=True), axis=2)) ** 2
    # Three seconds: bin 3 f is f Hz. Who looks at 13 Hz has more 13 Hz than who does not.
    looks = data.trials.labels == "13 Hz"
    assert power[looks, :, 39].mean() > 2 * power[~looks, :, 39].mean()


@pytest.mark.shared
def test_real_motor_imagery(shared_data, tmp_path):
    source = Files(
        ["S001/S001R06.edf", "S001/S001R10.edf"],
        str(shared_data / "eegmmidb"),
        labels=r"^S(?P<subject>\d+)/S\d+R(?P<run>\d+)",
        read=ReadOptions(line_freq=60.0),
    )
    trials = TrialConfig(window=(0, 4), labels={"T1": "fists", "T2": "feet"})
    split = TrialSplitConfig(by="run", validation=0.0)
    data = DecodingData(source, trials, split, fold=0, cache=str(tmp_path))
    data.prepare(ProcessingConfig())
    assert [len(data.indices(s)) for s in ("train", "validation", "test")] == [15, 0, 15]
    assert data.windows([0]).shape == (1, 64, 1024)
    assert data.val_dataloader() == []


@pytest.mark.shared
@pytest.mark.parametrize(("modality", "n_channels"), [(["meg"], 306), (["eeg"], 60), (None, 366)])
def test_real_meg_and_eeg_with_an_event_file(shared_data, tmp_path, modality, n_channels):
    sides = {"auditory": ("1", "2"), "visual": ("3", "4")}
    names = {value: label for label, values in sides.items() for value in values}
    source = Files(
        ["test_raw.fif"],
        str(shared_data / "meg_eeg_neuromag"),
        modality=modality,
        events=EventConfig(kind="event_file", file="{folder}/test-eve.fif", names=names),
    )
    trials = TrialConfig(window=(0, 0.5), baseline=(-0.1, 0), outside="drop")
    split = TrialSplitConfig(by="time", folds=5)
    data = DecodingData(source, trials, split, fold=0, cache=str(tmp_path))
    data.prepare(ProcessingConfig())
    # 29 events of these values; the last begins too late.
    assert (len(data.trials), len(data.trials.dropped)) == (28, 1)
    assert data.windows([0]).shape == (1, n_channels, 128)
