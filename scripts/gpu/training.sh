# shellcheck shell=bash disable=SC2154
# The steps of scripts/gpu_check.sh that train, small, and compare; sourced there, whose variables these are.

tiny="--config configs/demo/classifier.json --set data.shards=.gpu/shards --set train.checkpoint_every=0 \
--set train.validate_first=false --set optim.schedule=constant --set optim.warmup_steps=0 --set optim.lr=3e-4 \
--set data.limit=96 --fresh --quiet"

# NAME WORDS...: trains the demo's classifier into $work/NAME.
train_tiny() {
    local name=$1
    shift
    rm -rf "${work:?}/$name"
    # shellcheck disable=SC2086
    "$radialog" train classifier $tiny --set run.dir="$work/$name" "$@" >"$work/$name.out" ||
        fail "training $name failed: $(tail -n 1 "$work/$name.out")"
}

step_curves() {
    need_device
    local p failed=0 tolerance
    train_tiny curve-cpu --device cpu --set run.max_steps=24
    for p in $(precisions); do
        # shellcheck disable=SC2046
        train_tiny "curve-$p" --device "$(device)" $(precision_words "$p") --set run.max_steps=24
        # First loss: the same weights, so roundings alone. Whole curve: what roundings grow into (docs/gpu.md).
        case $p in
        f32) tolerance="1e-5 1e-3" ;;
        tf32) tolerance="1e-3 1e-2" ;;
        fp16) tolerance="2e-3 1e-2" ;;
        *) tolerance="1e-2 2e-2" ;;
        esac
        # shellcheck disable=SC2086
        metrics compare "$work/curve-cpu" "$work/curve-$p" $tolerance "$p" || failed=1
    done
    return $failed
}

step_graphs() {
    need_device
    local p failed=0
    for p in $(precisions); do
        # shellcheck disable=SC2046
        train_tiny "graph-$p" --device "$(device)" $(precision_words "$p") --set run.max_steps=16 --set run.graphs=true
        # shellcheck disable=SC2046
        train_tiny "eager-$p" --device "$(device)" $(precision_words "$p") --set run.max_steps=16 --set run.graphs=false
        metrics equal "$work/graph-$p" "$work/eager-$p" "$p" || failed=1
        grep -h 'launched one by one' "$work/graph-$p/log.txt" && { note "$p: not recorded"; failed=1; }
    done
    return $failed
}

# --- ranks ---------------------------------------------------------------------------------------------------
# NAME WORDS...: two ranks on one card: both take GPU 0, where rank 1 would look for GPU 1. NCCL takes two ranks of
# one machine on one card for a mistake; with host names of their own they talk through sockets. Leaves the ranks'
# process ids in $work/NAME.pids.
start_ranks() {
    local name=$1 port=$((20000 + RANDOM % 20000)) rank
    shift
    rm -rf "${work:?}/$name"
    : >"$work/$name.pids"
    for rank in 0 1; do
        # shellcheck disable=SC2086
        RANK=$rank WORLD_SIZE=2 LOCAL_RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port NCCL_HOSTID=host$rank \
            NCCL_NET=Socket NCCL_SOCKET_IFNAME=lo "$radialog" train classifier $tiny --set run.dir="$work/$name" --device cuda "$@" \
            >"$work/$name.$rank.out" 2>&1 &
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

step_ranks() {
    [ -z "$REHEARSE" ] || skip "no GPU"
    need_gpu
    need_cuda_build
    local pid status failed=0
    train_tiny one-rank --device cuda --set run.max_steps=12
    start_ranks two-ranks --set run.max_steps=12
    end_ranks two-ranks 40
    status=$(cat "$work/two-ranks.status")
    if [ "$status" = "0 0 " ]; then
        metrics compare "$work/one-rank" "$work/two-ranks" 1e-5 1e-3 "two ranks" || failed=1
    else
        cat "$work"/two-ranks.?.out
        grep -qi 'duplicate gpu' "$work"/two-ranks.?.out && skip "NCCL refuses two ranks on one card"
        fail "two ranks ended with $status"
    fi

    start_ranks killed --set run.max_steps=100000 --set run.watchdog=5
    sleep 8
    read -r pid < <(tail -n 1 "$work/killed.pids")
    kill -KILL "$pid"
    end_ranks killed 20
    read -r status _ <"$work/killed.status"
    note "rank 1 killed: rank 0 ended with $status"
    [ "$status" = 1 ] || failed=1

    start_ranks hangs --set run.max_steps=100000 --set run.watchdog=5
    sleep 8
    read -r pid < <(tail -n 1 "$work/hangs.pids")
    kill -STOP "$pid"
    sleep 8
    kill -CONT "$pid"
    end_ranks hangs 15
    status=$(cat "$work/hangs.status")
    grep -h 'rank 0 of 2' "$work/hangs.0.out" | tail -n 1
    note "rank 1 hung: ended with $status"
    case $status in 1\ *) ;; *) failed=1 ;; esac
    grep -q 'rank 0 of 2' "$work/hangs.0.out" || { note "no word of rank and operation"; failed=1; }
    return $failed
}
