"""What RNN, GRU and LSTM have in common: everything but the equations."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, SupportsFloat, SupportsIndex, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from seqrs import _check
from seqrs._check import Floats
from seqrs._native import Network, Tape

# The recurrent state as a user sees it: h, or for an LSTM the pair (h, c).
StateT = TypeVar("StateT")


@dataclass(frozen=True, eq=False)
class Gradients(Generic[StateT]):
    """The gradients of one backward pass, in the layer's dtype.

    Attributes
    ----------
    x : ndarray of shape (B, T, I), or None
        By the input; zero in the padding; None where the input was tokens.
    state : ndarray of shape (L, B, H), or a pair of them
        By the initial state, in the form of the layer's own states.
    params : dict of str to ndarray
        By each parameter, under the names and in the shapes of ``state_dict()``.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import nn
    >>> layer = nn.LSTM(2, 3)
    >>> y, state, tape = layer.forward(np.ones((1, 4, 2), np.float32))
    >>> g = layer.backward(tape, np.ones_like(y))
    >>> dh, dc = g.state
    >>> g.x.shape, dc.shape, g.params["weight_ih_l0"].shape
    ((1, 4, 2), (1, 1, 3), (12, 2))
    """

    x: Floats | None
    state: StateT
    params: dict[str, Floats]


class Recurrent(Generic[StateT]):
    """A stack of recurrent layers of one kind. Base class of RNN, GRU and LSTM."""

    _cell: ClassVar[str]
    _form_option: ClassVar[str]  # the argument that chooses the equations
    _state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(
        self,
        form: str,
        input_size: SupportsIndex,
        hidden_size: SupportsIndex,
        num_layers: SupportsIndex,
        *,
        bias: bool,
        dropout: SupportsFloat,
        dtype: DTypeLike,
        device: str,
        seed: SupportsIndex | None,
        check_finite: bool,
    ) -> None:
        self.input_size = _check.integer("input_size", input_size, minimum=1)
        self.hidden_size = _check.integer("hidden_size", hidden_size, minimum=1)
        self.num_layers = _check.integer("num_layers", num_layers, minimum=1)
        self.bias = _check.flag("bias", bias)
        self.dropout = _check.probability("dropout", dropout)
        self.dtype = _check.dtype(dtype)
        self.device = _check.choice("device", device, _check.DEVICES)
        self.seed = _check.seed(seed)
        self.check_finite = _check.flag("check_finite", check_finite)
        #: Number of training passes so far; with `seed` it picks the dropout masks of the next.
        self.passes = 0
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn(
                f"dropout: acts between layers, so with num_layers=1 {self.dropout} has no effect",
                stacklevel=3,
            )
        self._form = form
        self._network = Network.recurrent(
            cell=self._cell,
            form=form,
            input_size=self.input_size,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            bias=self.bias,
            dropout=self.dropout,
            dtype=self.dtype,
            device=self.device,
            seed=self.seed,
        )

    def __call__(
        self, x: ArrayLike, state: StateT | None = None, lengths: ArrayLike | None = None
    ) -> tuple[Floats, StateT]:
        """Run the layers over whole sequences, without dropout and without a tape.

        Parameters and errors are those of :meth:`forward`.

        Returns
        -------
        y : ndarray of shape (B, T, H)
            The last layer's output at every step; zero in the padding.
        state : ndarray of shape (L, B, H), or for an LSTM a pair (h, c) of them
            Every layer's state after each row's last step.

        Examples
        --------
        >>> import numpy as np
        >>> from seqrs import nn
        >>> layer = nn.RNN(3, 5, num_layers=2)
        >>> y, h = layer(np.zeros((4, 7, 3), np.float32), lengths=[7, 2, 0, 5])
        >>> y.shape, h.shape
        ((4, 7, 5), (2, 4, 5))
        """
        y, after, _ = self.forward(x, state, lengths, training=False)
        return y, after

    def forward(
        self,
        x: ArrayLike,
        state: StateT | None = None,
        lengths: ArrayLike | None = None,
        training: bool = True,
        *,
        step: SupportsIndex | None = None,
    ) -> tuple[Floats, StateT, Tape | None]:
        """Run the layers over whole sequences and keep what the backward pass needs.

        Parameters
        ----------
        x : array of shape (B, T, I) in the layer's dtype, or integer array of shape (B, T)
            Features, or tokens from 0 to I - 1: a token stands for a one-hot vector, and -1 for
            the zero vector.
        state : array of shape (L, B, H), or for an LSTM a pair (h, c) of them, optional
            The state before the first step, such as the one an earlier call returned. Default:
            zero.
        lengths : integer array of shape (B,), optional
            How many steps of each row count, 0 to T, in any order. The rest is padding: finite
            numbers or tokens that have no influence; the output is zero there. Default: all
            steps of all rows.
        training : bool, default True
            Apply dropout and keep a tape.
        step : int, optional
            Number of this training pass, from 0. The dropout masks are a function of the
            layer's `seed` and of this number. Default: the layer's own count, `passes`, which
            the call then raises by one. Giving the number leaves the count alone.

        Returns
        -------
        y : ndarray of shape (B, T, H)
            The last layer's output at every step; zero in the padding.
        state : ndarray of shape (L, B, H), or for an LSTM a pair (h, c) of them
            Every layer's state after each row's last step; the initial one for rows of length 0.
        tape : Tape or None
            For :meth:`backward`; None if not `training`.

        Raises
        ------
        ValueError
            If a shape, a token or a length does not fit, or an array holds NaN or infinity
            (unless the layer was made with ``check_finite=False``).
        TypeError
            If an array has another dtype than the layer. Nothing is converted silently.
        """
        inputs = self._inputs(x, ("B", "T"))
        batch, steps = inputs.shape[:2]
        training = _check.flag("training", training)
        if step is not None:
            number = _check.integer("step", step, minimum=0, maximum=2**64 - 1)
        else:
            number = self.passes
            self.passes += training
        y, after, tape = self._network.forward(
            inputs,
            self._parts("state", state, batch),
            _check.lengths(lengths, batch, steps),
            training,
            self.seed,
            number,
        )
        return y, self._joined(after), tape

    def backward(self, tape: Tape | None, dy: ArrayLike, dstate: StateT | None = None) -> Gradients[StateT]:
        """Carry gradients back through the sequences of a training pass (BPTT).

        With a loss ``E`` computed from the pass's output and final state, pass its derivatives
        by both; the result is its derivatives by everything that went in.

        Parameters
        ----------
        tape : Tape
            From :meth:`forward` with ``training=True``. Used up by this call.
        dy : array of shape (B, T, H) in the layer's dtype
            dE/dy. What it holds in the padding has no influence.
        dstate : array of shape (L, B, H), or for an LSTM a pair (dh, dc) of them, optional
            dE/dstate for the final state. Default: zero, which for windows of a longer sequence
            makes this truncated BPTT.

        Returns
        -------
        Gradients
            dE/dx, dE/dstate for the initial state, and dE/dp for every parameter p.

        Raises
        ------
        TapeError
            If the tape was used before or belongs to another layer.
        ValueError
            If a shape does not fit, or an array holds NaN or infinity.
        TypeError
            If an array has another dtype than the layer, or `tape` is not a tape.

        Examples
        --------
        >>> import numpy as np
        >>> from seqrs import nn
        >>> layer = nn.RNN(2, 3, dtype="float64", seed=0)
        >>> y, h, tape = layer.forward(np.ones((1, 4, 2)))
        >>> g = layer.backward(tape, dy=np.ones_like(y))      # E = sum of y
        >>> g.x.shape, g.state.shape, sorted(g.params)
        ((1, 4, 2), (1, 1, 3), ['bias_hh_l0', 'bias_ih_l0', 'weight_hh_l0', 'weight_ih_l0'])
        """
        if not isinstance(tape, Tape):
            hint = "; forward(..., training=True) returns one" if tape is None else ""
            raise TypeError(f"tape: expected a Tape, got {type(tape).__name__}{hint}")
        dy = _check.floats("dy", dy, self.dtype, ("B", "T", self.hidden_size), finite=self.check_finite)
        x, before, params = self._network.backward(tape, dy, self._parts("dstate", dstate, dy.shape[0]))
        return Gradients(x, self._joined(before), params)

    def step(self, x: ArrayLike, state: StateT | None = None) -> tuple[Floats, StateT]:
        """Run one step, for data that arrive one step at a time.

        Parameters
        ----------
        x : array of shape (B, I) in the layer's dtype, or integer array of shape (B,)
            Features or tokens, as in :meth:`forward`.
        state : array of shape (L, B, H), or for an LSTM a pair (h, c) of them, optional
            The state that the step before returned. Default: zero.

        Returns
        -------
        y : ndarray of shape (B, H)
            The last layer's output.
        state : ndarray of shape (L, B, H), or for an LSTM a pair (h, c) of them
            For the next step.

        Raises
        ------
        ValueError, TypeError
            As :meth:`forward`.

        Examples
        --------
        >>> import numpy as np
        >>> from seqrs import nn
        >>> layer, h = nn.GRU(10, 4), None
        >>> for token in [3, 1, 4]:
        ...     y, h = layer.step(np.array([token]), h)
        >>> y.shape
        (1, 4)
        """
        inputs = self._inputs(x, ("B",))
        y, after = self._network.step(inputs, self._parts("state", state, inputs.shape[0]))
        return y, self._joined(after)

    def state_dict(self) -> dict[str, Floats]:
        """Return a copy of every parameter by PyTorch's name.

        Returns
        -------
        dict of str to ndarray
            For each layer k: ``weight_ih_l{k}``, ``weight_hh_l{k}``, and unless ``bias=False``
            ``bias_ih_l{k}``, ``bias_hh_l{k}``. The class documents the shapes.
        """
        return {name: self._network.get(name) for name, _ in self._network.parameters()}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set every parameter, from :meth:`state_dict` or from a PyTorch module's.

        Parameters
        ----------
        state_dict : mapping of str to array
            One array of floats for each parameter, under its name and in its shape. Arrays of
            another float dtype are converted to the layer's; PyTorch's CPU tensors are accepted.

        Raises
        ------
        ValueError
            If parameters are missing, unexpected or of another shape (the message lists them
            all), or hold NaN or infinity. No parameter has changed then.
        TypeError
            If an array does not hold floats.
        """
        arrays = _check.parameters(
            self._network.parameters(), state_dict, self.dtype, owner=self, finite=self.check_finite
        )
        for name, array in arrays.items():
            self._network.set(name, array)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, "
            f"{self._form_option}={self._form!r}, bias={self.bias})"
        )

    def _inputs(self, x: ArrayLike, axes: tuple[str, ...]) -> NDArray[Any]:
        array = np.asarray(x)
        if array.dtype.kind in "iu":
            return _check.tokens("x", array, self.input_size, axes)
        return _check.floats("x", x, self.dtype, (*axes, self.input_size), finite=self.check_finite)

    def _parts(self, name: str, state: StateT | None, batch: int) -> tuple[Floats, ...] | None:
        """Take a state, or its gradient, apart into the arrays the core knows."""
        if state is None:
            return None
        names = self._state_names
        if len(names) == 1:
            labels, arrays = [name], [cast(ArrayLike, state)]
        elif isinstance(state, (tuple, list)) and len(state) == len(names):
            labels, arrays = [f"{name} ({part})" for part in names], list(state)
        else:
            got = type(state).__name__ + (f" of {len(state)}" if isinstance(state, (tuple, list)) else "")
            raise TypeError(f"{name}: expected a pair ({', '.join(names)}) of arrays, got {got}")
        shape = (self.num_layers, batch, self.hidden_size)
        return tuple(
            _check.floats(label, array, self.dtype, shape, finite=self.check_finite)
            for label, array in zip(labels, arrays, strict=True)
        )

    def _joined(self, parts: tuple[Floats, ...]) -> StateT:
        """Give the core's arrays the form a user sees."""
        return cast(StateT, parts if len(self._state_names) > 1 else parts[0])
