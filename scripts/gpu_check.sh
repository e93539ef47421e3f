#!/usr/bin/env bash
# Checks and times radialog on a machine with a GPU: one command, no packages, no network, less than ten minutes.
# Builds from .gpu/ (scripts/gpu_pack.sh), compares the GPU with the CPU, ranks with one rank and replayed steps
# with launched ones, looks for wrong memory accesses and races, and measures. docs/gpu.md explains the table.
#   scripts/gpu_check.sh                 everything
#   scripts/gpu_check.sh STEP...         these steps (and what they build on, if it is not there yet)
#   scripts/gpu_check.sh --list          their names
#   scripts/gpu_check.sh --rehearse ...  on a machine without a GPU: the same commands on the CPU, small and short
#   --minutes N                          what must be done by then is (default 9.5)
# Status 1 if a step failed or found no time. Tables and logs go to build/gpu-check, and to $OUT where it is set.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

# name, seconds at most, what it does
known=(
    "unpack 40 unpacks .gpu/ into an empty prefix"
    "build 180 configures and builds from the prefix alone"
    "smoke 40 reads the packed shards, trains two steps on the CPU"
    "doctor 20 what the program says of the machine"
    "ops 120 every op on the GPU against the oracle, in each precision"
    "models 120 whole models on the GPU against the CPU, in each precision; steps replayed against launched"
    "curves 100 losses of each stage, GPU against CPU, in each precision"
    "graphs 60 the same run with and without recorded steps"
    "ranks 90 two ranks on one card against one, a rank killed, a rank that hangs"
    "memcheck 60 compute-sanitizer: accesses out of bounds"
    "racecheck 60 compute-sanitizer: races in shared memory"
    "initcheck 60 compute-sanitizer: reads of memory that nothing wrote"
    "ceilings 40 copy bandwidth and matrix products, measured"
    "classifier 90 training steps of the paper's classifier, against the ceilings"
    "shards 60 the same from shards"
    "peer 150 PyTorch's training steps of the same model"
)

# --- options -------------------------------------------------------------------------------------------------
minutes="" only=() run_one="" REHEARSE=${REHEARSE:-}
while [ $# -gt 0 ]; do
    case $1 in
    --list) printf '%s\n' "${known[@]}" | sed 's/ / (at most /; s/ \([^(]\)/ s) \1/2'; exit 0 ;;
    --rehearse) REHEARSE=1 ;;
    --minutes) minutes=${2:?--minutes needs a number}; shift ;;
    --step) run_one=${2:?}; shift ;;
    -*) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    *)
        printf '%s\n' "${known[@]}" | grep -q "^$1 " || { echo "gpu_check: no step '$1'; --list names them" >&2; exit 2; }
        only+=("$1")
        ;;
    esac
    shift
done
export REHEARSE
# A rehearsal may have two cores: it takes its time.
minutes=${minutes:-$([ -n "$REHEARSE" ] && echo 40 || echo 9.5)}

# --- where things are ----------------------------------------------------------------------------------------
root=$PWD
prefix=$root/build/gpu-prefix
build=$root/build/gpu
work=$root/build/gpu-check
radialog=$build/radialog
export PATH=$PATH:/usr/local/cuda/bin:/usr/local/nvidia/bin
export OMP_WAIT_POLICY=passive

note() { echo "note: $*"; }      # what the table says beside the result
skip() { note "skipped: $*"; exit 77; }
fail() { note "$*"; exit 1; }
has_gpu() { nvidia-smi -L 2>/dev/null | grep -q '^GPU'; }
need_gpu() { has_gpu || skip "no GPU"; }
# The device under test: in a rehearsal the CPU stands in for it.
device() { if [ -n "$REHEARSE" ]; then echo cpu; else echo cuda; fi; }
need_device() { [ -n "$REHEARSE" ] || need_gpu; }
need_cuda_build() { grep -q '^RADIALOG_CUDA:.*=ON' "$build/CMakeCache.txt" || skip "built without CUDA"; }
cores() { nproc; }
precisions() { if [ -n "$REHEARSE" ]; then echo f32 bf16; else echo f32 tf32 bf16 fp16; fi; }
# PRECISION: the words for it.
precision_words() {
    if [ "$1" = tf32 ]; then echo "--precision f32 --set run.tf32=true"; else echo "--precision $1"; fi
}
metrics() { python3 scripts/gpu/metrics.py "$@"; }

