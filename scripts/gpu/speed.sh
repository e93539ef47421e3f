# shellcheck shell=bash disable=SC2154
# The steps of scripts/gpu_check.sh that measure; sourced there, whose variables these are. Lines that begin with "|" are
# collected into the tables of its report.

step_ceilings() {
    need_device
    local p
    echo "| ceiling | measured |"
    echo "|---|---|"
    for p in $(precisions); do
        # shellcheck disable=SC2046
        "$radialog" bench device --device "$(device)" $(precision_words "$p") --json >"$work/ceiling-$p.json" ||
            fail "bench device failed in $p"
        metrics ceiling "$work/ceiling-$p.json" "$p"
    done
}

# PRECISION BATCH: one measurement of the paper's classifier as a line of the table.
bench_classifier() {
    local words="--size 488 --rounds 20 --warmup 5"
    [ -z "$REHEARSE" ] || words="--size 128 --rounds 2 --warmup 1"
    # shellcheck disable=SC2046,SC2086
    "$radialog" bench classifier --device "$(device)" $(precision_words "$1") --batch "$2" $words --json \
        >"$work/classifier-$1-$2.json" || { echo "batch $2 in $1 failed"; return 1; }
    metrics row "$work/classifier-$1-$2.json" "$work/ceiling-${1%+fused}.json" "radialog $1"
}

step_classifier() {
    need_device
    local p b batches="64 128 256 512" list="fp16 bf16 tf32 fp16+fused"
    if [ -n "$REHEARSE" ]; then batches="2 4"; list="f32 bf16 f32+fused"; fi
    metrics head
    for p in $list; do
        for b in $batches; do
            bench_classifier "$p" "$b" || { [ "$b" != "${batches%% *}" ] || return 1; break; }
        done
    done
    note "$(metrics best "$work"/classifier-*.json)"
}

llama=build/gpu-check/llama # relative, as words are split at blanks

# A LLaMA of 7B's widths with 4 of its 32 layers, which are alike: drawing the weights of all would take a minute.
write_llama() {
    local from=configs/models/llama-7b/config.json to=$llama/config.json sizes='s/\(layers": \)32/\14/'
    [ -z "$REHEARSE" ] || sizes='s/\(layers": \)32/\12/; s/\(heads": \)32/\12/; s/4096/128/; s/11008/256/'
    mkdir -p $llama
    sed "$sizes" "$from" >"$to"
    ! cmp -s "$from" "$to" || fail "$from is not written as write_llama expects"
}

# TITLE STAGE WORDS...: one measurement of a stage as a line of the table.
bench_stage() {
    local title=$1 stage=$2 p=bf16 to
    to=$work/stage-${title//[^a-z0-9]/-}.json
    shift 2
    "$radialog" bench "$stage" --device "$(device)" --precision $p "$@" --json >"$to" || { note "$title failed"; return 1; }
    metrics stage_row "$to" "$work/ceiling-$p.json" "$title"
}

# The labeler has no benchmark of its own: what its training says of itself, with short reports.
train_labeler() {
    local size=paper words="--set model.init= --set data.max_tokens=512 --set train.batch=64 --set run.max_steps=30"
    [ -z "$REHEARSE" ] || { size=demo; words="--set run.max_steps=6"; }
    rm -rf "$work/labeler"
    # shellcheck disable=SC2086
    "$radialog" train chexbert --config configs/$size/chexbert.json --device "$(device)" --precision bf16 \
        --set data.shards=.gpu/shards --set model.vocabulary=$data/vocab.txt --set run.dir="$work/labeler" $words \
        --set train.validate_first=false --set train.checkpoint_every=0 --set train.validate_every=100000 --quiet \
        >"$work/labeler.out" || fail "training the labeler failed"
    note "chexbert $(metrics rate "$work/labeler" 4) texts/s"
    rm -rf "$work/labeler" # a gigabyte
}

step_stages() {
    need_device
    need_data
    local failed=0 rounds="--rounds 10 --warmup 3" aligner=paper pairs=32 texts=16 tokens=64 base="--set model.base=$llama"
    [ -z "$REHEARSE" ] || { rounds="--rounds 2" aligner=demo pairs=4 texts=2 tokens=8; }
    write_llama
    metrics stage_head
    # shellcheck disable=SC2086
    {
        bench_stage "aligner" aligner --config configs/$aligner/aligner.json --batch $pairs $rounds || failed=1
        bench_stage "lora" lora --config configs/paper/lora.json --batch $texts $rounds $base || failed=1
        bench_stage "lora, base in NF4" lora --config configs/paper/lora.json --batch $texts $rounds $base \
            --set model.storage=nf4 || failed=1
        bench_stage "lora, base in FP8" lora --config configs/paper/lora.json --batch $texts $rounds $base \
            --set model.storage=fp8 || failed=1
        bench_stage "generate, one answer" generate --batch 1 --tokens $tokens $rounds $base \
            --set generate.merge=true || failed=1
        bench_stage "generate, $texts answers" generate --batch $texts --tokens $tokens $rounds $base \
            --set generate.merge=true || failed=1
    }
    train_labeler
    return $failed
}

step_shards() {
    need_device
    local studies=600 side=512 shards=$work/plain batch=64 size=488 steps=60 precision=fp16 words=""
    if [ -n "$REHEARSE" ]; then studies=40 batch=4 size=128 steps=12 precision=f32; words="--set model.blocks=[1,1,1,1]"; fi
    rm -rf "$work/films" "$shards" "$work/fed"
    "$radialog" synth "$work/films" --studies $studies --seed 5 --max-side $side --quiet >/dev/null || fail "no films"
    "$radialog" ingest --source mimic "$work/films" --out "$shards" --quiet >/dev/null || fail "no shards"
    # shellcheck disable=SC2086
    "$radialog" train classifier --config configs/paper/classifier.json --device "$(device)" --precision $precision \
        --set data.shards="$shards" --set run.dir="$work/fed" --set train.batch=$batch --set data.size=$size \
        --set data.crop=488 --set data.threads=4 --set run.max_steps=$steps --set train.validate_first=false \
        --set train.checkpoint_every=0 --set train.validate_every=100000 $words --quiet >"$work/fed.out" ||
        fail "training from shards failed"
    note "$(metrics rate "$work/fed" $((steps / 3))) images/s in $precision, batch $batch"
    # Beside a step without a loader, the price of feeding it.
    [ -n "$REHEARSE" ] || [ ! -f "$work/classifier-$precision-$batch.json" ] ||
        note "$(metrics share "$work/fed" $((steps / 3)) "$work/classifier-$precision-$batch.json") of the step alone"
    rm -rf "$work/films"
}

step_peer() {
    need_device
    python3 -c 'import torch' 2>/dev/null || skip "no PyTorch"
    local words="--size 488 --rounds 20 --batches 64,256 --seconds 130"
    [ -z "$REHEARSE" ] || words="--size 128 --rounds 2 --batches 2 --seconds 60 --device cpu"
    # shellcheck disable=SC2086
    python3 scripts/bench/classifier_gpu.py $words --out "$work/peer.json" || fail "the peer failed"
    note "$(metrics ratio "$work/peer.json" "$work"/classifier-*.json)"
}
