"""What everything in :mod:`seqrs.nn` has in common: run over sequences or step by step, and differentiated."""

from collections.abc import Callable
from math import prod
from typing import SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check
from seqrs._check import Floats
from seqrs._native import Tape
from seqrs.nn._weights import Weights
from seqrs.nn.gradients import Gradients, StateT
from seqrs.nn.memory import Memory

__all__ = ["Layer"]


class Layer(Weights[StateT]):
    """Base class of all layers and blocks, and of :class:`Sequential`.

    Arrays are batch first: an input is (B, T, I), batch by steps by features, or (B, T) integer
    tokens; an output is (B, T, O), or (B, O) after pooling over time. One sequence alone may come
    without the batch axis; then outputs, states and gradients have none either.

    Attributes
    ----------
    input_size, output_size : int or None
        I and O; None for a block without weights that takes any width.
    dtype, device : str
        Of all arrays, and what computes.
    seed : int
        Of the initial weights and of all masks.
    passes : int
        Number of training passes so far; with `seed` it picks the masks of the next.
    check_finite : bool
        Whether arrays that hold NaN or infinity are refused.

    Notes
    -----
    The methods are the same for all. Layers without a recurrent state take and return None in
    its place.
    """

    _tape: type[Tape] = Tape

    def __call__(
        self,
        x: ArrayLike,
        state: StateT | None = None,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        *,
        memory: ArrayLike | Memory | None = None,
        memory_lengths: ArrayLike | None = None,
    ) -> tuple[Floats, StateT]:
        """Run over whole sequences, without dropout and without a tape.

        Parameters and errors are those of :meth:`forward`.

        Returns
        -------
        y : ndarray of shape (B, T, O), or (B, O) after pooling
            The output; zero at steps that do not count.
        state : ndarray of shape (D*L, B, P), or for an LSTM a pair (h, c) of them
            The state after each row's last step.

        Examples
        --------
        >>> import numpy as np
        >>> from seqrs import nn
        >>> layer = nn.RNN(3, 5, num_layers=2)
        >>> y, h = layer(np.zeros((4, 7, 3), np.float32), lengths=[7, 2, 0, 5])
        >>> y.shape, h.shape
        ((4, 7, 5), (2, 4, 5))
        """
        y, after, _ = self.forward(
            x, state, lengths, False, mask=mask, memory=memory, memory_lengths=memory_lengths
        )
        return y, after

    def forward(
        self,
        x: ArrayLike,
        state: StateT | None = None,
        lengths: ArrayLike | None = None,
        training: bool = True,
        *,
        mask: ArrayLike | None = None,
        step: SupportsIndex | None = None,
        memory: ArrayLike | Memory | None = None,
        memory_lengths: ArrayLike | None = None,
    ) -> tuple[Floats, StateT, Tape | None]:
        """Run over whole sequences and keep what the backward pass needs.

        Parameters
        ----------
        x : array of shape (B, T, I) in the layer's dtype, or integer array of shape (B, T)
            Features, or tokens from 0 to I - 1; -1 is the zero vector. A recurrent layer takes
            either: a token stands for a one-hot vector. Without the axis B, one sequence.
        state : array of shape (D*L, B, P), or for an LSTM a pair (h, c) of them, optional
            The state before the first step, such as the one an earlier call returned. Default:
            zero, or what the layer has learned.
        lengths : integer array of shape (B,), optional
            How many steps of each row count, 0 to T, in any order. The rest is padding. Default:
            all steps of all rows. For one sequence, a number.
        training : bool, default True
            Apply dropout and keep a tape.
        mask : boolean array of shape (B, T), optional
            Which steps count; with `lengths`, those within the length of which the mask is True.
            Default: all.
        step : int, optional
            Number of this training pass, from 0. The masks of dropout are a function of the
            layer's `seed` and of this number. Default: the layer's own count, `passes`, which
            the call then raises by one. Giving the number leaves the count alone.
        memory : array of shape (B, S, D), or Memory, optional
            What an :class:`AttentionDecoder` attends to, such as an encoder's output; without
            training also one that :meth:`prepare` returned. Other layers take none.
        memory_lengths : integer array of shape (B,), optional
            How many steps of each row of `memory` count, 0 to S. Default: all.

        Returns
        -------
        y : ndarray of shape (B, T, O), or (B, O) after pooling
            The output; zero at steps that do not count. With ``merge="separate"`` a pair.
        state : ndarray of shape (D*L, B, P), or for an LSTM a pair (h, c) of them
            Every layer's state after each row's last step, in PyTorch's order: layer 0 forward,
            layer 0 reverse, layer 1 forward, and so on; the initial state for rows of which no
            step counts. Where layers differ in width, a list with an array (D, B, P) for each
            in the place of an array. Of several recurrent blocks, a list of their states.
        tape : Tape or None
            For :meth:`backward`; None if not `training`.

        Raises
        ------
        ValueError
            If a shape, a token or a length does not fit, or an array holds NaN or infinity
            (unless the layer was made with ``check_finite=False``).
        TypeError
            If an array has another dtype than the layer. Nothing is converted silently.
        RuntimeError
            If the layer is part of a :class:`Sequential`, which holds its weights now.

        Notes
        -----
        At a step that does not count nothing is computed: the state is copied on, the output is
        zero, and what x holds there has no influence, though it must be finite.
        """
        run = self._pass(x, state, lengths, training, mask, memory, memory_lengths)
        if step is not None:
            number = _check.integer("step", step, minimum=0, maximum=2**64 - 1)
        else:
            number = self.passes
            self.passes += bool(training)
        return run(number)

    def _pass(
        self,
        x: ArrayLike,
        state: StateT | None,
        lengths: ArrayLike | None,
        training: bool,
        mask: ArrayLike | None,
        memory: ArrayLike | Memory | None,
        memory_lengths: ArrayLike | None,
    ) -> Callable[[int], tuple[Floats, StateT, Tape | None]]:
        """Check what :meth:`forward` takes; return what runs it, at a number of passes, with the weights of then."""
        inputs, batched = self._inputs(x, ("B", "T"))
        batch, steps = inputs.shape[:2]
        rows = (batch,) if batched else ()
        flat = self._flat("state", state, rows)
        attended = self._attended(memory, memory_lengths, rows)
        counted = _check.lengths(lengths, batch if batched else None, steps)
        where = _check.mask(mask, (*rows, steps))
        if where is not None:
            where = where.reshape(batch, steps)
        training = _check.flag("training", training)

        def run(number: int) -> tuple[Floats, StateT, Tape | None]:
            y, after, tape = self.network.forward(
                inputs, flat, counted, where, training, self.seed, number, *attended
            )
            return self._output(y, batched), self._state(after, rows), tape

        return run

    def backward(self, tape: Tape | None, dy: ArrayLike, dstate: StateT | None = None) -> Gradients[StateT]:
        """Carry gradients back through the sequences of a training pass (BPTT).

        With a loss ``E`` computed from the pass's output and final state, pass its derivatives
        by both; the result is its derivatives by everything that went in.

        Parameters
        ----------
        tape : Tape
            From :meth:`forward` with ``training=True``. Used up by this call.
        dy : array in the shape of the output and the layer's dtype
            dE/dy. What it holds at steps that do not count has no influence.
        dstate : array of shape (D*L, B, P), or for an LSTM a pair (dh, dc) of them, optional
            dE/dstate for the final state. Default: zero, which for windows of a longer sequence
            makes this truncated BPTT.

        Returns
        -------
        Gradients
            dE/dx, dE/dstate for the initial state, and dE/dp for every parameter p.

        Raises
        ------
        TapeError
            If the tape was used before, belongs to another layer, or the weights have changed
            since.
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
        if not isinstance(tape, self._tape):
            hint = "; forward(..., training=True) returns one" if tape is None else ""
            raise TypeError(f"tape: expected a Tape, got {type(tape).__name__}{hint}")
        network = self.network
        gradient, batched = self._upstream(dy)
        rows = gradient.shape[:1] if batched else ()
        x, before, flat, memory = network.backward(tape, gradient, self._flat("dstate", dstate, rows))
        flat[network.num_trainable :] = 0  # the frozen ones come last
        params = {
            name: flat[start : start + prod(shape)].reshape(shape)
            for name, shape, start, frozen in network.parameters()
            if not frozen
        }
        if x is not None and not batched:
            x = x[0]
        if memory is not None and not batched:
            memory = memory[0]
        return Gradients(x, self._state(before, rows), params, flat, memory)

    def step(
        self,
        x: ArrayLike,
        state: StateT | None = None,
        *,
        memory: ArrayLike | Memory | None = None,
        memory_lengths: ArrayLike | None = None,
    ) -> tuple[Floats, StateT]:
        """Run one step, for data that arrive one step at a time.

        Parameters
        ----------
        x : array of shape (B, I) in the layer's dtype, or integer array of shape (B,)
            Features or tokens, as in :meth:`forward`.
        state : array of shape (D*L, B, P), or for an LSTM a pair (h, c) of them, optional
            The state that the step before returned. Default: zero, or what the layer has
            learned.
        memory, memory_lengths : array, optional
            As in :meth:`forward`: the same at every step, so that :meth:`prepare` saves time.

        Returns
        -------
        y : ndarray of shape (B, O)
            The output.
        state : ndarray of shape (D*L, B, P), or for an LSTM a pair (h, c) of them
            For the next step.

        Raises
        ------
        ValueError, TypeError
            As :meth:`forward`.
        RuntimeError
            If the output at a step needs steps that are still to come: the layer is
            bidirectional, or pools over time.

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
        inputs, batched = self._inputs(x, ("B",))
        rows = inputs.shape[:1] if batched else ()
        network = self.network
        if not network.causal:
            why = "it pools over all steps" if network.output()[0] == "sequence" else "it is bidirectional"
            raise RuntimeError(f"step: {type(self).__name__} needs the whole sequence, because {why}")
        attended = self._attended(memory, memory_lengths, rows)
        y, after = network.step(inputs, self._flat("state", state, rows), *attended)
        return self._output(y, batched), self._state(after, rows)

    def attend(
        self,
        x: ArrayLike,
        state: StateT | None = None,
        lengths: ArrayLike | None = None,
        *,
        memory: ArrayLike | Memory,
        memory_lengths: ArrayLike | None = None,
    ) -> tuple[Floats, StateT, Floats]:
        """Run over whole sequences, and return which steps of the memory each step looked at.

        Parameters and errors are those of :meth:`forward`.

        Returns
        -------
        y, state
            As from a call.
        shares : ndarray of shape (B, T, S)
            The weight of each step of the memory in the context of each step; each row sums to 1, or
            is zero where no step of the memory counts, or the step itself does not.

        Examples
        --------
        >>> import numpy as np
        >>> from seqrs import nn
        >>> layer = nn.AttentionDecoder(nn.GRU(2, 3), 4)
        >>> y, h, shares = layer.attend(np.ones((1, 5, 2), np.float32), memory=np.ones((1, 4, 4), np.float32))
        >>> shares[0, 0].tolist()
        [0.25, 0.25, 0.25, 0.25]
        """
        inputs, batched = self._inputs(x, ("B", "T"))
        batch, steps = inputs.shape[:2]
        rows = (batch,) if batched else ()
        attended = self._attended(memory, memory_lengths, rows)
        counted = _check.lengths(lengths, batch if batched else None, steps)
        flat = self._flat("state", state, rows)
        y, after, shares = self.network.attend(inputs, flat, counted, None, *attended)
        looked = cast(Floats, shares)  # as there is a memory
        return self._output(y, batched), self._state(after, rows), looked if batched else looked[0]

    def prepare(self, memory: ArrayLike, memory_lengths: ArrayLike | None = None) -> Memory:
        """Make once what every step without training makes of the memory that the layer attends to.

        Parameters
        ----------
        memory : array of shape (B, S, D)
            What is attended to.
        memory_lengths : integer array of shape (B,), optional
            How many steps of each row count. Default: all.

        Returns
        -------
        Memory
            For `memory` of a call, :meth:`attend` or :meth:`step`: the results are the same, to the bit.

        Raises
        ------
        ValueError, TypeError
            As :meth:`forward`.

        Examples
        --------
        >>> import numpy as np
        >>> from seqrs import nn
        >>> decoder = nn.AttentionDecoder(nn.GRU(2, 3), memory_size=4)
        >>> array, x, h = np.ones((1, 5, 4), np.float32), np.ones((1, 2), np.float32), None
        >>> memory = decoder.prepare(array)
        >>> for _ in range(10):
        ...     y, h = decoder.step(x, h, memory=memory)
        >>> y.shape
        (1, 7)
        """
        if isinstance(memory, Memory):
            raise TypeError("memory: expected an array, got one that is prepared")
        if self.network.memory_size is None:
            raise TypeError(f"prepare: {type(self).__name__} attends to no memory")
        rows = np.shape(memory)[:1]
        attended, lengths = self._attended(memory, memory_lengths, rows or (1,))
        return Memory(self.network.prepare(cast(Floats, attended), lengths))
