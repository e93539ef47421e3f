"""Token ids from transformers' BertTokenizer (the one in Python; 4.28.1), with [DEC] added as LAVIS adds it.

    wordpiece.py RADIALOG                            writes tests/golden/wordpiece.txt and, with that program's
                                                     `tokenizer train`, tests/golden/wordpiece_vocab.txt
    wordpiece.py --table OUT VOCAB reports SOURCE    the same table for real reports: a .tgz of Open-i's XML files,
                                                     each section and each whole report
    wordpiece.py --table OUT VOCAB random COUNT      for random strings
    wordpiece.py --table OUT VOCAB characters        for every character, between letters
    wordpiece.py --texts OUT SOURCE                  the reports as text, one a line (for scripts/bench.sh)

scripts/check_wordpiece.sh runs the program's own test on such tables. A line is, with tabs between,

    e CASED MOST TEXT IDS           ids of TEXT with [CLS] and [SEP], at most MOST (0: all; the reference cannot cut to the two ends)
    d PLAIN CLEAN IDS TEXT          text of IDS (skip_special_tokens, clean_up_tokenization_spaces)

where all bytes of TEXT but printable ASCII without % stand as %XX. Characters on which this Python's Unicode
tables and utf8proc's disagree are left out of the tables: none but those that one of the two does not know yet."""
import ctypes
import ctypes.util
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import xml.etree.ElementTree

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
SAFE = set(range(32, 127)) - {ord("%")}


def escape(data):
    return "".join(chr(b) if b in SAFE else "%%%02X" % b for b in data)


def load(vocabulary):
    """The tokenizers, lower-case and cased, as from_pretrained makes them."""
    import transformers
    out = []
    for lower in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            with open(vocabulary, "rb") as source, open(os.path.join(folder, "vocab.txt"), "wb") as copy:
                copy.write(source.read())
            tokenizer = transformers.BertTokenizer.from_pretrained(folder, do_lower_case=lower)
        tokenizer.add_special_tokens({"bos_token": "[DEC]"})
        tokenizer.model_max_length = 10 ** 9
        out.append(tokenizer)
    return out


def encode_line(tokenizers, cased, most, data):
    text = data.decode("utf-8", "replace")
    cut = {"truncation": True, "max_length": most} if most else {}
    ids = tokenizers[cased](text, **cut)["input_ids"]
    return "e\t%d\t%d\t%s\t%s\n" % (cased, most, escape(data), " ".join(map(str, ids)))


def decode_line(tokenizers, plain, clean, ids):
    text = tokenizers[0].decode(ids, skip_special_tokens=bool(plain), clean_up_tokenization_spaces=bool(clean))
    return "d\t%d\t%d\t%s\t%s\n" % (plain, clean, " ".join(map(str, ids)), escape(text.encode()))


# --- texts ----------------------------------------------------------------------------------------------
SPECIAL = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "[DEC]"]
ALMOST = ["[sep]", "[Sep]", "[SEP", "SEP]", "[[SEP]]", "[S\0EP]", "[S\u200bEP]", "[D\0EC]", "[dec]", "[ SEP ]", "[CL\u0301S]",
          "[CLS][SEP]", "[MASK].[DEC],", "[PAD][PAD]x[PAD]", "a[UNK]b", "[", "]", "[]", "[[", "[C[CLS]", "[SEP\n]",
          "\ufffd[SEP]\ufffd", "##", "##ing", "a##b", "\u4e2d[SEP]\u6587"]
MARKS = [chr(c) for c in (0x300, 0x301, 0x308, 0x323, 0x327, 0x331, 0x338, 0x345, 0x5b0, 0x5bc, 0x64b, 0x651, 0x93c, 0x94d,
                          0xe38, 0xe48, 0x302a, 0x302e, 0x302f, 0x3099, 0x1d165, 0x1d167, 0x1d16d, 0x1d172, 0x20d0, 0x20dd,
                          0x488, 0x903, 0x9be, 0x16ff0)]
