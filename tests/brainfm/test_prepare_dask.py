"""Workers of a Dask cluster that come and go while a corpus is made."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np
import pytest

from brainfm.corpus import Corpus
from brainfm.preparation_run import FAILURES_FILE, prepare_corpus
from brainfm.processing import ProcessingConfig
from brainfm.recordings import Recording
from brainfm.sources import Source

NAMES = ["Fz", "Cz", "Pz", "Oz", "C3", "C4"]
ONE_EACH = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}


@dataclass(frozen=True, kw_only=True)
class SlowSource(Source):
    """A source whose reader says in which process it is, and takes its time."""

    diary: Path
    seconds: float = 0.5

    def open(self) -> Recording:
        """Note the process, wait, and read."""
        with self.diary.open("a") as file:
            file.write(f"{self.id} {os.getpid()}\n")
        time.sleep(self.seconds)
        return super().open()


@pytest.fixture
def sources(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for i in range(8):
        x = 1e-5 * rng.standard_normal((len(NAMES), 1200))
        raw = mne.io.RawArray(x, mne.create_info(NAMES, 200.0, "eeg"), verbose="error")
        raw.set_montage(mne.channels.make_standard_montage("colin27_1005"), verbose="error")
        path = tmp_path / f"r{i}_raw.fif"
        raw.save(path, verbose="error")
        found.append(SlowSource(path=path, id=f"r{i}", dataset="d", diary=tmp_path / "diary"))
    return found


def processes(sources):
    diary = sources[0].diary
    return [line.split()[1] for line in diary.read_text().splitlines()] if diary.exists() else []


def when_working(sources, event):
    """Run ``event`` in a thread once the first source is being read."""
    from threading import Thread

    def wait():
        while not processes(sources):
            time.sleep(0.05)
        event()

    thread = Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.distributed
def test_a_worker_that_joins_takes_its_share(sources, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(**ONE_EACH) as cluster:
        thread = when_working(sources, lambda: cluster.scale(2))
        out = tmp_path / "corpus"
        status = prepare_corpus(out, sources, ProcessingConfig(), dask=cluster.scheduler_address)
        thread.join()
    assert status == 0
    assert len(Corpus(out)) == 8
    assert len(set(processes(sources))) == 2


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("how", ["killed", "retired"])
def test_the_work_of_one_that_leaves_is_done_by_another(sources, tmp_path, how):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(**{**ONE_EACH, "n_workers": 2}) as cluster:

        def leave():
            if how == "killed":
                os.kill(int(processes(sources)[0]), 9)
            else:
                cluster.scale(1)

        thread = when_working(sources, leave)
        out = tmp_path / "corpus"
        status = prepare_corpus(out, sources, ProcessingConfig(), dask=cluster.scheduler_address)
        thread.join()
    assert status == 0
    assert not (out / FAILURES_FILE).exists()
    assert len(Corpus(out)) == 8


@pytest.mark.slow
@pytest.mark.distributed
def test_a_scheduler_that_dies_is_said_and_the_next_run_goes_on(sources, tmp_path):
    pytest.importorskip("distributed")
    address = tmp_path / "scheduler.json"
    words = ["--port", "0", "--no-dashboard", "--scheduler-file", str(address)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = [sys.executable, "-m"]
    scheduler = subprocess.Popen([*run, "distributed.cli.dask_scheduler", *words], **quiet)
    words = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--scheduler-file", str(address)]
    worker = subprocess.Popen([*run, "distributed.cli.dask_worker", *words], **quiet)
    out = tmp_path / "corpus"
    try:
        while not address.exists() or not address.stat().st_size:
            time.sleep(0.1)
        dask = json.loads(address.read_text())["address"]
        thread = when_working(sources, scheduler.kill)
        with pytest.raises(OSError, match="went away; what was prepared is kept"):
            prepare_corpus(out, sources, ProcessingConfig(), dask=dask)
        thread.join()
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
    assert prepare_corpus(out, sources, ProcessingConfig()) == 0
    assert len(Corpus(out)) == 8
