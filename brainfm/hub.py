"""Checkpoints by name: a folder, the bundled one, a model on the hub, a published BrainOmni model.

The bundled checkpoint, ``nano``, is a part of the installed package and needs no network.

What is downloaded stays in the hub's cache (``HF_HOME``), every file compared with the hash that
the hub gives for it; a second call needs no network. Published BrainOmni files are imported once,
into a folder of ``BRAINFM_CACHE`` (default ``~/.cache/brainfm``).
"""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from brainfm.checkpoints import CARD, CONFIG, WEIGHTS, save_checkpoint
from brainfm.pretraining_splits import split_file
from brainfm.published_models import (
    PUBLISHED,
    REPOSITORY,
    REVISION,
    SETTINGS,
    file_sha256,
    import_published,
)

if TYPE_CHECKING:
    from brainfm.checkpoints import BrainModel

NANO = "nano"
BUNDLED: Mapping[str, Path] = MappingProxyType({NANO: Path(__file__).resolve().parent / NANO})
"""Checkpoint folders that are installed with the package, by name."""
FILES = (CONFIG, WEIGHTS, CARD, split_file("*"))
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find_checkpoint(
    source: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    offline: bool = False,
) -> Path:
    """Return the checkpoint folder that a name stands for; download or import it if need be.

    Parameters
    ----------
    source
        A checkpoint folder; ``nano``, the bundled one (a checkpoint folder of that name here comes
        first); a folder with a published BrainOmni model; ``brainomni-tiny``, ``brainomni-base`` or
        ``braintokenizer``; a model on the hub, ``OWNER/NAME``.
    revision
        Branch, tag or commit on the hub; None: its main branch, of published models the commit
        whose hashes are known.
    cache_dir
        Instead of the caches named above.
    offline
        Take what was downloaded before. Without it, that is taken where the hub does not answer.

    Raises
    ------
    FileNotFoundError
        No such folder or model; not downloaded before and no network.
    ValueError
        No such revision; a file that is not what the hub or this table says it is.
    OSError
        The download broke off.
    """
    folder, name = Path(source).expanduser(), str(source)
    if name in BUNDLED and not (folder / CONFIG).is_file():
        if revision is not None:
            raise ValueError(f"{name} is bundled and has no revisions; leave revision out")
        return BUNDLED[name]
    if folder.exists():
        if revision is not None:
            raise ValueError(f"{folder} is a folder, which has no revisions; leave revision out")
        published = (folder / SETTINGS).is_file() and not (folder / CONFIG).is_file()
        return import_published(folder, cache_dir) if published else folder
    if name in PUBLISHED:
        there = PUBLISHED[name].folder
        files = tuple(f"{there}/{file}" for file in PUBLISHED[name].sha256)
        known = {f"{there}/{file}": digest for file, digest in PUBLISHED[name].sha256.items()}
        found = _download(
            REPOSITORY,
            files,
            revision=revision or REVISION,
            cache_dir=cache_dir,
            offline=offline,
            known=known if revision in (None, REVISION) else {},
        )
        return import_published(found / there, cache_dir)
    if not HUB_ID.fullmatch(name):
        raise FileNotFoundError(
            f"{name} is no checkpoint folder (it is not there), not the bundled model "
            f"({', '.join(BUNDLED)}), no published one ({', '.join(PUBLISHED)}) and no model on "
            "the hub (OWNER/NAME); 'brainfm export RUN --out DIR' makes a folder"
        )
    found = _download(
        name, FILES, revision=revision, cache_dir=cache_dir, offline=offline, known={}
    )
    if not (found / CONFIG).is_file():
        raise FileNotFoundError(
            f"{name} on the hub is no checkpoint of brainfm: it has no {CONFIG}"
        )
    return found


def push_checkpoint(
    model: "BrainModel",
    repo_id: str,
    *,
    revision: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    message: str = "Upload checkpoint",
) -> str:
    """Put a model on the hub in one commit and return the commit.

    Parameters
    ----------
    model
        What :func:`brainfm.checkpoints.save_checkpoint` writes.
    repo_id
        ``OWNER/NAME``; made if it is not there.
    revision
        Branch, made if it is not there; None: main.
    private
        Of a new repository; None: as the owner has set.
    token
        None: that of ``hf auth login``.
    message
        Of the commit.

    Raises
    ------
    ValueError
        Not a name on the hub.
    OSError
        The hub refuses, or the upload broke off.
    """
    if not HUB_ID.fullmatch(repo_id):
        raise ValueError(f"repo_id must be OWNER/NAME, got {repo_id!r}")
    api = _client().HfApi(endpoint=_endpoint(), token=token)
    with TemporaryDirectory() as folder:
        save_checkpoint(model, folder)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                revision=revision,
                commit_message=message,
                # Manifests of what was there before are not this model's.
                delete_patterns=split_file("*"),
            )
        except Exception as error:  # the client's libraries raise kinds of their own
            raise OSError(f"{repo_id} was not uploaded: {_first_line(error)}") from error
    return str(commit.oid)


def _download(
    repo_id: str,
    files: tuple[str, ...],
    *,
    revision: str | None,
    cache_dir: str | Path | None,
    offline: bool,
    known: Mapping[str, str],
) -> Path:
    """Return the folder of one revision of a repository in the cache, its files checked."""
    client = _client()
    from huggingface_hub import errors

    try:
        found = client.snapshot_download(
            repo_id,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=offline,
            allow_patterns=list(files),
            endpoint=_endpoint(),
        )
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"{repo_id} on the hub has no revision {revision}") from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{repo_id} is no folder here, and the hub has no such model or does not show it to "
            "you ('hf auth login')"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise FileNotFoundError(
            f"{repo_id} is no folder here, was not (wholly) downloaded before, and the hub does "
            "not answer or was not to be asked; connect once, or give a folder"
        ) from error
    except Exception as error:  # the client's libraries raise kinds of their own
        raise OSError(
            f"the download of {repo_id} broke off ({_first_line(error)}); try again, what is whole "
            "is kept"
        ) from error
    folder = Path(found)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            _check(path, known.get(path.relative_to(folder).as_posix()), repo_id)
    return folder


def _check(path: Path, known: str | None, repo_id: str) -> None:
    """Compare a file of the cache with its hashes; take it away if it is another.

    The cache names the content of a file by what the hub says of it: SHA-256 of large files, git's
    hash of small ones.
    """
    content = path.resolve()
    stated = content.name
    right = known is None or file_sha256(path) == known
    if re.fullmatch(r"[0-9a-f]{64}", stated):
        right &= file_sha256(path) == stated
    elif re.fullmatch(r"[0-9a-f]{40}", stated):
        right &= _git_hash(path) == stated
    if not right:
        path.unlink()
        content.unlink(missing_ok=True)
        raise ValueError(
            f"{path.name} of {repo_id} is not the file it should be (digest differs); it was taken "
            "out of the cache: try again"
        )


def _git_hash(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _client() -> Any:
    """Return the hub's client, which is no part of a plain installation."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "models on the hub need huggingface_hub: pip install 'brainfm-toolkit[hub]'"
        ) from error
    return huggingface_hub


def _endpoint() -> str | None:
    """Return where the hub is, if the user says so; the client looks only when it is imported."""
    return os.environ.get("HF_ENDPOINT") or None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
