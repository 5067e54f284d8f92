"""The lines of docs/cluster.md on a small BIDS data set, with a CPU in place of every GPU."""

import os
import shutil
import subprocess

import pytest
from shown_commands import documented

SMALL = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2"]
ONE_CPU = ["--trainer.strategy", "auto", "--trainer.devices", "1", "--trainer.accelerator", "cpu"]
PLAIN = ["--trainer.precision", "32-true", "--trainer.enable_progress_bar", "false"]


@pytest.fixture
def data_set(tmp_path, synthetic_edf):
    """Three synthetic people, two runs each."""
    mne_bids = pytest.importorskip("mne_bids", reason="BIDS data sets need mne-bids")
    import mne

    root = tmp_path / "ds000117"
    for subject in ("01", "02", "03"):
        for run in ("01", "02"):
            path = synthetic_edf(tmp_path / f"{subject}-{run}.edf", seed=int(subject + run))
            raw = mne.io.read_raw_edf(path, verbose="error")
            raw.info["line_freq"] = 50
            item = mne_bids.BIDSPath(
                subject=subject, task="rest", run=run, datatype="eeg", root=root
            )
            mne_bids.write_raw_bids(raw, item, verbose="error")
    mne_bids.make_dataset_description(
        path=root, name="synthetic", data_license="CC0", overwrite=True, verbose="error"
    )


@pytest.mark.slow
def test_the_lines_of_a_cluster_with_presets_of_the_published_size(
    data_set, terminal, tmp_path, samples
):
    terminal("docs/cluster.md: brainfm prepare --bids ds000117")
    terminal("docs/cluster.md: brainfm corpus split run/corpus")
    few = [*SMALL, *ONE_CPU, *PLAIN, "--model.quantize_after=1", "--data.channel_seconds=120"]
    few += ["--data.n_workers", "0"]
    terminal("docs/cluster.md: brainfm tokenizer fit --config base", *few)
    terminal("docs/cluster.md: brainfm export run/tokenizer")
    terminal("docs/cluster.md: brainfm codes run/corpus", "--device", "cpu")
    few = [*SMALL, *ONE_CPU, *PLAIN, "--data.windows_per_batch=2", "--model.model.depth=1"]
    terminal("docs/cluster.md: brainfm pretrain fit --config base", *few)
    terminal("docs/cluster.md: brainfm report run")
    terminal("docs/cluster.md: brainfm export run/pretrain --out run/checkpoint")
    terminal("docs/export.md: brainfm export runs/pretrain", **{"runs/pretrain": "run/pretrain"})
    assert (tmp_path / "checkpoints/mine/model.safetensors").exists()


@pytest.mark.slow
def test_a_catalogue_of_several_data_sets(terminal, tmp_path, samples):
    for path in samples.iterdir():
        if path.suffix in (".edf", ".fif"):
            shutil.copy(path, tmp_path)
    shutil.copy(samples / "catalogue.yaml", tmp_path / "datasets.yaml")
    terminal("docs/cluster.md: brainfm prepare --catalogue datasets.yaml")
    assert (tmp_path / "run/corpus").is_dir()


def test_the_batch_script_starts_a_rank_for_every_device(root, tmp_path):
    script, *words = documented("docs/cluster.md: sbatch configs/slurm_pretrain.sbatch")
    # In place of SLURM's launcher: say what would run on every rank.
    fake = tmp_path / "srun"
    fake.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    slurm = {"SLURM_JOB_NUM_NODES": "4", "SLURM_NTASKS_PER_NODE": "8"}
    done = subprocess.run(
        ["bash", str(root / script), *words],
        env={**os.environ, **slurm, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.split()
    assert said[:4] == ["--kill-on-bad-exit=1", "brainfm", "pretrain", "fit"]
    given = dict(zip(said[4::2], said[5::2], strict=True))
    assert [given[name] for name in ("--data.codes", "--data.split", "--out")] == words
    assert (given["--trainer.num_nodes"], given["--trainer.devices"]) == ("4", "8")