# --- build ---------------------------------------------------------------------------------------------------
step_unpack() {
    [ -f .gpu/prefix.tar.gz ] || fail "no .gpu/prefix.tar.gz: scripts/gpu_pack.sh makes it, and it must travel here"
    rm -rf "$prefix"
    mkdir -p "$prefix"
    tar -xzf .gpu/prefix.tar.gz -C "$prefix" || fail "cannot unpack"
    local packed here
    packed=$(sed -n 's/^glibc //p' "$prefix/LIST")
    here=$(ldd --version | sed -n '1s/.* //p')
    [ "$(printf '%s\n' "$packed" "$here" | sort -V | head -n 1)" = "$packed" ] ||
        fail "packed where glibc is $packed, here it is $here: pack on an older system"
    note "$(sed -n 1p "$prefix/LIST"), glibc $here, $(cores) cores, $(gcc -dumpfullversion) gcc"
    if has_gpu; then
        note "$(nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap --format=csv,noheader | head -n 1)"
    else
        note "no GPU"
    fi
}

# Folders with headers that CUDA's own lacks: of the python wheels, else the packed ones.
cuda_include_folders() {
    local cuda name folder
    cuda=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
    for name in cudnn.h nccl.h cublasLt.h; do
        [ -f "$cuda/include/$name" ] && continue
        folder=$(python3 - "$name" <<'END'
import glob, os, site, sys
for base in [*site.getsitepackages(), site.getusersitepackages()]:
    for header in glob.glob(os.path.join(base, "nvidia", "*", "include", sys.argv[1])):
        print(os.path.dirname(header))
        sys.exit()
END
        )
        echo "${folder:-$prefix/include-cuda}"
    done | sort -u
}

step_build() {
    local start=$SECONDS cuda=OFF flags="" arch folder
    if command -v nvcc >/dev/null && [ -z "${RADIALOG_CHECK_CPU_ONLY:-}" ]; then
        cuda=ON
        for folder in $(cuda_include_folders); do flags="$flags -idirafter $folder"; done
    elif has_gpu; then
        fail "there is a GPU but no nvcc"
    fi
    arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -dc 0-9)
    rm -rf "$build"
    # Libraries of the prefix find each other by the program's old-style rpath, so that python, cmake and others
    # keep the system's.
    cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DRADIALOG_CUDA=$cuda \
        -DRADIALOG_CUDA_ARCH="${arch:-90}-real" -DCMAKE_C_FLAGS="$flags" \
        -DCMAKE_PREFIX_PATH="$prefix" -DPKG_CONFIG_EXECUTABLE="$prefix/bin/pkg-config" \
        -DDNNL_INCLUDE_DIR="$prefix/include" -DDNNL_LIBRARY="$prefix/lib/libdnnl.so" \
        -DZLIB_INCLUDE_DIR="$prefix/include" -DZLIB_LIBRARY="$prefix/lib/libz.so" \
        -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON \
        -DCMAKE_EXE_LINKER_FLAGS="-Wl,--disable-new-dtags,-rpath,$prefix/lib" || fail "configuring failed"
    # shellcheck disable=SC2086
    cmake --build "$build" ${RADIALOG_CHECK_TARGETS:+--target $RADIALOG_CHECK_TARGETS} -j "$(cores)" ||
        fail "the build failed"
    note "built in $((SECONDS - start)) s, CUDA $cuda"
    check_origin
}

