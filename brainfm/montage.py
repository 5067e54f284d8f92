"""Electrode positions by channel name: cleaned 10-05 names, MNE's standard montages, montage files.

Shapes: C channels. Positions in metres, head coordinates.
"""

import difflib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import mne
import numpy as np

from brainfm.sensors import FloatArray, SensorArray

DEFAULT_MONTAGE = "standard_1005"

_PREFIX = re.compile(r"^(?:EEG|POL)(?:[\s_:.-]+|(?=[A-Z]))", re.IGNORECASE)
_REFERENCE = re.compile(
    r"(?:\s*[-_:]\s*|\s+)(?:REF\d*|AVG?|AVERAGE|CAR|LE|RE|CLE|LER|[AM][12]|A1\W?A2|M1\W?M2)$",
    re.IGNORECASE,
)
_OLD_NAMES = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}
_ALIASES = _OLD_NAMES | {new: old for old, new in _OLD_NAMES.items()}
_BIOSEMI = re.compile(r"^[A-I]\d{1,2}$")

_OTHER_SIGNALS = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"[HV]?EOG[A-Z]{0,2}\d*|LOC|ROC", "EOG by its name"),
        (r"E[CK]G[A-Z]{0,2}\d*", "ECG by its name"),
        (r"EMG[A-Z]{0,2}\d*|CHIN\d*", "EMG by its name"),
        (r"STATUS|STI\d*|TRIG(?:GER)?\d*|EVENTS?|MARKERS?|ANNOTATIONS?", "trigger by its name"),
        (r"ACC(?:EL)?[XYZ]?\d*|GYRO?[XYZ]?\d*", "motion sensor by its name"),
        (
            r"GSR\d*|EDA\d*|RESP\w*|PLETH?\w*|PPG\d*|PULSE|SPO2|SAO2|TEMP\w*|AIRFLOW|SNORE|ERGO",
            "body signal by its name",
        ),
        (r"PHOTO\w*|AUDIO\d*|MIC\d*|AUX\d*", "auxiliary input by its name"),
        (r"EXG\d+", "external electrode whose place the name does not tell"),
    )
)


def clean_name(name: str) -> str:
    """Return the electrode's name without prefix, reference and padding.

    Examples
    --------
    >>> [clean_name(name) for name in ("Fc5.", "EEG Fp1-Ref", "EEG T3", "C3-A2", "Fp1-F7")]
    ['Fc5', 'Fp1', 'T3', 'C3', 'Fp1-F7']
    """
    text = _PREFIX.sub("", name.strip()).strip(" .")
    return _REFERENCE.sub("", text).strip(" .")


def other_signal(name: str) -> str | None:
    """Say what a channel is whose name says plainly that it is no electrode on the scalp.

    Whole words decide, never substrings: ``EOG left`` and ``ECG1`` are none, ``Poz`` is one.
    """
    first = re.split(r"[\s_:.-]+", _PREFIX.sub("", name.strip()))[0]
    for pattern, reason in _OTHER_SIGNALS:
        if pattern.fullmatch(first):
            return reason
    return None


def standard_montage(name: str) -> str | None:
    """Return what this MNE calls a standard montage, None when it has none of that name.

    MNE 1.13 renamed ``standard_*`` to ``colin27_*``; both names serve with every version.
    """
    known = mne.channels.get_builtin_montages()
    for old, new in (("", ""), ("standard_", "colin27_"), ("colin27_", "standard_")):
        if name.startswith(old) and new + name[len(old) :] in known:
            return new + name[len(old) :]
    return None


@lru_cache(maxsize=8)
def montage_positions(montage: str) -> dict[str, FloatArray]:
    """Return the positions of a montage by lower-case electrode name, metres in head coordinates.

    Parameters
    ----------
    montage
        Name of an MNE standard montage, or path of a file that MNE reads as one (.elc, .sfp, .loc,
        .locs, .csd, .hpts, .bvef, .fif ...).
    """
    standard = standard_montage(montage)
    if standard:
        built = mne.channels.make_standard_montage(standard)
    elif Path(montage).is_file():
        built = _read_montage(montage)
    else:
        known = mne.channels.get_builtin_montages()
        near = difflib.get_close_matches(montage, known, n=3, cutoff=0.4)
        raise ValueError(
            f"montage {montage!r} is neither a file nor a standard montage"
            + (f"; near: {', '.join(near)}" if near else "")
        )
    with mne.use_log_level("ERROR"):
        head = mne.channels.montage.transform_to_head(built)
    found = head.get_positions()["ch_pos"]
    return {name.lower(): np.asarray(xyz, dtype=np.float64) for name, xyz in found.items()}


def _read_montage(path: str) -> mne.channels.DigMontage:
    try:
        with mne.use_log_level("ERROR"):
            if path.lower().endswith((".fif", ".fif.gz")):
                return mne.channels.read_dig_fif(path)
            return mne.channels.read_custom_montage(path)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot be read as a montage: {reason}") from error


def positions_by_name(names: Sequence[str], montage: str = DEFAULT_MONTAGE) -> FloatArray:
    """Look names up in a montage, (C, 3) metres in head coordinates; NaN where it has none.

    A name is sought as it is, then cleaned (:func:`clean_name`), then by its other 10-20 name
    (T3/T7, T4/T8, T5/P7, T6/P8). When channels are numbered in BioSemi's way (A1, A2, A3 ...), the
    names that happen to be 10-05 names too (C3, F4) are not taken for those.
    """
    known = montage_positions(montage)
    cleaned = [clean_name(name) for name in names]
    numbered = "a3" not in known and any(name.upper() in ("A3", "B3") for name in cleaned)
    positions = np.full((len(names), 3), np.nan)
    for row, (name, short) in enumerate(zip(names, cleaned, strict=True)):
        if numbered and _BIOSEMI.match(short.upper()):
            continue
        for key in (name.strip().lower(), short.lower(), _ALIASES.get(short.lower(), "")):
            if key in known:
                positions[row] = known[key]
                break
    return positions


def sensors_by_name(names: Sequence[str], montage: str = DEFAULT_MONTAGE) -> SensorArray:
    """Return EEG sensors placed by name, for arrays that come without a file.

    Examples
    --------
    >>> sensors_by_name(["TP9", "AF7", "AF8", "TP10"]).types.tolist()
    ['eeg', 'eeg', 'eeg', 'eeg']
    """
    positions = positions_by_name(names, montage)
    lost = [name for name, xyz in zip(names, positions, strict=True) if np.isnan(xyz).any()]
    if lost:
        raise ValueError(f"montage {montage!r} has no electrodes named {', '.join(lost)}")
    return SensorArray(
        positions=positions,
        orientations=np.zeros((len(names), 3)),
        types=np.full(len(names), "eeg"),
        names=tuple(names),
    )
