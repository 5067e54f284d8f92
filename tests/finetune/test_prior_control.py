import numpy as np
import pytest
from brainfm.finetune import run_data
from brainfm.finetune.decoded_run import load_run
from brainfm.finetune.measures import measures_of
from brainfm.finetune.prior_control import prior, run_prior
from brainfm.finetune.run_controls import DoesNotApplyError
from brainfm.finetune.targets import Targets


def texts(*words):
    """Return targets of words of letters, one trial each."""
    alphabet = tuple(sorted({letter for word in words for letter in word}))
    values = np.zeros((len(words), max(map(len, words))), dtype=np.int64)
    for row, word in zip(values, words, strict=True):
        row[: len(word)] = [alphabet.index(letter) + 1 for letter in word]
    return Targets(
        ids=np.array(words),
        rows=np.arange(len(words)),
        values=values,
        lengths=np.array([len(word) for word in words]),
        alphabet=alphabet,
    )


def test_it_answers_by_training_alone():
    targets = Targets(ids=np.array(["a", "b", "c"]), rows=np.array([0, 1, 1, 1, 2, 2]))
    assert prior("classes", targets, targets.rows[:4]).tolist() == [0.25, 0.75, 0.0]
    values = np.array([[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], dtype=np.float32)
    some = Targets(ids=targets.ids, rows=targets.rows, values=values)
    assert prior("values", some, np.array([0, 1])).tolist() == [2.0, 4.0]


def test_of_texts_it_is_the_least_wrong_one():
    targets = texts("cat", "car", "cart", "dog")
    # Edits to all of training: cat 1 + 1 + 3, car 1 + 1 + 3, cart 1 + 1 + 4, dog 3 + 3 + 4.
    assert str(prior("text", targets, np.arange(4))) in ("cat", "car")
    # What was said often weighs more.
    assert str(prior("text", targets, np.array([0, 1, 2, 3, 3, 3, 3]))) == "dog"


@pytest.mark.parametrize("kind", ["classes", "values"])
def test_it_is_written_like_any_run_and_at_chance(make_run, monkeypatch, tmp_path, kind):
    path = make_run(kind=kind, effect=1.0)
    run = load_run(path)
    values = np.random.default_rng(0).standard_normal((len(run.record.ids), 3)).astype(np.float32)

    class Data:
        targets = Targets(ids=np.array(run.record.ids), rows=np.arange(192) % 4, values=values)

    monkeypatch.setattr(run_data, "load_data", lambda run: Data)
    made = load_run(run_prior(path, tmp_path / "prior"))
    assert made.identity == run.identity
    assert (made.record.control, made.record.name) == ("prior_only", "prior only")
    for fold in made.folds:
        assert (fold.output == fold.output[0]).all()
    main = measures_of(made)[0]
    assert main.metric.compute(main.prediction, main.target) == pytest.approx(main.metric.chance)


def test_retrieval_has_no_prior(make_run, tmp_path):
    with pytest.raises(DoesNotApplyError, match="at chance by construction"):
        run_prior(make_run(kind="retrieval", contents=12), tmp_path / "prior")
