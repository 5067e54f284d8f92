"""What the embedding of a sensor depends on."""

import pytest
import torch

from brainfm.sensor_embedding import SensorEmbedding
from brainfm.sensors import SENSOR_TYPES

TYPES = {"eeg": 0, "mag": 1, "planar": 2, "axial": 2}
EEG, MAG, PLANAR, AXIAL = (SENSOR_TYPES[name].code for name in TYPES)


def embedding(**changes):
    torch.manual_seed(0)
    return SensorEmbedding(32, TYPES, **changes)


def inputs(n=5):
    positions = torch.nn.functional.normalize(torch.randn(1, n, 3), dim=-1) * 0.09
    return positions, torch.zeros(1, n, 3), torch.full((1, n), EEG)


def test_types_share_a_row_where_the_table_says_so():
    model = embedding()
    positions, orientations, types = inputs(1)
    by_type = [model(positions, orientations, torch.full_like(types, t)) for t in range(4)]
    torch.testing.assert_close(by_type[PLANAR], by_type[AXIAL])
    assert (by_type[EEG] - by_type[MAG]).abs().max() > 0.1
    assert (by_type[MAG] - by_type[PLANAR]).abs().max() > 0.1
    assert model.kind.num_embeddings == 3


def test_the_table_of_types_is_not_saved():
    assert "rows" not in embedding().state_dict()


def test_root_mean_square_is_one():
    y = embedding()(*inputs(7))
    torch.testing.assert_close(y.square().mean(-1), torch.ones(1, 7), atol=1e-3, rtol=0)


@pytest.mark.parametrize("bands", [0, 3])
def test_positions_count_in_units_of_the_scale(bands):
    metres = embedding(position_scale=0.1, fourier_bands=bands)
    units = embedding(position_scale=1.0, fourier_bands=bands)
    positions, orientations, types = inputs()
    torch.testing.assert_close(
        metres(positions, orientations, types), units(positions * 10, orientations, types)
    )


def test_sensors_two_centimetres_apart_differ():
    """As published (metres, no sines) neighbours hardly differ; with the defaults they do."""
    positions, orientations, types = inputs(1)
    moved = positions + torch.tensor([0.02, 0.0, 0.0])

    def distance(model):
        step = model(moved, orientations, types) - model(positions, orientations, types)
        return (step.norm() / 32**0.5).item()

    ours, published = embedding(), embedding(position_scale=1.0, fourier_bands=0)
    assert distance(ours) > 5 * distance(published) > 0


def test_each_sensor_is_embedded_by_itself():
    model = embedding()
    positions, orientations, types = inputs(6)
    orientations = torch.nn.functional.normalize(torch.randn(1, 6, 3), dim=-1)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    together = model(positions, orientations, types)[:, order]
    reordered = model(positions[:, order], orientations[:, order], types[:, order])
    torch.testing.assert_close(together, reordered)


def test_the_norm_is_taken_in_float32():
    model, sensors = embedding(), inputs()
    exact = model(*sensors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(*sensors)
    torch.testing.assert_close(y.float(), exact, atol=0.1, rtol=0)
    assert (y.float().square().mean(-1) - 1).abs().max() < 0.02
