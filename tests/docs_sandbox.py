"""What the commands of the documents find where tests/docs.py runs them: small stand-ins under the names that the
documents use, and the configurations of the tree with small models and two steps in place of the paper's.

A checkpoint's folder stands in for a file of weights: it carries its configuration, so that the same words make a
small model of it.
"""
import csv
import glob
import json
import os
import shutil
import struct
import subprocess

# By the name of a configuration: keys that are put over the tree's.
IMAGES = {"stem": 4, "widths": [4, 4, 8, 8], "blocks": [1, 1, 1, 1], "vit_width": 8, "pooler_blocks": 1,
          "pooler_heads": 2}
WORDS = {"width": 16, "layers": 2, "heads": 2, "inner": 32, "positions": 64}
RUN = {"max_steps": 2, "threads": 1}
SMALL = {
    "classifier": {"run": RUN, "data": {"crop": 512, "size": 64}, "train": {"batch": 8},
                   "model": dict(IMAGES, joint_width=8, pool=2, hidden=8)},
    "chexbert": {"run": RUN, "data": {"max_tokens": 48}, "train": {"batch": 8}, "model": WORDS},
    "aligner": {"run": RUN, "data": {"crop": 512, "size": 64, "max_tokens": 48}, "train": {"batch": 8},
                "model": dict(IMAGES, **WORDS, joint_width=12, projection=8, projector_seed=-1)},
    "lm": {"run": RUN, "train": {"batch": 4},
           "model": {"width": 64, "layers": 2, "heads": 4, "inner": 128, "positions": 2048}},
    "lora": {"run": RUN, "train": {"batch": 4}},
    "lora-24gb": {"run": RUN, "train": {"batch": 4}, "validate": {"answers": 2}},
    "lora-80gb": {"run": RUN, "train": {"batch": 4}, "validate": {"answers": 2}},
}
STUDIES, FILMS = 40, 24
QUESTIONS = "Is the heart enlarged?\n"


def merge(under, over):
    for key, value in over.items():
        if isinstance(value, dict):
            merge(under.setdefault(key, {}), value)
        else:
            under[key] = value


def make_configs(tree):
    shutil.copytree(os.path.join(tree, "configs"), "configs")
    for path in glob.glob("configs/*/*.json"):
        stage = os.path.basename(path).split(".")[0]
        if stage in SMALL:
            with open(path, encoding="utf-8") as file:
                config = json.load(file)
            merge(config, SMALL[stage])
            with open(path, "w", encoding="utf-8") as file:
                json.dump(config, file)


# --- radiographs and reports ----------------------------------------------------------------------
def element(group, number, kind, value):
    """One element of a DICOM data set, explicit VR, little endian (PS3.5, 7.1.2)."""
    if isinstance(value, str):
        value = value.encode() + b" " * (len(value) % 2)
    if kind in ("OB", "OW"):
        return struct.pack("<HH2sHI", group, number, kind.encode(), 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, kind.encode(), len(value)) + value


