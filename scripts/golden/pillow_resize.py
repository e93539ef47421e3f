"""Golden checksums of Pillow's bilinear resize and of the whole preparation of radiographs.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install pillow==9.5.0 numpy
    /tmp/golden/bin/python scripts/golden/pillow_resize.py

Writes tests/golden/pillow_resize.txt. Images come from an integer formula (sample() here and in
tests/data/test_image.c), so that the file holds only sizes and CRC-32 sums:

    resize W H SEED OUT_W OUT_H CRC
    square KIND W H SEED LOW HIGH OUT_W OUT_H CRC_GREY CRC_RESIZED CRC_512 CRC_488 CRC_448

KIND is 1 (8-bit grey), 3 (8-bit RGB), 16 (16-bit grey) or 48 (16-bit RGB); LOW and HIGH bound the samples.
Pillow 9.5 to 12.0 give the same file. Pillow 13 runs the vertical pass first for some shapes (here 300 x 200 to
301 x 199, and 514 x 4001), which changes their last bits; its sums are not the ones wanted here.
"""
import pathlib
import zlib

import numpy as np
from PIL import Image

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
SIZES = [  # width, height: odd, prime, tall, wide, equal, enlarged, tiny
    (512, 512), (512, 640), (700, 512), (513, 512), (512, 513), (511, 513), (1024, 1024), (1023, 1025),
    (601, 797), (797, 601), (640, 480), (333, 1999), (1999, 333), (1, 1), (1, 7), (9, 1), (2, 3), (64, 5),
    (100, 100), (257, 256), (1536, 1537), (1999, 1024), (2544, 3056), (3056, 2544), (2500, 2048), (514, 4001),
]
PAIRS = [  # width, height -> width, height
    (8, 8, 3, 5), (3, 5, 8, 8), (17, 13, 17, 5), (17, 13, 4, 13), (17, 13, 17, 13), (1, 1, 9, 9), (1000, 3, 1, 1),
    (61, 67, 31, 29), (512, 512, 64, 64), (512, 512, 448, 448), (488, 488, 122, 122), (300, 200, 301, 199),
    (97, 101, 1, 300), (5000, 7, 13, 11), (64, 64, 512, 512), (255, 254, 7, 253), (1, 5000, 3, 2),
]


def sample(width, height, seed, low, high):
    """A slope with noise on it: LOW + (HIGH - LOW) * t / 65535 with t from 0 to 65535."""
    y, x = np.mgrid[0:height, 0:width].astype(np.uint64)
    h = (x * 73856093 ^ y * 19349663 ^ seed * 83492791) & 0xFFFFFFFF
    h = (h ^ (h >> 13)) * 1274126177 & 0xFFFFFFFF
    t = (x * 97 + y * 131 + seed * 17 + ((h >> 16) & 0x3FFF)) & 0xFFFF
    return low + (high - low) * t // 65535


def crc(image):
    return zlib.crc32(np.ascontiguousarray(np.asarray(image, dtype=np.uint8)).tobytes())


def crop(image, side):
    width, height = image.size
    left, top = int(round((width - side) / 2.0)), int(round((height - side) / 2.0))
    return image.crop((left, top, left + side, top + side))


def grey(array):
    """Min-max stretch in double, truncated, then mode L."""
    array = array.astype(float)
    array -= array.min()
    if array.max() > 0:
        array /= array.max()
    array *= 255
    return Image.fromarray(array.astype(np.uint8)).convert("L")


def square(kind, width, height, seed, low, high):
    channels = [sample(width, height, seed + c, low, high) for c in range(3 if kind in (3, 48) else 1)]
    array = np.stack(channels, axis=-1) if len(channels) == 3 else channels[0]
    image = grey(array)
    if width <= height:
        size = (512, int(512 * height / width))
    else:
        size = (int(512 * width / height), 512)
    resized = image if min(width, height) == 512 else image.resize(size, Image.BILINEAR)
    sums = [crc(image), crc(resized)] + [crc(crop(resized, side)) for side in (512, 488, 448)]
    head = f"square {kind} {width} {height} {seed} {low} {high} {size[0]} {size[1]} "
    return head + " ".join("%08x" % s for s in sums)


lines = []
for seed, (width, height, out_width, out_height) in enumerate(PAIRS):
    image = Image.fromarray(sample(width, height, seed, 0, 255).astype(np.uint8))
    out = image.resize((out_width, out_height), Image.BILINEAR)
    lines.append(f"resize {width} {height} {seed} {out_width} {out_height} {crc(out):08x}")
for seed, (width, height) in enumerate(SIZES):
    lines.append(square(1, width, height, seed, 0, 255))
for seed, (kind, width, height, low, high) in enumerate([
        (1, 601, 797, 13, 201), (1, 797, 601, 100, 103), (1, 520, 530, 7, 7), (3, 601, 523, 0, 255), (3, 515, 700, 40, 97),
        (16, 601, 797, 0, 65535), (16, 523, 541, 300, 4395), (16, 530, 520, 1000, 1002), (48, 523, 541, 17, 60000)]):
    lines.append(square(kind, width, height, 100 + seed, low, high))
(GOLDEN / "pillow_resize.txt").write_text("\n".join(lines) + "\n")
print(len(lines), "lines")
