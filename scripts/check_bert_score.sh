#!/usr/bin/env bash
# scripts/check_bert_score.sh FOLDER LAYER REPORTS.tgz [COUNT]: holds BERTScore against the bert-score package on COUNT
# pairs of real reports (default 500) of Open-i's archive, within 1e-4, and says how fast both are on two threads.
# FOLDER: a RoBERTa in Hugging Face's layout (distilroberta-base: LAYER 5). If it is not there, a random one of
# distilroberta-base's sizes is made there (200 MB).
# RADIALOG_PEER_PYTHON: a Python with what scripts/golden/bertscore.py names.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: scripts/check_bert_score.sh FOLDER LAYER REPORTS.tgz [COUNT]" >&2; exit 2; }
folder=$(realpath -m "$1") layer=$2 reports=$(realpath "$3") count=${4:-500}
cd "$(dirname "$0")/.."
table=$(mktemp --suffix=.csv)
trap 'rm -f "$table"' EXIT
export OMP_NUM_THREADS=2
"${RADIALOG_PEER_PYTHON:?a Python with bert-score}" scripts/golden/bertscore.py "$folder" "$layer" "$table" "$reports" \
    "$count"
scripts/build.sh cpu-release >/dev/null
export RADIALOG_BERT_SCORE=$table RADIALOG_BERT_SCORE_MODEL=$folder RADIALOG_BERT_SCORE_LAYER=$layer CK_FORK=no
build/cpu-release/tests/test_bert_score
