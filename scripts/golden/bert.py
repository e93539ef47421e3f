"""Golden calls and training steps of CheXbert and the Q-Former, small, from transformers and LAVIS.

    /tmp/golden/bin/python scripts/golden/bert.py      (set-up: scripts/golden/bert_reference.py)

Writes tests/golden/{chexbert,qformer,qformer_gradients}.safetensors. All is computed in double, so that the tests'
tolerances are the toolkit's own errors; the script demands that the reference in f32 agrees within 1e-5. Values,
gradients and updates are stored in f32 (a part in 10^7 is lost), losses in double.

Of the first step: outputs, the gradient of every tensor (of the Q-Former: of each of its three losses). Of all STEPS,
free-running with Adam (CheXbert) and AdamW (Q-Former): losses, and each tensor's update (end - start). A tensor
without an entry has no gradient, or zeros; key biases have one that is zero but for rounding, since a softmax does not
see what all its scores share.
"""
import numpy
import torch
from safetensors.numpy import save_file

import bert_reference as reference
from bert_reference import CHEXBERT, QFORMER
from draws import GOLDEN

# Adam takes out again what scales all of a tensor's gradient; with such an eps the size of gradients counts, and a
# wrong one shows in the updates.
STEPS, LR, DECAY, EPS = 5, 1e-3, 0.05, 1e-2
LONGEST = 12
TEXTS = ((7, 3, 12, 2), (5, 9, 4), (12, 2, 6, 8), (3, 10, 5, 7), (9, 4, 11, 6))  # lengths; 2: an empty text
LOSSES = ("itc", "itm", "lm")


def numbers(x):
    return x.detach().double().numpy()


def vanishes(name):
    return name.endswith("key.bias")


def gradients_of(loss, model):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, [p for _, p in named], retain_graph=True, allow_unused=True)
    return {n: numbers(g) for (n, _), g in zip(named, grads) if g is not None and g.any()}


def updates_of(model, start):
    return {n: numbers(p) - numbers(start[n]) for n, p in model.named_parameters()}


def trained_of(updates, names):
    """Those of NAMES, which have gradients; the others must not have changed."""
    for n, x in updates.items():
        assert vanishes(n) or x.any() == (n in names), n
    return {f"update.{n}": x for n, x in updates.items() if n in names}


def agree(single, exact):
    """The worst error of the reference in f32 against itself in double."""
    assert single.keys() == exact.keys()
    errors = {n: numpy.linalg.norm(single[n] - x) / numpy.linalg.norm(x) for n, x in exact.items() if not vanishes(n)}
    worst = max(errors, key=errors.get)
    print(f"f32 is off by {errors[worst]:.1e} ({worst})")
    assert all(error <= 1e-5 for error in errors.values())
    for n, x in exact.items():
        assert numpy.abs(x).max() <= 1e-15 if vanishes(n) else numpy.abs(x).max() > 1e-6, n


def save(name, parts):
    path = GOLDEN / f"{name}.safetensors"
    out = {n: numpy.ascontiguousarray(x if "loss" in n else x.astype(numpy.float32)) for n, x in parts.items()}
    save_file(out, path)
    print(name, path.stat().st_size, "bytes")
    assert path.stat().st_size < 1e6


# --- CheXbert --------------------------------------------------------------------------------------
def chexbert_step(model, step):
    texts = reference.texts_of(step, TEXTS[step], CHEXBERT["vocabulary"])
    logits = model(*reference.padded(texts, max(TEXTS[step])))
    return logits, reference.chexbert_loss(logits, reference.chexbert_targets(step, len(texts)))


def chexbert_first(dtype):
    model = reference.chexbert(CHEXBERT).to(dtype).train()
    logits, loss = chexbert_step(model, 0)
    out = {"logits": numbers(torch.cat(logits, 1)), "loss": numbers(loss).reshape(1)}
    return out | {f"gradient.{n}": g for n, g in gradients_of(loss, model).items()}


def chexbert():
    out = chexbert_first(torch.float64)
    agree(chexbert_first(torch.float32), out)
    model, start = (reference.chexbert(CHEXBERT).double().train() for _ in range(2))
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=LR, eps=EPS), []
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss = chexbert_step(model, step)[1]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print("CheXbert's losses", losses)
    updates = updates_of(model, dict(start.named_parameters()))
    trained = trained_of(updates, {n.split(".", 1)[1] for n in out if n.startswith("gradient.")})
    save("chexbert", out | trained | {"losses": numpy.array(losses)})


# --- Q-Former --------------------------------------------------------------------------------------
def qformer_step(model, step, dtype):
    batch = len(TEXTS[step])
    return reference.run_qformer(model, reference.features(step, batch, QFORMER).to(dtype),
                                 reference.texts_of(step, TEXTS[step], QFORMER["vocabulary"]),
                                 reference.negatives(step, "image", batch), reference.negatives(step, "text", batch))


def qformer_losses(run):
    return {kind: getattr(run["losses"], f"loss_{kind}") for kind in LOSSES}


def calls(run, lengths):
    """What calls give, in the order of packed rows: keys and values (B, queries, heads, width / heads)."""
    image, text = run["bert"][:2]
    out = {"image.tokens": run["tokens"], "image.hidden": image.last_hidden_state,
           "image.features": run["vision_proj"], "text.hidden": reference.packed(text.last_hidden_state, lengths),
           "text.features": run["text_proj"], "match.logits": run["entropy"][2]}
    for i, (key, value) in enumerate(image.past_key_values):
        out[f"image.key.{i}"], out[f"image.value.{i}"] = key.permute(0, 2, 1, 3), value.permute(0, 2, 1, 3)
    out["similarity.image_to_text"], out["similarity.text_to_image"] = run["entropy"][:2]
    return {n: numbers(x) for n, x in out.items()}


def qformer_model(dtype):
    model = reference.qformer(QFORMER, LONGEST)
    return reference.double(model) if dtype == torch.float64 else model


def qformer_first(dtype):
    model = qformer_model(dtype)
    run = qformer_step(model, 0, dtype)
    gradients = {}
    for kind, loss in qformer_losses(run).items():
        gradients.update({f"{kind}.{n}": g for n, g in gradients_of(loss, model).items()})
    for n, g in gradients_of(run["losses"].loss, model).items():
        parts = sum(gradients.get(f"{kind}.{n}", 0) for kind in LOSSES)
        assert numpy.abs(parts - g).max() <= (1e-13 if dtype == torch.float64 else 1e-4)
    return calls(run, TEXTS[0]), gradients


def qformer():
    out, gradients = qformer_first(torch.float64)
    single, single_gradients = qformer_first(torch.float32)
    agree(single, out)
    agree(single_gradients, gradients)
    save("qformer_gradients", gradients)
    model, start, losses = qformer_model(torch.float64), qformer_model(torch.float64), []
    optimizer = reference.optimizer_of(model, LR, DECAY)
    for group in optimizer.param_groups:
        group["eps"] = EPS
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        run = qformer_step(model, step, torch.float64)
        run["losses"].loss.backward()
        optimizer.step()
        losses.append([x.item() for x in qformer_losses(run).values()])
    print("the Q-Former's losses", losses)
    updates = updates_of(model, dict(start.named_parameters()))
    trained = trained_of(updates, {n.split(".", 1)[1] for n in gradients})
    save("qformer", out | trained | {"losses": numpy.array(losses)})


def main():
    torch.manual_seed(0)
    chexbert()
    qformer()


if __name__ == "__main__":
    main()
