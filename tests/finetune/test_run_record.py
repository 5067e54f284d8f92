import json
from pathlib import Path

from brainfm.finetune.run_record import RUN_FILE, RunRecord, at_home


def test_settings_mean_what_they_meant_where_the_run_was_fitted(make_run, tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    run = make_run(folder=str(home))
    monkeypatch.chdir(elsewhere)
    with at_home(run):
        assert Path.cwd() == home
    assert Path.cwd() == elsewhere
    # Where the folder is gone, here is as good as anywhere.
    home.rmdir()
    with at_home(run):
        assert Path.cwd() == elsewhere


def test_a_run_that_does_not_say_where_it_was_fitted_is_read(make_run):
    run = make_run()
    said = json.loads((run / RUN_FILE).read_text())
    del said["folder"]
    (run / RUN_FILE).write_text(json.dumps(said))
    assert RunRecord.load(run).folder == ""
