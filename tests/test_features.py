"""Sound to features: WAV files of every width, mel filters, log-mel against sums written out, deltas."""

import io
import re
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqrs import features


def write(path: Path, frames: np.ndarray, width: int, rate: int = 8000) -> None:
    """A WAV file of numbers from -1 to below 1, (n, channels)."""
    numbers = np.round(frames * 2 ** (8 * width - 1)).astype("<i8")
    numbers += 128 if width == 1 else 0
    data = numbers.astype("<i8").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(frames.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(b"".join(data[i : i + width] for i in range(0, len(data), 8)))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_files_of_every_width(tmp_path: Path, width: int, channels: int) -> None:
    frames = np.random.default_rng(0).integers(-128, 128, (50, channels)) / 128
    write(tmp_path / "a.wav", frames, width, rate=11025)
    samples, rate = features.read_audio(tmp_path / "a.wav")
    assert (rate, samples.dtype) == (11025, np.float32)
    np.testing.assert_array_equal(samples, frames.mean(1))
    again, _ = features.read_audio(io.BytesIO((tmp_path / "a.wav").read_bytes()))
    np.testing.assert_array_equal(again, samples)
    write(tmp_path / "empty.wav", frames[:0], width)
    assert features.read_audio(str(tmp_path / "empty.wav"))[0].shape == (0,)


def test_of_a_file_cut_short_what_is_whole(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(-128, 128, (50, 2)) / 128
    write(tmp_path / "a.wav", frames, 3)
    data = (tmp_path / "a.wav").read_bytes()
    for lost, left in (1, 49), (6, 49), (7, 48), (299, 0):
        samples, _ = features.read_audio(io.BytesIO(data[:-lost]))
        np.testing.assert_array_equal(samples, frames[:left].mean(1))


def test_what_is_no_wav_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        features.read_audio(tmp_path / "none.wav")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC and more")
    with pytest.raises(ImportError, match=r"a\.flac: not a WAV file .* pip install seqrs\[audio\]$"):
        features.read_audio(tmp_path / "a.flac")


def test_mel_filters_overlap_to_one() -> None:
    filters = features.mel_filters(20, 4096, 16000, low=100, high=7000)
    centres = filters.argmax(0) * 16000 / 4096
    mel = 2595 * np.log10(1 + centres / 700)
    np.testing.assert_allclose(np.diff(mel), np.diff(mel).mean(), rtol=0.1)
    between = slice(filters[:, 0].argmax(), filters[:, -1].argmax())
    np.testing.assert_allclose(filters[between].sum(1), 1)
    assert not filters[: int(100 * 4096 / 16000)].any()
    assert not filters[int(7000 * 4096 / 16000) + 1 :].any()


def test_log_mel_is_the_sum_written_out() -> None:
    rng = np.random.default_rng(0)
    sound, rate = rng.uniform(-1, 1, 700), 8000
    got = features.log_mel(sound, rate, bands=12, window=0.02, step=0.0125)
    width, hop, size = 160, 100, 256
    assert got.shape == (1 + (700 - width) // hop, 12)
    assert got.dtype == np.float32
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)
    filters = features.mel_filters(12, size, rate)
    for t, row in enumerate(got):
        part = hann * sound[t * hop : t * hop + width]
        waves = np.exp(-2j * np.pi * np.outer(np.arange(size // 2 + 1), np.arange(width)) / size)
        np.testing.assert_allclose(row, np.log(np.abs(waves @ part) ** 2 @ filters + 1e-8), rtol=1e-6)


def test_a_tone_is_loudest_in_its_band() -> None:
    centres = 700 * (10 ** (np.linspace(31.75, 2146.06, 42)[1:-1] / 2595) - 1)  # mel of 20 and 4000 Hz
    for band in (5, 20, 35):
        tone = np.sin(2 * np.pi * centres[band] * np.arange(4000) / 8000)
        assert (features.log_mel(tone, 8000).argmax(1) == band).all()


def test_short_sounds() -> None:
    assert features.log_mel([], 8000).shape == (0, 40)
    assert features.log_mel([0.5], 8000).shape == (1, 40)
    assert features.log_mel(np.zeros(200), 8000).shape == (1, 40)
    assert np.isfinite(features.log_mel(np.zeros(5000), 8000)).all()
    for function in (features.deltas, features.standardize):
        assert function(np.zeros((0, 3), np.float32)).shape == (0, 3)
        assert function(np.zeros((1, 3), np.float32)).dtype == np.float32


def test_deltas_are_the_slope_of_a_fitted_line() -> None:
    x = np.random.default_rng(0).standard_normal((9, 2))
    for reach in (1, 3):
        padded = np.pad(x, ((reach, reach), (0, 0)), mode="edge")
        slopes = [np.polyfit(np.arange(2 * reach + 1), padded[t : t + 2 * reach + 1], 1)[0] for t in range(9)]
        np.testing.assert_allclose(features.deltas(x, reach=reach), slopes, atol=1e-12)


def test_standardize_forgets_loudness_and_offset() -> None:
    x = np.random.default_rng(0).standard_normal((30, 4))
    y = features.standardize(x)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-15)
    np.testing.assert_allclose(y.std(0), 1)
    np.testing.assert_allclose(features.standardize(3 * x + 5), y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardize_makes_zero_of_what_never_changes(dtype: type) -> None:
    """Of whatever size: their mean in single precision is not always the number itself."""
    constant = np.random.default_rng(0).uniform(1e5, 1e6, 50).astype(dtype)
    np.testing.assert_array_equal(features.standardize(np.tile(constant, (7, 1))), 0)


def test_integer_samples_are_refused() -> None:
    with pytest.raises(
        TypeError, match="samples: expected floats from -1 to 1, got an array of int16; divide"
    ):
        features.log_mel(np.zeros(500, np.int16), 8000)
    assert features.log_mel([0, 1] * 300, 8000).shape == (6, 40)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: features.log_mel(np.zeros((2, 5)), 8000), "samples: expected shape (n,), got (2, 5)"),
        (lambda: features.log_mel([np.nan], 8000), "samples: expected finite numbers, got nan at [0]"),
        (lambda: features.log_mel([0.0], 0), "rate: expected a finite number above 0, got 0.0"),
        (
            lambda: features.log_mel([0.0], 8000, high=5000),
            "high: expected a frequency from low, 20, to 4000 Hz, got 5000",
        ),
        (
            lambda: features.log_mel([0.0], 8000, step=1e-6),
            "window: expected at least 2 samples, and 1 a step, got 200 and 0",
        ),
        (lambda: features.log_mel([0.0], 8000, bands=0), "bands: expected an integer of at least 1, got 0"),
        (lambda: features.deltas(np.zeros(3)), "features: expected shape (T, F), got (3,)"),
        (
            lambda: features.deltas(np.zeros((3, 1)), reach=0),
            "reach: expected an integer of at least 1, got 0",
        ),
    ],
)
def test_errors_say_what_was_expected(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()
