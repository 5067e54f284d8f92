"""The command lines of the stages: presets, the run's folder, and the whole way once."""

import csv
import re
import shlex
import shutil
import subprocess

import pytest
import torch
import yaml

from brainfm.checkpoints import load_checkpoint, save_checkpoint
from brainfm.cli import main
from brainfm.pretraining_splits import split_file
from brainfm.splits import Split
from brainfm.stage_cli import engine_names, preset_names, resolve_presets


def test_presets_of_each_stage():
    assert preset_names("tokenizer") == ["base", "nano", "tiny"]
    assert preset_names("pretrain") == ["base", "large", "nano", "tiny"]


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
        "--config huge: no such file, and no preset of that name; presets: base, large, nano, tiny"
        in error
    )
    assert "; engines: engine_gpu, engine_gpus_zero2, engine_laptop, engine_nodes_zero3" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("stage", ["tokenizer", "pretrain"])
@pytest.mark.parametrize("engine", engine_names())
def test_every_engine_is_a_second_config_of_every_stage(stage, engine, root, capsys):
    given = yaml.safe_load((root / "configs" / f"{engine}.yaml").read_text())
    assert list(given) == ["trainer"]  # what every subcommand knows
    for command in ("fit", "test"):
        words = [stage, command, "--config", "base", "--config", engine, "--print_config"]
        assert main(words) == 0
        shown = yaml.safe_load(capsys.readouterr().out)
        assert shown["trainer"].items() >= given["trainer"].items()
    assert shown["trainer"]["gradient_clip_val"] == 1.0  # of the first file


def test_the_slurm_script_is_shell_and_its_command_is_ours(root, capsys):
    script = root / "configs" / "slurm_pretrain.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text().replace("\\\n", " ")
    (line,) = (line for line in text.splitlines() if "brainfm pretrain" in line)
    known = {"SLURM_JOB_NUM_NODES": "4", "SLURM_NTASKS_PER_NODE": "8"}
    line = re.sub(r"\$(\w+)", lambda found: known.get(found[1], found[1]), line)
    words = shlex.split(line)
    words = words[words.index("brainfm") + 1 :]
    assert main([*words, "--print_config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["trainer"]["num_nodes"] * int(shown["trainer"]["devices"]) == 32
    assert shown["data"]["global_batch"] % 32 == 0
    assert shown["out"] == "run"
    asked = dict(re.findall(r"^#SBATCH --(\S+?)(?:=(\S+))?$", text, re.MULTILINE))
    assert asked["signal"].startswith("USR1@")
    assert "requeue" in asked
    assert asked["ntasks-per-node"] == shown["trainer"]["devices"]


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
    found = sorted(p.name for p in (tmp_path / "run").iterdir())
    kept = split_file(Split.load(corpus / "split.json").digest)
    assert found == ["checkpoints", "logs", kept]


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


def test_the_same_command_goes_on_where_it_ended(corpus, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["tokenizer", "fit", "--config", "nano", "--data.corpus", str(corpus)]
    words += ["--out", str(run), *TOKENIZER, *SHORT]
    assert main([*words, "--checkpoints.keep_every=3"]) == 0
    assert "continuing" not in capsys.readouterr().out
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert names == ["best.ckpt", "last.ckpt", "step-3.ckpt"]
    assert main([*words, "--resume=none"]) == 1
    assert "holds a run already" in capsys.readouterr().err
    assert main([*words, "--resume=step-3", f"--ckpt_path={run}/checkpoints/last.ckpt"]) == 1
    assert "give --resume alone" in capsys.readouterr().err
    assert main([*words, "--trainer.max_steps=5"]) == 0
    assert "continuing from step 4 (" in capsys.readouterr().out
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 5


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
    assert main(["tokenizer", "fit", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: brainfm tokenizer fit [options] --data.corpus CORPUS\n")


def test_a_checkpoint_of_both_stages_serves_as_a_tokenizer(corpus, tiny_model, tmp_path):
    checkpoint = save_checkpoint(tiny_model(), tmp_path / "both")
    words = ["codes", str(corpus), "--tokenizer", str(checkpoint), "--out", str(tmp_path / "codes")]
    assert main(words) == 0
    words = ["pretrain", "fit", "--config", "nano", "--data.codes", str(tmp_path / "codes")]
    words += ["--data.split", str(corpus / "split.json"), "--data.context_s=2"]
    assert main([*words, "--out", str(tmp_path / "run"), *MASKED, *SHORT]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["finetune", "fit", "--config", "ssvep", "--data.split.bye", "run"],
            "brainfm finetune fit: unrecognized arguments: --data.split.bye run. Is "
            "--data.split.by meant? See 'brainfm finetune fit --help'.",
        ),
        (
            ["finetune", "fit", "--config", "ssvep", "--model.backbone.init_args.featuress", "x"],
            "brainfm finetune fit: --model.backbone: Problem with given class_path "
            "'brainfm.finetune.pretrained.Pretrained': Option 'featuress' is not accepted. See "
            "'brainfm finetune fit --help'.",
        ),
        (
            ["finetune"],
            'brainfm finetune: expected "subcommand" to be one of {fit,validate,test,predict}, '
            "but it was not provided. See 'brainfm finetune --help'.",
        ),
    ],
)
def test_what_is_wrong_with_the_words_is_one_line(words, said, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err == said + "\n"


def test_a_misspelt_key_of_a_settings_file_is_named(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("data:\n  sourcee: 3\n")
    assert main(["finetune", "fit", "--config", str(tmp_path / "mine.yaml")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "does not accept option 'data.sourcee'. Is --data.source meant?" in said
