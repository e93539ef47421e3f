"""The reference models of the BERT family, for bert.py and bert_full.py beside this file.

CheXbert: transformers' BertModel, dropout, 14 linear heads on [CLS]. Q-Former: LAVIS' own Blip2Qformer, whose
__init__ and forward run as they are; only what they would download is given: the tokenizer (texts are lists of
ids here), the vision encoder and BERT's configuration. The vision encoder is the end of RaDialog's: images are the
features of BioViL-T's trunk here, which hi-ml's projector widens and a reshape without transposition makes tokens of.
LAVIS draws hard negatives; here torch.multinomial hands out given ones. Weights and inputs are drawn by draws.py.

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==1.13.1 torchvision==0.14.1 'numpy<2' transformers==4.28.1 timm==0.4.12 safetensors \\
        hi-ml-multimodal==0.2.2
    /tmp/golden/bin/pip install --no-deps salesforce-lavis==1.0.2
"""
import contextlib
import importlib.util
import pathlib
import sys
import types
import unittest.mock

import numpy
import torch
import transformers
from health_multimodal.image.model.modules import MLP

from draws import uniform, values

PAD, CLS, SEP, WORD = 0, 1, 2, 3  # WORD is the first id of a word; [DEC] is the last id of the Q-Former

# As in tests/models/helper_bert.c.
CHEXBERT = dict(width=32, layers=2, heads=2, hidden=64, positions=16, vocabulary=64)
QFORMER = dict(width=32, layers=4, heads=2, hidden=64, positions=16, vocabulary=64, queries=8, every=2,
               features=16, grid=3, image_width=24, joint=16)
FULL = dict(width=768, layers=12, heads=12, hidden=3072, positions=512, vocabulary=30522, queries=32, every=2,
            features=256, grid=14, image_width=1408, joint=256)
CLASSES = 13 * (4,) + (2,)


