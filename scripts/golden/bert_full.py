"""CheXbert and the Q-Former at the paper's size, from transformers and LAVIS, for scripts/check_bert.sh.

    /tmp/golden/bin/python scripts/golden/bert_full.py FOLDER [chexbert] [qformer]   (set-up: bert_reference.py)

Writes FOLDER/{chexbert,qformer}/, each with (all numbers f32, whole numbers i32)

    weights.safetensors   under the names of the public checkpoints (CheXbert's with "module."; the Q-Former's with the
                          second names of its tied tensors, without a vision encoder)
    inputs.safetensors    text.lengths (B), text.ids (all tokens, text after text); chexbert: target (14, B);
                          qformer: image (B, 14, 14, 256), features of the trunk; negative.image, negative.text (B):
                          the sample whose image (text) is put before each text (image); visual_encoder.*: the
                          projector and what stands for a previous image
    expected.safetensors  chexbert: logits (B, 54), loss (1); qformer: image.hidden (B, 32, 768), image.features
                          (B, 32, 256), text.features (B, 256), match.logits (3 B, 2), similarity.* (B, B),
                          losses (itc, itm, lm); of both: gradient.NAME, of the loss (the sum of the three).

Weights and inputs are drawn, expectations computed in double; it prints how far the reference in f32 is off. Needs
some 8 GB of memory, 2 GB of disk, and minutes.
"""
import pathlib
import sys

import numpy
import torch
from safetensors.numpy import save_file

import bert
import bert_reference as reference
from bert_reference import FULL

BATCH = 2
CHEXBERT_TEXTS, QFORMER_TEXTS = (512, 87), (256, 45)  # as long as texts may be; as most are


def keep_apart(model):
    """Twelve layers of weights as drawn make all tokens of a text alike (common part of their hidden states 0.9999);
    what the last layers' queries and keys get of gradient is then lost in f32's rounding, the reference's own by 2e-3.
    With shorter residual branches and peaked attention tokens stay apart, and f32 within 1e-5."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("query.weight", "key.weight")):
                p *= 1.5
            if ".output" in name and ".dense." in name:
                p *= 0.3
            if name.endswith("bias"):
                p *= 0.3
    return model


def whole(x):
    return numpy.array(x, numpy.int32)


def text_inputs(texts):
    return {"text.lengths": whole([len(t) for t in texts]), "text.ids": whole(sum(texts, []))}


def weights_of(model):
    """Tied tensors under both names, as torch.save writes them."""
    return {n: x.detach().clone().numpy() for n, x in model.state_dict().items() if x.is_floating_point()}


def gradients_of(loss, model):
    return {f"gradient.{n}": x for n, x in bert.gradients_of(loss, model).items()}


# --- one run ---------------------------------------------------------------------------------------
def chexbert_inputs():
    texts = reference.texts_of(0, CHEXBERT_TEXTS, FULL["vocabulary"])
    target = reference.chexbert_targets(0, BATCH)
    return texts, target, text_inputs(texts) | {"target": whole(target)}


def chexbert_outputs(model, texts, target):
    logits = model(*reference.padded(texts, max(CHEXBERT_TEXTS)))
    loss = reference.chexbert_loss(logits, target)
    out = {"logits": bert.numbers(torch.cat(logits, 1)), "loss": bert.numbers(loss).reshape(1)}
    return out | gradients_of(loss, model)


def chexbert():
    texts, target, inputs = chexbert_inputs()
    model = keep_apart(reference.chexbert(FULL))
    weights = {f"module.{n}": x for n, x in weights_of(model).items()}
    single = chexbert_outputs(model, texts, target)
    return weights, inputs, single, chexbert_outputs(model.double(), texts, target)


def qformer_outputs(model, image, texts, negative):
    run = reference.run_qformer(model, image, texts, *negative)
    losses = torch.stack(list(bert.qformer_losses(run).values()))
    out = {"image.hidden": run["bert"][0].last_hidden_state, "image.features": run["vision_proj"],
           "text.features": run["text_proj"], "match.logits": run["entropy"][2], "losses": losses,
           "similarity.image_to_text": run["entropy"][0], "similarity.text_to_image": run["entropy"][1]}
    return {n: bert.numbers(x) for n, x in out.items()} | gradients_of(run["losses"].loss, model)


def qformer():
    texts = reference.texts_of(0, QFORMER_TEXTS, FULL["vocabulary"])
    image = reference.features(0, BATCH, FULL)
    negative = [reference.negatives(0, kind, BATCH) for kind in ("image", "text")]
    inputs = text_inputs(texts) | {"image": image.float().numpy(), "negative.image": whole(negative[0]),
                                   "negative.text": whole(negative[1])}
    model = keep_apart(reference.qformer(FULL, max(QFORMER_TEXTS)))
    weights = weights_of(model)
    inputs |= {n: weights.pop(n) for n in list(weights) if n.startswith("visual_encoder.")}
    single = qformer_outputs(model, image.float(), texts, negative)
    return weights, inputs, single, qformer_outputs(reference.double(model), image, texts, negative)


# --- files -----------------------------------------------------------------------------------------
def write(folder, weights, inputs, expected):
    folder.mkdir(parents=True, exist_ok=True)
    for name, parts in (("weights", weights), ("inputs", inputs), ("expected", expected)):
        out = {n: x.astype(numpy.int32 if x.dtype == numpy.int32 else numpy.float32, order="C") for n, x in parts.items()}
        save_file(out, folder / f"{name}.safetensors")


def main(folder, *kinds):
    for kind in kinds or ("chexbert", "qformer"):
        weights, inputs, single, expected = {"chexbert": chexbert, "qformer": qformer}[kind]()
        print(kind, {n: x.tolist() for n, x in expected.items() if n.startswith("loss")})
        bert.agree(single, expected)
        write(pathlib.Path(folder) / kind, weights, inputs, expected)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
