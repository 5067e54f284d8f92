"""The worked example of docs/encoding.md runs and finds what it planted; its pictures say so."""

import re

import numpy as np
import pytest

from brainfm.encoding_pictures import dissimilarity_figure, layer_time_figure


@pytest.fixture(scope="module")
def example(root, tmp_path_factory):
    """Return the names that the page's example leaves behind."""
    page = (root / "docs" / "encoding.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    names: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        exec(compile(code, "docs/encoding.md", "exec"), names)
    return names


def test_layers_show_when_they_were_planted(example):
    r = example["table"].r.mean(2)
    assert example["table"].layers == ("early", "middle", "late")
    assert r[0, 2:5].min() > 0.4
    assert r[2, 4:7].min() > 0.4
    nothing = [*r[1], *r[0, [0, 1, 5, 6, 7]], *r[2, [0, 1, 2, 3, 7]]]
    # Correlations of 30 trials, mean over 36: a standard error of .03 where nothing is shared.
    assert np.abs(nothing).max() < 0.2
    assert example["table"].best_layer()[[2, 6]].tolist() == [0, 2]
    assert example["ceiling"][2:7].min() > 0.4


def test_the_model_is_found_in_dissimilarities(example):
    assert example["found"].r > 0.2
    assert example["found"].p_value < 0.05


def test_the_map_holds_the_values_and_marks_the_best_layer():
    r = np.array([[0.1, -0.2, 0.5], [0.3, -0.1, 0.2]])
    figure = layer_time_figure(("one", "two"), r, [0.0, 0.1, 0.2], ceiling=np.full(3, 0.8))
    above, below = figure.axes[:2]
    np.testing.assert_array_equal(above.images[0].get_array(), r)
    x, y = above.lines[0].get_data()
    # Nothing is marked where no layer is above zero.
    assert (x.tolist(), y.tolist()) == ([0, 2], [1, 0])
    assert [text.get_text() for text in above.texts][:2] == ["0.10", "-0.20"]
    lines = {line.get_label(): line.get_ydata() for line in below.lines}
    np.testing.assert_array_equal(lines["best layer"], [0.3, -0.1, 0.5])
    np.testing.assert_array_equal(lines["noise ceiling"], 0.8)
    with pytest.raises(ValueError, match=r"layers, times\) \(2, 2\)"):
        layer_time_figure(("one", "two"), r, [0.0, 0.1])


def test_dissimilarities_become_symmetric_matrices():
    figure = dissimilarity_figure({"a": np.array([1.0, 2.0, -3.0])})
    matrix = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(matrix, [[0, 1, 2], [1, 0, -3], [2, -3, 0]])
