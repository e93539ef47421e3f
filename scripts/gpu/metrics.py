#!/usr/bin/env python3
"""Judges what scripts/gpu_check.sh runs: loss curves, equal runs, rates and benchmarks' lines. Prints "note: ..." lines for
its table, "| ..." lines for the report, or a value; status 1 where a comparison fails. NaN fails."""
import json
import math
import os
import statistics
import sys

TIMES = ("samples_per_second", "ms")


def steps_of(run):
    with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def losses_of(run):
    return [step["loss"] for step in steps_of(run)]


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def last(run):
    print("%.4f" % losses_of(run)[-1])


def compare(run_a, run_b, first_tolerance, curve_tolerance, label):
    """The first losses come from equal weights; the curves' distance is their mean one over the mean loss."""
    a, b = losses_of(run_a), losses_of(run_b)
    if len(a) != len(b) or not a:
        print("note: %s: %d steps against %d" % (label, len(a), len(b)))
        return 1
    first = abs(a[0] - b[0]) / abs(a[0])
    curve = sum(abs(x - y) for x, y in zip(a, b)) / sum(abs(x) for x in a)
    good = first <= float(first_tolerance) and curve <= float(curve_tolerance) and math.isfinite(sum(b))
    print("%s: %s" % (label, " ".join("%.5f" % x for x in b)))
    print("note: %s: first loss %.1e (allowed %s), curve %.1e (%s)%s" % (
        label, first, first_tolerance, curve, curve_tolerance, "" if good else " DIFFERS"))
    return 0 if good else 1


def without_times(step):
    return {key: value for key, value in step.items() if key not in TIMES}


def newest(run):
    """The bytes of the last checkpoint's weights and optimizer."""
    folder = os.path.join(run, "checkpoints")
    name = sorted(n for n in os.listdir(folder) if n.startswith("step-"))[-1]
    parts = []
    for part in ("model.safetensors", "optimizer.safetensors"):
        with open(os.path.join(folder, name, part), "rb") as file:
            parts.append(file.read())
    return name, parts


def equal(run_a, run_b, label):
    a, b = ([without_times(step) for step in steps_of(run)] for run in (run_a, run_b))
    differ = [x["step"] for x, y in zip(a, b) if x != y]
    same = a and len(a) == len(b) and not differ and newest(run_a) == newest(run_b)
    where = "step %d" % differ[0] if differ else "the checkpoint"
    print("note: %s: %s" % (label, "equal bit for bit" if same else "DIFFERS from %s on" % where))
    return 0 if same else 1


def median_rate(run, skip):
    return statistics.median(step["samples_per_second"] for step in steps_of(run)[int(skip):])


def rate(run, skip):
    print("%.0f" % median_rate(run, skip))


def share(run, skip, bench):
    print("%.0f %%" % (100 * median_rate(run, skip) / load(bench)["images_per_second"]))


def ceiling(path, label):
    facts = load(path)
    print("| copy, bytes read and written (%s) | %.0f GB/s |" % (label, facts["copy_gb_per_second"]))
    print("| matrix product of %d in %s | %.1f TFLOP/s |" % (facts["product_side"], label, facts["product_gflops"] / 1e3))
    print("note: %s %.1f TFLOP/s, copy %.0f GB/s" % (label, facts["product_gflops"] / 1e3, facts["copy_gb_per_second"]))


def head():
    print("| | batch | images/s | ms | min | max | TFLOP/s | of the product's | device memory |")
    print("|---|---|---|---|---|---|---|---|---|")


def row(path, ceiling_path, name):
    facts = load(path)
    peak = facts["peak_gflops"]
    if os.path.exists(ceiling_path):
        peak = load(ceiling_path)["product_gflops"]
    memory = facts.get("device_memory_mb")
    print("| %s | %d | %.0f | %.2f | %.2f | %.2f | %.1f | %.0f %% | %s |" % (
        name, facts["batch"], facts["images_per_second"], facts["ms_median"], facts["ms_min"], facts["ms_max"],
        facts["gflops"] / 1e3, 100 * facts["gflops"] / peak, "%.1f GB" % (memory / 1e3) if memory else ""))


def best_of(paths):
    """precision -> the fastest of our measurements."""
    best = {}
    for path in paths:
        name = os.path.basename(path).split("-")[1]
        facts = load(path)
        if name not in best or facts["images_per_second"] > best[name]["images_per_second"]:
            best[name] = facts
    return best


def best(*paths):
    print(", ".join("%s %.0f images/s (batch %d)" % (name, facts["images_per_second"], facts["batch"])
                    for name, facts in sorted(best_of(paths).items())))


def ratio(peer_path, *paths):
    """Ours over the peer's best, by precision, whatever the batch."""
    ours, words = best_of(paths), []
    for name, facts in sorted(load(peer_path)["best"].items()):
        if name in ours:
            words.append("%s %.2f times PyTorch's %.0f images/s" % (
                name, ours[name]["images_per_second"] / facts["images_per_second"], facts["images_per_second"]))
    print("; ".join(words) or "nothing to compare")


COMMANDS = {f.__name__: f for f in (last, compare, equal, rate, share, ceiling, head, row, best, ratio)}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit("usage: metrics.py %s ..." % "|".join(COMMANDS))
    sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]) or 0)
