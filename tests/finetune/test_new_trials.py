from brainfm.finetune.new_trials import new_subjects


def test_how_unseen_subjects_are_decoded_is_said():
    said = new_subjects(["d/7"], own_maps=True)
    assert said == "not among the training subjects: d/7; decoded by the map for unseen subjects"
    said = new_subjects([f"d/{k}" for k in range(9)], own_maps=False)
    assert "d/4, ...; decoded as all are" in said
    assert "d/5" not in said
