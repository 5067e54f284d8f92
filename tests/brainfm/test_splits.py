import dataclasses
import json
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.audit import audit, unlisted
from brainfm.copies import duplicates
from brainfm.recording_info import RecordingInfo
from brainfm.splits import Split, SplitConfig, make_split, unit_of


def info(k, *, subject=None, dataset="d", device="A", signal=None, **fields):
    return RecordingInfo(
        id=f"{dataset}-r{k}",
        dataset=dataset,
        subject=subject or f"s{k}",
        sfreq=256.0,
        device=device,
        digest=f"content{dataset}{k}",
        signal_digest=signal or f"signal{dataset}{k}",
        **fields,
    )


def ids(split):
    return {side: {entry.id for entry in entries} for side, entries in split.sides.items()}


THIRDS = SplitConfig(fractions={"train": 0.4, "validation": 0.3, "test": 0.3})


def test_shares_are_about_what_was_asked():
    infos = [info(k) for k in range(2000)]
    sizes = {side: len(names) for side, names in ids(make_split(infos, SplitConfig())).items()}
    # Binomial: 100 +- 10 of 2000 in the small sides.
    assert 60 < sizes["validation"] < 140
    assert 60 < sizes["test"] < 140
    assert sum(sizes.values()) == 2000


@pytest.mark.parametrize("by", ["subject", "session", "recording", "dataset"])
def test_units_are_never_divided(by):
    infos = [
        info(k, subject=f"s{k % 40}", session=f"{k % 3}", dataset=f"d{k % 7}") for k in range(400)
    ]
    split = make_split(infos, dataclasses.replace(THIRDS, by=by))
    assert audit(split, infos) == []
    side_of = {e.id: side for side, entries in split.sides.items() for e in entries}
    assert len(side_of) == 400
    for one in infos:
        for other in infos:
            if unit_of(one, by) == unit_of(other, by):
                assert side_of[one.id] == side_of[other.id]


