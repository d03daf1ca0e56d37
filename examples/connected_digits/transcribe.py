"""Write down spoken digits that follow one another, of which nobody says where one ends and the next begins.

python transcribe.py [FOLDER_OR_ZIP_OF_WAV] [--strings N] [--epochs N] [--seed N] [-o spectrogram.png]
"""

import argparse
import tempfile
import zipfile
from pathlib import Path

import numpy as np

import seqrs
from seqrs import decoding, features, metrics

RATE, STEP = 8000, 0.02  # samples a second; seconds from one step to the next


def read(path):
    """Yield digit, speaker, number and samples of the files DIGIT_SPEAKER_NUMBER.wav of a folder or a ZIP."""
    with tempfile.TemporaryDirectory() as folder:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
            path = folder
        found = sorted(Path(path).rglob("*.wav"))
        if not found:
            raise SystemExit(f"{path}: no .wav files there")
        for file in found:
            samples, rate = features.read_audio(file)
            if rate != RATE:
                raise SystemExit(f"{file}: {rate} samples a second, not {RATE}")
            yield *file.stem.split("_"), samples


def generate(draw):
    """Yield pairs of tones in the place of digits, each of two voices, with some noise."""
    for digit in range(10):
        for speaker, pitch in (("low", 1.0), ("high", 1.1)):
            for number in range(5, 13):
                t = np.arange(int(draw.uniform(0.15, 0.3) * RATE)) / RATE
                tones = 300 * 1.35 ** (digit % 5), 1600 * 1.35 ** (digit // 5)
                sound = sum(np.sin(2 * np.pi * pitch * tone * t) for tone in tones)
                yield str(digit), speaker, str(number), 0.1 * sound + 0.02 * draw.normal(size=len(t))


def strings(takes, count, draw):
    """Return what a layer reads of two to five digits in a row, said by one speaker, and which they are."""
    X, y = [], []
    for _ in range(count):
        speaker = draw.choice(sorted(takes))
        digits = draw.choice(sorted(takes[speaker]), draw.integers(2, 6))
        sound = [np.zeros(draw.integers(0, 2400))]  # up to 0.3 s of silence around each
        for digit in digits:
            sound += [draw.choice(np.array(takes[speaker][digit], object)), np.zeros(draw.integers(0, 2400))]
        whole = np.concatenate(sound).astype(float)
        whole += 1e-3 * draw.normal(size=len(whole))
        X.append(features.standardize(features.log_mel(whole, RATE, window=2 * STEP, step=STEP)))
        y.append("".join(digits))
    return X, y


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", nargs="?", help="files DIGIT_SPEAKER_NUMBER.wav (default: tones)")
parser.add_argument("--strings", type=int, help="to learn from (default: 2000 of files, 300 of tones)")
parser.add_argument("--epochs", type=int, default=12, help="passes over them (default: 12)")
parser.add_argument("--seed", type=int, default=0, help="of the strings and of training (default: 0)")
parser.add_argument("-o", "--output", help="draw what was heard of the first test string into this file")
options = parser.parse_args()
# To test on: each speaker's first two recordings of each digit.
training, held = {}, {}
for digit, speaker, number, samples in (
    read(options.data) if options.data else generate(np.random.default_rng(0))
):
    part = held if int(number) < 7 else training
    part.setdefault(speaker, {}).setdefault(digit, []).append(samples)
count = options.strings or (2000 if options.data else 300)
X, y = strings(training, count, np.random.default_rng(options.seed))
X_test, y_test = strings(held, max(10, count // 10), np.random.default_rng(2**32 + options.seed))

model = seqrs.Transcriber(
    cell="gru",
    hidden_size=64,
    num_layers=2,
    bidirectional=True,
    standardize=False,
    epochs=options.epochs,
    random_state=options.seed,
    # Tones are fewer, and easier, than what people say.
    **{"dropout": 0.3, "noise": 0.3, "batch_size": 16}
    if options.data
    else {"dropout": 0.1, "noise": 0.1, "batch_size": 8, "lr": 1e-2},
)
model.fit(X, y)
for name, found in ("best path", model.predict(X_test)), ("beam", model.predict(X_test, beam_width=16)):
    print(
        f"{name}: {metrics.character_error_rate(y_test, found):.1%} of the digits wrong, missing or too many"
    )
for said, heard in list(zip(y_test, found, strict=True))[:5]:
    print(f"{said} was heard as {heard}")

if options.output:
    from matplotlib import pyplot

    (shares,) = model.predict_proba(X_test[:1])
    # Of each digit the step at which it begins.
    (heard,) = decoding.ctc_greedy(np.log(np.maximum(shares, 1e-30))[None])
    figure, (above, below) = pyplot.subplots(2, sharex=True, figsize=(8, 5), layout="constrained")
    seconds = STEP * np.arange(len(shares) + 1)
    above.pcolormesh(seconds, np.arange(X_test[0].shape[1] + 1), X_test[0].T, cmap="magma", rasterized=True)
    above.set(ylabel="band of pitch", title=f"{y_test[0]}, heard as {model.predict(X_test[:1])[0]}")
    below.plot(seconds[:-1], shares[:, 0], color="lightgrey", label="no digit")
    below.plot(seconds[:-1], shares[:, 1:])
    for label, step in zip(heard.labels, heard.steps, strict=True):
        above.text(STEP * step, 1, model.classes_[label - 1], backgroundcolor="white")
    below.set(ylabel="probability", xlabel="seconds")
    below.legend(loc="center right")
    figure.savefig(options.output)
