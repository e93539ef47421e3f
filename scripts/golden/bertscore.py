"""BERTScore of pairs of texts from the bert-score package.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install bert-score==0.3.13 'transformers<5' torch
    /tmp/golden/bin/python scripts/golden/bertscore.py              writes tests/golden/{bert_score.csv,roberta/}
    /tmp/golden/bin/python scripts/golden/bertscore.py FOLDER LAYER OUT.csv REPORTS.tgz [COUNT]
                                            the same table of real reports (scripts/check_bert_score.sh)

The table: text, reference, precision, recall and F1 as they are, then rescaled by the folder's baseline.csv. The golden
model is random and small, with the vocabulary of tests/golden/tokenizer/roberta; its texts are put together here. For
real reports FOLDER is a RoBERTa in Hugging Face's layout; if it is not there, a random one of distilroberta-base's
sizes is made, with a vocabulary that is learned from the reports. Each report is the text of the next one, and of
itself with sentences gone or in another order.

Texts are given to the package as the toolkit cleans them: line feeds deleted, runs of white space one blank.
"""
import csv
import json
import pathlib
import random
import re
import shutil
import sys
import tarfile
import time
import xml.etree.ElementTree

import torch
import transformers
from bert_score import BERTScorer

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
BASELINE = "LAYER,P,R,F\n" + "".join(f"{i},0.{i + 1}1,0.{i + 1}3,0.{i + 1}2\n" for i in range(7))
SENTENCES = """The heart is enlarged. There is no pleural effusion|Lungs are clear.|A tube ends above the carina;
 the line lies in the right atrium.|No pneumothorax, no fracture.|Left base: streaks of atelectasis (unchanged).|x|
Größe des Herzens normal – keine Ergüsse.|1.5 cm nodule in the right upper lobe, 3rd rib""".replace("\n", "").split("|")


def clean(text):
    return " ".join(text.replace("\n", "").split())


def random_model(folder, **sizes):
    tokens = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    torch.manual_seed(11)
    config = transformers.RobertaConfig(
        vocab_size=len(tokens), type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=tokens["<pad>"],
        bos_token_id=tokens["<s>"], eos_token_id=tokens["</s>"], **sizes)
    model = transformers.RobertaForMaskedLM(config).eval()
    with torch.no_grad():
        for name, x in model.named_parameters():
            if "LayerNorm.weight" in name:
                x.copy_(torch.rand_like(x) + 0.5)
            elif x.dim() == 1:
                x.copy_(0.2 * torch.randn_like(x))
            elif "embeddings" in name:
                x.copy_(torch.randn_like(x))
            else:  # attention that looks somewhere
                x.copy_(torch.randn_like(x) * (1.5 if "query" in name or "key" in name else 0.8) / x.shape[1] ** 0.5)
    return model


def small(folder):
    folder.mkdir(exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(GOLDEN / "tokenizer" / "roberta" / name, folder / name)
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "RobertaTokenizer", "model_max_length": 40, "bos_token": "<s>", "eos_token": "</s>"}))
    (folder / "baseline.csv").write_text(BASELINE)
    tokens = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    random_model(folder, hidden_size=24, num_hidden_layers=3, num_attention_heads=4,
                 intermediate_size=40, max_position_embeddings=41 + tokens["<pad>"]).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def large(folder, texts):
    from tokenizers import ByteLevelBPETokenizer
    folder.mkdir(parents=True)
    t = ByteLevelBPETokenizer()
    t.train_from_iterator(texts, vocab_size=8000, show_progress=False,
                          special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    t.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "RobertaTokenizer", "model_max_length": 512, "bos_token": "<s>", "eos_token": "</s>"}))
    (folder / "baseline.csv").write_text(BASELINE)
    random_model(folder, hidden_size=768, num_hidden_layers=6, num_attention_heads=12,
                 intermediate_size=3072, max_position_embeddings=514).roberta.save_pretrained(folder)


def synthetic():
    draw = random.Random(5)
    pairs = [(a, b) for a, b in zip(SENTENCES, SENTENCES[1:] + SENTENCES[:1])] + [(a, a) for a in SENTENCES]
    pairs += [("", ""), ("", "x"), ("x", ""), (" \n ", "clear"), ("a\nb  c", " a b\tc ")]
    for _ in range(40):
        reference = draw.choices(SENTENCES, k=draw.randint(1, 3))
        text = [s for s in reference if draw.random() < .7] + draw.choices(SENTENCES, k=draw.randint(0, 2))
        draw.shuffle(text)
        pairs.append((" ".join(text), " ".join(reference)))
    return pairs


def reports(path):
    out = []
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            if member.name.endswith(".xml"):
                tree = xml.etree.ElementTree.parse(archive.extractfile(member))
                out += [x.text for x in tree.iter("AbstractText") if x.get("Label") == "FINDINGS" and x.text]
    return out


def real(texts, count):
    draw = random.Random(8)
    texts = list(texts)
    draw.shuffle(texts)
    pairs = []
    for text, other in zip(texts, texts[1:]):
        pieces = re.split(r"(?<=[.!?]) ", text)
        draw.shuffle(pieces)
        pairs.append((other, text))
        pairs.append((" ".join(pieces[:draw.randint(1, len(pieces))] + re.split(r"(?<=[.!?]) ", other)[:2]), text))
    return pairs[:count]


def write(path, folder, layer, pairs):
    texts, references = [clean(a) for a, _ in pairs], [clean(b) for _, b in pairs]
    columns = []
    for rescaled in (False, True):
        scorer = BERTScorer(model_type=str(folder), num_layers=layer, idf=False, lang="en", device="cpu",
                            rescale_with_baseline=rescaled, baseline_path=str(folder / "baseline.csv"))
        start = time.time()
        columns += [x.double().tolist() for x in scorer.score(texts, references)]
        print(f"bert-score: {len(pairs) / (time.time() - start):.1f} pairs/s on {torch.get_num_threads()} threads")
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["text", "reference", "p", "r", "f", "p_rescaled", "r_rescaled", "f_rescaled"])
        for (text, reference), row in zip(pairs, zip(*columns)):
            out.writerow([text, reference] + ["%.9g" % x for x in row])


def main():
    if len(sys.argv) == 1:
        small(GOLDEN / "roberta")
        write(GOLDEN / "bert_score.csv", GOLDEN / "roberta", 2, synthetic())
        return
    folder, layer, out, archive = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    texts = reports(archive)
    if not folder.exists():
        large(folder, texts)
    if not (folder / "baseline.csv").exists():
        (folder / "baseline.csv").write_text(BASELINE)
    write(out, folder, layer, real(texts, int(sys.argv[5]) if len(sys.argv) > 5 else 500))


if __name__ == "__main__":
    main()
