"""The models inside scikit-learn: clone, pipelines, grid search, cross-validation, scorers."""

import copy
import io
import pickle
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

import seqrs


def walks(count: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n, 2)).cumsum(0) for n in rng.integers(3, 15, count)]
    return X, np.array(["up" if x[-1, 0] > 0 else "down" for x in X])


def classifier() -> seqrs.SequenceClassifier:
    return seqrs.SequenceClassifier(cell="gru", hidden_size=8, epochs=6, lr=0.03, random_state=0)


def test_clone_gives_an_unfitted_twin() -> None:
    X, y = walks(20)
    model = classifier().set_params(class_weight={"up": 2.0}).fit(X, y)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not twin.__sklearn_is_fitted__()
    check_is_fitted(model)
    assert is_classifier(model)


def test_cross_validation_and_scorers() -> None:
    X, y = walks(120)
    assert cross_val_score(classifier(), X, y, cv=3).mean() > 0.75
    assert cross_val_score(classifier(), X, y, cv=3, scoring="roc_auc").mean() > 0.85
    assert cross_val_predict(classifier(), X, y, cv=2, method="predict_proba").shape == (120, 2)


def test_grid_search_over_a_pipeline() -> None:
    X, y = walks(100)
    cut = FunctionTransformer(lambda X: [x[-5:] for x in X])
    search = GridSearchCV(
        make_pipeline(cut, classifier()), {"sequenceclassifier__epochs": [0, 6]}, cv=2, error_score="raise"
    )
    search.fit(X, y)
    assert search.best_params_ == {"sequenceclassifier__epochs": 6}
    assert search.score(X, y) > 0.75
    assert search.classes_.tolist() == ["down", "up"]


def test_models_of_many_answers_in_cross_validation_and_grid_search() -> None:
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n, 1)) for n in rng.integers(3, 10, 60)]
    signs = [["plus" if step > 0 else "minus" for step in x[:, 0]] for x in X]
    tagger = seqrs.SequenceTagger(output="crf", hidden_size=8, epochs=20, lr=0.03, random_state=0)
    assert cross_val_score(tagger, X, signs, cv=3).mean() > 0.85
    assert clone(tagger.fit(X, signs)).get_params() == tagger.get_params()

    words = ["".join(rng.choice(list("ab"), rng.integers(1, 4))) for _ in range(60)]
    heard = [
        np.concatenate([np.array([[c == "a", c == "b"]] * 2 + [[0, 0]], float) for c in word])
        for word in words
    ]
    transcriber = seqrs.Transcriber(cell="gru", hidden_size=8, batch_size=8, lr=0.03, random_state=0)
    search = GridSearchCV(transcriber, {"epochs": [0, 30]}, cv=2, error_score="raise").fit(heard, words)
    assert search.best_params_ == {"epochs": 30}
    assert search.best_score_ > 0.9


def test_a_translator_in_a_grid_search() -> None:
    rng = np.random.default_rng(1)
    words = ["".join(rng.choice(list("ab"), rng.integers(1, 4))) for _ in range(60)]
    doubled = ["".join(2 * letter for letter in word) for word in words]
    translator = seqrs.Translator(
        level="char",
        metric="exact",
        cell="gru",
        hidden_size=16,
        embedding_size=8,
        batch_size=4,
        lr=0.01,
        random_state=0,
    )
    search = GridSearchCV(translator, {"epochs": [0, 30]}, cv=2, error_score="raise").fit(words, doubled)
    assert search.best_params_ == {"epochs": 30}
    assert search.best_score_ > 0.8
    assert search.predict(words[:2]) == doubled[:2]


# What scikit-learn's own checks of estimators ask, for every model. (They themselves give single numbers
# where sequences have to be.)

FEATURES = [np.random.default_rng(i).normal(size=(3 + i % 5, 2)) for i in range(12)]
TEXTS = ["abc", "b", "cab", "ac", "bca", "cc", "a", "abab", "ca", "bb", "acb", "c"]
LETTERS = [list(text) for text in TEXTS]
SMALL: dict[str, Any] = {
    "hidden_size": 4,
    "embedding_size": 3,
    "epochs": 2,
    "dropout": 0.1,
    "random_state": 0,
}
MODELS: dict[str, tuple[Any, Any, Any]] = {
    "classes": (seqrs.SequenceClassifier(class_weight="balanced", **SMALL), FEATURES, ["u", "v"] * 6),
    "numbers": (seqrs.SequenceRegressor(**SMALL), FEATURES, np.arange(12.0)),
    "tags": (seqrs.SequenceTagger(output="crf", char_hidden_size=3, **SMALL), LETTERS, LETTERS),
    "texts": (seqrs.SequenceGenerator(level="char", **SMALL), TEXTS, None),
    "translations": (seqrs.Translator(level="char", metric="exact", decoder_layers=2, **SMALL), TEXTS, TEXTS),
    "speech": (seqrs.Transcriber(**SMALL), FEATURES, [text[:2] for text in TEXTS]),
}
every_model = pytest.mark.parametrize("name", MODELS)


