"""Golden values of AdamW, clipping and schedules from the public reference packages.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install torch==2.0.1 transformers==4.28.1 'numpy<2'
    /tmp/golden/bin/pip download --no-deps salesforce-lavis==1.0.2 -d /tmp/golden
    /tmp/golden/bin/python scripts/golden/adamw.py /tmp/golden/salesforce_lavis-1.0.2-py3-none-any.whl

Writes tests/golden/{adamw,schedule}.txt: lines "name value value ...". LAVIS's optims.py is run from the
wheel alone, with a stand-in for its registry.
"""
import pathlib
import random
import sys
import types
import warnings
import zipfile

import torch
import transformers
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

warnings.filterwarnings("ignore")
GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
STEPS, A, B = 20, 23, 14  # updates; elements of the first and the second parameter
KEPT = (0, 1, 9, STEPS - 1)  # updates after which the parameters are written

# name, class, options, weight decay of the two parameters, lr factor of the second, norm to clip to
CASES = [
    ("torch", torch.optim.AdamW, dict(eps=1e-8), (0.05, 0.0), 1.0, None),
    ("torch_clip", torch.optim.AdamW, dict(eps=1e-8), (0.0, 0.0), 1.0, 1.0),
    ("torch_groups", torch.optim.AdamW, dict(eps=1e-6, betas=(0.8, 0.95)), (0.1, 0.3), 0.25, 2.5),
    ("transformers", transformers.AdamW, dict(eps=1e-6, no_deprecation_warning=True), (0.0, 0.0), 1.0, None),
    ("transformers_decay", transformers.AdamW, dict(eps=1e-3, no_deprecation_warning=True), (0.3, 0.01), 2.0, 0.7),
]


def line(name, values):
    return name + "".join(" %.17g" % v for v in values) + "\n"


def inputs():
    """float32 numbers; gradients of very different sizes, one step of zeros, one element always zero."""
    rng = random.Random(7)
    start = torch.tensor([rng.gauss(0, 1) for _ in range(A + B)])
    grads = torch.tensor([[rng.gauss(0, 1) * 10 ** rng.uniform(-6, 0) for _ in range(A + B)] for _ in range(STEPS)])
    grads *= torch.tensor([10 ** rng.uniform(-2, 0.5) for _ in range(STEPS)])[:, None]
    grads[4] = 0
    grads[:, 11] = 0
    rates = [1e-2 * min(1, s / 5) * (1 - s / 40) for s in range(STEPS)]
    return start, grads, rates


def run(case, dtype, start, grads, rates):
    _, make, options, decay, factor, clip = case
    p = [torch.nn.Parameter(x.to(dtype).clone()) for x in start.split([A, B])]
    groups = [dict(params=[p[0]], weight_decay=decay[0]), dict(params=[p[1]], weight_decay=decay[1])]
    optimizer = make(groups, lr=1.0, **options)
    norms, kept = [], []
    for s in range(STEPS):
        for x, g in zip(p, grads[s].to(dtype).split([A, B])):
            x.grad = g.clone()
        norm = torch.nn.utils.clip_grad_norm_(p, clip if clip else float("inf"))
        norms.append(norm.item())
        for group, f in zip(optimizer.param_groups, (1.0, factor)):
            group["lr"] = rates[s] * f
        optimizer.step()
        if s in KEPT:
            kept.append((s, torch.cat([x.detach() for x in p]).tolist()))
    state = [optimizer.state[x] for x in p]
    m = torch.cat([s["exp_avg"] for s in state]).tolist()
    v = torch.cat([s["exp_avg_sq"] for s in state]).tolist()
    return norms, kept, m, v


def write_adamw():
    start, grads, rates = inputs()
    text = line("steps", [STEPS]) + line("sizes", [A, B]) + line("start", start.tolist()) + line("lr", rates)
    for s in range(STEPS):
        text += line(f"grad.{s}", grads[s].tolist())
    for case in CASES:
        for suffix, dtype in (("f32", torch.float32), ("f64", torch.float64)):
            norms, kept, m, v = run(case, dtype, start, grads, rates)
            name = f"{case[0]}.{suffix}"
            text += line(f"{name}.norm", norms) + line(f"{name}.m", m) + line(f"{name}.v", v)
            for s, p in kept:
                text += line(f"{name}.param.{s}", p)
    (GOLDEN / "adamw.txt").write_text(text)


def huggingface(make, lr, steps, *args):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer, *args)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def lavis_module(wheel):
    registry = types.ModuleType("lavis.common.registry")
    registry.registry = types.SimpleNamespace(register_lr_scheduler=lambda name: lambda cls: cls)
    sys.modules["lavis.common.registry"] = registry
    module = types.ModuleType("optims")
    exec(zipfile.ZipFile(wheel).read("lavis/common/optims.py"), module.__dict__)
    return module


def lavis(module, epochs, steps_per_epoch, run_epochs, warmup, lr, warmup_lr, min_lr):
    optimizer = types.SimpleNamespace(param_groups=[{}])
    scheduler = module.LinearWarmupCosineLRScheduler(
        optimizer, max_epoch=epochs, min_lr=min_lr, init_lr=lr, warmup_steps=warmup, warmup_start_lr=warmup_lr)
    rates = []
    for epoch in range(run_epochs):
        for step in range(steps_per_epoch):
            scheduler.step(cur_epoch=epoch, cur_step=step)
            rates.append(optimizer.param_groups[0]["lr"])
    return rates


def write_schedule(wheel):
    """NAME.setting: lr, warm-up steps, total steps (or warm-up lr, least lr, steps per epoch, epochs)."""
    text = ""
    for name, warmup, total in (("100", 100, 260), ("0", 0, 7), ("all", 5, 5)):
        for kind, make in (("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)):
            text += line(f"{kind}.{name}.setting", [3e-4, warmup, total])
            text += line(f"{kind}.{name}", huggingface(make, 3e-4, total, warmup, total))
    module = lavis_module(wheel)
    for name, epochs, per_epoch, run_epochs, warmup in (("paper", 100, 60, 5, 40), ("short", 3, 8, 3, 20)):
        text += line(f"lavis.{name}.setting", [1e-4, warmup, 1e-6, 1e-5, per_epoch, epochs])
        text += line(f"lavis.{name}", lavis(module, epochs, per_epoch, run_epochs, warmup, 1e-4, 1e-6, 1e-5))
    (GOLDEN / "schedule.txt").write_text(text)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    write_adamw()
    write_schedule(sys.argv[1])
