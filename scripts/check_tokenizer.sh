#!/usr/bin/env bash
# scripts/check_tokenizer.sh NAME PATH REPORTS.tgz [COUNT]: holds a tokenizer of a language model against the
# reference's on all of Open-i's reports, on COUNT random strings (default 100000) and on every character. NAME is
# llama (PATH: a tokenizer.model, against transformers' LlamaTokenizer), listed (a folder with added_tokens.json),
# json (a tokenizer.json) or roberta (a folder with vocab.json and merges.txt), against tokenizers.
# RADIALOG_PEER_PYTHON: a Python with transformers 4.28.1 and sentencepiece, or with tokenizers. Needs minutes.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: scripts/check_tokenizer.sh NAME PATH REPORTS.tgz [COUNT]" >&2; exit 2; }
name=$1 path=$(realpath "$2") reports=$(realpath "$3") count=${4:-100000}
cd "$(dirname "$0")/.."
python=${RADIALOG_PEER_PYTHON:?a Python with transformers or tokenizers}
table=$(mktemp)
trap 'rm -f "$table"' EXIT
scripts/build.sh cpu-release >/dev/null
for kind in "reports $reports" "random $count" characters; do
    # shellcheck disable=SC2086
    "$python" scripts/golden/tokenizer.py --table "$table" "$name" "$path" $kind
    RADIALOG_TOKENIZER=$table RADIALOG_TOKENIZER_PATH=$path CK_FORK=no build/cpu-release/tests/test_tokenizer_table
done
