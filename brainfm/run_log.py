"""The CSV log of a run: nothing that was written is ever lost, and no row is written twice."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from brainfm.atomic import atomic_path


class RunLog(CSVLogger):
    """Lightning's CSV log, safe against being killed and against rows logged again."""

    def __init__(self, folder: str | Path, name: str) -> None:
        super().__init__(folder, name=name)
        self._last_row: tuple[Mapping[str, str], int | None] | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Return the writer of this start's file."""
        if self._experiment is None:
            self._experiment = WholeFileWriter(self.log_dir)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log a row, unless it is the one that was just logged."""
        # As text: NaN is no other row than NaN.
        row = ({name: repr(float(value)) for name, value in metrics.items()}, step)
        if row != self._last_row:
            super().log_metrics(dict(metrics), step)
        self._last_row = row


class WholeFileWriter(ExperimentWriter):
    """Puts a file with a longer header in the old one's place at once."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        with open(self.metrics_file_path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with (
            atomic_path(self.metrics_file_path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=fieldnames)
            writer.writeheader()
            writer.writerows(rows)
