#!/usr/bin/env bash
# scripts/check_text_metrics.sh REPORTS.tgz [PUNKT [COUNT]]: holds tokens, BLEU, ROUGE-L and METEOR against NLTK,
# pycocoevalcap and its METEOR on pairs of real reports: two of each of COUNT reports (default 500) of Open-i's archive.
# METEOR is held twice, without and with its tables. PUNKT: a folder punkt_tab/english; without it Punkt runs with the
# built-in table on both sides.
# RADIALOG_PEER_PYTHON: a Python with nltk 3.8.1 and pycocoevalcap 1.2; Java must be there.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: scripts/check_text_metrics.sh REPORTS.tgz [PUNKT [COUNT]]" >&2; exit 2; }
reports=$(realpath "$1") punkt=${2:+$(realpath "$2")} count=${3:-500}
cd "$(dirname "$0")/.."
python=${RADIALOG_PEER_PYTHON:?a Python with nltk and pycocoevalcap}
table=$(mktemp --suffix=.csv)
trap 'rm -f "$table"' EXIT
scripts/build.sh cpu-release >/dev/null
export RADIALOG_TEXT_METRICS=$table CK_FORK=no RADIALOG_METEOR_STAGES
if [ -n "$punkt" ]; then export RADIALOG_PUNKT=$punkt; fi
check() {
    echo "METEOR's stages: $RADIALOG_METEOR_STAGES"
    "$python" scripts/golden/text_metrics.py "$table" "$reports" "$punkt" "$count"
    build/cpu-release/tests/test_text_metrics
}
RADIALOG_METEOR_STAGES="exact stem" check
meteor=$("$python" -c 'import pycocoevalcap.meteor.meteor as m, pathlib; print(pathlib.Path(m.__file__).parent)')
export RADIALOG_METEOR_JAR=$meteor/meteor-1.5.jar RADIALOG_METEOR_PARAPHRASES=$meteor/data/paraphrase-en.gz
RADIALOG_METEOR_STAGES="exact stem synonym paraphrase" check
