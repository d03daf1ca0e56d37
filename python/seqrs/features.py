"""From sound to what a recurrent layer reads: log-mel features, one vector every 10 milliseconds.

>>> import numpy as np
>>> from seqrs import features
>>> tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)  # a second at 8 kHz
>>> x = features.log_mel(tone, 8000)
>>> x.shape
(98, 40)
>>> int(x.mean(0).argmax())  # the band around 440 Hz
9
"""

import os
import wave
from importlib import import_module
from os import PathLike
from typing import Any, BinaryIO, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check
from seqrs._check import Floats

__all__ = ["deltas", "log_mel", "mel_filters", "read_audio", "standardize"]

# Energy added to each band, so that digital silence has a logarithm; speech is 1e5 times louder.
_FLOOR = 1e-8


def read_audio(path: str | PathLike[str] | BinaryIO) -> tuple[NDArray[np.float32], int]:
    """Read a sound file; several channels become their mean.

    A WAV file of 8, 16, 24 or 32 bits is read by Python's own :mod:`wave`; every other format needs the
    package ``soundfile`` (``pip install seqrs[audio]``).

    Parameters
    ----------
    path : str, path or binary file
        The file, by its name or open, as one in a ZIP or in memory is.

    Returns
    -------
    samples : float32 array of shape (n,)
        From -1 to 1.
    rate : int
        Samples a second.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If it takes ``soundfile`` to read it, and that is not installed.
    ValueError
        If it is no sound file.

    Examples
    --------
    >>> import tempfile, wave
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with wave.open(folder + "/tone.wav", "wb") as file:
    ...         file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
    ...         file.writeframes(np.array([0, 16384, -32768], "<i2").tobytes())
    ...     read_audio(folder + "/tone.wav")
    (array([ 0. ,  0.5, -1. ], dtype=float32), 8000)
    """
    source: Any = path if hasattr(path, "read") else os.fspath(path)
    try:
        with wave.open(source, "rb") as file:
            channels, width, rate, count = file.getparams()[:4]
            data = file.readframes(count)
    except (wave.Error, EOFError) as problem:
        return _with_soundfile(source, problem)
    data = data[: len(data) - len(data) % (width * channels)]  # of a file cut short what is whole
    samples = _unpack(data, width).reshape(-1, channels)
    return samples.mean(1, dtype=np.float32), rate


def _unpack(data: bytes, width: int) -> NDArray[np.float32]:
    """Little-endian integers of so many bytes as numbers from -1 to 1; those of one byte have no sign."""
    if width == 1:
        centred: NDArray[Any] = np.frombuffer(data, np.uint8) / np.float32(128) - 1
        return centred.astype(np.float32)
    if width == 3:  # as the upper bytes of four
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data, width = padded.tobytes(), 4
    numbers: NDArray[Any] = np.frombuffer(data, f"<i{width}") / 2.0 ** (8 * width - 1)
    return numbers.astype(np.float32)


def _with_soundfile(source: Any, problem: Exception) -> tuple[NDArray[np.float32], int]:
    path = getattr(source, "name", source)
    try:
        soundfile: Any = import_module("soundfile")
    except ImportError:
        raise ImportError(
            f"{path}: not a WAV file of plain samples ({problem}); other formats need the package "
            "soundfile: pip install seqrs[audio]"
        ) from None
    try:
        if hasattr(source, "seek"):
            source.seek(0)
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: not a sound file: {error}") from None
    mean: NDArray[np.float32] = samples.mean(1, dtype=np.float32)
    return mean, int(rate)


