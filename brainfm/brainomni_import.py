"""Turn a published BrainOmni folder into a brainfm checkpoint folder.

The source holds 'model_cfg.json' and 'BrainOmni.pt' (tokenizer and masked model) or
'BrainTokenizer.pt'; where it holds both, 'BrainOmni.pt' is taken. Or name the .pt file itself.
'--check' compares the result with stored inputs and outputs of the released code.

Examples::

    brainfm import-brainomni downloads/BrainOmni_tiny checkpoints/brainomni-tiny
    brainfm import-brainomni brainomni-tiny checkpoints/brainomni-tiny
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from brainfm.brain_tokenizer import TokenizerConfig
    from brainfm.masked_model import MaskedModelConfig
    from brainfm.rotary import RotaryKind

CONFIG, BOTH, TOKENIZER = "model_cfg.json", "BrainOmni.pt", "BrainTokenizer.pt"
TYPES = {"eeg": 0, "mag": 1, "planar": 2, "axial": 2}
SFREQ = 256
"""Rate in Hz of what the published models were trained on."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "src",
        type=Path,
        help="Published folder, a .pt file in it, or a name to download: brainomni-tiny, "
        "brainomni-base, braintokenizer.",
    )
    parser.add_argument("out", type=Path, help="Folder of the checkpoint.")
    parser.add_argument(
        "--check",
        type=Path,
        help="Folder with inputs.pt and outputs.pt to compare with; exit status 1 if any output is "
        "further off than 1e-5 (of its largest magnitude, where that is above 1) or any code "
        "differs.",
    )


def run(args: Namespace) -> int:
    """Import, and check if asked to."""
    from brainfm.published_models import PUBLISHED

    if str(args.src) in PUBLISHED and not args.src.exists():
        from brainfm.checkpoints import copy_checkpoint
        from brainfm.hub import find_checkpoint

        copy_checkpoint(find_checkpoint(str(args.src)), args.out)
    else:
        import_brainomni(args.src, args.out)
    print(f"checkpoint in {args.out}")
    if args.check is None:
        return 0
    from brainfm.brainomni_check import check_import, print_comparisons
    from brainfm.checkpoints import load_checkpoint

    comparisons = check_import(load_checkpoint(args.out), args.check)
    print_comparisons(comparisons)
    wrong = [c.name for c in comparisons if c.within is False]
    if wrong:
        print(f"not the same function: {', '.join(wrong)} above tolerance", file=sys.stderr)
    return 1 if wrong else 0


def import_brainomni(src: str | Path, out: str | Path) -> Path:
    """Turn a published BrainOmni folder into a checkpoint folder.

    Every size is read from ``model_cfg.json`` and every tensor must have the shape that follows;
    what shapes cannot tell (window length, heads, overlap) is believed. Dropout of the tokenizer
    and the settings of training that change no output are kept in the record only.

    Parameters
    ----------
    src
        Folder with ``model_cfg.json`` and ``BrainOmni.pt`` or ``BrainTokenizer.pt`` (the first, if
        both are there), or one ``.pt`` file beside its ``model_cfg.json``.
    out
        Folder of the checkpoint.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    FileNotFoundError, ValueError
        A file is missing or damaged; settings are missing or unknown; tensors are missing, left
        over or of another shape.

    Notes
    -----
    The weights are the same function of windows, positions and types, and signals and positions
    reach it as they did in training (:mod:`brainfm.published_input`, the record's input contract).
    What comes before is ours, where the published preprocessing is one for all data sets: mains
    found in the spectrum (published: 50 and 60 Hz removed everywhere), bad channels hidden
    (published: interpolated), values beyond 20 robust deviations clipped, MEG geometry in head
    coordinates (published: the device's, centred), and coils typed by what they are.
    A tokenizer without masked model has no overlap in its settings; its windows do not overlap.
    """
    from brainfm.brainomni_weights import ROTARY, convert_state, read_state, rotary_kind
    from brainfm.checkpoints import BrainModel, ModelRecord, save_checkpoint
    from brainfm.input_contract import segment_windows
    from brainfm.processing import ProcessingConfig
    from brainfm.strict_loading import load_strictly

    weights = _weights_file(Path(src))
    settings = _read_settings(weights.parent / CONFIG)
    state = read_state(weights)
    tokenizer = _tokenizer_config(settings)
    masked = None
    if any(name.startswith("tokenizer.") for name in state):
        depth, width = settings.integer("lm_depth"), settings.integer("lm_dim")
        masked = _masked_config(settings, rotary_kind(state, depth, width, str(weights)))
    record = ModelRecord(
        tokenizer=tokenizer,
        masked_model=masked,
        processing=ProcessingConfig(
            sfreq=float(SFREQ), l_freq=0.1, h_freq=96.0, reference="average"
        ),
        training={
            "source": "BrainOmni (published)",
            "published_settings": settings.values,
            "context_frames": segment_windows(tokenizer) * tokenizer.frames_per_window,
        },
        input_contract="brainomni",
    )
    model = BrainModel(record)
    parts: list[tuple[Any, dict[str, Any]]] = [(model.tokenizer, state)]
    if model.masked_model is not None:
        inner = {k: v for k, v in state.items() if k.startswith("tokenizer.")}
        outer = {k: v for k, v in state.items() if k not in inner and not ROTARY.match(k)}
        parts = [
            (model.tokenizer, {k.removeprefix("tokenizer."): v for k, v in inner.items()}),
            (model.masked_model, outer),
        ]
    for module, published in parts:
        load_strictly(
            module, convert_state(published, module.state_dict(), str(weights)), str(weights)
        )
    model.share_codes()
    return save_checkpoint(model.eval(), out)


