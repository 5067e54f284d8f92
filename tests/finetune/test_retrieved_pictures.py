import numpy as np
import pytest
import torch
import yaml
from brainfm.finetune.image_targets import ImageTargets
from brainfm.finetune.retrieved_pictures import (
    add_retrieved_pictures,
    montage_figure,
    picture_files,
)

from brainfm.drawn_pictures import draw_pictures
from brainfm.image_files import image_files
from brainfm.report_page import Page


@pytest.fixture
def pictures(tmp_path):
    """Return a folder of five drawn pictures of two concepts."""
    from PIL import Image

    drawn, _ = draw_pictures(5, generator=torch.Generator().manual_seed(0))
    for k, picture in enumerate(drawn.permute(0, 2, 3, 1).numpy()):
        folder = tmp_path / "pictures" / ("cat", "dog")[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * picture).astype(np.uint8)).save(folder / f"{k}.png")
    return tmp_path / "pictures"


def example(truth, *first):
    found = [{"id": name, "similarity": 0.5} for name in first]
    return {"which": "best", "truth": truth, "rank": 1.0, "gallery_size": 5, "first": found}


def test_the_right_picture_is_framed_where_it_stands(pictures):
    files = image_files([str(pictures)])
    a, b, c, *_ = sorted(files)
    figure = montage_figure([example(a, a, b), example(c, b, c), example(b, a, c)], files)
    (axes,) = figure.axes
    frames = [patch.get_xy() for patch in axes.patches]
    # Row 0 at the first rank, row 1 at the second, row 2 not among them.
    assert frames == [(102.0, 2.0), (202.0, 102.0)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["shown", "rank 1", "rank 2"]
    (image,) = axes.images
    drawn = image.get_array()
    np.testing.assert_array_equal(drawn[4:100, 4:100], drawn[4:100, 104:200])
    assert (drawn[4:100, 4:100] != drawn[4:100, 204:300]).any()


def test_a_concept_is_shown_by_one_of_its_pictures(pictures):
    files = picture_files(ImageTargets([str(pictures)], gallery="concept_centre"))
    assert {name: path.parent.name for name, path in files.items()} == {"cat": "cat", "dog": "dog"}


def test_other_contents_have_none_and_lost_pictures_are_said(pictures, tmp_path):
    def page_of(targets, examples):
        settings = {"data": {"targets": targets}, "model": {}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
        page = Page()
        add_retrieved_pictures(page, examples, tmp_path)
        return page

    first, second, *_ = image_files([str(pictures)])
    images = {
        "class_path": "brainfm.finetune.image_targets.ImageTargets",
        "init_args": {"images": [str(pictures)]},
    }
    assert len(page_of(images, [example(first, second)]).entries) == 1
    page = page_of(images, [example(first, "0123")])
    assert page.entries == []
    assert page.left_out == {
        "montage of retrieved pictures": "1 pictures are no longer there, e.g. 0123"
    }
    other = {"class_path": "brainfm.finetune.targets.LabelTargets"}
    for targets in (other, None):
        page = page_of(targets, [example(first, second)])
        assert (page.entries, page.left_out) == ([], {})
