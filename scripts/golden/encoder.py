"""Golden embeddings of the BioViL-T encoder (hi-ml-multimodal), full size and small.

    /tmp/golden/bin/python scripts/golden/encoder.py      (set-up: scripts/golden/reference.py)

Writes tests/golden/encoder.safetensors. All is computed in double, so that the test's tolerance is the
toolkit's own error; the script demands that hi-ml in f32 agrees within 2e-5. Grids are stored channels
last. Of the full-size grids there are: each half's norm, every 97th element, and 32 sums over all
elements with random signs.
"""
import numpy
import torch
from safetensors.numpy import save_file

import reference
from reference import GOLDEN, SMALL, uniform

STRIDE, SUMS = 97, 32
# name, previous image, batch, size
FULL = [("one", False, 1, 448), ("two", True, 2, 448), ("classifier", False, 1, 488)]


def channels_last(x):
    return x.detach().permute(0, 2, 3, 1).contiguous().double().numpy()


def outputs(model, name, prior, batch, size, dtype):
    image = reference.images(f"{name}.image", batch, size).to(dtype)
    previous = reference.images(f"{name}.previous", batch, size).to(dtype) if prior else None
    out = model.biovil_encoder(image, previous)
    return {
        "patches": channels_last(out.patch_embeddings),
        "projected": channels_last(out.projected_patch_embeddings),
        "pooled": out.img_embedding.detach().double().numpy(),
        "global": out.projected_global_embedding.detach().double().numpy(),
        "logits": model.head(out.projected_patch_embeddings).detach().double().numpy() if name == "classifier" else None,
    }


def difference(a, b):
    return numpy.linalg.norm(a - b) / numpy.linalg.norm(b)


def digest(x):
    """What a grid is known by: norm of each half of the channels, a sample, sums with random signs."""
    half = x.shape[-1] // 2
    flat = x.reshape(-1)
    signs = [numpy.where(uniform(f"signs.{k}", flat.size) < 0.5, -1.0, 1.0) for k in range(SUMS)]
    halves = [x[..., :half].ravel(), x[..., half:].ravel()]
    return {
        "norms": numpy.array([numpy.linalg.norm(h) for h in halves]),
        "sample": flat[::STRIDE].copy(),
        "sums": numpy.array([s @ flat for s in signs]),
    }


def full(out):
    model = reference.full_classifier().eval()
    with torch.no_grad():
        single = {case[0]: outputs(model, *case, torch.float32) for case in FULL}
        model.double()
        for case in FULL:
            name = case[0]
            for part, x in outputs(model, *case, torch.float64).items():
                if x is None:
                    continue
                error = difference(single[name][part], x)
                print(f"full.{name}.{part} {x.shape}: hi-ml in f32 is off by {error:.1e}")
                assert error <= 2e-5
                if x.ndim == 4:
                    out.update({f"full.{name}.{part}.{k}": v for k, v in digest(x).items()})
                else:
                    out[f"full.{name}.{part}"] = x


def no_dropout(model):
    for m in model.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
        if hasattr(m, "drop_prob"):
            m.drop_prob = 0.0


def small(out):
    """Whole tensors, with and without a previous image; gradients of the classifier's loss with one."""
    for name, prior in (("alone", False), ("prior", True)):
        model = reference.small_classifier().double().eval()
        parts = outputs(model, name, prior, 3, SMALL["size"], torch.float64)
        out.update({f"small.{name}.{k}": v for k, v in parts.items() if v is not None})
        image = reference.images(f"{name}.image", 3, SMALL["size"])
        previous = reference.images(f"{name}.previous", 3, SMALL["size"]) if prior else None
        logits = model(image, previous)
        criterion = torch.nn.BCEWithLogitsLoss(pos_weight=reference.positive_weights(SMALL["classes"]).double())
        loss = criterion(logits, reference.targets(f"{name}.target", 3, SMALL["classes"]))
        loss.backward()
        out[f"small.{name}.loss"] = loss.detach().numpy().reshape(1)
        for key, p in model.named_parameters():
            if p.grad is not None:
                out[f"small.{name}.gradient.{key}"] = p.grad.numpy()
    # In training both images are one batch for the batch norms of the trunk.
    model = reference.small_classifier().double().train()
    no_dropout(model)
    parts = outputs(model, "joint", True, 3, SMALL["size"], torch.float64)
    out["small.joint.patches"] = parts["patches"]
    for key, x in model.state_dict().items():
        if "encoder.encoder" in key and key.endswith(("running_mean", "running_var")):
            out[f"small.joint.running.{key}"] = x.numpy()


def main():
    torch.manual_seed(0)
    out = {}
    small(out)
    full(out)
    save_file({k: numpy.ascontiguousarray(v) for k, v in out.items()}, GOLDEN / "encoder.safetensors")
    print((GOLDEN / "encoder.safetensors").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