def mel_filters(
    bands: SupportsIndex,
    size: SupportsIndex,
    rate: SupportsFloat,
    *,
    low: SupportsFloat = 20.0,
    high: SupportsFloat | None = None,
) -> NDArray[np.float64]:
    """Return the weights of triangular filters, evenly spaced on the mel scale, 2595 log10(1 + f / 700).

    Each filter rises from the centre of the one before to 1 at its own centre and falls to the next.

    Parameters
    ----------
    bands : int
        How many filters.
    size : int
        Length of the Fourier transform.
    rate : float
        Samples a second.
    low : float, default 20.0
        Where the first one begins, in Hz.
    high : float, optional
        Where the last one ends, in Hz. Default: half the rate.

    Returns
    -------
    float64 array of shape (size // 2 + 1, bands)

    Raises
    ------
    ValueError
        If the frequencies are not in order within half the rate, or a number is out of its range.

    Examples
    --------
    >>> from seqrs import features
    >>> features.mel_filters(2, 8, 1000.0).round(2)[:, 0]
    array([0.  , 0.79, 0.39, 0.  , 0.  ])
    """
    bands = _check.integer("bands", bands, minimum=1)
    size = _check.integer("size", size, minimum=2)
    rate = _check.number("rate", rate, above=0.0)
    low = _check.number("low", low, minimum=0.0)
    high = rate / 2 if high is None else _check.number("high", high, above=0.0)
    if not low < high <= rate / 2:
        raise ValueError(f"high: expected a frequency from low, {low:g}, to {rate / 2:g} Hz, got {high:g}")
    first, last = 2595 * np.log10(1 + np.array([low, high]) / 700)
    mel = np.linspace(first, last, bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequencies = np.arange(size // 2 + 1)[:, None] * (rate / size)
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    filters: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return filters


def log_mel(
    samples: ArrayLike,
    rate: SupportsFloat,
    *,
    bands: SupportsIndex = 40,
    window: SupportsFloat = 0.025,
    step: SupportsFloat = 0.010,
    low: SupportsFloat = 20.0,
    high: SupportsFloat | None = None,
) -> NDArray[np.float32]:
    """Return the logarithm of the energy in mel bands, window by window.

    Each Hann window of the sound goes through a Fourier transform; its power spectrum is summed under
    :func:`mel_filters`, and the natural logarithm taken.

    Parameters
    ----------
    samples : array of shape (n,)
        Sound, from -1 to 1, as :func:`read_audio` returns it.
    rate : float
        Samples a second.
    bands : int, default 40
        Features of each step.
    window, step : float, default 0.025 and 0.010
        Length of a window and distance from one to the next, in seconds.
    low, high
        As in :func:`mel_filters`.

    Returns
    -------
    float32 array of shape (T, bands)
        T is the number of windows that fit; sound shorter than one is filled up with silence, and none
        at all gives none.

    Raises
    ------
    ValueError
        If a number is out of its range, or a sample is NaN or infinite.
    TypeError
        If samples are not floats.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import features
    >>> features.log_mel(np.zeros(16000), 16000).shape
    (98, 40)
    """
    sound = _check.as_array("samples", samples)
    if sound.dtype.kind != "f" and (sound.dtype.kind not in "iu" or hasattr(samples, "dtype")):
        raise TypeError(
            f"samples: expected floats from -1 to 1, got {_check.describe(sound)}; divide integers by their largest"
        )
    sound = sound.astype(np.float64)
    if sound.ndim != 1:
        raise ValueError(f"samples: expected shape (n,), got {sound.shape}")
    _check.finite_everywhere("samples", sound)
    rate = _check.number("rate", rate, above=0.0)
    width, hop = (
        round(_check.number(name, seconds, above=0.0) * rate)
        for name, seconds in (("window", window), ("step", step))
    )
    if width < 2 or hop < 1:
        raise ValueError(f"window: expected at least 2 samples, and 1 a step, got {width} and {hop}")
    size = 1 << (width - 1).bit_length()
    filters = mel_filters(bands, size, rate, low=low, high=high)
    if 0 < len(sound) < width:
        sound = np.pad(sound, (0, width - len(sound)))
    if len(sound) == 0:
        return np.zeros((0, filters.shape[1]), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(sound, width)[::hop]
    spectrum = np.fft.rfft(windows * np.hanning(width + 1)[:-1], size)
    power = spectrum.real**2 + spectrum.imag**2
    return np.log(power @ filters + _FLOOR).astype(np.float32)


def deltas(features: ArrayLike, *, reach: SupportsIndex = 2) -> Floats:
    """Return how fast each feature changes: the slope of a line fitted to 2 `reach` + 1 steps.

    Parameters
    ----------
    features : array of shape (T, F), float32 or float64
        One vector a step; the first and last are repeated beyond the ends.
    reach : int, default 2
        Steps on either side.

    Returns
    -------
    ndarray like `features`

    Raises
    ------
    ValueError
        If `features` has another shape, or `reach` is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import features
    >>> features.deltas(3.0 * np.arange(6)[:, None]).ravel().round(1)
    array([1.5, 2.4, 3. , 3. , 2.4, 1.5])
    """
    x = _matrix(features)
    reach = _check.integer("reach", reach, minimum=1)
    if len(x) == 0:
        return x.copy()
    padded = np.pad(x, ((reach, reach), (0, 0)), mode="edge")
    offsets = np.arange(-reach, reach + 1)
    slope = sum(k * padded[reach + k : reach + k + len(x)] for k in offsets if k) / (offsets**2).sum()
    return np.asarray(slope, x.dtype)


def standardize(features: ArrayLike) -> Floats:
    """Return features of one recording with mean 0 and standard deviation 1 over its steps.

    That takes away what a voice, a microphone and its distance add to all steps alike.

    Parameters
    ----------
    features : array of shape (T, F), float32 or float64
        One vector a step.

    Returns
    -------
    ndarray like `features`
        A feature that never changes becomes 0.

    Raises
    ------
    ValueError
        If `features` has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from seqrs import features
    >>> features.standardize(np.array([[1.0, 7.0], [3.0, 7.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    x = _matrix(features)
    if len(x) == 0:
        return x.copy()
    # In double precision, and about the first step: a constant is then a constant exactly.
    centred = x.astype(np.float64) - x[0]
    centred -= centred.mean(0)
    spread = centred.std(0)
    return np.asarray(centred / np.where(spread > 1e-6, spread, 1), x.dtype)


def _matrix(features: ArrayLike) -> NDArray[Any]:
    x: NDArray[Any] = _check.any_floats("features", features)
    if x.ndim != 2:
        raise ValueError(f"features: expected shape (T, F), got {x.shape}")
    return x
