"""Sensor geometry out of MNE's channel records, and a check that it can be a head's.

Shapes: C sensors. Positions in metres, head coordinates. An MNE channel record ``loc`` holds the
position (3) and, for MEG, the three axes of the coil frame: x (for planar gradiometers the
direction of the gradient), y, z (the coil normal).
"""

from pathlib import Path
from types import MappingProxyType
from typing import Any

import mne
import numpy as np

from brainfm.sensors import SENSOR_TYPES, FloatArray, SensorArray

POSITION_UNITS = MappingProxyType({"m": 1.0, "cm": 1e-2, "mm": 1e-3})

DEVICE_FRAME = 1
HEAD_FRAME = 4
UNKNOWN_FRAME = 0

KINDS = MappingProxyType({2: "eeg", 802: "ieeg", 803: "ieeg", 902: "ieeg"})
"""FIFF channel kinds of electrodes: EEG, sEEG, DBS, ECoG."""

MEG_KIND = 1

ELECTRODE_COILS = (0, 1)
"""FIFF coil types of a plain electrode (none, EEG); bipolar leads and current densities differ."""

COILS = MappingProxyType(
    {
        2: ("planar", "Neuromag-122"),
        4: ("axial", "Neuromag MCG"),
        2000: ("mag", "point magnetometer"),
        2001: ("axial", "axial gradiometer"),
        **dict.fromkeys((3011, 3012, 3013, 3014, 3015), ("planar", "Neuromag")),
        **dict.fromkeys((3021, 3022, 3023, 3024, 3025), ("mag", "Neuromag")),
        4001: ("mag", "4D Magnes"),
        4002: ("axial", "4D Magnes"),
        5001: ("axial", "CTF"),
        6001: ("axial", "KIT"),
        7001: ("axial", "BabySQUID"),
        7002: ("mag", "BabySQUID"),
        7501: ("axial", "Artemis123"),
        8001: ("mag", "QuSpin OPM"),
        8002: ("mag", "QuSpin OPM"),
        8101: ("mag", "FieldLine OPM"),
        8201: ("mag", "Kernel OPM"),
        9001: ("axial", "KRISS"),
        9101: ("axial", "Compumedics"),
        9102: ("axial", "Compumedics"),
    }
)
"""FIFF coil type -> (sensor type, maker). Reference coils are no sensors of the brain."""


def sensor_type(channel: dict[str, Any]) -> str | None:
    """Return the sensor type of an MNE channel record, None where it is not one of the brain.

    Decided from the channel's kind and coil constant alone. The upper half of the coil number holds
    the compensation grade of CTF data.
    """
    kind, coil = int(channel["kind"]), int(channel["coil_type"]) & 0xFFFF
    if kind == MEG_KIND:
        if coil not in COILS:
            raise ValueError(
                f"MEG channel {channel['ch_name']!r} has FIFF coil type {coil}, which brainfm does "
                f"not know: leave it out with exclude="
            )
        return COILS[coil][0]
    return KINDS.get(kind) if coil in ELECTRODE_COILS else None


def electrode_positions(channels: list[dict[str, Any]], to_head: FloatArray | None) -> FloatArray:
    """Return stored electrode positions (C, 3) in head coordinates; NaN where none is stored."""
    positions = np.array([ch["loc"][:3] for ch in channels], dtype=np.float64).reshape(-1, 3)
    positions[~np.isfinite(positions).all(axis=1)] = np.nan
    positions[(positions == 0).all(axis=1)] = np.nan
    for row, channel in enumerate(channels):
        frame = int(channel["coord_frame"])
        if frame == DEVICE_FRAME and to_head is not None:
            positions[row] = to_head[:3, :3] @ positions[row] + to_head[:3, 3]
        elif frame not in (HEAD_FRAME, UNKNOWN_FRAME, DEVICE_FRAME):
            positions[row] = np.nan  # MRI or template space: not where the head is
    return positions