BLANKS = [" ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u1680", "\u2002", "\u2009", "\u202f", "\u205f", "\u3000", "\u2028",
          "\u2029", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\u200b", "\ufeff", "\u180e", "\u00ad", "\x00", "\x07", "\x7f"]
TRAPS = [
    "", " ", "\n", "The heart is normal in size.  No pleural effusion or pneumothorax.",
    "COMPARISON: 2-view chest, 12/3/2019; T-score -2.5 (L1-L4), 5.5x3 cm @ 37% #2 ~x_y `z` ^a^ {b} <c> $5 \\ | + = \" '",
    "don't won't isn't I'm it's we've they're l'\u0153dème", "caf\u00e9 cafe\u0301 CAF\u00c9 CAFE\u0301 na\u00efve \u00c5ngstr\u00f6m \u212b \u212a \u2126",
    "\u0130stanbul \u0131 I\u0307 DI\u0130 \u01c4 \u01c5 \u01c6 \u1e9e \u00df STRASSE", "\u039f\u0394\u039f\u03a3 \u03a3 \u03c3\u03c2 \u03a3\u0391\u03a3.", "\u1f82\u1fb7\u1ffc \u1fef \u037e \u0387 \u0344",
    "\u0439\u0451\u0419\u0401 \u0438\u0306 \u04e7", "\u4e2d\u6587\u5206\u8bcd a\u4e2db \u3400\u4dbf \U00020000\U0002a6df\U0002a700 \uf900\ufa0e\U0002f800 \u3042\u304c\u30ab\u3099 \u3005\u3007",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab \uac00\uac01", "\u0928\u093c \u0929 \u0958 \u0915\u093c \u0e01\u0e33 \u0b4b \u0dde", "\u0627\u064e\u0651 \u0622 \u0671 \u05d0\u05b7\u05bc \ufb2c \ufb4f",
    "e\u0301\u0323\u0327 e\u0327\u0323\u0301 e\u0345\u0301\u0338 \u302e\u0301\u302f\u0323 \U0001d15e\U0001d165\U0001d16d",
    "x\U0001d16d\u0301\U0001d165 x\U0001d165\U0001d16d e\U0001d16d\u20dd\U0001d165 e\U0001d16d\u3099\U0001d165", "\u0301 \u0301\u0301 a \u0301b \u200d\u0301 x\u20dd \u0488y",
    "\u201cquote\u201d \u2018x\u2019 \u00abg\u00bb \u2013 \u2014 \u2026 \u3001\u3002 \u00bf\u00a1 \u00a7 \u00b6 \u00b7 \u203f \uff0c \uff3f \u2e2e", "\u00b0 \u00b1 \u20ac \u2192 \u2264 \u00bd \u00b2 \ufb01 \u2122 \u00a9 \u00aa \u02c6 \u00b4 \u00a8 \u2080 \u2160",
    "\U0001f600 \U0001fa7b \U0001f468\u200d\u2695\ufe0f \ue000 \uffff \U000e0001 \U000f0000 \U0010ffff \ufdd0 \u0378", "\ufeffx\ufeffy", "a\u00adb a\u200cb a\u2060b a\x00b a\x1fb a\x85b a\x0bb a\x0cb",
    "x" * 100, "x" * 101, "x" * 101 + "." + "y" * 99, "e\u0301" * 100, "e\u0301" * 101, "\u00e9" * 100 + "\u00e9", "." * 105, "\u4e2d" * 101, "\ud55c" * 33 + " " + "\ud55c" * 34,
    "a" * 99 + "\u0301\u0301b", "no\u2028break\u2029here", " ".join(SPECIAL), "".join(SPECIAL), "x ".join(SPECIAL), "\u0301[SEP]\u0301 [CLS]\u00e9[SEP]",
]
BYTES = [b"\xff\xfe", b"a\xc3", b"a\xc3(b", b"\xe4\xb8", b"\xe4\xb8\xadx\xe4\xb8", b"\xed\xa0\x80x", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80x", b"\xc0\x80x",
         b"\xe0\x80\x80x", b"\xf0\x80\x80\x80", b"[SE\xffP]", b"[\xc3SEP]", b"x\x80\x80y", b"\xf8\x88\x80\x80\x80z", b"\xf1\x80\x80[SEP]"]
WORDS = ("the heart is normal in size lungs are clear no pleural effusion or pneumothorax identified there a small left right "
         "basilar opacity atelectasis consolidation cardiomegaly mild unchanged compared with prior degenerative changes of "
         "thoracic spine xxxx interval mediastinal contours within limits tube tip terminates above carina").split()


def differing():
    """Characters whose category utf8proc sees otherwise; those above are none of them."""
    library = ctypes.CDLL(ctypes.util.find_library("utf8proc") or "libutf8proc.so")
    library.utf8proc_category_string.restype = ctypes.c_char_p
    out = {chr(c) for c in range(0x110000)
           if library.utf8proc_category_string(c).decode() != unicodedata.category(chr(c))}
    library.utf8proc_unicode_version.restype = ctypes.c_char_p
    print("Unicode %s here, %s in utf8proc: %d characters left out" % (
        unicodedata.unidata_version, library.utf8proc_unicode_version().decode(), len(out)))
    return out


def random_text(draw, characters):
    out = []
    for _ in range(draw.choice((1, 2, 3, 5, 8, 20, 60))):
        kind = draw.randrange(13)
        if kind < 3:
            word = draw.choice(WORDS)
            out.append(draw.choice((word, word.upper(), word.title(), word + word)))
        elif kind == 3:
            out.append(draw.choice(SPECIAL + ALMOST))
        elif kind == 4:
            out.append(draw.choice(BLANKS))
        elif kind == 5:
            out.append(draw.choice("aeiouncsAEIOU\u00e9\u03c9\u0438\u0915\u304b\u1100") + "".join(
                draw.choice(MARKS) for _ in range(draw.randrange(1, 6))))
        elif kind == 6:
            out.append("".join(draw.choice(characters) for _ in range(draw.randrange(1, 8))))
        elif kind == 7:
            out.append(chr(draw.randrange(33, 127)) * draw.choice((1, 1, 1, 2, 3)))
        elif kind == 8:
            start = draw.choice((0x80, 0x100, 0x370, 0x400, 0x530, 0x900, 0xe00, 0x1e00, 0x1f00, 0x2000, 0x2100, 0x3000, 0x4e00,
                                 0xac00, 0xf900, 0xfb00, 0xff00, 0x1d100, 0x1f600, 0x20000, 0x2f800))
            out.append("".join(chr(start + draw.randrange(256)) for _ in range(draw.randrange(1, 6))))
        elif kind == 9:
            out.append(draw.choice(TRAPS))
        elif kind == 10 and draw.random() < 0.1:
            out.append(draw.choice("xe\u00e9\u4e2d\ud55c") * draw.randrange(95, 106))
        else:
            out.append(" ")
    return "".join(out)


def random_lines(tokenizers, count):
    draw = random.Random(28)
    out = differing()
    assigned = [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000 and chr(c) not in out
                and unicodedata.category(chr(c)) not in ("Cn", "Co")]
    for i in range(count):
        text = "".join(c for c in random_text(draw, assigned) if c not in out)
        data = text.encode("utf-8", "surrogatepass")
        if draw.random() < 0.1:  # damaged
            damaged = bytearray(data)
            for _ in range(draw.randrange(1, 4)):
                if damaged:
                    damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            if not set(damaged.decode("utf-8", "replace")) & out:
                data = bytes(damaged)
        line = encode_line(tokenizers, draw.random() < 0.3, draw.choice((0, 0, 0, 3, 4, 8, 16, 32)), data)
        yield line
        if i % 4 == 0:
            size = len(tokenizers[0])
            ids = [draw.choice((draw.randrange(-2, size + 3), draw.randrange(size), draw.randrange(5 if size < 3000 else 103)))
                   for _ in range(draw.randrange(12))]
            if draw.random() < 0.5:
                ids = [int(x) for x in line.rstrip("\n").split("\t")[4].split()]
            yield decode_line(tokenizers, draw.randrange(2), draw.randrange(2), ids)


def report_texts(source):
    with tarfile.open(source) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            if not member.name.endswith(".xml"):
                continue
            tree = xml.etree.ElementTree.parse(archive.extractfile(member))
            parts = [x.text for x in tree.iter("AbstractText") if x.text]
            yield from parts
            yield "\n".join(parts)


def report_lines(tokenizers, source):
    for text in report_texts(source):
        yield encode_line(tokenizers, 0, 0, text.encode())
        yield encode_line(tokenizers, 0, 256, text.encode())
        yield encode_line(tokenizers, 0, 512, text.encode())
        yield encode_line(tokenizers, 1, 32, text.encode())
        ids = tokenizers[0](text)["input_ids"]
        yield decode_line(tokenizers, 1, 1, ids)


def character_lines(tokenizers):
    out = differing()
    for c in range(0x110000):
        if not 0xd800 <= c < 0xe000 and chr(c) not in out:
            yield encode_line(tokenizers, c & 1, 0, ("a%cb %c c" % (c, c)).encode())


# --- golden ---------------------------------------------------------------------------------------------
def golden_vocabulary(radialog, path):
    draw = random.Random(11)
    corpus = [" ".join(draw.choice(WORDS) for _ in range(12)) + draw.choice(".,;") for _ in range(400)]
    corpus += [t for t in TRAPS if len(t) < 90 and "[" not in t] * 3
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(t.replace("\n", " ") for t in corpus))
        file.flush()
        subprocess.run([radialog, "tokenizer", "train", "--type", "wordpiece", file.name, "--size", "700", "--out", str(path)],
                       check=True)


