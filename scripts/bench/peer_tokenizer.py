"""transformers' BertTokenizer on every line of a file, cut to 256 ids: the one in Python, which the reference
uses, or the one in Rust (--way fast) on one thread."""
import argparse
import os
import tempfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import transformers

from peer_pace import pace


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--way", choices=["slow", "fast"], default="slow")
    args = parser.parse_args()
    kind = transformers.BertTokenizer if args.way == "slow" else transformers.BertTokenizerFast
    with tempfile.TemporaryDirectory() as folder:
        with open(args.vocabulary, "rb") as source, open(os.path.join(folder, "vocab.txt"), "wb") as copy:
            copy.write(source.read())
        tokenizer = kind.from_pretrained(folder, do_lower_case=True)
    with open(args.data, encoding="utf-8") as file:
        lines = file.read().splitlines()
    count = [0]

    def all_lines():
        count[0] = sum(len(ids) for ids in tokenizer(lines, truncation=True, max_length=256)["input_ids"])

    pace(all_lines, transformers=transformers.__version__, texts=len(lines))


main()
