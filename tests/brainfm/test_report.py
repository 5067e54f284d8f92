"""The report as a whole: every part, missing parts, what it says."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.checkpoints import BrainModel, ModelRecord, save_checkpoint
from brainfm.cli import main
from brainfm.codes import begin_codes, finish_codes, write_codes
from brainfm.corpus import Corpus, create_corpus
from brainfm.corpus_index import write_index
from brainfm.encoder import Encoder
from brainfm.processing import ProcessingConfig
from brainfm.quantizers import QuantizerConfig
from brainfm.report import print_summary
from brainfm.report_folder import RunFolder
from brainfm.report_summary import collect, headline, statements
from brainfm.splits import SplitConfig, make_split

TOKENIZER = (
    "epoch,step,train/amplitude,train/commitment,train/correlation,train/loss,"
    "validation/correlation,validation/correlation_eeg,validation/error,"
    "validation/error_of_zero,validation/loss,validation/usage_0,validation/usage_1\n"
    "0,9,1.0,0.0,0.1,2.0,,,,,,,\n0,19,0.9,0.1,0.2,1.8,,,,,,,\n"
    "0,19,,,,,0.3,0.3,0.8,0.9,1.6,0.5,0.25\n"
)
PRETRAIN = (
    "epoch,step,train/loss,validation/loss,validation/unigram_loss,"
    "validation/loss_0,validation/loss_1,validation/accuracy_0,validation/accuracy_1,"
    "validation/unigram_loss_0,validation/unigram_loss_1,"
    "validation/unigram_accuracy_0,validation/unigram_accuracy_1\n"
    "0,9,3.0,,,,,,,,,,\n"
    "0,9,,2.0,2.5,1.5,2.5,0.2,0.1,2.6,2.4,0.1,0.1\n"
    "0,19,,9.0,2.5,9.0,9.0,0.0,0.0,2.6,2.4,0.1,0.1\n"
)


def write_log(run: Path, text: str) -> None:
    folder = run / "logs" / "version_0"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(text)


@pytest.fixture(scope="module")
def tiny_model() -> BrainModel:
    torch.manual_seed(0)
    cfg = TokenizerConfig(
        n_filters=2,
        ratios=(8, 8),
        width=8,
        n_sources=2,
        n_heads=2,
        lstm_layers=1,
        quantizer=QuantizerConfig(n_quantizers=2, codebook_size=8),
    )
    record = ModelRecord(tokenizer=cfg, masked_model=None, processing=ProcessingConfig())
    model = BrainModel(record)
    model.tokenizer.quantizer.train()
    model.tokenizer.quantizer(torch.randn(64, 8))
    return model.eval().requires_grad_(False)


@pytest.fixture
def corpus_parts(add_recording, signal):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> Path:
        create_corpus(folder, json.loads(json.dumps(ProcessingConfig().settings())))
        for k, name in enumerate(("a", "b", "c", "d")):
            device = "R&D <cap>" if k < 2 else "Other"
            add_recording(folder, name, signal(4, 2600, k), device=device, dataset=f"set{k % 2}")
        write_index(folder)
        fractions = {"train": 1.0, "validation": 0.0, "test": 0.0}
        config = SplitConfig(
            by="recording",
            fractions=fractions,
            dataset_fractions={"set1": {"train": 0.0, "validation": 1.0, "test": 0.0}},
        )
        make_split(Corpus(folder).recordings, config).save(folder / "split.json")
        return folder

    return make


@pytest.fixture
def run(tmp_path: Path, corpus_parts, tiny_model: BrainModel) -> Path:  # type: ignore[no-untyped-def]
    folder = tmp_path / "demo"
    folder.mkdir()
    corpus = Corpus(corpus_parts(folder / "corpus"))
    save_checkpoint(tiny_model, folder / "tokenizer-checkpoint")
    begin_codes(folder / "codes", folder / "tokenizer-checkpoint")
    for index in range(len(corpus)):
        write_codes(Encoder(tiny_model), corpus, index, folder / "codes")
    finish_codes(folder / "codes", corpus)
    write_log(folder / "tokenizer", TOKENIZER)
    write_log(folder / "pretrain", PRETRAIN)
    with h5py.File(folder / "features.h5", "w") as file:
        file["values"] = np.random.default_rng(0).standard_normal((12, 2, 8)).astype(np.float32)
        file["times"] = np.arange(12) / 4
        file.attrs["source"] = "some.fif"
    return folder


def test_a_whole_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run)]) == 0
    assert str(run / "report.html") in capsys.readouterr().out
    page = (run / "report.html").read_text()
    for section in (
        "Summary",
        "Sensors",
        "Original and reconstruction",
        "Fidelity by frequency band",
        "Code usage",
        "Learning curves",
        "Codes over time",
        "Features",
    ):
        assert f">{section}<" in page.replace("\n", "").replace("  ", ""), section
    assert page.index("Summary") < page.index("Sensors")
    assert "R&amp;D &lt;cap&gt;" in page
    assert "<cap>" not in page
    assert "&amp;lt;" not in page
    # 2 sensor arrays, 2 recordings, bands, usage, 2 stages, 2 timelines, features
    assert page.count("data:image/webp;base64") == 11
    assert 'src="http' not in page
    assert 'href="http' not in page.split("</head>")[0]
    numbers = json.loads((run / "report.json").read_text())
    assert numbers["left_out"] == {}
    assert [row["recording"] for row in numbers["fidelity"]] == ["b", "d"]
    assert {row["side"] for row in numbers["fidelity"]} == {"validation"}
    assert numbers["fidelity"][0]["n_windows"] == 5
    assert numbers["data"]["sides"]["train"]["recordings"] == 2
    assert numbers["features"] == {"source": "some.fif", "shape": [12, 2, 8]}
    # 256 / 512 windows a second x 8 frames x 2 sources x 2 levels x 3 bits
    assert numbers["codes"]["bits_per_second"] == 48
    assert not list(run.glob(".*.tmp"))


def test_the_summary_says_what_was_held_out_and_what_was_not_reached(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = collect(RunFolder(run), {}, {})
    lines = " ".join(statements(numbers))
    assert "Divided by recording" in lines
    assert "nothing about new people" in lines
    assert "does not beat the unigram (worse by 6.500 nats)" in lines
    assert ("hidden codes, loss (nats)", "9.000", "2.500 (unigram)") in headline(numbers)
    (run / "report.json").write_text(json.dumps(numbers, allow_nan=False))
    print_summary(run / "report.json")
    assert "does not beat the unigram" in " ".join(capsys.readouterr().out.split())


def test_the_masked_model_is_judged_at_the_step_that_was_exported(run: Path) -> None:
    (run / "checkpoint").mkdir()
    config = {"format": 1, "training": {"masked_model": {"steps": 10}}}
    (run / "checkpoint" / "config.json").write_text(json.dumps(config))
    numbers = collect(RunFolder(run), {}, {})
    assert numbers["masked_model"]["validated_at_step"] == 9
    assert numbers["masked_model"]["loss"] == 2.0
    lines = " ".join(statements(numbers))
    assert "beats the unigram by 0.500 nats; not on level 2 (step 9)" in lines


@pytest.mark.parametrize(
    ("kept", "left_out"),
    [
        (["corpus"], {"Original and reconstruction", "Code usage", "Features"}),
        (["codes"], {"Sensors", "Original and reconstruction", "Features"}),
        (["tokenizer"], {"Sensors", "Code usage", "Codes over time", "Features"}),
        (["features.h5"], {"Sensors", "Learning curves of the tokenizer", "Codes over time"}),
    ],
)
def test_what_is_missing_is_left_out_and_named(
    run: Path, kept: list[str], left_out: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for path in list(run.iterdir()):
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main(["report", str(run)]) == 0
    numbers = json.loads((run / "report.json").read_text())
    assert left_out <= set(numbers["left_out"])
    out = capsys.readouterr().out
    assert all(f"left out: {name}: " in out for name in left_out)
    assert "Sections left out" in (run / "report.html").read_text()


def test_without_a_split_everything_is_shown_and_it_says_so(run: Path) -> None:
    (run / "corpus" / "split.json").unlink()
    folder = RunFolder(run, max_recordings=3)
    assert [one.info.id for one in folder.held_out()] == ["a", "c", "d"]
    assert statements(collect(folder, {}, {}))[0].startswith("There is no split")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nowhere"], "nowhere is not a folder"),
        (["empty"], "has nothing to report on"),
        (["demo", "--out", "page.pdf"], "must end in .html"),
        (["demo", "--recordings", "0"], "at least 1"),
    ],
)
def test_wrong_use_is_one_line(
    run: Path,
    argv: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(run.parent)
    (run.parent / "empty").mkdir()
    assert main(["report", *argv]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_a_tokenizer_of_other_recordings_is_refused(run: Path, tiny_model: BrainModel) -> None:
    record = ModelRecord(
        tokenizer=tiny_model.record.tokenizer,
        masked_model=None,
        processing=ProcessingConfig(l_freq=1.0),
    )
    save_checkpoint(BrainModel(record), run / "tokenizer-checkpoint")
    with pytest.raises(ValueError, match="prepared in another way"):
        _ = RunFolder(run).encoder
