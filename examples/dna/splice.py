"""Find where genes are cut: is the middle of 60 letters of DNA the end of an exon, its beginning, or neither?

python splice.py [train.tsv] [--seed N]
"""

import argparse
import random

import numpy as np

import seqrs
from seqrs import metrics

CLASSES = ["EI", "IE", "N"]
# What each letter may stand for: the rare ones are letters that could not be read with certainty.
LETTERS = {"A": "A", "C": "C", "G": "G", "T": "T", "N": "ACGT", "D": "AGT", "S": "CG", "R": "AG"}


def folded(dna):
    """From both ends to the middle: a step has the two letters at one distance from it, as shares of A, C, G, T."""
    steps = [[("ACGT"[k] in LETTERS[letter]) / len(LETTERS[letter]) for k in range(4)] for letter in dna]
    half = len(dna) // 2
    return np.hstack([steps[:half], steps[: half - 1 : -1]]).astype(np.float32)


def generate(count, draw):
    """Return sequences with GT behind the middle (EI), AG before it (IE), or neither, and noise elsewhere."""
    found = []
    for i in range(count):
        letters = draw.choices("ACGT", k=60)
        if CLASSES[i % 3] == "EI":
            letters[28:34] = "AGGTAA" if draw.random() < 0.5 else "AGGTGA"
        elif CLASSES[i % 3] == "IE":
            letters[20:30] = [*draw.choices("CT", k=8), "A", "G"]
        found.append((CLASSES[i % 3], "".join(letters)))
    return found


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", nargs="?", help="lines of class, name, 60 letters (default: some made up)")
parser.add_argument("--seed", type=int, default=0, help="of the split and of training (default: 0)")
options = parser.parse_args()

if options.data:
    with open(options.data, encoding="utf-8") as file:
        rows = [(line.split("\t")[0], line.split("\t")[2].strip()) for line in file]
else:
    rows = generate(900, random.Random(0))
# A tenth to test on; a sequence that comes twice is on one side.
sequences = sorted({dna for _, dna in rows})
held = set(random.Random(options.seed).sample(sequences, len(sequences) // 10))
train, test = ([row for row in rows if (row[1] in held) == side] for side in (False, True))

model = seqrs.SequenceClassifier(
    cell="gru",
    hidden_size=96,
    pooling="last",
    dropout=0.4,
    standardize=False,
    epochs=10,
    random_state=options.seed,
)
model.fit([folded(dna) for _, dna in train], [kind for kind, _ in train])
predicted = model.predict([folded(dna) for _, dna in test])
truth = [kind for kind, _ in test]
print(
    f"{len(train)} to learn from, {len(test)} to test on: accuracy {metrics.accuracy(truth, predicted):.1%}"
)
print("true / found", *(f"{kind:>5}" for kind in CLASSES))
for kind, counts in zip(CLASSES, metrics.confusion_matrix(truth, predicted, labels=CLASSES), strict=True):
    print(f"{kind:12}", *(f"{count:5}" for count in counts))
