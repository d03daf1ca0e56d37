"""The compiled core, as the facade sees it. Users never import this module."""

from collections.abc import Callable, Iterator
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Generator",
    "Memory",
    "Network",
    "Optimizer",
    "Outcome",
    "State",
    "Tape",
    "cpu_features",
    "crf_loss",
    "crf_marginals",
    "ctc_beam",
    "ctc_greedy",
    "ctc_loss",
    "get_num_threads",
    "gpu_adapters",
    "gpu_choose",
    "gpu_finish",
    "gpu_reset",
    "learning_rate",
    "load_file",
    "pointwise_loss",
    "random_bits",
    "save_file",
    "set_num_threads",
    "softmax_cross_entropy",
    "version",
    "viterbi",
]

_Floats = NDArray[np.float32] | NDArray[np.float64]
# All h, and where a layer has a memory also all c, each flat: for every scan (a layer in one direction) in
# order its (B, width) numbers, one after the other.
_State = tuple[_Floats, ...]

@final
class Tape:
    """What one training-mode forward pass keeps for its backward pass; good for one use."""

    @property
    def penalty(self) -> float:
        """What the penalties on activations add to the loss."""

@final
class Optimizer:
    """An update rule and its moving averages over so many weights, those of a network for example."""

    def __new__(
        cls,
        size: int,
        dtype: str,
        rule: str,  # "sgd" | "rmsprop" | "adam" | "adamw"
        *,
        momentum: float = 0.0,  # sgd
        rho: float = 0.99,  # rmsprop: decay of the mean square
        betas: tuple[float, float] = ...,  # adam, adamw: (0.9, 0.999)
        eps: float = 1e-8,
        weight_decay: float = 0.0,  # adamw: decoupled; the others: added to the gradient
        clip_norm: float | None = None,  # global norm of all gradients
        clip_value: float | None = None,  # each element, applied before the norm
    ) -> Optimizer: ...
    @property
    def steps(self) -> int: ...
    def state(self) -> dict[str, _Floats]:
        """Moving averages by name ("exp_avg", ...), each flat over all weights."""
    def load_state(self, steps: int, state: dict[str, _Floats]) -> None: ...
    def update(self, values: _Floats, gradient: _Floats, lr: float) -> float:
        """One update of weights in an array (size,), in place. The gradient's norm before clipping; where it is not finite nothing has changed."""

@final
class Outcome:
    """What a training step came to, while a device may still be at it."""

    @property
    def known(self) -> bool:
        """Whether it is here, so that nothing below waits."""
    @property
    def loss(self) -> float:
        """Mean loss a scored token, nats, before the update."""
    @property
    def norm(self) -> float:
        """Global norm of the gradients before clipping."""

