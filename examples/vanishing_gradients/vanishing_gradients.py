"""How much of a gradient is left so many steps back, in a plain RNN, a GRU and an LSTM?

python vanishing_gradients.py [--updates N] [-o gradients.png]
"""

import argparse

from seqrs import datasets, inspect, losses, nn, optim

STEPS, UNITS = 100, 64
KINDS = {"RNN": (nn.RNN, {}), "GRU": (nn.GRU, {}), "LSTM": (nn.LSTM, {"forget_bias": 1.0})}
SHOWN = [1, 10, 25, 50, 100]  # lags


def train(layer: nn.Layer, updates: int) -> tuple[float, dict]:
    """Return the error on the adding problem after so many updates, and the layer's weights."""
    model = nn.Sequential(layer, nn.Pool("last"), nn.Linear(UNITS, 1, seed=0), seed=0)
    adam = optim.Adam(model, lr=3e-3, clip_norm=1.0)
    for update in range(updates):
        x, y = datasets.adding(50, STEPS, seed=1 + update)
        predicted, _, tape = model.forward(x)
        adam.step(model.backward(tape, losses.mean_squared_error(predicted, y[:, None])[1]))
    x, y = datasets.adding(500, STEPS, seed=0)
    error, _ = losses.mean_squared_error(model(x)[0], y[:, None])
    weights = {name.removeprefix("0."): w for name, w in model.state_dict().items() if name.startswith("0.")}
    return error, weights


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=600, help="of training, 50 sequences each (default: 600)")
parser.add_argument("-o", "--output", help="draw the gradients into this file")
options = parser.parse_args()

axes = None
x, _ = datasets.adding(50, STEPS, seed=0)
print("norm of the gradient, steps back:", *(f"{lag:>9}" for lag in SHOWN), "    error", sep="")
for name, (kind, extra) in KINDS.items():
    layer = kind(2, UNITS, seed=0, **extra)
    error, weights = train(kind(2, UNITS, seed=0, **extra), options.updates)
    for when in "untrained", "trained":
        result = inspect.gradient_by_lag(layer, x)
        norms = result.norms["layer 0", "h"]
        print(f"{name:5} {when:27}", *(f"{norms[lag - 1]:9.0e}" for lag in SHOWN), end="", sep="")
        print(f"{error:10.4f}" if when == "trained" else "")
        if when == "untrained" and options.output:
            axes = result.plot(axes, name)
        layer.load_state_dict(weights)
if options.output:
    axes.figure.savefig(options.output)
