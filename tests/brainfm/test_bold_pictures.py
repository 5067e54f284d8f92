"""Pictures of BOLD: lines are those of the data, standardised, with gaps and signs as they are."""

import numpy as np
import pytest

from brainfm.bold_pictures import Course, course_figure, response_figure


def test_courses_are_standardised_break_at_gaps_and_tell_r():
    times = np.array([0.0, 2.0, 4.0, 6.0, 20.0, 22.0])
    measured = np.array([1.0, 2.0, 1.0, 3.0, 5.0, 4.0])
    up = Course(name="up", measured=measured, predicted=10 * measured - 3)
    flat = Course(name="flat", measured=measured, predicted=np.full(6, 0.1))
    figure = course_figure(times, [up, flat])
    first, second = figure.axes
    assert first.get_title("left") == "up: r = 1.00"
    assert second.get_title("left") == "flat: r = 0.00"
    drawn = {line.get_label(): line for line in first.lines}
    x, y = drawn["predicted"].get_data()
    assert np.isnan(x).tolist() == [False] * 4 + [True] + [False] * 2
    np.testing.assert_allclose(y[~np.isnan(x)], (measured - measured.mean()) / measured.std())
    assert drawn["volume trigger"].get_xdata().tolist() == times.tolist()


def test_responses_have_a_peak_of_one_whatever_their_sign():
    lags, shape = np.arange(9.5, 0, -1.0), np.sin(np.arange(10.0))
    responses = [np.stack([-3 * shape, 5 * shape])] * 2
    figure = response_figure(lags, responses, ("a", "b"), delays=[np.array([0.25, -1.0])] * 2)
    assert [axes.get_title("left") for axes in figure.axes] == [
        "a: +0.2 to +0.2 s",
        "b: -1.0 to -1.0 s",
    ]
    for axes in figure.axes:
        lines = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 10]
        assert len(lines) == 2
        for line in lines:
            np.testing.assert_allclose(line, shape / shape[np.abs(shape).argmax()])


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="as long as 3 rising times"):
        course_figure(np.arange(3), [Course(name="a", measured=np.ones(3), predicted=np.ones(2))])
    with pytest.raises(ValueError, match="rising times"):
        course_figure(np.zeros(2), [Course(name="a", measured=np.ones(2), predicted=np.ones(2))])
    with pytest.raises(ValueError, match=r"regions, frames\) \(1, 4\)"):
        response_figure(np.arange(4), [np.ones((1, 3))], ("a",))
