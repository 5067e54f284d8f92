"""The encoder of a fine-tuning run as an ordinary checkpoint folder.

Matrices of LoRA become part of the weights. The folder says what the encoder was tuned on and holds
the manifest of those recordings, so that later decoders find their overlap with it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from brainfm.checkpoints import BrainModel, codes_digest, read_config, save_checkpoint
from brainfm.recording_info import content_hash
from brainfm.splits import Listed, Split, SplitConfig, unit_of
from brainfm.trial_splits import TRIAL_SPLIT_FILE, Fold, TrialSplit, listed_recordings

from .decoder import Decoder, load_decoder
from .lora import merge_low_rank
from .pretrained import CODED, Pretrained
from .run_record import RunRecord

ORDER = ("train", "validation", "test")
"""Sides by how much they were used; a recording is on the first that any of its trials is on."""


def export_adapted(run: Path, out: Path, *, fold: int = 0) -> BrainModel:
    """Write the encoder of a fold of a run as a checkpoint folder, and return its model.

    A run whose features leave the masked model out has tuned the tokenizer alone, whose codes the
    masked model no longer knows: such a folder holds the tokenizer only.

    Parameters
    ----------
    run
        What ``brainfm finetune fit`` wrote.
    out
        Folder of the checkpoint.
    fold
        Its number, from 0.

    Raises
    ------
    FileNotFoundError
        No such run or fold.
    ValueError
        The encoder of the run is no pretrained one, or was left as it was.
    """
    decoder = load_decoder(run, fold)
    backbone, adaptation = decoder.module.backbone, decoder.module.adaptation
    if not isinstance(backbone, Pretrained):
        raise ValueError(f"{run}: backbone {type(backbone).__name__} is no encoder of a checkpoint")
    if adaptation.features_once:
        raise ValueError(
            f"{run} left the encoder as it was (adaptation {adaptation.kind}); use its checkpoint, "
            f"{backbone.folder}"
        )
    split = recordings_split(run, fold)
    model = adapted_model(backbone)
    known = backbone.pretraining()
    training, splits = ({}, []) if known is None else (dict(known[0]), known[1])
    training["finetuning"] = _described(decoder, run, fold, split)
    # What was measured of the untuned model is not true of this one, but of codes that stayed.
    digest = codes_digest(model.tokenizer, model.record.input_contract)
    same_codes = digest == read_config(backbone.folder).get("codes_digest")
    fidelity = model.record.fidelity if same_codes else {}
    model.record = replace(model.record, training=training, fidelity=fidelity, sections=())
    model.splits = (*splits, split)
    save_checkpoint(model, out)
    return model


def adapted_model(backbone: Pretrained) -> BrainModel:
    """Return the model of a trained backbone with plain weights, and only what was tuned of it."""
    merge_low_rank(backbone)
    model = _model(backbone).eval().requires_grad_(False)
    if backbone.features not in CODED:
        alone = BrainModel(replace(model.record, masked_model=None))
        alone.tokenizer = model.tokenizer
        return alone.eval()
    assert model.masked_model is not None
    if not torch.equal(model.masked_model.sources, model.tokenizer.gather.queries):
        # In training it named them as before, while those of the tokenizer moved.
        model.masked_model.keep_sources()
    return model


def recordings_split(run: Path, fold: int) -> Split:
    """Return the recordings of each side of a fold, as the split of a corpus."""
    manifest = run / TRIAL_SPLIT_FILE
    if not manifest.is_file():
        raise FileNotFoundError(f"{manifest} is missing; the run was not finished or was moved")
    sides = _sides(TrialSplit.load(manifest).folds[fold], RunRecord.load(run).columns["recording"])
    found: dict[str, list[Listed]] = {side: [] for side in ORDER}
    left = {}
    units = {}
    for entry in sorted(listed_recordings(manifest), key=lambda entry: entry.id):
        side = sides.get(entry.id)
        if side is None:
            left[entry.id] = "none of its trials is on a side of this fold"
            continue
        found[side].append(entry)
        units[unit_of(entry, "recording")] = side
    return Split(
        config=SplitConfig(by="recording"),
        sides={side: tuple(entries) for side, entries in found.items()},
        units=units,
        excluded=left,
    )


def _sides(fold: Fold, recordings: tuple[str, ...]) -> dict[str, str]:
    """Return the side of every recording that has trials on one."""
    found: dict[str, str] = {}
    for side in ORDER:
        for k in fold.indices(side).tolist():
            found.setdefault(recordings[k], side)
    return found


def _described(decoder: Decoder, run: Path, fold: int, split: Split) -> dict[str, Any]:
    """Return what the encoder was tuned on, as JSON values for its card."""
    backbone, record = decoder.module.backbone, RunRecord.load(run)
    assert isinstance(backbone, Pretrained)
    trained = split.sides["train"]
    manifest = TrialSplit.load(run / TRIAL_SPLIT_FILE)
    found = {
        "datasets": sorted({entry.dataset for entry in trained if entry.dataset}),
        "recordings": len(trained),
        "subjects": len({unit_of(entry, "subject") for entry in trained}),
        "trials": len(manifest.folds[fold].indices("train")),
        "decoded": list(record.ids[:20]) if record.kind == "classes" else record.kind,
        "adaptation": decoder.module.adaptation.kind,
        "features": backbone.features,
        "fold": fold,
        "settings": content_hash(decoder.data_settings)[:16],
        "synthetic": record.synthetic,
        "split_digest": split.digest,
    }
    if backbone.mixture is not None:
        weights = backbone.mixture.weights.detach().tolist()
        found["layer_weights"] = [round(weight, 4) for weight in weights]
    if backbone.random:
        found["start"] = "random weights"
    return found


def _model(backbone: Pretrained) -> BrainModel:
    assert backbone.model is not None, "load_decoder builds it"
    return backbone.model
