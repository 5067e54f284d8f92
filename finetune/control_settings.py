"""Controls and baselines that are the run's own command with other settings."""

import copy
from importlib import resources

import yaml

from .run_data import Settings

OF_INPUT = ("noise", "shuffled", "shifted")
"""Kinds of :class:`~.input_control.InputControl`."""
OF_WAVEFORMS = ("spectrum", "bands", "course")
"""Poolings that belong to the encoder's sources."""
OF_VOLUMES = ("Voxels", "Several")
"""Backbones whose trials are, or may be, volumes instead of signals over time."""
CONV_NET = "brainfm.finetune.conv_net.ConvNet"
PRETRAINED = "Pretrained"


class DoesNotApplyError(ValueError):
    """A control has no meaning for a run; the message says why."""


def control_settings(settings: Settings, name: str) -> Settings:
    """Return the settings of a control.

    Raises
    ------
    DoesNotApplyError
        It has no meaning for the run.
    """
    changed = copy.deepcopy(settings)
    if name in OF_INPUT:
        changed["data"].setdefault("control", {})
        changed["data"]["control"] = {**(changed["data"]["control"] or {}), "kind": name}
        return changed
    backbone = changed["model"]["backbone"]
    of = _class_name(backbone)
    if name == "random_backbone":
        arguments = backbone.get("init_args") or {}
        encoders = [backbone, *(arguments.get("backbones") or {}).values()]
        pretrained = [one for one in encoders if _class_name(one) == PRETRAINED]
        if not pretrained:
            raise DoesNotApplyError("the backbone is not pretrained")
        for one in pretrained:
            one["init_args"] = {**(one.get("init_args") or {}), "random": True}
        return changed
    if name == "conv_net":
        if of == CONV_NET.rsplit(".", 1)[-1]:
            raise DoesNotApplyError("the run is that net")
        if of in OF_VOLUMES:
            raise DoesNotApplyError("it takes signals over time, of one modality, and no volumes")
        head = changed["model"].get("head") or {}
        arguments = head.get("init_args") or {}
        kind = (arguments.get("pooling") or {}).get("kind")
        changed["model"]["backbone"] = {"class_path": CONV_NET}
        if str(head.get("class_path")).endswith(".Classification"):
            # Of the published size it would learn a few trials by heart, for hours on a CPU.
            preset = _preset("conv_net_evoked" if kind == "flat" else "conv_net")
            changed["model"]["backbone"] = preset["backbone"]
            given = changed["model"].get("optimizer") or {}
            changed["model"]["optimizer"] = {**given, **preset["optimizer"]}
        if kind in OF_WAVEFORMS:
            # The net's features are no waveforms.
            arguments["pooling"] = {"kind": "moments"}
        changed["model"]["adaptation"] = {"kind": "full"}
        return changed
    raise ValueError(f"{name} is made by no change of settings")


def _preset(name: str) -> Settings:
    """Return the model of a bundled preset."""
    file = resources.files("brainfm.configs") / f"finetune_{name}.yaml"
    model: Settings = yaml.safe_load(file.read_text(encoding="utf-8"))["model"]
    return model


def _class_name(backbone: Settings) -> str:
    return str(backbone["class_path"]).rsplit(".", 1)[-1]
