"""benchmarks/decoding_synthetic.py on tiny data: what is planted is found, mistakes are refused."""

import importlib.util
import sys

import numpy as np
import pytest
from scipy.io import wavfile
from shown_commands import documented

RATE = 8000


@pytest.fixture(scope="module")
def bench(root):
    # Settings name classes of the file by its module: it must be importable.
    path = root / "benchmarks" / "decoding_synthetic.py"
    spec = importlib.util.spec_from_file_location("decoding_synthetic", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["decoding_synthetic"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["decoding_synthetic"]


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Noise bursts that stand for digits and sentences."""
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for name, seconds, count in (("fsdd", 0.5, 40), ("librivox_pocketsphinx_aligned", 3.0, 6)):
        (folder / name).mkdir()
        for k in range(count):
            n = round(seconds * 16)
            loud = np.repeat(rng.uniform(0, 1, n) ** 3, RATE // 16)
            sound = (0.3 * loud * rng.standard_normal(len(loud))).astype("f4")
            wavfile.write(folder / name / f"{k}.wav", RATE, sound)
    return folder


def test_a_planted_response_is_found_and_its_absence_is_not(bench, speech, tmp_path):
    audio = bench.digits(speech, 40)
    found = {}
    for name, settings in {"planted": {"snr": 0.0}, "null": {"null": True}}.items():
        data = bench.simulated(tmp_path / name, audio, subjects=3, duration=90.0, **settings)
        run = bench.decoded(data, str(speech / "fsdd"))
        assert run.record.synthetic
        found[name], gallery = bench.top10(run)
        assert gallery == (20, 20)
    # Chance is 10 of 20; about 85 trials of each of 3 people give a standard error of .03.
    assert found["planted"].chance == pytest.approx(0.5)
    assert found["planted"].value > 0.7
    assert found["planted"].p_value < 0.01
    assert found["null"].value == pytest.approx(0.5, abs=0.12)
    assert found["null"].p_value > 0.01


def test_planted_leaks_stop_the_run(bench, speech, tmp_path, capsys):
    name = "docs/decoding_synthetic.md: python benchmarks/decoding_synthetic.py leaks"
    words = documented(name, scratch=str(tmp_path))[1:]
    assert bench.run([*words, "--speech", str(speech)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert said[0] == "sound: runs"
    assert all("the folds leak" in line for line in said[1:])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("docs/decoding_synthetic.md: python benchmarks/decoding_synthetic.py planted", "| 0 |"),
        ("docs/decoding_synthetic.md: python benchmarks/decoding_synthetic.py null", "of 2"),
    ],
)
def test_the_lines_of_the_page(bench, speech, tmp_path, capsys, name, said):
    words = documented(name, scratch=str(tmp_path))[1:]
    few = ["--subjects", "2", "--duration", "60", "--sounds", "30", "--snr", "0", "--seeds", "2"]
    assert bench.run([*words, "--speech", str(speech), *few]) == 0
    assert said in capsys.readouterr().out
