# shellcheck shell=bash disable=SC2154
# The steps of scripts/gpu_check.sh that train small models of every stage and compare; sourced there, whose variables
# these are.

stages="classifier chexbert aligner lm lora"
data=build/gpu-check/data # of the stages; relative, as words are split at blanks

# STAGE: the words of its small run: the demo's model, a constant rate, validated now and then between steps.
stage_words() {
    echo "$1 --config configs/demo/$1.json --set train.checkpoint_every=0 --set train.validate_first=false \
--set train.validate_every=8 --set optim.schedule=constant --set optim.warmup_steps=0 --fresh --quiet"
    case $1 in
    classifier) echo "--set data.shards=.gpu/shards --set data.limit=96 --set optim.lr=3e-4" ;;
    chexbert) echo "--set data.shards=.gpu/shards --set model.vocabulary=$data/vocab.txt --set optim.lr=3e-4" ;;
    aligner) echo "--set data.shards=.gpu/shards --set model.vocabulary=$data/vocab.txt --set optim.lr=3e-4 \
--set model.encoder=$data/classifier --set model.init=" ;;
    lm) echo "--set data.instruct=$data/instruct --set model.tokenizer=$data/tokenizer.model" ;;
    lora) echo "--set data.instruct=$data/instruct --set data.embeddings=$data/embeddings.h5 \
--set model.base=$data/lm/checkpoints/best --set validate.answers=0 --set validate.labeler= --set validate.best=loss" ;;
    esac
}

# FOLDER STAGE WORDS...: trains STAGE, small, into FOLDER.
train_small() {
    local folder=$1 stage=$2
    shift 2
    rm -rf "${folder:?}"
    # shellcheck disable=SC2046
    "$radialog" train $(stage_words "$stage") --set run.dir="$folder" "$@" >"$folder.out" 2>&1 ||
        fail "training ${folder##*/} failed: $(tail -n 1 "$folder.out")"
}

step_smoke() {
    "$radialog" inspect .gpu/shards || fail "cannot read the packed shards"
    train_small "$work/smoke" classifier --device cpu --set run.max_steps=2
    note "$("$radialog" inspect .gpu/shards | head -n 1 | sed 's/.*: //'); loss $(metrics last "$work/smoke")"
}

# All that later stages read of earlier ones, made on the CPU. The language model learns for as long as it takes to
# answer different prompts differently.
step_data() {
    local start=$SECONDS
    rm -rf "$data"
    mkdir -p "$data"
    "$radialog" tokenizer train --type wordpiece --size 1000 --out $data/vocab.txt .gpu/shards || fail "no vocab.txt"
    "$radialog" tokenizer train --type sentencepiece --size 800 --out $data/tokenizer.model .gpu/shards ||
        fail "no tokenizer.model"
    "$radialog" instruct .gpu/shards --out $data/instruct --set instruct.tokenizer=$data/tokenizer.model \
        --set instruct.image_tokens=8 --set instruct.prompts=configs/demo/prompts.json --quiet || fail "no conversations"
    train_small $data/classifier classifier --device cpu --set run.max_steps=2
    train_small $data/aligner aligner --device cpu --set run.max_steps=2
    "$radialog" embed .gpu/shards --checkpoint $data/aligner --out $data/embeddings.h5 --quiet || fail "no image tokens"
    train_small $data/lm lm --device cpu --set run.max_steps=120
    train_small $data/lora lora --device cpu --set run.max_steps=24
    touch $data/complete
    note "made in $((SECONDS - start)) s, loss of the language model $(metrics last $data/lm), with adapters $(metrics last $data/lora)"
}

need_data() { [ -f $data/complete ] || step_data; }

# Runs that are compared go at the same time: small ones leave a GPU and most cores idle.
step_curves() {
    need_device
    need_data
    local stage p failed=0
    for stage in $stages; do
        train_small "$work/curve-$stage-cpu" "$stage" --device cpu --set run.max_steps=24 &
        for p in $(stage_precisions "$stage"); do
            # shellcheck disable=SC2046
            train_small "$work/curve-$stage-$p" "$stage" --device "$(device)" $(precision_words "$p") \
                --set run.max_steps=24 &
        done
        wait
        # shellcheck disable=SC2046
        metrics curves "$stage" "$work/curve-$stage" $(stage_precisions "$stage") || failed=1
    done
    return $failed
}

# The same texts in every step, which fit one piece: only steps of equal shapes are recorded.
step_graphs() {
    need_device
    need_data
    local stage p way failed=0
    for stage in $stages; do
        for p in $(stage_precisions "$stage"); do
            for way in true false; do
                # shellcheck disable=SC2046
                train_small "$work/graphs-$stage-$p-$way" "$stage" --device "$(device)" $(precision_words "$p") \
                    --set train.batch=8 --set data.limit=8 --set run.max_steps=16 --set run.graphs=$way &
            done
        done
        wait
        # shellcheck disable=SC2046
        metrics equal "$stage" "$work/graphs-$stage" $(stage_precisions "$stage") || failed=1
        [ -n "$REHEARSE" ] && continue
        for p in $(stage_precisions "$stage"); do
            grep -q ' is recorded' "$work/graphs-$stage-$p-true/log.txt" || { note "$stage $p: not recorded"; failed=1; }
        done
    done
    return $failed
}

