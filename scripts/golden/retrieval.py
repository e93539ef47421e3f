"""Golden values of retrieval and of a binary decision, from numpy and scikit-learn.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install scikit-learn numpy
    /tmp/golden/bin/python scripts/golden/retrieval.py

Writes tests/golden/retrieval.txt: lines "name value value ...". Each query's candidates are sorted as a
whole, wrong ones before hits of equal score; chance is counted from binomial coefficients.
"""
import math
import pathlib
import warnings

import numpy as np
from sklearn import metrics

warnings.filterwarnings("ignore")
GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
DEPTHS = (1, 5, 10)


def line(name, values):
    return name + "".join(" %.17g" % v for v in np.asarray(values, dtype=np.float64).ravel()) + "\n"


def first_hit(scores, hit):
    """The place of the first hit, from 1 on; inf if all hits are NaN."""
    key = np.where(np.isnan(scores), np.where(hit, -np.inf, np.inf), scores)
    usable = hit & ~np.isnan(scores)
    order = np.lexsort((usable, -key))
    place = np.flatnonzero(usable[order])
    return place[0] + 1.0 if len(place) else np.inf


def direction(name, scores, query_group, candidate_group):
    count = len(candidate_group)
    hit = query_group[:, None] == candidate_group[None, :]
    rank = np.array([first_hit(s, h) for s, h in zip(scores, hit)])
    recall = [np.mean(rank <= k) for k in DEPTHS]
    chance = [np.mean([1 - math.comb(count - h, min(k, count)) / math.comb(count, min(k, count))
                       for h in hit.sum(1).tolist()]) for k in DEPTHS]
    median = np.median(np.where(np.isinf(rank), count + 1, rank))
    return line(name + ".recall", recall) + line(name + ".chance", chance) + \
        line(name + ".median", [median]) + line(name + ".lost", [np.isinf(rank).sum()])


def retrieval(name, scores, image_group, text_group):
    scores = np.asarray(scores, dtype=np.float32)
    image_group, text_group = np.asarray(image_group), np.asarray(text_group)
    return line(name + ".shape", scores.shape) + line(name + ".scores", scores) + \
        line(name + ".image_group", image_group) + line(name + ".text_group", text_group) + \
        direction(name + ".image_to_text", scores.astype(np.float64), image_group, text_group) + \
        direction(name + ".text_to_image", scores.astype(np.float64).T, text_group, image_group)


def binary(name, logits, target):
    logits, target = np.asarray(logits, dtype=np.float32), np.asarray(target)
    # What decides nothing is given to the wrong class.
    guess = np.where(logits[:, 1] > logits[:, 0], 1, np.where(logits[:, 0] > logits[:, 1], 0, 1 - target))
    recall = [(guess[target == k] == k).mean() if (target == k).any() else np.nan for k in (0, 1)]
    both = (target == 0).any() and (target == 1).any()
    balanced = metrics.balanced_accuracy_score(target, guess) if both else np.nan
    return line(name + ".logits", logits) + line(name + ".target", target) + line(name + ".recall", recall) + \
        line(name + ".accuracy", [metrics.accuracy_score(target, guess)]) + line(name + ".balanced", [balanced])


def main():
    rng = np.random.default_rng(11)
    text = ""
    pairs = np.arange(37)
    scores = rng.normal(0, 1, (37, 37)) + 1.5 * np.eye(37)
    text += retrieval("pairs", scores, pairs, pairs)
    # Several images and texts of a group, unequal numbers of both, scores on a coarse grid.
    images, texts = rng.integers(0, 9, 41), rng.integers(0, 9, 29)
    images[:9], texts[:9] = np.arange(9), np.arange(9)
    scores = np.round(rng.normal(0, 1, (41, 29)) + (images[:, None] == texts[None, :]))
    text += retrieval("groups", scores, images * 1000 - 4, texts * 1000 - 4)
    text += retrieval("constant", np.zeros((12, 12)), np.arange(12), np.arange(12))
    text += retrieval("one_group", rng.normal(0, 1, (3, 6)), [7, 7, 7], [7] * 6)
    even = [[5, 1, 1, 1], [6, 4, 1, 1], [7, 6, 3, 1], [8, 7, 6, 2]]  # ranks 1 to 4, and 4, 3, 2, 1
    text += retrieval("even", even, np.arange(4), np.arange(4))
    text += retrieval("one", [[0.5]], [-1], [-1])
    text += retrieval("one_nan", [[np.nan]], [2], [2])
    scores = rng.normal(0, 1, (14, 14)) + 2 * np.eye(14)
    scores[3, :], scores[5, 5], scores[6, 2], scores[7, 7] = np.nan, np.nan, np.nan, np.inf
    scores[8, 8], scores[9, 1], scores[10, 10], scores[10, 4] = -np.inf, -np.inf, np.inf, np.inf
    text += retrieval("nan", scores, np.arange(14), np.arange(14))
    scores = np.round(rng.normal(0, 2, (20, 16)))
    scores[rng.random((20, 16)) < .3] = np.nan
    text += retrieval("mixed", scores, np.arange(20) % 5, np.arange(16) % 5)

    target = (rng.random(50) < .3).astype(int)
    logits = np.round(rng.normal(0, 1, (50, 2)) * 4) / 4 + np.stack([1 - target, target], 1)
    text += binary("itm", logits, target)
    logits[rng.random((50, 2)) < .1] = np.nan
    text += binary("itm_nan", logits, target)
    text += binary("tied", np.zeros((6, 2)), [0, 1, 1, 0, 1, 1])
    text += binary("one_class", [[1, 0], [0, 1], [2, 0]], [0, 0, 0])
    text += binary("one_row", [[-1, 1]], [1])
    (GOLDEN / "retrieval.txt").write_text(text)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    main()
