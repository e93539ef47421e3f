"""Holds `radialog export` against the programs that load what it writes.

    scripts/check_export.py RADIALOG WORK [--convert convert_hf_to_gguf.py] [--old-peft PYTHON]

RADIALOG is the built program, WORK a folder for files (made, and left there). Needs torch, transformers, peft,
safetensors, sentencepiece; for GGUF also gguf and llama_cpp (llama-cpp-python), and llama.cpp's own converter
of bases; PYTHON is one that has peft 0.3.0, the version that RaDialog's adapters are of. A tiny random LLaMA with grouped-query attention and scaled rotary positions is the base; all seven
layers are adapted, every B is random. Demanded:
  peft: logits beside the base equal those of the merged folder in transformers to 1e-5 of their norm (f32);
  peft --bin-names: torch.load(weights_only=True), by memory map too, gives a dict of the names and numbers of
  the run, in f32, f16 and bf16; Python's zipfile finds no fault; peft's logits beside the base are the same
  within 1e-6, those of peft 0.3.0 within 1e-5, with a rank-stabilised scale;
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


def make_base(folder, key_heads=2, scaling=2.0):
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=400, hidden_size=96, intermediate_size=160, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=key_heads, head_dim=16, max_position_embeddings=256, rms_norm_eps=1e-6,
        bos_token_id=1, eos_token_id=2, initializer_range=0.08, tie_word_embeddings=False,
        rope_scaling={"rope_type": "linear", "factor": scaling, "rope_theta": 10000.0} if scaling else None)
    LlamaForCausalLM(config).float().save_pretrained(folder)
    make_tokenizer(folder)


def make_run(folder, base, kind=torch.float32):
    """As `radialog train lora` leaves a checkpoint; there KIND is f32."""
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
    save_file({name: tensor.to(kind) for name, tensor in tensors.items()}, folder / "model.safetensors")
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


def check_bin_file(run, path):
    """Names, types and numbers of the run, by torch; the archive, by Python."""
    import zipfile
    with zipfile.ZipFile(path) as archive:
        good = demand(f"{path.parent.name}: zipfile finds no fault", archive.testzip() is None, len(archive.namelist()))
    wanted = load_file(run / "model.safetensors")
    for mapped in (False, True):
        found = torch.load(path, weights_only=True, mmap=mapped)
        same = [type(found) is dict and found.keys() == wanted.keys()]
        same += [t.dtype == found[n].dtype and t.shape == found[n].shape and torch.equal(t, found[n])
                 and found[n].is_contiguous() for n, t in wanted.items()]
        good &= demand(f"{path.parent.name}: torch.load's tensors{', mapped' if mapped else ''}", all(same), len(same) - 1)
    return good


OLD_PEFT = """
import sys, torch, peft
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter, ids, out = sys.argv[1:]
assert peft.__version__ == "0.3.0", peft.__version__
ids = torch.tensor([[int(i) for i in ids.split(",")]])
model = AutoModelForCausalLM.from_pretrained(base, torch_dtype=torch.float32).eval()
with torch.no_grad():
    alone = model(ids).logits[0]
    beside = PeftModel.from_pretrained(model, adapter).eval()(ids).logits[0]
torch.save([alone, beside], out)
"""


def check_old_peft(args, base, export, ids):
    """peft 0.3.0 beside the transformers of its day, which knows neither grouped queries nor scaled positions:
    a base without them, whose logits peft 0.3.0 and the merged folder must agree on."""
    old = args.work / "old-base"
    make_base(old, key_heads=6, scaling=None)
    run = args.work / "old-run"
    make_run(run, old)
    export("peft", args.work / "old-bin", "--bin-names", run=run)
    export("merged", args.work / "old-merged", "--base", old, run=run)
    config = json.loads((old / "config.json").read_text())
    config.update(torch_dtype="float32", rope_theta=10000.0)
    (old / "config.json").write_text(json.dumps(config))
    torch.save(load_file(old / "model.safetensors"), old / "pytorch_model.bin")  # as its transformers want it
    (old / "model.safetensors").unlink()
    out = args.work / "old-logits.pt"
    subprocess.run([args.old_peft, "-c", OLD_PEFT, old, args.work / "old-bin", ",".join(map(str, ids)), out], check=True)
    alone, beside = (t.double() for t in torch.load(out))
    merged = logits(AutoModelForCausalLM.from_pretrained(args.work / "old-merged", dtype=torch.float32), ids)
    difference = apart(beside, merged)
    good = demand("peft 0.3.0, adapter_model.bin beside the base, against the merged folder", difference <= 1e-5, difference)
    difference = apart(alone, merged)
    return good & demand("its base alone is far away", difference > 0.1, difference)


def check_bin(args, base, run, beside, ids, export):
    from peft import PeftModel
    good = True
    for kind in (torch.float32, torch.float16, torch.bfloat16):
        name = str(kind).removeprefix("torch.")
        if kind != torch.float32:
            run = args.work / f"run-{name}"
            make_run(run, base, kind)
        export("peft", args.work / f"bin-{name}", "--bin-names", run=run)
        good &= check_bin_file(run, args.work / f"bin-{name}" / "adapter_model.bin")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    again = logits(PeftModel.from_pretrained(model, args.work / "bin-float32"), ids)
    difference = apart(again, beside)
    good &= demand("peft, adapter_model.bin against adapter_model.safetensors", difference <= 1e-6, difference)
    return good & (check_old_peft(args, base, export, ids) if args.old_peft else True)


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
    parser.add_argument("--old-peft")
    args = parser.parse_args()
    if args.work.exists():
        sys.exit(f"{args.work}: is there already")
    base, run = args.work / "base", args.work / "run"
    args.work.mkdir(parents=True)
    make_base(base)
    make_run(run, base)

    def export(form, out, *more, run=run):
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
    beside = logits(beside, ids)
    difference = apart(beside, merged)
    good &= demand("peft beside the base, against the merged folder", difference <= 1e-5, difference)
    difference = apart(alone, merged)
    good &= demand("the base alone is far away", difference > 0.1, difference)
    good &= check_bin(args, base, run, beside, ids, export)
    if args.convert:
        good &= check_gguf(args, base, merged, alone, ids, export)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
