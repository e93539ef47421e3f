#!/usr/bin/env bash
# scripts/check_7b.sh FOLDER [LIMIT]: two steps of `train lora` beside a LLaMA-7B with random weights, on this machine's
# CPU in bf16: the seconds of a step, and what is resident at most (no more than LIMIT bytes, 22e9) beside the plan's
# number, which the run logs. FOLDER gets 13.5 GB of weights, which are removed in the end. RADIALOG_MODEL: a folder whose
# config.json says another size; RADIALOG_SET: more options of train.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: scripts/check_7b.sh FOLDER [LIMIT]" >&2; exit 2; }
mkdir -p "$1"
out=$(realpath "$1") limit=${2:-22000000000}
cd "$(dirname "$0")/.."
scripts/build.sh cpu-release > /dev/null
radialog=build/cpu-release/radialog
read -ra more <<< "${RADIALOG_SET:-}"

# Conversations about radiographs, and image tokens of an aligner that has hardly learned.
if [ ! -f "$out/embeddings.h5" ]; then
    $radialog synth "$out/data" --studies 60 --seed 1 --quiet
    $radialog ingest --source mimic "$out/data" --out "$out/shards" --quiet
    $radialog tokenizer train --type wordpiece --size 1000 --out "$out/vocab.txt" "$out/shards"
    $radialog tokenizer train --type sentencepiece --size 1200 --out "$out/tokenizer.model" "$out/shards"
    $radialog instruct "$out/shards" --out "$out/instruct" --split train --quiet \
        --set instruct.tokenizer="$out/tokenizer.model"
    $radialog train aligner --config configs/demo/aligner.json --quiet --set data.shards="$out/shards" \
        --set model.vocabulary="$out/vocab.txt" --set model.encoder= --set model.init= --set model.queries=32 \
        --set model.width=768 --set model.heads=12 --set model.layers=1 --set train.batch=4 --set run.max_steps=1 \
        --set run.dir="$out/aligner"
    $radialog embed "$out/shards" --checkpoint "$out/aligner" --out "$out/embeddings.h5" --quiet
fi

trap 'rm -rf "$out/model" "$out/run"' EXIT
rm -rf "$out/run"
mkdir -p "$out/model"
cp "${RADIALOG_MODEL:-configs/models/llama-7b}/config.json" "$out/model/"
build/cpu-release/tests/write_llama "$out/model"
du -h "$out/model/model.safetensors" | sed 's/\t.*/ of weights/'

settings=(--config configs/paper/lora.json --precision bf16 --set data.instruct="$out/instruct" --set run.dir="$out/run"
    --set data.embeddings="$out/embeddings.h5" --set model.base="$out/model" --set model.tokenizer="$out/tokenizer.model"
    --set train.batch=2 --set train.validate_first=false --set train.drop_last=false --set run.max_steps=2
    --set train.validate_every=1000000 --set data.limit=4 "${more[@]}")
$radialog train lora "${settings[@]}" &
run=$! peak=0
# The kernel keeps the most that was resident; the last look is at most a second before the end.
while kill -0 $run 2> /dev/null; do
    now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$run/status" 2> /dev/null || true)
    peak=${now:-$peak}
    sleep 1
done
wait $run
sed -n 's/.*"step":\([0-9]*\).*"loss":\([^,]*\).*"ms":\([0-9.]*\).*/step \1: loss \2, \3 ms/p' "$out/run/metrics.jsonl"
grep -o "memory: .*" "$out/run/log.txt"
echo "resident at most: $((peak * 1024)) bytes (limit $limit)"
[ $((peak * 1024)) -gt 0 ] && [ $((peak * 1024)) -le "$limit" ]
