"""EEG and MEG from any device as discrete codes: tokenize, pretrain, decode."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"
__all__ = ["BrainFeatures", "Encoder", "__version__", "from_pretrained", "import_brainomni"]

if TYPE_CHECKING:
    from brainfm.brain_features import BrainFeatures
    from brainfm.brainomni_import import import_brainomni
    from brainfm.encoder import Encoder, from_pretrained

_HOMES = {
    "BrainFeatures": "brainfm.brain_features",
    "Encoder": "brainfm.encoder",
    "from_pretrained": "brainfm.encoder",
    "import_brainomni": "brainfm.brainomni_import",
}


def __getattr__(name: str) -> Any:
    """Import on demand: torch and MNE take seconds, ``brainfm --help`` must not."""
    if name not in _HOMES:
        raise AttributeError(f"module 'brainfm' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
