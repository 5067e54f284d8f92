"""The bundled checkpoint: there without a network, whole, small, and never a fresh model."""

import json
import shutil
import socket

import mne
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

import brainfm
from brainfm.checkpoints import BrainModel, load_checkpoint, read_config
from brainfm.cli import main
from brainfm.encoder import Encoder
from brainfm.hub import BUNDLED, NANO, find_checkpoint
from brainfm.samples import sample_paths

FOLDER = BUNDLED[NANO]
HELD_OUT = next(path for path in sample_paths() if path.name == "eegmmidb_2.edf")
"""Run 2 of eegmmidb, eyes closed: on the test side."""


@pytest.fixture
def nano():
    return brainfm.from_pretrained("nano")


def test_it_is_the_folder_loaded_strictly_without_a_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    by_name, by_folder = brainfm.from_pretrained("nano"), load_checkpoint(FOLDER)
    assert by_name.model.record == by_folder.record
    tensors = by_folder.state_dict()
    assert by_name.model.state_dict().keys() == tensors.keys()
    for name, tensor in by_name.model.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


def hidden_loss(masked, codes):
    """Cross-entropy, nats, of the first level of a quarter of the tokens, which are hidden."""
    hidden = torch.rand(codes.shape[:3], generator=torch.Generator().manual_seed(0)) < 0.25
    with torch.inference_mode():
        logits = masked(codes, hidden)
    return F.cross_entropy(logits[hidden][:, 0], codes[hidden][:, 0]).item()


def test_it_is_no_fresh_model(nano):
    """It predicts hidden codes of a recording that it never saw; new weights do not."""
    codes = nano.tokenize(HELD_OUT).values[:40].astype(np.int64)
    tokens = rearrange(torch.from_numpy(codes), "p n q -> 1 n p q")
    torch.manual_seed(0)
    fresh = BrainModel(nano.model.record)
    fresh.tokenizer.load_state_dict(nano.model.tokenizer.state_dict())
    fresh.share_codes()
    uniform = np.log(nano.model.masked_model.codebook_size)
    assert hidden_loss(fresh.eval().masked_model, tokens) > uniform - 0.1
    assert hidden_loss(nano.model.masked_model, tokens) < uniform - 0.3
    training = nano.model.record.training
    assert all(training[stage]["steps"] > 100 for stage in ("tokenizer", "masked_model"))


def test_it_is_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 8_000_000


@pytest.mark.parametrize("path", sample_paths(), ids=lambda path: path.stem)
def test_features_of_the_samples_are_finite(nano, path):
    features = nano.encode(path)
    assert np.isfinite(features.values).all()
    assert features.values.std() > 0
    assert len(features.values) == len(features.times)


def test_a_damaged_copy_is_refused(tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(FOLDER, copy)
    path = copy / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="digest differs"):
        brainfm.from_pretrained(copy)
    where = ("--out", str(tmp_path / "features.h5"))
    capsys.readouterr()
    assert main(["encode", str(copy), str(sample_paths()[-1]), *where]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "digest differs" in line]
    assert len(lines) == 1


def test_the_card_says_what_it_is():
    card = (FOLDER / "README.md").read_text()
    for heading in (
        "Input contract",
        "Training",
        "Fidelity",
        "Hidden codes",
        "Linear probes",
        "Sources",
        "How it was made",
        "Limits",
    ):
        assert f"\n## {heading}\n" in card, heading
    assert "Does pretraining help features?" in card
    for dataset in read_config(FOLDER)["training"]["tokenizer"]["datasets"]:
        assert dataset["licence"] != "unknown"
        assert dataset["hours"] > 0
        assert f"| {dataset['name']} | " in card


def test_its_split_is_beside_it_and_holds_nothing_out_twice(nano):
    (split,) = nano.model.splits
    digest = nano.model.record.training["tokenizer"]["split_digest"]
    assert split.digest == digest == nano.model.record.training["masked_model"]["split_digest"]
    sides = {side: {entry.id for entry in entries} for side, entries in split.sides.items()}
    assert not sides["train"] & (sides["validation"] | sides["test"])
    assert sides["test"]


def test_a_folder_of_that_name_is_no_obstacle_unless_it_is_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nano").mkdir()
    assert find_checkpoint("nano") == FOLDER
    shutil.copytree(FOLDER, tmp_path / "nano", dirs_exist_ok=True)
    assert find_checkpoint("nano").resolve() == tmp_path / "nano"


def test_it_has_no_revisions():
    with pytest.raises(ValueError, match="nano is bundled and has no revisions"):
        brainfm.from_pretrained("nano", revision="main")


def test_a_name_that_is_nothing_tells_of_it():
    with pytest.raises(FileNotFoundError, match=r"not the bundled model \(nano\)"):
        brainfm.from_pretrained("nanno")


@pytest.fixture
def corpus(tmp_path, capsys):
    """A corpus of one short recording, as nano wants it."""
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fz", "Cz", "Pz", "Oz"], 256, "eeg")
    raw = mne.io.RawArray(2e-5 * rng.standard_normal((4, 2560)), info, verbose="error")
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    where = ("--out", str(tmp_path / "corpus"))
    assert main(["prepare", str(tmp_path / "a_raw.fif"), *where]) == 0
    return tmp_path / "corpus"


def test_codes_and_training_take_the_name(nano, corpus, tmp_path):
    from brainfm.codes import CodeCorpus
    from brainfm.online_codes import OnlineCodes

    out = tmp_path / "codes"
    assert main(["codes", str(corpus), "--tokenizer", "nano", "--out", str(out)]) == 0
    stored, online = CodeCorpus(out), OnlineCodes(corpus, "nano")
    assert stored.codes_digest == online.codes_digest == read_config(FOLDER)["codes_digest"]
    n = int(stored.n_frames[0])
    assert np.array_equal(stored.read(0, 0, n), online.read(0, 0, n))


def test_a_fidelity_card_takes_the_name(corpus, tmp_path):
    split = ("--by", "recording", "--fractions", "train=0", "validation=0", "test=1")
    assert main(["corpus", "split", str(corpus), *split]) == 0
    out = tmp_path / "card"
    assert main(["tokenizer", "card", "nano", str(corpus), "--out", str(out)]) == 0
    card = json.loads((out / "card.json").read_text())
    assert card["codes_digest"] == read_config(FOLDER)["codes_digest"]


def test_saving_it_again_gives_the_same_files(nano, tmp_path):
    nano.save_pretrained(tmp_path)
    for name in ("model.safetensors", "README.md"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
    assert isinstance(brainfm.from_pretrained(tmp_path), Encoder)
