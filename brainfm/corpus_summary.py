"""Tables of what a corpus and its sides hold."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from rich.table import Table

from brainfm.recording_info import RecordingInfo
from brainfm.sensors import SENSOR_TYPES
from brainfm.splits import Split


def _range(values: Iterable[float]) -> str:
    low, high = min(values := list(values)), max(values)
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"


def _by_dataset(infos: Iterable[RecordingInfo]) -> dict[str, list[RecordingInfo]]:
    groups: dict[str, list[RecordingInfo]] = defaultdict(list)
    for info in infos:
        groups[info.dataset].append(info)
    return dict(sorted(groups.items()))


def _names(values: Iterable[str]) -> str:
    return ", ".join(sorted({value or "unknown" for value in values}))


def _amounts(name: str, infos: Sequence[RecordingInfo]) -> list[str]:
    return [
        name,
        str(len(infos)),
        str(len({(info.dataset, info.subject) for info in infos})),
        f"{sum(info.duration for info in infos) / 3600:.2f}",
        _range(info.n_channels for info in infos),
    ]


def amounts_table(infos: Sequence[RecordingInfo]) -> Table:
    """Return recordings, subjects, hours and channels per data set, and of all."""
    table = Table(title="how much")
    table.add_column("data set", overflow="fold")
    for name in ("recordings", "subjects", "hours", "channels"):
        table.add_column(name, justify="right")
    groups = _by_dataset(infos)
    for name, members in groups.items():
        table.add_row(*_amounts(name, members))
    if len(groups) > 1:
        table.add_section()
        table.add_row(*_amounts("all", infos))
    return table


def devices_table(infos: Sequence[RecordingInfo]) -> Table:
    """Return sensors, devices, licence and what is bad per data set."""
    table = Table(title="of what")
    for name in ("data set", "sensors", "devices", "licence"):
        table.add_column(name, overflow="fold")
    table.add_column("bad\nchannels", justify="right")
    table.add_column("flagged\nseconds", justify="right")
    for name, members in _by_dataset(infos).items():
        channels = sum(info.n_channels for info in members)
        seconds = sum(info.duration for info in members)
        types = {kind for info in members for kind in info.types}
        table.add_row(
            name,
            ", ".join(kind for kind in SENSOR_TYPES if kind in types),
            _names(info.device for info in members),
            _names(info.licence for info in members),
            f"{sum(info.bad_channels for info in members) / max(channels, 1):.1%}",
            f"{sum(info.bad_seconds for info in members) / max(seconds, 1):.1%}",
        )
    return table


def side_table(split: Split, infos: Iterable[RecordingInfo]) -> Table:
    """Return recordings, subjects and hours of every side, per data set."""
    seconds = {info.id: info.duration for info in infos}
    table = Table(title=f"divided by {split.config.by}")
    for name in ("side", "data set"):
        table.add_column(name, overflow="fold")
    for name in ("recordings", "subjects", "hours"):
        table.add_column(name, justify="right")
    for side, entries in split.sides.items():
        for dataset in sorted({entry.dataset for entry in entries}):
            members = [entry for entry in entries if entry.dataset == dataset]
            table.add_row(
                side,
                dataset,
                str(len(members)),
                str(len({entry.subject for entry in members})),
                f"{sum(seconds[entry.id] for entry in members) / 3600:.2f}",
            )
        table.add_section()
    return table