@final
class State:
    """A state that stays on its device until it is iterated over: its arrays, as a tuple has them."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[_Floats]: ...

@final
class Generator:
    """Texts being drawn together: of each the recurrent state, the last token and the random stream."""

    def take(self, n: int) -> list[tuple[list[int], list[float]]]:
        """Draw up to n more tokens of each text: numbers and log-probabilities (before temperature and cuts).

        Fewer than n come back only when the stop token was drawn (it is the last one returned).
        """
    @property
    def done(self) -> bool:
        """Whether the stop token of every text was drawn."""
    def state(self) -> _State:
        """Of the first text."""

@final
class Memory:
    """Rows of a prepared memory, which several of these may share."""

    def take(self, rows: list[int]) -> Memory:
        """Some rows, in any order, also several times; no number is copied."""
    def __len__(self) -> int: ...

@final
class Network:
    """A program (list of ops) with its weights on one device."""

    @staticmethod
    def build(
        spec: str,  # JSON: {"input": {"features": 3} or {"tokens": 50}, "blocks": [{"block": "linear", ...}, ...]}
        *,
        dtype: str,  # "float32" | "float64" | "bfloat16": float32 with rounded products
        device: str,  # "cpu" | "gpu" | "gpu:<part of a name>" | "reference" | "auto"
        batch: int = 32,  # sequences, by which "auto" decides
        seed: int,
    ) -> Network:
        """Blocks in a row; the core's `layers::Spec` says what each is made of."""
    @staticmethod
    def language_model(
        *,
        cell: str,
        form: str,
        vocab_size: int,
        embedding_size: int | None,  # None: one-hot input, a direct gather of weight_ih
        hidden_size: int,
        num_layers: int,
        dropout: float,  # on the embedding, between layers and before the head
        dtype: str,
        device: str,
        batch: int = 32,
        seed: int,
    ) -> Network:
        """Tokens in, a distribution over the next token out."""
    @property
    def dtype(self) -> str: ...
    @property
    def device(self) -> str:
        """Where it is: "cpu", "gpu" or "reference"."""
    @property
    def why(self) -> str:
        """Why it is there, where "auto" was asked for; else empty."""
    @property
    def num_parameters(self) -> int: ...
    @property
    def num_trainable(self) -> int:
        """Numbers in the parameters that are not frozen, which lie first in the buffer."""
    @property
    def causal(self) -> bool:
        """Whether nothing is reversed or pooled, so that it can go step by step."""
    @property
    def memory_size(self) -> int | None:
        """D, numbers in a step of the memory that it attends to; None where it attends to none."""
    def parameters(self) -> list[tuple[str, tuple[int, ...], int, bool]]:
        """Name, shape, place of its first number in the buffer, and whether it is frozen."""
    def states(self) -> list[tuple[int, int]]:
        """For every scan in order: the width of its h, and that of its c (0: none)."""
    def output(self) -> tuple[str, int]:
        """What comes out: "steps" (B, T, O) or "sequence" (B, O); and O."""
    def get(self, name: str) -> _Floats:
        """A copy of one parameter."""
    def set(self, values: dict[str, _Floats]) -> None:
        """Replace some parameters, or none of them if one does not fit."""
    def forward(
        self,
        x: NDArray[Any],  # (B, T, I) floats, or (B, T) integer tokens, where -1 is the zero vector
        state: _State | None,
        lengths: NDArray[np.int64] | None,  # (B,)
        mask: NDArray[np.bool_] | None,  # (B, T): which steps count, of those within the lengths
        training: bool,  # True: dropout is on and a tape is kept
        seed: int,
        step: int,
        memory: _Floats | Memory | None = None,  # (B, S, D): what the network attends to
        memory_lengths: NDArray[np.int64] | None = None,  # (B,); not beside a Memory
    ) -> tuple[_Floats, _State, Tape | None]:
        """The output, zero at steps that do not count, and the state after each row's last step.

        For a language model the output is the logits.
        """
    def backward(
        self, tape: Tape, dy: _Floats, dstate: _State | None
    ) -> tuple[_Floats | None, _State, _Floats, _Floats | None]:
        """Gradients of sum(dy * y) + sum(dstate * state) + penalty: of x (None for tokens), of the initial state, of all parameters, of the memory (None without one)."""
    def apply(self, gradient: _Floats, optimizer: Optimizer, lr: float) -> float:
        """Update by a gradient (num_parameters,). Its norm before clipping; where that is not finite nothing changes."""
    def attend(
        self,
        x: NDArray[Any],
        state: _State | None,
        lengths: NDArray[np.int64] | None,
        mask: NDArray[np.bool_] | None,
        memory: _Floats | Memory | None,
        memory_lengths: NDArray[np.int64] | None,
    ) -> tuple[_Floats, _State, _Floats | None]:
        """Run without a tape: output, state, and the shares (B, T, S) of the memory's steps in every context."""
    def prepare(self, memory: _Floats, memory_lengths: NDArray[np.int64] | None = None) -> Memory:
        """A memory to attend to, (B, S, D), with what is made of it once for many runs without training."""
    def step(
        self,
        x: NDArray[Any],
        state: _State | None,
        memory: _Floats | Memory | None = None,
        memory_lengths: NDArray[np.int64] | None = None,
    ) -> tuple[_Floats, _State]:
        """One step: x (B, I) floats or (B,) tokens; y (B, O)."""
    # The rest is for language models.
    def train_step(
        self,
        inputs: NDArray[np.int32],  # (B, T); -1 is the zero vector
        targets: NDArray[np.int32],  # (B, T); -1 is not scored
        lengths: NDArray[np.int64] | None,
        state: _State | State | None,
        optimizer: Optimizer,
        lr: float,
        seed: int,
        step: int,
    ) -> tuple[Outcome, _State | State]:
        """Forward, backward, clip and update: what it came to, and the state after.

        On device="gpu" both stay there until somebody asks, and the host asks by itself every 16 steps. The
        weights are left as they were when the loss or the norm is not finite; so they are by steps begun after
        such a one before it was known, whose norm is NaN.
        """
    def evaluate(
        self,
        inputs: NDArray[np.int32],
        targets: NDArray[np.int32],
        lengths: NDArray[np.int64] | None,
        state: _State | None,
    ) -> tuple[_Floats, _State]:
        """Log-probability in nats of each target, (B, T), 0 where not scored; dropout is off."""
    def generator(
        self,
        *,
        prompt: NDArray[np.int32],  # tokens read first; [-1] is the zero vector alone
        state: _State | None,
        temperature: float,  # 0: the most likely token
        top_k: int | None,
        top_p: float | None,
        banned: NDArray[np.int32],  # tokens never drawn
        stop: int | None,  # drawing this token ends the text
        seeds: list[int],  # of each text
    ) -> Generator: ...
    def at(self, weights: str) -> Network:
        """A copy for running alone, with its weights in "float32" (as they are), "bfloat16" or "int8"."""

