"""Checkpoints by name, from a server on the loopback that speaks the hub's protocol."""

import base64
import hashlib
import json
import re
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

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
LARGE = (".safetensors", ".pt")


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Hub:
    """Repositories in memory: commits by revision, files by commit, and how downloads go wrong."""

    def __init__(self):
        self.refs, self.commits, self.uploads = {}, {}, {}
        self.broken, self.altered, self.requests = set(), set(), []

    def commit(self, repo, files, revision="main"):
        described = sorted((name, sha256(content)) for name, content in files.items())
        key = hashlib.sha1(json.dumps([repo, described]).encode()).hexdigest()
        self.commits[key] = dict(files)
        self.refs.setdefault(repo, {})[revision] = key
        return key

    def add_folder(self, repo, folder, revision="main", under=""):
        files = {under + p.name: p.read_bytes() for p in Path(folder).iterdir() if p.is_file()}
        return self.commit(repo, files, revision)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub, *rest):
        self.hub = hub
        super().__init__(*rest)

    def log_message(self, *args):
        pass

    def answer(self, status, value=None, body=None, **headers):
        body = json.dumps(value).encode() if body is None else body
        self.send_response(status)
        for name, text in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, what):
        self.answer(404, {"error": what}, X_Error_Code=what)

    def find(self, repo, revision):
        """Return the commit, or None after the answer was sent."""
        if repo not in self.hub.refs:
            return self.missing("RepoNotFound")
        refs = self.hub.refs[repo]
        key = refs.get(revision, revision if revision in refs.values() else None)
        return key if key else self.missing("RevisionNotFound")

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.hub.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            if key := self.find(found[1], found[2] or "main"):
                siblings = [{"rfilename": name} for name in self.hub.commits[key]]
                self.answer(200, {"id": found[1], "sha": key, "siblings": siblings})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            if key := self.find(found[1], found[2]):
                self.answer(200, [self.entry(*i) for i in self.hub.commits[key].items()])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            if key := self.find(found[1], found[2]):
                self.file(key, found[3])
        else:
            self.missing("EntryNotFound")

    def entry(self, name, content):
        values = {"type": "file", "path": name, "size": len(content), "oid": self.git(content)}
        if name.endswith(LARGE):
            values["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
        return values

    def git(self, content):
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def file(self, key, name):
        content = self.hub.commits[key].get(name)
        if content is None:
            return self.missing("EntryNotFound")
        tag = sha256(content) if name.endswith(LARGE) else self.git(content)
        headers = {"ETag": f'"{tag}"', "X_Repo_Commit": key, "Accept_Ranges": "none"}
        if name in self.hub.altered:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if name in self.hub.broken and self.command == "GET":
            headers["Content_Length"] = str(len(content))
            self.answer(200, body=content[: len(content) // 2], **headers)
            self.close_connection = True
            return None
        return self.answer(200, body=content, **headers)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.partition("?")[0]
        host = f"http://{self.headers['Host']}"
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self.answer(401, {"error": "Invalid credentials"})
        if path == "/api/repos/create":
            values = json.loads(body)
            name = f"{values['organization']}/{values['name']}"
            if name not in self.hub.refs:
                self.hub.commit(name, {})
            return self.answer(200, {"url": f"{host}/{name}"})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if found := re.fullmatch(r"/api/models/(.+)/branch/(.+)", path):
            refs = self.hub.refs[found[1]]
            refs.setdefault(found[2], refs["main"])
            return self.answer(200, {})
        if "/preupload/" in path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{host}/upload/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        if found := re.fullmatch(r"/api/models/(.+)/commit/(.+)", path):
            return self.take(found[1], found[2], body, host)
        return self.missing("EntryNotFound")

    def do_PUT(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.uploads[self.path.rsplit("/", 1)[-1]] = content
        self.answer(200, {})

    def take(self, repo, revision, body, host):
        files = dict(self.hub.commits[self.hub.refs[repo][revision]])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        key = self.hub.commit(repo, files, revision)
        self.answer(200, {"commitUrl": f"{host}/{repo}/commit/{key}", "commitOid": key})


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
