"""Small files of torch.save, in its zip and legacy layouts, and what they hold.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install torch numpy
    /tmp/golden/bin/python scripts/golden/torch_file.py TAG

Run once with torch 1.13 (TAG torch1) and once with torch 2 (TAG torch2). Writes
tests/golden/torch/TAG_*.pt and tests/golden/torch/TAG.txt: lines "file name type rank sizes crc32 values",
the first four values in row-major order. Written with torch 1.13.0 and 2.15.0.
"""
import argparse
import collections
import pathlib
import sys
import zlib

import numpy as np
import torch

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "torch"
TYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
         torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
         torch.bool: "BOOL"}


def flat():
    base = torch.randn(6, 5, generator=torch.Generator().manual_seed(3))
    d = collections.OrderedDict(base=base, view=base[1:4, 1:3], transposed=base.t(), alias=base,
                                expanded=base[2:3].expand(4, 5), stepped=base[::2, ::3],
                                cube=base.view(2, 3, 5).permute(2, 0, 1))
    for dtype, name in TYPES.items():
        d["as_" + name] = (base * 40).abs().to(dtype) if name in ("U8", "BOOL") else (base * 40).to(dtype)
    d["large"] = torch.tensor([2 ** 53 + 1, -2 ** 62, 3])
    d["scalar"] = torch.tensor(0.07)
    d["empty"] = torch.zeros(0, 3)
    d["sliced_away"] = base[:, 5:][6:]
    d["parameter"] = torch.nn.Parameter(torch.arange(3.0) + 0.5)
    return d


def nested():
    torch.manual_seed(5)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 6, "state_dict": model.state_dict(), "optimizer_states": [optimizer.state_dict()],
        "callbacks": {"ModelCheckpoint{'monitor': 'val_f1'}": {"best_model_score": torch.tensor(0.36)},
                      collections.Counter: {"wait": torch.tensor(2)}},
        "config": {"a": [1, 2.5, None, True, "text", b"bytes", b"", 2 ** 70, -2 ** 40, {1, 2}, frozenset((3,))],
                   "b": collections.Counter("abca"), "c": collections.defaultdict(list, x=[torch.ones(2)])},
        "options": argparse.Namespace(path=pathlib.PurePosixPath("a/b"), rate=np.float64(0.1)),
        "array": np.arange(3.0), "dtype": torch.float16, "size": torch.Size([1, 2]),
        "device": torch.device("cpu"), 7: (torch.zeros(1, dtype=torch.int8), torch.ones(1)),
    }


def walk(value, path=""):
    if isinstance(value, torch.Tensor):
        yield path or "tensor", value.detach()
    elif isinstance(value, dict):
        for key, item in value.items():
            name = "<%s.%s>" % (key.__module__, key.__name__) if isinstance(key, type) else str(key)
            yield from walk(item, path + "." + name if path else name)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from walk(item, "%s.%d" % (path, i) if path else str(i))


def line(file, name, t):
    plain = t.contiguous()
    # numpy knows no bfloat16: its bits.
    raw = (plain.view(torch.int16) if t.dtype == torch.bfloat16 else plain).numpy().tobytes()
    values = [float(v) for v in plain.double().flatten()[:4]]
    return "%s\t%s\t%s\t%d%s\t%08x\t%d%s\n" % (
        file, name, TYPES[t.dtype], t.dim(), "".join(" %d" % s for s in t.shape), zlib.crc32(raw),
        len(values), "".join(" %.17g" % v for v in values))


def main(tag):
    GOLDEN.mkdir(exist_ok=True)
    text = ""
    for name, value, options in (
            ("flat", flat(), {}), ("flat_legacy", flat(), {"_use_new_zipfile_serialization": False}),
            ("nested", nested(), {}), ("nested_protocol4", nested(), {"pickle_protocol": 4}),
            ("nested_legacy", nested(), {"_use_new_zipfile_serialization": False}),
            ("single", torch.arange(6.0).view(2, 3), {})):
        file = "%s_%s.pt" % (tag, name)
        torch.save(value, str(GOLDEN / file), **options)
        text += "".join(line(file, n, t) for n, t in walk(value))
    (GOLDEN / (tag + ".txt")).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
