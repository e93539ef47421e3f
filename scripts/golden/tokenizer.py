"""Token ids of language models: SentencePiece by transformers' LlamaTokenizer (the one in Python; 4.28.1), with <IMG>
added as the reference adds it, and byte-level BPE by Hugging Face's tokenizers.

    tokenizer.py                                       writes tests/golden/tokenizer/: small vocabularies made of this
                                                       script's own words, and table.txt
    tokenizer.py --table OUT NAME PATH reports SOURCE  the same table for real reports: a .tgz of Open-i's XML files
    tokenizer.py --table OUT NAME PATH random COUNT    for random strings
    tokenizer.py --table OUT NAME PATH characters      for every character

scripts/check_tokenizer.sh runs the program's own test on such tables. NAME is the kind: llama (a tokenizer.model),
listed (a folder with tokenizer.model and added_tokens.json), json (a tokenizer.json), roberta (a folder with
vocab.json and merges.txt). A line is, with tabs between,

    e NAME TEXT IDS             ids of TEXT, none added at its ends
    d NAME SKIP IDS TEXT        text of IDS (skip_special_tokens)
    w PATTERN TEXT LENGTHS      bytes of the words of TEXT before merging, by the pattern of gpt2 or llama3

where all bytes of TEXT but printable ASCII without % stand as %XX. Characters that Oniguruma, which tokenizers
uses, puts in another class than utf8proc are left out of tables for byte-level BPE: none but those that one of the
two does not know yet."""
import ctypes
import ctypes.util
import io
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import unicodedata

import wordpiece
from wordpiece import BLANKS, GOLDEN, TRAPS, WORDS, escape

FOLDER = GOLDEN / "tokenizer"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
SPECIAL = {
    "llama": ["<s>", "</s>", "<unk>", "<IMG>"],
    "listed": ["<s>", "</s>", "<unk>", "<IMG>", "<pad>", "<im", "<img>x", "zz"],
    "json": ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|one|>", "<|left|>", "<|right|>", "word", "late one", "lat"],
    "roberta": ["<s>", "</s>", "<pad>", "<unk>", "<mask>"],
}
ALMOST = ["<S>", "< s>", "<s", "s>", "</s", "<<s>>", "<IMG", "<IM<IMG>", "<img>", "<0x0A>", "<0x41>", "\u2581", "\u2581\u2581a", "<|", "|>",
          "<|end_of_text", "words", "awordb", "_word", "1word", "word.", "late", "late one two", "lat\u00e9", "\u0121", "\u0120a", "zzz", "<im>"]
PIECES = ["'s", "'S", "'T", "'re", "'RE", "'Ve", "'m", "'ll", "'lL", "'d", "'x", "''s", "\u2019s", "'\u017f", "'\u017ft", "1234567", "12 345", "x1y2",
          "\u0664\u0665\u0666\u0667", "\u00bd\u00b2\u2160", "   ", "\t\t", "\n\n", " \n", "\n ", "\r\n", " \r\n \n x", "!!!\n\n", " !?\r\n", "\u00a0", "\u3000\u3000x",
          "\u00a0\n\u2003 y", "\x1c", " \x1f ", "\x85", "\x00", "a\x00b", "\ue000", "\u0301", "e\u0301x", " \u0301x", "_x", "$x", "\n$x", "\rx"]


# --- vocabularies ------------------------------------------------------------------------------------------
def corpus():
    draw = random.Random(6)
    lines = [" ".join(draw.choice(WORDS) for _ in range(12)) + draw.choice(".,;") for _ in range(300)]
    return lines + ["USER: Please write a report. ASSISTANT: Image: don't we've 2019 caf\u00e9 \u4e2d\u6587"] * 9


def make_pieces(path, size, **settings):
    import sentencepiece
    model = io.BytesIO()
    base = dict(model_type="bpe", vocab_size=size, normalization_rule_name="identity", split_digits=True,
                allow_whitespace_only_pieces=True, num_threads=1, minloglevel=2)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus()), model_writer=model, **base, **settings)
    path.write_bytes(model.getvalue())


def make_json(path):
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=460, show_progress=False,
                                                        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens([AddedToken("<|begin_of_text|>", normalized=False), AddedToken("<|end_of_text|>", normalized=False),
                          AddedToken("<|eot_id|>", normalized=False), AddedToken("<|one|>", single_word=True, normalized=False),
                          AddedToken("<|left|>", lstrip=True, normalized=False), AddedToken("<|right|>", rstrip=True, normalized=False)])
    t.add_tokens([AddedToken("word", single_word=True), AddedToken("late one", lstrip=True, rstrip=True), AddedToken("lat")])
    path.write_text(t.to_str(pretty=False), encoding="utf-8")


def make_roberta(folder):
    from tokenizers import ByteLevelBPETokenizer
    t = ByteLevelBPETokenizer()
    t.train_from_iterator(corpus(), vocab_size=420, min_frequency=2, show_progress=False,
                          special_tokens=SPECIAL["roberta"])
    folder.mkdir(parents=True, exist_ok=True)
    t.save_model(str(folder))


