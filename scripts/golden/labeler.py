"""Golden values of a labeler's scores from scikit-learn.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install scikit-learn numpy
    /tmp/golden/bin/python scripts/golden/labeler.py

Writes tests/golden/labeler.txt: lines "name value value ...". Labels are 1, 0, -1 and -2 (blank).
"""
import pathlib
import warnings

import numpy as np
from sklearn import metrics

warnings.filterwarnings("ignore")
GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
HEADS = 14
TASKS = (("positive", lambda y: y == 1), ("negative", lambda y: y == 0), ("uncertain", lambda y: y == -1),
         ("mention", lambda y: y != -2))


def line(name, values):
    return name + "".join(" %.17g" % v for v in np.asarray(values, dtype=np.float64).ravel()) + "\n"


def mean(values):
    values = [v for v in values if not np.isnan(v)]
    return np.mean(values) if values else np.nan


def f1(truth, guess):
    return metrics.f1_score(truth, guess, zero_division=np.nan)


def measure(name, truth, guess):
    text = line(name + ".truth", truth) + line(name + ".guess", guess)
    for task, has in TASKS:
        each = [f1(has(truth[:, k]), has(guess[:, k])) for k in range(HEADS)]
        text += line(f"{name}.{task}.support", has(truth).sum(0)) + line(f"{name}.{task}.f1", each)
        text += line(f"{name}.{task}.mean", [mean(each)])
        text += line(f"{name}.{task}.pooled", [f1(has(truth).ravel(), has(guess).ravel())])
    accuracy = [metrics.accuracy_score(truth[:, k], guess[:, k]) for k in range(HEADS)]
    kappa = [metrics.cohen_kappa_score(truth[:, k], guess[:, k]) for k in range(HEADS)]
    text += line(name + ".head_accuracy", accuracy) + line(name + ".head_kappa", kappa)
    text += line(name + ".accuracy", [metrics.accuracy_score(truth.ravel(), guess.ravel())])
    text += line(name + ".exact_match", [(truth == guess).all(1).mean()])
    return text + line(name + ".kappa", [mean(kappa)])


def draw(rng, rows):
    rate = rng.dirichlet((4, 2, 1.5, .6), HEADS)
    return np.stack([rng.choice((-2, 1, 0, -1), rows, p=p) for p in rate], 1)


def main():
    rng = np.random.default_rng(17)
    truth = draw(rng, 90)
    guess = np.where(rng.random(truth.shape) < .8, truth, draw(rng, 90))
    guess[::7] = truth[::7]                                       # rows that are all right
    truth[:, 0] = np.where(truth[:, 0] == 1, 1, -2)               # No Finding: two kinds
    guess[:, 0] = np.where(guess[:, 0] == 1, 1, -2)
    text = measure("reports", truth, guess)
    text += measure("right", truth[:20], truth[:20])
    truth, guess = draw(rng, 25), draw(rng, 25)
    truth[:, 2] = guess[:, 2] = -2                                # never mentioned
    truth[:, 3], guess[:, 3] = -2, 1                              # predicted only
    truth[:, 4], guess[:, 4] = -1, -2                             # missed only
    truth[:, 5] = guess[:, 5] = 0                                 # always negative
    truth[:, 6], guess[:, 6] = 1, np.where(np.arange(25) == 3, 0, 1)
    text += measure("edges", truth, guess)
    text += measure("blank", np.full((4, HEADS), -2), np.full((4, HEADS), -2))
    text += measure("against", np.full((5, HEADS), 1), np.full((5, HEADS), 0))
    text += measure("one", np.arange(HEADS)[None] % 4 - 2, np.arange(HEADS)[None] % 3 - 2)
    (GOLDEN / "labeler.txt").write_text(text)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    main()
