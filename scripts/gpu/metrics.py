#!/usr/bin/env python3
"""Judges what scripts/gpu_check.sh runs: loss curves, equal runs, rates and benchmarks' lines. Prints "note: ..." lines for
its table, "| ..." lines for the report, or a value; status 1 where a comparison fails. NaN fails."""
import json
import math
import os
import statistics
import sys

TIMES = ("samples_per_second", "tokens_per_second", "ms")

# How far losses may be from those of the CPU in f32: the first one, which comes from equal weights, by roundings alone;
# the whole curve by what roundings grow into (docs/gpu.md).
LIMITS = {"f32": (1e-5, 1e-3), "tf32": (1e-3, 1e-2), "fp16": (2e-3, 1e-2), "bf16": (1e-2, 2e-2)}


def steps_of(run):
    path = os.path.join(run, "metrics.jsonl")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def losses_of(run):
    return [step["loss"] for step in steps_of(run)]


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def last(run):
    print("%.4f" % losses_of(run)[-1])


def compare(run_a, run_b, precision, label):
    """Words on how far B's losses are from A's: the first one's distance, the curves' mean distance over the mean loss.
    And whether that is near enough."""
    a, b = losses_of(run_a), losses_of(run_b)
    print("%s: %s" % (label, " ".join("%.5f" % x for x in b)))
    if len(a) != len(b) or not a:
        return "%d steps against %d" % (len(b), len(a)), False
    first = abs(a[0] - b[0]) / abs(a[0])
    curve = sum(abs(x - y) for x, y in zip(a, b)) / sum(abs(x) for x in a)
    limits = LIMITS[precision.split("+")[0]]
    good = first <= limits[0] and curve <= limits[1] and math.isfinite(sum(b))
    return "%.0e %.0e%s" % (first, curve, "" if good else " DIFFERS (allowed %.0e %.0e)" % limits), good


def curves(stage, prefix, *precisions):
    """Of a stage on the device, against the CPU's."""
    found = [compare(prefix + "-cpu", "%s-%s" % (prefix, p), p, "%s %s" % (stage, p)) for p in precisions]
    print("note: %s: %s" % (stage, ", ".join("%s %s" % (p, words) for p, (words, _) in zip(precisions, found))))
    return 0 if all(good for _, good in found) else 1


def ranks(stage, one, two):
    words, good = compare(one, two, "f32", "%s, two ranks" % stage)
    print("note: %s: two ranks %s" % (stage, words))
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


def difference(run_a, run_b):
    """Where two runs differ in any number that is no time, or in the last checkpoint's bytes; nothing: they do not."""
    a, b = ([without_times(step) for step in steps_of(run)] for run in (run_a, run_b))
    if not a or len(a) != len(b):
        return "%d steps against %d" % (len(a), len(b))
    for x, y in zip(a, b):
        if x != y:
            return "DIFFERS from step %d on" % x["step"]
    return "" if newest(run_a) == newest(run_b) else "the checkpoint DIFFERS"


def equal(stage, prefix, *precisions):
    """Of a stage, steps that were recorded and steps that were launched."""
    found = [difference("%s-%s-true" % (prefix, p), "%s-%s-false" % (prefix, p)) for p in precisions]
    print("note: %s: %s" % (stage, ", ".join("%s %s" % (p, f or "equal") for p, f in zip(precisions, found))))
    return 1 if any(found) else 0


def answers(path_a, path_b, label):
    """The same texts, which are not all one: a model that says the same to all would hide much."""
    a, b = ([json.loads(line) for line in open(path, encoding="utf-8")] for path in (path_a, path_b))
    other = sum(x != y for x, y in zip(a, b)) + abs(len(a) - len(b))
    different = len({x["text"] for x in a})
    print("note: %s: %d of %d answers differ, %d different texts" % (label, other, len(a), different))
    return 0 if a and not other and different > 3 else 1


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


def stage_head():
    print("| bf16 | batch | a second | ms | min | max | TFLOP/s | of the product's | weights | device memory |")
    print("|---|---|---|---|---|---|---|---|---|---|")


def stage_row(path, ceiling_path, name):
    """Of training steps, which products bound, or of writing, which reading the weights does."""
    facts = load(path)
    unit = next(u for u in ("pairs", "tokens") if u + "_per_second" in facts)
    rate, work, share, weights, memory = facts[unit + "_per_second"], "", "", "", facts.get("device_memory_mb")
    if "gflops" in facts:
        peak = load(ceiling_path)["product_gflops"] if os.path.exists(ceiling_path) else facts["peak_gflops"]
        work, share = "%.1f" % (facts["gflops"] / 1e3), "%.0f %%" % (100 * facts["gflops"] / peak)
    if "gb_per_second" in facts:
        weights = "%.0f GB/s" % facts["gb_per_second"]
    print("| %s | %d | %.0f %s | %.2f | %.2f | %.2f | %s | %s | %s | %s |" % (
        name, facts["batch"], rate, unit, facts["ms_median"], facts["ms_min"], facts["ms_max"], work, share, weights,
        "%.1f GB" % (memory / 1e3) if memory else ""))
    print("note: %s %.0f %s/s" % (name, rate, unit))


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
        for way, own in sorted(ours.items()):
            if way.split("+")[0] == name:
                words.append("%s %.2f times PyTorch's %.0f images/s" % (
                    way, own["images_per_second"] / facts["images_per_second"], facts["images_per_second"]))
    print("; ".join(words) or "nothing to compare")


COMMANDS = {f.__name__: f for f in (last, curves, ranks, equal, answers, rate, share, ceiling, head, row, stage_head,
                                    stage_row, best, ratio)}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit("usage: metrics.py %s ..." % "|".join(COMMANDS))
    sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]) or 0)