def make_listed(folder):
    folder.mkdir(parents=True, exist_ok=True)
    make_pieces(folder / "tokenizer.model", 160, byte_fallback=False, add_dummy_prefix=False, remove_extra_whitespaces=True,
                character_coverage=0.99)
    first = 160
    (folder / "added_tokens.json").write_text(json.dumps(
        {"zz": first + 4, "<pad>": first, "<IMG>": first + 1, "<img>x": first + 3, "<im": first + 2}))
    (folder / "special_tokens_map.json").write_text(json.dumps({
        "pad_token": "<pad>", "additional_special_tokens": ["<IMG>"],
        "mask_token": {"content": "<im", "lstrip": True, "rstrip": False, "normalized": True, "single_word": False}}))


# --- references --------------------------------------------------------------------------------------------
class Pieces:
    """LlamaTokenizer of a tokenizer.model, or of a folder."""

    def __init__(self, path, folder):
        import transformers
        with tempfile.TemporaryDirectory() as copy:
            if folder:
                copy = path
            else:
                shutil.copy(path, os.path.join(copy, "tokenizer.model"))
            self.t = transformers.LlamaTokenizer.from_pretrained(str(copy))
        if not folder:
            self.t.add_special_tokens({"additional_special_tokens": ["<IMG>"]})
        self.size = len(self.t)

    def encode(self, text):
        return self.t(text, add_special_tokens=False)["input_ids"]

    def decode(self, ids, skip):
        return self.t.decode(ids, skip_special_tokens=skip)


class Merges:
    """tokenizers itself."""

    def __init__(self, tokenizer):
        self.t = tokenizer
        self.size = tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, text):
        return self.t.encode(text, add_special_tokens=False).ids

    def decode(self, ids, skip):
        return self.t.decode(ids, skip_special_tokens=skip)


def reference(name, path):
    if name in ("llama", "listed"):
        return Pieces(path, name == "listed")
    if name == "json":
        from tokenizers import Tokenizer
        return Merges(Tokenizer.from_file(str(path)))
    from tokenizers import AddedToken, ByteLevelBPETokenizer
    t = ByteLevelBPETokenizer.from_file(os.path.join(path, "vocab.json"), os.path.join(path, "merges.txt"))
    t.add_special_tokens([AddedToken(x, lstrip=x == "<mask>", normalized=False) for x in SPECIAL["roberta"]])
    return Merges(t)


# --- texts -------------------------------------------------------------------------------------------------
def oniguruma_classes(characters):
    """'L', 'N', ' ' or '.' of each, as the patterns see it."""
    from tokenizers import Regex, pre_tokenizers
    out = {c: "." for c in characters}
    for name, pattern in (("L", r"\p{L}"), ("N", r"\p{N}"), (" ", r"\s")):
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        text = "".join("\x01" + c for c in characters)
        for piece, _ in split.pre_tokenize_str(text):
            if len(piece) == 1 and piece != "\x01":
                out[piece] = name
    return out


def differing():
    library = ctypes.CDLL(ctypes.util.find_library("utf8proc") or "libutf8proc.so")
    library.utf8proc_category_string.restype = ctypes.c_char_p
    characters = [chr(c) for c in range(2, 0x110000) if not 0xd800 <= c < 0xe000]
    spaces = set(wordpiece_spaces())
    out = set()
    for c, seen in oniguruma_classes(characters).items():
        ours = library.utf8proc_category_string(ord(c)).decode()[0]
        ours = " " if c in spaces else ours if ours in "LN" else "."
        if ours != seen:
            out.add(c)
    unknown = [c for c in out if unicodedata.category(c) != "Cn"]
    print("%d characters left out, %d of them known to this Python (Unicode %s): %s" % (
        len(out), len(unknown), unicodedata.unidata_version, " ".join("U+%04X" % ord(c) for c in unknown[:20])))
    return out


def wordpiece_spaces():
    return [chr(c) for c in [*range(9, 14), 32, 0x85, 0xa0, 0x1680, *range(0x2000, 0x200b), 0x2028, 0x2029, 0x202f, 0x205f, 0x3000]]


def random_text(draw, characters, special):
    out = []
    for _ in range(draw.choice((1, 1, 2, 4, 8))):
        kind = draw.randrange(6)
        if kind < 2:
            out.append(wordpiece.random_text(draw, characters))
        elif kind == 2:
            out.append(draw.choice(special) * draw.choice((1, 1, 1, 2)))
        elif kind == 3:
            out.append(draw.choice(ALMOST + BLANKS))
        else:
            out.append(draw.choice(PIECES + [" ", " ", "\n"]))
    return "".join(out)


def encode_line(name, t, data):
    return "e\t%s\t%s\t%s\n" % (name, escape(data), " ".join(map(str, t.encode(data.decode("utf-8", "replace")))))


def decode_line(name, t, skip, ids):
    return "d\t%s\t%d\t%s\t%s\n" % (name, skip, " ".join(map(str, ids)), escape(t.decode(ids, bool(skip)).encode()))


