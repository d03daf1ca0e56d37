"""What RNN, GRU, LSTM and the minimal cells have in common: everything but the equations."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, SupportsIndex

from seqrs import _check
from seqrs.nn import options as common
from seqrs.nn._layout import StateLayout
from seqrs.nn._summary import Row
from seqrs.nn.gradients import StateT
from seqrs.nn.layer import Layer

__all__ = ["Recurrent"]

ACTIVATIONS = ("tanh", "relu", "sigmoid", "hard_sigmoid", "identity", "softsign")


class Recurrent(Layer[StateT]):
    """A stack of recurrent layers of one kind. Base class of the five cells.

    Attributes
    ----------
    hidden_size : int, or list of int
        H, as it was given.
    num_layers : int
        L.
    """

    _takes = "both"
    _needs_steps = True
    _cell: ClassVar[str]
    _memory: ClassVar[bool] = False  # whether the state is a pair (h, c)
    # Options that this cell cannot have, and why.
    _lacks: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        form: str,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex | Sequence[SupportsIndex],
        num_layers: SupportsIndex | None,
        own: Mapping[str, tuple[Any, Any]],
        given: Mapping[str, Any],
        *,
        proj_size: int = 0,
    ) -> None:
        """Check the options; `own` holds the cell's own with their defaults, `given` the shared ones."""
        size = _check.integer("input_size", input_size, minimum=1)
        self.hidden_size = _check.sizes("hidden_size", hidden_size)
        self.num_layers, widths = _layers(self.hidden_size, num_layers)
        for name in given:
            hint = unknown(name, type(self))
            if hint is not None:
                raise TypeError(f"{type(self).__name__}: unexpected keyword argument {name!r}{hint}")
        shared = common.checked(given)
        for name, why in self._lacks.items():
            if shared[name] not in (0, False):
                raise ValueError(f"{name}: {type(self).__name__} cannot have it: {why}")
        if isinstance(shared["zoneout"], tuple) and shared["zoneout"][1] > 0 and not self._memory:
            raise ValueError(
                f"zoneout: {type(self).__name__} cannot have a second number: it has no memory c"
            )
        common.warn_of_no_effect(shared, self.num_layers)
        vars(self).update({name: value for name, (value, _) in own.items()})
        vars(self).update(shared)
        self._form = form
        self._own = own
        self._shared = shared
        h = tuple(proj_size or width for width in widths)
        directions = 2 if shared["bidirectional"] else 1
        self._layout = StateLayout(directions, {"h": h, "c": tuple(widths)} if self._memory else {"h": h})
        side_by_side = directions if shared["merge"] in ("concat", "separate") else 1
        self._widths = [width * side_by_side for width in h]
        if shared["residual"] and len(set(self._widths)) > 1:
            raise ValueError(
                f"residual: expected layers of one width, got {', '.join(map(str, self._widths))}"
            )
        super().__init__(
            size, self._widths[-1], {name: given[name] for name in common.BLOCK_DEFAULTS if name in given}
        )

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:  # noqa: ARG002 - the width is known
        options = dict(self._shared) | {key: value for key, (value, _) in self._own.items()}
        for key in ("nonlinearity", "reset", "peephole"):
            options.pop(key, None)  # these are the form
        if options["merge"] == "separate":
            options["merge"] = "concat"
        zoneout = options.pop("zoneout")
        if not isinstance(zoneout, tuple):
            zoneout = (zoneout, zoneout if self._memory else 0.0)
        sizes = (
            [self.hidden_size] * self.num_layers if isinstance(self.hidden_size, int) else self.hidden_size
        )
        block = {"block": "recurrent", "name": name, "cell": self._cell, "form": self._form}
        return [{**block, "hidden_size": sizes, "zoneout": zoneout, **options}]

    def _layouts(self) -> list[StateLayout]:
        return [self._layout]

    def _rows(self, parameters: list[tuple[str, int, bool]]) -> list[Row]:
        kind, rows = type(self).__name__, []
        for k, width in enumerate(self._widths):
            own = [p for p in parameters if p[0].endswith((f"_l{k}", f"_l{k}_reverse"))]
            rows.append(Row(kind if self.num_layers == 1 else f"{kind} l{k}", width, True, own))
        return rows

    @property
    def _separate(self) -> bool:
        return bool(self._shared["bidirectional"] and self._shared["merge"] == "separate")

    def __repr__(self) -> str:
        arguments = [repr(self.input_size), repr(self.hidden_size)]
        if self.num_layers > 1 and isinstance(self.hidden_size, int):
            arguments.append(f"num_layers={self.num_layers}")
        options = {name: (value, common.DEFAULTS[name]) for name, value in self._shared.items()}
        for name, (value, default) in {**self._own, **options}.items():
            if value != default:
                arguments.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(arguments)})"


def _layers(hidden_size: int | list[int], num_layers: SupportsIndex | None) -> tuple[int, list[int]]:
    """Return L and every layer's H."""
    if isinstance(hidden_size, int):
        count = 1 if num_layers is None else _check.num_layers(num_layers)
        return count, [hidden_size] * count
    if num_layers is not None and _check.num_layers(num_layers) != len(hidden_size):
        raise ValueError(
            f"num_layers: expected {len(hidden_size)}, the number of sizes in hidden_size, got {num_layers}"
        )
    return len(hidden_size), hidden_size


def unknown(name: str, layer: type[Recurrent[Any]]) -> str | None:
    """Return None for an option that a kind of layer has; for another, what a message says of it."""
    own = _own_options(layer)
    known = [*own, *common.DEFAULTS, *common.BLOCK_DEFAULTS]
    if name in known:
        return None
    owners = [kind.__name__ for kind in _kinds(Recurrent) if name in _own_options(kind)]
    if not owners:
        return f"; {_check.meant(str(name), known)}"
    *most, last = sorted(owners)
    of = f"{', '.join(most)} and {last}" if most else last
    return f", an option of {of}; {layer.__name__} has {', '.join(own)} of its own"


def _own_options(layer: type[Recurrent[Any]]) -> list[str]:
    """Return the keyword arguments that a kind of layer has beside those of all."""
    arguments = inspect.signature(layer.__init__).parameters.values()
    return [argument.name for argument in arguments if argument.kind is argument.KEYWORD_ONLY]


def _kinds(base: type[Recurrent[Any]]) -> Iterator[type[Recurrent[Any]]]:
    """Yield the kinds of layer that say which cell they have."""
    for kind in base.__subclasses__():
        if "_cell" in vars(kind):
            yield kind
        yield from _kinds(kind)