# Nothing of what is packed may have come from the system instead: no header, no library.
check_origin() {
    local bad
    (cd "$prefix/include" && find . -type f -printf '/usr/include/%P\n' | sort) >"$work/packed.headers"
    ninja -C "$build" -t deps 2>/dev/null | sed -n 's/^ *//p' | sed "s,/usr/include/$(gcc -print-multiarch)/,/usr/include/," |
        grep '^/usr/include/' | sort -u >"$work/used.headers"
    bad=$(comm -12 "$work/packed.headers" "$work/used.headers" | head -n 3)
    [ -z "$bad" ] || fail "headers of the system instead of the packed ones: $bad"
    [ -x "$radialog" ] || return 0
    bad=$(ldd "$radialog" | awk -v lib="$prefix/lib/" '/=>/ && index($3, lib) != 1 { print $1 }' |
        while read -r name; do [ ! -e "$prefix/lib/$name" ] || echo "$name"; done)
    [ -z "$bad" ] || fail "libraries of the system instead of the packed ones: $bad"
    ! ldd "$radialog" | grep 'not found' || fail "libraries are missing"
}

# --- first words ---------------------------------------------------------------------------------------------
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

step_smoke() {
    "$radialog" inspect .gpu/shards || fail "cannot read the packed shards"
    train_tiny smoke --device cpu --set run.max_steps=2
    note "$("$radialog" inspect .gpu/shards | head -n 1 | sed 's/.*: //'); loss $(metrics last "$work/smoke")"
}

step_doctor() {
    "$radialog" doctor --help >/dev/null 2>&1 || skip "this version has no doctor"
    "$radialog" doctor
}

# --- parity --------------------------------------------------------------------------------------------------
# PATTERN JOBS [WITHOUT]: test programs by name; where there is a GPU they must use it.
run_tests() {
    local log=$work/ctest.$$ status
    need_device
    if has_gpu; then export RADIALOG_REQUIRE_GPU=1; fi
    ctest --test-dir "$build" --output-on-failure --no-tests=error -R "$1" -j "$2" ${3:+-E "$3"} -V >"$log" 2>&1
    status=$?
    grep -vE '^(UpdateCTestConf|Parse|Test command|Working Dir|Test timeout|Environment)' "$log"
    note "$(grep -E 'tests passed|No tests were found' "$log" | head -n 1)"
    if grep -q 'skipped: no GPU' "$log"; then note "$(grep -c 'skipped: no GPU' "$log") without GPU"; fi
    rm -f "$log"
    return $status
}

# gpu_test_* are the op tests' own programs, with the GPU in the place of the kernels' stand-in on the CPU, which
# a rehearsal takes instead.
step_ops() {
    [ -z "$REHEARSE" ] || { run_tests '^test_(add|linear|relu)$' 2 || fail "ops differ"; return; }
    need_device
    need_cuda_build
    run_tests '^gpu_test_' "$(($(cores) / 2 + 1))" 'graphs|device_models' || fail "ops differ"
}

step_models() {
    [ -z "$REHEARSE" ] || { run_tests '^test_device_models$' 1 || fail "models differ"; return; }
    need_device
    need_cuda_build
    run_tests '^gpu_test_(graphs|device_models)' 3 || fail "models or replayed steps differ"
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

# --- sanitizers ----------------------------------------------------------------------------------------------
sanitize() {
    need_gpu
    need_cuda_build
    local tool
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda/compute-sanitizer/compute-sanitizer 2>/dev/null) ||
        skip "no compute-sanitizer"
    local small="--set train.batch=4 --set data.size=64 --set data.limit=8 --set run.max_steps=2 --set data.threads=1"
    # shellcheck disable=SC2086
    "$tool" --tool "$1" --error-exitcode 9 --print-limit 20 "$radialog" train classifier $tiny $small \
        --set run.dir="$work/$1" --device cuda --precision "${2:-f32}" --set run.graphs=false >"$work/$1.out" 2>&1
    local status=$?
    tail -n 60 "$work/$1.out"
    grep -q 'Device not supported' "$work/$1.out" && skip "compute-sanitizer: device not supported"
    [ $status = 0 ] || fail "$(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY|========= Error' "$work/$1.out" | tail -n 1)"
    note "$(grep -E 'SUMMARY' "$work/$1.out" | tail -n 1 | sed 's/=* *//')"
}
step_memcheck() { sanitize memcheck; }
step_racecheck() { sanitize racecheck; }
step_initcheck() { sanitize initcheck; }

