"""Golden folders of language models and adapters as Hugging Face's libraries write them, old and current, tiny.

    /tmp/golden/bin/python scripts/golden/llama_files.py       (set-up: llama.py)
    /tmp/current/bin/python scripts/golden/llama_files.py

    python3 -m venv /tmp/current
    /tmp/current/bin/pip install torch transformers==5.24.0 peft==0.21.2

Under tests/golden/llama: with transformers 4, base (config.json, pytorch_model.bin in f16, without a row for the image
token) and adapter_old (adapter_model.bin beside adapter_config.json, as RaDialog's training left it); with transformers
5, adapter_current (safetensors, the projection as a module to save), and models with what LLaMA 1 has not: grouped
(keys shared by heads, heads of a width of their own, biases in attention), linear (positions scaled, head tied), llama3
(positions scaled by wave, biases in the feed-forward part, weights in several files). Beside each: logits.safetensors.
"""
import shutil

import numpy
import peft
import torch
import transformers
from safetensors.numpy import save_file

import llama_reference as reference
from draws import GOLDEN, values

FOLDER = GOLDEN / "llama"
TARGETS = ("q_proj", "v_proj")
LENGTH, VOCABULARY = 20, 40
TINY = dict(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=96, rms_norm_eps=1e-5)
MODELS = {
    "grouped": dict(num_key_value_heads=2, head_dim=8, attention_bias=True),
    "linear": dict(rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
                   tie_word_embeddings=True),
    "llama3": dict(head_dim=8, mlp_bias=True, num_key_value_heads=1, rope_parameters={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64, "rope_theta": 100.0}),
}


def folder(name):
    path = FOLDER / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def finish(path, logits):
    logits = logits.detach().double().numpy().astype(numpy.float32)
    save_file({"logits": numpy.ascontiguousarray(logits)}, path / "logits.safetensors")
    for extra in ("README.md", "generation_config.json"):
        (path / extra).unlink(missing_ok=True)
    sizes = {f.name: f.stat().st_size for f in path.iterdir()}
    print(path.name, sizes)
    assert sum(sizes.values()) < 300e3


# --- adapters --------------------------------------------------------------------------------------
def halved_base(model):
    """The base as f16 holds it; the image token's rows stay as they are drawn."""
    for name, x in model.named_parameters():
        if "lora_" not in name and "img_proj" not in name:
            rows = slice(reference.WORDS) if "embed_tokens" in name or "lm_head" in name else slice(None)
            x.data[rows] = x.data[rows].half().float()
    return model


def logits_of(model):
    batch = reference.samples(0, False)
    with torch.no_grad():
        return reference.predictions(reference.run(model, batch)[0], batch)


def old():
    model = halved_base(reference.model_of(TARGETS))
    path = folder("base")
    base = {reference.public_name(n): x for n, x in model.state_dict().items() if "lora_" not in n and "img_" not in n}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        base[name] = base[name][:reference.WORDS]
    assert any("inv_freq" in n for n in base)
    torch.save({n: x.half().clone() for n, x in base.items()}, path / "pytorch_model.bin")
    config = transformers.LlamaConfig.from_dict(model.base_model.model.config.to_dict())
    config.vocab_size, config.torch_dtype, config.architectures = reference.WORDS, "float16", ["LlamaForCausalLM"]
    config.save_pretrained(path)
    path = folder("adapter_old")
    model.peft_config["default"].save_pretrained(path)
    torch.save({reference.public_name(n): x for n, x in model.state_dict().items() if "lora_" in n or "img_" in n},
               path / "adapter_model.bin")
    finish(path, logits_of(model))


def current_adapter():
    c = reference.SMALL
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=reference.WORDS + 1, hidden_size=c["width"], intermediate_size=c["inner"],
        num_hidden_layers=c["layers"], num_attention_heads=c["heads"], max_position_embeddings=c["positions"],
        rms_norm_eps=1e-6, use_cache=False))
    model.model.img_proj_layer = torch.nn.Linear(c["image_width"], c["width"])
    model = peft.get_peft_model(model, peft.LoraConfig(
        r=c["rank"], lora_alpha=c["alpha"], target_modules=list(TARGETS), bias="none", task_type="CAUSAL_LM",
        use_rslora=True, modules_to_save=["img_proj_layer"]))
    for name, x in model.named_parameters():
        name = reference.public_name(name).replace(".modules_to_save", "").replace(".original_module", "")
        x.data.copy_(values(name, tuple(x.shape)) * (0.5 if "base_model" in name else 1))
    path = folder("adapter_current")
    halved_base(model).save_pretrained(path, save_embedding_layers=False)
    finish(path, logits_of(model.eval()))


# --- models ----------------------------------------------------------------------------------------
def current_model(name, config):
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**TINY, **config)).eval()
    for key, x in model.named_parameters():
        x.data.copy_(values(f"{name}.{key}", tuple(x.shape)))
    path = folder(name)
    model.save_pretrained(path, max_shard_size="8KB" if name == "llama3" else "1MB")
    ids = torch.from_numpy(numpy.floor(reference.uniform(name, LENGTH) * VOCABULARY).astype(int))
    with torch.no_grad():
        finish(path, model(ids[None]).logits[0, :-1])


def main():
    torch.manual_seed(0)
    if int(transformers.__version__.split(".")[0]) < 5:
        old()
    else:
        current_adapter()
        for name, config in MODELS.items():
            current_model(name, config)


if __name__ == "__main__":
    main()
