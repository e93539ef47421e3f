"""Small pickles of embeddings as the original's dump leaves them, and others like them.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install torch numpy
    /tmp/golden/bin/python scripts/golden/embeddings.py TAG

Run once with numpy 1 and torch 1.13 (TAG one) and once with numpy 2 and torch 2 (TAG two). Writes
TAG_*.pkl and TAG.txt in tests/golden/embeddings/: lines "file id queries width values", one for each row
of the files that are to be read. Written with numpy 1.24.2 and torch 1.13.0, and with numpy 2.4.6 and
torch 2.15.0.
"""
import collections
import pathlib
import pickle
import sys

import numpy as np
import torch

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "embeddings"
IDS = ["02aa804e-bde0afdd", "z", "174413ec-4ec4c1f7", "a"]


def rows(shape=(2, 3), count=4):
    rng = np.random.default_rng(23)
    return [rng.normal(0, 1, shape).astype(np.float32) for _ in range(count)]


def read():
    arrays = dict(zip(IDS, rows()))
    for protocol in (3, 4, 5):
        yield "numpy_%d" % protocol, arrays, protocol
    kept = dict(zip(IDS, rows()))
    for array in kept.values():
        array.flags.writeable = False
    yield "readonly_5", kept, 5
    batch = np.stack(rows())
    yield "views_4", {k: batch[i] for i, k in enumerate(IDS)}, 4
    yield "shared_4", {IDS[0]: batch[1], IDS[1]: batch[1], IDS[2]: batch[1, :, :]}, 4
    yield "ordered_4", collections.OrderedDict(arrays), 4
    yield "many_4", {"id-%d" % i: np.full((1, 1), i, np.float32) for i in range(1003)}, 4
    tensor = torch.from_numpy(batch.copy())
    yield "torch_4", {k: tensor[i].clone() for i, k in enumerate(IDS)}, 4
    yield "torch_3", {IDS[0]: tensor[0].clone()}, 3
    yield "torch_views_4", {k: tensor[i] for i, k in enumerate(IDS)}, 4
    yield "torch_grad_4", {IDS[0]: tensor[2].clone().requires_grad_()}, 4


def refused():
    array, tensor = rows()[0], torch.from_numpy(rows()[0])
    yield "numpy_2", {"a": array}, 2
    yield "torch_2", {"a": tensor}, 2
    yield "double", {"a": array.astype(np.float64)}, 4
    yield "swapped", {"a": array.astype(">f4")}, 4
    yield "columns", {"a": np.asfortranarray(array)}, 4
    yield "columns_5", {"a": np.asfortranarray(array)}, 5
    yield "objects", {"a": array.astype(object)}, 4
    yield "records", {"a": np.zeros((2, 3), [("x", "f4")])}, 4
    yield "matrix", {"a": np.asmatrix(array)}, 4
    yield "flat", {"a": array.ravel()}, 4
    yield "cube", {"a": array[None]}, 4
    yield "empty", {"a": array[:0]}, 4
    yield "unequal", {"a": array, "b": array[:1]}, 4
    yield "half", {"a": tensor.half()}, 4
    yield "turned", {"a": tensor.t()}, 4
    yield "scalar", {"a": array[0, 0]}, 4
    yield "number", {"a": 1.5}, 4
    yield "numbered", {7: array}, 4
    yield "listed", [array], 4
    yield "nothing", {}, 4


def main(tag):
    GOLDEN.mkdir(exist_ok=True)
    text = ""
    for name, value, protocol in read():
        file = "%s_%s.pkl" % (tag, name)
        (GOLDEN / file).write_bytes(pickle.dumps(value, protocol=protocol))
        for key, x in value.items():
            x = x.detach().numpy() if isinstance(x, torch.Tensor) else x
            text += "%s %s %d %d%s\n" % (file, key, *x.shape, "".join(" %.9g" % v for v in x.ravel()))
    for name, value, protocol in refused():
        (GOLDEN / ("%s_bad_%s.pkl" % (tag, name))).write_bytes(pickle.dumps(value, protocol=protocol))
    (GOLDEN / (tag + ".txt")).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
