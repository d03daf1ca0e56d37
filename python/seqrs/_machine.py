"""What seqrs uses of the machine: threads and instruction sets."""

from typing import Any

from seqrs import _check, _native

__all__ = ["cpu_features", "get_num_threads", "say_why", "set_num_threads"]

_SAID: set[str] = set()


def set_num_threads(n: int) -> None:
    """Set how many threads the ``"cpu"`` device uses from now on, in this process.

    The results do not depend on it, not even in the last bit. The value at the start is the
    environment variable ``SEQRS_NUM_THREADS`` or, without it, the number of cores that this
    process may use.

    Parameters
    ----------
    n : int
        From 1 to 1024.

    Raises
    ------
    ValueError
        If `n` is out of this range.
    TypeError
        If `n` is not an integer.

    Examples
    --------
    >>> import seqrs
    >>> before = seqrs.get_num_threads()
    >>> seqrs.set_num_threads(1)
    >>> seqrs.get_num_threads()
    1
    >>> seqrs.set_num_threads(before)
    """
    _native.set_num_threads(_check.integer("n", n, minimum=1))


def get_num_threads() -> int:
    """Return how many threads the ``"cpu"`` device uses.

    Returns
    -------
    int
        At least 1; see :func:`set_num_threads`.

    Examples
    --------
    >>> import seqrs
    >>> seqrs.get_num_threads() >= 1
    True
    """
    return _native.get_num_threads()


def cpu_features() -> dict[str, Any]:
    """Return the instruction sets of this processor and the path that the kernels take.

    The environment variable ``SEQRS_CPU`` set to ``portable``, ``avx2``, ``avx512`` or ``avx512bf16`` before
    the first use forces a lower path than the processor has. ``amx``, the tiles of bfloat16, is there where
    Linux permits it, too.

    Returns
    -------
    dict
        ``"detected"``: list of str, what the processor has; ``"path"``: str, what is used.

    Examples
    --------
    >>> import seqrs
    >>> sorted(seqrs.cpu_features())
    ['detected', 'path']
    """
    return _native.cpu_features()


def say_why(network: _native.Network) -> None:
    """Log once why a network is where it is, if ``device="auto"`` put it there."""
    said = f'device="auto" is "{network.device}": {network.why}'
    if network.why and said not in _SAID:
        _SAID.add(said)
        # Not before it is needed: it costs as much as all the rest of the package.
        from logging import getLogger

        getLogger("seqrs").info(said)
