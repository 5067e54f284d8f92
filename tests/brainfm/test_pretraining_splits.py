"""A checkpoint tells by itself what it was trained on."""

import json
from dataclasses import replace

import pytest
import torch

from brainfm.checkpoints import (
    BrainModel,
    checkpoint_splits,
    copy_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from brainfm.export import export_run
from brainfm.pretraining_overlap import pretraining_overlap
from brainfm.pretraining_splits import (
    collect_splits,
    keep_split,
    missing_splits,
    read_kept_split,
    split_file,
)
from brainfm.recording_info import RecordingInfo
from brainfm.splits import SplitConfig, make_split
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event
from brainfm.trials import TrialConfig

EVERYTHING = SplitConfig(fractions={"train": 1.0, "validation": 0.0, "test": 0.0})


def info(key, subject):
    return RecordingInfo(
        id=key, dataset="d", subject=subject, sfreq=100.0, n_times=1000, digest=f"c-{key}"
    )


def split_of(*keys):
    return make_split([info(key, f"s-{key}") for key in keys], EVERYTHING)


FIRST, SECOND = split_of("p0", "p1"), split_of("p0", "p2")


def trained(tiny_model, first=FIRST, second=SECOND):
    model = tiny_model()
    training = {
        "tokenizer": {"split_digest": first.digest, "hours": 1.5, "subjects": 2},
        "masked_model": {"split_digest": second.digest},
        "context_frames": 12,
    }
    made = BrainModel(replace(model.record, training=training), (first, second))
    made.load_state_dict(model.state_dict())
    return made.eval()


@pytest.fixture
def folder(tiny_model, tmp_path):
    return save_checkpoint(trained(tiny_model), tmp_path / "model")


def test_the_splits_come_back_from_the_folder_alone(folder):
    assert checkpoint_splits(folder) == [FIRST, SECOND]
    assert load_checkpoint(folder).splits == (FIRST, SECOND)


def test_saving_what_was_loaded_gives_the_same_files(folder, tmp_path):
    again = save_checkpoint(load_checkpoint(folder), tmp_path / "again")
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    assert len([name for name in names if name.startswith("split-")]) == 2
    for name in names:
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name


def test_a_copy_has_the_splits(folder, tmp_path):
    copy_checkpoint(folder, tmp_path / "copy")
    assert checkpoint_splits(tmp_path / "copy") == [FIRST, SECOND]


def test_overlap_is_known_from_the_checkpoint_alone(folder):
    events = [Event(onset=1.0, name="a"), Event(onset=3.0, name="b")]
    trials = make_trials([(info(k, f"s-{k}"), events) for k in ("p1", "p2", "p9")], TrialConfig())
    record = load_checkpoint(folder).record
    found = pretraining_overlap(trials, record.training, checkpoint_splits(folder))
    assert found.known
    assert found.recordings == ("p1", "p2")
    assert found.subjects == ("d/s-p1", "d/s-p2")


def test_a_checkpoint_without_splits_has_none_and_loads(tiny_model, tmp_path):
    folder = save_checkpoint(tiny_model(), tmp_path)
    assert checkpoint_splits(folder) == []
    config = json.loads((folder / "config.json").read_text())
    del config["splits"]  # as older versions wrote it
    (folder / "config.json").write_text(json.dumps(config))
    assert load_checkpoint(folder).splits == ()
    assert checkpoint_splits(folder) == []


def test_a_missing_manifest(folder):
    (folder / split_file(FIRST.digest)).unlink()
    with pytest.raises(FileNotFoundError, match=r"has no split-.*copy the checkpoint again"):
        load_checkpoint(folder)


def test_a_changed_manifest(folder):
    path = folder / split_file(SECOND.digest)
    path.write_text(path.read_text().replace("s-p2", "s-p3"))
    for read in (load_checkpoint, checkpoint_splits):
        with pytest.raises(ValueError, match=r"split-.*digest differs"):
            read(folder)


@pytest.mark.parametrize("listed", [["a"], {"../split.json": "0"}, {"/etc/passwd": "0"}])
def test_names_that_lead_elsewhere(folder, tmp_path, listed):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"splits": listed}))
    for read in (load_checkpoint, lambda f: copy_checkpoint(f, tmp_path / "copy")):
        with pytest.raises(ValueError, match="splits must give a hash for each file name"):
            read(folder)


def test_manifests_of_an_earlier_checkpoint_do_not_stay(tiny_model, folder):
    third = split_of("p7")
    save_checkpoint(trained(tiny_model, third, third), folder)
    assert [p.name for p in folder.glob("split-*")] == [split_file(third.digest)]
    assert checkpoint_splits(folder) == [third]


def test_the_card_names_people_and_hours(folder):
    card = (folder / "README.md").read_text()
    assert "| hours of signal | 1.5 |" in card
    assert "| subjects | 2 |" in card
    assert split_file(FIRST.digest) in card
    assert SECOND.digest in card


def test_splits_are_found_where_stages_keep_them(tmp_path):
    training = {
        "tokenizer": {"split_digest": FIRST.digest},
        "masked_model": {"split_digest": SECOND.digest},
    }
    keep_split(tmp_path / "run", SECOND)
    keep_split(tmp_path / "run", SECOND)
    keep_split(tmp_path / "run" / "tokenizer", FIRST)
    folders = [tmp_path / "run", tmp_path / "run" / "tokenizer"]
    assert collect_splits(training, folders) == (FIRST, SECOND)
    assert collect_splits(training, folders[:1]) == (SECOND,)
    assert collect_splits(training, [], [SECOND, FIRST]) == (FIRST, SECOND)
    assert missing_splits(training, [SECOND]) == [
        f"the tokenizer was trained by the split {FIRST.digest[:12]}"
    ]
    assert missing_splits(training, [SECOND, FIRST]) == []
    with pytest.raises(ValueError, match="is none the model was trained by"):
        collect_splits(training, folders, [split_of("p9")])


def test_a_split_under_the_name_of_another(tmp_path):
    path = keep_split(tmp_path, FIRST)
    SECOND.save(path)
    with pytest.raises(ValueError, match=f"holds the split {SECOND.digest[:12]}, not"):
        read_kept_split(tmp_path, FIRST.digest)


def test_older_runs_are_exported_with_the_split_that_is_given(tiny_model, tmp_path, capsys):
    from brainfm.cli import main

    model = tiny_model(masked=None)
    record = replace(model.record, training={"tokenizer": {"split_digest": FIRST.digest}})
    weights = {f"tokenizer.{name}": value for name, value in model.tokenizer.state_dict().items()}
    described = {"stage": "tokenizer", "record": record.to_json()}
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    torch.save(
        {"brainfm": described, "state_dict": weights}, tmp_path / "run" / "checkpoints/last.ckpt"
    )
    out = tmp_path / "out"
    assert main(["export", str(tmp_path / "run"), "--out", str(out)]) == 0
    assert "which the run does not keep; name its file: --split" in capsys.readouterr().err
    assert checkpoint_splits(out) == []
    FIRST.save(tmp_path / "mine.json")
    words = ["--split", str(tmp_path / "mine.json")]
    assert main(["export", str(tmp_path / "run"), "--out", str(out), *words]) == 0
    assert capsys.readouterr().err == ""
    assert checkpoint_splits(out) == [FIRST]
    SECOND.save(tmp_path / "other.json")
    with pytest.raises(ValueError, match="is none the model was trained by"):
        export_run(tmp_path / "run", out, splits=[tmp_path / "other.json"])
