"""Pictures in files are known by their bytes and read as colours between 0 and 1."""

import numpy as np
import pytest
from matplotlib.image import imsave

from brainfm.image_files import image_files, read_image
from brainfm.trial_events import content_id


def rgba(path, pixels):
    imsave(path, np.array(pixels, dtype=np.uint8))
    return path


def test_pictures_are_found_by_content_at_any_depth(tmp_path):
    one = rgba(tmp_path / "a.png", [[[255, 0, 0]]])
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.png").write_bytes(one.read_bytes())
    two = rgba(tmp_path / "deep" / "c.png", [[[0, 0, 255]]])
    (tmp_path / "deep" / "notes.txt").write_text("no picture")
    found = image_files([str(tmp_path)])
    assert found == {content_id(one.read_bytes()): one, content_id(two.read_bytes()): two}
    assert len(image_files([str(tmp_path / "**" / "*.png")])) == 2
    with pytest.raises(FileNotFoundError, match=r"no picture \(\.png, .*in .*nowhere"):
        image_files([str(tmp_path / "nowhere")])


def test_what_is_transparent_is_white(tmp_path):
    path = rgba(tmp_path / "a.png", [[[255, 0, 0, 255], [255, 0, 0, 0]]])
    image = read_image(path)
    assert image.shape == (3, 1, 2)
    assert image[:, 0, 0].tolist() == [1, 0, 0]
    assert image[:, 0, 1].tolist() == [1, 1, 1]


def test_the_middle_square_is_resized(tmp_path):
    columns = np.zeros((4, 12, 3), dtype=np.uint8)
    columns[:, 4:8] = 255
    path = rgba(tmp_path / "a.png", columns)
    image = read_image(path, 8)
    assert image.shape == (3, 8, 8)
    assert bool((image == 1).all())


def test_what_is_no_picture_is_said(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(FileNotFoundError, match="no picture"):
        read_image(path)
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=r"a\.png cannot be read as a picture"):
        read_image(path)