def random_ids(draw, t, special):
    span = draw.choice((t.size, t.size, min(t.size, 300)))
    ids = [draw.randrange(span) if draw.random() < 0.8 else draw.choice(special) for _ in range(draw.randrange(14))]
    return ids


def special_ids(t, name):
    return [i for text in SPECIAL[name] for i in [t.encode(text)] if len(i) == 1 for i in i]


def random_lines(name, t, count):
    draw = random.Random(28)
    out = differing() if name in ("json", "roberta") else set()
    characters = [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000 and chr(c) not in out]
    special = special_ids(t, name)
    for i in range(count):
        text = "".join(c for c in random_text(draw, characters, SPECIAL[name]) if c not in out and not "\ud800" <= c < "\ue000")
        data = text.encode()
        if draw.random() < 0.1:  # damaged
            damaged = bytearray(data)
            for _ in range(draw.randrange(1, 4)):
                if damaged:
                    damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            if not set(damaged.decode("utf-8", "replace")) & out:
                data = bytes(damaged)
        yield encode_line(name, t, data)
        if i % 3 == 0:
            yield decode_line(name, t, draw.randrange(2), random_ids(draw, t, special))
        if i % 3 == 1:
            yield decode_line(name, t, draw.randrange(2), t.encode(data.decode("utf-8", "replace")))


def report_lines(name, t, source):
    prompt = "USER: Image: " + "<IMG>" * 32 + ". Findings: effusion, edema. Write the report. ASSISTANT:"
    for text in wordpiece.report_texts(source):
        yield encode_line(name, t, text.encode())
        yield encode_line(name, t, (prompt + text + "</s>").encode())
        ids = t.encode(prompt + text + "</s>USER: Why? ASSISTANT: " + text)
        yield decode_line(name, t, 1, ids)
        yield decode_line(name, t, 0, ids)


def character_lines(name, t):
    out = differing() if name in ("json", "roberta") else set()
    for c in range(0x110000):
        if not 0xd800 <= c < 0xe000 and chr(c) not in out:
            yield encode_line(name, t, ("a%cb %c c'%c1%c<s>%c <IMG>%c" % ((c,) * 6)).encode())


def golden_lines(name, t):
    draw = random.Random(5)
    texts = [x for x in TRAPS if len(x) < 150] + ALMOST + PIECES + ["a" + b + b + "b " + b for b in BLANKS]
    texts += ["%s%s %s  x\n%s " % (x, x, x, x) for x in SPECIAL[name]] + ["".join(SPECIAL[name]), " \u00a0 ".join(SPECIAL[name])]
    texts += [random_text(draw, WORDS, SPECIAL[name]) for _ in range(40)]
    texts += ["Image: " + "<IMG>" * 3 + ". Findings: edema. ASSISTANT:The heart is normal.</s>USER: Why?"]
    special = special_ids(t, name)
    for text in dict.fromkeys(texts):
        if len(text) < 400:
            yield encode_line(name, t, text.encode())
    for data in wordpiece.BYTES[:12]:
        yield encode_line(name, t, data)
    for i in range(60):
        yield decode_line(name, t, i & 1, random_ids(draw, t, special))
    for text in texts[:60:3]:
        for skip in (0, 1):
            yield decode_line(name, t, skip, t.encode(text + SPECIAL[name][1] + text))


def word_lines():
    from tokenizers import Regex, pre_tokenizers
    draw = random.Random(7)
    texts = [x for x in TRAPS if 0 < len(x) < 150] + PIECES + [a + b for a in PIECES for b in draw.sample(PIECES, 3)]
    texts += [random_text(draw, WORDS, SPECIAL["json"]) for _ in range(60)]
    for name, pattern in (("gpt2", GPT2), ("llama3", LLAMA3)):
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        for text in dict.fromkeys(texts):
            if 0 < len(text) < 300 and not any("\ud800" <= c < "\ue000" for c in text):
                lengths = [len(word.encode()) for word, _ in split.pre_tokenize_str(text)]
                yield "w\t%s\t%s\t%s\n" % (name, escape(text.encode()), " ".join(map(str, lengths)))


def main(words):
    if not words:
        FOLDER.mkdir(parents=True, exist_ok=True)
        make_pieces(FOLDER / "llama.model", 420, byte_fallback=True, remove_extra_whitespaces=False)
        make_listed(FOLDER / "listed")
        make_json(FOLDER / "llama3.json")
        make_roberta(FOLDER / "roberta")
        paths = {"llama": "llama.model", "listed": "listed", "json": "llama3.json", "roberta": "roberta"}
        lines = [line for name, path in paths.items() for line in golden_lines(name, reference(name, FOLDER / path))]
        wordpiece.write(FOLDER / "table.txt", lines + list(word_lines()))
        return
    out, name, path, kind = words[1:5]
    t = reference(name, pathlib.Path(path))
    kinds = {"reports": lambda: report_lines(name, t, words[5]), "random": lambda: random_lines(name, t, int(words[5])),
             "characters": lambda: character_lines(name, t)}
    wordpiece.write(out, kinds[kind]())


if __name__ == "__main__":
    main(sys.argv[1:])
