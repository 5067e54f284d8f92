"""What the pictures of a report are drawn from: layouts, spectra, bands, code orders."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from brainfm.fidelity import Reconstructed
from brainfm.frequency_bands import BANDS, limited_band
from brainfm.report_bands import band_correlations, band_figure
from brainfm.report_codes import code_order, usage_figure, usage_numbers
from brainfm.report_features import feature_figure, principal_components, read_pooled, similarity
from brainfm.report_page import html_table
from brainfm.report_reconstruction import (
    fidelity_line,
    reconstruction_figure,
    spectra_of,
    spread_channels,
    typical_excerpt,
)
from brainfm.report_sensors import DEFAULT_HEAD, Head, fit_head, sensor_figure, unroll
from brainfm.report_style import TYPE_COLOURS, display_unit
from brainfm.sensors import SENSOR_TYPES, SensorArray

SFREQ, L = 256.0, 512


def array(types: list[str], positions: np.ndarray | None = None) -> SensorArray:
    n = len(types)
    rng = np.random.default_rng(0)
    return SensorArray(
        positions=0.05 * rng.standard_normal((n, 3)) if positions is None else positions,
        orientations=np.array([[0, 0, float(SENSOR_TYPES[kind].oriented)] for kind in types]),
        types=np.array(types),
        names=tuple(f"c{k}" for k in range(n)),
    )


def pair(x: np.ndarray, y: np.ndarray, types: list[str]) -> Reconstructed:
    return Reconstructed(
        sensors=array(types),
        scale=np.full(len(types), 1e-6),
        sfreq=SFREQ,
        window=L,
        starts=(1000,),
        original=(x.astype(np.float32),),
        reconstruction=(y.astype(np.float32),),
    )


def sine(hz: float, n: int) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(n) / SFREQ)


def test_every_sensor_type_has_a_colour_and_a_unit() -> None:
    assert set(TYPE_COLOURS) == set(SENSOR_TYPES)
    assert len(set(TYPE_COLOURS.values())) == len(TYPE_COLOURS)
    assert 20e-6 * display_unit("eeg").per_si == pytest.approx(20)  # 20 µV
    assert 50e-15 * display_unit("mag").per_si == pytest.approx(50)  # 50 fT
    # 1 pT/cm = 1e-12 T / 1e-2 m = 1e-10 T/m = 1000 fT/cm
    assert 1e-10 * display_unit("planar").per_si == pytest.approx(1000)


def test_unrolling_keeps_angles_from_the_top() -> None:
    head = Head(np.array([0.0, 0.01, 0.04]), 0.09)
    directions = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 1], [-1, 0, -1]])
    expected = [[0, 0], [1, 0], [0, 1], [0, 0.5], [-1.5, 0]]
    np.testing.assert_allclose(unroll(head.centre + 0.2 * directions, head), expected, atol=1e-12)


def test_the_head_is_the_sphere_under_the_electrodes() -> None:
    directions = np.random.default_rng(1).standard_normal((20, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    places = np.array([0.002, 0.015, 0.03]) + 0.095 * directions
    head = fit_head(array(["eeg"] * 20, places))
    np.testing.assert_allclose(head.centre, [0.002, 0.015, 0.03], atol=1e-9)
    assert head.radius == pytest.approx(0.095)
    assert fit_head(array(["eeg"] * 4)) is DEFAULT_HEAD
    assert fit_head(array(["mag"] * 20)) is DEFAULT_HEAD
    assert fit_head(array(["eeg"] * 20, 0.2 * directions)) is DEFAULT_HEAD


def test_sensors_of_every_type_are_drawn() -> None:
    types = [kind for kind in SENSOR_TYPES for _ in range(3)]
    good = np.arange(len(types)) != 4
    figure = sensor_figure(array(types), good)
    legend = figure.axes[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "3 EEG",
        "2 magnetometers",
        "3 planar gradiometers",
        "3 axial gradiometers",
        "3 intracranial EEG",
        "3 voxels",
        "1 bad",
    ]
    assert figure.axes[0].get_zlabel() == "superior (cm)"  # type: ignore[attr-defined]


def test_shown_channels_lie_apart() -> None:
    # On a line from front to back, two at each place.
    y = np.repeat([0.08, 0.04, 0.0, -0.04, -0.08], 2)
    places = np.column_stack([0 * y, y, 0 * y])
    assert places[spread_channels(places, 3), 1].tolist() == [0.08, 0.0, -0.08]
    assert sorted(spread_channels(places, 20).tolist()) == list(range(10))


def test_the_excerpt_shown_is_the_median_one() -> None:
    x = np.random.default_rng(3).standard_normal((1, 3 * L))
    y = x.copy()
    y[:, :L] *= -1  # worst
    y[:, L : 2 * L] += np.random.default_rng(4).standard_normal(L)  # between
    excerpt = typical_excerpt(pair(x, y, ["eeg"]), n_windows=1)
    assert excerpt.start == 1000 + L
    np.testing.assert_array_equal(excerpt.original, x[:, L : 2 * L].astype(np.float32))


def test_spectra_hold_the_power_of_the_signal() -> None:
    x = 3 * sine(20, 4 * L)[None]
    spectra = spectra_of(pair(x, 0.5 * x, ["eeg"]))
    step = SFREQ / L
    assert spectra.freqs[spectra.original[0].argmax()] == 20
    # A sine of amplitude a has power a^2 / 2.
    assert spectra.original.sum() * step == pytest.approx(4.5, rel=0.01)
    assert spectra.reconstruction.sum() * step == pytest.approx(4.5 / 4, rel=0.01)
    assert spectra.error.sum() * step == pytest.approx(4.5 / 4, rel=0.01)


def test_bands_end_where_the_recording_does() -> None:
    assert limited_band(30, 95, sfreq=256, lowpass=np.nan) == (30, 95)
    assert limited_band(30, 95, sfreq=256, lowpass=40) == (30, 40)
    assert limited_band(30, 95, sfreq=256, lowpass=32) is None
    assert limited_band(30, 95, sfreq=100, lowpass=96) == (30, 49)


def test_each_band_is_judged_by_itself() -> None:
    n = 4 * L
    x = np.stack([sine(10, n) + sine(20, n)])
    y = np.stack([sine(10, n) - sine(20, n)])
    row = band_correlations(pair(x, y, ["mag"]), 25.0)["mag"]
    assert set(row) == set(BANDS)
    assert row["alpha"] == pytest.approx(1, abs=0.02)
    assert row["beta"] == pytest.approx(-1, abs=0.02)
    assert row["gamma"] is None
    texts = {text.get_text() for text in band_figure([("rec", "mag", row)]).axes[0].texts}
    assert "–" in texts


def test_reconstruction_is_shown_in_units_people_read() -> None:
    from brainfm.fidelity import fidelity_of

    x = np.random.default_rng(5).standard_normal((4, 3 * L))
    result = pair(x, 0.5 * x, ["eeg", "eeg", "planar", "planar"])
    rows = fidelity_of(result, "rec")
    figure = reconstruction_figure(result, rows, 96.0)
    assert [axes.get_ylabel() for axes in figure.axes] == ["", "µV²/Hz", "", "(fT/cm)²/Hz"]
    assert figure.axes[2].get_title("left") == fidelity_line(rows[1])
    assert fidelity_line(rows[1]) == (
        "2 planar gradiometers:  correlation 1.00 [1.00, 1.00],  relative error 0.50 [0.50, 0.50]"
    )


def test_usage_of_even_and_of_single_codes() -> None:
    counts = torch.tensor([[5, 5, 5, 5], [20, 0, 0, 0], [10, 10, 0, 0]])
    rows = usage_numbers(counts)
    assert [row["share_used"] for row in rows] == [1.0, 0.25, 0.5]
    np.testing.assert_allclose([row["perplexity"] for row in rows], [4, 1, 2])
    np.testing.assert_allclose([row["bits"] for row in rows], [2, 0, 1], atol=1e-12)
    assert {row["max_bits"] for row in rows} == {2}
    (axes,) = usage_figure(counts).axes
    np.testing.assert_allclose(axes.lines[2].get_ydata(), [50, 50])  # percent of level 3


def test_codes_are_ordered_along_their_main_direction() -> None:
    places = np.array([3.0, -1.0, 0.0, 8.0])
    codebook = (np.outer(places, [0.0, 2.0, 1.0]) + 7).astype(np.float32)
    np.testing.assert_allclose(code_order(codebook), [2 / 3, 0, 1 / 3, 1])


def test_features_that_move_along_a_line_have_one_component() -> None:
    line = np.array([-2.0, -1.0, 1.0, 2.0])
    values = np.outer(line, [3.0, 4.0]) + 10
    components, shares = principal_components(values)
    np.testing.assert_allclose(components[:, 0], 5 * line, atol=1e-12)
    np.testing.assert_allclose(shares, [1, 0], atol=1e-12)
    signs = np.sign(line)
    np.testing.assert_allclose(similarity(values), np.outer(signs, signs), atol=1e-12)


def test_constant_features_do_not_break_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    with h5py.File(path, "w") as file:
        file["values"] = np.ones((2, 5, 3, 4), np.float32)
        file["times"] = np.arange(5) / 4
    pooled = read_pooled(path, max_frames=4)
    assert pooled.epochs
    assert pooled.shape == (2, 5, 3, 4)
    assert pooled.values.shape == (4, 4)
    feature_figure(pooled)


def test_a_file_without_features_is_named(tmp_path: Path) -> None:
    path = tmp_path / "features.h5"
    with h5py.File(path, "w") as file:
        file["other"] = np.zeros(3)
    with pytest.raises(ValueError, match="holds no features"):
        read_pooled(path)


def test_tables_escape_text_and_put_numbers_right() -> None:
    table = html_table(("name", "value"), [("<b>", "1.5"), ("x", "")])
    assert "&lt;b&gt;" in table
    assert table.count("text-align:right") == 3
