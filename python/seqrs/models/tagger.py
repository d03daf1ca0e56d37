"""A tag for every step of a sequence."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from seqrs import _check
from seqrs._check import Floats
from seqrs.models.labels import check_class_weight
from seqrs.models.step_tag import StepTag

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from seqrs.models.sequence_options import Common

__all__ = ["SequenceTagger"]


class SequenceTagger(StepTag):
    """A recurrent network that gives each step of a sequence a tag (many-to-many, Tx = Ty).

    What it learns, `y`, is a list of tags for each sequence, str or numbers, one for each step.

    Parameters
    ----------
    output : {"softmax", "crf"}, default "softmax"
        Whether each tag is chosen by itself, or the whole sequence of tags at once, by a conditional
        random field that learns which tag follows which (Huang et al. 2015): see
        :func:`seqrs.losses.crf`.
    constraints : {"auto", "bio"} or None, default "auto"
        Whether what is predicted must be well formed: see :func:`seqrs.decoding.bio_constraints`.
        ``"auto"``: where tags begin with ``B-``; then all must be of that form.
    char_hidden_size : int, optional
        For words: units in each direction of a network that reads the characters of each word and
        gives the largest number of each unit, set beside the word's vector: names and rare words are
        known by how they are spelled (Lample et al. 2016). Default: none.
    char_embedding_size : int, default 25
        Length of a character's vector.
    lowercase : bool, default False
        For words: whether ``Paris`` and ``paris`` have one vector. Characters are read as they are.
    class_weight : "balanced", mapping of tag to float, or None, default None
        With ``output="softmax"``: how much the steps of each tag count. ``"balanced"``: all tags
        alike, however rare.
    **options
        Those of all models of sequences: see :class:`seqrs.models.SequenceOptions`.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The tags, sorted.
    network, reader, history
        See :class:`SequenceModel`.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range, of another type, or unknown.

    Examples
    --------
    >>> import seqrs
    >>> X = ["fly from Oslo to New York", "to Rome from Lima"] * 20
    >>> y = ["O O B-from O B-to I-to".split(), "O B-to O B-from".split()] * 20
    >>> model = seqrs.SequenceTagger(
    ...     output="crf", char_hidden_size=8, hidden_size=16, batch_size=8, lr=0.02, random_state=0
    ... )
    >>> tagger = model.fit(X, y)
    >>> tagger.predict(["fly to New York"])[0].tolist()
    ['O', 'O', 'B-to', 'I-to']
    >>> tagger.predict_proba(["fly to Oslo"])[0].shape
    (3, 4)
    """

    kind = "sequence_tagger"

    def __init__(
        self,
        *,
        output: str = "softmax",
        constraints: str | None = "auto",
        char_hidden_size: int | None = None,
        char_embedding_size: int = 25,
        lowercase: bool = False,
        class_weight: str | Mapping[Any, float] | None = None,
        **options: "Unpack[Common]",
    ) -> None:
        self.output = output
        self.constraints = constraints
        self.char_hidden_size = char_hidden_size
        self.char_embedding_size = char_embedding_size
        self.lowercase = lowercase
        self.class_weight = class_weight
        super().__init__(**options)

    def _check_params(self) -> None:
        super()._check_params()
        _check.choice("output", self.output, ("softmax", "crf"))
        if self.constraints is not None:
            _check.choice("constraints", self.constraints, ("auto", "bio"))
        if self.char_hidden_size is not None:
            _check.integer("char_hidden_size", self.char_hidden_size, minimum=1)
            if self.embedding_size is None:
                raise ValueError("embedding_size: expected a size beside char_hidden_size, got None")
        _check.integer("char_embedding_size", self.char_embedding_size, minimum=1)
        _check.flag("lowercase", self.lowercase)
        check_class_weight(self.class_weight)
        if self.class_weight is not None and self.output == "crf":
            raise ValueError('class_weight: expected None beside output="crf", which weighs whole sequences')

    # Use

    def predict(self, X: Any, lengths: ArrayLike | None = None) -> list[NDArray[Any]]:
        """Return the best tags of each sequence.

        Parameters
        ----------
        X, lengths
            As for :meth:`fit`.

        Returns
        -------
        list of B ndarrays of shape (T,)
            A tag for each step: with ``output="crf"`` those of the sequence that is most likely as a
            whole, else the most likely of each step; within the constraints, if there are any.

        Raises
        ------
        ValueError, TypeError
            If the sequences are not like those of the training.
        RuntimeError
            If the model is not fitted.
        """
        emissions = self._outputs(X, lengths)
        best = self._tags.best(emissions, self._chain())
        return [self._tags.classes.decode(tags) for tags in best]

    def predict_proba(self, X: Any, lengths: ArrayLike | None = None) -> list[Floats]:
        """Return the probability of each tag at each step.

        Parameters
        ----------
        X, lengths
            As for :meth:`predict`.

        Returns
        -------
        list of B ndarrays of shape (T, K)
            In the order of `classes_`; each step sums to 1. With a chain, or constraints, over all
            sequences of tags that they allow.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`predict`.
        """
        emissions = self._outputs(X, lengths)
        return self._tags.probabilities(emissions, self._chain())

    def score(self, X: Any, y: Any, lengths: ArrayLike | None = None) -> float:
        """Return the F1 of entities where tags begin with ``B-``, else the part of the steps whose tag is right.

        Parameters
        ----------
        X, y, lengths
            As for :meth:`fit`.

        Returns
        -------
        float
            See :func:`seqrs.metrics.entity_scores` and :func:`seqrs.metrics.accuracy`.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As :meth:`predict`, and if a tag was not there in training.
        """
        self._check_fitted()
        examples = self._examples(X, y, lengths=lengths)
        return self._score_outputs(self._run(examples.inputs), examples)