def equal(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def through_joblib(model: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


@every_model
def test_pickles_and_copies_are_the_model(name: str) -> None:
    plain, X, y = MODELS[name]
    assert pickle.loads(pickle.dumps(plain)).get_params() == plain.get_params()
    model = clone(plain).fit(X, y)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), through_joblib(model)):
        assert equal(again.predict(X), model.predict(X))
        assert again.history == model.history
        weights = again.state_dict()
        assert all((value == weights[key]).all() for key, value in model.state_dict().items())
        assert equal(again.fit(X, y).predict(X), model.predict(X))  # it learns as the other did
        again.load_state_dict({key: 0 * value for key, value in weights.items()})
    assert all((value == weights[key]).all() for key, value in model.state_dict().items())


def test_a_pickled_language_model_is_the_model() -> None:
    model = seqrs.LanguageModel(hidden_size=4, num_layers=1, seed=0)
    assert pickle.loads(pickle.dumps(model)).get_params() == model.get_params()
    model.fit("the cat sat. " * 40, epochs=1, progress=False)
    model.set_params(hidden_size=5, cell="gru")  # for the next fit; the weights are those of this one
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), through_joblib(model)):
        assert again.sample(30, seed=3) == model.sample(30, seed=3)
        assert again.get_params() == model.get_params()


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
def test_smaller_weights_are_pickled_and_copied(weights: str) -> None:
    """The copies write and score to the bit alike, and round the weights they are given as the first one does."""
    text = "the cat sat. "
    model = seqrs.LanguageModel(hidden_size=8, num_layers=1, seed=0).fit(text * 40, epochs=1, progress=False)
    small = model.quantize(weights)
    for again in (pickle.loads(pickle.dumps(small)), copy.deepcopy(small), through_joblib(small)):
        assert repr(again) == repr(small)
        assert again.log_prob(text) == small.log_prob(text)
        assert again.sample(40, seed=3) == small.sample(40, seed=3)
        again.load_state_dict({name: 2 * value for name, value in again.state_dict().items()})
        assert again.log_prob(text) != small.log_prob(text)
        again.load_state_dict(small.state_dict())
        assert again.log_prob(text) == small.log_prob(text)


@every_model
def test_the_same_seed_learns_the_same_in_any_worker(name: str) -> None:
    model, X, y = MODELS[name]
    clone(model).fit(X, y).predict(X)  # this process has a thread team when the workers are forked
    alone = cross_validate(model, X, y, cv=2, return_estimator=True, error_score="raise")
    for backend in ("loky", "multiprocessing", "threading"):
        with joblib.parallel_backend(backend):
            found = cross_validate(model, X, y, cv=2, n_jobs=2, return_estimator=True, error_score="raise")
        assert found["test_score"].tolist() == alone["test_score"].tolist()
        for one, other in zip(found["estimator"], alone["estimator"], strict=True):
            assert equal(one.predict(X), other.predict(X))


@every_model
def test_options_of_a_step_in_a_pipeline(name: str) -> None:
    model, X, y = MODELS[name]
    pipeline = make_pipeline(FunctionTransformer(), clone(model))
    step = pipeline.steps[-1][0]
    pipeline.set_params(**{f"{step}__hidden_size": 5}).fit(X, y)
    assert pipeline.get_params()[f"{step}__hidden_size"] == pipeline[-1].hidden_size == 5
    assert equal(pipeline.predict(X), pipeline[-1].predict(X))
    with pytest.raises(ValueError, match="hiden_size: expected options of"):
        pipeline.set_params(**{f"{step}__hiden_size": 5})


@every_model
def test_fitting_and_use_leave_options_and_data_as_they_are(name: str) -> None:
    plain, X, y = MODELS[name]
    model = clone(plain)
    before = copy.deepcopy(vars(model))
    kept = copy.deepcopy((X, y))
    assert model.fit(X, y) is model
    assert model.get_params() == {key: before[key] for key in model.get_params()}
    assert equal(X, kept[0])
    assert y is None or equal(y, kept[1])
    fitted = pickle.dumps(model)
    first = model.predict(X)
    model.score(X, y)
    assert pickle.dumps(model) == fitted
    # Alone, together, or in another order: each sequence is what it is.
    assert equal([model.predict(X[i : i + 1])[0] for i in range(len(X))], first)
    assert equal(model.predict(X[::-1]), first[::-1])
    assert equal(model.fit(X, y).predict(X), first)


def test_arrays_that_cannot_be_written_and_columns_of_tables() -> None:
    class Column(list[Any]):  # as pandas has them
        def to_numpy(self) -> np.ndarray:
            return np.array(list(self))

    for name in ("classes", "numbers"):
        model, X, y = MODELS[name]
        for x in X:
            x.setflags(write=False)
        fixed = np.array(y)
        fixed.setflags(write=False)
        expected = clone(model).fit(X, y)
        for given in (fixed, Column(y)):
            assert equal(
                clone(model).fit(X, given, sample_weight=Column([1.0] * 12)).predict(X), expected.predict(X)
            )
            assert expected.score(X, given) == expected.score(X, y)
