"""Train a small neural network to tell three varieties of seeds apart. Standard library only.

Every epoch ends with a checkpoint that holds everything: weights, momentum, the random generator and the curve so far.
Started again where one is, it goes on from there, and ends with the very bytes of a run that was never disturbed.
"""

import argparse
import csv
import json
import os
import random
import time
from math import exp, fsum, log, sqrt, tanh
from operator import mul
from pathlib import Path

BATCH = 16
MOMENTUM = 0.9
VALIDATION = 4  # every fourth row


def main():
    options = parsed()
    training, validation, classes = load(options.data)
    settings = {"lr": options.lr, "hidden": options.hidden, "seed": options.seed, "epochs": options.epochs}
    checkpoint = Path("ckpt/state.json")
    state = resumed(checkpoint, settings) or fresh(settings, len(training[0][0]), len(classes))
    while state["epoch"] < options.epochs:
        train_epoch(state, training, options.lr)
        point = {"epoch": state["epoch"], **measured(state["weights"], validation)}
        state["curve"].append(point)
        time.sleep(options.pace)
        write(checkpoint, state)
        print(f"epoch {point['epoch']:2}  loss {point['loss']:.4f}  accuracy {point['accuracy']:.3f}", flush=True)
    write(Path("out/model.json"), {"classes": classes, "weights": rounded(state["weights"])})
    write(Path("out/metrics.json"), {**settings, **state["curve"][-1], "curve": state["curve"]})


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lr", type=float, default=0.05, help="learning rate")
    parser.add_argument("--hidden", type=int, default=16, help="units in the hidden layer")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and the order of the rows")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("data.csv"))
    parser.add_argument(
        "--pace", type=float, default=0.0, help="seconds added to each epoch: stands in for a bigger model"
    )
    options = parser.parse_args()
    if options.epochs < 1 or options.hidden < 1:
        parser.error("--epochs and --hidden must be at least 1")
    return options


# --- data ---


def load(path):
    """Return rows for training and for validation as (features, class number), features scaled, and the classes."""
    with path.open(newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    classes = sorted({row[-1] for row in rows})
    columns = [scaled([float(value) for value in column]) for column in list(zip(*rows, strict=True))[:-1]]
    examples = [
        (features, classes.index(row[-1])) for features, row in zip(zip(*columns, strict=True), rows, strict=True)
    ]
    training = [example for index, example in enumerate(examples) if index % VALIDATION]
    return training, examples[::VALIDATION], classes


def scaled(values):
    mean = fsum(values) / len(values)
    spread = sqrt(fsum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / spread for value in values]


# --- network: one hidden layer; a row of weights begins with its bias ---


def forward(weights, features):
    hidden = [1.0, *(tanh(fsum(map(mul, row, (1.0, *features)))) for row in weights["hidden"])]
    scores = [fsum(map(mul, row, hidden)) for row in weights["out"]]
    powers = [exp(score - max(scores)) for score in scores]
    total = fsum(powers)
    return hidden, [power / total for power in powers]


def backward(weights, gradient, features, label):
    """Add one example's gradient of the cross-entropy."""
    hidden, chances = forward(weights, features)
    errors = [chance - (number == label) for number, chance in enumerate(chances)]
    for error, sums in zip(errors, gradient["out"], strict=True):
        add(sums, error, hidden)
    for unit, sums in enumerate(gradient["hidden"], start=1):
        error = fsum(wrong * row[unit] for wrong, row in zip(errors, weights["out"], strict=True))
        add(sums, error * (1 - hidden[unit] ** 2), (1.0, *features))


def add(sums, factor, values):
    for index, value in enumerate(values):
        sums[index] += factor * value


def train_epoch(state, training, lr):
    generator = random.Random()
    generator.setstate(as_state(state["generator"]))
    order = list(range(len(training)))
    generator.shuffle(order)
    for start in range(0, len(order), BATCH):
        batch = [training[index] for index in order[start : start + BATCH]]
        descend(state["weights"], state["velocity"], batch, lr)
    state["generator"] = generator.getstate()
    state["epoch"] += 1


def descend(weights, velocity, batch, lr):
    """Take one step down the slope, with momentum."""
    gradient = {layer: [[0.0] * len(row) for row in rows] for layer, rows in weights.items()}
    for features, label in batch:
        backward(weights, gradient, features, label)
    for layer, rows in weights.items():
        for row, speeds, slopes in zip(rows, velocity[layer], gradient[layer], strict=True):
            for index, slope in enumerate(slopes):
                speeds[index] = MOMENTUM * speeds[index] - lr * slope / len(batch)
                row[index] += speeds[index]


def measured(weights, examples):
    """Return mean loss and accuracy."""
    chances = [(forward(weights, features)[1], label) for features, label in examples]
    loss = fsum(-log(max(chance[label], 1e-12)) for chance, label in chances) / len(chances)
    right = sum(chance.index(max(chance)) == label for chance, label in chances)
    return {"loss": round(loss, 6), "accuracy": round(right / len(chances), 6)}


# --- state: fresh, or from a checkpoint ---


def fresh(settings, features, classes):
    generator = random.Random(settings["seed"])
    weights = {
        "hidden": [starting(generator, features) for _ in range(settings["hidden"])],
        "out": [starting(generator, settings["hidden"]) for _ in range(classes)],
    }
    velocity = {layer: [[0.0] * len(row) for row in rows] for layer, rows in weights.items()}
    state = {"settings": settings, "epoch": 0, "weights": weights, "velocity": velocity}
    return {**state, "generator": generator.getstate(), "curve": []}


def starting(generator, inputs):
    reach = 1 / sqrt(inputs)
    return [0.0, *(generator.uniform(-reach, reach) for _ in range(inputs))]


def resumed(path, settings):
    """Return the checkpoint's state; None if there is none, or it is of other settings."""
    if not path.is_file():
        return None
    state = json.loads(path.read_text(encoding="utf-8"))
    if state["settings"] != settings:
        return None
    print(f"resumed after epoch {state['epoch']}", flush=True)
    return state


def as_state(saved):
    """Return a random generator's state: JSON made lists of its tuples."""
    version, numbers, gauss = saved
    return version, tuple(numbers), gauss


def rounded(weights):
    return {layer: [[round(value, 6) for value in row] for row in rows] for layer, rows in weights.items()}


def write(path, value):
    """Write JSON so that the file is either the old or the new one, whole, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


if __name__ == "__main__":
    main()
