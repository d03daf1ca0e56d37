"""Vectors for tokens."""

from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex

from numpy.typing import ArrayLike

from seqrs import _check
from seqrs.nn.layer import Layer
from seqrs.nn.options import BlockOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Embedding"]


class Embedding(Layer[None]):
    """A vector for each token: integers (B, T) in, the rows of a table (B, T, E) out.

    Token -1 is the zero vector. In front of a recurrent layer in a :class:`Sequential` no vector
    is made: each distinct token is multiplied with the layer's weights once.

    Parameters
    ----------
    num_embeddings : int
        V, the number of different tokens.
    embedding_size : int
        E, the length of a vector.
    dropout : float, default 0.0
        In training passes, the probability with which a token's vector is zero for the whole
        pass, wherever it stands; the others are divided by 1 - dropout (Gal and Ghahramani
        2016).
    frozen : bool, default False
        Whether training leaves the vectors as they are.
    **options
        `dtype`, `device`, `seed`, `check_finite`: see :class:`BlockOptions`.

    Notes
    -----
    One parameter, ``weight`` (V, E), standard normal at first, as in ``torch.nn.Embedding``.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, of the wrong type, or unknown.

    Examples
    --------
    >>> from seqrs import nn
    >>> table = nn.Embedding(10, 4)
    >>> y, _ = table([[3, 1, 4]])
    >>> y.shape
    (1, 3, 4)
    """

    _takes = "tokens"

    def __init__(
        self,
        num_embeddings: SupportsIndex,
        embedding_size: SupportsIndex,
        *,
        dropout: SupportsFloat = 0.0,
        frozen: bool = False,
        **options: "Unpack[BlockOptions]",
    ) -> None:
        tokens = _check.integer("num_embeddings", num_embeddings, minimum=1)
        size = _check.integer("embedding_size", embedding_size, minimum=1)
        self.dropout = _check.probability("dropout", dropout)
        self.frozen = _check.flag("frozen", frozen)
        super().__init__(tokens, size, options)

    @classmethod
    def from_vectors(
        cls, vectors: ArrayLike, frozen: bool = True, **options: "Unpack[BlockOptions]"
    ) -> "Embedding":
        """Make an embedding of vectors that are there already, such as GloVe's.

        Parameters
        ----------
        vectors : array of floats of shape (V, E)
            The vector of each token.
        frozen : bool, default True
            Whether training leaves them as they are.
        **options
            As for the class. `dtype` is by default that of the array, if it is one of the two.

        Returns
        -------
        Embedding

        Raises
        ------
        ValueError, TypeError
            If it is no such array, or holds NaN or infinity.

        Examples
        --------
        >>> import numpy as np
        >>> from seqrs import nn
        >>> table = nn.Embedding.from_vectors(np.eye(3))
        >>> table([2])[0].tolist(), table.num_trainable
        ([[0.0, 0.0, 1.0]], 0)
        """
        array = _check.as_array("vectors", vectors)
        if array.ndim != 2 or array.dtype.kind != "f":
            raise ValueError(
                f"vectors: expected an array of floats of shape (V, E), got {array.dtype} of shape {array.shape}"
            )
        if "dtype" not in options and array.dtype.name in _check.DTYPES:
            options["dtype"] = array.dtype.name
        table = cls(*array.shape, frozen=frozen, **options)
        table.load_state_dict({"weight": array})
        return table

    def _blocks(self, name: str, width: int) -> list[dict[str, Any]]:  # noqa: ARG002 - the width is known
        own = {"size": self.output_size, "dropout": self.dropout, "frozen": self.frozen}
        return [{"block": "embedding", "name": name, **own}]

    def __repr__(self) -> str:
        more = f", dropout={self.dropout}" if self.dropout else ""
        return (
            f"Embedding({self.input_size}, {self.output_size}{more}{', frozen=True' if self.frozen else ''})"
        )
