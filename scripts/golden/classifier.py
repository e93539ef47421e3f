"""Golden training steps of the findings classifier: hi-ml's encoder, transformers' AdamW.

    /tmp/golden/bin/python scripts/golden/classifier.py      (set-up: scripts/golden/reference.py)

The architecture of the paper with small widths (SMALL in reference.py), batch norms in training mode,
log class weights, AdamW of transformers 4.28.1 (eps 1e-6 outside the bias correction). Writes
tests/golden/classifier_f32.safetensors (f32: weights, statistics and gradients of every step, for steps
that each start from the reference) and classifier_f64.safetensors (double: losses, and where a
free-running training ends).

Why small: at the paper's sizes (two images of 488 pixels, these random weights) hi-ml's own gradients in f32 are
1 to 5 per cent off its gradients in double, so that no tolerance there would tell a bug from rounding.
"""
import numpy
import torch
import transformers
from safetensors.numpy import save_file

import reference
from reference import GOLDEN, SMALL

LR = 3e-3
BATCHES = (4, 6, 5, 4, 6, 5)


def step_inputs(step, dtype):
    batch, classes = BATCHES[step], SMALL["classes"]
    image = reference.images(f"step.{step}.image", batch, SMALL["size"]).to(dtype)
    return image, reference.targets(f"step.{step}.target", batch, classes).to(dtype)


def snapshot(model):
    return {k: v.detach().clone().numpy() for k, v in model.state_dict().items() if v.is_floating_point()}


def train(dtype):
    """States before the first and after each step, losses, gradients of each step, moments at the end."""
    model = reference.small_classifier().to(dtype).train()
    names = {p: name for name, p in model.named_parameters()}
    optimizer = transformers.AdamW(list(names), lr=LR, no_deprecation_warning=True)
    assert optimizer.defaults["eps"] == 1e-6 and optimizer.defaults["weight_decay"] == 0.0
    criterion = torch.nn.BCEWithLogitsLoss(pos_weight=reference.positive_weights(SMALL["classes"]).to(dtype))
    states, losses, gradients = [snapshot(model)], [], []
    for step in range(len(BATCHES)):
        image, target = step_inputs(step, dtype)
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(image), target)
        loss.backward()
        losses.append(loss.item())
        gradients.append({name: p.grad.clone().numpy() for p, name in names.items() if p.grad is not None})
        optimizer.step()
        states.append(snapshot(model))
    moments = {names[p]: (s["exp_avg"].numpy(), s["exp_avg_sq"].numpy()) for p, s in optimizer.state.items()}
    return states, losses, gradients, moments


def kept(name):
    """Not stored: what training never touches."""
    return "vit_pooler" not in name


def main():
    torch.manual_seed(0)
    states, losses, gradients, moments = train(torch.float32)
    out = {"losses": numpy.array(losses), "lr": numpy.array([LR])}
    for name in filter(kept, states[0]):
        out[f"state.{name}"] = numpy.stack([s[name] for s in states])
    for name in gradients[0]:
        out[f"gradient.{name}"] = numpy.stack([g[name] for g in gradients])
        out[f"m.{name}"], out[f"v.{name}"] = moments[name]
    assert sorted(gradients[0]) == sorted(n for n in states[0] if kept(n) and "running" not in n)
    save_file(out, GOLDEN / "classifier_f32.safetensors")

    single = losses
    states, losses, gradients, _ = train(torch.float64)
    print("losses", losses, "f32 differs by", max(abs(a - b) for a, b in zip(losses, single)))
    out = {"losses": numpy.array(losses), "lr": numpy.array([LR])}
    for name in filter(kept, states[0]):
        assert name.endswith("missing_previous_emb") or numpy.abs(states[-1][name] - states[0][name]).max() > 0
        out[f"end.{name}"] = states[-1][name]
    save_file(out, GOLDEN / "classifier_f64.safetensors")
    for name in ("classifier_f32", "classifier_f64"):
        print(name, (GOLDEN / f"{name}.safetensors").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
