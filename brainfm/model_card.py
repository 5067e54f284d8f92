"""The README.md of a checkpoint folder."""

import json
from collections.abc import Mapping
from typing import Any


def model_card(record: Mapping[str, Any], n_parameters: int) -> str:
    """Return the model card (Markdown with YAML front matter) of a model.

    Parameters
    ----------
    record
        :meth:`brainfm.checkpoints.ModelRecord.to_json`.
    n_parameters
        Trained numbers and codebook entries.
    """
    tokenizer, processing = record["tokenizer"], record["processing"]
    quantizer = tokenizer["quantizer"]
    masked = record["masked_model"]
    training = record["training"]
    frames = tokenizer["sfreq"] * len_ratio(tokenizer)
    seconds = tokenizer["window"] / tokenizer["sfreq"]
    kind = "tokenizer and masked model" if masked else "tokenizer only"
    lines = [
        "---",
        "library_name: brainfm",
        "tags: [eeg, meg, brain-signals]",
        "---",
        "",
        f"# brainfm checkpoint ({kind})",
        "",
        f"{n_parameters / 1e6:.2f} million parameters, codebooks included. Use:",
        "",
        "    import brainfm",
        '    model = brainfm.from_pretrained("this folder")',
        "    features = model.encode(raw)  # mne.io.Raw",
        "",
        "## Input contract",
        "",
        "| what | value |",
        "|---|---|",
        f"| sensor types | {', '.join(tokenizer['types'])} |",
        "| units before scaling | V, T, T/m (SI, as MNE returns them) |",
        f"| sampling rate | {processing['sfreq']:g} Hz (resampled for you) |",
        f"| band | {processing['l_freq']:g} - {processing['h_freq']:g} Hz, mains removed |",
        f"| EEG reference | {processing['reference']} |",
        f"| window | {seconds:g} s, overlap {tokenizer['overlap']:.0%} |",
        "",
        "## Codes",
        "",
        f"{tokenizer['n_sources']} latent sources, {frames:g} frames a second, "
        f"{quantizer['n_quantizers']} levels of {quantizer['codebook_size']} codes.",
        "",
        "## Training",
        "",
    ]
    lines += [f"- {key}: {_inline(value)}" for key, value in sorted(training.items())]
    if not training:
        lines.append("Not recorded.")
    lines += [
        "",
        "## Limits",
        "",
        "Trained on the recordings named above and on nothing else. Not a medical device. Check",
        "its fidelity on your own recordings first (compare a reconstruction with the original).",
        "",
    ]
    return "\n".join(lines)


def len_ratio(tokenizer: Mapping[str, Any]) -> float:
    """Return latent frames per sample of a window row, overlap included."""
    hop = 1
    for ratio in tokenizer["ratios"]:
        hop *= ratio
    return 1 / hop / (1 - tokenizer["overlap"])


def _inline(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
