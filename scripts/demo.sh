#!/usr/bin/env bash
# The whole of radialog on the embedded data set, on this machine's CPU: draws the data, trains every stage, writes
# reports and tells what they are worth. A second run does only what has changed; a stopped one goes on.
#   scripts/demo.sh            some 15 minutes on two cores
#   scripts/demo.sh --quick    the same stages, small and short (for the tests)
#   scripts/demo.sh --out DIR  where to work (default: runs/demo, runs/demo-quick)
set -euo pipefail

out=runs/demo
short=()
while [ $# -gt 0 ]; do
    case $1 in
    --quick)
        [ "$out" != runs/demo ] || out=runs/demo-quick
        short=(--set studies=240)
        for stage in classifier chexbert aligner lm lora; do short+=(--set "$stage.train.epochs=2"); done
        ;;
    --out) out=$(realpath -m "${2:?--out needs a folder}"); shift ;;
    *) echo "usage: scripts/demo.sh [--quick] [--out DIR]" >&2; exit 2 ;;
    esac
    shift
done
cd "$(dirname "$0")/.."

scripts/setup.sh
scripts/build.sh cpu-release radialog
build/cpu-release/radialog run configs/demo/pipeline.json --dir "$out" "${short[@]}"

echo "== three of the reports"
head -3 "$out/full.jsonl"
echo "== pages to look at: $out/evaluation/report.html; report.html in the folder of each training"
