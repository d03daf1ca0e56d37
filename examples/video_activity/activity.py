"""What is a person doing, from the joints of a skeleton in every frame of a video? Tested on persons not seen before.

python activity.py [train.jsonl.gz] [--seed N]
"""

import argparse
import gzip
import json

import numpy as np

import seqrs

JOINTS = 20  # in a frame, x, y and z of each


def features(frames):
    """Return where the joints are as seen from their middle, and how that changes: (frames, 2 * 3 * JOINTS)."""
    joints = np.asarray(frames, np.float32).reshape(len(frames), JOINTS, 3)
    joints = (joints - joints.mean(axis=1, keepdims=True)).reshape(len(frames), -1)
    return np.concatenate([joints, np.gradient(joints, axis=0)], axis=1)


def skip_frames(x, draw):
    """Leave out up to a third of the frames, as if the person were faster."""
    kept = x[draw.random(len(x)) >= draw.uniform(0, 0.33)]
    return kept if len(kept) else x


def generate(draw):
    """Yield three persons who move a hand or a foot."""
    for subject in range(1, 4):
        body = draw.normal(0, 0.4, (JOINTS, 3)) * 0.1 + np.linspace(-0.9, 0.7, JOINTS)[:, None]
        for action in range(4):
            for _ in range(6):
                t, phase = np.arange(draw.integers(30, 70)), draw.uniform(0, 6)
                frames = np.repeat(body[None], len(t), axis=0) + draw.normal(0, 0.01, (len(t), JOINTS, 3))
                frames[:, 4 + 4 * action] += 0.4 * np.sin(draw.uniform(0.2, 0.5) * t + phase)[:, None]
                yield {"action": f"action {action}", "subject": subject, "frames": frames.reshape(len(t), -1)}


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data", nargs="?", help="lines of JSON: action, subject, frames (default: some made up)")
parser.add_argument("--seed", type=int, default=0, help="of training (default: 0)")
options = parser.parse_args()
if options.data:
    with gzip.open(options.data, "rt", encoding="utf-8") as file:
        videos = [json.loads(line) for line in file]
else:
    videos = list(generate(np.random.default_rng(0)))

accuracies = []
for subject in sorted({video["subject"] for video in videos}):
    train, test = ([v for v in videos if (v["subject"] == subject) == side] for side in (False, True))
    (X, y), (X_test, y_test) = (
        ([features(v["frames"]) for v in part], [v["action"] for v in part]) for part in (train, test)
    )
    model = seqrs.SequenceClassifier(
        bidirectional=True,
        hidden_size=64,
        pooling="max",
        dropout=0.4,
        noise=0.1,
        augment=skip_frames,
        epochs=60,
        batch_size=16,
        random_state=options.seed,
    )
    accuracies.append(model.fit(X, y).score(X_test, y_test))
    print(f"trained without person {subject}: {accuracies[-1]:.1%} of {len(X_test)} videos", flush=True)
print(f"mean {np.mean(accuracies):.1%}")
