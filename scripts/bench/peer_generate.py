"""Peer of `radialog bench generate`: greedy decoding of a LLaMA with adapters in bf16, behind prompts that were read
before. As published: transformers' generate, adapters beside the matrices, prompts padded on the left. Otherwise
adapters are merged, and a loop of our own calls the model with a cache of fixed size, compiled if asked."""
import argparse
import time

import torch
import peft
import transformers

from peer_pace import cpu_seconds, pace
from peer_llama import IMAGE_TOKENS, IMAGE_WIDTH, build, conversations, embed, lengths_of


class Clock(transformers.LogitsProcessor):
    """Says when the prompts had been read, and that the image token is none to say."""

    def __init__(self, image):
        self.image, self.start = image, None

    def __call__(self, ids, scores):
        if self.start is None:
            self.start = time.perf_counter(), cpu_seconds()
        scores[:, self.image] = -torch.inf
        return scores


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="a folder with config.json")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="bf16")
    parser.add_argument("--way", choices=["generate", "dynamic", "static"], default="generate")
    parser.add_argument("--attention", choices=["eager", "sdpa"], default="sdpa")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()

    dtype = torch.float32 if args.precision == "f32" else torch.bfloat16
    model, project, words = build(args.model, args.attention, dtype, True)
    model.eval()
    if args.merge:
        model = model.merge_and_unload()
    model.requires_grad_(False)
    prompts = [t[:p] for t, (p, _) in zip(conversations(args.batch, words), lengths_of(args.batch))]
    longest = max(len(p) for p in prompts)
    ids, mask = torch.zeros(args.batch, longest, dtype=torch.long), torch.zeros(args.batch, longest, dtype=torch.long)
    for row, text in enumerate(prompts):
        ids[row, -len(text):], mask[row, -len(text):] = text, 1
    images = (torch.rand(args.batch * IMAGE_TOKENS, IMAGE_WIDTH) * 2 - 1).to(dtype)
    facts = {}

    def generate():
        """The seconds of its steps behind the first, which reads the prompts."""
        clock, begin = Clock(words), time.perf_counter()
        x = embed(model, project, ids, images)
        model.generate(inputs_embeds=x, attention_mask=mask, do_sample=False, max_new_tokens=args.tokens + 1,
                       min_new_tokens=args.tokens + 1, pad_token_id=0, eos_token_id=None,
                       logits_processor=transformers.LogitsProcessorList([clock]))
        facts["ms_prompts"] = 1e3 * (clock.start[0] - begin)
        return time.perf_counter() - clock.start[0], cpu_seconds() - clock.start[1]

    inner = torch.compile(model, dynamic=False) if args.compile else model

    def steps():
        begin = time.perf_counter()
        room = longest + args.tokens + 1
        static = args.way == "static"
        cache = transformers.StaticCache(config=model.config, max_cache_len=room) if static \
            else transformers.DynamicCache(config=model.config)
        seen = torch.zeros(args.batch, room, dtype=torch.long)
        seen[:, :longest], seen[:, longest:] = mask, 1
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        out = model(inputs_embeds=embed(model, project, ids, images), attention_mask=mask, position_ids=positions,
                    past_key_values=cache, use_cache=True, logits_to_keep=1)
        now, place = positions[:, -1:] + 1, longest
        logits = out.logits[:, -1]
        start, cpu = time.perf_counter(), cpu_seconds()
        facts["ms_prompts"] = 1e3 * (start - begin)
        for _ in range(args.tokens):
            logits[:, words] = -torch.inf
            said = logits.argmax(-1, keepdim=True)
            place += 1
            logits = inner(input_ids=said, attention_mask=seen if static else seen[:, :place], position_ids=now,
                           past_key_values=cache, use_cache=True).logits[:, -1]
            now = now + 1
        logits.argmax(-1)
        return time.perf_counter() - start, cpu_seconds() - cpu

    with torch.inference_mode():
        pace(generate if args.way == "generate" else steps, facts, torch=torch.__version__,
             transformers=transformers.__version__, peft=peft.__version__)


main()
