"""Checkpoints by name, from a server on the loopback that speaks the hub's protocol."""

import re
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer

import pytest
import torch
from hub_server import Handler, Hub, sha256

import brainfm
from brainfm import published_models
from brainfm.checkpoints import checkpoint_splits, load_checkpoint, save_checkpoint
from brainfm.cli import main
from brainfm.encoder import Encoder
from brainfm.hub import find_checkpoint, push_checkpoint
from brainfm.published_models import PUBLISHED, REPOSITORY, REVISION, PublishedModel
from brainfm.recording_info import RecordingInfo
from brainfm.samples import sample_paths
from brainfm.splits import SplitConfig, make_split

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def hub(monkeypatch):
    """An empty hub; nothing of this machine's own settings or tokens is used."""
    state = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, state))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tiny_model, tmp_path):
    return save_checkpoint(tiny_model(), tmp_path / "model")


@pytest.fixture
def load(tmp_path):
    return partial(brainfm.from_pretrained, cache_dir=tmp_path / "cache")


def same(a, b):
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(n == m and torch.equal(x, y) for (n, x), (m, y) in pairs)


def test_a_model_comes_from_the_hub_and_then_from_the_cache(hub, folder, load, monkeypatch):
    hub.add_folder("lab/tiny", folder)
    model = load("lab/tiny")
    assert same(model.model, load_checkpoint(folder))
    before = len(hub.requests)
    assert same(load("lab/tiny", offline=True).model, model.model)
    assert len(hub.requests) == before
    # Where the hub does not answer, the cache does.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert same(load("lab/tiny").model, model.model)
    with pytest.raises(FileNotFoundError, match=r"lab/other is no folder here, was not \(wholly\)"):
        load("lab/other")
    with pytest.raises(FileNotFoundError, match="connect once"):
        load("lab/other", offline=True)


def test_nothing_but_the_checkpoint_is_downloaded(hub, folder, load):
    (folder / "optimizer.bin").write_bytes(b"0" * 1000)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    hub.add_folder("lab/tiny", folder)
    load("lab/tiny")
    assert not [request for request in hub.requests if ".bin" in request]


def test_revisions(hub, tiny_model, load, tmp_path):
    first, second = tiny_model(), tiny_model(seed=1)
    commit = hub.add_folder("lab/tiny", save_checkpoint(first, tmp_path / "a"), "v1")
    hub.refs["lab/tiny"]["main"] = commit
    hub.add_folder("lab/tiny", save_checkpoint(second, tmp_path / "b"))
    hub.refs["lab/tiny"]["old"] = commit
    assert same(load("lab/tiny").model, second)
    assert same(load("lab/tiny", revision="v1").model, first)
    assert same(load("lab/tiny", revision=commit).model, first)
    with pytest.raises(ValueError, match="lab/tiny on the hub has no revision v9"):
        load("lab/tiny", revision="v9")
    with pytest.raises(ValueError, match="is a folder, which has no revisions"):
        load(tmp_path / "a", revision="v1")


def test_a_broken_download(hub, folder, load, monkeypatch):
    # The client waits a second before each of its five attempts.
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.add_folder("lab/tiny", folder)
    hub.broken.add("model.safetensors")
    with pytest.raises(OSError, match="the download of lab/tiny broke off") as error:
        load("lab/tiny")
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="wholly"):
        load("lab/tiny", offline=True)
    hub.broken.clear()
    assert same(load("lab/tiny").model, load_checkpoint(folder))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_wrong_digest(hub, folder, load, name):
    hub.add_folder("lab/tiny", folder)
    hub.altered.add(name)
    with pytest.raises(ValueError, match=rf"{name} of lab/tiny is not the file .*digest differs"):
        load("lab/tiny")
    hub.altered.clear()
    assert same(load("lab/tiny").model, load_checkpoint(folder))


def test_files_of_two_checkpoints_in_one_repository(hub, tiny_model, folder, load, tmp_path):
    other = save_checkpoint(tiny_model(seed=1), tmp_path / "other")
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    hub.add_folder("lab/tiny", folder)
    with pytest.raises(ValueError, match=r"is not the file config.json belongs to"):
        load("lab/tiny")


def test_names_that_are_nothing(hub, load):
    hub.commit("lab/bert", {"pytorch_model.bin": b"0", "README.md": b"-"})
    with pytest.raises(FileNotFoundError, match="is no checkpoint of brainfm: it has no config"):
        load("lab/bert")
    with pytest.raises(FileNotFoundError, match="lab/nobody is no folder here, and the hub has no"):
        load("lab/nobody")
    with pytest.raises(
        FileNotFoundError, match=r"is no checkpoint folder .*brainomni-tiny.*export"
    ):
        load("a/folder/that/is/not/there")


def described(tiny_model):
    """A model that knows what it was trained on."""
    infos = [
        RecordingInfo(id=f"r{k}", dataset="d", subject=f"s{k}", sfreq=1.0, n_times=9, digest=str(k))
        for k in range(2)
    ]
    fractions = {"train": 1.0, "validation": 0.0, "test": 0.0}
    model = tiny_model()
    model.splits = (make_split(infos, SplitConfig(fractions=fractions)),)
    return model