def coil_geometry(
    channels: list[dict[str, Any]], to_head: FloatArray | None, unit: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Return positions (C, 3) and orientations (C, 3) of MEG channels in head coordinates.

    Parameters
    ----------
    channels
        MNE channel records.
    to_head
        (4, 4) device to head transformation; None when every record is in head coordinates.
    unit
        Metres that one stored unit of length stands for.
    """
    positions = np.empty((len(channels), 3))
    orientations = np.empty((len(channels), 3))
    for row, channel in enumerate(channels):
        loc = np.asarray(channel["loc"], dtype=np.float64)
        planar = sensor_type(channel) == "planar"
        position, direction = loc[:3] * unit, loc[3:6] if planar else loc[9:12]
        if int(channel["coord_frame"]) != HEAD_FRAME:
            assert to_head is not None, "device coordinates need a transformation"
            position = to_head[:3, :3] @ position + to_head[:3, 3]
            direction = to_head[:3, :3] @ direction
        positions[row] = position
        orientations[row] = direction / max(float(np.linalg.norm(direction)), 1e-12)
    return positions, orientations


def has_head_position(info: mne.Info) -> bool:
    """Say whether the file knows where the head was in the MEG device.

    An identity counts as no: readers write it when the position was not measured (KIT without
    markers, empty rooms, OPM without coregistration).
    """
    stored = info["dev_head_t"]
    return stored is not None and not np.allclose(stored["trans"], np.eye(4), rtol=0, atol=1e-9)


def head_transform(info: mne.Info, otherwise: str | None) -> FloatArray:
    """Return the (4, 4) transformation from device to head coordinates.

    Parameters
    ----------
    info
        Measurement info of the recording; its own transformation goes first.
    otherwise
        For files without one (:func:`has_head_position`). ``"device"``: take device coordinates
        for head coordinates. Else the path of a FIF file that holds the transformation
        (``-trans.fif``, or another recording of the same session).
    """
    if has_head_position(info):
        return np.asarray(info["dev_head_t"]["trans"], dtype=np.float64)
    if otherwise == "device":
        return np.eye(4)
    if otherwise is not None:
        return _read_transform(otherwise)
    found = "no" if info["dev_head_t"] is None else "an identity as"
    raise ValueError(
        f"MEG sensors are in device coordinates and the file has {found} transformation to the "
        f"head (empty room, or head position not measured): give head_transform=FILE (a FIF file "
        f"that holds it, e.g. another recording of the session) or head_transform='device' to take "
        f"device coordinates for head coordinates"
    )


def _read_transform(path: str) -> FloatArray:
    if not Path(path).is_file():
        raise ValueError(f"head_transform {path!r} is neither a file nor 'device'")
    try:
        with mne.use_log_level("ERROR"):
            try:
                trans = mne.io.read_info(path)["dev_head_t"]
            except ValueError:
                trans = mne.read_trans(path)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: holds no transformation: {reason}") from error
    if trans is None or (trans["from"], trans["to"]) != (DEVICE_FRAME, HEAD_FRAME):
        raise ValueError(f"{path}: holds no transformation from device to head coordinates")
    return np.asarray(trans["trans"], dtype=np.float64)


def geometry_problem(sensors: SensorArray) -> str | None:
    """Say why the positions cannot be those of sensors around a head, or return None.

    Electrodes on a head lie 4 to 20 cm from the origin of head coordinates (between the ears), MEG
    coils 5 to 25 cm; the medians are checked, and that no sensor is beyond 40 cm. Intracranial
    contacts may lie anywhere within.
    """
    distances = np.linalg.norm(sensors.positions, axis=1)
    for kinds, low, high in ((("eeg",), 0.04, 0.2), (("mag", "planar", "axial"), 0.05, 0.25)):
        chosen = np.isin(sensors.types, kinds)
        if not chosen.any():
            continue
        label = "EEG electrodes" if kinds == ("eeg",) else "MEG sensors"
        problem = _cloud_problem(sensors.select(chosen), label, (low, high))
        if problem:
            return problem
    inside = sensors.types == "ieeg"
    if inside.any() and np.median(distances[inside]) > 0.2:
        return _distance_text("intracranial contacts", distances[inside], (0.0, 0.2))
    far = np.flatnonzero(distances > 0.4)
    if len(far):
        names = ", ".join(sensors.names[i] for i in far[:5])
        return (
            f"{len(far)} sensors lie more than 40 cm from the head's origin ({names}): leave them "
            f"out with exclude= or give montage="
        )
    return None


def _cloud_problem(sensors: SensorArray, label: str, limits: tuple[float, float]) -> str | None:
    positions = sensors.positions
    if len(sensors) > 1 and np.ptp(positions, axis=0).max() < 1e-9:
        return f"all {len(sensors)} {label} have the same position: give montage="
    distances = np.linalg.norm(positions, axis=1)
    if not limits[0] <= np.median(distances) <= limits[1]:
        return _distance_text(label, distances, limits)
    if len(sensors) > 3 and np.ptp(positions[:, 2]) < 1e-9:
        return f"all {label} lie in one plane (a drawn layout, not positions): give montage="
    return None


def _distance_text(label: str, distances: FloatArray, limits: tuple[float, float]) -> str:
    median = float(np.median(distances))
    mends = [
        f"position_unit='{name}'"
        for name, size in POSITION_UNITS.items()
        if limits[0] <= median * size <= limits[1]
    ]
    how = " or ".join([*mends, "montage= (positions by channel name, or an electrode file)"])
    return (
        f"{label} lie {median:.3g} m from the head's origin (median), which cannot be a head "
        f"({limits[0]:g} to {limits[1]:g} m): give {how}"
    )


def device_name(channels: list[dict[str, Any]]) -> str | None:
    """Return the maker of the MEG coils, None without MEG."""
    for channel in channels:
        coil = int(channel["coil_type"]) & 0xFFFF
        if int(channel["kind"]) == MEG_KIND and coil in COILS:
            return COILS[coil][1]
    return None


def electrode_array(names: list[str], types: list[str], positions: FloatArray) -> SensorArray:
    """Return sensors without direction."""
    assert all(not SENSOR_TYPES[kind].oriented for kind in types)
    return SensorArray(
        positions=positions,
        orientations=np.zeros((len(names), 3)),
        types=np.array(types, dtype=np.str_),
        names=tuple(names),
    )
