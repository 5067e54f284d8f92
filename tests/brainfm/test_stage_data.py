"""What is trained by: a manifest whose sides share nothing."""

import json

import pytest

from brainfm.corpus import Corpus
from brainfm.stage_data import audited_split, filled


@pytest.fixture
def corpus(noise_corpus, tmp_path):
    return noise_corpus(tmp_path / "corpus", n=4, seconds=4.0)


def test_a_manifest_without_a_leak_is_read(corpus):
    split = audited_split(corpus / "split.json", shared=Corpus(corpus).shared)
    assert [len(split.sides[side]) for side in ("train", "validation", "test")] == [1, 2, 1]


def test_a_recording_on_two_sides_is_refused(corpus):
    content = json.loads((corpus / "split.json").read_text())
    # The same samples under another name and of another person, as a merged folder has them.
    twin = content["sides"]["train"][0] | {"id": "copy", "subject": "somebody"}
    content["sides"]["test"].append(twin)
    (corpus / "leak.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"leak\.json leak: samples .*"):
        audited_split(corpus / "leak.json")


def test_a_stretch_of_a_test_recording_is_refused(corpus):
    names = {
        side: entries[0]["id"]
        for side, entries in json.loads((corpus / "split.json").read_text())["sides"].items()
    }
    both = {names["train"]: "rec", names["test"]: "rec"}
    with pytest.raises(ValueError, match="leak: stretch of recording rec is on sides train"):
        audited_split(corpus / "split.json", shared=both)


def test_training_reads_its_manifest_so(corpus):
    from brainfm.tokenizer.data import WindowData

    content = json.loads((corpus / "split.json").read_text())
    content["sides"]["test"].append(content["sides"]["train"][0])
    (corpus / "leak.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="leak: recording"):
        WindowData(str(corpus), split=str(corpus / "leak.json"))


def test_a_side_without_recordings_is_named():
    assert filled([3], "train") == [3]
    with pytest.raises(ValueError, match=r"side validation of the split .* --by recording"):
        filled([], "validation")
