#!/usr/bin/env python3
"""Peer of `radialog bench classifier --device cuda`: PyTorch's training step of the same model, the ways that make it
fast tried one after the other. The step goes from a pool of bytes on the device to updated weights: normalising, batch
norm's statistics, loss with class weights, backward, fused AdamW.

    classifier_gpu.py --batches 64,256 --out FILE [--seconds N] [--device cpu]

Prints one line of a table for each way ("| ..."), and writes the best of each precision to FILE. What does not fit the
memory, does not compile or would not end within --seconds is said and passed over."""
import argparse
import json
import statistics
import sys
import time

import torch
from torch import nn

from peer_model import Classifier, images_from_bytes

# (name, precision, channels last, torch.compile's mode or None). The first is the reference's own way.
WAYS = [
    ("as published, fp16", "fp16", False, None),
    ("fp16", "fp16", True, None),
    ("bf16", "bf16", True, None),
    ("tf32", "tf32", True, None),
    ("fp16 compiled", "fp16", True, "default"),
    ("bf16 compiled", "bf16", True, "default"),
    ("fp16 max-autotune", "fp16", True, "max-autotune"),
    ("bf16 max-autotune", "bf16", True, "max-autotune"),
]
POOL = 4  # batches on the device that steps take in turn


class Step:
    """One way of training. In fp16 the loss is scaled; a compiled step is a CUDA graph in mode max-autotune."""

    def __init__(self, options, batch, precision, last, mode):
        device = options.device
        torch.manual_seed(1)
        self.type = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)
        self.device, self.last, self.turn = device, last, 0
        model = Classifier(options.size).to(device)
        if last:
            model = model.to(memory_format=torch.channels_last)
        model.train()
        fused = {"fused": True} if last else {"foreach": True}
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, eps=1e-6, weight_decay=0, **fused)
        self.scaler = torch.amp.GradScaler(device, enabled=precision == "fp16" and device == "cuda")
        self.criterion = nn.BCEWithLogitsLoss(pos_weight=torch.full((14,), 2.0, device=device))
        self.pixels = torch.randint(0, 256, (POOL, batch, options.size, options.size), dtype=torch.uint8, device=device)
        self.target = (torch.rand(POOL, batch, 14, device=device) < 0.25).float()
        self.model = model
        self.loss = torch.compile(self.forward, mode=mode) if mode else self.forward

    def forward(self, pixels, target):
        with torch.autocast(self.device, self.type, enabled=self.type is not None):
            logits = self.model(images_from_bytes(pixels, self.last))
        return self.criterion(logits.float(), target)

    def __call__(self):
        self.turn = (self.turn + 1) % POOL
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.pixels[self.turn], self.target[self.turn])
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def measure(step, options):
    """Milliseconds of each of the timed steps, by the wall clock around a step that is waited for."""
    times = []
    for i in range(options.warmup + options.rounds):
        synchronize(options.device)
        start = time.perf_counter()
        loss = step()
        synchronize(options.device)
        if i >= options.warmup:
            times.append(1e3 * (time.perf_counter() - start))
    if not torch.isfinite(loss).item():
        raise RuntimeError("the loss is %s" % loss.item())
    return times


def free(options):
    torch._dynamo.reset()
    if options.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def try_way(way, batch, options):
    name, precision, last, mode = way
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = last
    begun = time.perf_counter()
    step = Step(options, batch, precision, last, mode)
    step()
    synchronize(options.device)
    first = time.perf_counter() - begun
    times = measure(step, options)
    median = statistics.median(times)
    memory = torch.cuda.max_memory_reserved() * 1e-9 if options.device == "cuda" else 0
    rate = 1e3 * batch / median
    print("| PyTorch %s | %d | %.0f | %.2f | %.2f | %.2f | %.0f s | %.1f GB |" % (
        name, batch, rate, median, min(times), max(times), first, memory), flush=True)
    return {"way": name, "precision": precision, "batch": batch, "images_per_second": rate, "ms_median": median,
            "seconds_before_first_step": first}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", default="64,256")
    parser.add_argument("--size", type=int, default=488)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=130)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    best, slowest = {}, 0.0
    print("| PyTorch %s | batch | images/s | ms | min | max | before the first step | device memory |" % torch.__version__)
    print("|---|---|---|---|---|---|---|---|")
    for way in WAYS:
        for batch in map(int, options.batches.split(",")):
            if options.device == "cpu" and way[1] not in ("bf16", "tf32"):
                continue
            # Compiling takes as long as it likes: what is left must hold half as much again as the longest so far.
            begun = time.monotonic()
            if end - begun < 1.5 * slowest:
                print("note: no time for %s, batch %d" % (way[0], batch))
                continue
            try:
                facts = try_way(way, batch, options)
            except Exception as error:  # whatever a way fails with, the others go on
                print("note: %s, batch %d: %s" % (way[0], batch, str(error).strip().splitlines()[-1][:120]))
                facts = None
            free(options)
            slowest = max(slowest, time.monotonic() - begun)
            key = way[1]
            if facts and (key not in best or facts["images_per_second"] > best[key]["images_per_second"]):
                best[key] = facts
                with open(options.out, "w", encoding="utf-8") as file:
                    json.dump({"torch": torch.__version__, "best": best}, file, indent=1)
    return 0 if best else 1


if __name__ == "__main__":
    sys.exit(main())