def bert_config(c):
    return transformers.BertConfig(
        vocab_size=c["vocabulary"], hidden_size=c["width"], num_hidden_layers=c["layers"],
        num_attention_heads=c["heads"], intermediate_size=c["hidden"], max_position_embeddings=c["positions"],
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def fill(model):
    """Tied tensors have one name here, the first."""
    for name, x in (*model.named_parameters(), *model.named_buffers()):
        if x.is_floating_point():
            x.data.copy_(values(name, tuple(x.shape)) if x.ndim else torch.tensor(0.07))
    return model


# --- batches ---------------------------------------------------------------------------------------
def ids_of(name, length, vocabulary):
    """[CLS] words [SEP]."""
    words = WORD + numpy.floor(uniform(name, length - 2) * (vocabulary - WORD))
    return [CLS, *words.astype(int).tolist(), SEP]


def texts_of(step, lengths, vocabulary):
    return [ids_of(f"step.{step}.text.{b}", n, vocabulary) for b, n in enumerate(lengths)]


def padded(texts, length):
    ids, mask = torch.full((len(texts), length), PAD), torch.zeros(len(texts), length, dtype=torch.long)
    for b, text in enumerate(texts):
        ids[b, :len(text)], mask[b, :len(text)] = torch.tensor(text), 1
    return ids, mask


def packed(x, lengths):
    """(B, T, ...) -> the rows that are text, sample after sample."""
    return torch.cat([x[b, :n] for b, n in enumerate(lengths)])


def features(step, batch, c):
    """(B, grid, grid, D)"""
    shape = (batch, c["grid"], c["grid"], c["features"])
    return torch.from_numpy(uniform(f"step.{step}.image", int(numpy.prod(shape))) * 2 - 1).reshape(shape)


def negatives(step, kind, batch):
    """For each sample another one."""
    u = uniform(f"step.{step}.negative_{kind}", batch)
    return [(b + 1 + int(u[b] * (batch - 1))) % batch for b in range(batch)]


# --- CheXbert --------------------------------------------------------------------------------------
class Chexbert(torch.nn.Module):
    """As CheXbert's labeler; its state dictionary has these names behind "module."."""

    def __init__(self, c):
        super().__init__()
        self.bert = transformers.BertModel(bert_config(c))
        self.dropout = torch.nn.Dropout(0.0)
        self.linear_heads = torch.nn.ModuleList([torch.nn.Linear(c["width"], n) for n in CLASSES])

    def forward(self, ids, mask):
        first = self.dropout(self.bert(ids, attention_mask=mask)[0][:, 0, :])
        return [head(first) for head in self.linear_heads]


def chexbert(c):
    return fill(Chexbert(c))


def chexbert_targets(step, batch):
    """(heads, B)"""
    return torch.stack([torch.from_numpy(numpy.floor(uniform(f"step.{step}.target.{h}", batch) * n)).long()
                        for h, n in enumerate(CLASSES)])


def chexbert_loss(logits, targets):
    """CheXbert's run_bert.py: sums over the batch of each head, together, over the number of reports."""
    criterion = torch.nn.CrossEntropyLoss(reduction="sum")
    return sum(criterion(x, t) for x, t in zip(logits, targets)) / targets.shape[1]


# --- LAVIS -----------------------------------------------------------------------------------------
def import_lavis():
    """LAVIS' modules without its packages' __init__, which import every model; what the Q-Former has no use for
    may be absent."""
    root = pathlib.Path(next(iter(importlib.util.find_spec("lavis").submodule_search_locations)))
    for name in ("", "models", "models.blip_models", "runners"):
        package = types.ModuleType(f"lavis.{name}".rstrip("."))
        package.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[package.__name__] = package
    for name in ("omegaconf", "pandas", "iopath", "iopath.common", "iopath.common.download", "iopath.common.file_io",
                 "fairscale", "fairscale.nn", "fairscale.nn.checkpoint", "fairscale.nn.checkpoint.checkpoint_activations",
                 "webdataset", "decord"):
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = unittest.mock.MagicMock()
    from lavis.models.base_model import BaseModel
    sys.modules["lavis.models"].BaseModel = BaseModel  # where LAVIS' registry looks for it
    from lavis.models.blip2_models import blip2, blip2_qformer
    from lavis.runners.runner_base import RunnerBase
    return blip2, blip2_qformer, RunnerBase


blip2, blip2_qformer, RunnerBase = import_lavis()


class Tokens:
    """In the place of the tokenizer, for texts that are ids already."""
    pad_token_id, sep_token_id = PAD, SEP

    def __init__(self, vocabulary):
        self.bos_token_id = vocabulary

    def __len__(self):
        return self.bos_token_id + 1

    def __call__(self, texts, padding, truncation, max_length, return_tensors):
        assert padding == "max_length" and max(map(len, texts)) <= max_length
        ids, mask = padded(texts, max_length)
        return transformers.BatchEncoding({"input_ids": ids, "attention_mask": mask})


class Vision(torch.nn.Module):
    """What follows BioViL-T's trunk in RaDialog's aligner: (B, grid, grid, D) -> (B, grid * grid, P)."""

    def __init__(self, c):
        super().__init__()
        self.num_features = c["image_width"]
        self.encoder = torch.nn.Module()
        self.encoder.missing_previous_emb = torch.nn.Parameter(torch.zeros(1, c["features"], 1, 1))
        self.projector = MLP(2 * c["features"], c["image_width"], c["image_width"], use_1x1_convs=True)

    def forward(self, own):
        own = own.permute(0, 3, 1, 2)
        projected = self.projector(torch.cat([own, self.encoder.missing_previous_emb.expand_as(own)], 1))
        return projected.reshape(len(own), -1, self.num_features)


def qformer(c, longest):
    """Blip2Qformer whose texts are padded to LONGEST."""
    class Model(blip2_qformer.Blip2Qformer):
        @classmethod
        def init_tokenizer(cls):
            return Tokens(c["vocabulary"])

        @classmethod
        def init_vision_encoder(cls, *_):
            encoder = Vision(c)
            return encoder, blip2.LayerNorm(encoder.num_features)

        @classmethod
        def init_Qformer(cls, num_query_token, vision_width, cross_attention_freq=2):
            config = bert_config(c)
            config.encoder_width, config.query_length = vision_width, num_query_token
            config.add_cross_attention, config.cross_attention_freq = True, cross_attention_freq
            return blip2.BertLMHeadModel(config), torch.nn.Parameter(torch.zeros(1, num_query_token, c["width"]))

    model = Model(num_query_token=c["queries"], cross_attention_freq=c["every"], embed_dim=c["joint"],
                  max_txt_len=longest)
    names = dict(model.state_dict(keep_vars=True))
    for one, other in (("decoder.weight", "bert.embeddings.word_embeddings.weight"),
                       ("decoder.bias", "cls.predictions.bias")):
        assert names[f"Qformer.cls.predictions.{one}"] is names[f"Qformer.{other}"]
    return fill(model).train()


def double(model):
    """LAVIS computes ln_vision in f32 whatever the model's type; a comparison in double cannot."""
    model.double()
    model.ln_vision.__class__ = torch.nn.LayerNorm
    return model


@contextlib.contextmanager
def patched(module, **functions):
    kept = {name: getattr(module, name) for name in functions}
    try:
        for name, f in functions.items():
            setattr(module, name, f)
        yield
    finally:
        for name, f in kept.items():
            setattr(module, name, f)


def run_qformer(model, image, texts, negative_images, negative_texts):
    """Blip2Qformer.forward in a single process, and what passed through it: the four calls of BERT (image, text,
    match, caption), the arguments of the four cross entropies, image tokens, the projections."""
    given, kept, hooks = iter(negative_images + negative_texts), {"entropy": [], "bert": []}, []
    cross_entropy = torch.nn.functional.cross_entropy

    def draw(weights, count):
        return torch.tensor([next(given)])

    def entropy(logits, *args, **options):
        kept["entropy"].append(logits)
        return cross_entropy(logits, *args, **options)

    hooks.append(model.Qformer.bert.register_forward_hook(lambda _, args, out: kept["bert"].append(out)))
    hooks.append(model.ln_vision.register_forward_hook(lambda _, args, out: kept.__setitem__("tokens", out)))
    for name in ("vision_proj", "text_proj"):
        hooks.append(getattr(model, name).register_forward_hook(
            lambda _, args, out, name=name: kept.__setitem__(name, torch.nn.functional.normalize(out, dim=-1))))
    with patched(torch.distributed, get_rank=lambda: 0, get_world_size=lambda: 1), \
            patched(torch, multinomial=draw), patched(torch.nn.functional, cross_entropy=entropy):
        kept["losses"] = model({"image": image, "text_input": texts})
    for hook in hooks:
        hook.remove()
    assert next(given, None) is None and len(kept["bert"]) == 4 and len(kept["entropy"]) == 4
    return kept


def optimizer_of(model, lr, decay):
    """The groups and the AdamW of LAVIS' runner."""
    options = {"weight_decay": decay, "init_lr": lr}
    run = types.SimpleNamespace(weight_decay=decay, init_lr=lr, get=options.get)
    return RunnerBase.optimizer.fget(types.SimpleNamespace(
        _optimizer=None, model=model, config=types.SimpleNamespace(run_cfg=run)))