def test_the_same_on_other_machines_and_in_any_order():
    infos = [info(k) for k in range(50)]
    split = make_split(infos, THIRDS)
    random.Random(0).shuffle(infos)
    assert make_split(infos, THIRDS) == split
    code = (
        "from brainfm.splits import _uniform\n"
        "print([round(_uniform('salt', f'd/s{k}'), 6) for k in range(3)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_adding_data_never_moves_a_recording(data):
    # Few subjects and few signals: shared samples and late conflicts are common.
    recordings = data.draw(
        st.lists(
            st.tuples(st.integers(0, 8), st.integers(0, 12), st.sampled_from("AAAB")),
            min_size=1,
            max_size=30,
        )
    )
    infos = [
        info(k, subject=f"s{subject}", signal=f"signal{sample}", device=device)
        for k, (subject, sample, device) in enumerate(recordings)
    ]
    config = dataclasses.replace(THIRDS, held_out_devices=("B",))
    split = None
    for stop in sorted(data.draw(st.lists(st.integers(1, len(infos)), min_size=1, max_size=4))):
        later = make_split(infos[:stop], config, earlier=split)
        assert audit(later, infos[:stop]) == []
        placed = set().union(*ids(later).values()) | set(later.excluded)
        assert placed == {one.id for one in infos[:stop]}
        if split is not None:
            for side, names in ids(split).items():
                assert names <= ids(later)[side]
        for side, entries in later.sides.items():
            assert side == "test" or all(entry.device != "B" for entry in entries)
        split = later


def test_without_shared_samples_no_earlier_manifest_is_needed():
    infos = [info(k) for k in range(300)]
    few, many = make_split(infos[::3], THIRDS), make_split(infos, THIRDS)
    for side, names in ids(few).items():
        assert names <= ids(many)[side]


def test_copies_go_to_one_side():
    infos = [info(k, signal=f"signal{k % 50}") for k in range(100)]
    split = make_split(infos, THIRDS)
    side_of = {e.id: side for side, entries in split.sides.items() for e in entries}
    for k in range(50):
        assert side_of[f"d-r{k}"] == side_of[f"d-r{k + 50}"]
    assert len(duplicates(infos)) == 50


def test_copy_of_the_same_file_goes_with_it():
    infos = [info(k, source_digest=f"file{k % 50}") for k in range(100)]
    side_of = {
        e.id: side for side, entries in make_split(infos, THIRDS).sides.items() for e in entries
    }
    assert all(side_of[f"d-r{k}"] == side_of[f"d-r{k + 50}"] for k in range(50))


def test_late_copy_that_would_join_two_sides_is_left_out_and_named():
    first = [info(k) for k in range(40)]
    split = make_split(first, THIRDS)
    train, test = split.sides["train"][0], split.sides["test"][0]
    # A new recording of a training subject is a copy of one in the test set.
    late = info(99, subject=train.subject, signal=test.signal_digest)
    later = make_split([*first, late], THIRDS, earlier=split)
    assert "d-r99" in later.excluded
    assert ids(later) == ids(split)
    assert audit(later) == []


def test_held_out_device_takes_its_subjects_along():
    infos = [info(k, subject=f"s{k // 2}", device="B" if k == 4 else "A") for k in range(40)]
    config = SplitConfig(
        fractions={"train": 1.0, "test": 0.0}, held_out_devices=("B",), held_out_side="test"
    )
    split = make_split(infos, config)
    assert ids(split)["test"] == {"d-r4", "d-r5"}


def test_fractions_of_one_data_set():
    infos = [info(k, dataset=f"d{k % 2}") for k in range(100)]
    config = dataclasses.replace(THIRDS, dataset_fractions={"d1": {"test": 1.0}})
    split = make_split(infos, config)
    assert {e.dataset for e in split.sides["train"]} == {"d0"}
    assert sum(e.dataset == "d1" for e in split.sides["test"]) == 50


def test_other_settings_than_the_earlier_split_are_refused():
    split = make_split([info(0)], THIRDS)
    with pytest.raises(ValueError, match="made with other settings"):
        make_split([info(0)], SplitConfig(), earlier=split)
    added = dataclasses.replace(THIRDS, dataset_fractions={"new": {"train": 1.0}})
    make_split([info(0)], added, earlier=split)


def test_manifest_round_trip(tmp_path):
    split = make_split([info(k) for k in range(20)], THIRDS)
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split
    assert Split.load(tmp_path / "split.json").digest == split.digest
    (tmp_path / "split.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match="not a split manifest"):
        Split.load(tmp_path / "split.json")


def edited(split, tmp_path, edit):
    split.save(tmp_path / "split.json")
    content = json.loads((tmp_path / "split.json").read_text())
    edit(content["sides"])
    (tmp_path / "split.json").write_text(json.dumps(content))
    return Split.load(tmp_path / "split.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "recording d-r"),
        ({"id": "new", "signal_digest": "new"}, "subject d/s"),
        ({"id": "new", "subject": "new"}, "samples (signal digest) signald"),
    ],
)
def test_audit_finds_overlap(tmp_path, change, message):
    split = make_split([info(k) for k in range(40)], THIRDS)
    bad = edited(
        split, tmp_path, lambda sides: sides["test"].append({**sides["train"][0], **change})
    )
    found = audit(bad)
    assert any(message in line for line in found)
    assert all("train" in line and "test" in line for line in found)


def test_audit_compares_with_the_corpus():
    infos = [info(k) for k in range(20)]
    split = make_split(infos, THIRDS)
    assert audit(split, infos) == []
    changed = [dataclasses.replace(infos[0], digest="other"), *infos[2:], info(30)]
    assert len(audit(split, changed)) == 2
    assert unlisted(split, changed) == ["d-r30"]


def test_indices_of_a_side():
    infos = sorted((info(k) for k in range(30)), key=lambda one: one.id)
    split = make_split(infos, THIRDS)
    found = [split.indices(infos, side) for side in split.sides]
    assert sorted(i for positions in found for i in positions) == list(range(30))
    with pytest.raises(ValueError, match="no side 'dev'"):
        split.indices(infos, "dev")
    with pytest.raises(ValueError, match="not in the split"):
        split.indices([*infos, info(77)], "train")
    assert split.indices([*infos, info(77)], "train", allow_new=True) == found[0]
    with pytest.raises(ValueError, match="gone from the corpus"):
        split.indices([], split.sides["train"] and "train")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"by": "person"}, "by must be one of"),
        ({"fractions": {"train": 0.5}}, "fractions must not be negative and add up to 1"),
        ({"fractions": {"train": 1.5, "test": -0.5}}, "must not be negative"),
        ({"dataset_fractions": {"d": {"trein": 1.0}}}, r"dataset_fractions\[d\] has sides"),
        ({"held_out_devices": ("A",), "held_out_side": "dev"}, "held_out_side 'dev'"),
    ],
)
def test_settings_are_checked(bad, message):
    with pytest.raises(ValueError, match=message):
        SplitConfig(**bad)
