"""Find names in sentences: of persons, places and whatever else the tags of the training data name.

python entities.py [train.conll dev.conll] [--epochs N] [--seed N]
"""

import argparse
import random

import seqrs
from seqrs import metrics


def read(path):
    """Return the words and the tags of sentences: a word, a tab and its tag a line, empty lines between."""
    sentences, tags = [[]], [[]]
    with open(path, encoding="utf-8") as file:
        for line in map(str.strip, file):
            if line:
                word, tag = line.split("\t")
                sentences[-1].append(word)
                tags[-1].append(tag)
            elif sentences[-1]:
                sentences.append([])
                tags.append([])
    return [of for of in sentences if of], [of for of in tags if of]


def generate(count, draw):
    """Return sentences about persons and towns, whose names are new but end alike: Bakoson, Mituville."""
    sentences, tags = [], []
    for _ in range(count):
        kind = draw.choice(["person", "town"])
        name = "".join(draw.choices(["ba", "ko", "mi", "ru", "te", "lo", "tu", "sa"], k=4)).capitalize()
        words = [name + ("son" if kind == "person" else "ville")]
        if draw.random() < 0.3:
            words.insert(0, draw.choice(["Little", "Old", "Lady"]))
        before, after = draw.choice(["who knows | ?", "| is not far .", "it was | again .", "near |"]).split(
            "|"
        )
        sentences.append([*before.split(), *words, *after.split()])
        named = [f"B-{kind}", f"I-{kind}"][: len(words)]
        tags.append(["O"] * len(before.split()) + named + ["O"] * len(after.split()))
    return sentences, tags


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", nargs="*", help="training and development file (default: sentences made up)")
parser.add_argument("--epochs", type=int, default=12, help="of training (default: 12)")
parser.add_argument("--seed", type=int, default=0, help="of training (default: 0)")
options = parser.parse_args()
if options.data:
    (X, y), (X_dev, y_dev) = map(read, options.data)
else:
    (X, y), (X_dev, y_dev) = generate(900, random.Random(0)), generate(100, random.Random(1))

for name, more in {
    "each tag by itself, words alone": {"constraints": None},
    "with a chain of tags": {"output": "crf"},
    "with a chain of tags and spelled words": {"output": "crf", "char_hidden_size": 25, "lowercase": True},
}.items():
    model = seqrs.SequenceTagger(
        bidirectional=True,
        hidden_size=128,
        embedding_size=100,
        dropout=0.4,
        word_dropout=0.05,
        epochs=options.epochs,
        random_state=options.seed,
        **more,
    ).fit(X, y)
    scores = metrics.entity_scores(y_dev, model.predict(X_dev))
    print(f"{name}: F1 {scores.f1:.3f}", flush=True)
print(scores)
for word, tag in zip(X_dev[0], model.predict(X_dev[:1])[0], strict=True):
    print(f"{word:12} {tag}")
