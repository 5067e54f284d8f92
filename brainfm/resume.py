"""From where a run goes on: the newest whole checkpoint of its folder, or the file that was named.

``--resume auto`` (the default) continues what is there and begins where nothing is; ``--resume
PATH`` starts from a file; ``--resume none`` demands that nothing is there. In no case is a
checkpoint overwritten by a run that did not start from that folder.
"""

import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn

from brainfm.run_checkpoints import CHECKPOINTS, LAST

AUTO, NONE = "auto", "none"


def resolve_resume(run: Path, resume: str) -> Path | None:
    """Return the checkpoint a run starts from, None for a new one.

    Parameters
    ----------
    run
        The run's folder.
    resume
        ``auto``, ``none``, the name of a checkpoint in the folder (``last``, ``best``,
        ``step-500``) or the path of one.

    Raises
    ------
    FileNotFoundError
        The named file is not there.
    ValueError
        It is damaged, or the start would overwrite the checkpoints of another run.
    """
    there = sorted((run / CHECKPOINTS).glob("*.ckpt"))
    if resume == AUTO:
        return _newest(run, there)
    if resume == NONE:
        if there:
            raise ValueError(
                f"{run} holds a run already ({', '.join(path.name for path in there)}); name "
                "another --out, or continue it with --resume auto"
            )
        return None
    named = run / CHECKPOINTS / f"{resume}.ckpt"
    path = named if named in there else Path(resume)
    if not path.is_file():
        raise FileNotFoundError(f"--resume {resume}: no such file, and no checkpoint in {run}")
    problem = damage(path)
    if problem:
        raise ValueError(f"--resume {path}: {problem}; name another, or use --resume auto")
    if there and path.resolve().parent != (run / CHECKPOINTS).resolve():
        raise ValueError(
            f"{run} holds a run already, which one that starts from {path} would overwrite; name "
            "another --out"
        )
    return path


def _newest(run: Path, there: list[Path]) -> Path | None:
    steps = {path: _step(path) for path in there}
    for path in there:
        if steps[path] < 0:
            rank_zero_warn(f"{path} is skipped: {damage(path) or 'it is no checkpoint'}")
    readable = [path for path in there if steps[path] >= 0]
    # The last is as good as another name of the same step, and the clearer one.
    for path in sorted(readable, key=lambda path: (-steps[path], path.name != LAST)):
        problem = damage(path)
        if not problem:
            return path
        rank_zero_warn(f"{path} is skipped: {problem}")
    if there:
        raise ValueError(
            f"{run} holds checkpoints, but none that is whole; name another --out, or delete "
            f"{run / CHECKPOINTS} to begin anew"
        )
    return None


def damage(path: Path) -> str | None:
    """Return in words what is wrong with a checkpoint file; its checksums are compared."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        return f"it is cut short or damaged ({error})"
    return f"it is damaged (in {broken})" if broken else None


def _step(path: Path) -> int:
    """Return the optimizer steps behind a checkpoint, -1 where that cannot be read."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return int(content["global_step"])
    except Exception:  # torch's reader raises anything on damaged bytes
        return -1
