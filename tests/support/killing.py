"""Killing a run in the middle of its work."""

import os
import signal
import subprocess
import time
from contextlib import suppress


def kill_somewhere(command, folder, rng, *, changes, late):
    """Start a run and kill it at a random moment of its work; False if it was done before that.

    Parameters
    ----------
    command
        Words of the run.
    folder
        Where it writes. Moments are counted in files that come and go there, so that a slow machine
        has the same ones.
    rng
        Draws the moment.
    changes
        Least number of changes that are waited for, and the first that is too many.
    late
        Longest wait after the last of them, s.
    """
    run = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    left, last = rng.integers(*changes), None
    while left > 0 and run.poll() is None:
        now = sorted(os.listdir(folder)) if folder.exists() else None
        left, last = left - (now != last), now
        time.sleep(0.0005)
    time.sleep(rng.uniform(0.0, late))
    done = run.poll() is not None
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    return not done
