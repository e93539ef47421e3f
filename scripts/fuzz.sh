#!/usr/bin/env bash
# scripts/fuzz.sh [SECONDS [NAME...]]: runs every fuzz target (or those named) for SECONDS each, 600 if not
# given, two at a time, and keeps in tests/fuzz/corpus/NAME/ the smallest set of inputs that reaches what was
# reached. docs/fuzzing.md says more. Exit status 1 if a target found something: the input is named.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-600}
[ $# -gt 0 ] && shift
most=48 limit=24000 # inputs and bytes of a corpus in the tree, beside its seeds
work=build/fuzz/work
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0

scripts/build.sh fuzz
if [ $# -gt 0 ]; then
    names=("$@")
else
    mapfile -t names < <(for source in tests/fuzz/fuzz_*.c; do basename "${source#tests/fuzz/fuzz_}" .c; done)
fi

run_target() {
    local name=$1 corpus=tests/fuzz/corpus/$1
    local flags=(-max_len=8192 -timeout=20 -rss_limit_mb=3000 -close_fd_mask=3)
    # libhdf5 itself loses memory on files that it refuses; see docs/fuzzing.md.
    [ "$name" = hdf5 ] && export LSAN_OPTIONS=suppressions=$PWD/tests/fuzz/lsan_hdf5.supp:print_suppressions=0
    # DCMTK asks for as much memory as a length says, up to 4 GiB, and leaves it untouched; see there too.
    [ "$name" = dicom ] && flags+=(-malloc_limit_mb=5000)
    mkdir -p "$work/$name" "$corpus"
    if ! build/fuzz/fuzz_"$name" "$work/$name" "$corpus" "${flags[@]}" -max_total_time="$seconds" \
        -use_value_profile=1 -print_final_stats=1 -artifact_prefix="$work/$name-" >"$work/$name.log" 2>&1; then
        echo "fuzz: $name: a finding; see $work/$name.log, the input is $work/$name-*" >&2
        return 1
    fi
    minimise "$name" "$corpus" "${flags[@]}"
    echo "$name: $(grep -a DONE "$work/$name.log" | tr -s '\t ' ' '), $(find "$corpus" -type f | wc -l) inputs kept"
}

# The seeds written by make_fuzz_corpus and by hand stay; of the rest a few of every size.
minimise() {
    local name=$1 corpus=$2 found total=0 size i step
    shift 2
    rm -rf "$work/$name-merged"
    mkdir -p "$work/$name-merged"
    build/fuzz/fuzz_"$name" -merge=1 "$work/$name-merged" "$corpus" "$work/$name" "$@" >"$work/$name-merge.log" 2>&1
    find "$corpus" -type f ! -name 'seed-*' -delete
    mapfile -t found < <(find "$work/$name-merged" -type f -size +0 -printf '%s %p\n' | sort -n | cut -d' ' -f2)
    step=$(((${#found[@]} + most - 1) / most))
    for ((i = 0; i < ${#found[@]}; i += step)); do
        size=$(stat -c %s "${found[i]}")
        total=$((total + size))
        [ "$total" -gt "$limit" ] && break
        cp "${found[i]}" "$corpus/$(basename "${found[i]}" | cut -c1-12)"
    done
}

failed=0 running=0
for name in "${names[@]}"; do
    run_target "$name" &
    running=$((running + 1))
    if [ "$running" -ge 2 ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit "$failed"
