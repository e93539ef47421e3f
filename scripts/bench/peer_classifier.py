"""Peer of `radialog bench classifier`: a training step in PyTorch, from bytes to updated weights."""
import argparse

import torch
from torch import nn

from peer_model import Classifier, images_from_bytes
from peer_pace import pace


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=488)
    parser.add_argument("--layout", choices=["nchw", "channels_last"], default="nchw")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--optimizer", choices=["plain", "foreach", "fused"], default="plain")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()

    torch.manual_seed(1)
    last = args.layout == "channels_last"
    model = Classifier(args.size)
    if last:
        model = model.to(memory_format=torch.channels_last)
    model.train()
    kind = {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[args.optimizer]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, eps=1e-6, weight_decay=0, **kind)
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.full((14,), 2.0))
    pixels = torch.randint(0, 256, (args.batch, args.size, args.size), dtype=torch.uint8)
    target = (torch.rand(args.batch, 14) < 0.25).float()
    forward = torch.compile(model) if args.compile else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            loss = criterion(forward(images_from_bytes(pixels, last)), target)
        loss.backward()
        optimizer.step()

    pace(step, torch=torch.__version__, images=args.batch)


main()
