"""Golden values of clinical scores from scikit-learn.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install scikit-learn numpy
    /tmp/golden/bin/python scripts/golden/clinical.py

Writes tests/golden/clinical.txt: lines "name value value ...". Labels are 1, 0, -1 and -2 (blank), by report and by
class in the order of data/labels.h.
"""
import pathlib
import warnings

import numpy as np
from sklearn import metrics
from sklearn.metrics.pairwise import cosine_similarity

warnings.filterwarnings("ignore")
GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
CLASSES = 14
FIVE = [2, 5, 6, 8, 10]
MAPPINGS = (("positive", lambda y: y == 1), ("uncertain", lambda y: abs(y) == 1))


def line(name, values):
    return name + "".join(" %.17g" % v for v in np.asarray(values, dtype=np.float64).ravel()) + "\n"


def measure(name, truth, guess):
    text = line(name + ".truth", truth) + line(name + ".guess", guess)
    for mapping, has in MAPPINGS:
        t, g = has(truth).astype(int), has(guess).astype(int)
        for which, labels in (("all", list(range(CLASSES))), ("five", FIVE)):
            for average in ("macro", "micro", "weighted", "samples"):
                x = metrics.precision_recall_fscore_support(t, g, average=average, labels=labels, zero_division=0)
                text += line(f"{name}.{mapping}.{which}.{average}", x[:3])
        p, r, f, support = metrics.precision_recall_fscore_support(t, g, average=None, zero_division=0)
        text += line(f"{name}.{mapping}.classes", np.stack([support, p, r, f], 1))
        text += line(f"{name}.{mapping}.accuracy", [metrics.accuracy_score(t[:, k], g[:, k]) for k in range(CLASSES)])
    return text


def draw(rng, rows):
    rate = rng.dirichlet((4, 2, 1.5, .6), CLASSES)
    return np.stack([rng.choice((-2, 1, 0, -1), rows, p=p) for p in rate], 1)


def main():
    rng = np.random.default_rng(23)
    truth = draw(rng, 120)
    guess = np.where(rng.random(truth.shape) < .7, truth, draw(rng, 120))
    truth[:9], guess[4:12] = -2, -2                # reports without a finding, on one side and on both
    truth[:, 12], guess[:, 11] = 0, -2             # classes never found on one side
    text = measure("mixed", truth, guess)
    text += measure("one", truth[20:21], guess[20:21])
    text += measure("nothing", np.full((3, CLASSES), -2), np.zeros((3, CLASSES), int))
    text += measure("never", np.full((3, CLASSES), 1), np.full((3, CLASSES), -1))
    a, b = rng.normal(0, 1, (6, 5)).astype(np.float32), rng.normal(.3, 1, (6, 5)).astype(np.float32)
    a[2] = 0
    b[3] = a[3] * 2
    text += line("vectors.a", a) + line("vectors.b", b)
    text += line("vectors.cosine", np.diag(cosine_similarity(a.astype(np.float64), b.astype(np.float64))))
    (GOLDEN / "clinical.txt").write_text(text)


if __name__ == "__main__":
    main()
