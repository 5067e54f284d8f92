"""The fidelity card as a whole: what it says, of whom, beside what."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.fidelity import Reconstructed, WindowGrid, reconstruct
from brainfm.fidelity_card_numbers import (
    CODES,
    QUANTILES,
    SILENCE,
    bits_per_second,
    measure_recording,
    training_match,
)
from brainfm.fidelity_card_pictures import places_of, power_maps, topography_figure
from brainfm.fidelity_card_tables import statements
from brainfm.fidelity_measures import MEASURES
from brainfm.held_out import Shown
from brainfm.sensors import SensorArray
from brainfm.splits import Split

L, SFREQ = 128, 256.0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, noise_corpus: Callable[..., Path]) -> Path:
    return noise_corpus(tmp_path_factory.mktemp("card") / "corpus")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable) -> Path:
    return save_checkpoint(tiny_model(masked=None), tmp_path_factory.mktemp("card") / "model")


@pytest.mark.slow
def test_a_card(
    corpus: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "card"
    assert main(["tokenizer", "card", str(checkpoint), str(corpus), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert str(out / "card.html") in printed
    page = (out / "card.html").read_text()
    text = page.replace("\n", "").replace("  ", "")
    for section in (
        "Summary",
        "Fidelity by frequency band",
        "Waveforms and spectra",
        "Code usage",
        "Geometry drift",
        "All numbers",
    ):
        assert f">{section}<" in text, section
    numbers = json.loads((out / "card.json").read_text())
    assert numbers["data"]["split_by"] == "subject"
    assert "Divided by subject: no person is on two sides." in page
    # Two recordings are for validation, one for the test; of each array there is one a side.
    groups = {(row["side"], row["sensor_type"]) for row in numbers["groups"]}
    assert groups == {("validation", "eeg"), ("validation", "mag"), ("test", "eeg")}
    bands = {row["band"] for row in numbers["groups"]}
    assert {"all", "delta", "theta", "alpha", "beta", "gamma", "high gamma"} == bands
    for row in numbers["groups"]:
        assert row["device_in_training"] is True
        assert row["interval_over"] == "windows"
        assert ("phase_deg" in row["measures"]) == (row["band"] != "all")
        for name, entry in row["measures"].items():
            assert set(entry) == {CODES, QUANTILES, SILENCE}
            assert entry[SILENCE]["value"] == MEASURES[name].silent
            low, high = entry[CODES]["interval"]
            assert low <= entry[CODES]["value"] <= high or math.isclose(low, high)
    # One recording of each side's arrays; shift, rotation and missing channels of each.
    assert len(numbers["drift"]) == 9
    # 256 / 32 frames a second x 3 sources x 2 levels x 3 bits
    assert numbers["codes"]["bits_per_second"] == 144
    assert numbers["codes"]["used_bits_per_second"] <= 144
    assert len(numbers["codes"]["levels"]) == 2
    for name, reason in numbers["left_out"].items():
        assert f"left out: {name}: {reason}" in " ".join(printed.split("\n"))


def test_the_sums_are_those_of_the_reconstruction(corpus: Path, checkpoint: Path) -> None:
    encoder, held = Encoder.from_pretrained(checkpoint), Corpus(corpus)
    grid = WindowGrid(max_windows=6, run=3)
    one = measure_recording(encoder, held, Shown("test", 5, held.recordings[5]), grid)
    assert one is not None
    result = reconstruct(encoder, held, 5, grid)
    x, y = (np.concatenate(p, axis=1) for p in (result.original, result.reconstruction))
    # 19 windows in runs of 3, 3, 3, 3, 3, 2, 2: the first and the last of them.
    assert one.n_windows == 5 == x.shape[1] / L
    assert one.value("eeg", "all", "error") == pytest.approx(np.abs(x - y).sum() / np.abs(x).sum())
    assert one.value("eeg", "all", "snr_db") == pytest.approx(
        10 * np.log10((x**2).sum() / ((x - y) ** 2).sum()), rel=1e-4
    )
    assert one.value("mag", "all", "error") is None
    # 5 windows x 4 frames x 3 sources tokens on each of two levels
    assert one.counts.sum(1).tolist() == [60, 60]


def test_codes_are_given_with_the_reconstruction(corpus: Path, checkpoint: Path) -> None:
    encoder, held = Encoder.from_pretrained(checkpoint), Corpus(corpus)
    result = reconstruct(encoder, held, 0, WindowGrid(max_windows=4, run=2))
    assert [codes.shape for codes in result.codes] == [(3, 8, 2), (3, 8, 2)]


def test_sensors_that_the_model_does_not_take_are_no_electrodes(
    corpus: Path, tiny_model: Callable
) -> None:
    encoder, held = Encoder(tiny_model(masked=None, types={"eeg": 0})), Corpus(corpus)
    with pytest.raises(ValueError, match="takes eeg; the recording also has mag"):
        reconstruct(encoder, held, 0)
    assert reconstruct(encoder, held, 1).original


def test_bits_a_second_are_those_of_windows_without_overlap(tokenizer_config: Callable) -> None:
    from brainfm.brain_tokenizer import TokenizerConfig

    assert bits_per_second(TokenizerConfig()) == 2304  # 4 x 16 x 4 x 9, as published
    assert bits_per_second(tokenizer_config(overlap=0.25)) == 144


def test_it_is_said_where_the_checkpoint_was_trained_on_another_split(
    corpus: Path, tiny_model: Callable
) -> None:
    split, model = Split.load(corpus / "split.json"), tiny_model(masked=None)

    def match(digest: str | None) -> bool | None:
        training = {} if digest is None else {"tokenizer": {"split_digest": digest}}
        model.record = replace(model.record, training=training)
        return training_match(Encoder(model), split)

    assert (match(split.digest), match("other"), match(None)) == (True, False, None)
    data = {"split_by": "subject", "sides": {}}
    lines = statements({"data": data, "split_of_training": False, "groups": []})
    assert any("may have been trained on" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recordings", "0"], "recordings must be at least 1"),
        (["--split", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_use_is_one_line(
    corpus: Path,
    checkpoint: Path,
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["tokenizer", "card", str(checkpoint), str(corpus), "--out", str(tmp_path / "x")]
    assert main([*argv, *words]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert not (tmp_path / "x").exists()


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer", "card", "--help"]) == 0
    assert "brainfm tokenizer card runs/" in capsys.readouterr().out


def planar_pairs() -> SensorArray:
    places = np.random.default_rng(0).standard_normal((9, 3))
    places[:, 2] = np.abs(places[:, 2])
    places *= 0.1 / np.linalg.norm(places, axis=1, keepdims=True)
    across = np.cross(places, [0, 0, 1.0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return SensorArray(
        positions=np.repeat(places, 2, axis=0),
        orientations=np.repeat(across, 2, axis=0),
        types=np.array(["planar"] * 18),
        names=tuple(f"g{k}" for k in range(18)),
    )


def test_maps_show_power_and_add_what_lies_at_one_place() -> None:
    sensors = planar_pairs()
    places = places_of(sensors, "planar")
    assert sorted(place.tolist() for place in places) == [[2 * k, 2 * k + 1] for k in range(9)]
    alpha = np.sin(2 * np.pi * 10 * np.arange(8 * L) / SFREQ)
    x = np.tile(alpha, (18, 1))
    y = 0.1 * x  # a hundredth of the power
    y[0] = x[0]
    result = Reconstructed(
        sensors=sensors,
        scale=np.ones(18),
        sfreq=SFREQ,
        window=L,
        starts=(0,),
        original=(x.astype(np.float32),),
        reconstruction=(y.astype(np.float32),),
    )
    maps = power_maps(result, "planar", 40.0)
    assert list(maps) == ["delta", "theta", "alpha", "beta", "gamma"]
    original, through, level = maps["alpha"]
    assert level == pytest.approx(-20, abs=1e-3)
    np.testing.assert_allclose(original, 0, atol=1e-4)
    # One of a pair has the power 1, the other 0.01; both of all other pairs have 0.01.
    first = next(k for k, place in enumerate(places) if 0 in place)
    assert through[first] == pytest.approx(10 * np.log10(1.01 / 0.02), abs=1e-3)
    np.testing.assert_allclose(np.delete(through, first), 0, atol=1e-3)
    figure = topography_figure(result, "planar", 40.0)
    assert figure is not None
    assert [axes.get_title("center") for axes in figure.axes[:5]] == list(maps)


def test_a_map_needs_some_channels(head_sensors: Callable) -> None:
    x = np.random.default_rng(0).standard_normal((4, L)).astype(np.float32)
    result = Reconstructed(
        sensors=head_sensors(["eeg"] * 4),
        scale=np.ones(4),
        sfreq=SFREQ,
        window=L,
        starts=(0,),
        original=(x,),
        reconstruction=(x,),
    )
    assert topography_figure(result, "eeg", 96.0) is None