def golden_lines(tokenizers):
    draw = random.Random(5)
    texts = TRAPS + ALMOST + [b + "a" + b + b + "b" for b in BLANKS] + [
        " ".join(draw.choice(WORDS) for _ in range(20)).capitalize() + "." for _ in range(10)]
    for text in texts:
        for cased in (0, 1):
            yield encode_line(tokenizers, cased, 0, text.encode())
        yield encode_line(tokenizers, 0, draw.choice((3, 5, 8, 16)), text.encode())
    for data in BYTES:
        yield encode_line(tokenizers, 0, 0, data)
        yield encode_line(tokenizers, 1, 0, data)
    size = len(tokenizers[0])
    for i in range(120):
        ids = [draw.randrange(-2, size + 2) for _ in range(draw.randrange(10))]
        if i % 3 == 0:
            text = draw.choice(TRAPS) + draw.choice((" don't . it's , we've", " [SEP] x [DEC] ! [DEC]", " a ' b ? n't"))
            ids = tokenizers[0](text)["input_ids"]
        yield decode_line(tokenizers, i >> 1 & 1, i & 1, ids)


def write(path, lines):
    count = 0
    with open(path, "w", encoding="ascii") as file:
        for line in lines:
            file.write(line)
            count += 1
    print(count, "lines")


def main(words):
    if len(words) == 1:
        golden_vocabulary(words[0], GOLDEN / "wordpiece_vocab.txt")
        write(GOLDEN / "wordpiece.txt", golden_lines(load(GOLDEN / "wordpiece_vocab.txt")))
    elif words[0] == "--texts":
        with open(words[1], "w", encoding="utf-8") as file:
            file.writelines(" ".join(text.split()) + "\n" for text in report_texts(words[2]))
    else:
        tokenizers = load(words[2])
        kinds = {"reports": lambda: report_lines(tokenizers, words[4]),
                 "random": lambda: random_lines(tokenizers, int(words[4])),
                 "characters": lambda: character_lines(tokenizers)}
        write(words[1], kinds[words[3]]())


if __name__ == "__main__":
    main(sys.argv[1:])
