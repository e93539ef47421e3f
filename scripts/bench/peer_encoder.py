"""Peer of `radialog bench encoder`: patch embeddings and their mean in PyTorch, from bytes to f32 in memory."""
import argparse

import torch

from peer_model import Encoder, images_from_bytes
from peer_pace import pace


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=448)
    parser.add_argument("--layout", choices=["nchw", "channels_last"], default="nchw")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--form", choices=["eager", "frozen", "cast", "compile"], default="eager",
                        help="frozen: traced, folded and fused; cast: weights in bf16 instead of autocast")
    args = parser.parse_args()

    torch.manual_seed(1)
    last = args.layout == "channels_last"
    model = Encoder().eval()
    if last:
        model = model.to(memory_format=torch.channels_last)
    pixels = torch.randint(0, 256, (args.batch, args.size, args.size), dtype=torch.uint8)
    narrow, cast = args.precision == "bf16", args.form == "cast"
    if cast and not narrow:
        parser.error("--form cast is for --precision bf16")
    if cast:
        model = model.to(torch.bfloat16)
    if args.form == "compile":
        model = torch.compile(model)
    with torch.inference_mode(args.form != "frozen"), torch.no_grad():
        if args.form == "frozen":
            with torch.autocast("cpu", torch.bfloat16, enabled=narrow, cache_enabled=False):
                traced = torch.jit.trace(model, images_from_bytes(pixels, last))
            model = torch.jit.freeze(traced)
            model(images_from_bytes(pixels, last))

        def embed():
            image = images_from_bytes(pixels, last)
            with torch.autocast("cpu", torch.bfloat16, enabled=narrow and not cast):
                patches, pooled = model(image.to(torch.bfloat16) if cast else image)
            return patches.float(), pooled.float()

        pace(embed, torch=torch.__version__, images=args.batch)


main()
