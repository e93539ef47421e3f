#!/usr/bin/env python3
"""Checks the floors of CONTRIBUTING.md: who includes whom, where vendor headers stand, file lengths.

    floors.py ROOT         exit 1 with FILE:LINE: messages if a rule is broken
    floors.py --self-test  builds trees with violations and demands that each is found
"""
import fnmatch
import os
import re
import sys
import tempfile

# Folder: the folders it may include from besides its own. Longest match decides a file's folder.
FLOORS = {
    "core": ["core/files"],
    "core/files": ["core"],
    "core/cuda": ["core", "core/files"],
    "data": ["core", "core/files"],
    "optim": ["core", "core/files"],
    "models/tape": ["core", "core/files"],
    "models/ops": ["core", "core/files", "models/tape"],
    "models/nn": ["core", "core/files", "models/tape", "models/ops"],
    "models": ["core", "core/files", "models/tape", "models/ops", "models/nn"],
    "eval": ["core", "core/files", "data", "models/tape", "models/ops", "models/nn", "models"],
    "train": ["core", "core/files", "data", "optim", "models/tape", "models/ops", "models/nn",
              "models", "eval"],
}

# What an included name looks like, and the files that may include it.
VENDORS = [
    (r"(jpeglib|jerror|jmorecfg|turbojpeg|png|pngconf)\.h", ["data/image_codec.c"]),
    (r"(hdf5(_hl)?|H5[A-Za-z]*)\.h", ["core/files/hdf5.c"]),
    (r"(oneapi/.*|dnnl.*)\.h", ["core/onednn.c", "core/onednn_versions.h"]),
    (r"(cjson/)?cJSON\.h", ["core/files/json.c"]),
    (r"libdeflate\.h", ["core/checksum.c", "core/files/deflate.c"]),
    (r"(zlib|zconf)\.h", ["data/csv.c"]),
    (r"microhttpd\.h", ["core/http_server.c"]),
    (r"mpi\.h", ["core/mpi_library.h"]),
    (r"nccl.*\.h", ["core/cuda/nccl.c"]),
    (r"cublas.*\.h", ["core/cuda/cublas.c"]),
    (r"cudnn.*\.h", ["core/cuda/cudnn*.c", "core/cuda/cudnn_private.h"]),
    (r"(sentencepiece.*)\.h", ["data/sentencepiece.cpp"]),
    (r"(dcmtk/.*|gdcm.*)\.h", ["data/dicom.cpp"]),
    (r"utf8proc\.h", ["data/wordpiece.c", "data/bpe_split.c", "data/characters.c"]),
    # CUDA's own headers: device files, the stream's, and the wrappers.
    (r"(cuda.*|cooperative_groups.*|cub/.*|mma)(\.h|\.cuh)?", ["*.cu", "*.cuh", "core/cuda/*"]),
]

# The files above core/cuda/ that may include it: kernels, and the one that opens the device.
CUDA_USERS = ["models/ops/*_cuda.cu", "models/ops/*_cuda.cuh", "optim/*_cuda.cu", "train/cuda_*.c"]

SUFFIXES = (".c", ".h", ".cpp", ".hpp", ".cu", ".cuh")
LONGEST = 500
REASON = "Over 500 lines because"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def folder_of(path):
    """The floor's folder that PATH (relative, with slashes) belongs to, or None."""
    parent = os.path.dirname(path)
    while parent and parent not in FLOORS:
        parent = os.path.dirname(parent)
    return parent or None


