"""Peer of `radialog bench aligner`: a training step of RaDialog's Q-Former in PyTorch, from the frozen encoder's
features and token ids to updated weights; --encoder: from the images, as the reference does in every epoch."""
import argparse

import torch

from peer_model import Encoder, images_from_bytes
from peer_pace import pace
from peer_qformer import DEC, Aligner


def lengths_of(batch, most=256, least=20):
    """As train/bench_aligner.c draws them."""
    seed, lengths = 84, []
    for _ in range(batch):
        drawn = []
        for _ in range(4):
            seed = seed * 48271 % 2147483647
            drawn.append(least + seed % (most - least + 1))
        lengths.append(sorted(drawn)[1])
    return lengths


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rows", choices=["full", "padded", "packed"], default="full",
                        help="of text: padded to 256 as published, to the batch's longest, or not at all")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--optimizer", choices=["plain", "foreach", "fused"], default="plain")
    parser.add_argument("--encoder", type=int, metavar="SIZE", default=0,
                        help="the frozen encoder over images of SIZE pixels in every step, not its features given")
    args = parser.parse_args()

    torch.manual_seed(1)
    model = Aligner(tuned=args.rows != "full")
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    kind = {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[args.optimizer]
    groups = [{"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.05},
              {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, eps=1e-8, **kind)

    lengths = lengths_of(args.batch)
    side = args.encoder // 32 if args.encoder else 14
    features = torch.rand(args.batch, side * side, 512) * 2 - 1
    pixels = torch.randint(0, 256, (args.batch, args.encoder, args.encoder), dtype=torch.uint8)
    encoder = Encoder().eval() if args.encoder else None

    def features_of_step():
        if not encoder:
            return features
        with torch.no_grad():
            patches = encoder(images_from_bytes(pixels, False))[0]
        return patches.flatten(2).transpose(1, 2).float()

    ids = torch.zeros(args.batch, 256 if args.rows == "full" else max(lengths), dtype=torch.long)
    for row, length in zip(ids, lengths):
        row[:length] = torch.randint(1000, DEC, (length,))
        row[0], row[length - 1] = 101, 102

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            loss = model(features_of_step(), ids, lengths, args.rows == "packed")
        loss.backward()
        optimizer.step()

    pace(step, torch=torch.__version__, tokens=sum(lengths), parameters=sum(p.numel() for p in trained))


main()