# --- speed ---------------------------------------------------------------------------------------------------
# Lines that begin with "|" are collected into the tables of the report.
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
    metrics row "$work/classifier-$1-$2.json" "$work/ceiling-$1.json" "radialog $1"
}

step_classifier() {
    need_device
    local p b batches="64 128 256 512" list="fp16 bf16 tf32"
    if [ -n "$REHEARSE" ]; then batches="2 4"; list="f32 bf16"; fi
    metrics head
    for p in $list; do
        for b in $batches; do
            bench_classifier "$p" "$b" || { [ "$b" != "${batches%% *}" ] || return 1; break; }
        done
    done
    note "$(metrics best "$work"/classifier-*.json)"
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

# --- the runner ----------------------------------------------------------------------------------------------
if [ -n "$run_one" ]; then
    "step_$run_one"
    exit
fi

mkdir -p "$work"
passed=0 failed=0 skipped=0 table=$work/gpu.md log=$work/gpu.log
deadline=$(awk "BEGIN { printf \"%d\", $minutes * 60 }")
: >"$log"
rows=()

card() { nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -n 1; }

# Written anew after each step, so that what is known is there if this run is ended.
write_report() {
    {
        echo "$(date -u +%F), $(card || true)$([ -z "$REHEARSE" ] || echo 'rehearsal without a GPU'), commit $(git rev-parse --short HEAD 2>/dev/null || sed -n '1s/radialog //p' .gpu/LIST)"
        echo
        echo "| step | result | s | |"
        echo "|---|---|---|---|"
        printf '%s\n' "${rows[@]}"
        for one in "$work"/*.log; do
            [ "$one" != "$log" ] || continue
            awk '/^\|/ { if (!lines++) print ""; print }' "$one"
        done
    } >"$table"
    [ -z "${OUT:-}" ] || { mkdir -p "$OUT" && cp "$table" "$log" "$OUT/"; }
}

run_step() { # NAME LIMIT
    local left=$((deadline - SECONDS)) limit=$2 start=$SECONDS status result notes
    [ -z "$REHEARSE" ] || limit=$((limit * 4))
    [ "$left" -ge "$limit" ] || limit=$left
    if [ "$limit" -lt 5 ]; then
        echo "note: no time left" >"$work/$1.log"
        status=1
    else
        echo "== $1" >&2
        timeout -k 5 "$limit" "$0" --step "$1" >"$work/$1.log" 2>&1
        status=$?
    fi
    case $status in
    0) result=passed; passed=$((passed + 1)) ;;
    77) result=skipped; skipped=$((skipped + 1)) ;;
    124 | 137) result="FAILED"; failed=$((failed + 1)); echo "note: stopped after $limit s" >>"$work/$1.log" ;;
    *) result="FAILED"; failed=$((failed + 1)) ;;
    esac
    notes=$(sed -n 's/^note: //p' "$work/$1.log" | paste -sd';' | sed 's/;/; /g; s/|/,/g')
    rows+=("| $1 | $result | $((SECONDS - start)) | $notes |")
    { echo "== $1: $result"; cat "$work/$1.log"; } >>"$log"
    [ "$result" != FAILED ] || tail -n 25 "$work/$1.log" | sed "s/^/  /" >&2
    write_report
}

find "$work" -maxdepth 1 -name '*.log' ! -name gpu.log -delete
for entry in "${known[@]}"; do
    read -r name limit _ <<<"$entry"
    if [ ${#only[@]} -gt 0 ] && [[ " ${only[*]} " != *" $name "* ]]; then
        # Asked for some: what they build on comes first, once.
        case $name in
        unpack) [ ! -x "$radialog" ] || continue ;;
        build) [ ! -x "$radialog" ] || continue ;;
        *) continue ;;
        esac
    fi
    run_step "$name" "$limit"
    if [ "$failed" -gt 0 ] && [[ " unpack build " == *" $name "* ]]; then break; fi
done
[ -n "${rows[*]}" ] || write_report
cat "$table"
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
