"""Images stand where their row and column say."""

import pytest
import torch

from brainfm.image_montage import montage, save_montage


def plain(values, size=10):
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, size, size)


def test_every_image_has_its_place_whatever_its_size():
    columns = {"shown": plain([0.0, 1.0]), "decoded": plain([0.2, 0.4], size=33)}
    picture = montage(columns, pixels=8, gap=2)
    assert picture.shape == (22, 22, 3)
    for row, column, value in ((0, 0, 0), (1, 0, 255), (0, 1, 51), (1, 1, 102)):
        top, left = 2 + 10 * row, 2 + 10 * column
        assert (picture[top : top + 8, left : left + 8] == value).all()
    assert (picture[:2] == 255).all()


def test_the_file_is_a_picture_with_room_for_names(tmp_path):
    from matplotlib.image import imread

    save_montage(tmp_path / "m.png", {"shown": plain([0.5]), "decoded": plain([0.1])}, pixels=50)
    assert imread(tmp_path / "m.png").shape[:2] == (58 + 24, 112)
    assert [p.name for p in tmp_path.iterdir()] == ["m.png"]


def test_columns_that_do_not_match_are_named():
    with pytest.raises(ValueError, match="'decoded': 1"):
        montage({"shown": plain([0.0, 1.0]), "decoded": plain([0.0])})
    with pytest.raises(ValueError, match="shown must be images"):
        montage({"shown": plain([2.0])})
