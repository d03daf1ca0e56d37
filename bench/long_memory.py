"""Train recurrent layers on the adding problem: which of them remember a number for a hundred steps?

    python bench/long_memory.py --output bench/results

The recipe: one layer of 64 units, its last output into a linear one; batches of 50 sequences made anew at every
step; Adam 3e-3 (RNN: 1e-3), clipping by global norm 1; biases of the LSTM's forget gate start at 1. The mean squared
error is that of 1,000 sequences which no training step sees, each 100 steps; a run ends where it is below 0.01, or
after 2,000 steps (GRU) or 6,000 (LSTM, RNN). Who always says 1 has 0.167.
"""

from __future__ import annotations

import sys

import recipes
import report
from machine import Others

import seqrs
from seqrs import datasets, losses, nn, optim

CELLS = {
    "gru": (nn.GRU, {}, 3e-3, 2000),
    "lstm": (nn.LSTM, {"forget_bias": 1.0}, 3e-3, 6000),
    "rnn": (nn.RNN, {}, 1e-3, 6000),
}
UNITS, BATCH, CLIP, EVERY, GOAL = 64, 50, 1.0, 100, 0.01
TEST_SEED = 2**63  # of the sequences to be tested on; training draws with other seeds


def train(cell: str, steps: int, seed: int) -> dict:
    kind, options, lr, limit = CELLS[cell]
    clock = Others([])
    model = nn.Sequential(
        kind(2, UNITS, seed=seed, **options), nn.Pool("last"), nn.Linear(UNITS, 1, seed=seed), seed=seed
    )
    adam = optim.Adam(model, lr=lr, clip_norm=CLIP)
    x_test, y_test = datasets.adding(1000, steps, seed=TEST_SEED)
    errors: list[float] = []
    for update in range(1, limit + 1):
        x, y = datasets.adding(BATCH, steps, seed=seed * limit + update)
        predicted, _, tape = model.forward(x)
        _, gradient = losses.mean_squared_error(predicted, y[:, None])
        adam.step(model.backward(tape, gradient))
        if update % EVERY == 0:
            errors.append(losses.mean_squared_error(model(x_test)[0], y_test[:, None])[0])
            if errors[-1] < GOAL:
                break
    reached = errors[-1] < GOAL
    result = {
        "cell": cell,
        "steps": steps,
        "seed": seed,
        "updates": len(errors) * EVERY if reached else None,
        "limit": limit,
        "best": min(errors),
        "errors": errors,
        **clock.spent(),
    }
    print(
        f"{cell} T={steps} seed {seed}: {errors[-1]:.4f} after {len(errors) * EVERY} updates", file=sys.stderr
    )
    return result


def main() -> None:
    parser = recipes.parser(__doc__)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=CELLS)
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 200], metavar="T")
    options = parser.parse_args()
    seqrs.set_num_threads(options.threads)
    recipes.publish(
        "long_memory.py",
        "long_memory",
        options,
        (
            train(cell, steps, seed)
            for steps in options.steps
            for cell in options.cells
            for seed in options.seeds
        ),
        lambda run: (list(CELLS).index(run["cell"]), run["steps"], run["seed"]),
        text,
    )


def text(results: dict) -> str:
    rows = [
        [
            run["cell"].upper(),
            str(run["steps"]),
            str(run["seed"]),
            f"{run['updates']:,}" if run["updates"] else f"not in {run['limit']:,}",
            f"{run['best']:.4f}",
            *report.spent([run]),
        ]
        for run in results["runs"]
    ]
    head = ["cell", "T", "seed", f"steps to an error below {GOAL}", "least error", *report.SPENT]
    return f"""# The adding problem

{report.conditions(results)}
- Recipe: {UNITS} units, batches of {BATCH} made anew, Adam 3e-3 (RNN: 1e-3), clipping by global norm {CLIP:g}, forget bias 1

The mean squared error of 1,000 sequences that are not trained on; whoever always says 1 has 0.1667.

{report.table(head, rows)}
"""


if __name__ == "__main__":
    main()
