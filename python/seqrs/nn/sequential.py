"""Blocks one after the other, as one model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from seqrs.nn._layout import StateLayout
from seqrs.nn._summary import Row
from seqrs.nn.layer import Layer
from seqrs.nn.options import BlockOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Sequential"]


class Sequential(Layer[Any]):
    """Blocks one after the other: one program, run and differentiated as a whole.

    The weights are those that the blocks had, under PyTorch's names: ``0.weight``,
    ``1.weight_ih_l0``, and so on. The blocks themselves can no longer be run alone.

    Parameters
    ----------
    *blocks : Layer
        At least one, of one dtype and device, each taking as many features as the one before it
        gives. An :class:`Embedding` comes first; after a :class:`Pool` nothing that needs a
        time axis. They may be :class:`Sequential` themselves.
    tied : dict of str to str, optional
        Parameters that are one and the same: ``{"2.weight": "0.weight"}`` makes the weight of
        the :class:`Linear` block 2 that of the :class:`Embedding` block 0 (Press and Wolf 2017).
        The second name is the one it has.
    **options
        `seed`, for the masks of dropout, and `check_finite`: see :class:`BlockOptions`. `dtype`
        and `device` are the blocks'.

    Attributes
    ----------
    blocks : tuple of Layer
        The blocks.

    Notes
    -----
    The state is that of the recurrent block; of several, a list with the state of each; None
    without any.

    Raises
    ------
    ValueError, TypeError
        If the blocks do not fit together, one is part of a model already, or an option is
        unknown. The blocks are then as they were.

    Examples
    --------
    A classifier of sequences of tokens:

    >>> from seqrs import nn
    >>> model = nn.Sequential(
    ...     nn.Embedding(50, 8),
    ...     nn.GRU(8, 16, bidirectional=True),
    ...     nn.Pool("max"),
    ...     nn.Linear(32, 3),
    ... )
    >>> logits, state = model([[3, 1, 4, 1], [5, 9, 0, 0]], lengths=[4, 2])
    >>> logits.shape
    (2, 3)
    >>> print(model)
    Sequential(Embedding(50, 8), GRU(8, 16, bidirectional=True), Pool('max'), Linear(32, 3))
       layer      output      parameters
    0  Embedding  (B, T, 8)          400
    1  GRU        (B, T, 32)       2,496
    2  Pool       (B, 32)              0
    3  Linear     (B, 3)              99
       total                       2,995
       trainable                   2,995
    """

    def __init__(
        self, *blocks: Layer[Any], tied: Mapping[str, str] | None = None, **options: "Unpack[BlockOptions]"
    ) -> None:
        _check_blocks(blocks)
        for name in ("dtype", "device"):
            if name in options:
                raise TypeError(f"Sequential: unexpected keyword argument {name!r}; it is that of the blocks")
        self.blocks = blocks
        self.tied = dict(tied or {})
        self._takes = "features" if blocks[0]._any_width else blocks[0]._takes
        self._pools = any(block._pools for block in blocks)
        self._widths = _widths(blocks)
        sized = next(block for block in blocks if not block._any_width)
        super().__init__(
            self._widths[0],
            self._widths[-1],
            {"dtype": sized.compute_dtype, "device": sized.device, **dict(options)},
        )
        self.network.set(
            {
                f"{i}.{name}": value
                for i, block in enumerate(blocks)
                if not block._any_width
                for name, value in block.state_dict().items()
                if f"{i}.{name}" not in self.tied
            }
        )
        for i, block in enumerate(blocks):
            block._within, block._network = f"block {i} of a Sequential", None

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set every parameter, from :meth:`state_dict` or from a PyTorch module's.

        Parameters
        ----------
        state_dict : mapping of str to array
            As for other layers. A tied parameter may be there under both its names, as PyTorch
            has it; the two must be equal.

        Raises
        ------
        ValueError, TypeError
            As for other layers, or if what is tied differs.

        Examples
        --------
        >>> import numpy as np
        >>> from seqrs import nn
        >>> model = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 5, bias=False), tied={"1.weight": "0.weight"})
        >>> model.load_state_dict({"0.weight": np.ones((5, 2)), "1.weight": np.ones((5, 2))})
        >>> list(model.state_dict())
        ['0.weight']
        """
        given = dict(state_dict)
        for name, owner in self._all_tied().items():
            if name in given and owner in given:
                alias, value = given.pop(name), given[owner]
                if not np.array_equal(np.asarray(alias), np.asarray(value)):
                    raise ValueError(f"state_dict: {name} and {owner} are tied, but their values differ")
        super().load_state_dict(given)

    def _all_tied(self) -> dict[str, str]:
        """Return what is tied, in the blocks as well."""
        names = dict(self.tied)
        for i, block in enumerate(self.blocks):
            if isinstance(block, Sequential):
                names |= {f"{i}.{name}": f"{i}.{owner}" for name, owner in block._all_tied().items()}
        return names

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:  # noqa: ARG002 - the widths are known
        prefix = f"{name}." if name else ""
        described = []
        for i, (block, inner) in enumerate(zip(self.blocks, self._widths, strict=False)):
            described += block._blocks(f"{prefix}{i}", inner)
        for alias, owner in self.tied.items():
            linear = [
                one
                for one in described
                if one["block"] == "linear" and f"{one['name']}.weight" == prefix + alias
            ]
            if not linear:
                raise ValueError(f"tied: expected the weight of a Linear block, got {alias!r}")
            linear[0]["tied"] = prefix + owner
        return described

    def _layouts(self) -> list[StateLayout]:
        return [layout for block in self.blocks for layout in block._layouts()]

    def _rows(self, parameters: list[tuple[str, int, bool]]) -> list[Row]:
        notes = {name.rpartition(".")[0]: f"{name} is {owner}" for name, owner in self.tied.items()}
        rows, steps = [], True
        for i, block in enumerate(self.blocks):
            own = [
                (n.partition(".")[2], size, frozen) for n, size, frozen in parameters if n.startswith(f"{i}.")
            ]
            for row in block._rows(own):
                place = f"{i}.{row.place}" if row.place else str(i)
                rows.append(
                    replace(
                        row,
                        place=place,
                        width=self._widths[i + 1] if row.width is None else row.width,
                        steps=steps and row.steps,
                        note=notes.get(place, row.note),
                    )
                )
            steps = steps and not block._pools
        return rows

    @property
    def _separate(self) -> bool:
        return self.blocks[-1]._separate

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.blocks))})"


