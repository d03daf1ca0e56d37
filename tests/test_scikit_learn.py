"""The models inside scikit-learn: clone, pipelines, grid search, cross-validation, scorers."""

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
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
