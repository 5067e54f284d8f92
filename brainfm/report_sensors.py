"""Pictures of where a device measures: in space, and unrolled onto a plane.

Shapes: C sensors.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.report_style import QUIET, TYPE_COLOURS, label_of, new_figure
from brainfm.sensors import SENSOR_TYPES, SensorArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

MIN_FITTED = 16
ARROW = 0.012
MAX_NAMED = 70


class Head(NamedTuple):
    """A sphere: ``centre`` (3,) and ``radius``, metres in head coordinates."""

    centre: FloatArray
    radius: float


DEFAULT_HEAD = Head(np.array([0.0, 0.0, 0.04]), 0.09)
"""What MNE takes for a head when it knows nothing better."""


def fit_head(sensors: SensorArray) -> Head:
    """Return the sphere through the EEG electrodes (least squares); the default if too few.

    A point p on the sphere satisfies ``|p|^2 = 2 c p + (r^2 - |c|^2)``, which is linear in c.
    """
    points = sensors.positions[sensors.types == "eeg"]
    if len(points) < MIN_FITTED:
        return DEFAULT_HEAD
    system = np.column_stack([2 * points, np.ones(len(points))])
    solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    centre = solution[:3]
    radius = float(np.sqrt(max(0.0, solution[3] + centre @ centre)))
    return Head(centre, radius) if 0.06 < radius < 0.13 else DEFAULT_HEAD


def unroll(points: FloatArray, head: Head) -> FloatArray:
    """Project points (C, 3) onto a plane seen from above, (C, 2): azimuthal, equidistant.

    The angle from the vertical through the middle of the head becomes the distance from (0, 0);
    1 is the equator.
    """
    x, y, z = (points - head.centre).T
    distance = np.arctan2(np.hypot(x, y), z) / (np.pi / 2)
    azimuth = np.arctan2(y, x)
    return np.column_stack([distance * np.cos(azimuth), distance * np.sin(azimuth)])


def sensor_figure(sensors: SensorArray, good: NDArray[np.bool_]) -> "Figure":
    """Draw a sensor array in 3-D and unrolled; channels that are not ``good`` (C,) as crosses."""
    kinds = [kind for kind in SENSOR_TYPES if kind in sensors.types]
    head = fit_head(sensors)
    with new_figure(5.6) as figure:
        figure.set_layout_engine("none")
        space: Any = figure.add_axes((0.015, 0.04, 0.47, 0.9), projection="3d")
        plane = figure.add_axes((0.52, 0.1, 0.46, 0.82))
        _draw_head(space, head)
        _draw_outline(plane)
        flat = unroll(sensors.positions, head)
        for kind in kinds:
            of_kind = (sensors.types == kind) & good
            _draw_in_space(space, sensors, of_kind, kind)
            _draw_in_plane(plane, sensors, flat, of_kind, kind, head)
        if not good.all():
            label = f"{int((~good).sum())} bad"
            space.plot(*(100 * sensors.positions[~good]).T, "kx", ms=5.5)
            plane.plot(*flat[~good].T, "kx", ms=5.5, label=label)
        if len(sensors) <= MAX_NAMED:
            _write_names(plane, sensors, flat)
        _finish_space(space, sensors, head)
        plane.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=2 + (len(kinds) < 3),
            handletextpad=0.3,
        )
        plane.set_title("seen from above, unrolled; circle: equator of the sphere")
    return figure


def _write_names(axes: "Axes", sensors: SensorArray, flat: FloatArray) -> None:
    size = 8 if len(sensors) <= 40 else 6.5
    for name, place in zip(sensors.names, flat, strict=True):
        # BCI2000 fills names up to four letters with dots.
        axes.annotate(
            name.rstrip("."),
            tuple(place),
            (0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=size,
        )


def _draw_in_space(axes: Any, sensors: SensorArray, chosen: NDArray[np.bool_], kind: str) -> None:
    places = 100 * sensors.positions[chosen]
    colour = TYPE_COLOURS[kind]
    if not SENSOR_TYPES[kind].oriented:
        axes.scatter(*places.T, s=20, color=colour, lw=0)
        return
    arrows = 100 * ARROW * sensors.orientations[chosen]
    axes.scatter(*places.T, s=4, color=colour, lw=0)
    axes.quiver(*places.T, *arrows.T, color=colour, lw=0.6, arrow_length_ratio=0.3)


def _draw_in_plane(
    axes: "Axes",
    sensors: SensorArray,
    flat: FloatArray,
    chosen: NDArray[np.bool_],
    kind: str,
    head: Head,
) -> None:
    n, colour = int(chosen.sum()), TYPE_COLOURS[kind]
    label = f"{n} {label_of(kind, n)}"
    if kind != "planar":
        # Magnetometers sit where planar gradiometers cross: open circles let those be seen.
        open_circles = kind == "mag"
        x, y = flat[chosen].T
        axes.scatter(
            x,
            y,
            s=52 if open_circles else 24,
            facecolor="none" if open_circles else colour,
            edgecolor=colour,
            lw=0.9,
            label=label,
        )
        return
    nearby = sensors.positions[chosen] + 1e-3 * sensors.orientations[chosen]
    step = unroll(nearby, head) - flat[chosen]
    step *= 0.03 / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12)
    ends = np.stack([flat[chosen] - step, flat[chosen] + step])
    axes.plot(ends[:, :, 0], ends[:, :, 1], color=colour, lw=1.1)
    axes.plot([], [], color=colour, lw=1.1, label=label)


def _draw_head(axes: Any, head: Head) -> None:
    """Draw a faint sphere and a nose, centimetres."""
    azimuth, height = np.mgrid[0 : 2 * np.pi : 25j, 0 : np.pi : 13j]
    unit = (np.cos(azimuth) * np.sin(height), np.sin(azimuth) * np.sin(height), np.cos(height))
    x, y, z = (100 * (c + head.radius * u) for c, u in zip(head.centre, unit, strict=True))
    axes.plot_wireframe(x, y, z, color=QUIET, lw=0.35, alpha=0.7)
    nose = np.array([[-0.014, 0, 0], [0, 0.018, -0.012], [0.014, 0, 0]])
    nose = 100 * (nose + head.centre + [0, head.radius, 0])
    axes.plot(*nose.T, color=QUIET, lw=2)


def _finish_space(axes: Any, sensors: SensorArray, head: Head) -> None:
    """Make the axes equal, label them, and look from the front right."""
    from matplotlib.ticker import MultipleLocator

    lows = 100 * np.minimum(sensors.positions.min(0), head.centre - head.radius) - 1
    highs = 100 * np.maximum(sensors.positions.max(0), head.centre + head.radius) + 1
    for name, low, high in zip("xyz", lows, highs, strict=True):
        getattr(axes, f"set_{name}lim")(low, high)
        getattr(axes, f"{name}axis").set_major_locator(MultipleLocator(5))
    axes.set_box_aspect(highs - lows, zoom=0.93)
    axes.view_init(elev=22, azim=35)
    axes.set_xlabel("right (cm)")
    axes.set_ylabel("anterior (cm)")
    axes.set_zlabel("superior (cm)")
    axes.tick_params(labelsize=8)
    axes.set_title(f"head coordinates; sphere of {100 * head.radius:.1f} cm")


def _draw_outline(axes: "Axes") -> None:
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(turn), np.sin(turn), color=QUIET, lw=1)
    axes.plot([-0.1, 0, 0.1], [0.995, 1.12, 0.995], color=QUIET, lw=1)
    axes.set_aspect("equal")
    axes.axis("off")
