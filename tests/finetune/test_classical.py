"""Classical decoders: what each finds in synthetic trials, and that it finds nothing in noise."""

from types import SimpleNamespace

import numpy as np
import pytest
from brainfm.finetune import classical_features as features
from brainfm.finetune.classical import DECODERS, Task, run_classical
from brainfm.finetune.classical_readout import readouts
from brainfm.finetune.targets import Targets

SFREQ = 128.0
TIMES = np.arange(256) / SFREQ


def synthetic_rhythms(n: int = 40, snr: float = 1.0, seed: int = 0):
    """Return trials (N, 4, 256) with 10 Hz in channel 1 (class 0) or 15 Hz in 2 (class 1)."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.standard_normal((n, 4, len(TIMES)))
    for k in range(n):
        wave = np.sin(2 * np.pi * ((10.0, 15.0)[y[k]] * TIMES + rng.random()))
        x[k, 1 + y[k]] += snr * wave
    return x, y


def synthetic_responses(n: int = 40, snr: float = 1.0, seed: int = 0):
    """Return trials (N, 4, 256) with a bump at .5 s in channel 3 of class 1."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.standard_normal((n, 4, len(TIMES)))
    x[y == 1, 3] += snr * np.exp(-(((TIMES - 0.5) / 0.1) ** 2))
    return x, y


TASK = Task(SFREQ, ("10 Hz", "15 Hz"), {"model": {"backbone": {"init_args": {}}}})
BY_RHYTHM = ("band_power", "riemann", "csp", "cca", "quantile_tokens")
BY_RESPONSE = ("evoked", "evoked_lda", "xdawn", "quantile_tokens")


def accuracy(name, make, snr):
    decoder, targets = DECODERS[name], Targets(ids=np.array(["10 Hz", "15 Hz"]), rows=np.arange(2))
    (x, y), (x_test, y_test) = make(snr=snr, seed=1), make(snr=snr, seed=2)
    transformer = decoder.transformers[-1](TASK)
    found = transformer.fit(x, y).transform(x)
    readout = readouts("classes", targets, discriminant=decoder.discriminant)[-1].fit(found, y)
    probability = readout.predict(transformer.transform(x_test), y_test)
    assert probability == pytest.approx(probability.clip(0, 1))
    assert probability.sum(1) == pytest.approx(np.ones(len(y_test)))
    return (probability.argmax(1) == y_test).mean()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "make"),
    [(name, synthetic_rhythms) for name in BY_RHYTHM[:4]]
    + [(name, synthetic_responses) for name in BY_RESPONSE[:3]],
)
def test_finds_what_is_planted_and_nothing_else(name, make):
    assert accuracy(name, make, 2.0) > 0.8
    assert 0.2 < accuracy(name, make, 0.0) < 0.8


def test_quantile_tokens_know_amplitudes():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 2, 256)), np.arange(60) % 2
    x[y == 1, 0] *= 3
    transformer = features.QuantileTokens(SFREQ, 1024.0)
    found = transformer.fit(x).transform(x)
    # Twice 512 bit a second for 2 s at 2 bits: all 256 samples, and 4 levels of each channel.
    assert found.shape == (60, 2 * 256 + 2 * 4)
    outer = found[:, 512] + found[:, 515]
    assert outer[y == 1].min() > outer[y == 0].max()


def test_canonical_correlation_of_a_sinusoid_is_one_and_knows_no_phase():
    waves = [np.sin(2 * np.pi * 10 * TIMES + phase) for phase in (0.0, 1.0, 2.0)]
    x = np.array(
        [[wave, np.random.default_rng(k).standard_normal(256)] for k, wave in enumerate(waves)]
    )
    found = features.CanonicalCorrelations(SFREQ, (10.0, 15.0)).transform(x)
    assert found[:, 0].min() > 0.97
    assert found[:, 1].max() < 0.5


def test_frequencies_come_from_the_names_of_classes():
    assert features.frequencies_of(["rest", "13 Hz", "7.5 hz"]) == (7.5, 13.0)
    with pytest.raises(ValueError, match="called by their frequency"):
        features.frequencies_of(["left", "right 2"])


def test_tangent_spaces_take_more_channels_than_components_and_than_rank():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 3, 256))
    # 50 channels of rank 3.
    wide = np.einsum("dc,nct->ndt", rng.standard_normal((50, 3)), x)
    found = features.TangentSpaces(SFREQ).fit(wide).transform(wide)
    assert found.shape == (12, 6)
    assert np.isfinite(found).all()


