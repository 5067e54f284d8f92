"""The command of stage 2: what it logs, and where to."""

import csv

import yaml

from brainfm.cli import main

SMALL = [
    "--model.model.width=24",
    "--model.model.n_heads=2",
    "--model.model.depth=2",
    "--data.context_s=2",
    "--trainer.max_steps=6",
    "--trainer.val_check_interval=3",
    "--trainer.log_every_n_steps=2",
    "--trainer.enable_progress_bar=false",
]


def words(made, out):
    fit = ["pretrain", "fit", "--config", "nano", "--data.codes", str(made / "codes")]
    return [*fit, "--data.split", str(made / "corpus" / "split.json"), "--out", str(out)]


def test_the_log_holds_learning_and_speed(made, tmp_path):
    assert main([*words(made, tmp_path / "run"), *SMALL]) == 0
    (path,) = (tmp_path / "run" / "logs").glob("version_*/metrics.csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    filled = {name for row in rows for name, cell in row.items() if cell}
    assert {
        "train/loss",
        "train/loss_0",
        "train/accuracy_1",
        "train/gradient_norm",
        "train/lr",
        "train/usage_0",
        "validation/loss",
        "validation/unigram_loss_0",
        "validation/copy_loss",
        "validation/copy_loss_0",
        "validation/copy_accuracy_1",
        "validation/usage_1",
        "speed/tokens_per_second",
        "speed/signal_hours_per_second",
        "speed/matmul_share",
        "speed/data_wait_s",
        "speed/data_wait_share",
        "speed/memory_gb",
    } <= filled
    steps = {row["step"] for row in rows if row.get("speed/memory_gb")}
    assert steps <= {row["step"] for row in rows if row.get("train/loss")}


def test_other_loggers_by_config(made, tmp_path, capsys):
    """TensorBoard beside the CSV log that reports read; the settings need no TensorBoard."""
    loggers = [
        {"class_path": f"lightning.pytorch.loggers.{name}", "init_args": {"save_dir": "run"}}
        for name in ("CSVLogger", "TensorBoardLogger", "WandbLogger")
    ]
    own = tmp_path / "loggers.yaml"
    own.write_text(yaml.safe_dump({"trainer": {"logger": loggers}}))
    assert main([*words(made, tmp_path / "run"), "--config", str(own), "--print_config"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)["trainer"]["logger"]
    assert [entry["class_path"].split(".")[-1] for entry in found] == [
        "CSVLogger",
        "TensorBoardLogger",
        "WandbLogger",
    ]
    assert not (tmp_path / "run").exists()
