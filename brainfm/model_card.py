"""The README.md of a checkpoint folder."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from brainfm.fidelity_summary import fidelity_lines
from brainfm.pretraining_splits import STAGES, split_file
from brainfm.splits import Split

CONTRACTS = {
    "brainfm": (
        "| amplitude | one robust scale per recording and sensor type |",
        "| positions | metres, head coordinates |",
    ),
    "brainomni": (
        "| amplitude | as BrainOmni was published: per 30 s and sensor type, minus the mean over "
        "channels, divided by one standard deviation + 1e-5 V (EEG) or 1e-13 T (MEG) |",
        "| positions | EEG and MEG each centred and divided by sqrt(3 x mean square radius) |",
    ),
}
"""What each input contract adds to the processing."""


def model_card(record: Mapping[str, Any], n_parameters: int, splits: Iterable[Split] = ()) -> str:
    """Return the model card (Markdown with YAML front matter) of a model.

    Parameters
    ----------
    record
        :meth:`brainfm.checkpoints.ModelRecord.to_json`.
    n_parameters
        Trained numbers and codebook entries.
    splits
        Manifests that lie beside the card.
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
        *CONTRACTS[record["input_contract"]],
        "",
        "## Codes",
        "",
        f"{tokenizer['n_sources']} latent sources, {frames:g} frames a second, "
        f"{quantizer['n_quantizers']} levels of {quantizer['codebook_size']} codes.",
        "",
        "## Training",
        "",
    ]
    lines += _training_lines(training, {split.digest for split in splits})
    lines += [
        "",
        "## Fidelity",
        "",
        *fidelity_lines(record["fidelity"]),
        "",
        *(line for text in record.get("sections", ()) for line in (text.strip(), "")),
        "## Limits",
        "",
        *_limits(training),
        "",
    ]
    return "\n".join(lines)


def len_ratio(tokenizer: Mapping[str, Any]) -> float:
    """Return latent frames per sample of a window row, overlap included."""
    hop = 1
    for ratio in tokenizer["ratios"]:
        hop *= ratio
    return 1 / hop / (1 - tokenizer["overlap"])


STAGE_ROWS = {
    "hours": "hours of signal",
    "recordings": "recordings",
    "subjects": "subjects",
    "datasets": "data sets",
    "steps": "optimizer steps",
    "objective": "objective",
    "augmentation": "augmentation",
    "corpus_digest": "corpus",
}


def _limits(training: Mapping[str, Any]) -> list[str]:
    """Return what a user should not expect."""
    trained = [training[stage] for stage in STAGES if isinstance(training.get(stage), Mapping)]
    named = "Trained on the recordings named above and on nothing else."
    return [
        named if trained else "What it was trained on is told by those who published it, not here.",
        "Devices, ages and conditions that are not among them were not tested. Not a medical",
        "device. Check its fidelity on your own recordings first (compare a reconstruction with",
        "the original).",
    ]


def _training_lines(training: Mapping[str, Any], manifests: set[str]) -> list[str]:
    """Return a table for each stage, and a list of all else that is recorded."""
    if not training:
        return ["Not recorded."]
    lines: list[str] = []
    shown: list[list[str]] = []
    for stage in STAGES:
        described = training.get(stage)
        if not isinstance(described, Mapping):
            continue
        lines += [
            f"### {stage.replace('_', ' ').capitalize()}",
            "",
            "| what | value |",
            "|---|---|",
        ]
        names = [name for name in STAGE_ROWS if name in described]
        names += sorted(set(described) - set(names) - {"split_digest"})
        rows = _dataset_rows(described)
        if rows:
            names.remove("datasets")
        lines += [f"| {STAGE_ROWS.get(n, n)} | {_inline(described[n])} |" for n in names]
        digest = str(described.get("split_digest", ""))
        where = f" (`{split_file(digest)}` lists them)" if digest in manifests else ""
        lines += [f"| recordings of each side | split {digest or 'not recorded'}{where} |", ""]
        # Both stages are usually of one corpus, whose table is wanted once.
        if rows and rows not in shown:
            lines += [*rows, ""]
            shown.append(rows)
    others = {key: value for key, value in training.items() if key not in STAGES}
    return lines + [f"- {key}: {_inline(value)}" for key, value in sorted(others.items())]


def _dataset_rows(described: Mapping[str, Any]) -> list[str]:
    """Return the table of a stage's data sets; checkpoints of older versions have names alone."""
    datasets = described.get("datasets")
    if not isinstance(datasets, list) or not all(isinstance(row, Mapping) for row in datasets):
        return []
    heads = "data set", "device", "licence", "recordings (subjects)", "hours"
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---|---|"]
    for row in datasets:
        devices = _inline(row["devices"]) or "not recorded"
        counts = f"{row['recordings']} ({row['subjects']})"
        cells = (_inline(row["name"]), devices, _inline(row["licence"]), counts)
        lines.append(f"| {' | '.join(cells)} | {row['hours']:.3f} |")
    return lines


def _inline(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_inline, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split()).replace("|", "\\|")