def test_values_and_retrieval_by_ridge():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((80, 3)).astype(np.float32) * [1, 10, 100] + [0, 5, 0]
    rows = np.arange(80)
    x = values @ rng.standard_normal((3, 12)) + 0.01 * rng.standard_normal((80, 12))
    targets = Targets(ids=rows.astype(str), rows=rows, values=values)
    train, test = rows[:60], rows[60:]
    readout = readouts("values", targets, discriminant=False)[-1]
    readout.fit(x[train], train)
    found = readout.predict(x[test], test)
    assert all(np.corrcoef(found[:, k], values[test, k])[0, 1] > 0.95 for k in range(3))
    search = readouts("retrieval", targets, discriminant=False)[-1].fit(x[train], train)
    similarity = search.predict(x[test], test)
    assert similarity.shape == (20, 20)
    assert np.abs(similarity).max() <= 1 + 1e-6
    assert (similarity.argmax(1) == np.arange(20)).mean() > 0.9
    assert search.score(x[test], test) > 0.95


def test_classes_without_a_training_trial_have_probability_zero():
    targets = Targets(ids=np.array(["a", "b", "c"]), rows=np.arange(3))
    x, y = np.random.default_rng(0).standard_normal((20, 5)), np.arange(20) % 2
    found = readouts("classes", targets, discriminant=False)[0].fit(x, y).predict(x, y)
    assert found.shape == (20, 3)
    assert not found[:, 2].any()


@pytest.fixture(scope="module")
def planted_run(planted_folder, tmp_path_factory):
    """Make a run of EEGNet on synthetic people, two folds, one step each."""
    import yaml
    from brainfm.finetune.command import main

    out = tmp_path_factory.mktemp("classical")
    settings = {
        "data": {
            "source": {
                "class_path": "brainfm.finetune.recording_sources.Files",
                "init_args": {
                    "root": str(planted_folder),
                    "files": ["*_raw.fif"],
                    "dataset": "synthetic",
                },
            },
            "trials": {"window": [0.0, 1.0]},
            "split": {"by": "subject"},
            "cache": str(planted_folder.parent / "cache"),
        },
        "model": {
            "backbone": {"class_path": "brainfm.finetune.eegnet.EEGNet"},
            "head": {
                "class_path": "brainfm.finetune.classification.Classification",
                "init_args": {"pooling": {"kind": "flat"}},
            },
        },
        "trainer": {
            "max_steps": 1,
            "accelerator": "cpu",
            "devices": 1,
            "enable_progress_bar": False,
        },
    }
    path = out / "asked.yaml"
    path.write_text(yaml.safe_dump(settings))
    main(["fit", "--config", str(path), "--out", str(out / "run")])
    return out / "run"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_decoder_stands_beside_a_run_with_its_folds_and_trials(planted_run):
    from brainfm.finetune.decoded_run import load_run

    beside = run_classical(planted_run, "csp")
    assert beside == planted_run / "baselines" / "csp"
    found, run = load_run(beside), load_run(planted_run)
    assert found.identity == run.identity
    assert found.record.name == "csp"
    output = found.pooled([fold.output for fold in found.folds])
    assert (output.argmax(1) == found.target).mean() > 0.9
    # Run again, nothing is fitted anew.
    before = (beside / "fold-0" / "predictions-test.npz").stat().st_mtime_ns
    run_classical(planted_run, "csp")
    assert (beside / "fold-0" / "predictions-test.npz").stat().st_mtime_ns == before
    for name, words in (
        ("cca", "called by their frequency"),
        ("code_histogram", "needs a checkpoint"),
        ("forest", "no classical decoder 'forest'"),
    ):
        with pytest.raises(ValueError, match=words):
            run_classical(planted_run, name)


def test_a_decoder_of_classes_refuses_other_kinds(tmp_path, monkeypatch):
    from brainfm.finetune import classical

    record = SimpleNamespace(kind="retrieval", n_folds=1)
    monkeypatch.setattr(classical.RunRecord, "load", lambda run: record)
    with pytest.raises(ValueError, match="csp decodes classes, and the run decodes retrieval"):
        run_classical(tmp_path, "csp")
    record.kind = "text"
    with pytest.raises(ValueError, match="make no text"):
        run_classical(tmp_path, "band_power")
