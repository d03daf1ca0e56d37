"""Which digit is spoken?

python digits.py [FOLDER_OR_ZIP_OF_WAV] [--seed N] [-o confusion.png]
"""

import argparse
import tempfile
import zipfile
from pathlib import Path

import numpy as np

import seqrs
from seqrs import features, metrics


def read(path):
    """Yield what is in the files DIGIT_SPEAKER_INDEX.wav: their name, samples and rate."""
    with tempfile.TemporaryDirectory() as folder:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
            path = folder
        found = sorted(Path(path).rglob("*.wav"))
        if not found:
            raise SystemExit(f"{path}: no .wav files there")
        for file in found:
            yield file.stem, *features.read_audio(file)


def skip_steps(x, draw):
    """Leave out up to a third of the steps, as if the digit were spoken faster."""
    kept = x[draw.random(len(x)) >= draw.uniform(0, 0.33)]
    return kept if len(kept) else x


def generate(draw, rate=8000):
    """Yield tones in the place of digits: each rises or falls from its own pitch, in two voices, with noise."""
    for digit in range(10):
        for speaker in ("low", "high"):
            for index in range(5, 21):
                t = np.arange(int(draw.uniform(0.25, 0.5) * rate)) / rate
                start = 500 * 1.3 ** (digit // 2) * (1.0 if speaker == "low" else 1.1)
                pitch = start * (3.0 if digit % 2 else 0.33) ** (t / t[-1])
                sound = np.sin(2 * np.pi * np.cumsum(pitch) / rate) + 0.1 * draw.normal(size=len(t))
                yield f"{digit}_{speaker}_{index}", 0.2 * sound, rate


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", nargs="?", help="files DIGIT_SPEAKER_INDEX.wav (default: tones)")
parser.add_argument("--seed", type=int, default=0, help="of training (default: 0)")
parser.add_argument("-o", "--output", help="draw the confusion matrix into this file")
options = parser.parse_args()
# To test on: each speaker's first two recordings of each digit.
X, y, X_test, y_test = [], [], [], []
for name, samples, rate in read(options.data) if options.data else generate(np.random.default_rng(0)):
    digit, _, index = name.split("_")
    energy = features.standardize(features.log_mel(samples, rate))
    x = np.hstack([energy, features.standardize(features.deltas(energy))])
    (X_test if int(index) < 7 else X).append(x)
    (y_test if int(index) < 7 else y).append(digit)

model = seqrs.SequenceClassifier(
    bidirectional=True,
    hidden_size=96,
    pooling="max+mean",
    dropout=0.3,
    noise=0.2,
    augment=skip_steps,
    standardize=False,
    epochs=30,
    random_state=options.seed,
)
model.fit(X, y)
predicted = model.predict(X_test)
print(f"{len(X)} to learn from, {len(X_test)} to test on: accuracy {metrics.accuracy(y_test, predicted):.1%}")
if options.output:
    from matplotlib import pyplot

    counts = metrics.confusion_matrix(y_test, predicted, labels=model.classes_)
    figure, axes = pyplot.subplots(layout="constrained")
    axes.matshow(counts, cmap="Blues")
    for (i, j), count in np.ndenumerate(counts):
        axes.annotate(count or "", (j, i), ha="center", va="center")
    axes.set_xticks(range(len(counts)), model.classes_)
    axes.set_yticks(range(len(counts)), model.classes_)
    axes.set(xlabel="found", ylabel="spoken")
    figure.savefig(options.output)
