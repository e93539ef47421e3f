#!/usr/bin/env bash
# scripts/check_bert.sh FOLDER: holds CheXbert and the aligner at the paper's size, forward and backward, against
# transformers and LAVIS. FOLDER gets 2 GB of weights and expectations, which a second run uses again.
# RADIALOG_PEER_PYTHON: a Python with what scripts/golden/bert_reference.py names. Needs 12 GB of memory and minutes
# (a fast BLAS behind that torch provided).
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: scripts/check_bert.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
folder=$(realpath "$1")
cd "$(dirname "$0")/.."
for model in chexbert qformer; do
    if [ ! -f "$folder/$model/expected.safetensors" ]; then
        "${RADIALOG_PEER_PYTHON:?a Python with LAVIS}" scripts/golden/bert_full.py "$folder" "$model"
    fi
done
scripts/build.sh cpu-release >/dev/null
for model in chexbert qformer; do
    RADIALOG_BERT_FULL=$folder SHOW_ERRORS=1 CK_FORK=no "build/cpu-release/tests/test_${model}_golden"
done
