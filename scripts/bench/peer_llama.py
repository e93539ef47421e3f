"""What the language models' peers share: transformers' LLaMA of the sizes in a config.json with PEFT's adapters and
RaDialog's image projection, all weights random, and conversations as train/bench_language.c draws them."""
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, LlamaConfig, LlamaForCausalLM

IMAGE_TOKENS, IMAGE_WIDTH = 32, 768
SHARED, PROMPT, PROMPT_MORE, ANSWER, ANSWER_MORE = 48, 150, 41, 20, 391


def lengths_of(count):
    """(prompt, answer) of each conversation."""
    seed, lengths = 191, []

    def draw(below):
        nonlocal seed
        seed = seed * 48271 % 2147483647
        return seed % below

    for _ in range(count):
        prompt = PROMPT + draw(PROMPT_MORE)
        lengths.append((prompt, ANSWER + min(draw(ANSWER_MORE) for _ in range(3))))
    return lengths


def conversations(count, vocabulary):
    """Ids (prompt and answer) of each; image tokens have the id VOCABULARY."""
    first = torch.randint(3, vocabulary, (SHARED,))
    texts = []
    for prompt, answer in lengths_of(count):
        ids = torch.randint(3, vocabulary, (prompt + answer,))
        ids[:SHARED], ids[0] = first, 1
        ids[SHARED:SHARED + IMAGE_TOKENS] = vocabulary
        texts.append(ids)
    return texts


SEGMENTS = []  # lengths of the texts in a packed row


def attend_segments(module, query, key, value, _mask, scaling=None, dropout=0.0, **_):
    """(1, H, T, D): each text looks at itself alone."""
    parts = [F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling)
             for q, k, v in zip(query.split(SEGMENTS, 2), key.split(SEGMENTS, 2), value.split(SEGMENTS, 2))]
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


AttentionInterface.register("segments", attend_segments)
AttentionMaskInterface.register("segments", lambda *_, **__: None)


class FrozenProduct(torch.autograd.Function):
    """x W^T by oneDNN, which PyTorch itself asks for bf16 alone: for f32 it has MKL, on AMD's processors slower."""

    @staticmethod
    def product(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(weight)
        return FrozenProduct.product(x, weight)

    @staticmethod
    def backward(ctx, dy):
        return FrozenProduct.product(dy.contiguous(), ctx.saved_tensors[0].t()), None


def use_onednn(model):
    """For all frozen linear layers."""
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and not module.weight.requires_grad:
            module.forward = lambda x, m=module: FrozenProduct.apply(x.contiguous(), m.weight)


def build(folder, attention, dtype=torch.float32, narrow_adapters=False):
    """The model with adapters, which train, and its image projection."""
    torch.manual_seed(1)
    config = LlamaConfig.from_pretrained(folder)
    words, config.vocab_size = config.vocab_size, config.vocab_size + 1
    config._attn_implementation = attention
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    base = LlamaForCausalLM(config)
    torch.set_default_dtype(before)
    base.requires_grad_(False)
    adapters = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["q_proj", "v_proj"], bias="none",
                          task_type="CAUSAL_LM")
    model = get_peft_model(base, adapters, autocast_adapter_dtype=not narrow_adapters)
    project = torch.nn.Linear(IMAGE_WIDTH, config.hidden_size, dtype=dtype if narrow_adapters else torch.float32)
    return model, project, words


def embed(model, project, ids, images):
    """Embeddings of IDS (any shape), with projected IMAGES (M, IMAGE_WIDTH) in the places of image tokens."""
    words = model.get_input_embeddings()
    places = ids >= words.num_embeddings - 1
    x = words(ids.masked_fill(places, 0))
    return x.masked_scatter(places.unsqueeze(-1), project(images).to(x.dtype))