def _check_blocks(blocks: Sequence[Layer[Any]]) -> None:
    """Refuse blocks that do not go together in kind, dtype or order."""
    if not blocks:
        raise ValueError("blocks: expected at least one block, got none")
    steps: int | None = None  # the block that took the time axis away
    for i, block in enumerate(blocks):
        if not isinstance(block, Layer):
            raise TypeError(f"block {i}: expected a layer or block of seqrs.nn, got {type(block).__name__}")
        if block._within or any(block is other for other in blocks[:i]):
            raise ValueError(f"block {i}: {block!r} is part of a model already")
        if block._takes == "tokens" and i > 0:
            raise ValueError(f"block {i}: {block!r} takes tokens, so it must come first")
        if block._separate and i < len(blocks) - 1:
            raise ValueError(f'block {i}: merge="separate" gives a pair, which no other block takes')
        if block._needs_steps and steps is not None:
            raise ValueError(f"block {i}: {block!r} needs steps, but block {steps} pools over them")
        if block._pools:
            steps = i
    sized = [(i, block) for i, block in enumerate(blocks) if not block._any_width]
    if not sized:
        raise ValueError("blocks: expected at least one that knows its input_size")
    for i, block in sized[1:]:
        first, like = sized[0]
        if (block.compute_dtype, block.device) != (like.compute_dtype, like.device):
            raise ValueError(
                f"block {i}: expected {like.compute_dtype} on {like.device} as in block {first}, "
                f"got {block.compute_dtype} on {block.device}"
            )


def _widths(blocks: Sequence[Layer[Any]]) -> list[int]:
    """Return the width of the input, and of the output of every block."""
    # A block that takes any width gives it too, or so many times as much.
    first = next(i for i, block in enumerate(blocks) if not block._any_width)
    times = prod(block._times for block in blocks[:first])
    width, rest = divmod(blocks[first].input_size or 0, times)
    if rest:
        raise ValueError(f"block {first}: expected an input_size that {times} divides, got {blocks[first]!r}")
    widths = [width]
    for i, block in enumerate(blocks):
        if not block._any_width:
            if block.input_size != width:
                raise ValueError(f"block {i}: expected an input_size of {width}, got {block!r}")
            width = block.output_size or 0
        else:
            width *= block._times
        widths.append(width)
    return widths
