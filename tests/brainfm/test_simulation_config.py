"""What the simulator's settings refuse."""

from typing import Any

import pytest

from brainfm.simulation_config import SimulationConfig


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"duration": -3.0}, "duration must be above 0, got -3"),
        ({"duration": 1.0}, "at least 2 s"),
        ({"sfreq": float("nan")}, "sfreq must be above 0"),
        ({"subjects": 0}, "subjects must be at least 1, got 0"),
        ({"snr": float("-inf")}, "--null"),
        ({"snr_high": 128.0}, "half of sfreq"),
        ({"snr_low": 40.0}, "must rise"),
        ({"montage": "none"}, "give montage, or meg"),
        ({"montage": "none", "meg": "neuromag", "snr_sensors": "eeg"}, "needs a montage"),
        ({"snr_sensors": "mag"}, "give montage, or meg"),
        ({"latency": 0.7}, "at most 0.5 s"),
        ({"blinks": 90.0}, "blinks must be at most 60"),
        ({"bold_rois": 2, "duration": 5.0}, "4 volumes"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_settings_that_make_no_recording_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SimulationConfig(**values)


def test_the_snr_speaks_of_eeg_where_there_is_any() -> None:
    assert SimulationConfig(meg="neuromag").snr_kind == "eeg"
    assert SimulationConfig(meg="neuromag", montage="none").snr_kind == "mag"
    assert SimulationConfig(meg="neuromag", snr_sensors="grad").snr_kind == "grad"
