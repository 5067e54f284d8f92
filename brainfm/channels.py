"""Which channels of an MNE recording are sensors of the brain, and where they are.

Shapes: C sensors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from brainfm.amplitude import parse_unit
from brainfm.formats import UNTYPED_READERS
from brainfm.geometry import (
    HEAD_FRAME,
    POSITION_UNITS,
    coil_geometry,
    electrode_positions,
    has_head_position,
    head_transform,
    sensor_type,
)
from brainfm.montage import DEFAULT_MONTAGE, other_signal, positions_by_name, standard_montage
from brainfm.sensors import SENSOR_TYPES, FloatArray, SensorArray


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Every repair that a recording can need. The defaults take a sound file as it is.

    Parameters
    ----------
    montage
        Place EEG electrodes by channel name: an MNE standard montage (``standard_1005``,
        ``biosemi128``, ``GSN-HydroCel-129`` ...) or the path of an electrode file. Not given:
        positions of the file, or ``standard_1005`` by name where the file has none at all.
    unit
        What the stored numbers really are: ``"uV"`` when microvolts were read as volts,
        ``"V as uV"`` when volts were read as microvolts, ``"uV, fT"`` for EEG and MEG. ``"V"`` or
        ``"T"`` states that an unusual amplitude is right.
    position_unit
        What stored electrode positions really are, where they were read as metres: ``m``, ``cm``
        or ``mm``. In recordings without electrodes, of the MEG coils.
    head_transform
        For MEG files that have no transformation to head coordinates: path of a FIF file that has
        it, or ``"device"`` to take device for head coordinates.
    rename
        New names of channels, before anything is decided by name.
    exclude
        Channels to leave out, by (new) name; ``*`` and ``?`` match any characters. Names that
        a recording does not have are passed over, so that one list serves a whole data set.
    line_freq
        Mains frequency in Hz where the header does not tell.
    unplaced
        What to do with electrodes whose position nobody knows: ``"error"`` or ``"drop"``.
    """

    montage: str | None = None
    unit: str | None = None
    position_unit: str | None = None
    head_transform: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    line_freq: float | None = None
    unplaced: str = "error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "exclude", tuple(self.exclude))
        if self.unit is not None:
            parse_unit(self.unit)
        if self.position_unit not in (None, *POSITION_UNITS):
            raise ValueError(
                f"position_unit must be one of {', '.join(POSITION_UNITS)}, "
                f"got {self.position_unit!r}"
            )
        if self.unplaced not in ("error", "drop"):
            raise ValueError(f"unplaced must be 'error' or 'drop', got {self.unplaced!r}")
        if self.line_freq is not None and not self.line_freq > 0:
            raise ValueError(f"line_freq must be above 0 Hz, got {self.line_freq}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """Channels taken from a recording.

    Parameters
    ----------
    picks
        (C,) indices of the channels in the file.
    sensors
        The sensors, in that order.
    excluded
        Name -> reason of the channels not taken.
    notes
        What was assumed.
    """

    picks: NDArray[np.int64]
    sensors: SensorArray
    excluded: dict[str, str]
    notes: tuple[str, ...]


def select_channels(
    info: mne.Info, options: ReadOptions, *, reader: str, rates: FloatArray | None = None
) -> Selection:
    """Decide type and place of every channel.

    Parameters
    ----------
    info
        MNE's measurement info; not changed.
    options
        Repairs.
    reader
        Class name of the MNE object, which tells whether its format stores channel types.
    rates
        Hz at which every channel is stored, where a format has one for each. Sensors that are
        stored at another rate than most are excluded.
    """
    names = [options.rename.get(name, name) for name in info["ch_names"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"rename gives several channels the same name: {', '.join(twice)}")
    types: list[str | None] = []
    excluded: dict[str, str] = {}
    for index, (name, channel) in enumerate(zip(names, info["chs"], strict=True)):
        kind = None
        if any(fnmatchcase(name, pattern) for pattern in options.exclude):
            excluded[name] = "excluded by option"
        else:
            kind = sensor_type(channel)
            if kind is None:
                excluded[name] = f"channel type {mne.channel_type(info, index)}"
        types.append(kind)
    notes: list[str] = []
    if rates is not None:
        _keep_one_rate(names, types, rates, excluded, notes)
    positions = _electrodes(info, names, types, options, reader, excluded, notes)
    _drop_bare_coils(info, names, types, options, excluded)
    placed = [i for i, kind in enumerate(types) if kind is not None]
    if not placed:
        listed = ", ".join(f"{name} ({why})" for name, why in list(excluded.items())[:5])
        raise ValueError(f"holds no EEG or MEG channels; its channels: {listed}")
    orientations = np.zeros((len(names), 3))
    coils = [i for i in placed if SENSOR_TYPES[str(types[i])].oriented]
    if coils:
        positions[coils], orientations[coils] = _coils(info, coils, types, options, notes)
    sensors = SensorArray(
        positions=positions[placed],
        orientations=orientations[placed],
        types=np.array([types[i] for i in placed], dtype=np.str_),
        names=tuple(names[i] for i in placed),
    )
    return Selection(
        picks=np.array(placed, dtype=np.int64),
        sensors=sensors,
        excluded=excluded,
        notes=tuple(notes),
    )


def _keep_one_rate(
    names: list[str],
    types: list[str | None],
    rates: FloatArray,
    excluded: dict[str, str],
    notes: list[str],
) -> None:
    """Take out of ``types`` the sensors whose rate is not the most frequent one."""
    sensors = [i for i, kind in enumerate(types) if kind is not None]
    values, counts = np.unique(rates[sensors], return_counts=True)
    if len(values) < 2:
        return
    usual = values[::-1][counts[::-1].argmax()]  # the faster one of two as frequent
    odd = [i for i in sensors if rates[i] != usual]
    for i in odd:
        types[i] = None
        excluded[names[i]] = f"stored at {rates[i]:g} Hz, most channels at {usual:g} Hz"
    notes.append(f"{len(odd)} channels stored at other rates than {usual:g} Hz were left out")


def _electrodes(
    info: mne.Info,
    names: list[str],
    types: list[str | None],
    options: ReadOptions,
    reader: str,
    excluded: dict[str, str],
    notes: list[str],
) -> FloatArray:
    """Place electrodes, (all channels, 3); takes out of ``types`` what is none or has no place."""
    positions = np.full((len(names), 3), np.nan)
    index = [i for i, kind in enumerate(types) if kind in ("eeg", "ieeg")]
    if not index:
        return positions
    to_head = info["dev_head_t"]
    positions[index] = (
        electrode_positions(
            [info["chs"][i] for i in index], None if to_head is None else to_head["trans"]
        )
        * POSITION_UNITS[options.position_unit or "m"]
    )
    stored = np.isfinite(positions).all(axis=1)
    for i in index:
        reason = other_signal(names[i]) if types[i] == "eeg" else None
        # A format that stores types and a position means what it says.
        if reason and (UNTYPED_READERS.fullmatch(reader) or not stored[i]):
            types[i], excluded[names[i]] = None, reason
    eeg = [i for i in index if types[i] == "eeg"]
    montage = options.montage
    if montage is None and eeg and not stored[eeg].any():
        montage = DEFAULT_MONTAGE
        notes.append(f"the file has no electrode positions: placed by name from {montage}")
    if montage is not None:
        # A template knows places on the scalp; a file may place intracranial contacts too.
        named = eeg if standard_montage(montage) else [i for i in index if types[i] is not None]
        positions[named] = positions_by_name([names[i] for i in named], montage)
    lost = [i for i in index if types[i] is not None and np.isnan(positions[i]).any()]
    if lost and options.unplaced == "error":
        where = (
            f"montage {montage!r} has no place"
            if montage
            else "the file has no position in head coordinates"
        )
        shown = ", ".join(names[i] for i in lost[:8]) + (", ..." if len(lost) > 8 else "")
        raise ValueError(
            f"{where} for {len(lost)} of {len(index)} electrodes ({shown}): give "
            f"montage= (a standard montage such as biosemi128, or an electrode file), rename=, "
            f"exclude=, or unplaced='drop'"
        )
    for i in lost:
        types[i], excluded[names[i]] = None, "no position known"
    return positions


def _drop_bare_coils(
    info: mne.Info,
    names: list[str],
    types: list[str | None],
    options: ReadOptions,
    excluded: dict[str, str],
) -> None:
    """Take out of ``types`` the MEG channels without geometry, or refuse them."""
    oriented = [i for i, kind in enumerate(types) if kind and SENSOR_TYPES[kind].oriented]
    bare = []
    for i in oriented:
        loc = np.asarray(info["chs"][i]["loc"], dtype=np.float64)
        if not np.isfinite(loc).all() or not loc[:3].any() or not loc[9:12].any():
            bare.append(i)
    if bare and options.unplaced == "error":
        shown = ", ".join(names[i] for i in bare[:8]) + (", ..." if len(bare) > 8 else "")
        raise ValueError(
            f"the file has no position and direction for {len(bare)} of {len(oriented)} MEG "
            f"sensors ({shown}): leave them out with exclude= or unplaced='drop'"
        )
    for i in bare:
        types[i], excluded[names[i]] = None, "no position known"


def _coils(
    info: mne.Info,
    coils: list[int],
    types: list[str | None],
    options: ReadOptions,
    notes: list[str],
) -> tuple[FloatArray, FloatArray]:
    channels: list[dict[str, Any]] = [info["chs"][i] for i in coils]
    to_head = None
    if any(int(channel["coord_frame"]) != HEAD_FRAME for channel in channels):
        to_head = head_transform(info, options.head_transform)
        if not has_head_position(info):
            notes.append(f"MEG device to head coordinates by option: {options.head_transform}")
    electrodes = any(kind in ("eeg", "ieeg") for kind in types)
    unit = 1.0 if electrodes else POSITION_UNITS[options.position_unit or "m"]
    return coil_geometry(channels, to_head, unit)
