#!/usr/bin/env bash
# scripts/drill.sh [OPTION...]: fault drills over every stage at tiny settings: 200 kills at random moments, full disks,
# read errors, turned bits, edited configurations, company, a rank that hangs. Each run must go on to the bytes of one
# that nothing happened to, or stop with one clear line. Some 15 minutes on two cores; the table is for
# docs/reliability.md, which says more.
#   scripts/drill.sh --only kills --kills 50 --seed 7    what tests/drills/drills.py understands
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
scripts/build.sh cpu-release
build=build/cpu-release
options=()
strings $build/radialog | grep 'libmpi.*\.so' >/dev/null || options+=(--no-ranks)
python3 tests/drills/drills.py $build/radialog $build/tests/drills/libdrill_faults.so "${options[@]}" \
    --table $build/drills.md "$@" || failed=1
cat $build/drills.md
exit "${failed:-0}"
