"""Numbers that golden scripts and tests draw alike, so that weights and inputs need no storing.

A counter-based hash of (name, index): here and in tests/models/helper_reference.c. Needs numpy and torch alone.
"""
import pathlib

import numpy
import torch

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
GOLDEN_RATIO = numpy.uint64(0x9E3779B97F4A7C15)


def mix(z):
    """The finaliser of splitmix64 (Steele et al. 2014)."""
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))


def uniform(name, count):
    """COUNT numbers in [0, 1) that depend on (name, index) alone; 24 bits, so f32 holds them."""
    key = 0xCBF29CE484222325  # FNV-1a
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    with numpy.errstate(over="ignore"):
        words = mix(mix(numpy.array([key], numpy.uint64)) + numpy.arange(1, count + 1, dtype=numpy.uint64) * GOLDEN_RATIO)
    return (words >> numpy.uint64(40)).astype(numpy.float64) * 2.0**-24


def values(name, shape):
    """A parameter or statistic: never zero or one, activations of a size near one."""
    u = uniform(name, int(numpy.prod(shape)))
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        x = u + 0.5
    elif len(shape) == 1:
        x = u * 0.6 - 0.3
    elif name.endswith("_emb") or name.endswith("_embed"):
        x = u * 2 - 1
    else:
        x = (u * 2 - 1) * numpy.sqrt(3.0 / numpy.prod(shape[1:]))
    return torch.from_numpy(x.astype(numpy.float32).reshape(shape))