def write_film(path, number, study, side=256):
    """A computed radiograph without compression, 12 bits, every one another."""
    uid = "1.2.826.0.1.3680043.8.498.%d" % number
    pixels = struct.pack("<%dH" % (side * side), *(((x * (3 + number % 5) + y * y // 7) * 5 + number) % 4096
                                                   for y in range(side) for x in range(side)))
    def short(value):
        return struct.pack("<H", value)
    meta = element(2, 0x10, "UI", "1.2.840.10008.1.2.1\0")
    body = b"".join([
        element(0x08, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.1\0"),
        element(0x08, 0x18, "UI", (uid + ".1").ljust(40, "\0")),
        element(0x08, 0x50, "SH", study), element(0x08, 0x60, "CS", "CR"),
        element(0x10, 0x20, "LO", "P" + study), element(0x20, 0x0D, "UI", uid.ljust(40, "\0")),
        element(0x28, 0x02, "US", short(1)), element(0x28, 0x04, "CS", "MONOCHROME2"),
        element(0x28, 0x10, "US", short(side)), element(0x28, 0x11, "US", short(side)),
        element(0x28, 0x100, "US", short(16)), element(0x28, 0x101, "US", short(12)),
        element(0x28, 0x102, "US", short(11)), element(0x28, 0x103, "US", short(0)),
        element(0x7FE0, 0x10, "OW", pixels)])
    with open(path, "wb") as file:
        file.write(b"\0" * 128 + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + body)


def make_root():
    """ROOT, which is all that the documents call so: MIMIC-CXR-JPG's layout, data.csv, DICOM files with a table."""
    radialog("synth", "ROOT", "--studies", STUDIES, "--seed", 3, "--max-side", 600)
    texts = {}
    for path in glob.glob("ROOT/mimic-cxr-reports/**/*.txt", recursive=True):
        with open(path, encoding="utf-8") as file:
            texts[os.path.basename(path)[:-4]] = file.read()
    films = [["A%d" % i, text] for i, (_, text) in zip(range(FILMS), sorted(texts.items()))]
    images = sorted(glob.glob("ROOT/mimic-cxr-jpg/**/*.jpg", recursive=True))
    with open("ROOT/data.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "patient", "study", "report"])
        for path in images:
            patient, study = path.split("/")[-3:-1]
            table.writerow([os.path.relpath(path, "ROOT"), patient, study, texts[study]])
        for study, text in films: # to --source folder these are images that cannot be read
            table.writerow(["films/%s.dcm" % study, study, study, text])
    with open("reports.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["study", "report"]] + films)
    os.mkdir("ROOT/films")
    with open(os.open("ROOT/radialog-ids.key", os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        file.write(bytes(range(32)).hex() + "\n") # splits follow the ids, and each must have some
    for i, (study, _) in enumerate(films):
        write_film("ROOT/films/%s.dcm" % study, i, study)
    shutil.copy(images[0], "image.jpg")


# --- weights --------------------------------------------------------------------------------------
def make_weights():
    def train(stage, *settings):
        words = [w for s in settings for w in ("--set", s)]
        radialog("train", stage, "--config", "configs/demo/%s.json" % stage, *words, "--set", "run.dir=made/" + stage)

    def copy(stage, name):
        shutil.copytree("made/%s/checkpoints/best" % stage, name)
    radialog("ingest", "--source", "mimic", "ROOT", "--out", "made/shards")
    radialog("tokenizer", "train", "--type", "wordpiece", "made/shards", "--out", "vocab.txt", "--size", 200)
    radialog("tokenizer", "train", "--type", "sentencepiece", "made/shards", "--out", "made/t.model", "--size", 400)
    radialog("instruct", "made/shards", "--out", "made/instruct", "--set", "instruct.tokenizer=made/t.model")
    train("classifier", "data.shards=made/shards")
    # Long enough that its labels are not all the same: the paper's sampling leaves out what has none.
    train("chexbert", "data.shards=made/shards", "model.vocabulary=vocab.txt", "run.max_steps=60", "optim.lr=1e-2")
    train("lm", "data.instruct=made/instruct", "model.tokenizer=made/t.model")
    shutil.copytree("made/classifier", "biovil_t_image_model_proj_size_128.pt", symlinks=True) # a run will do, too
    copy("classifier", "ChexpertClassifier-epoch=06-val_f1=0.36.ckpt")
    copy("chexbert", "chexbert.pth")
    copy("chexbert", "bert-base-uncased/pytorch_model.bin")
    shutil.copy("vocab.txt", "bert-base-uncased")
    copy("lm", "vicuna-7b")
    shutil.rmtree("made")


def radialog(*words):
    result = subprocess.run(["radialog"] + [str(w) for w in words] + ["--quiet"], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False)
    if result.returncode:
        raise RuntimeError("radialog %s: status %d\n%s" % (" ".join(map(str, words)), result.returncode,
                                                           result.stdout.decode(errors="replace")))


def make(tree):
    """All of it in the current folder, with the program on the PATH."""
    make_configs(tree)
    make_root()
    make_weights()
    with open("questions", "w", encoding="utf-8") as file:
        file.write(QUESTIONS)
