from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from brainfm.finetune import prior_control
from brainfm.finetune.control_settings import DoesNotApplyError
from brainfm.finetune.decoded_run import load_run
from brainfm.finetune.measures import measures_of
from brainfm.finetune.prior_control import prior, run_prior
from brainfm.finetune.targets import Targets

from brainfm.trials import Trial, TrialConfig, Trials


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


def known(monkeypatch, **data):
    monkeypatch.setattr(prior_control, "load_data", lambda run: SimpleNamespace(**data))


def trials_of(run) -> Trials:
    """Return the trials of a run made by hand, four to a group."""
    columns = run.record.columns
    names = ("recording", "label", "stimulus", "group")
    rows = zip(run.record.onsets, *(columns[name] for name in names), strict=True)
    made = [
        Trial(onset=onset, recording=recording, label=label, stimulus=stimulus, group=group)
        for onset, recording, label, stimulus, group in rows
    ]
    return Trials(config=TrialConfig(), recordings={}, rows=tuple(made))


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

    rows = np.arange(192) % 4
    targets = Targets(ids=np.array(run.record.ids), rows=rows, values=values)
    known(monkeypatch, trials=None, targets=targets)
    made = load_run(run_prior(path, tmp_path / "prior"))
    assert made.identity == run.identity
    assert (made.record.control, made.record.name) == ("prior_only", "prior only")
    for fold in made.folds:
        assert (fold.output == fold.output[0]).all()
    main = measures_of(made)[0]
    assert main.metric.compute(main.prediction, main.target) == pytest.approx(main.metric.chance)


def test_retrieval_of_wholes_has_no_prior(make_run, monkeypatch, tmp_path):
    path = make_run(kind="retrieval", contents=12)
    trials = trials_of(load_run(path))
    each = replace(trials, rows=tuple(replace(t, group=t.stimulus) for t in trials.rows))
    known(monkeypatch, trials=each, targets=None)
    with pytest.raises(DoesNotApplyError, match="at chance by construction"):
        run_prior(path, tmp_path / "prior")


def test_of_words_in_sentences_it_is_their_language(make_run, monkeypatch, tmp_path):
    path = make_run(kind="retrieval", contents=12, effect=0.0)
    run = load_run(path)
    # Words of a group always come in the same order: language tells which one is where.
    trials = trials_of(run)
    targets = Targets(ids=np.array(run.record.ids), rows=trials.targets)
    known(monkeypatch, trials=trials, targets=targets)
    made = load_run(run_prior(path, tmp_path / "prior"))
    for fold in made.folds:
        assert (fold.output < 0).all()
    score = {m.metric.name: m.metric.compute(m.prediction, m.target) for m in measures_of(made)}
    chance = {m.metric.name: m.metric.chance for m in measures_of(made)}
    assert score["top-1"] > 2 * chance["top-1"]
    assert score["2-way"] > 0.8


def test_a_language_model_says_what_is_nearer_to_training(tmp_path, monkeypatch):
    pytest.importorskip("flashlight.lib.text.decoder")
    targets = texts("aab", "aab", "aab", "b")
    head = {"init_args": {"decoding": {"method": "beam", "language_model": "training", "order": 3}}}
    monkeypatch.setattr(prior_control, "settings_of", lambda run: {"model": {"head": head}})
    answer = prior_control._with_language_model(np.array("bbbbbb"), tmp_path, targets, targets.rows)
    assert str(answer) != "bbbbbb"
    # What training says itself cannot be beaten by anything as far from it.
    kept = prior_control._with_language_model(np.array("aab"), tmp_path, targets, targets.rows)
    assert str(kept) == "aab"
    monkeypatch.setattr(prior_control, "settings_of", lambda run: {"model": {"head": {}}})
    same = prior_control._with_language_model(np.array("bbbbbb"), tmp_path, targets, targets.rows)
    assert str(same) == "bbbbbb"
