"""Peer of `radialog bench lora`: an optimizer step of a LLaMA's adapters with transformers and PEFT. As published:
micro-batches of two, padded to their longest (and a multiple of eight), logits of all positions. Otherwise texts are
packed behind each other or run one by one, and only what predicts an answer gets logits."""
import argparse

import torch
import peft
import transformers
from torch.nn import functional as F

import peer_llama
from peer_pace import pace
from peer_llama import IMAGE_TOKENS, IMAGE_WIDTH, build, conversations, embed, lengths_of, use_onednn

MICRO = 2


def padded(texts, lengths):
    """(ids, mask, labels) of a micro-batch."""
    longest = (max(len(t) for t in texts) + 7) // 8 * 8
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, (text, (prompt, _)) in enumerate(zip(texts, lengths)):
        ids[row, :len(text)], mask[row, :len(text)] = text, 1
        labels[row, prompt:len(text)] = text[prompt:]
    return ids, mask, labels


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="a folder with config.json")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rows", choices=["published", "single", "packed"], default="published")
    parser.add_argument("--precision", choices=["f32", "autocast", "bf16"], default="f32",
                        help="autocast: base in bf16, adapters in f32; bf16: all")
    parser.add_argument("--onednn", action="store_true", help="for the frozen layers' products")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()

    attention = {"published": "eager", "single": "sdpa", "packed": "segments"}[args.rows]
    dtype = torch.float32 if args.precision == "f32" else torch.bfloat16
    model, project, words = build(args.model, attention, dtype, args.precision == "bf16")
    model.train()
    trained = [p for m in (model, project) for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-4, weight_decay=0.0, fused=args.rows != "published")
    texts, lengths = conversations(args.batch, words), lengths_of(args.batch)
    images = (torch.rand(args.batch, IMAGE_TOKENS, IMAGE_WIDTH) * 2 - 1).to(project.weight.dtype)
    inner, head = model.base_model.model.model, model.base_model.model.lm_head
    if args.onednn:
        use_onednn(model)
    if args.compile:
        inner.compile()

    # A row's target where it predicts an answer, weighted as the mean of micro-batches' means.
    answers = [sum(a for _, a in lengths[i // MICRO * MICRO:i // MICRO * MICRO + MICRO]) for i in range(args.batch)]
    means = (args.batch + MICRO - 1) // MICRO
    weights = [torch.full((a,), 1 / (answers[i] * means)) for i, (_, a) in enumerate(lengths)]

    def published():
        for i in range(0, args.batch, MICRO):
            ids, mask, labels = padded(texts[i:i + MICRO], lengths[i:i + MICRO])
            x = embed(model, project, ids, images[i:i + MICRO].flatten(0, 1))
            (model(inputs_embeds=x, attention_mask=mask, labels=labels).loss / means).backward()

    def run(some):
        peer_llama.SEGMENTS[:] = [len(texts[i]) for i in some]
        ids = torch.cat([texts[i] for i in some])
        positions = torch.cat([torch.arange(len(texts[i])) for i in some])
        at, rows = 0, []
        for i in some:
            rows.append(torch.arange(at + lengths[i][0] - 1, at + len(texts[i]) - 1))
            at += len(texts[i])
        rows = torch.cat(rows)
        x = embed(model, project, ids, images[list(some)].flatten(0, 1)).unsqueeze(0)
        x = inner(inputs_embeds=x, position_ids=positions.unsqueeze(0), use_cache=False).last_hidden_state[0]
        losses = F.cross_entropy(head(x[rows]).float(), ids[rows + 1], reduction="none")
        (losses * torch.cat([weights[i] for i in some])).sum().backward()

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "autocast"):
            if args.rows == "published":
                published()
            elif args.rows == "packed":
                run(range(args.batch))
            else:
                for i in range(args.batch):
                    run([i])
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    pace(step, torch=torch.__version__, transformers=transformers.__version__, peft=peft.__version__,
         tokens=sum(len(t) for t in texts), parameters=sum(p.numel() for p in trained))


main()
