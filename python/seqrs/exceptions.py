"""The exceptions of seqrs that no built-in class names well enough.

Everything else is a built-in one: :class:`ValueError` for a value or a shape,
:class:`TypeError` for a type or a dtype, :class:`OSError` for a file that cannot be read or
written. Each class here is also one of the built-in ones, so code that knows nothing of seqrs
catches it where it would expect to.
"""

__all__ = [
    "DivergenceError",
    "GpuDeviceLostError",
    "GpuInternalError",
    "GpuOutOfMemoryError",
    "GpuUnavailableError",
    "ModelFileError",
    "TapeError",
]


class ModelFileError(ValueError):
    """A file is not a seqrs model, is cut short, or is damaged.

    The message names the file and what is wrong with it. The file is left as it was.

    Examples
    --------
    >>> import pathlib, tempfile, seqrs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "shopping.seqrs"
    ...     _ = path.write_text("milk, bread")
    ...     try:
    ...         seqrs.load(path)
    ...     except seqrs.exceptions.ModelFileError:
    ...         print("not a model")
    not a model
    """


class TapeError(RuntimeError):
    """A tape cannot be used for this backward pass.

    A tape belongs to the layer whose forward pass returned it and is good for one backward
    pass: that pass reuses the tape's memory.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import exceptions, nn
    >>> layer = nn.RNN(3, 4)
    >>> y, state, tape = layer.forward(np.ones((1, 2, 3), np.float32))
    >>> gradients = layer.backward(tape, y)
    >>> try:
    ...     layer.backward(tape, y)
    ... except exceptions.TapeError:
    ...     print("run the forward pass again")
    run the forward pass again
    """


class DivergenceError(ArithmeticError):
    """Training left the finite numbers: a loss or a gradient became NaN or infinite.

    The message names the step. The weights are those of the last step that was finite.
    The usual cures are a smaller learning rate and ``clip_norm``.
    """


class GpuUnavailableError(RuntimeError):
    """There is no graphics processor, or none that may be used.

    The message says what was looked for and how to get a driver.

    Examples
    --------
    >>> from seqrs import exceptions, nn
    >>> try:
    ...     layer = nn.LSTM(3, 4, device="gpu")
    ... except exceptions.GpuUnavailableError:
    ...     layer = nn.LSTM(3, 4, device="cpu")
    """


class GpuOutOfMemoryError(MemoryError):
    """A graphics processor has not the memory that was asked for, or may not take it.

    The message names the largest tensors, what limits them, and what to reduce. The most that may be taken
    is the environment variable ``SEQRS_GPU_MAX_BYTES``. Long sequences are cut into segments before a single
    tensor is too large: see :mod:`seqrs.gpu`.
    """


class GpuDeviceLostError(RuntimeError):
    """A graphics processor stopped answering, was closed, or was opened before the process was forked.

    What was on it is lost: :func:`seqrs.gpu.reset` lets it be opened anew; layers and models are to be made
    anew and their weights loaded. In a forked process nothing helps but to start it with the method
    ``"spawn"`` of :mod:`multiprocessing`.
    """


class GpuInternalError(RuntimeError):
    """A graphics processor or its driver refused what seqrs told it to do.

    That is a mistake of seqrs or of the driver: please report the message with what ``seqrs gpu`` prints.
    """