# NAME WORDS...: what the small adapters say of the test split, a few answers at a time, into $work/NAME.jsonl.
write_answers() {
    local name=$1
    shift
    rm -f "$work/$name.jsonl"
    "$radialog" generate $data/lora --split test --set data.instruct=$data/instruct --quiet "$@" \
        --set data.embeddings=$data/embeddings.h5 --set model.base=$data/lm/checkpoints/best \
        --set generate.max_new_tokens=48 --set generate.slots=4 --out "$work/$name.jsonl" ||
        fail "writing ${name} failed"
}

step_answers() {
    need_device
    need_data
    local temperature failed=0
    for temperature in 0 1; do
        write_answers "answers-$temperature-cpu" --device cpu --set generate.temperature=$temperature
        write_answers "answers-$temperature" --device "$(device)" --set generate.temperature=$temperature
        metrics answers "$work/answers-$temperature-cpu.jsonl" "$work/answers-$temperature.jsonl" \
            "temperature $temperature" || failed=1
    done
    return $failed
}

# --- ranks ---------------------------------------------------------------------------------------------------
# NAME STAGE WORDS...: two ranks on one card: both take GPU 0, where rank 1 would look for GPU 1. NCCL takes two ranks of
# one machine on one card for a mistake; with host names of their own they talk through sockets. Leaves the ranks'
# process ids in $work/NAME.pids.
start_ranks() {
    local name=$1 stage=$2 port=$((20000 + RANDOM % 20000)) rank
    shift 2
    rm -rf "${work:?}/$name"
    : >"$work/$name.pids"
    for rank in 0 1; do
        # shellcheck disable=SC2046
        RANK=$rank WORLD_SIZE=2 LOCAL_RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port NCCL_HOSTID=host$rank \
            NCCL_NET=Socket NCCL_SOCKET_IFNAME=lo "$radialog" train $(stage_words "$stage") --device cuda \
            --set run.dir="$work/$name" "$@" >"$work/$name.$rank.out" 2>&1 &
        echo $! >>"$work/$name.pids"
    done
}

# NAME SECONDS: waits for both ranks; prints their exit statuses, "late" for one that had to be ended.
end_ranks() {
    local pid status end=$((SECONDS + $2))
    while read -r pid; do
        while kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $end ]; do sleep 0.2; done
        if kill -0 "$pid" 2>/dev/null; then
            kill -CONT "$pid"; kill -KILL "$pid"
            status=late
        else
            wait "$pid"
            status=$?
        fi
        printf '%s ' "$status"
    done <"$work/$1.pids" >"$work/$1.status"
}

# STAGE: two ranks train as one does.
compare_ranks() {
    local status
    train_small "$work/one-rank-$1" "$1" --device cuda --set run.max_steps=12
    start_ranks "two-ranks-$1" "$1" --set run.max_steps=12
    end_ranks "two-ranks-$1" 30
    status=$(cat "$work/two-ranks-$1.status")
    if [ "$status" != "0 0 " ]; then
        cat "$work/two-ranks-$1".?.out
        grep -qi 'duplicate gpu' "$work/two-ranks-$1".?.out && skip "NCCL refuses two ranks on one card"
        fail "$1: two ranks ended with $status"
    fi
    metrics ranks "$1" "$work/one-rank-$1" "$work/two-ranks-$1"
}

# FILE: prints the line in which rank 0 says which operation was late, its number, and that rank 1 is waited for
# (core/watchdog.c).
names_late_rank() {
    local operation='([a-z]+_[a-z_]+|barrier|broadcast|recorded step) [0-9]+'
    grep -E "^radialog: rank 0 of 2: $operation( has not ended|: ).*rank 1\\b" "$1"
}

step_ranks() {
    [ -z "$REHEARSE" ] || skip "no GPU"
    need_gpu
    need_cuda_build
    need_data
    local stage pid status failed=0
    for stage in $stages; do
        compare_ranks "$stage" || failed=1
    done

    start_ranks killed classifier --set run.max_steps=100000 --set run.watchdog=5
    sleep 8
    read -r pid < <(tail -n 1 "$work/killed.pids")
    kill -KILL "$pid"
    end_ranks killed 20
    read -r status _ <"$work/killed.status"
    note "rank 1 killed: rank 0 ended with $status"
    [ "$status" = 1 ] || failed=1

    start_ranks hangs classifier --set run.max_steps=100000 --set run.watchdog=5
    sleep 8
    read -r pid < <(tail -n 1 "$work/hangs.pids")
    kill -STOP "$pid"
    sleep 8
    kill -CONT "$pid"
    end_ranks hangs 15
    status=$(cat "$work/hangs.status")
    note "rank 1 hung: ended with $status"
    case $status in 1\ *) ;; *) failed=1 ;; esac
    names_late_rank "$work/hangs.0.out" || { note "no word of rank 1, operation and number"; failed=1; }
    return $failed
}
