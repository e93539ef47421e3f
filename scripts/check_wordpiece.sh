#!/usr/bin/env bash
# scripts/check_wordpiece.sh VOCAB REPORTS.tgz [COUNT]: holds the tokenizer against transformers' on all of Open-i's
# reports, on COUNT random strings (default 100000) and on every character. VOCAB is a vocab.txt, such as
# bert-base-uncased's. RADIALOG_PEER_PYTHON: a Python with transformers 4.28.1. Needs a few minutes.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: scripts/check_wordpiece.sh VOCAB REPORTS.tgz [COUNT]" >&2; exit 2; }
vocab=$(realpath "$1") reports=$(realpath "$2") count=${3:-100000}
cd "$(dirname "$0")/.."
python=${RADIALOG_PEER_PYTHON:?a Python with transformers}
table=$(mktemp)
trap 'rm -f "$table"' EXIT
scripts/build.sh cpu-release >/dev/null
for kind in "reports $reports" "random $count" characters; do
    # shellcheck disable=SC2086
    "$python" scripts/golden/wordpiece.py --table "$table" "$vocab" $kind
    RADIALOG_WORDPIECE=$table RADIALOG_WORDPIECE_VOCAB=$vocab CK_FORK=no build/cpu-release/tests/test_wordpiece
done
