"""Use an installed wheel as a newcomer would, in an environment that holds NumPy alone.

Run by `make smoke` with the interpreter of that environment: python -I use_wheel.py WHEEL
"""

import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

import numpy as np

import seqrs
from seqrs import nn

WHEEL = Path(sys.argv[1])
COMMAND = Path(sys.prefix, "bin", "seqrs")

size = WHEEL.stat().st_size
assert size < 10_000_000, f"{WHEEL} has {size} bytes"
assert Path(seqrs.__file__).is_relative_to(sys.prefix), f"{seqrs.__file__} is not the wheel's"

# A layer: in and out, and back.
layer = nn.GRU(3, 8, num_layers=2, seed=0)
y, _, tape = layer.forward(np.ones((2, 5, 3), np.float32))
gradients = layer.backward(tape, np.ones_like(y))
assert y.shape == (2, 5, 8)
assert np.abs(gradients.x).max() > 0

# The loader of graphics drivers is opened when asked for; where there is none, that is the answer.
print(seqrs.gpu.info())

# A model: it learns, writes, and is the same after a trip through a file.
model = seqrs.LanguageModel(hidden_size=32, num_layers=1, seed=0)
model.fit("do re mi fa so la ti " * 100, seq_len=20, epochs=40, lr=0.01, progress=False)
assert model.history[-1]["loss"] < 0.5 * model.history[0]["loss"], model.history
assert model.sample(21, prompt="do re", temperature=0) == " mi fa so la ti do re"
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "model.seqrs")
    model.save(path)
    assert seqrs.load(path).sample(50, seed=1) == model.sample(50, seed=1)
    written = subprocess.run(
        [COMMAND, "sample", path, "--prompt", "do re"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert " mi" in written.stdout
assert "train" in subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True).stdout

installed = {distribution.name for distribution in distributions()}
assert installed == {"seqrs", "numpy"}, installed

print(
    f"{WHEEL.name}: {size / 1e6:.2f} MB, works with NumPy {np.__version__} on Python {sys.version.split()[0]}"
)
