"""The reference language model for llama.py beside this file: transformers' LlamaForCausalLM with PEFT's adapters.

Image vectors go through a projection that is the model's own and take the places of image tokens, as RaDialog's
model has it (REFERENCE 5.3). Weights and inputs are drawn by draws.py. Set-up: llama.py.
"""
import numpy
import peft
import torch
import transformers
from transformers.models.llama import modeling_llama

from draws import uniform, values

BEGIN, END, WORD = 1, 2, 3  # WORD is the first id of a word
WORDS, PREFIX, QUERIES = 64, 4, 4
IMAGE = WORDS  # the image token, behind the vocabulary

# As in tests/models/helper_llama.c.
SMALL = dict(width=32, layers=3, heads=4, inner=48, positions=32, image_width=24, rank=4, alpha=6.0)
SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LENGTHS = ((17, 16, 21, 12), (22, 19, 13, 16), (14, 18, 20, 11), (15, 17, 16, 20), (19, 20, 14, 13))
MICRO = 2  # samples of a micro-batch


class Doubling:
    """In the place of torch in transformers' module: what it does in f32 on purpose (norms, softmax) is in f64."""
    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def in_double(double):
    """All that follows is computed in double, or not."""
    modeling_llama.torch = Doubling() if double else torch
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    return torch.float64 if double else torch.float32


# --- samples ---------------------------------------------------------------------------------------
def words(name, count):
    return (WORD + numpy.floor(uniform(name, count) * (WORDS - WORD))).astype(int)


def sample(step, b, everything):
    """Ids, supervised spans and image vectors of one conversation. The last of a batch has no image, the second has
    a second answer. EVERYTHING: a text without images, all of which is supervised."""
    count = LENGTHS[step][b]
    ids = words(f"step.{step}.sample.{b}", count)
    ids[:PREFIX] = words("prefix", PREFIX)
    ids[0], ids[-1] = BEGIN, END
    if everything:
        return dict(ids=ids, spans=[(0, count)], images=None)
    spans, images = [(count - 2 - count % 4, count)], None
    if b == 1:
        spans.insert(0, (9, 11))
    if b < 3:
        ids[PREFIX:PREFIX + QUERIES] = IMAGE
        shape = (QUERIES, SMALL["image_width"])
        images = torch.from_numpy(uniform(f"step.{step}.image.{b}", shape[0] * shape[1]).reshape(shape) * 2 - 1)
    return dict(ids=ids, spans=spans, images=images)


def samples(step, everything):
    return [sample(step, b, everything) for b in range(len(LENGTHS[step]))]


def padded(batch):
    """Right padding to a multiple of 8, as RaDialog's collator: ids, mask, labels."""
    length = -(-max(len(s["ids"]) for s in batch) // 8) * 8
    ids, mask = (torch.zeros(len(batch), length, dtype=torch.long) for _ in range(2))
    labels = torch.full((len(batch), length), -100)
    for b, s in enumerate(batch):
        n = len(s["ids"])
        ids[b, :n], mask[b, :n] = torch.from_numpy(s["ids"]), 1
        for first, end in s["spans"]:
            labels[b, first:end] = ids[b, first:end]
    return ids, mask, labels


# --- models ----------------------------------------------------------------------------------------
def public_name(name):
    """A parameter's name in files: adapters and the projection behind PEFT's prefix, the base without it."""
    name = name.replace(".default", "").replace(".base_layer", "")
    return name if "lora_" in name or "img_proj" in name else name.removeprefix("base_model.model.")


def fill(model):
    for name, x in model.named_parameters():
        x.data.copy_(values(public_name(name), tuple(x.shape)))
    return model


def model_of(targets, tied=False):
    """TARGETS: layers with adapters; none: a model without adapters and projection, which trains whole."""
    c = SMALL
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=WORDS + 1, hidden_size=c["width"], intermediate_size=c["inner"], num_hidden_layers=c["layers"],
        num_attention_heads=c["heads"], max_position_embeddings=c["positions"], rms_norm_eps=1e-6,
        tie_word_embeddings=tied, use_cache=False))
    if targets:
        model.model.img_proj_layer = torch.nn.Linear(c["image_width"], c["width"])
        model = peft.get_peft_model(model, peft.LoraConfig(
            r=c["rank"], lora_alpha=c["alpha"], lora_dropout=0.0, target_modules=list(targets), bias="none",
            task_type="CAUSAL_LM"))
        projection(model).requires_grad_(True)
    return fill(model).train()


def projection(model):
    return model.base_model.model.model.img_proj_layer


def run(model, batch):
    """Logits (B, T, V) and the micro-batch's loss."""
    ids, mask, labels = padded(batch)
    x = model.get_input_embeddings()(ids.where(ids != IMAGE, torch.zeros_like(ids)))
    for b, s in enumerate(batch):
        if s["images"] is not None:
            rows = projection(model)(s["images"].to(x.dtype))
            x = torch.cat([x[:b], torch.cat([x[b, :PREFIX], rows, x[b, PREFIX + QUERIES:]])[None], x[b + 1:]])
    out = model(inputs_embeds=x, attention_mask=mask, labels=labels)
    return out.logits, out.loss


def predictions(logits, batch):
    """The rows of logits behind which a token is supervised, sample after sample: (U, V)."""
    return torch.cat([logits[b, max(first, 1) - 1:end - 1]
                      for b, s in enumerate(batch) for first, end in s["spans"]])


def rotary(model):
    """(positions, head width / 2, 2): cos and sin"""
    r = (model.base_model.model if hasattr(model, "base_model") and hasattr(model, "peft_config") else model)
    r = r.model.layers[0].self_attn.rotary_emb
    half = r.cos_cached.shape[-1] // 2
    return torch.stack([r.cos_cached[0, 0, :, :half], r.sin_cached[0, 0, :, :half]], -1)