def learning_rate(
    schedule: str,
    lr: float,
    step: int,
    total: int,
    *,
    warmup: int = 0,
    step_size: int = 1,
    gamma: float = 0.1,
    final: float = 0.0,
) -> float:
    """Rate of update number `step` (from 0) of `total`: "constant", "step" (times gamma every step_size), "cosine" (to `final`).

    The first `warmup` updates rise linearly from lr/warmup to lr, and the schedule runs over the rest.
    """

def softmax_cross_entropy(
    logits: _Floats,  # (..., V)
    targets: NDArray[np.integer[Any]],  # (...); -1 is not scored
    lengths: NDArray[np.int64] | None,  # (B,), where the second axis is T
    mask: NDArray[np.bool_] | None,  # the first axes of targets
    reduction: str,  # "mean" | "sum"
    device: str,
    label_smoothing: float,
) -> tuple[float, _Floats]:
    """The loss in nats and its gradient, like logits. NaN and infinity are refused where they count."""

def pointwise_loss(
    loss: str,  # "squared_error" | "absolute_error" | "huber" | "binary_cross_entropy"
    predictions: _Floats,
    targets: _Floats,  # of the same shape and dtype
    lengths: NDArray[np.int64] | None,
    mask: NDArray[np.bool_] | None,  # the first axes of predictions
    reduction: str,
    device: str,
    delta: float,  # huber
) -> tuple[float, _Floats]:
    """The loss and its gradient, like predictions. NaN and infinity are refused where they count."""

def ctc_loss(
    logits: _Floats,  # (B, T, V)
    labels: NDArray[np.integer[Any]],  # of all rows, one after the other
    counts: NDArray[np.int64],  # (B,): labels of each row
    lengths: NDArray[np.int64] | None,  # (B,): steps of each row
    blank: int,
    zero_infinity: bool,  # labels that do not fit: loss 0 instead of an error
    reduction: str,  # "mean" | "sum"
    device: str,
) -> tuple[float, _Floats]:
    """-ln P(labels | logits) in nats, and its gradient, like logits."""

# Start (K,), transitions (K, K) and end (K,), of the dtype of the emissions; -inf rules out.
_Chain = tuple[_Floats, _Floats, _Floats]

def crf_loss(
    emissions: _Floats,  # (B, T, K)
    tags: NDArray[np.integer[Any]],  # (B, T)
    chain: _Chain,
    lengths: NDArray[np.int64] | None,  # (B,)
    reduction: str,  # "mean" | "sum"
    device: str,
) -> tuple[float, tuple[_Floats, _Floats, _Floats, _Floats]]:
    """-ln P(tags | emissions) in nats; the gradients of emissions, start, transitions and end."""

def crf_marginals(
    emissions: _Floats, chain: _Chain, lengths: NDArray[np.int64] | None, device: str
) -> _Floats:
    """P(tag) at each step, like emissions."""

def viterbi(
    emissions: _Floats, chain: _Chain, lengths: NDArray[np.int64] | None
) -> tuple[list[NDArray[np.int32]], NDArray[np.float64]]:
    """The best tags of each row, and their scores."""

def ctc_greedy(
    logits: _Floats,  # (B, T, V)
    lengths: NDArray[np.int64] | None,
    blank: int,
) -> list[tuple[NDArray[np.int32], NDArray[np.int32], float]]:
    """Of each row's best path: labels, the step at which each begins, ln P of the path."""

def ctc_beam(
    logits: _Floats,  # (B, T, V)
    lengths: NDArray[np.int64] | None,
    blank: int,
    width: int,
    hypotheses: int,
    # Asked once a step for all new prefixes: (n, V), ln P of the next label; of the end in place of the blank.
    language: Callable[[list[tuple[int, ...]]], NDArray[np.float64]] | None,
    alpha: float,
    beta: float,
) -> list[list[tuple[NDArray[np.int32], float, float]]]:
    """Of each row up to so many hypotheses, best first: labels, score, ln P(labels | logits)."""

def save_file(path: str, tensors: dict[str, NDArray[Any]], metadata: dict[str, str]) -> None:
    """Write a safetensors file: to a temporary name beside it, synced, then renamed. The old file survives any failure."""

def load_file(path: str) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read a safetensors file. Raises ModelFileError where it is not one, or is cut short."""

def random_bits(seed: int, stream: int, counter: int, n: int) -> NDArray[np.uint32]:
    """n numbers of the counter-based generator, from `counter` on: a function of its arguments alone."""

def set_num_threads(n: int) -> None: ...
def gpu_adapters() -> list[dict[str, Any]]:
    """All adapters, the best first, as :class:`seqrs.gpu.Adapter` lists what is known of each."""

def gpu_choose(name: str | None = None) -> int:
    """The place among them of the one that "gpu" means, or "gpu:<name>"."""

def gpu_finish() -> None:
    """Waits for work under way and lets none follow: for the end of the process."""

def gpu_reset() -> None:
    """Closes what is open; the next use opens it anew."""

def get_num_threads() -> int: ...
def cpu_features() -> dict[str, Any]:
    """{"detected": [names], "path": one of them}."""

version: str
