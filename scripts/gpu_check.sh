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
    "data 60 what stages read of each other: vocabularies, conversations, image tokens, a language model"
    "ops 120 every op on the GPU against the oracle, in each precision"
    "models 120 whole models on the GPU against the CPU, in each precision; steps replayed against launched"
    "curves 100 losses of every stage, GPU against CPU, in each precision"
    "graphs 90 every stage's run with and without recorded steps"
    "answers 30 texts that generate writes, GPU against CPU"
    "ranks 150 two ranks on one card against one, a rank killed, a rank that hangs"
    "memcheck 60 compute-sanitizer: accesses out of bounds"
    "racecheck 60 compute-sanitizer: races in shared memory"
    "initcheck 60 compute-sanitizer: reads of memory that nothing wrote"
    "ceilings 40 copy bandwidth and matrix products, measured"
    "classifier 90 training steps of the paper's classifier, against the ceilings"
    "stages 90 training steps of the other stages and writing, at the paper's sizes"
    "shards 60 the classifier's steps from shards"
    "peer 150 PyTorch's training steps of the same model"
)

# --- options -------------------------------------------------------------------------------------------------
minutes="" only=() run_one="" REHEARSE=${REHEARSE:-}
while [ $# -gt 0 ]; do
    case $1 in
    --list) printf '%s\n' "${known[@]}" | sed 's/ \([0-9]*\) / (at most \1 s): /'; exit 0 ;;
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
build=$root/build/gpu${RADIALOG_CHECK_UNOPTIMISED:+-unoptimised} # never timed by a later call
work=$root/build/gpu-check
radialog=$build/radialog
export PATH=$PATH:/usr/local/cuda/bin:/usr/local/nvidia/bin
export OMP_WAIT_POLICY=passive

note() { echo "note: $*"; }      # what the table says beside the result
skip() { note "skipped: $*"; exit 77; }
fail() { note "$*"; exit 1; }
# Not grep -q: with several GPUs nvidia-smi would die of the closed pipe, and so would the answer.
has_gpu() { nvidia-smi -L 2>/dev/null | grep '^GPU' >/dev/null; }
need_gpu() { has_gpu || skip "no GPU"; }
# The device under test: in a rehearsal the CPU stands in for it.
device() { if [ -n "$REHEARSE" ]; then echo cpu; else echo cuda; fi; }
need_device() { [ -n "$REHEARSE" ] || need_gpu; }
need_cuda_build() { grep -q '^RADIALOG_CUDA:.*=ON' "$build/CMakeCache.txt" || skip "built without CUDA"; }
cores() { nproc; }
precisions() { if [ -n "$REHEARSE" ]; then echo f32 bf16; else echo f32 tf32 bf16 fp16; fi; }
# STAGE: the precisions it is compared in. The classifier may have its norms inside the convolutions besides.
stage_precisions() {
    precisions
    if [ "$1" = classifier ]; then echo "$([ -n "$REHEARSE" ] && echo f32 || echo fp16)+fused"; fi
}
# PRECISION: the words for it.
precision_words() {
    if [ "${1%+fused}" = tf32 ]; then echo "--precision f32 --set run.tf32=true"; else echo "--precision ${1%+fused}"; fi
    [ "$1" = "${1%+fused}" ] || echo "--set run.fused_norms=true"
}
metrics() { python3 scripts/gpu/metrics.py "$@"; }

# shellcheck source=scripts/gpu/build.sh
. scripts/gpu/build.sh
# shellcheck source=scripts/gpu/training.sh
. scripts/gpu/training.sh
# shellcheck source=scripts/gpu/speed.sh
. scripts/gpu/speed.sh

# --- what it says of itself ----------------------------------------------------------------------------------
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
# a rehearsal takes instead; test_cuda_* call cuBLAS and cuDNN bare.
step_ops() {
    [ -z "$REHEARSE" ] || { run_tests '^test_(add|linear|relu)$' 2 || fail "ops differ"; return; }
    need_device
    need_cuda_build
    run_tests '^(gpu_test_.*|test_cuda_(libraries|fused))$' "$(($(cores) / 2 + 1))" 'graphs|test_device_' ||
        fail "ops differ"
}

step_models() {
    [ -z "$REHEARSE" ] || { run_tests '^test_device_(aligner|chexbert|llama|models)$' 1 || fail "models differ"; return; }
    need_device
    need_cuda_build
    run_tests '^gpu_test_(graphs|device_(aligner|chexbert|llama|models))' 3 || fail "models or replayed steps differ"
}

# --- sanitizers ----------------------------------------------------------------------------------------------
sanitize() {
    need_gpu
    need_cuda_build
    local tool
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda/compute-sanitizer/compute-sanitizer 2>/dev/null) ||
        skip "no compute-sanitizer"
    local small="--set train.batch=4 --set data.size=64 --set data.limit=8 --set run.max_steps=2 --set data.threads=1"
    # shellcheck disable=SC2046,SC2086
    "$tool" --tool "$1" --error-exitcode 9 --print-limit 20 "$radialog" train $(stage_words classifier) $small \
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
