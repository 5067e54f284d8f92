"""Published BrainOmni models by name, and their files as a checkpoint folder of ours."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from brainfm.checkpoints import CONFIG
from brainfm.recording_info import content_hash

SETTINGS = "model_cfg.json"
IMPORT = "published input, 1"
"""Changes when imports of the same files become another checkpoint."""


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """A BrainOmni model on the hub.

    Parameters
    ----------
    folder
        Where in the repository it is.
    sha256
        SHA-256 of each file at :data:`REVISION`.
    """

    folder: str
    sha256: Mapping[str, str]


REPOSITORY, REVISION = "OpenTSLab/BrainOmni", "9a4d3c70495370397ccfbfd6d2496f25647545a5"
PUBLISHED: Mapping[str, PublishedModel] = MappingProxyType(
    {
        "brainomni-tiny": PublishedModel(
            folder="tiny",
            sha256={
                "BrainOmni.pt": "62c67ba6a84ea0625e67a3b5e7463fe3930bfee88a612a225e9062a052542ffc",
                SETTINGS: "4b994b38f1a8dccc8136f2b837a8ad2d3ebb028a1af0c527f9e0902a1a5c252e",
            },
        ),
        "brainomni-base": PublishedModel(
            folder="base",
            sha256={
                "BrainOmni.pt": "435db24e57a55df05aa7e16355def7b7ecbedb22aa1ec16063e7d14efd2386d0",
                SETTINGS: "492e2229b1fb87d49330b23f482a1641ec7cdc0b41d38f76384f18fdef3696d5",
            },
        ),
        "braintokenizer": PublishedModel(
            folder="braintokenizer",
            sha256={
                "BrainTokenizer.pt": (
                    "d41c44c14c3f3b11fd0fb660752e356dff4cb4bc5f32a05f470f503ffddc7b1a"
                ),
                SETTINGS: "67d99edcfdc54285bed7f37757b6fc9732199c56ac48f86027af1c8a22e95183",
            },
        ),
    }
)
"""Names, files and hashes as public code that loads these files states them."""


def import_published(folder: Path, cache_dir: str | Path | None = None) -> Path:
    """Return the checkpoint folder of a published BrainOmni folder, made once for its content."""
    from filelock import FileLock

    from brainfm.brainomni_import import BOTH, TOKENIZER, import_brainomni

    files = [folder / name for name in (BOTH, TOKENIZER) if (folder / name).is_file()][:1]
    hashes = [file_sha256(path) for path in (*files, folder / SETTINGS)]
    cache = Path(cache_dir or _own_cache()).expanduser() / "imported"
    out = cache / f"{folder.name}-{content_hash(IMPORT, hashes)[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f".{out.name}.lock"):
        if not (out / CONFIG).is_file():
            import_brainomni(folder, out)
    return out


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own_cache() -> Path:
    own = os.environ.get("BRAINFM_CACHE")
    return Path(own) if own else Path.home() / ".cache" / "brainfm"
