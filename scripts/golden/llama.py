"""Golden training steps of a small LLaMA with adapters, and of one that trains whole, from transformers and PEFT.

    /tmp/golden/bin/python scripts/golden/llama.py

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==1.13.1 'numpy<2' transformers==4.28.1 peft==0.3.0 safetensors

Writes tests/golden/llama_{lora,seven,full,tied}.safetensors. All is computed in double, so that the tests' tolerances
are the toolkit's own errors; the script demands that the reference in f32 agrees within 1e-5. Values, gradients and
updates are stored in f32 (a part in 10^7 is lost), losses in double.

Of the first step: logits behind supervised tokens, loss, the gradient of every tensor that trains. Of all STEPS,
free-running with AdamW: losses, and each tensor's update (end - start). With adapters a step is two micro-batches of
two, whose mean losses count alike (RaDialog's training); a model that trains whole takes the mean over all tokens.
"""
import numpy
import torch
from safetensors.numpy import save_file

import llama_reference as reference
from draws import GOLDEN

CASES = {"lora": dict(targets=("q_proj", "v_proj")), "seven": dict(targets=reference.SEVEN),
         "full": dict(targets=()), "tied": dict(targets=(), tied=True)}
# Adam takes out again what scales all of a tensor's gradient; with such an eps the size of gradients counts, and a
# wrong one shows in the updates.
STEPS, LR, EPS = 5, 1e-3, 1e-2


def numbers(x):
    return x.detach().double().numpy()


def named(model):
    return {reference.public_name(n): p for n, p in model.named_parameters() if p.requires_grad}


def step_of(model, step):
    """Logits behind supervised tokens, and the step's loss."""
    whole = not hasattr(model, "peft_config")
    batch = reference.samples(step, whole)
    size = len(batch) if whole else reference.MICRO
    micros = [batch[i:i + size] for i in range(0, len(batch), size)]
    runs = [reference.run(model, m) for m in micros]
    logits = torch.cat([reference.predictions(x, m) for (x, _), m in zip(runs, micros)])
    return logits, sum(loss for _, loss in runs) / len(runs)


def first(case, double):
    dtype = reference.in_double(double)
    model = reference.model_of(**case).to(dtype)
    logits, loss = step_of(model, 0)
    params = named(model)
    gradients = torch.autograd.grad(loss, list(params.values()))
    out = {"logits": numbers(logits), "loss": numbers(loss).reshape(1)}
    return out | {f"gradient.{n}": numbers(g) for n, g in zip(params, gradients)}


def agree(single, exact):
    """The worst error of the reference in f32 against itself in double."""
    assert single.keys() == exact.keys()
    errors = {n: numpy.linalg.norm(single[n] - x) / numpy.linalg.norm(x) for n, x in exact.items()}
    worst = max(errors, key=errors.get)
    print(f"f32 is off by {errors[worst]:.1e} ({worst})")
    assert all(error <= 1e-5 for error in errors.values())


def train(case):
    dtype = reference.in_double(True)
    model, start = (reference.model_of(**case).to(dtype) for _ in range(2))
    optimizer = torch.optim.AdamW(named(model).values(), lr=LR, eps=EPS, weight_decay=0.0)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss = step_of(model, step)[1]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    updates = {f"update.{n}": numbers(p) - numbers(q) for (n, p), q in zip(named(model).items(), named(start).values())}
    assert all(x.any() for x in updates.values())
    return updates | {"losses": numpy.array(losses)}


def main():
    torch.manual_seed(0)
    for name, case in CASES.items():
        exact = first(case, True)
        agree(first(case, False), exact)
        out = exact | train(case)
        reference.in_double(False)
        out["rotary"] = numbers(reference.rotary(reference.model_of(**case)))
        path = GOLDEN / f"llama_{name}.safetensors"
        save_file({n: numpy.ascontiguousarray(x if "loss" in n else x.astype(numpy.float32)) for n, x in out.items()},
                  path)
        print(name, out["losses"], path.stat().st_size, "bytes")
        assert path.stat().st_size < 1e6


if __name__ == "__main__":
    main()
