"""Golden answers of a small LLaMA with adapters and images, from transformers' generate with PEFT.

    /tmp/golden/bin/python scripts/golden/generate.py

Set-up: python3 -m venv /tmp/golden; /tmp/golden/bin/pip install torch==1.13.1 'numpy<2' transformers==4.28.1 peft==0.3.0 safetensors

Writes tests/golden/generate.safetensors: prompts and their greedy answers. As in RaDialog's evaluation (REFERENCE 7.2),
prompts go in batches of 12, padded on the left, and positions are counted from the mask. The image token, whose row of
the head is never trained, is not said. Weights, prompts and images are drawn by draws.py. In f32; the script demands
that no choice was closer than MARGIN, so that roundings cannot decide.
"""
import numpy
import peft
import torch
import transformers
from safetensors.numpy import save_file

from draws import GOLDEN, uniform, values

WORDS, BEGIN, WORD, QUERIES, PREFIX = 64, 1, 3, 4, 4
IMAGE, PAD = WORDS, 0
PROMPTS, BATCH, MOST, MARGIN = 20, 12, 20, 2e-4
WIDTH, IMAGE_WIDTH, POSITIONS = 32, 24, 64


class Images(torch.nn.Module):
    """Token embeddings with image vectors, in the order of image tokens, in the places of those."""

    def __init__(self, table, projection):
        super().__init__()
        self.table, self.projection, self.images = table, projection, None

    def forward(self, ids):
        x = self.table(ids.where(ids != IMAGE, torch.zeros_like(ids)))
        if (ids == IMAGE).any():
            x[ids == IMAGE] = self.projection(self.images)
        return x


def public_name(name):
    name = name.replace(".default", "")
    return name if "lora_" in name or "img_proj" in name else name.removeprefix("base_model.model.")


def model_of():
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=WORDS + 1, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=POSITIONS, rms_norm_eps=1e-6))
    model.model.img_proj_layer = torch.nn.Linear(IMAGE_WIDTH, WIDTH)
    model = peft.get_peft_model(model, peft.LoraConfig(
        r=4, lora_alpha=6.0, lora_dropout=0.0, target_modules=["q_proj", "v_proj"], bias="none", task_type="CAUSAL_LM"))
    for name, x in model.named_parameters():
        x.data.copy_(values(public_name(name), tuple(x.shape)))
    inner = model.base_model.model
    inner.set_input_embeddings(Images(inner.get_input_embeddings(), inner.model.img_proj_layer))
    return inner.eval()


def prompt(i):
    """All begin alike; two of three have an image; lengths differ."""
    def words(name, count):
        return (WORD + numpy.floor(uniform(name, count) * (WORDS - WORD))).astype(int).tolist()
    own = words(f"prompt.{i}", 2 + i * 7 % 23)
    return [BEGIN] + words("prefix", PREFIX - 1) + [IMAGE] * (QUERIES if i % 3 else 0) + own


def image(i):
    return torch.from_numpy(uniform(f"image.{i}", QUERIES * IMAGE_WIDTH).reshape(QUERIES, -1) * 2 - 1).float()


def answers(model, numbers, end):
    """New ids of the prompts NUMBERS, and the smallest margin of a choice."""
    prompts = [prompt(i) for i in numbers]
    longest = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (longest - len(p)) + p for p in prompts])
    model.get_input_embeddings().images = torch.cat([image(i) for i in numbers if i % 3])
    out = model.generate(input_ids=ids, attention_mask=(ids != PAD).long(), max_new_tokens=MOST, do_sample=False,
                         eos_token_id=end, pad_token_id=PAD, suppress_tokens=[IMAGE], output_scores=True,
                         return_dict_in_generate=True)
    new, margin = [], numpy.inf
    for b, row in enumerate(out.sequences[:, longest:].tolist()):
        count = row.index(end) if end in row else len(row)
        for scores in out.scores[:min(count + 1, len(row))]:
            best = scores[b].topk(2).values
            margin = min(margin, float(best[0] - best[1]))
        new.append(row[:count])
    return new, margin


def all_answers(model, end):
    found = [answers(model, range(i, min(i + BATCH, PROMPTS)), end) for i in range(0, PROMPTS, BATCH)]
    return sum((new for new, _ in found), []), min(margin for _, margin in found)


def main():
    torch.manual_seed(0)
    with torch.no_grad():
        model = model_of()
        free, _ = all_answers(model, WORDS + 1)  # no such token
        end = min(range(WORD, WORDS), key=lambda t: abs(2 * sum(t in a[1:] for a in free) - PROMPTS))
        new, margin = all_answers(model, end)
    ended = sum(len(a) < MOST for a in new)
    print(f"end {end}: {ended} of {PROMPTS} answers end; the closest choice was decided by {margin:.1e}")
    assert margin > MARGIN and PROMPTS / 5 < ended < PROMPTS
    assert len({tuple(a) for a in new}) > PROMPTS / 2
    table = numpy.full((PROMPTS, MOST), -1, numpy.int32)
    for i, a in enumerate(new):
        table[i, :len(a)] = a
    save_file({"answers": table.astype(numpy.float32), "end": numpy.array([end], numpy.float32)},
              GOLDEN / "generate.safetensors")


main()
