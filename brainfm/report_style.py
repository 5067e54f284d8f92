"""How the pictures of a report look: one colour per sensor type, readable units, one font size.

Colours of sensor types are those of Okabe and Ito, which people with any colour vision can tell
apart.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from brainfm.sensors import SENSOR_TYPES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 11.0
"""Inches of every picture."""

ORIGINAL = "#333333"
QUIET = "#9a9a9a"
LEVEL_MAP, CODE_MAP, SHARE_MAP, SIGNED_MAP = "viridis", "viridis", "viridis", "RdBu_r"

TYPE_COLOURS = MappingProxyType(
    {
        "eeg": "#0072B2",
        "mag": "#D55E00",
        "planar": "#009E73",
        "axial": "#CC79A7",
        "ieeg": "#E69F00",
        "voxel": "#56B4E9",
    }
)

_RC: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.fontsize": 9,
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "lines.linewidth": 1.2,
}


class DisplayUnit(NamedTuple):
    """A unit people read: its ``name``, and how many of it make one SI unit."""

    name: str
    per_si: float


_UNITS = MappingProxyType(
    {
        "V": DisplayUnit("µV", 1e6),
        "T": DisplayUnit("fT", 1e15),
        "T/m": DisplayUnit("fT/cm", 1e13),
        "": DisplayUnit("SD", 1.0),
    }
)


def display_unit(sensor_type: str) -> DisplayUnit:
    """Return the unit in which signals of a sensor type are shown."""
    return _UNITS[SENSOR_TYPES[sensor_type].unit]


def label_of(sensor_type: str, n: int = 1) -> str:
    """Return what a reader calls ``n`` sensors of a type."""
    label = SENSOR_TYPES[sensor_type].label
    return label if n == 1 or label.endswith("EEG") else f"{label}s"


@contextmanager
def house_style() -> Iterator[None]:
    """Hold the report's style; pictures are drawn and saved inside."""
    import matplotlib as mpl

    with mpl.rc_context(_RC):
        yield


@contextmanager
def new_figure(height: float, width: float = WIDTH) -> Iterator["Figure"]:
    """Yield an empty picture (inches); everything drawn inside the block has the report's style."""
    from matplotlib.figure import Figure

    dpi = _RC["figure.dpi"]
    # A size that is a hair less than whole pixels is cut in one place and rounded in another.
    size = [(round(inches * dpi) + 0.01) / dpi for inches in (width, height)]
    with house_style():
        yield Figure(figsize=(size[0], size[1]))


def level_colours(n_levels: int) -> list[Any]:
    """Return one colour per level of codes, the first level darkest."""
    import matplotlib as mpl

    return [mpl.colormaps[LEVEL_MAP](0.85 * k / max(1, n_levels - 1)) for k in range(n_levels)]
