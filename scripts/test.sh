#!/usr/bin/env bash
# All tests: set-up, both builds, the suite with sanitizers and optimised, the floor checker, the scripts'
# own checks, and the short demo. Ends with a line that counts.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh ccache

# Builds that compile a file alike share its object; each still reads the headers of its own.
export CCACHE_DIR=$PWD/build/ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_NODIRECT=1
export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache

run_suite() { # PRESET [ctest's options]
    local preset=$1
    shift
    scripts/build.sh "$preset"
    ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$(nproc)" "$@"
}
# Tests share the cores: threads that spin while they wait for each other would take them away.
export OMP_WAIT_POLICY=passive

echo "== suite with address and undefined-behaviour sanitizers"
# gcc 13 and 14 look for uses of a stack after its return unasked, on a stack of their own whose frames do not have the
# alignment of AVX-512's vectors.
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=0 UBSAN_OPTIONS=print_stacktrace=1
# oneDNN keeps its caches until the end of the process.
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
# What is left out is below; with sanitizers it takes long and sees little more: golden files are about numbers,
# test_rank_language trains on ranks, too, and every op is tested in bf16.
run_suite cpu-asan -E "^(docs|drills|test_bf16|test_.*_golden|test_rank_(training|reports))$"

# With CUDA where there is a compiler for it: everything that holds without a GPU, and the libraries' own tests.
# That failures of memory leave nothing behind is what sanitizers see.
# Without a GPU nobody runs the kernels' machine code, and optimising it is much of the time that it takes.
if command -v nvcc >/dev/null; then
    echo "== suite, optimised, with CUDA"
    preset=cuda-test
    if nvidia-smi -L 2>/dev/null | grep '^GPU' >/dev/null; then preset=cuda-native; fi
    run_suite $preset -E "^test_memory_failure$"
else
    echo "== suite, optimised (CUDA: absent, there is no nvcc)"
    run_suite cpu-release -E "^test_memory_failure$"
fi

if grep -w avx512f /proc/cpuinfo >/dev/null; then
    echo "== the same on a CPU without AVX-512"
    ONEDNN_MAX_CPU_ISA=AVX2 RADIALOG_TEST_SHIM=off run_suite cpu-release -L numbers -E "shim|cuda|kernel_list|test_device_"
fi # else that was all of it

echo "== scripts"
if command -v shellcheck >/dev/null; then
    shellcheck scripts/*.sh scripts/gpu/*.sh scripts/slurm/*.sbatch .ci/run
else
    echo "shellcheck is not installed: skipped"
fi

echo "== a build from packed libraries alone, as on a machine with a GPU and without packages"
scripts/gpu_pack.sh
scripts/gpu/packed_build.sh

echo "== every stage, short"
scripts/demo.sh --quick
scripts/demo.sh --quick 2>&1 | grep "stages, 0 of them run"
