"""Does a film review like the film?

python sentiment.py [train.txt dev.txt] [--seed N]
"""

import argparse
import random

import seqrs


def read(path):
    """Return the reviews of a file and their labels: lines of 0 or 1, a blank, words between blanks."""
    with open(path, encoding="utf-8") as file:
        labels, texts = zip(*(line.rstrip("\n").split(" ", 1) for line in file), strict=True)
    return list(texts), list(labels)


def generate(count, draw):
    """Return reviews of a few words in which "not" turns the meaning round."""
    words = {"1": ["good", "funny", "moving", "brilliant"], "0": ["bad", "dull", "boring", "empty"]}
    texts, labels = [], []
    for _ in range(count):
        label, turned = draw.choice("01"), draw.random() < 0.4
        meant = words[label] if not turned else words["10"[int(label)]]
        what = draw.choice(["film", "story", "cast", "ending"])
        texts.append(
            f"the {what} is{' not' * turned} {draw.choice(['very', 'so', 'all too'])} {draw.choice(meant)} ."
        )
        labels.append(label)
    return texts, labels


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", nargs="*", help="training and development file (default: reviews made up)")
parser.add_argument("--seed", type=int, default=0, help="of training (default: 0)")
options = parser.parse_args()
if options.data:
    (X, y), (X_dev, y_dev) = map(read, options.data)
else:
    (X, y), (X_dev, y_dev) = generate(600, random.Random(0)), generate(200, random.Random(1))

model = seqrs.SequenceClassifier(
    cell="lstm",
    bidirectional=True,
    hidden_size=64,
    embedding_size=100,
    pooling="attention",
    dropout=0.4,
    word_dropout=0.05,
    epochs=8,
    random_state=options.seed,
)
model.fit(X, y)
print(f"{len(X)} to learn from, {len(X_dev)} to test on: accuracy {model.score(X_dev, y_dev):.1%}")
for text in X_dev[0], "the film is good .", "the film is not good .":
    print(f"{model.predict_proba([text])[0, 1]:5.1%} positive: {text}")
