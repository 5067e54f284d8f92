"""The log of a run over its restarts."""

from pathlib import Path

import numpy as np
import pytest

from brainfm.training_log import read_training_log


def write(run: Path, version: int, text: str) -> None:
    folder = run / "logs" / f"version_{version}"
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(text)


def test_empty_cells_are_no_points(tmp_path: Path) -> None:
    write(tmp_path, 0, "epoch,step,train/loss,validation/loss\n0,9,2.0,\n0,9,,1.5\n1,19,1.0,\n")
    log = read_training_log(tmp_path)
    steps, values = log.series("train/loss")
    np.testing.assert_array_equal(steps, [9, 19])
    np.testing.assert_array_equal(values, [2.0, 1.0])
    assert log.last("validation/loss") == 1.5
    assert log.last_step == 19


def test_a_restart_takes_the_place_of_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 2, "epoch,step,train/loss\n0,9,9\n0,19,8\n0,29,7\n0,39,6\n")
    write(tmp_path, 10, "epoch,step,train/loss\n0,29,3\n0,39,2\n")
    steps, values = read_training_log(tmp_path).series("train/loss")
    np.testing.assert_array_equal(steps, [9, 19, 29, 39])
    np.testing.assert_array_equal(values, [9, 8, 3, 2])


def test_a_new_run_in_the_same_folder_replaces_the_old_one(tmp_path: Path) -> None:
    write(tmp_path, 0, "epoch,step,train/loss,train/old\n0,9,9,1\n0,99,8,1\n")
    write(tmp_path, 1, "epoch,step,train/loss\n0,9,5\n")
    log = read_training_log(tmp_path)
    assert log.last_step == 9
    assert list(log.columns) == ["train/loss"]


def test_validating_a_run_afterwards_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, 0, "epoch,step,train/loss,validation/loss\n0,9,9,\n0,9,,4\n")
    write(tmp_path, 1, "epoch,step,validation/loss\n0,0,3\n")
    log = read_training_log(tmp_path)
    assert log.last("train/loss") == 9
    assert log.last("validation/loss") == 4


def test_half_a_line_at_the_end_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, 0, "epoch,step,train/loss\n0,9,2.5\n0,19,1")
    assert read_training_log(tmp_path).last_step == 9


def test_a_run_that_diverged_shows_it(tmp_path: Path) -> None:
    write(tmp_path, 0, "epoch,step,train/loss\n0,9,2.5\n0,19,nan\n")
    log = read_training_log(tmp_path)
    assert np.isnan(log.series("train/loss").values[-1])
    assert log.last("train/loss") is None
    assert log.last("train/loss", until=18) == 2.5
    assert log.last("train/loss", until=8) is None


def test_levels_go_as_far_as_they_are_numbered(tmp_path: Path) -> None:
    write(tmp_path, 0, "epoch,step,train/x,v/loss_0,v/loss_1,v/loss_3\n0,9,0,1,2,4\n")
    levels = read_training_log(tmp_path).levels("v/loss")
    assert [float(series.values[0]) for series in levels] == [1, 2]


def test_no_training_no_log(tmp_path: Path) -> None:
    (tmp_path / "logs" / "version_0").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="no logs/version_"):
        read_training_log(tmp_path)
    other = tmp_path / "other"
    write(other, 0, "")
    with pytest.raises(FileNotFoundError, match="no logs/version_"):
        read_training_log(other)


def test_a_validation_run_anew_leaves_the_row_of_its_step(tmp_path: Path) -> None:
    """A run stopped in the middle of a validation begins with it, after the step it belongs to."""
    write(tmp_path, 0, "epoch,step,train/loss,validation/loss\n0,8,3,\n0,9,2,\n")
    write(tmp_path, 1, "epoch,step,train/loss,validation/loss\n0,9,,7\n0,10,1,\n")
    log = read_training_log(tmp_path)
    np.testing.assert_array_equal(log.series("train/loss").steps, [8, 9, 10])
    np.testing.assert_array_equal(log.series("train/loss").values, [3, 2, 1])
    np.testing.assert_array_equal(log.series("validation/loss").values, [7])
