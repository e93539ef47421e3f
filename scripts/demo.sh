#!/usr/bin/env bash
# The whole of radialog on the embedded data set, on this machine's CPU: makes the data, ingests it, trains
# every stage there is and prints what was learned. A second run continues, and does no work twice.
#   scripts/demo.sh            about 15 minutes on two cores
#   scripts/demo.sh --quick    the same stages, small and short (for the tests)
#   scripts/demo.sh --out DIR  where to work (default: runs/demo, runs/demo-quick)
set -euo pipefail
cd "$(dirname "$0")/.."

studies=3200 name=demo extra=()
out=""
while [ $# -gt 0 ]; do
    case $1 in
    --quick)
        studies=240 name=demo-quick
        extra=(--set train.epochs=2)
        ;;
    --out) out=${2:?--out needs a folder}; shift ;;
    *) echo "usage: scripts/demo.sh [--quick] [--out DIR]" >&2; exit 2 ;;
    esac
    shift
done
out=${out:-runs/$name}

scripts/setup.sh
scripts/build.sh cpu-release
radialog=build/cpu-release/radialog
mkdir -p "$out"

echo "== data: $studies studies"
[ -f "$out/data/complete" ] || { $radialog synth "$out/data" --studies "$studies" --seed 1; touch "$out/data/complete"; }
$radialog ingest --source mimic "$out/data" --out "$out/shards"
$radialog inspect "$out/shards"

echo "== findings classifier"
$radialog train classifier --config configs/demo/classifier.json \
    --set data.shards="$out/shards" --set run.dir="$out/classifier" "${extra[@]}"

echo "== vocabulary"
[ -f "$out/vocab.txt" ] || $radialog tokenizer train --type wordpiece --size 2000 --out "$out/vocab.txt" "$out/shards"

echo "== report labeler"
$radialog train chexbert --config configs/demo/chexbert.json --set data.shards="$out/shards" \
    --set model.vocabulary="$out/vocab.txt" --set run.dir="$out/chexbert" "${extra[@]}"

echo "== aligner"
$radialog train aligner --config configs/demo/aligner.json --set data.shards="$out/shards" \
    --set model.vocabulary="$out/vocab.txt" --set model.encoder="$out/classifier" \
    --set model.init="$out/chexbert" --set run.dir="$out/aligner" "${extra[@]}"

echo "== image tokens"
$radialog embed "$out/shards" --checkpoint "$out/aligner" --out "$out/embeddings.h5"

echo "== findings of three radiographs"
$radialog classify "$out/shards" --split test --limit 3 --checkpoint "$out/classifier"

# Prompts name the findings: true ones in a quarter of the training prompts, the classifier's where the model is
# judged.
echo "== conversations"
if [ ! -f "$out/findings.jsonl" ]; then
    for split in validate test; do
        $radialog classify "$out/shards" --split $split --checkpoint "$out/classifier" --quiet
    done > "$out/findings.jsonl.tmp"
    mv "$out/findings.jsonl.tmp" "$out/findings.jsonl"
fi
[ -f "$out/tokenizer.model" ] ||
    $radialog tokenizer train --type sentencepiece --size 1200 --out "$out/tokenizer.model" "$out/shards"
$radialog instruct "$out/shards" --out "$out/instruct" --set instruct.tokenizer="$out/tokenizer.model" \
    --set instruct.image_tokens=8 --set instruct.prompts=configs/demo/prompts.json \
    --set instruct.findings_eval="$out/findings.jsonl" --set instruct.findings_unsaid=0.75

# Reports of other splits are worded differently, so their loss does not tell which checkpoint is best: of the
# language model it is the last one, of the adapters the one whose reports say what is there.
echo "== language model"
$radialog train lm --config configs/demo/lm.json --set data.instruct="$out/instruct" \
    --set model.tokenizer="$out/tokenizer.model" --set run.dir="$out/lm" "${extra[@]}"

echo "== adapters and image projection"
$radialog train lora --config configs/demo/lora.json --set data.instruct="$out/instruct" \
    --set data.embeddings="$out/embeddings.h5" --set model.base="$out/lm/checkpoints/best" \
    --set validate.labeler="$out/chexbert" --set run.dir="$out/lora" "${extra[@]}"

# The model as it is; without its eyes; without the classifier's findings.
echo "== reports on the test split's radiographs"
write() { # NAME [options]
    local name=$1
    shift
    $radialog generate "$out/lora" --split test --set data.instruct="$out/instruct" \
        --set data.embeddings="$out/embeddings.h5" --set model.base="$out/lm/checkpoints/best" \
        --set generate.max_new_tokens=160 --out "$out/$name.jsonl" "$@"
}
write full
write blind --set generate.images=blank
write no-findings --set generate.findings=removed --set instruct.prompts=configs/demo/prompts.json
head -3 "$out/full.jsonl"

echo "== what they are worth"
$radialog evaluate "$out/full.jsonl" "$out/blind.jsonl" "$out/no-findings.jsonl" \
    --constant --checkpoint "$out/chexbert" --shards "$out/shards" --out "$out/evaluation"
