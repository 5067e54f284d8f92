"""From where a run goes on, and what it refuses to overwrite."""

import pytest
import torch

from brainfm.resume import damage, resolve_resume


@pytest.fixture
def run(tmp_path):
    """A run with checkpoints of steps 9 (last), 6 (best) and 4."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for name, step in (("last", 9), ("best", 6), ("step-4", 4)):
        torch.save({"global_step": step, "w": torch.arange(4000)}, folder / f"{name}.ckpt")
    return tmp_path / "run"


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def test_an_empty_folder_is_a_new_run(tmp_path):
    assert resolve_resume(tmp_path, "auto") is None
    assert resolve_resume(tmp_path, "none") is None


def test_the_newest_is_taken(run):
    assert resolve_resume(run, "auto") == run / "checkpoints" / "last.ckpt"
    torch.save({"global_step": 12}, run / "checkpoints" / "step-12.ckpt")
    assert resolve_resume(run, "auto").name == "step-12.ckpt"


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_half_written_file_is_skipped_with_a_warning(run, share):
    cut(run / "checkpoints" / "last.ckpt", share)
    with pytest.warns(UserWarning, match=r"last.ckpt is skipped"):
        assert resolve_resume(run, "auto").name == "best.ckpt"


def test_any_flipped_byte_of_the_content_is_found(run):
    path = run / "checkpoints" / "last.ckpt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "it is damaged" in damage(path)
    with pytest.warns(UserWarning, match="it is damaged"):
        assert resolve_resume(run, "auto").name == "best.ckpt"


def test_temporary_files_are_no_checkpoints(run):
    source = run / "checkpoints" / "last.ckpt"
    source.rename(run / "checkpoints" / ".last.ckpt.0123.tmp")
    assert resolve_resume(run, "auto").name == "best.ckpt"


def test_where_none_is_whole_nothing_is_begun_anew(run):
    for path in (run / "checkpoints").iterdir():
        cut(path, 0.5)
    with (
        pytest.warns(UserWarning, match="is skipped"),
        pytest.raises(ValueError, match="none that is whole; name another --out"),
    ):
        resolve_resume(run, "auto")


def test_none_refuses_a_run_that_is_there(run):
    with pytest.raises(ValueError, match=r"holds a run already \(best.ckpt, last.ckpt, step-4"):
        resolve_resume(run, "none")


def test_a_checkpoint_by_name_and_by_path(run, tmp_path):
    expected = run / "checkpoints" / "step-4.ckpt"
    assert resolve_resume(run, "step-4") == expected
    assert resolve_resume(run, str(expected)) == expected
    assert resolve_resume(tmp_path / "other", str(expected)) == expected


def test_the_run_of_another_is_not_overwritten(run, tmp_path):
    elsewhere = tmp_path / "elsewhere.ckpt"
    torch.save({"global_step": 1}, elsewhere)
    with pytest.raises(ValueError, match="would overwrite; name another --out"):
        resolve_resume(run, str(elsewhere))


def test_a_named_file_that_is_damaged_or_missing_is_an_error(run):
    cut(run / "checkpoints" / "best.ckpt", 0.5)
    with pytest.raises(ValueError, match="it is cut short or damaged"):
        resolve_resume(run, "best")
    with pytest.raises(FileNotFoundError, match="--resume step-5: no such file"):
        resolve_resume(run, "step-5")