def test_what_is_pushed_is_what_is_loaded(hub, tiny_model, load, tmp_path):
    model = described(tiny_model)
    commit = Encoder(model).push_to_hub("lab/mine", message="first")
    assert hub.refs["lab/mine"]["main"] == commit
    loaded = load("lab/mine", revision=commit)
    assert same(loaded.model, model)
    assert loaded.model.splits == model.splits
    files = hub.commits[commit]
    assert files["README.md"].decode().startswith("---\nlibrary_name: brainfm")
    saved = Encoder(model).save_pretrained(tmp_path / "saved")
    assert files == {path.name: path.read_bytes() for path in saved.iterdir()}
    # The next one has no manifest, so none may stay.
    Encoder(tiny_model(seed=1)).push_to_hub("lab/mine")
    assert not [name for name in hub.commits[hub.refs["lab/mine"]["main"]] if "split" in name]
    assert checkpoint_splits(find_checkpoint("lab/mine", cache_dir=tmp_path / "cache")) == []
    push_checkpoint(model, "lab/mine", revision="trial")
    assert same(load("lab/mine", revision="trial").model, model)
    assert same(load("lab/mine").model, tiny_model(seed=1))


def test_a_push_that_is_refused(hub, tiny_model):
    with pytest.raises(OSError, match=r"lab/mine was not uploaded: .*401") as error:
        push_checkpoint(tiny_model(), "lab/mine", token="hf_wrong")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="repo_id must be OWNER/NAME, got 'mine'"):
        push_checkpoint(tiny_model(), "mine")
    assert hub.refs == {}


@pytest.fixture
def published(hub, golden, monkeypatch):
    """The golden model in the place of the published tiny one."""
    files = {
        "tiny/BrainOmni.pt": (golden / "BrainOmni.pt").read_bytes(),
        "tiny/model_cfg.json": (golden / "model_cfg.json").read_bytes(),
    }
    key = hub.commit(REPOSITORY, files | {"base/BrainOmni.pt": b"large"})
    hub.refs[REPOSITORY][REVISION] = key
    hub.commits[REVISION] = hub.commits[key]
    hub.refs[REPOSITORY] = {"main": REVISION}
    hashes = {name.removeprefix("tiny/"): sha256(content) for name, content in files.items()}
    table = {**PUBLISHED, "brainomni-tiny": PublishedModel(folder="tiny", sha256=hashes)}
    monkeypatch.setattr("brainfm.hub.PUBLISHED", table)
    return hub


def test_a_published_model_by_name(published, golden, load, tmp_path):
    model = load("brainomni-tiny")
    expected = load_checkpoint(brainfm.import_brainomni(golden / "BrainOmni.pt", tmp_path / "own"))
    assert same(model.model, expected)
    assert model.model.record == expected.record
    assert model.model.record.input_contract == "brainomni"
    assert not [request for request in published.requests if "base/" in request]
    before = len(published.requests)
    assert same(load("brainomni-tiny", offline=True).model, expected)
    assert len(published.requests) == before


def test_it_is_imported_once(published, load, monkeypatch):
    load("brainomni-tiny")

    def again(*args):
        raise AssertionError("imported again")

    monkeypatch.setattr("brainfm.brainomni_import.import_brainomni", again)
    load("brainomni-tiny")
    # Another way of importing makes another checkpoint.
    monkeypatch.setattr(published_models, "IMPORT", "another")
    with pytest.raises(AssertionError, match="imported again"):
        load("brainomni-tiny")


def test_a_published_folder(golden, load, tmp_path):
    source = tmp_path / "BrainOmni_tiny"
    source.mkdir()
    for name in ("BrainOmni.pt", "model_cfg.json"):
        (source / name).write_bytes((golden / name).read_bytes())
    model = load(source)
    assert model.model.masked_model is not None
    (source / "BrainOmni.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds neither BrainOmni.pt nor"):
        load(source)


def test_published_files_that_are_others(published, load):
    files = published.commits[REVISION]
    files["tiny/BrainOmni.pt"] = files["tiny/BrainOmni.pt"][::-1]
    with pytest.raises(ValueError, match=r"BrainOmni.pt of OpenTSLab/BrainOmni is not the file"):
        load("brainomni-tiny")


def test_the_table_of_published_models_is_whole():
    assert set(PUBLISHED) == {"brainomni-tiny", "brainomni-base", "braintokenizer"}
    for model in PUBLISHED.values():
        assert len(model.sha256) == 2
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in model.sha256.values())


def test_commands_take_names(published, golden, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BRAINFM_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    muse = next(path for path in sample_paths() if path.name == "muse.edf")
    out = tmp_path / "features.h5"
    assert main(["encode", "brainomni-tiny", str(muse), "--out", str(out)]) == 0
    assert out.is_file()
    assert main(["import-brainomni", "brainomni-tiny", str(tmp_path / "copy")]) == 0
    assert load_checkpoint(tmp_path / "copy").record.input_contract == "brainomni"
    capsys.readouterr()
    assert main(["encode", "lab/nobody", str(muse), "--out", str(out)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_without_the_client(folder, load, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert load(folder).model is not None
    with pytest.raises(ImportError, match=r"pip install 'brainfm-toolkit\[hub\]'"):
        load("lab/tiny")
