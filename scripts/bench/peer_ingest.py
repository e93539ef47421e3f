"""Peer of `radialog bench ingest`: image files to centre squares of 512, in memory (nothing is stored).

published: the reference's path, scikit-image's reader, the stretch in double, Pillow's resize.
tuned: the same bytes with Pillow alone, stretched through a table of 256 entries."""
import argparse
import os

import numpy
from PIL import Image

from peer_pace import pace

SIDE = 512


def stretch_published(path):
    from skimage import io
    v = io.imread(path).astype(float)
    v -= v.min()
    v /= v.max()
    v *= 255
    return Image.fromarray(v.astype(numpy.uint8)).convert("L")


def stretch_tuned(path):
    with Image.open(path) as image:
        image.load()
        low, high = image.getextrema()
        if (low, high) == (0, 255) or high == low:
            return image
        return image.point([max(0, min(255, 255 * (v - low) // (high - low))) for v in range(256)])


def square(image):
    w, h = image.size
    size = (SIDE, int(SIDE * h / w)) if w <= h else (int(SIDE * w / h), SIDE)
    image = image.resize(size, Image.BILINEAR)
    left, top = round((size[0] - SIDE) / 2), round((size[1] - SIDE) / 2)
    return image.crop((left, top, left + SIDE, top + SIDE))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--path", choices=["published", "tuned"], default="published")
    parser.add_argument("--save", help="writes the squares as an array of bytes and ends")
    args = parser.parse_args()
    files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(args.data) for name in names
                   if name.endswith((".jpg", ".jpeg", ".png")))
    stretch = stretch_published if args.path == "published" else stretch_tuned
    out = numpy.empty((len(files), SIDE, SIDE), numpy.uint8)

    def all_files():
        for i, path in enumerate(files):
            out[i] = numpy.asarray(square(stretch(path)))

    if args.save:
        all_files()
        numpy.save(args.save, out)
    else:
        pace(all_files, pillow=Image.__version__, images=len(files))


main()
