#!/usr/bin/env bash
# scripts/build.sh [PRESET [TARGET...]]: builds into build/PRESET and leaves build/PRESET/radialog. Everything, the tests
# among it, where no target is named.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:-cpu-release}
targets=("${@:2}")
if ! cmake --list-presets 2>/dev/null | grep "\"$preset\"" >/dev/null; then # not -q: cmake would die of the pipe
    echo "build: unknown preset '$preset'; there are:" >&2
    cmake --list-presets >&2
    exit 2
fi
if [ ! -f "build/$preset/build.ninja" ]; then
    cmake --preset "$preset" >/dev/null
fi
# Quiet unless something is wrong.
if ! log=$(cmake --build --preset "$preset" ${targets:+--target "${targets[@]}"} 2>&1); then
    printf '%s\n' "$log" >&2
    exit 1
fi
printf '%s\n' "$log" | tail -n 1
