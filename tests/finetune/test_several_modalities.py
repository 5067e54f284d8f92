"""One model of synthetic EEG and voxels that answer to the same pictures."""

import json
import re
from pathlib import Path

import mne
import numpy as np
import pytest
import torch
from brainfm.finetune.data import DecodingData
from brainfm.finetune.eegnet import EEGNet, EEGNetConfig
from brainfm.finetune.modalities import MODALITY, SeveralProcessing, modality_of
from brainfm.finetune.picture_features import PictureFeatures
from brainfm.finetune.recording_sources import ArrayRecording, Arrays
from brainfm.finetune.several_backbones import Several, part_of
from brainfm.finetune.several_sources import Modalities
from brainfm.finetune.trial_batch import TrialBatch
from brainfm.finetune.voxel_pictures import PictureVoxels
from brainfm.finetune.voxels import Voxels
from shown_commands import documented

from brainfm.cli import main
from brainfm.montage import sensors_by_name
from brainfm.processing_config import ProcessingConfig
from brainfm.trial_events import Event, content_id
from brainfm.trial_splits import TrialSplitConfig

CHANNELS = ["Fz", "Cz", "Pz", "Oz"]
N_PICTURES = 12
FILES = {"file": "features.npy", "names": "names.txt"}
NAMES = [f"image-{k:05d}" for k in range(N_PICTURES)]


def eeg(rng, subject="a"):
    events = [
        Event(onset=1.0 + k, name="picture", stimulus=content_id(name))
        for k, name in enumerate(NAMES)
    ]
    return ArrayRecording(
        id=f"eeg-{subject}",
        array=1e-5 * rng.standard_normal((len(CHANNELS), 256 * (N_PICTURES + 3))),
        sfreq=256.0,
        sensors=sensors_by_name(CHANNELS),
        events=events,
        subject=subject,
    )