def _weights_file(src: Path) -> Path:
    if src.is_dir():
        for name in (BOTH, TOKENIZER):
            if (src / name).is_file():
                return src / name
        raise FileNotFoundError(f"{src} holds neither {BOTH} nor {TOKENIZER}")
    if not src.is_file():
        raise FileNotFoundError(f"{src}: no such file or folder")
    return src


class _Settings:
    """The published settings, read with an error that names file and setting."""

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        self.values = values
        self.path = path

    def _get(self, name: str) -> Any:
        if name not in self.values:
            raise ValueError(f"{self.path} lacks {name}")
        return self.values[name]

    def integer(self, name: str) -> int:
        value = self._get(name)
        if type(value) is not int or value < 1:
            raise ValueError(f"{self.path}: {name} must be a positive integer, got {value!r}")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        value = self._get(name)
        if not isinstance(value, list) or any(type(v) is not int or v < 1 for v in value):
            raise ValueError(f"{self.path}: {name} must list positive integers, got {value!r}")
        return tuple(value)

    def share(self, name: str, default: float | None = None) -> float:
        value = self.values.get(name, default) if default is not None else self._get(name)
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise ValueError(f"{self.path}: {name} must lie in [0, 1), got {value!r}")
        return float(value)


def _read_settings(path: Path) -> _Settings:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path.parent} has no {path.name}, which belongs to the weights"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no settings but {type(values).__name__}")
    if values.get("quantize_optimize_method", "ema") != "ema":
        raise ValueError(
            f"{path}: quantize_optimize_method is {values['quantize_optimize_method']!r}; only "
            "codebooks moved by averages ('ema', as published) can be imported"
        )
    return _Settings(values, path)


def _tokenizer_config(settings: _Settings) -> "TokenizerConfig":
    from brainfm.brain_tokenizer import TokenizerConfig
    from brainfm.quantizers import QuantizerConfig

    quantizer = QuantizerConfig(
        n_quantizers=settings.integer("num_quantizers"),
        codebook_size=settings.integer("codebook_size"),
        codebook_dim=settings.integer("codebook_dim"),
    )
    return TokenizerConfig(
        architecture="brainomni",
        sfreq=float(SFREQ),
        window=settings.integer("window_length"),
        overlap=settings.share("overlap_ratio", default=0.0),
        n_filters=settings.integer("n_filters"),
        ratios=settings.integers("ratios"),
        kernel_size=settings.integer("kernel_size"),
        last_kernel_size=settings.integer("last_kernel_size"),
        width=settings.integer("n_dim"),
        n_sources=settings.integer("n_neuro"),
        n_heads=settings.integer("n_head"),
        quantizer=quantizer,
        types=dict(TYPES),
        position_scale=1.0,
        fourier_bands=0,
        name_sources=False,
    )


def _masked_config(settings: _Settings, rotary: "RotaryKind") -> "MaskedModelConfig":
    from brainfm.masked_model import MaskedModelConfig

    levels = settings.values.get("num_quantizers_used")
    return MaskedModelConfig(
        width=settings.integer("lm_dim"),
        n_heads=settings.integer("lm_head"),
        depth=settings.integer("lm_depth"),
        dropout=settings.share("lm_dropout"),
        rotary=rotary,
        architecture="brainomni",
        predicted_levels=None if levels is None else settings.integer("num_quantizers_used"),
    )
