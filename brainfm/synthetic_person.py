"""Synthetic people: a head, dipoles that answer to stimuli, and how late each answers.

Shapes: C sensors, M dipoles, K components (dipoles that share one course), L lags, R regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from brainfm.sensors import FloatArray
from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_bold import draw_coupling
from brainfm.synthetic_head import SyntheticHead, make_head

REGIONS = MappingProxyType(
    {
        "auditory": ((-0.95, 0.05, 0.15), (0.95, 0.05, 0.15)),
        "visual": ((-0.2, -0.95, 0.1), (0.2, -0.95, 0.1)),
        "rhythm": ((0.0, 0.0, 0.6),),
    }
)
"""Directions from the head's centre (right, anterior, superior) of the dipoles of a component."""

SCATTER = MappingProxyType({"auditory": 0.12, "visual": 0.15, "rhythm": 0.7})
"""How far components, and people, lie apart: standard deviation of each coordinate of direction."""

DEPTH = (0.65, 0.8)
"""Parts of the head's radius."""

LATENCY_SPREAD = 0.05
"""Standard deviation of the logarithm of latency over components and people."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One course of activity and the region that shows it.

    Parameters
    ----------
    name
        Such as ``speech-0``, ``image-2``, ``rhythm-1``.
    region
        Key of :data:`REGIONS`.
    """

    name: str
    region: str


@dataclass(frozen=True, kw_only=True, eq=False)
class SyntheticPerson:
    """What stays the same over the sessions of one person.

    Parameters
    ----------
    head
        Geometry, sensors and gains.
    positions, orientations
        (M, 3) of the dipoles; m in head coordinates, unit vectors.
    component
        (M,) which component a dipole belongs to.
    lead_field
        (C, K) what the sensors record of every component, gains included: V, T or T/m per A m.
    latencies
        (K,) s of the largest peak of the response.
    bold_lags, bold_couplings
        (R,) see :class:`~brainfm.synthetic_bold.Bold`.
    """

    head: SyntheticHead
    positions: FloatArray
    orientations: FloatArray
    component: NDArray[np.int64]
    lead_field: FloatArray
    latencies: FloatArray
    bold_lags: FloatArray
    bold_couplings: FloatArray


def make_person(
    cfg: SimulationConfig,
    components: Sequence[Component],
    channels: tuple[str, ...] = (),
    *,
    generator: np.random.Generator,
) -> SyntheticPerson:
    """Draw a person.

    Parameters
    ----------
    cfg
        Names sensors, latency and number of BOLD regions.
    components
        What the person's brain shows.
    channels
        Electrodes of the montage to use; none named: all.
    generator
        Source of randomness.
    """
    body, brain, timing, blood = generator.spawn(4)
    head = make_head(cfg, channels, generator=body)
    directions, owner = [], []
    for index, component in enumerate(components):
        scatter = SCATTER[component.region] * brain.standard_normal(3)
        for direction in REGIONS[component.region]:
            mirrored = scatter * np.where(np.sign(direction[0]) < 0, [-1, 1, 1], 1)
            directions.append(np.array(direction) + mirrored + 0.03 * brain.standard_normal(3))
            owner.append(index)
    positions = head.places(np.array(directions), brain.uniform(*DEPTH, len(owner)))
    orientations = _tangents(positions - head.centre, brain)
    owners = np.array(owner)
    field = head.lead_field(positions, orientations)
    summed = np.stack([field[:, owners == k].sum(axis=1) for k in range(len(components))], axis=1)
    lags, couplings = draw_coupling(cfg.bold_rois, generator=blood)
    late = np.exp(timing.normal(0.0, LATENCY_SPREAD, len(components)))
    return SyntheticPerson(
        head=head,
        positions=positions,
        orientations=orientations,
        component=owners,
        lead_field=head.gains[:, None] * summed,
        latencies=cfg.latency * late,
        bold_lags=lags,
        bold_couplings=couplings,
    )


def _tangents(outward: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Return unit vectors (M, 3), mainly upward, along the sphere: a radial one has no MEG."""
    wanted = np.array([0.0, 0.3, 1.0]) + 0.4 * generator.standard_normal(outward.shape)
    outward = outward / np.linalg.norm(outward, axis=1, keepdims=True)
    wanted -= outward * (wanted * outward).sum(axis=1, keepdims=True)
    return np.asarray(wanted / np.linalg.norm(wanted, axis=1, keepdims=True))


def response_kernel(latency: float, sfreq: float) -> FloatArray:
    """Return the response (L,) to an impulse at lag 0, causal, with a largest peak of -1.

    Three Gaussian waves as of evoked potentials (P1, N1, P2) at half, once and twice ``latency``
    (s). It begins at lag 0 with zero and ends at four times ``latency``.
    """
    lag = np.arange(int(np.ceil(4 * latency * sfreq)) + 1) / sfreq / latency
    waves = ((0.4, 0.5, 0.13), (-1.0, 1.0, 0.2), (0.6, 2.0, 0.4))
    shape = sum(size * np.exp(-(((lag - at) / width) ** 2) / 2) for size, at, width in waves)
    kernel = np.asarray(shape) * (1 - np.exp(-((lag / 0.2) ** 2)))
    return np.asarray(kernel / -kernel.min())
