"""Peer of `radialog bench loader`: random batches of crops from one memory-mapped array of bytes (N, 512, 512).

published: a Dataset and PyTorch's DataLoader with two workers, as the reference loads.
index, select, copy: whole batches in the process itself, by numpy's indexing, torch.index_select, or row by row of
each image into one batch that is used again, by two threads."""
import argparse
from concurrent.futures import ThreadPoolExecutor

import numpy
import torch

from peer_pace import pace


class Crops(torch.utils.data.Dataset):
    def __init__(self, cache, corner, size):
        self.cache, self.corner, self.size = cache, corner, size

    def __len__(self):
        return len(self.cache)

    def __getitem__(self, i):
        a, b = self.corner, self.corner + self.size
        return torch.from_numpy(self.cache[i, a:b, a:b].copy())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="the array, a .npy file")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=488)
    parser.add_argument("--images", type=int, default=4096, help="at least, in a round")
    parser.add_argument("--way", choices=["published", "index", "select", "copy"], default="published")
    args = parser.parse_args()

    cache = numpy.load(args.data, mmap_mode="c")
    whole = torch.from_numpy(cache)
    n, corner = len(cache), round((512 - args.size) / 2)
    a, b = corner, corner + args.size
    epochs = (args.images + n - 1) // n
    generator = torch.Generator().manual_seed(1)
    pool = ThreadPoolExecutor(2)
    kept = torch.empty(args.batch, args.size, args.size, dtype=torch.uint8)
    loader = torch.utils.data.DataLoader(Crops(cache, corner, args.size), args.batch, shuffle=True, num_workers=2,
                                         persistent_workers=True, generator=generator)

    def index(order):
        return torch.from_numpy(cache[order.numpy(), a:b, a:b])

    def select(order):
        return torch.index_select(whole, 0, order)[:, a:b, a:b].contiguous()

    def copy(order):
        def half(part):
            for i in range(part, len(order), 2):
                kept[i].copy_(whole[order[i], a:b, a:b])
        list(pool.map(half, range(2)))
        return kept[:len(order)]

    def one_round():
        for _ in range(epochs):
            if args.way == "published":
                batches = iter(loader)
            else:
                way = {"index": index, "select": select, "copy": copy}[args.way]
                batches = (way(order) for order in torch.randperm(n, generator=generator).split(args.batch))
            for batch in batches:
                assert batch.shape[1] == args.size

    pace(one_round, torch=torch.__version__, images=epochs * n)


main()
