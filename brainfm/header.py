"""What the header of an MNE object tells about a recording, besides its channels."""

import re
from typing import Any

import numpy as np

from brainfm.channels import ReadOptions, Selection
from brainfm.formats import reader_name
from brainfm.geometry import device_name

Annotation = tuple[float, float, str]
"""Onset in seconds from the first sample, duration in seconds, description."""


def header_facts(
    instance: Any, chosen: Selection, options: ReadOptions, source: str
) -> dict[str, Any]:
    """Return fields of :class:`brainfm.recordings.Recording` by name, of an MNE Raw or Epochs."""
    info = instance.info
    names = [info["ch_names"][i] for i in chosen.picks]
    lowpass, highpass = info["lowpass"], info["highpass"]
    line_freq = options.line_freq or info["line_freq"]
    grade = getattr(instance, "compensation_grade", None) if info["comps"] else None
    return {
        "source": source,
        "sensors": chosen.sensors,
        "sfreq": float(info["sfreq"]),
        "bads": np.isin(names, info["bads"]),
        "line_freq": float(line_freq) if line_freq else None,
        "highpass": float(highpass) if highpass else None,
        "lowpass": float(lowpass) if lowpass and lowpass < info["sfreq"] / 2 else None,
        "subject": subject_name(info["subject_info"], source),
        "device": _device(instance),
        "excluded": chosen.excluded,
        "notes": chosen.notes,
        "compensation_grade": None if grade is None else int(grade),
    }


def annotation_list(raw: Any) -> tuple[Annotation, ...]:
    """Return the annotations of an MNE Raw by onset, whose clock may start before the data."""
    marks = raw.annotations
    onsets = marks.onset - raw.first_time
    rows = zip(onsets.tolist(), marks.duration.tolist(), marks.description.tolist(), strict=True)
    return tuple(sorted((onset, duration, str(text)) for onset, duration, text in rows))


def subject_name(stored: Any, source: str) -> str | None:
    """Return the subject: the ``sub-`` of a BIDS path, else the header's id unless anonymised."""
    bids = re.search(r"(?:^|[/_\\])sub-([0-9A-Za-z+]+)", source)
    if bids:
        return bids.group(1)
    name = str((stored or {}).get("his_id") or "").strip()
    return name if name not in ("", "X", "x") else None


def _device(instance: Any) -> str:
    maker = device_name(instance.info["chs"])
    if maker:
        return maker
    described = instance.info["device_info"] or {}
    text = " ".join(str(described[key]) for key in ("type", "model") if described.get(key))
    return text or reader_name(instance)
