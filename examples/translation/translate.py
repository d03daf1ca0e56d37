"""Translate with attention: dates as people write them into ISO dates, or the sentences of two files.

python translate.py [sources targets] [--test sources targets] [--seed N] [--picture attention.png]
"""

import argparse
import gzip
import random
from pathlib import Path

import seqrs
from seqrs import datasets, inspect

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "data", nargs="*", help="two files of lines that are translations (default: dates made up)"
)
parser.add_argument("--test", nargs=2, help="two such files to test on (default: 500 lines held out)")
parser.add_argument("--epochs", type=int, help="passes over the data (default: 10 for files, 8 for dates)")
parser.add_argument("--seed", type=int, default=0, help="of the split and of training (default: 0)")
parser.add_argument("--model", help="where to save the model")
parser.add_argument("--picture", help="where to draw what was looked at, for the first test sentence")
options = parser.parse_args()


def lines(name):
    data = Path(name).read_bytes()
    return (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8").splitlines()


if options.data:
    sources, targets = map(lines, options.data)
    model = seqrs.Translator(
        cell="gru", hidden_size=256, embedding_size=256, bidirectional=True, dropout=0.4, label_smoothing=0.1,
        min_count=3, length_penalty=1.0, replace_unk=True, batch_size=64, lr=1.5e-3, clip=1.0,
        epochs=options.epochs or 10, random_state=options.seed, progress=True,
    )  # fmt: skip
else:
    sources, targets = datasets.dates(4000, seed=options.seed)
    model = seqrs.Translator(
        cell="gru", hidden_size=64, embedding_size=32, bidirectional=True, level="char", metric="exact",
        epochs=options.epochs or 8, lr=5e-3, random_state=options.seed, progress=True,
    )  # fmt: skip

if options.test:
    tested = list(zip(*map(lines, options.test), strict=True))
    learned = list(zip(sources, targets, strict=True))
else:
    pairs = random.Random(options.seed).sample(list(zip(sources, targets, strict=True)), len(sources))
    tested, learned = pairs[:500], pairs[500:]

model.fit(*map(list, zip(*learned, strict=True)))
test_sources, references = map(list, zip(*tested, strict=True))
found = [best[0] for best in model.translate(test_sources)]
for one, reference in list(zip(found, references, strict=True))[:5]:
    print(
        f"{' '.join(one.source_tokens) if options.data else ''.join(one.source_tokens)} = {one.text} ({reference})"
    )

right = sum(one.text == reference for one, reference in zip(found, references, strict=True))
print(f"{right} of {len(found)} are exactly the reference")
if options.data:
    greedy = [best[0].text for best in model.translate(test_sources, beam=1)]
    bleu = [seqrs.metrics.bleu(references, texts) for texts in (greedy, [one.text for one in found])]
    print(f"BLEU {bleu[0]:.1f} greedy, {bleu[1]:.1f} with a beam of {model.beam}")
if options.model:
    model.save(options.model)
if options.picture:
    first = found[0]
    axes = inspect.attention_map(first.attention, first.source_tokens, first.tokens)
    axes.figure.savefig(options.picture, bbox_inches="tight")
