"""Golden values of NF4 with double quantisation, from bitsandbytes.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install torch numpy safetensors bitsandbytes
    /tmp/golden/bin/python scripts/golden/quantise.py

Writes tests/golden/nf4.safetensors: a weight whose blocks differ in size, what bitsandbytes makes of it, and the
numbers it computes with. The weight has more blocks than one scale of their sizes serves, a block of zeros and one
of equal numbers.

The library's kernel for CPUs finds the sizes' codes by a coarse table and misses the nearest value now and then;
its general form takes the nearest, and so does this file.
"""
import pathlib

import bitsandbytes.functional as F
import torch
from safetensors.torch import save_file

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"


def main():
    torch.manual_seed(7)
    weight = torch.randn(75, 256) * 0.02 * torch.exp(torch.randn(75, 1))
    weight[3, :64] = 0
    weight[4, 64:128] = -0.01
    codes, state = F.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=True)
    inner = state.state2
    assert inner.blocksize == 256 and codes.dtype == torch.uint8
    largest = weight.reshape(-1, 64).abs().amax(1) - state.offset
    bounds = (inner.code[:-1] + inner.code[1:]) / 2
    scaled = torch.cat([part * (1 / part.abs().max()) for part in largest.split(256)])
    nearest = torch.bucketize(scaled, bounds).to(torch.uint8)
    assert (nearest.int() - state.absmax.int()).abs().max() <= 1 and (nearest != state.absmax).float().mean() < 0.02
    state.absmax = nearest
    save_file({
        "weight": weight,
        "plain": F.dequantize_4bit(codes, state),
        "codes": codes.flatten().contiguous(),
        "values": state.code.contiguous(),
        "sizes": state.absmax.contiguous(),
        "size_values": inner.code.contiguous(),
        "scale": inner.absmax.contiguous(),
        "offset": state.offset.reshape(1).contiguous(),
    }, GOLDEN / "nf4.safetensors", metadata={"source": "bitsandbytes " + __import__("bitsandbytes").__version__})


if __name__ == "__main__":
    main()
