import numpy as np
import pytest

from brainfm.sensors import SENSOR_TYPES, SensorArray


def pair(**changes: object) -> SensorArray:
    """One electrode and one planar gradiometer."""
    fields: dict = {
        "positions": [[0.0, 0.08, 0.04], [0.09, 0.0, 0.05]],
        "orientations": [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        "types": ["eeg", "planar"],
        "names": ("Fz", "MEG0112"),
    }
    return SensorArray(**(fields | changes))


def test_codes_are_those_that_batches_were_written_with():
    codes = {name: kind.code for name, kind in SENSOR_TYPES.items()}
    assert codes == {"eeg": 0, "mag": 1, "planar": 2, "axial": 3, "ieeg": 4, "voxel": 5}
    assert pair().codes.tolist() == [0, 2]
    assert {name: kind.unit for name, kind in SENSOR_TYPES.items()} == {
        "eeg": "V",
        "mag": "T",
        "planar": "T/m",
        "axial": "T",
        "ieeg": "V",
        "voxel": "",
    }


def test_select_reorders_every_field():
    turned = pair().select([1, 0])
    assert turned.names == ("MEG0112", "Fz")
    assert turned.types.tolist() == ["planar", "eeg"]
    np.testing.assert_array_equal(turned.positions[0], [0.09, 0.0, 0.05])
    np.testing.assert_array_equal(turned.orientations[0], [0.0, 1.0, 0.0])
    assert pair().select(np.array([False, True])).names == ("MEG0112",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"types": ["eeg", "meg"]}, "unknown sensor types"),
        ({"names": ("Fz",)}, "shape"),
        ({"positions": [[0, 0, np.nan], [0, 0, 0.1]]}, "Fz"),
        ({"orientations": [[0, 0, 0], [0, 2, 0]]}, "MEG0112"),
        ({"orientations": [[0, 0, 1], [0, 1, 0]]}, "Fz"),
    ],
)
def test_what_cannot_be_a_sensor_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        pair(**changes)
