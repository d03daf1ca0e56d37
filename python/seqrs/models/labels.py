"""The classes a model tells apart."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrs import _check

Labels = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Classes:
    """Labels and their numbers, learned from training data.

    Attributes
    ----------
    values : ndarray of shape (K,)
        The labels, sorted; the number of a label is its place.
    """

    values: Labels

    @classmethod
    def learn(cls, name: str, labels: Iterable[Any]) -> "Classes":
        """Return the classes among some labels, which are all str, or all numbers."""
        array = one_label_each(name, labels)
        return cls(np.unique(array))

    def __len__(self) -> int:
        return len(self.values)

    def encode(self, name: str, labels: Iterable[Any]) -> NDArray[np.int32]:
        """Return the number of each label.

        Raises
        ------
        ValueError
            If one was not there in training; the message says which and where.
        """
        array = one_label_each(name, labels)
        if len(array) == 0:
            return np.zeros(0, np.int32)
        if (array.dtype.kind == "U") != (self.values.dtype.kind == "U"):
            raise ValueError(
                f"{name}: expected labels as in training, {self._some()}, got {array[0].item()!r}"
            )
        places = np.searchsorted(self.values, array)
        known = self.values[np.minimum(places, len(self) - 1)] == array
        if not known.all():
            i = int(np.argmin(known))
            raise ValueError(
                f"{name}[{i}]: expected one of the {len(self)} labels seen in training, {self._some()}, "
                f"got {array[i].item()!r}"
            )
        return places.astype(np.int32)

    def decode(self, numbers: NDArray[np.integer[Any]]) -> Labels:
        """Return the label of each number."""
        labels: Labels = self.values[numbers]
        return labels

    def _some(self) -> str:
        shown = ", ".join(map(repr, self.values[:5].tolist()))
        return shown + (", ..." if len(self) > 5 else "")

    def to_json(self) -> dict[str, Any]:
        """Return the classes as values for JSON."""
        return {"values": self.values.tolist(), "dtype": self.values.dtype.str}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Classes":
        """Return the classes that :meth:`to_json` wrote."""
        array = np.array(values["values"], values["dtype"])
        if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "Uiubf":
            raise ValueError("the classes are damaged")
        return cls(array)


def listed(name: str, y: Any, of: str) -> list[Any]:
    """Return what is given for each sequence; `of` is what that is, in messages."""
    y = _check.plain(y)
    no_list = isinstance(y, (str, bytes, Mapping, Set, Iterator)) or not isinstance(y, Iterable)
    if no_list or getattr(y, "ndim", 1) == 0:
        raise TypeError(f"{name}: expected {of}, got {_check.describe(y)}")
    return [_check.plain(row) for row in y]


def one_label_each(name: str, labels: Any) -> Labels:
    """Return labels as an array (n,) of str, integers, bools or floats."""
    labels = _check.plain(labels)
    values = listed(name, labels, "a list of labels")
    if isinstance(labels, np.ndarray):
        values = labels.tolist()
    for i, value in enumerate(values):
        if getattr(value, "ndim", None) == 0:  # a number of NumPy's, or of another library
            value = value.item()
        if not isinstance(value, (str, int, float)):
            raise TypeError(f"{name}[{i}]: expected a label, a str or a number, got {_check.describe(value)}")
        if isinstance(value, str) != isinstance(values[0], str):
            raise TypeError(
                f"{name}: expected all labels to be str, or all numbers, got {values[0]!r} and {value!r}"
            )
        if isinstance(value, float) and not np.isfinite(value):
            raise ValueError(f"{name}[{i}]: expected a finite number, got {value}")
    array = np.asarray(labels if isinstance(labels, np.ndarray) and labels.dtype != object else values)
    return array if array.size else array.astype(np.int64)


def class_weights(
    classes: Classes, numbers: NDArray[np.int32], class_weight: Any, name: str = "class_weight"
) -> NDArray[np.float64]:
    """Return the weight of each class: 1, ``"balanced"`` (n / (K n_k), Scikit-learn's), or a mapping's.

    Raises
    ------
    ValueError, TypeError
        If the mapping has a label that is no class, or a weight is negative.
    """
    weights = np.ones(len(classes))
    if class_weight is None:
        return weights
    if isinstance(class_weight, str):
        _check.choice(name, class_weight, ("balanced",))
        counts = np.bincount(numbers, minlength=len(classes))
        return len(numbers) / (len(classes) * np.maximum(counts, 1))
    for label, weight in class_weight.items():
        (number,) = classes.encode(name, [label])
        weights[number] = _check.number(f"{name}[{label!r}]", weight, minimum=0.0)
    return weights


def check_class_weight(class_weight: Any) -> None:
    """Refuse an option that is neither ``"balanced"``, a mapping nor None."""
    if isinstance(class_weight, str):
        _check.choice("class_weight", class_weight, ("balanced",))
    elif not isinstance(class_weight, Mapping | None):
        raise TypeError(
            f'class_weight: expected "balanced" or a mapping, got {_check.describe(class_weight)}'
        )


def class_weight_to_json(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with `class_weight` as a value for JSON, which has no keys but str."""
    given = options["class_weight"]
    return options | {"class_weight": list(given.items()) if isinstance(given, Mapping) else given}


def class_weight_from_json(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that :func:`class_weight_to_json` changed."""
    value = options["class_weight"]
    return options | {"class_weight": dict(value) if isinstance(value, list) else value}
