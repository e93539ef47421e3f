#!/usr/bin/env bash
# scripts/check_real_data.sh ROOT [OUT]: what must hold on real radiographs in the MIMIC-CXR-JPG layout under
# ROOT. Ingests, overfits 32 of them (and fails to on blanked images), then trains the full ResNet-50 for
# 120 steps at 224 pixels and a few at 488.
#   RADIALOG_QUICK=1 leaves out the full model.
set -euo pipefail
cd "$(dirname "$0")/.."

root=${1:?usage: scripts/check_real_data.sh ROOT [OUT]}
out=${2:-runs/real}
radialog=build/cpu-release/radialog
small=(--config configs/demo/classifier.json)
fail() { echo "check_real_data: $*" >&2; exit 1; }
# The smallest loss of a run, and whether all of them are numbers.
losses() { python3 -c "
import json, math, sys
losses = [json.loads(line)['loss'] for line in open(sys.argv[1])]
assert losses and all(x is not None and math.isfinite(x) for x in losses), 'a loss is not finite'
print(min(losses))" "$1/metrics.jsonl"; }
below() { python3 -c "import sys; sys.exit(not float(sys.argv[1]) < float(sys.argv[2]))" "$1" "$2"; }

mkdir -p "$out"
$radialog ingest --source mimic "$root" --out "$out/shards"

overfit=("${small[@]}" --quiet --set data.shards="$out/shards" --set data.limit=32 --set train.batch=32
    --set run.max_steps=150 --set train.validate_every=150 --set train.checkpoint_every=0 --set train.validate_first=false
    --set optim.schedule=constant --set optim.lr=3e-3 --set optim.weight_decay=0)
rm -rf "$out/overfit" "$out/blank"
$radialog train classifier "${overfit[@]}" --set run.dir="$out/overfit" >/dev/null
$radialog train classifier "${overfit[@]}" --set run.dir="$out/blank" --set data.blank=true >/dev/null
seen=$(losses "$out/overfit") blind=$(losses "$out/blank")
echo "32 radiographs overfit: loss $seen; the same on black images: $blind"
below "$seen" 0.05 || fail "32 radiographs are not overfit below 0.05"
below "$blind" 0.05 && fail "black images are overfit: labels leak"

[ -n "${RADIALOG_QUICK:-}" ] && exit 0
full=(--config configs/paper/classifier.json --set data.shards="$out/shards" --set train.validate_every=1000000
    --set train.validate_first=false --set train.checkpoint_every=0)
rm -rf "$out/full-224" "$out/full-488"
$radialog train classifier "${full[@]}" --set run.dir="$out/full-224" --set data.crop=448 --set data.size=224 \
    --set train.batch=8 --set run.max_steps=120
echo "full model at 224, 120 steps: smallest loss $(losses "$out/full-224")"
$radialog train classifier "${full[@]}" --set run.dir="$out/full-488" --set train.batch=4 --set run.max_steps=4
echo "full model at 488, 4 steps: smallest loss $(losses "$out/full-488")"
