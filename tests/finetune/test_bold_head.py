"""Planted coupling of rhythms and BOLD is found, with its lags, and nothing where there is none."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from brainfm.finetune.adaptation import AdaptationConfig
from brainfm.finetune.backbone import Backbone, FeatureShape
from brainfm.finetune.bold_head import BandPower, BoldHead
from brainfm.finetune.bold_sources import Volumes
from brainfm.finetune.bold_targets import BoldTargets
from brainfm.finetune.data import DecodingData
from brainfm.finetune.lag_layers import LagConfig
from brainfm.finetune.module import DecodingModule
from brainfm.finetune.predicting import predict_side
from brainfm.finetune.recording_sources import ArrayRecording, Arrays
from brainfm.finetune.series_measures import Series, mean_r, region_r
from brainfm.finetune.series_nulls import of_others
from brainfm.finetune.targets import Targets
from einops import rearrange
from lightning import Trainer

from brainfm.montage import sensors_by_name
from brainfm.optimisation import OptimizerConfig
from brainfm.processing_config import ProcessingConfig
from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_bold import make_bold
from brainfm.trial_events import Event
from brainfm.trial_splits import TrialSplitConfig
from brainfm.trials import TrialConfig

CHANNELS = ("Fz", "C3", "C4", "Pz", "O1", "O2")
LAGS = np.array([0.2, 1.0, 1.8])
COUPLINGS = np.array([1.0, -1.0, 1.2])
SFREQ, TR, FRAME = 64.0, 2.0, 64
WINDOW = (-20.0, 0.0)
PROCESSING = ProcessingConfig(sfreq=SFREQ, l_freq=1.0, h_freq=25.0, notch=False, detect_bad=False)
LEVELS = (100.0, 400.0)
"""Of the BOLD of recordings, which must not matter."""


class Waveforms(Backbone):
    """The sensors as they are; nothing is learned."""

    digest = "waveforms"
    processing = PROCESSING

    def build(self, example: Any, n_subjects: int) -> None:
        """Need nothing."""

    def forward(self, batch: Any) -> Any:
        """Return (B, P, C, FRAME)."""
        return rearrange(batch.signal.x, "b c (p d) -> b p c d", d=FRAME)

    def layers(self) -> list:
        """Return no weights."""
        return []


def people(
    folder: Path, *, subjects: int = 6, duration: float = 600.0, noise: float = 1.0, seed: int = 0
) -> list[ArrayRecording]:
    """Write ``sub-K_bold.tsv`` of every person and return their recordings.

    All have the same lags and couplings; each has rhythms of its own.
    """
    cfg = SimulationConfig(
        duration=duration, sfreq=SFREQ, tr=TR, bold_rois=3, bold_snr=6.0, snr_high=25.0
    )
    mixing = np.zeros((len(CHANNELS), 3))
    mixing[[0, 2, 4], [0, 1, 2]] = 1.0
    mixing[[1, 3, 5], [0, 1, 2]] = -1.0
    found = []
    for k in range(subjects):
        rng = np.random.default_rng([seed, k])
        bold = make_bold(cfg, LAGS, COUPLINGS, generator=rng)
        x = mixing @ bold.rhythms + noise * rng.standard_normal((len(CHANNELS), cfg.n_times))
        level = LEVELS[k % 2]
        rows = [
            f"{t:.3f}\t" + "\t".join(f"{v:.6f}" for v in row + level)
            for t, row in zip(bold.times, bold.series, strict=True)
        ]
        (folder / f"sub-{k}_bold.tsv").write_text("\n".join(["time\tA\tB\tC", *rows]) + "\n")
        found.append(
            ArrayRecording(
                id=f"sub-{k}",
                array=1e-5 * x,
                sfreq=SFREQ,
                sensors=sensors_by_name(CHANNELS),
                events=[Event(onset=t, name="R128") for t in bold.times.tolist()],
                dataset="synthetic",
                subject=f"s{k}",
            )
        )
    return found


def bold_data(folder: Path, recordings: list[ArrayRecording], **settings: Any) -> DecodingData:
    """Return data of the volumes of some recordings, leaving one subject out."""
    defaults: dict[str, Any] = {
        "source": Volumes(Arrays(recordings, synthetic=True), TR, "R128"),
        "targets": BoldTargets("{id}_bold.tsv", TR, str(folder)),
        "trials": TrialConfig(window=WINDOW, outside="drop"),
        "split": TrialSplitConfig(by="subject"),
        "fold": 0,
        "batch_size": 64,
        "cache": str(folder / "cache"),
    }
    return DecodingData(**(defaults | settings))


BANDS = [(4.0, 8.0), (8.0, 13.0), (13.0, 20.0)]


def trained(data: DecodingData, head: BoldHead, steps: int = 150) -> DecodingModule:
    """Return a module trained on the training side."""
    torch.manual_seed(0)
    module = DecodingModule(
        Waveforms(), head, AdaptationConfig(kind="frozen"), OptimizerConfig(lr=2e-2, warmup_steps=5)
    )
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        max_steps=steps,
    )
    trainer.fit(module, datamodule=data)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bold")


@pytest.fixture(scope="module")
def recordings(folder):
    return people(folder)


@pytest.fixture(scope="module")
def decoded(folder, recordings):
    """A trained module with a free response, its data, and predictions of the unseen subject."""
    data = bold_data(folder, recordings)
    module = trained(data, BoldHead(LagConfig(kind="fir"), BANDS))
    return SimpleNamespace(module=module, data=data, test=predict_side(module, data, "test"))


def test_the_bold_of_an_unseen_person_is_decoded(decoded):
    assert mean_r(decoded.test.output, decoded.test.truth) > 0.5
    assert region_r(decoded.test.output, decoded.test.truth).min() > 0.5


def test_lags_are_recovered_within_half_a_second(decoded):
    assert np.abs(decoded.module.head.lags() - LAGS).max() < 0.5


def test_turned_truth_and_another_person_are_not_decoded(decoded):
    found = decoded.test
    n = len(found.trial)
    rng = np.random.default_rng(0)
    series = Series(
        output=found.output.astype(float),
        truth=found.truth.astype(float),
        parts=(np.arange(n),),
        part=np.zeros(n, np.int64),
        onsets=2.0 * np.arange(n),
    )
    turned = [mean_r(series.output, series.turned(rng)) for _ in range(200)]
    # 10 minutes of a slow signal are worth some dozens of independent volumes.
    assert abs(np.mean(turned)) < 0.1
    assert np.percentile(turned, 95) < 0.35
    train = predict_side(decoded.module, decoded.data, "train")
    subjects = decoded.data.trials.units("subject")[train.trial]
    others = [train.truth[subjects == who] for who in np.unique(subjects)]
    foreign = [mean_r(found.output[: len(other)], other[:n]) for other in others]
    assert abs(np.mean(foreign)) < 0.15
    assert len(foreign) == 4


def test_the_canonical_response_with_its_derivative_finds_the_lags_too(folder, recordings):
    data = bold_data(folder, recordings)
    module = trained(data, BoldHead(LagConfig(derivatives=1), BANDS), steps=200)
    found = predict_side(module, data, "test")
    assert mean_r(found.output, found.truth) > 0.5
    assert np.abs(module.head.lags() - LAGS).max() < 0.5


def test_attention_decodes_without_a_response(folder, recordings):
    data = bold_data(folder, recordings)
    module = trained(data, BoldHead(LagConfig(kind="query"), BANDS), steps=60)
    found = predict_side(module, data, "test")
    assert mean_r(found.output, found.truth) > 0.5
    with pytest.raises(ValueError, match="no lag"):
        module.head.lags()


def test_the_level_of_a_recording_does_not_matter(decoded):
    head, targets = decoded.module.head, decoded.data.targets
    rows = torch.from_numpy(decoded.data.indices("train"))
    z = head._standardised(rows)
    subjects = decoded.data.trials.units("subject")[rows.numpy()]
    for who in np.unique(subjects):
        of = z[torch.from_numpy(subjects == who)]
        assert of.mean(0).abs().max() < 1e-2
        assert torch.allclose(of.std(0), torch.ones(3), atol=1e-2)
    # Levels of 100 and 400 percent are still in the targets themselves.
    assert np.ptp(targets.values[:, 0]) > 250


def test_training_statistics_know_no_test_volume(folder, recordings):
    split = TrialSplitConfig(by="time", folds=3, gap=20.0)
    data = bold_data(folder, recordings[:1], split=split)
    data.prepare(PROCESSING)
    train = data.targets.rows[data.indices("train")]
    head, same = (BoldHead(LagConfig(kind="fir")) for _ in range(2))
    head.build(FeatureShape(20, 6, 64), data.targets, training=train)
    changed = data.targets.values.copy()
    changed[data.indices("test")] += 1000.0
    other = Targets(**{**vars(data.targets), "values": changed})
    same.build(FeatureShape(20, 6, 64), other, training=train)
    assert torch.equal(head.means, same.means)
    assert torch.equal(head.deviations, same.deviations)


def test_power_is_that_of_a_sine_in_its_band_and_step():
    shape = FeatureShape(4, 1, 64)
    power = BandPower(shape, (-4.0, 0.0), ((4.0, 8.0), (8.0, 13.0)), 1.0)
    times = torch.arange(4 * 64) / 64
    wave = 2.0 * torch.sin(2 * torch.pi * 10.0 * times) * (times >= 2.0)
    power.norm = torch.nn.Identity()
    found = power(rearrange(wave, "(p d) -> 1 p 1 d", d=64)).exp()
    # Half the squared amplitude, within the rhythm's two steps; the window is Hann's.
    assert found[0, 2:, 0, 1].tolist() == pytest.approx([2.0, 2.0], rel=1e-3)
    assert found[0, :2].max() < 1e-5
    assert found[0, 2:, 0, 0].max() < 1e-5


def test_bands_that_features_do_not_have_are_refused():
    with pytest.raises(ValueError, match=r"band \(8.0, 13.0\) Hz holds no frequency"):
        BandPower(FeatureShape(20, 4, 1), (-20.0, 0.0), ((8.0, 13.0),), 1.0)


def test_targets_that_are_no_series_are_refused():
    targets = Targets(ids=np.array(["a"]), rows=np.zeros(1, np.int64), values=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="BoldTargets"):
        BoldHead().build(FeatureShape(4, 1, 8), targets, training=np.zeros(1, np.int64))


def test_ridge_is_refused_in_words(decoded):
    with pytest.raises(ValueError, match="lagged_power"):
        decoded.module.head.ridge_targets()


def test_pairs_of_people_are_compared_once_in_each_direction():
    n = 40
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((2 * n, 2))
    parts = (np.arange(n), np.arange(n, 2 * n))
    series = Series(
        output=truth[np.r_[n : 2 * n, 0:n]],  # each says what the other one shows
        truth=truth,
        parts=parts,
        part=np.repeat([0, 1], n),
        onsets=np.tile(2.0 * np.arange(n), 2),
    )
    run: Any = SimpleNamespace(subjects=np.repeat(["a", "b"], n))
    assert list(of_others(run, series)) == pytest.approx([1.0, 1.0], abs=1e-5)
    run.subjects[:] = "a"
    assert list(of_others(run, series)) == []