def code_lines(text):
    """(number, line) with comments blanked, so that a commented include is none."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())
    text = re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"',
                  lambda m: m.group() if m.group()[0] == '"' else blank(m), text, flags=re.S)
    return enumerate(text.split("\n"), 1)


def may_include_vendor(path, allowed):
    return any(fnmatch.fnmatch(path, a) for a in allowed)


def check_include(root, path, name, quoted):
    """The message about one include, or None."""
    for pattern, allowed in VENDORS:
        if re.fullmatch(pattern, name):
            if may_include_vendor(path, allowed):
                return None
            return "<%s> belongs in %s only" % (name, ", ".join(allowed))
    own = folder_of(path)
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name)).replace(os.sep, "/")
    if os.path.exists(os.path.join(root, name)):
        target = os.path.normpath(name).replace(os.sep, "/")
    elif quoted and os.path.exists(os.path.join(root, beside)):
        target = beside
    elif quoted:
        return "\"%s\": no such file in the tree" % name
    else:
        return None  # the system's
    other = folder_of(target)
    if other == own or other in FLOORS[own]:
        return None
    if other == "core/cuda" and may_include_vendor(path, CUDA_USERS):
        return None
    return "%s/ may not include \"%s\" (of %s)" % (own, name, other or "no floor")


def check_file(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        text = file.read()
    messages = []
    for number, line in code_lines(text):
        match = INCLUDE.match(line)
        if match:
            message = check_include(root, path, match.group(2), match.group(1) == '"')
            if message:
                messages.append("%s:%d: %s" % (path, number, message))
    lines = text.count("\n") + (not text.endswith("\n"))
    head = []
    for line in text.split("\n"):
        if not re.match(r"\s*(//|/\*|\*)", line):
            break
        head.append(line)
    if lines > LONGEST and REASON not in "\n".join(head):
        messages.append("%s:%d: %d lines, more than %d; split it or say \"%s ...\" in its head"
                        % (path, LONGEST + 1, lines, LONGEST, REASON))
    return messages


def check_tree(root):
    messages = []
    seen = 0
    for top in sorted({folder.split("/")[0] for folder in FLOORS}):
        for parent, folders, files in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith(SUFFIXES):
                    path = os.path.relpath(os.path.join(parent, name), root).replace(os.sep, "/")
                    messages += check_file(root, path)
                    seen += 1
    return messages, seen


GOOD = {
    "core/status.h": "#pragma once\n#include <stdio.h>\n",
    "core/files/fs.h": '#include "core/status.h"\n',
    "core/a.c": '#include "core/files/fs.h"\n#include "a.h"\n',
    "core/a.h": "",
    "core/files/json.c": "#include <cjson/cJSON.h>\n",
    "core/onednn.c": "#include <oneapi/dnnl/dnnl.h>\n",
    "core/checksum.c": "#include <libdeflate.h>\n",
    "data/image_codec.c": '#include <jpeglib.h>\n#include <png.h>\n#include "core/status.h"\n',
    "data/image.h": "",
    "optim/adamw.h": '#include "core/status.h"\n',
    "models/tape/tape.h": '#include "core/status.h"\n',
    "models/ops/ops.h": '#include "models/tape/tape.h"\n',
    "models/ops/relu_cuda.cu": '#include <cuda_runtime.h>\n#include "core/cuda/stream.h"\n',
    "core/cuda/stream.h": "#include <cuda_runtime_api.h>\n",
    "core/cuda/cudnn_graph.c": '#include <cudnn.h>\n#include "core/cuda/stream.h"\n',
    "train/cuda_device.c": '#include "core/cuda/stream.h"\n',
    "models/nn/layers.h": '#include "models/ops/ops.h"\n',
    "models/bert.h": '#include "models/nn/layers.h"\n',
    "eval/metrics.c": '#include "models/bert.h"\n#include "data/image.h"\n',
    "eval/metrics.h": "",
    "train/main.c": '#include "eval/metrics.h"\n#include "optim/adamw.h"\n',
    "train/long.c": "// Over 500 lines because it is a table.\n" + "\n" * 600,
    "train/just.c": "\n" * 500,
    "data/quiet.c": '// #include "optim/adamw.h"\n/* \n#include "train/x.h"\n*/\n'
                    'const char *s = "/*";\n#include "core/status.h"\n',
}

# File, its text, the line of the expected message, words in it.
BAD = [
    ("core/b.c", '\n#include "data/image.h"\n', 2, "core/ may not include"),
    ("core/files/b.h", '#include "models/tape/tape.h"\n', 1, "core/files/ may not include"),
    ("data/b.c", '#include "core/a.h"\n#include "optim/adamw.h"\n', 2, "data/ may not include"),
    ("data/c.c", '#include "models/tape/tape.h"\n', 1, "data/ may not include"),
    ("optim/b.h", '#include "models/tape/tape.h"\n', 1, "optim/ may not include"),
    ("optim/c.c", '#include "data/image.h"\n', 1, "optim/ may not include"),
    ("models/tape/b.c", '#include "models/ops/ops.h"\n', 1, "models/tape/ may not include"),
    ("models/tape/c.c", '#include "optim/adamw.h"\n', 1, "models/tape/ may not include"),
    ("models/ops/b.c", '#include "models/nn/layers.h"\n', 1, "models/ops/ may not include"),
    ("models/ops/c.c", '#include "data/image.h"\n', 1, "models/ops/ may not include"),
    ("models/nn/b.c", '#include "models/bert.h"\n', 1, "models/nn/ may not include"),
    ("models/nn/c.c", '#include "../bert.h"\n', 1, "models/nn/ may not include"),
    ("models/b.c", '#include "eval/metrics.h"\n', 1, "models/ may not include"),
    ("models/c.c", '#include "data/image.h"\n', 1, "models/ may not include"),
    ("models/d.c", '#include <optim/adamw.h>\n', 1, "models/ may not include"),
    ("eval/b.c", '#include "optim/adamw.h"\n', 1, "eval/ may not include"),
    ("eval/c.c", '  #  include "train/b.h"\n', 1, "eval/ may not include"),
    ("train/b.h", '#include "tests/helper.h"\n', 1, "no floor"),
    ("train/c.c", '#include "train/absent.h"\n', 1, "no such file"),
    ("train/d.c", "#include <jpeglib.h>\n", 1, "data/image_codec.c only"),
    ("data/d.c", "#include <png.h>\n", 1, "data/image_codec.c only"),
    ("data/e.c", "#include <hdf5.h>\n", 1, "core/files/hdf5.c only"),
    ("models/ops/d.c", "#include <oneapi/dnnl/dnnl.h>\n", 1, "core/onednn.c only"),
    ("train/e.c", "#include <cjson/cJSON.h>\n", 1, "core/files/json.c only"),
    ("train/f.c", "#include <cJSON.h>\n", 1, "core/files/json.c only"),
    ("data/f.c", "#include <libdeflate.h>\n", 1, "core/checksum.c"),
    ("eval/d.c", "#include <zlib.h>\n", 1, "data/csv.c"),
    ("core/c.c", "#include <mpi.h>\n", 1, "core/mpi_library.h only"),
    ("core/d.c", "#include <nccl.h>\n", 1, "core/cuda/nccl.c only"),
    ("core/e.c", "#include <cuda_runtime.h>\n", 1, "belongs in"),
    ("models/ops/e.c", "#include <cudnn.h>\n", 1, "core/cuda/cudnn*.c"),
    ("models/ops/f.cu", "#include <cublasLt.h>\n", 1, "core/cuda/cublas.c only"),
    ("models/ops/g.c", '#include "core/cuda/stream.h"\n', 1, "models/ops/ may not include"),
    ("train/g.c", '#include "core/cuda/stream.h"\n', 1, "train/ may not include"),
    ("core/f.c", '#include "core/cuda/stream.h"\n', 1, "core/ may not include"),
    ("models/e.c", "\n" * 501, 501, "501 lines"),
    ("models/f.c", "// a head\n" + "\n" * 600 + "// Over 500 lines because late\n", 501, "602 lines"),
]


def write_tree(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, dict(GOOD, **{"tests/helper.h": ""}))
        messages, seen = check_tree(root)
        failures += ["in the good tree: " + m for m in messages]
        if seen != len(GOOD):
            failures.append("saw %d of %d files" % (seen, len(GOOD)))
        write_tree(root, {path: text for path, text, _, _ in BAD})
        messages, _ = check_tree(root)
        for path, _, number, words in BAD:
            start = "%s:%d: " % (path, number)
            if not any(m.startswith(start) and words in m for m in messages):
                failures.append("not found: %s%s" % (start, words))
        if len(messages) != len(BAD):
            failures.append("%d messages for %d violations" % (len(messages), len(BAD)))
    return failures


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    if arguments[0] == "--self-test":
        messages, what = self_test(), "floors.py: %d violations, each found" % len(BAD)
    else:
        messages, seen = check_tree(arguments[0])
        if not seen:
            messages = ["%s: no source files" % arguments[0]]
        what = "floors.py: %d files keep to their floors" % seen
    print("\n".join(messages) if messages else what)
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