def write_pictures(root, names, people=(("01", 5), ("02", 7))):
    """Features of pictures, and voxels that are mixtures of them, twice for each person."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((len(names), 4)).astype(np.float32)
    np.save(root / "features.npy", features)
    (root / "names.txt").write_text("\n".join(names))
    for subject, n_voxels in people:
        mix = rng.standard_normal((4, n_voxels))
        np.save(root / f"sub-{subject}_responses.npy", np.tile(features @ mix, (2, 1)))
        rows = [f"{name}\t{session}" for session in (1, 2) for name in names]
        (root / f"sub-{subject}_trials.tsv").write_text(
            "\n".join(["picture\tsession", *rows]) + "\n"
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("several")
    write_pictures(root, NAMES)
    return root


def sources(folder, **more):
    rng = np.random.default_rng(1)
    arrays = Arrays([eeg(rng), eeg(rng, "b")], synthetic=True)
    voxels = PictureVoxels(str(folder), "table", ["01", "02"])
    return Modalities({"eeg": arrays, "fmri": voxels}, **more)


def backbone(**settings):
    torch.manual_seed(0)
    small = EEGNetConfig(filters=2, spatial=1, kernel=16, late_kernel=4, dropout=0.0)
    return Several({"fmri": Voxels(width=3), "eeg": EEGNet(small)}, width=6, **settings)


@pytest.fixture(scope="module")
def data(folder):
    found = DecodingData(
        source=sources(folder),
        split=TrialSplitConfig(by="stimulus", folds=3),
        targets=PictureFeatures(str(folder / "features.npy"), str(folder / "names.txt")),
        fold=0,
        batch_size=8,
        cache=str(folder / "cache"),
    )
    found.prepare(backbone().processing)
    return found


def test_every_batch_is_of_one_modality_and_every_trial_in_one(data):
    assert len(data.trials) == 2 * N_PICTURES + 4 * N_PICTURES
    assert data.synthetic
    column = np.array(data.columns[MODALITY])
    assert {name: int((column == name).sum()) for name in ("eeg", "fmri")} == {
        "eeg": 24,
        "fmri": 48,
    }
    seen = []
    for batch in data.side_batches("all"):
        (there,) = set(column[batch.trial.numpy()].tolist())
        # EEGNet asks for 128 Hz; responses are a second long by convention.
        assert batch.signal.x.shape[2] == (128 if there == "eeg" else 1)
        seen += batch.trial.tolist()
    assert sorted(seen) == list(range(len(data.trials)))
    assert not data.findings


def test_batches_of_modalities_take_turns_in_training_and_can_be_resumed(data):
    stream = data._stream("train", 0, 1, shuffle=True)
    column = np.array(data.columns[MODALITY])
    orders = []
    for _ in range(2):
        orders.append([column[batch.trial[0]] for batch in stream])
    assert orders[0] != orders[1] or orders[0] != sorted(orders[0])
    again = data._stream("train", 0, 1, shuffle=True)
    again.load_state_dict({"trials": again.digest, "epoch": 1, "step": 0})
    assert [column[batch.trial[0]] for batch in again] == orders[1]


def test_an_example_has_all_modalities_and_loses_its_padding_again(data):
    found = data.example
    column = np.array(data.columns[MODALITY])[found.trial.numpy()]
    assert set(column.tolist()) == {"eeg", "fmri"}
    for name in ("eeg", "fmri"):
        rows = np.flatnonzero(column == name)
        part = part_of(found, rows.tolist())
        alone = data.reader.batch(found.trial.numpy()[rows], features=None)
        for one, other in zip(part.signal, alone.signal, strict=True):
            torch.testing.assert_close(one, other, equal_nan=True)


def test_features_of_a_trial_depend_on_its_own_modality_alone(data):
    model = backbone()
    model.build(data.example, len(data.subjects))
    model.eval()
    mixed = model(data.example)
    assert mixed.shape == (len(data.example.trial), 1, 1, 6)
    column = np.array(data.columns[MODALITY])[data.example.trial.numpy()]
    rows = np.flatnonzero(column == "fmri")
    alone = model(data.reader.batch(data.example.trial.numpy()[rows], features=None))
    torch.testing.assert_close(mixed[rows], alone)
    alone.sum().backward()
    assert model.encoders["fmri"].maps.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.encoders["eeg"].parameters())
    listed = [p for layer in model.layers() for p in layer]
    assert {id(p) for p in listed} == {id(p) for p in model.parameters()}
    assert len(listed) == len({id(p) for p in listed})


def test_a_frozen_encoder_stays_as_it_is(data):
    model = backbone(frozen=["eeg"])
    model.build(data.example, len(data.subjects))
    model.train()
    assert not model.encoders["eeg"].training
    assert model.encoders["fmri"].training
    listed = {id(p) for layer in model.layers() for p in layer}
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    assert listed == trained
    assert not listed & {id(p) for p in model.encoders["eeg"].parameters()}


def test_a_delay_moves_the_events_of_its_modality(folder, tmp_path):
    processing = backbone().processing
    _, plain = sources(folder).prepare(tmp_path, processing)
    _, later = sources(folder, delays={"eeg": 0.25}).prepare(tmp_path, processing)
    for (info, events), (_, moved) in zip(plain, later, strict=True):
        expected = 0.25 if "eeg" in info.id else 0.0
        assert {b.onset - a.onset for a, b in zip(events, moved, strict=True)} == {expected}


def test_what_does_not_go_together_is_told_in_words(folder, tmp_path):
    eeg_only = SeveralProcessing(each={"eeg": ProcessingConfig()})
    with pytest.raises(ValueError, match="each modality needs both"):
        sources(folder).prepare(tmp_path, eeg_only)
    with pytest.raises(ValueError, match=r"set model\.backbone to .*Several"):
        sources(folder).prepare(tmp_path, ProcessingConfig())
    with pytest.raises(ValueError, match=r"set data\.source to .*Modalities"):
        Arrays([eeg(np.random.default_rng(0))]).prepare(tmp_path, eeg_only)
    wrong = Modalities({"meg": Arrays([eeg(np.random.default_rng(0))])})
    meg = SeveralProcessing(each={"meg": ProcessingConfig()})
    with pytest.raises(ValueError, match="recording eeg-a is eeg, but its source is that of meg"):
        wrong.prepare(tmp_path, meg)
    with pytest.raises(ValueError, match="must name modalities among eeg, meg, ieeg, fmri"):
        Modalities({"pet": Arrays([])})
    with pytest.raises(ValueError, match="delays name fmri, which has no source"):
        Modalities({"eeg": Arrays([])}, delays={"fmri": 4.0})
    with pytest.raises(ValueError, match="frozen names meg"):
        backbone(frozen=["meg"])
    with pytest.raises(ValueError, match="eeg and meg"):
        modality_of(["eeg", "mag"])


def test_a_batch_of_a_modality_without_an_encoder_is_refused(data):
    model = Several({"fmri": Voxels(width=3)}, width=6)
    column = np.array(data.columns[MODALITY])[data.example.trial.numpy()]
    fmri: TrialBatch = part_of(data.example, np.flatnonzero(column == "fmri").tolist())
    model.build(fmri, len(data.subjects))
    with pytest.raises(
        ValueError, match=r"a trial is of eeg, which model.backbone does not encode"
    ):
        model(data.example)


@pytest.mark.slow
def test_voxels_are_decoded_beside_eeg_of_noise_by_the_command(tmp_path, capsys):
    names = [f"image-{k:05d}" for k in range(40)]
    write_pictures(tmp_path, names, people=(("01", 8),))
    rng, stem = np.random.default_rng(5), tmp_path / "sub-01_task-synthetic"
    with mne.use_log_level("ERROR"):
        info = mne.create_info(CHANNELS, 256.0, "eeg")
        raw = mne.io.RawArray(1e-5 * rng.standard_normal((4, 256 * 43)), info)
        raw.set_montage("standard_1020")
        raw.save(f"{stem}_raw.fif")
    rows = [f"{1.0 + k}\t1\tpicture\t{name}" for k, name in enumerate(names)]
    table = "\n".join(["onset\tduration\ttrial_type\tstim_file", *rows])
    Path(f"{stem}_events.tsv").write_text(table + "\n")
    source = "--data.source.init_args.sources"
    words = [f"{source}.{name}.init_args.root={tmp_path}" for name in ("eeg", "fmri")]
    words += [f"{source}.fmri.init_args.subjects=['01']"]
    words += [f"--data.targets.init_args.{n}={tmp_path / f}" for n, f in FILES.items()]
    words += ["--data.split.folds=2", "--model.optimizer.lr=1e-2", "--data.batch_size=32"]
    words += ["--trainer.max_epochs=25", "--trainer.accelerator=cpu"]
    run = tmp_path / "run"
    line = documented("docs/fmri.md: brainfm finetune fit --config several_modalities")
    assert main([*line, *words, "--out", str(run)]) == 0
    said = re.findall(r"^ *(eeg|fmri) +(\d+) +([\d.]+)$", capsys.readouterr().out, re.MULTILINE)
    value = {name: float(score) for name, _, score in said}
    # Galleries of twenty pictures: top-2 by chance is .1; 80 trials of fMRI, 40 of EEG.
    assert value["fmri"] > 0.3
    assert value["eeg"] < 0.3
    beside = ["--controls", "prior_only", "--baselines", "none", "--occlusion-trials", "0"]
    assert main(["evaluate", str(run), *beside]) == 0
    found = json.loads((run / "evaluation/evaluation.json").read_text())["details"]["modalities"]
    assert [one["name"].split(", ")[1] for one in found] == ["eeg", "fmri"]
    assert [one["n_trials"] for one in found] == [40, 80]
    assert [one["value"] for one in found] == pytest.approx([value["eeg"], value["fmri"]], abs=1e-3)
    assert "Every modality by itself" in (run / "evaluation/report.html").read_text()
