"""The command lines of the stages: presets, the run's folder, and the whole way once."""

import csv
import shutil

import pytest
import torch

from brainfm.checkpoints import load_checkpoint, save_checkpoint
from brainfm.cli import main
from brainfm.stage_cli import preset_names, resolve_presets


def test_presets_of_each_stage():
    assert preset_names("tokenizer") == ["base", "nano", "tiny"]
    assert preset_names("pretrain") == ["base", "nano", "tiny"]


def test_a_preset_becomes_its_file(tmp_path):
    resolved = resolve_presets(
        ["fit", "--config", "nano", "--config=tiny", "--out", "nano"], "pretrain"
    )
    assert resolved[2].endswith("pretrain_nano.yaml")
    assert resolved[3].startswith("--config=")
    assert resolved[3].endswith("pretrain_tiny.yaml")
    assert resolved[4:] == ["--out", "nano"]
    own = tmp_path / "own.yaml"
    own.touch()
    assert resolve_presets(["fit", "--config", str(own)], "pretrain")[2] == str(own)


def test_an_unknown_preset_lists_those_there_are(capsys):
    assert main(["pretrain", "fit", "--config", "huge", "--out", "x"]) == 1
    error = capsys.readouterr().err
    assert (
        "--config huge: no such file, and no preset of that name; presets: base, nano, tiny"
        in error
    )
    assert error.count("\n") == 1


@pytest.fixture
def corpus(noise_corpus, tmp_path):
    return noise_corpus(tmp_path / "corpus", n=5, seconds=5.0)


TOKENIZER = [
    "--model.model.window=128",
    "--model.model.n_filters=2",
    "--model.model.ratios=[4,4,2]",
    "--model.model.width=16",
    "--model.model.n_sources=3",
    "--model.model.n_heads=2",
    "--model.model.quantizer.n_quantizers=2",
    "--model.model.quantizer.codebook_size=8",
    "--model.quantize_after=2",
    "--data.window_s=1",
    "--data.channel_seconds=40",
]
MASKED = ["--model.model.width=24", "--model.model.n_heads=2", "--model.model.depth=2"]
SHORT = [
    "--trainer.max_steps=4",
    "--trainer.val_check_interval=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
]


def metrics(run):
    rows = []
    for path in sorted((run / "logs").glob("version_*/metrics.csv")):
        rows += list(csv.DictReader(path.open()))
    return {name for row in rows for name, cell in row.items() if cell}


def test_the_whole_way(corpus, tmp_path, capsys):
    """Corpus, tokenizer, codes, masked model, features: every stage by its command."""
    run1, run2 = tmp_path / "runs" / "tokenizer", tmp_path / "runs" / "pretrain"
    words = ["tokenizer", "fit", "--config", "nano", "--data.corpus", str(corpus)]
    assert main([*words, "--out", str(run1), *TOKENIZER, *SHORT]) == 0
    assert {"train/loss", "validation/loss", "validation/correlation"} <= metrics(run1)
    assert (run1 / "checkpoints" / "best.ckpt").is_file()
    tokenizer = tmp_path / "tokenizer"
    assert main(["export", str(run1), "--out", str(tokenizer)]) == 0
    assert load_checkpoint(tokenizer).masked_model is None

    codes = tmp_path / "codes"
    assert main(["codes", str(corpus), "--tokenizer", str(tokenizer), "--out", str(codes)]) == 0
    words = ["pretrain", "fit", "--config", "nano", "--data.codes", str(codes)]
    words += ["--data.split", str(corpus / "split.json"), "--data.context_s=2"]
    assert main([*words, "--out", str(run2), *MASKED, *SHORT]) == 0
    assert {"train/loss", "validation/unigram_loss", "validation/accuracy_1"} <= metrics(run2)
    model = tmp_path / "model"
    assert main(["export", str(run2), "--out", str(model), "--which", "best"]) == 0
    assert load_checkpoint(model).masked_model is not None
    assert str(model) in " ".join(capsys.readouterr().out.split())


def test_nothing_is_written_beside_the_run(corpus, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    words = ["tokenizer", "fit", "--config", "nano", "--data.corpus", str(corpus)]
    assert main([*words, "--out", str(tmp_path / "run"), *TOKENIZER, *SHORT]) == 0
    assert list(elsewhere.iterdir()) == []
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["checkpoints", "logs"]


def test_a_run_resumes_by_command(corpus, tmp_path):
    run = tmp_path / "run"
    words = ["tokenizer", "fit", "--config", "nano", "--data.corpus", str(corpus)]
    words += ["--out", str(run), *TOKENIZER, *SHORT]
    assert main(words) == 0
    last = run / "checkpoints" / "last.ckpt"
    shutil.copy(last, tmp_path / "first.ckpt")
    assert main([*words, "--trainer.max_steps=6", "--ckpt_path", str(last)]) == 0
    steps = [
        torch.load(path, weights_only=True)["global_step"]
        for path in (tmp_path / "first.ckpt", last)
    ]
    assert steps == [4, 6]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "nano"], "--out is missing: name the folder of the run"),
        (["--config", "nano", "--out", "run", "--data.window_s", "long"], "window_s"),
        (
            ["--config", "nano", "--out", "run", "--model.model.window=100"],
            "multiple of the product",
        ),
    ],
)
def test_mistakes_are_named(corpus, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    status = main(["tokenizer", "fit", "--data.corpus", str(corpus), *words])
    assert status in (1, 2)
    assert message in capsys.readouterr().err


def test_a_corpus_that_is_not_there(tmp_path, capsys):
    words = ["tokenizer", "fit", "--config", "nano", "--data.corpus", str(tmp_path / "no")]
    assert main([*words, "--out", str(tmp_path / "run")]) == 1
    assert "is not a corpus" in capsys.readouterr().err


def test_help_reads_well(capsys):
    assert main(["tokenizer", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: brainfm tokenizer [options] {fit,validate,test,predict} ...")
    assert "brainfm tokenizer fit" in out.split("options:")[0]  # the example


def test_a_checkpoint_of_both_stages_serves_as_a_tokenizer(corpus, tiny_model, tmp_path):
    checkpoint = save_checkpoint(tiny_model(), tmp_path / "both")
    words = ["codes", str(corpus), "--tokenizer", str(checkpoint), "--out", str(tmp_path / "codes")]
    assert main(words) == 0
    words = ["pretrain", "fit", "--config", "nano", "--data.codes", str(tmp_path / "codes")]
    words += ["--data.split", str(corpus / "split.json"), "--data.context_s=2"]
    assert main([*words, "--out", str(tmp_path / "run"), *MASKED, *SHORT]) == 0
