"""Graphics processors: which there are, and which one ``device="gpu"`` means.

A layer or a model goes to one with ``device="gpu"``; ``device="gpu:<part of a name>"`` picks among
several, ignoring case, as the environment variable ``SEQRS_GPU_ADAPTER`` does for ``"gpu"``. Without a
name a discrete one goes before an integrated one, and that before a virtual one. An adapter that the
processor itself plays (Mesa's lavapipe) is many times slower than ``device="cpu"`` and good for tests
alone: it is taken only if named or if ``SEQRS_ALLOW_SOFTWARE_GPU`` is 1. ``SEQRS_GPU_MAX_BYTES`` is the
most memory that may be taken on a device (Vulkan and DX12).

An adapter binds no more of one tensor at a time than its limit ``max_storage_buffer_binding_size``, 128 MiB on
some. Sequences for which that is too little are cut into segments of fewer steps, with the same results but
for the rounding of sums over steps. What one step of the batch has, a weight, and a memory that is attended to
have to be within the limit: else :class:`~seqrs.exceptions.GpuOutOfMemoryError` says what was too large.

``device="auto"`` is a graphics processor where there is one and the work is worth it, else ``"cpu"``; the
logger ``"seqrs"`` says why, at level INFO.
"""

from dataclasses import dataclass, field
from os import environ
from typing import Any

from seqrs import _native
from seqrs.exceptions import GpuDeviceLostError, GpuUnavailableError

__all__ = ["Adapter", "Info", "info", "is_available", "reset"]


@dataclass(frozen=True)
class Adapter:
    """A graphics processor of this system, or what plays one.

    Attributes
    ----------
    name : str
        As its driver calls it.
    kind : str
        ``"discrete"``, ``"integrated"``, ``"virtual"``, ``"other"``, or ``"software"`` where the processor
        itself plays it.
    backend : str
        What it is reached through: ``"vulkan"``, ``"metal"`` or ``"dx12"``.
    driver : str
        Its driver, with a version where that is known.
    limits : dict of str to int
        What it offers of what is used, in bytes and numbers.
    features : list of str
        Those that matter to computing, by wgpu's names.
    quirks : list of str
        What is done differently on it.

    Examples
    --------
    >>> import seqrs
    >>> all(adapter.backend in {"vulkan", "metal", "dx12"} for adapter in seqrs.gpu.info().adapters)
    True
    """

    name: str
    kind: str
    backend: str
    driver: str
    limits: dict[str, int] = field(repr=False)
    features: list[str] = field(repr=False)
    quirks: list[str] = field(repr=False)


@dataclass(frozen=True)
class Info:
    """The graphics processors of this system; ``print`` it to read it.

    Attributes
    ----------
    adapters : list of Adapter
        All there are, the best first.
    chosen : Adapter or None
        What ``device="gpu"`` means; None if it means none of them.
    why : str
        Why this one, or why none.

    Examples
    --------
    >>> import seqrs
    >>> found = seqrs.gpu.info()
    >>> found.chosen is None or found.chosen in found.adapters
    True
    """

    adapters: list[Adapter]
    chosen: Adapter | None
    why: str

    def __str__(self) -> str:
        lines = [f'device="gpu" is {self.chosen.name if self.chosen else "none"}: {self.why}']
        for adapter in self.adapters:
            limits = ", ".join(f"{name} {limit:,}" for name, limit in adapter.limits.items())
            told: dict[str, Any] = {
                "kind": adapter.kind,
                "backend": adapter.backend,
                "driver": adapter.driver,
                "limits": limits,
                "features": ", ".join(adapter.features) or "none",
                "quirks": "; ".join(adapter.quirks) or "none",
            }
            lines += ["", adapter.name, *(f"  {name:<8} {value}" for name, value in told.items())]
        return "\n".join(lines)


def info() -> Info:
    """Return the graphics processors of this system and which one is meant by ``device="gpu"``.

    Never fails for want of one, of a driver or of a Vulkan loader: then there are none.

    Returns
    -------
    Info
        The adapters, the chosen one, and why.

    Raises
    ------
    ValueError
        If ``SEQRS_ALLOW_SOFTWARE_GPU`` is neither 0 nor 1.

    Examples
    --------
    >>> import seqrs
    >>> found = seqrs.gpu.info()
    >>> (found.chosen is not None) == seqrs.gpu.is_available()
    True
    """
    try:
        adapters = [Adapter(**adapter) for adapter in _native.gpu_adapters()]
    except GpuDeviceLostError as error:
        return Info([], None, str(error))
    # What Unknown says is a ValueError too, but so is a wrong variable: only the first is an answer.
    if wanted := environ.get("SEQRS_GPU_ADAPTER"):
        why = f"its name has {wanted!r} in it, of SEQRS_GPU_ADAPTER"
        if adapters and not any(wanted.lower() in adapter.name.lower() for adapter in adapters):
            return Info(adapters, None, f"none has {wanted!r} in its name, of SEQRS_GPU_ADAPTER")
    else:
        why = "the best kind there is" if len(adapters) > 1 else "the only one"
    try:
        chosen = adapters[_native.gpu_choose()]
    except GpuUnavailableError as error:
        return Info(adapters, None, str(error).removeprefix("gpu: "))
    if chosen.kind == "software" and not wanted:
        why += ", allowed by SEQRS_ALLOW_SOFTWARE_GPU"
    return Info(adapters, chosen, why)


def is_available() -> bool:
    """Return whether ``device="gpu"`` finds an adapter.

    Returns
    -------
    bool
        True where :func:`info` names one.

    Raises
    ------
    ValueError
        As for :func:`info`.

    Examples
    --------
    >>> import seqrs
    >>> device = "gpu" if seqrs.gpu.is_available() else "cpu"
    >>> layer = seqrs.nn.LSTM(3, 4, device=device)
    """
    return info().chosen is not None


def reset() -> None:
    """Close the graphics processors that are open; the next use opens them anew.

    For a device that was lost, when its driver crashed or it was unplugged, and to give its memory back.
    Layers and models on it raise :class:`seqrs.exceptions.GpuDeviceLostError` from then on: make them
    anew and load their weights, from a file or from a ``state_dict`` copied before.

    Examples
    --------
    >>> import seqrs
    >>> seqrs.gpu.reset()  # nothing is open: nothing happens
    """
    _native.gpu_reset()
