"""Holds `radialog export` against the programs that load what it writes.

    scripts/check_export.py RADIALOG WORK [--convert convert_hf_to_gguf.py]

RADIALOG is the built program, WORK a folder for files (made, and left there). Needs torch, transformers, peft,
safetensors, sentencepiece; for GGUF also gguf and llama_cpp (llama-cpp-python), and llama.cpp's own converter
of bases. A tiny random LLaMA with grouped-query attention and scaled rotary positions is the base; all seven
layers are adapted, every B is random. Demanded:
  peft: logits beside the base equal those of the merged folder in transformers to 1e-5 of their norm (f32);
  gguf: llama.cpp's logits equal them to 1e-2 (f32 and f16 adapters), and do not when the rows of q and k are
  put back into the order of the checkpoint;
  the base alone is far from all of them.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

RANK, ALPHA, IMAGE, TOKENS = 4, 10.0, 12, 48
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_tokenizer(folder):
    import sentencepiece
    text = folder / "text.txt"
    draw = torch.Generator().manual_seed(1)
    with text.open("w") as f:
        for _ in range(2000):
            lengths = torch.randint(1, 9, (8,), generator=draw).tolist()
            words = ["".join(chr(97 + int(c)) for c in torch.randint(0, 26, (n,), generator=draw))
                     for n in lengths]
            f.write(" ".join(words) + "\n")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "tokenizer"), vocab_size=400, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=2)
    (folder / "tokenizer.vocab").unlink()
    text.unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "add_bos_token": True, "add_eos_token": False, "legacy": True}))


def make_base(folder):
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=400, hidden_size=96, intermediate_size=160, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=256, rms_norm_eps=1e-6,
        bos_token_id=1, eos_token_id=2, initializer_range=0.08, tie_word_embeddings=False,
        rope_scaling={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0})
    LlamaForCausalLM(config).float().save_pretrained(folder)
    make_tokenizer(folder)


def make_run(folder, base):
    """As `radialog train lora` leaves a checkpoint."""
    folder.mkdir()
    torch.manual_seed(4)
    tensors = {}
    for name, weight in load_file(base / "model.safetensors").items():
        module = name.removesuffix(".weight")
        if module.rsplit(".", 1)[-1] in TARGETS:
            rows, columns = weight.shape
            tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(RANK, columns) * columns ** -0.5
            tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(rows, RANK) * 0.15
    tensors["base_model.model.model.img_proj_layer.weight"] = torch.randn(96, IMAGE)
    tensors["base_model.model.model.img_proj_layer.bias"] = torch.randn(96)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({
        "model": {"image_width": IMAGE},
        "lora": {"rank": RANK, "alpha": ALPHA, "dropout": 0.05, "rank_stabilised": True, "targets": TARGETS}}))


def apart(a, b):
    return float((a - b).norm() / b.norm())


def demand(what, ok, number):
    print(f"{'ok  ' if ok else 'FAIL'} {what}: {number:.3g}")
    return bool(ok)


def logits(model, ids):
    with torch.no_grad():
        return model.eval()(torch.tensor([ids])).logits[0].double()


def put_back(source, target, heads, keys):
    """A copy whose rows of q and k stand as in the checkpoint: what an exporter without permutation writes."""
    import gguf
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(reader.fields["adapter.lora.alpha"].contents()))
    for t in reader.tensors:
        data = t.data.copy()
        for part, count in (("attn_q", heads), ("attn_k", keys)):
            if f"{part}.weight.lora_b" in t.name:
                data = data.reshape(count, data.shape[0] // count // 2, 2, -1).swapaxes(1, 2).reshape(data.shape)
        writer.add_tensor(t.name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_cpp_logits(base, adapter, ids):
    import llama_cpp
    model = llama_cpp.Llama(str(base), lora_path=adapter and str(adapter), n_ctx=128, n_batch=128, n_threads=2,
                            logits_all=True, verbose=False, type_k=0, type_v=0)  # f32 keys and values
    model.eval(ids)
    return torch.tensor(model.scores[:len(ids)].copy()).double()


def check_gguf(args, base, wanted, alone, ids, export):
    converted = args.work / "base.gguf"
    subprocess.run([sys.executable, args.convert, base, "--outtype", "f32", "--outfile", converted], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    difference = apart(llama_cpp_logits(converted, None, ids), alone)
    good = demand("llama.cpp, base alone, against transformers", difference <= 1e-2, difference)
    for kind in ("f32", "f16"):
        path = args.work / f"adapter-{kind}.gguf"
        export("gguf", path, "--base", base, "--type", kind)
        difference = apart(llama_cpp_logits(converted, path, ids), wanted)
        good &= demand(f"llama.cpp, adapter in {kind}", difference <= 1e-2, difference)
    wrong = args.work / "wrong.gguf"
    put_back(args.work / "adapter-f32.gguf", wrong, 6, 2)
    difference = apart(llama_cpp_logits(converted, wrong, ids), wanted)
    return good & demand("the same without the permutation is far away", difference > 5e-2, difference)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("radialog")
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--convert")
    args = parser.parse_args()
    if args.work.exists():
        sys.exit(f"{args.work}: is there already")
    base, run = args.work / "base", args.work / "run"
    args.work.mkdir(parents=True)
    make_base(base)
    make_run(run, base)

    def export(form, out, *more):
        subprocess.run([args.radialog, "export", run, "--format", form, "--out", out, "--verify", "--quiet", *more],
                       check=True)

    export("peft", args.work / "peft")
    export("merged", args.work / "merged", "--base", base, "--shard-mb", "1")
    ids = torch.randint(3, 400, (TOKENS,), generator=torch.Generator().manual_seed(5)).tolist()
    load = AutoModelForCausalLM.from_pretrained
    alone = logits(load(base, dtype=torch.float32), ids)
    merged = logits(load(args.work / "merged", dtype=torch.float32), ids)
    from peft import PeftModel
    beside = PeftModel.from_pretrained(load(base, dtype=torch.float32), args.work / "peft")
    loaded = sum(float(p.abs().sum()) > 0 for n, p in beside.named_parameters() if "lora_B" in n)
    good = demand("peft: adapters with a B", loaded == 3 * len(TARGETS), loaded)
    difference = apart(logits(beside, ids), merged)
    good &= demand("peft beside the base, against the merged folder", difference <= 1e-5, difference)
    difference = apart(alone, merged)
    good &= demand("the base alone is far away", difference > 0.1, difference)
    if args.convert:
        good &= check_gguf(args, base, merged, alone, ids, export)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
