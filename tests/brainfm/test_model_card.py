"""Model cards: what a run was trained on, and sections of one's own."""

from dataclasses import replace

from brainfm.checkpoints import load_checkpoint, save_checkpoint

ROW = {
    "name": "ssvep",
    "licence": "CC0-1.0",
    "devices": ["g.MOBIlab+"],
    "recordings": 6,
    "subjects": 3,
    "hours": 0.42,
}
SECTION = "## Probes\n\n| task | accuracy |\n|---|---|\n| a | 0.5 |\n"


def card_of(model, folder, training=None, **changes):
    record = replace(model.record, training=training or {}, **changes)
    model.record = record
    return (save_checkpoint(model, folder) / "README.md").read_text()


def test_data_sets_are_a_table_that_both_stages_share(tiny_model, tmp_path):
    stage = {"datasets": [ROW], "hours": 0.42, "split_digest": "ab"}
    card = card_of(tiny_model(), tmp_path, {"tokenizer": stage, "masked_model": dict(stage)})
    line = "| ssvep | g.MOBIlab+ | CC0-1.0 | 6 (3) | 0.420 |"
    assert card.count(line) == 1
    assert "data sets" not in card.split("### Tokenizer")[1].split(line)[0].replace(
        "data set |", ""
    )


def test_stages_of_different_data_have_a_table_each(tiny_model, tmp_path):
    stages = {
        "tokenizer": {"datasets": [ROW]},
        "masked_model": {"datasets": [ROW | {"hours": 0.1}]},
    }
    card = card_of(tiny_model(), tmp_path, stages)
    assert "| 0.420 |" in card
    assert "| 0.100 |" in card


def test_names_alone_are_a_row(tiny_model, tmp_path):
    """Checkpoints of older versions have no more."""
    card = card_of(tiny_model(), tmp_path, {"tokenizer": {"datasets": ["ssvep (CC0-1.0)"]}})
    assert "| data sets | ssvep (CC0-1.0) |" in card


def test_sections_come_before_the_limits_and_survive_saving(tiny_model, tmp_path):
    card = card_of(tiny_model(), tmp_path / "a", sections=(SECTION, "## Sources\n\nnone\n"))
    assert card.index("## Fidelity") < card.index("## Probes") < card.index("## Sources")
    assert card.index("## Sources") < card.index("## Limits")
    assert SECTION in card
    again = save_checkpoint(load_checkpoint(tmp_path / "a"), tmp_path / "b")
    assert (again / "README.md").read_text() == card
