"""A model whose weights take less memory: to write and to score with, not to be trained."""

from typing import Any, NoReturn

from seqrs import _check
from seqrs._native import Network
from seqrs.models.text_model import TextModel
from seqrs.models.writing import WritingModel

WEIGHTS = ("float32", "bfloat16", "int8")


class QuantizedModel(WritingModel):
    """What :meth:`seqrs.LanguageModel.quantize` returns: a model that writes and scores.

    Products are made of rounded weights and rounded states; sums, states and everything between
    products are in full.

    Attributes
    ----------
    weights : "float32", "bfloat16" or "int8"
        What the weights are rounded to.
    """

    def __init__(self, model: TextModel, weights: str) -> None:
        self.network = model.network.at(_check.choice("weights", weights, WEIGHTS))
        self.dtype = model.network.dtype
        self.weights = weights
        self._network_options = model._network_options
        self._codec = model._codec

    def _rebuilt(self) -> Network:
        return super()._rebuilt().at(self.weights)

    def fit(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: such a model does not learn.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            f"training with weights in {self.weights}: train the model that this one was made from, "
            "then quantize it anew"
        )

    def __repr__(self) -> str:
        return f"<QuantizedModel: {self.network.num_parameters:,} weights in {self.weights}>"
