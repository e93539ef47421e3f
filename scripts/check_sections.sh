#!/usr/bin/env bash
# scripts/check_sections.sh [FOLDER]: the section parser against its rules in Python (scripts/golden/sections.py) on
# every report under FOLDER (default ../shared/data): .txt reports and .tgz archives of Open-i's XML reports.
# Without such a folder it says so and does nothing.
set -euo pipefail
folder=${1:+$(realpath -m "$1")}
cd "$(dirname "$0")/.."

folder=${folder:-../shared/data}
test=build/cpu-release/tests/test_sections
mapfile -t archives < <(find -L "$folder" -name '*.tgz' 2>/dev/null | sort)
if [ ${#archives[@]} -eq 0 ] && [ -z "$(find -L "$folder" -name '*.txt' -print -quit 2>/dev/null)" ]; then
    echo "check_sections: skipped: no reports under $folder"
    exit 0
fi
[ -x "$test" ] || { echo "check_sections: build first: scripts/build.sh cpu-release" >&2; exit 1; }
table=$(mktemp --suffix=.csv)
trap 'rm -f "$table"' EXIT
python3 scripts/golden/sections.py "$table" "$folder" "${archives[@]}"
CK_FORK=no RADIALOG_SECTIONS=$table "$test"
