"""Golden values of multi-label metrics from scikit-learn.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install scikit-learn numpy
    /tmp/golden/bin/python scripts/golden/metrics.py

Writes tests/golden/metrics.txt: lines "name value value ...". Where a class has no positive row this
project gives NaN for the average precision (scikit-learn: 0 and a warning), and so does this file.
"""
import pathlib
import warnings

import numpy as np
from sklearn import metrics

warnings.filterwarnings("ignore")
GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"


def line(name, values):
    return name + "".join(" %.17g" % v for v in np.asarray(values, dtype=np.float64).ravel()) + "\n"


def mean(values):
    values = [v for v in values if not np.isnan(v)]
    return np.mean(values) if values else np.nan


def averages(target, guess, average):
    return metrics.precision_recall_fscore_support(target, guess, average=average, zero_division=0)[:3]


def measure(name, logits, target, mask):
    logits32 = logits.astype(np.float32)
    count, classes = logits.shape
    text = line(f"{name}.shape", [count, classes]) + line(f"{name}.mask", mask)
    text += line(f"{name}.logits", logits32) + line(f"{name}.targets", target)
    kept = np.flatnonzero(mask)
    y, x = target[:, kept], logits32[:, kept].astype(np.float64)
    guess = (x > 0).astype(int)
    p, r, f, support = metrics.precision_recall_fscore_support(y, guess, average=None, zero_division=0)
    present = np.flatnonzero(support)
    auc = [metrics.roc_auc_score(y[:, k], x[:, k]) if 0 < support[k] < count else np.nan for k in range(len(kept))]
    ap = [metrics.average_precision_score(y[:, k], x[:, k]) if support[k] else np.nan for k in range(len(kept))]
    accuracy = [metrics.accuracy_score(y[:, k], guess[:, k]) for k in range(len(kept))]
    for label, values in (("precision", p), ("recall", r), ("f1", f), ("support", support), ("auc", auc),
                          ("average_precision", ap), ("accuracy", accuracy)):
        text += line(f"{name}.class.{label}", values)
    text += line(f"{name}.macro", averages(y, guess, "macro"))
    some = metrics.precision_recall_fscore_support(y, guess, average="macro", zero_division=0, labels=present)[:3] \
        if len(present) else (0, 0, 0)
    text += line(f"{name}.macro_present", some)
    for average in ("micro", "weighted", "samples"):
        text += line(f"{name}.{average}", averages(y, guess, average))
    text += line(f"{name}.accuracy", [(y == guess).mean()])
    text += line(f"{name}.exact_match", [metrics.accuracy_score(y, guess)])
    return text + line(f"{name}.auc", [mean(auc)]) + line(f"{name}.mean_average_precision", [mean(ap)])


def batches(name, logits, target, size):
    """The reference's val_f1: per-batch macro F1, weighted by batch size."""
    guess = (logits.astype(np.float32) > 0).astype(int)
    starts = range(0, len(target), size)
    scores = [metrics.f1_score(target[i:i + size], guess[i:i + size], average="macro", zero_division=0) for i in starts]
    weights = [len(target[i:i + size]) for i in starts]
    text = line(f"{name}.batch_size", [size]) + line(f"{name}.batch_f1", scores)
    return text + line(f"{name}.val_f1", [np.average(scores, weights=weights)])


def main():
    rng = np.random.default_rng(5)
    full = np.ones(5, int)
    text = ""

    rate = np.array([.5, .3, .3, .2, .15, .1, .1, .2, .05, .25, .02, .04, .3, .01])
    target = (rng.random((150, 14)) < rate).astype(int)
    logits = rng.normal(-1, 1.5, (150, 14)) + 2 * target
    text += measure("findings", logits, target, np.ones(14, int)) + batches("findings", logits, target, 64)
    text += measure("masked", logits[:60], target[:60], np.arange(14) % 3 != 1)

    target = (rng.random((41, 5)) < .4).astype(int)
    ties = np.round(rng.normal(0, 1, (41, 5)) + target)
    text += measure("ties", ties, target, full)

    target = (rng.random((23, 5)) < .5).astype(int)
    logits = rng.normal(0, 1, (23, 5))
    target[:, 1], target[:, 3] = 0, 1          # no positives; nothing but positives
    logits[:, 2], logits[:, 4] = 0.0, -1.0     # all tied on the threshold; nothing predicted
    target[:3], logits[:3] = 0, -2             # rows without labels and predictions
    text += measure("edges", logits, target, full)

    text += measure("none", -np.abs(rng.normal(0, 1, (9, 2))), np.zeros((9, 2), int), np.ones(2, int))
    text += measure("all", np.abs(rng.normal(0, 1, (9, 2))), np.ones((9, 2), int), np.ones(2, int))
    text += measure("one", np.array([[2.5, -1.0]]), np.array([[1, 1]]), np.ones(2, int))
    (GOLDEN / "metrics.txt").write_text(text)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    main()
