"""States as values: every form of them, through every function, and through a file."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import FORMS, make_layer, parts, random_state
from hypothesis import given
from hypothesis import strategies as st

from seqrs import exceptions
from seqrs.nn import states


def array(batch: int, width: int = 3, layers: int = 2, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((layers, batch, width)).astype(dtype)


# One state of a batch of any size in each form.
MAKE: dict[str, Callable[[int, int], Any]] = {
    "array": lambda batch, seed: array(batch, seed=seed),
    "pair": lambda batch, seed: (array(batch, 3, seed=seed), array(batch, 5, seed=seed + 1)),
    "list": lambda batch, seed: [array(batch, width, 1, "float64", seed) for width in (4, 2, 1)],
    "pair of lists": lambda batch, seed: tuple(
        [array(batch, width, seed=seed + width) for width in widths] for widths in ((4, 2), (6, 5))
    ),
    "several blocks": lambda batch, seed: [
        (array(batch, 3, seed=seed), array(batch, 5, seed=seed)),
        [array(batch, 2), array(batch, 1)],
        array(batch, 4),
    ],
    "three": lambda batch, seed: (array(batch, 1, seed=seed), array(batch, 2), array(batch, 3)),
    "list of one": lambda batch, seed: [array(batch, seed=seed)],
}
every_form = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in MAKE.items()])


def flat(state: Any) -> list[np.ndarray]:
    return [leaf for part in state for leaf in flat(part)] if isinstance(state, (tuple, list)) else [state]


def form(state: Any) -> Any:
    """The form without the numbers."""
    if isinstance(state, (tuple, list)):
        return type(state), [form(part) for part in state]
    return state.dtype, state.shape[0], state.shape[2]


def assert_equal(actual: Any, expected: Any) -> None:
    assert form(actual) == form(expected)
    for a, e in zip(flat(actual), flat(expected), strict=True):
        np.testing.assert_array_equal(a, e, strict=True)


@every_form
@given(data=st.data())
def test_rows_go_where_they_should(make: Any, data: st.DataObject) -> None:
    batch = data.draw(st.integers(1, 6))
    state, before = make(batch, 0), make(batch, 0)
    rows = data.draw(st.lists(st.integers(0, batch - 1), max_size=6))
    once = sorted(set(rows), key=rows.index)
    index = data.draw(st.sampled_from([list, np.array, tuple]))

    taken = states.take(state, index(rows) if rows else rows)
    assert form(taken) == form(state)
    for a, e in zip(flat(taken), flat(state), strict=True):
        np.testing.assert_array_equal(a, np.stack([e[:, b] for b in rows], 1) if rows else e[:, :0])

    other = make(len(once), 1)
    replaced = states.replace(state, once, other)
    emptied = states.reset(state, once)
    assert form(replaced) == form(emptied) == form(state)
    for r, z, s, o in zip(flat(replaced), flat(emptied), flat(state), flat(other), strict=True):
        for b in range(batch):
            np.testing.assert_array_equal(r[:, b], o[:, once.index(b)] if b in once else s[:, b])
            np.testing.assert_array_equal(z[:, b], np.zeros_like(s[:, b]) if b in once else s[:, b])

    joined = states.concatenate([state, other, state])
    assert_equal(states.take(joined, slice(0, batch)), state)
    assert_equal(states.take(joined, slice(batch, batch + len(once))), other)
    assert_equal(states.take(joined, slice(batch + len(once), None)), state)
    assert_equal(state, before)  # whatever was asked of it, it is as it was


@every_form
def test_results_share_no_memory_with_what_went_in(make: Any) -> None:
    state = make(3, 0)
    for result in (
        states.copy(state),
        states.reset(state, []),
        states.replace(state, [], make(0, 0)),
        states.take(state, slice(None)),
        states.concatenate([state]),
    ):
        assert_equal(result, state)
        for a, e in zip(flat(result), flat(state), strict=True):
            assert not np.shares_memory(a, e)


def test_every_way_to_name_rows_means_the_same() -> None:
    state = array(4)
    expected = state[:, [1, 3]]
    for rows in ([1, 3], np.array([1, 3], np.uint8), slice(1, None, 2), [False, True, False, True]):
        np.testing.assert_array_equal(states.take(state, rows), expected)
    np.testing.assert_array_equal(states.take(state, 2), state[:, 2:3])
    np.testing.assert_array_equal(states.take(state, np.int64(2)), state[:, 2:3])


@pytest.mark.parametrize(("cell", "kind"), FORMS)
def test_rows_of_a_batch_are_streams_of_their_own(cell: str, kind: str, tmp_path: Path) -> None:
    """What a row gives depends on its own past alone, through take, concatenate, reset and a file."""
    layer = make_layer(cell, kind, 2, 3, 2, dtype="float64", seed=0)
    rng = np.random.default_rng(0)
    x, state = rng.standard_normal((4, 5, 2)), random_state(layer, 4, rng)
    y, after = layer(x, state)

    order = [2, 0, 3]
    states.save(tmp_path / "a.state", states.take(state, order))
    y_taken, after_taken = layer(x[order], states.load(tmp_path / "a.state"))
    np.testing.assert_allclose(y_taken, y[order], rtol=1e-12, atol=1e-13)
    for a, e in zip(parts(after_taken), parts(after), strict=True):
        np.testing.assert_allclose(a, e[:, order], rtol=1e-12, atol=1e-13)

    y_new, _ = layer(x, states.reset(state, [1]))
    np.testing.assert_allclose(y_new[1:2], layer(x[1:2])[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(y_new[[0, 2, 3]], y[[0, 2, 3]], rtol=1e-12, atol=1e-13)

    more = states.concatenate([state, layer(x[:1])[1]])
    assert layer(x[[0, 1, 2, 3, 0]], more)[0].shape == (5, 5, 3)


@every_form
@pytest.mark.parametrize("batch", [0, 1, 4])
def test_a_file_gives_back_what_went_in(make: Any, batch: int, tmp_path: Path) -> None:
    state = make(batch, 0)
    states.save(tmp_path / "a.state", state)
    assert_equal(states.load(str(tmp_path / "a.state")), state)
    states.save(tmp_path / "a.state", array(2))
    assert_equal(states.load(tmp_path / "a.state"), array(2))


def test_more_than_ten_layers_come_back_in_order(tmp_path: Path) -> None:
    state = [array(2, width) for width in range(1, 13)]
    states.save(tmp_path / "a.state", state)
    assert_equal(states.load(tmp_path / "a.state"), state)


def test_a_file_is_an_ordinary_safetensors_file(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    h, c = array(2), array(2, 5)
    states.save(tmp_path / "a.state", (h, c))
    tensors = load_file(tmp_path / "a.state")
    assert tensors.keys() == {"state.h", "state.c"}
    np.testing.assert_array_equal(tensors["state.c"], c)


def safetensors(tensors: dict[str, tuple[str, list[int], int]], metadata: dict[str, str]) -> bytes:
    """A file of zeros; for each tensor its kind of number, its shape and its bytes."""
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, (kind, shape, size) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


STATE = {"seqrs.format": "1", "seqrs.kind": "state"}
ONE = ("F32", [1, 1, 1], 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"milk, bread", "a.state"),
        (safetensors({"state": ONE}, STATE)[:-1], "a.state"),
        (safetensors({"state": ONE}, {"seqrs.format": "1"}), "not a state of a layer"),
        (safetensors({"model": ONE}, STATE), "not a state of a layer"),
        (safetensors({}, STATE), "not a state of a layer"),
        (
            safetensors({"state": ONE}, {"seqrs.format": "2", "seqrs.kind": "state"}),
            "of format '2'; this version of seqrs reads format '1'",
        ),
        (
            safetensors({"state.h": ONE, "state.b": ONE}, STATE),
            r"expected the parts of a state, got \['b', 'h'\]",
        ),
        (safetensors({"state.0": ONE, "state.2": ONE}, STATE), "expected the parts of a state"),
        (safetensors({"state": ONE, "state.h": ONE}, STATE), "expected the parts of a state"),
        (safetensors({"state": ("F32", [1], 4)}, STATE), r"state: expected shape \(layers, batch, width\)"),
        (safetensors({"state": ("BF16", [1, 1, 1], 2)}, STATE), "a.state: "),
        (safetensors({"state": ("I64", [1, 1, 1], 8)}, STATE), "a.state: "),
        (
            safetensors({"state.h": ONE, "state.c": ("F32", [1, 2, 1], 8)}, STATE),
            r"state: expected arrays with one size of batch on axis 1, got \[1, 2\]",
        ),
    ],
)
def test_a_file_that_is_no_state_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.state").write_bytes(content)
    with pytest.raises(exceptions.ModelFileError, match=message):
        states.load(tmp_path / "a.state")
    assert (tmp_path / "a.state").read_bytes() == content


def test_a_file_that_cannot_be_written_or_read_raises_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        states.load(tmp_path / "none.state")
    with pytest.raises(FileNotFoundError):
        states.save(tmp_path / "none" / "a.state", array(1))
    states.save(tmp_path / "a.state", array(1))
    with pytest.raises(TypeError):
        states.save(tmp_path / "a.state", "hidden")
    assert_equal(states.load(tmp_path / "a.state"), array(1))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            TypeError,
            r"state: expected an array of float32 or float64, got NoneType",
            lambda: states.copy(None),
        ),
        (
            TypeError,
            r"state\.c: expected an array of float32 or float64, got an array of int64",
            lambda: states.copy((array(1), np.ones((1, 1, 1), np.int64))),
        ),
        (
            ValueError,
            r"state\.h\.1: expected shape \(layers, batch, width\), got \(2, 3\)",
            lambda: states.copy(([array(2), array(2)[0]], [array(2)] * 2)),
        ),
        (
            ValueError,
            r"state: expected arrays with one size of batch on axis 1, got \[2, 3\]",
            lambda: states.copy((array(3), array(2))),
        ),
        (ValueError, r"state: expected arrays .*, got \[\]", lambda: states.copy([])),
        (ValueError, r"rows: expected numbers from 0 to 2, got 3", lambda: states.take(array(3), [0, 3])),
        (ValueError, r"rows: expected numbers from 0 to 2, got -1", lambda: states.reset(array(3), -1)),
        (
            ValueError,
            r"rows: expected booleans of shape \(3,\), got \(2,\)",
            lambda: states.take(array(3), [True, False]),
        ),
        (
            TypeError,
            r"rows: expected integers, booleans or a slice, got float 1\.0",
            lambda: states.take(array(3), 1.0),
        ),
        (ValueError, r"rows: expected one axis, got shape \(1, 1\)", lambda: states.take(array(3), [[1]])),
        (
            ValueError,
            r"rows: expected each row at most once, got \[1, 1\]",
            lambda: states.replace(array(3), [1, 1], array(2)),
        ),
        (
            ValueError,
            r"other: expected 2 rows, as many as `rows` names, got 3",
            lambda: states.replace(array(3), [0, 1], array(3)),
        ),
        (
            ValueError,
            r"other: expected the form of state, with arrays \['c', 'h'\], got \['0', '1'\]",
            lambda: states.replace((array(1), array(1)), [0], [array(1), array(1)]),
        ),
        (
            ValueError,
            r"other: expected shape \(2, batch, 3\) as in state, got \(2, 1, 4\)",
            lambda: states.replace(array(1), [0], array(1, 4)),
        ),
        (
            TypeError,
            r"states\[1\]\.c: expected float32 as in states\[0\], got float64",
            lambda: states.concatenate([(array(1), array(1)), (array(1), array(1, dtype="float64"))]),
        ),
        (ValueError, r"states: expected at least one state, got none", lambda: states.concatenate([])),
    ],
)
def test_what_does_not_fit_is_refused(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
