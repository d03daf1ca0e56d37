"""Learn tunes of several voices, say how well the next chord is foreseen, and write a tune to listen to.

python music.py [tunes.json.gz] [-o tune.mid] [--seed N]
"""

import argparse
import gzip
import json
import random
import struct

import seqrs

KEYS = range(21, 109)  # of a piano, as MIDI numbers


def generate(count, draw):
    """Return tunes that go round through four chords, in any key and from any of the four."""
    chords = [[0, 16, 19, 24], [5, 17, 21, 24], [7, 14, 19, 23], [0, 12, 16, 19]]
    tunes = []
    for _ in range(count):
        key, first = draw.randint(40, 51), draw.randint(0, 3)
        tunes.append([[key + note for note in chords[(first + t) % 4]] for t in range(32)])
    return tunes


def write_midi(path, tune, step=0.25):
    """Write a tune, a list of the keys that sound at each step, of so many seconds, as a standard MIDI file."""
    events, waited, sounding = b"", 0, set()
    for keys in [*map(set, tune), set()]:
        # Keys that sound on are not struck again.
        for status, struck in (0x80, sounding - keys), (0x90, keys - sounding):
            for key in sorted(struck):
                events += _variable(waited) + bytes([status, key, 64])
                waited = 0
        sounding = keys
        waited += 480
    tempo = b"\x00\xff\x51\x03" + round(step * 1e6).to_bytes(3, "big")  # microseconds for 480 ticks
    track = tempo + events + b"\x00\xff\x2f\x00"
    with open(path, "wb") as file:
        file.write(b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480))
        file.write(b"MTrk" + struct.pack(">I", len(track)) + track)


def _variable(number):
    """Return a number as MIDI has it: 7 bits a byte, the first bit set in all but the last."""
    digits = [number & 127]
    while number := number >> 7:
        digits.insert(0, number & 127 | 128)
    return bytes(digits)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "data", nargs="?", help='{"train": [...], "valid": [...]}, gzipped (default: tunes made up)'
)
parser.add_argument("-o", "--output", default="tune.mid", help="the tune written (default: tune.mid)")
parser.add_argument("--seed", type=int, default=0, help="of training and of the tune (default: 0)")
options = parser.parse_args()

if options.data:
    with gzip.open(options.data, "rt", encoding="utf-8") as file:
        data = json.load(file)
else:
    draw = random.Random(0)
    data = {"train": generate(60, draw), "valid": generate(10, draw)}

model = seqrs.SequenceGenerator(
    "sigmoid",
    symbols=KEYS,
    cell="gru",
    hidden_size=46,
    dropout=0.1,
    lr=5e-3,
    batch_size=2,
    clip=1.0,
    epochs=20,
    random_state=options.seed,
)
model.fit(data["train"], validation=(data["valid"], None))
print(f"negative log-likelihood of a step of the tunes held out: {-model.score(data['valid']):.2f} nats")
start = data["valid"][0][:4]  # a beginning that it has not seen
tune = model.sample(64, start=start, temperature=0.7, seed=options.seed)
write_midi(options.output, tune)
print(f"wrote {len(tune)} steps to {options.output}; they begin {tune[:6]}")
