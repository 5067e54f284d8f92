"""A catalogue is checked before anything is read, and its errors name the file and the key."""

from pathlib import Path

import pytest
import yaml

from brainfm.catalogue import catalogue_sources, read_catalogue
from brainfm.cli import main
from brainfm.corpus import Corpus

EXAMPLE = Path(__file__).resolve().parents[2] / "configs" / "catalogue_example.yaml"


@pytest.fixture
def catalogue(tmp_path):
    """Write a catalogue beside a folder with two empty recordings; return its path."""
    for name in ("S1/r1.edf", "S2/r1.edf", "S2/bad.edf"):
        path = tmp_path / "data" / "one" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def write(entry, **top):
        content = {"root": "data", "datasets": {"one": entry}} | top
        path = tmp_path / "catalogue.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    return write


def test_what_a_data_set_needs_reaches_its_sources(catalogue):
    path = catalogue(
        {
            "files": ["S*/*.edf"],
            "skip": ["*/bad.edf"],
            "subject": r"^S(\d)/",
            "session": r"r(\d)",
            "modality": "eeg",
            "montage": "biosemi64",
            "rename": {"A1": "Fp1"},
            "exclude": ["EXG*"],
            "unit": "uV",
            "line_freq": 50,
            "licence": "CC0",
        }
    )
    sources = catalogue_sources(read_catalogue(path))
    assert [source.id for source in sources] == ["one_S1_r1-edf", "one_S2_r1-edf"]
    source = sources[1]
    assert (source.dataset, source.subject, source.session) == ("one", "2", "1")
    assert (source.licence, source.modality) == ("CC0", ("eeg",))
    assert source.options.rename == {"A1": "Fp1"}
    assert source.options.exclude == ("EXG*",)
    assert (source.options.unit, source.options.line_freq) == ("uV", 50.0)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"files": ["*.edf"], "montge": "x"}, r"one: unknown key 'montge'; did you mean 'montage'"),
        ({"files": 3}, "one: files: must be a list of strings"),
        ({}, "one: give either 'bids: true' or 'files'"),
        ({"files": ["*"], "bids": True}, "one: give either 'bids: true' or 'files'"),
        ({"bids": "yes please"}, "one: bids: must be true or false"),
        ({"files": ["*"], "modality": ["fnirs"]}, "one: modality: must be among eeg, meg, ieeg"),
        ({"files": ["*"], "line_freq": "50"}, "one: line_freq: must be a frequency in Hz"),
        ({"files": ["*"], "rename": ["a"]}, "one: rename: must map old names"),
        ({"files": ["*"], "subject": "S"}, "one: subject: needs exactly one group"),
        ({"files": ["*"], "subject": "(S"}, "one: subject: is no regular expression"),
        ({"files": ["*"], "unit": "furlong"}, "one: unit 'furlong'"),
        ({"files": ["*"], "position_unit": "ly"}, "one: position_unit must be one of"),
        ({"files": ["*"], "root": "nowhere"}, "one: root: .* is no folder"),
        ("files", "one: needs keys such as"),
    ],
)
def test_errors_name_the_file_the_data_set_and_the_key(catalogue, entry, words):
    path = catalogue(entry)
    with pytest.raises(ValueError, match=words) as caught:
        read_catalogue(path)
    assert str(caught.value).startswith(str(path))


def test_errors_of_the_whole_file(catalogue, tmp_path):
    path = catalogue({"files": ["*"]}, datesets={})
    with pytest.raises(ValueError, match=r"unknown key 'datesets'; did you mean 'datasets'"):
        read_catalogue(path)
    path = catalogue({"files": ["*"]}, root="gone")
    with pytest.raises(ValueError, match="set it there or by --root"):
        read_catalogue(path)
    assert read_catalogue(path, root=tmp_path / "data")
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(ValueError, match="is not valid YAML"):
        read_catalogue(path)
    path.write_text("- 1", encoding="utf-8")
    with pytest.raises(ValueError, match="needs a key 'datasets'"):
        read_catalogue(path)


def test_a_subject_that_is_not_in_the_path_is_an_error(catalogue):
    path = catalogue({"files": ["S*/*.edf"], "subject": r"^P(\d)/"})
    with pytest.raises(ValueError, match="the subject of one"):
        catalogue_sources(read_catalogue(path))


def test_reading_options_belong_into_the_catalogue(catalogue, tmp_path, capsys):
    path = catalogue({"files": ["S*/*.edf"]})
    arguments = ["--catalogue", str(path), "--montage", "biosemi64", "--out", str(tmp_path / "c")]
    assert main(["prepare", *arguments]) == 1
    assert "belong into" in capsys.readouterr().err


@pytest.mark.shared
def test_the_example_names_recordings_of_every_device(shared_data):
    sources = catalogue_sources(read_catalogue(EXAMPLE, root=shared_data))
    assert len({source.id for source in sources}) == len(sources) == 35


@pytest.mark.slow
@pytest.mark.shared
def test_all_shared_recordings_with_geometry_go_through(shared_data, tmp_path):
    out = tmp_path / "corpus"
    arguments = ["--catalogue", str(EXAMPLE), "--root", str(shared_data), "--out", str(out)]
    assert main(["prepare", *arguments, "--n-jobs", "2"]) == 0
    corpus = Corpus(out)
    assert len(corpus) == 35
    assert {"CTF", "KIT", "Neuromag"} <= {info.device for info in corpus.recordings}
    assert all(info.licence for info in corpus.recordings)
