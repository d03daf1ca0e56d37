"""Recognise spoken digits that follow one another: CTC on recordings of single digits put together.

    python bench/connected_digits.py PATH/TO/fsdd_train.zip --output bench/results

Two to five recordings of one speaker, with up to 0.3 s of silence around each, make a string. Recordings of index 5
and 6 make the strings that are tested on, all others those that are learned from. The recipe: 40 log-mel bands every
20 ms, each string's with mean 0 and deviation 1, two bidirectional GRUs of 64 units in each direction, dropout 0.3,
noise 0.3, Adam 3e-3 with a cosine to 0, 2,000 strings, 20 epochs of batches of 16; the last weights, no picking. The
score is the share of labels that are wrong, missing or too many.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import recipes
import report
from machine import Others

import seqrs
from seqrs import features, metrics

TRAINING, TEST = 2000, 300  # strings
Recordings = dict[tuple[str, str], list[np.ndarray]]


def recordings(path: Path) -> tuple[Recordings, Recordings]:
    """Samples of each speaker and digit, to learn from and to test on."""
    training: Recordings = {}
    test: Recordings = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".wav"):
                digit, speaker, index = Path(name).stem.split("_")
                samples, _ = features.read_audio(io.BytesIO(archive.read(name)))
                part = test if int(index) < 7 else training
                part.setdefault((speaker, digit), []).append(samples)
    return training, test


def strings(parts: Recordings, count: int, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Features of digits in a row, and what they are."""
    draw = np.random.default_rng(seed)
    speakers = sorted({speaker for speaker, _ in parts})
    X, y = [], []
    for _ in range(count):
        speaker, digits = draw.choice(speakers), "".join(map(str, draw.integers(0, 10, draw.integers(2, 6))))
        sound = [np.zeros(draw.integers(0, 2400))]
        for digit in digits:
            takes = parts[speaker, digit]
            sound += [takes[draw.integers(len(takes))], np.zeros(draw.integers(0, 2400))]
        whole = np.concatenate(sound)
        whole = whole + 1e-3 * draw.normal(size=len(whole))
        X.append(features.standardize(features.log_mel(whole, 8000, window=0.04, step=0.02)))
        y.append(digits)
    return X, y


def train(training: Recordings, test: Recordings, seed: int, epochs: int) -> dict:
    clock = Others([])
    X, y = strings(training, TRAINING, seed)
    X_test, y_test = strings(test, TEST, 1_000_000)
    model = seqrs.Transcriber(
        cell="gru",
        hidden_size=64,
        num_layers=2,
        bidirectional=True,
        dropout=0.3,
        noise=0.3,
        standardize=False,
        epochs=epochs,
        batch_size=16,
        random_state=seed,
    ).fit(X, y)
    result = {
        "seed": seed,
        "best path": metrics.character_error_rate(y_test, model.predict(X_test)),
        "beam": metrics.character_error_rate(y_test, model.predict(X_test, beam_width=16)),
        **clock.spent(),
    }
    print(
        f"seed {seed}: {result['best path']:.2%} wrong, with a beam {result['beam']:.2%}, "
        f"after {result['seconds']:.0f} s",
        file=sys.stderr,
    )
    return result


def main() -> None:
    parser = recipes.parser(__doc__)
    parser.add_argument("recordings", type=Path, help="a ZIP of files DIGIT_SPEAKER_INDEX.wav, at 8 kHz")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    seqrs.set_num_threads(options.threads)
    training, test = recordings(options.recordings)
    recipes.publish(
        "connected_digits.py",
        "connected_digits",
        options,
        (train(training, test, seed, options.epochs) for seed in options.seeds),
        lambda run: (run["seed"],),
        text,
        epochs=options.epochs,
    )


def text(results: dict) -> str:
    rows = [
        [str(run["seed"]), f"{run['best path']:.2%}", f"{run['beam']:.2%}", *report.spent([run])]
        for run in results["runs"]
    ]
    for_all = [
        *(f"{np.mean([run[name] for run in results['runs']]):.2%}" for name in ("best path", "beam")),
        *report.spent(results["runs"]),
    ]
    return f"""# Connected digits

{report.conditions(results)}
- Recipe: 40 log-mel bands every 20 ms, 2 BiGRU 64, dropout 0.3, noise 0.3, Adam 3e-3, {results["epochs"]} epochs

Errors by labels over {TEST} strings of recordings that are not trained on, of the same speakers.

{report.table(["seed", "best path", "beam of 16", *report.SPENT], [*rows, ["mean", *for_all]])}
"""


if __name__ == "__main__":
    main()
