"""Spherical heads with electrodes and MEG coils, and the forward model of dipoles in them.

MNE's sphere model does the physics: four shells for the electrodes, one for the coils.

Shapes: C sensors, M dipoles. Units: metres in head coordinates, A m, and V, T or T/m.
"""

from dataclasses import dataclass
from typing import Any

import mne
import numpy as np

from brainfm.geometry import DEVICE_FRAME, MEG_KIND, sensor_type
from brainfm.montage import montage_positions, standard_montage
from brainfm.samples import sample_paths
from brainfm.sensors import FloatArray
from brainfm.simulation_config import SimulationConfig

HEAD_SIZE = (0.9, 1.0)
"""People's heads in parts of the montage's own."""

HEAD_SHIFT = 0.003
"""Standard deviation in m of where people hold their heads in the MEG helmet."""

GAIN_SPREAD = 0.05
"""Standard deviation of the logarithm of a channel's gain."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SyntheticHead:
    """One person's head in the sensors.

    Parameters
    ----------
    info
        MNE's description of the C sensors.
    centre
        (3,) of the sphere.
    radius
        Of the scalp.
    gains
        (C,) factors on what the sensors measure.
    """

    info: mne.Info
    centre: FloatArray
    radius: float
    gains: FloatArray

    @property
    def kinds(self) -> list[str]:
        """Return MNE's type of every channel: ``eeg``, ``mag`` or ``grad``."""
        return list(self.info.get_channel_types())

    def places(self, directions: FloatArray, depth: FloatArray | float) -> FloatArray:
        """Return positions (M, 3) along ``directions`` at ``depth`` parts of the radius."""
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        return np.asarray(self.centre + unit * self.radius * np.reshape(depth, (-1, 1)))

    def lead_field(self, positions: FloatArray, orientations: FloatArray) -> FloatArray:
        """Return what the sensors measure of each dipole, (C, M) per A m, gains not included.

        Parameters
        ----------
        positions
            (M, 3) inside the inner shell, 0.9 of the radius.
        orientations
            (M, 3) unit vectors.
        """
        n = len(positions)
        ones = np.ones(n)
        with mne.use_log_level("ERROR"):
            sphere = mne.make_sphere_model(r0=self.centre, head_radius=self.radius)
            # Times that differ make MNE take the dipoles as n sources of one moment each.
            dipoles = mne.Dipole(np.arange(n) / 100, positions, ones, orientations, ones)
            forward, _ = mne.make_forward_dipole(dipoles, sphere, self.info)
        assert forward["sol"]["row_names"] == self.info["ch_names"]
        return np.asarray(forward["sol"]["data"], dtype=np.float64)


def make_head(
    cfg: SimulationConfig, channels: tuple[str, ...], *, generator: np.random.Generator
) -> SyntheticHead:
    """Draw a person's head: size, place in the helmet, gains.

    Parameters
    ----------
    cfg
        Names the montage and the MEG array.
    channels
        Electrodes of the montage to use; none named: all of them.
    generator
        Source of randomness.
    """
    scale = generator.uniform(*HEAD_SIZE)
    shift = generator.normal(0.0, HEAD_SHIFT, 3)
    device = _neuromag() if cfg.meg == "neuromag" or cfg.montage == "none" else None
    if cfg.montage == "none":
        assert device is not None
        names: tuple[str, ...] = ()
        scalp = np.array([ch["loc"][:3] for ch in device["chs"] if sensor_type(ch) == "eeg"])
    else:
        names = electrode_names(cfg.montage, channels)
        scalp = np.array(list(montage_positions(cfg.montage).values()))
    centre, radius = fit_sphere(scalp)
    coils = [] if device is None else [ch for ch in device["chs"] if ch["kind"] == MEG_KIND]
    info = _info(cfg, names, scale, coils)
    if device is not None:
        placed = np.array(device["dev_head_t"]["trans"])
        placed[:3, 3] += shift
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", placed)
    n_channels = len(info["ch_names"])
    return SyntheticHead(
        info=info,
        centre=centre * scale,
        radius=radius * scale,
        gains=np.exp(generator.normal(0.0, GAIN_SPREAD, n_channels)),
    )


def electrode_names(montage: str, channels: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the electrodes to use, spelled as the montage does where it is a standard one.

    Raises
    ------
    ValueError
        Montage unknown (with names near it), or without one of ``channels``.
    """
    known = tuple(montage_positions(montage))
    standard = standard_montage(montage)
    if standard:
        known = tuple(mne.channels.make_standard_montage(standard).ch_names)
    if not channels:
        # 10-05 montages name four places twice (T3 and T7): one name is enough.
        where = np.round([montage_positions(montage)[name.lower()] for name in known], 6)
        _, first = np.unique(where, axis=0, return_index=True)
        return tuple(known[i] for i in sorted(first.tolist()))
    spelled = {name.lower(): name for name in known}
    lost = [name for name in channels if name.lower() not in spelled]
    if lost:
        raise ValueError(
            f"montage {montage!r} has no electrodes named {', '.join(lost)}; it has "
            f"{', '.join(known[:8])} ... ({len(known)} in all)"
        )
    return tuple(dict.fromkeys(spelled[name.lower()] for name in channels))


def fit_sphere(points: FloatArray) -> tuple[FloatArray, float]:
    """Return centre (3,) and radius of the sphere nearest to points (N, 3), by least squares."""
    if len(points) < 4:
        raise ValueError(f"a head needs a montage of at least 4 electrodes, got {len(points)}")
    system = np.column_stack([2 * points, np.ones(len(points))])
    x = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0]
    return x[:3], float(np.sqrt(x[3] + x[:3] @ x[:3]))


def _neuromag() -> mne.Info:
    """Return the description of the bundled MEG recording."""
    path = next(path for path in sample_paths() if path.name.startswith("neuromag"))
    with mne.use_log_level("ERROR"):
        return mne.io.read_info(path)


def _info(
    cfg: SimulationConfig, names: tuple[str, ...], scale: float, coils: list[dict[str, Any]]
) -> mne.Info:
    kinds = ["mag" if sensor_type(ch) == "mag" else "grad" for ch in coils]
    labels = [ch["ch_name"] for ch in coils] + list(names)
    info = mne.create_info(labels, cfg.sfreq, kinds + ["eeg"] * len(names), verbose="ERROR")
    for made, coil in zip(info["chs"][: len(coils)], coils, strict=True):
        made.update(loc=np.array(coil["loc"]), coil_type=coil["coil_type"])
        made["coord_frame"] = DEVICE_FRAME
    if names:
        places = montage_positions(cfg.montage)
        dig = mne.channels.make_dig_montage(
            {name: places[name.lower()] * scale for name in names}, coord_frame="head"
        )
        with mne.use_log_level("ERROR"):
            info.set_montage(dig)
    info["line_freq"] = cfg.line_freq or None
    return info
