#!/usr/bin/env bash
# scripts/bench.sh [classifier|encoder|aligner|lora|generate|loader|ingest|tokenizer|all] [options]: radialog and its
# PyTorch peer in turn on this machine (all: those that one peer's Python can run: not tokenizer, which needs an old
# transformers); prints medians, ratios, memory and the share of the machine's peak, and writes docs/benchmarks.md.
#   RADIALOG_PEER_PYTHON  a Python with torch, numpy, pillow, scikit-image; for tokenizer transformers 4.28.1, for
#                         lora and generate current transformers and peft
#   RADIALOG_BENCH_DATA   radiographs in the MIMIC-CXR-JPG layout (default: a drawn set)
#   --texts, --vocabulary of tokenizer: a file with a text a line, a BERT vocab.txt (default: drawn reports)
#   --pairs N             rounds of each (default 5); --help lists the rest
set -euo pipefail
cd "$(dirname "$0")/.."

stages=()
while [ $# -gt 0 ] && [[ $1 != --* ]]; do stages+=("$1"); shift; done
[ ${#stages[@]} -gt 0 ] || stages=(all)

python=${RADIALOG_PEER_PYTHON:-}
modules="torch numpy pillow scikit-image" imports="torch, numpy, PIL, skimage" images=yes
case " ${stages[*]} " in
" tokenizer ") modules="transformers==4.28.1" imports=transformers images= ;;
" aligner ") modules="torch numpy" imports="torch, numpy" images= ;;
" lora " | " generate " | " lora generate ") modules="torch transformers peft" imports="torch, transformers, peft" images= ;;
*" tokenizer "*) modules="$modules transformers==4.28.1" imports="$imports, transformers" ;;
" all ") modules="$modules transformers peft" imports="$imports, transformers, peft" ;;
esac
if [ -z "$python" ] || ! "$python" -c "import $imports" 2>/dev/null; then
    echo "bench: the peer is missing: python3 -m venv ENV && ENV/bin/pip install $modules," \
        "then RADIALOG_PEER_PYTHON=ENV/bin/python scripts/bench.sh" >&2
    exit 2
fi

scripts/build.sh cpu-release radialog >/dev/null
radialog=$PWD/build/cpu-release/radialog
data=${RADIALOG_BENCH_DATA:-} name="the radiographs of RADIALOG_BENCH_DATA"
if [ -z "$data" ] && [ "$images" ]; then
    data=$(mktemp -d) name="drawn radiographs"
    trap 'rm -rf "$data"' EXIT
    "$radialog" synth "$data/set" --studies 200 --seed 1 --max-side 1024 --quiet >/dev/null
    data=$data/set
fi
python3 scripts/bench/compare.py "${stages[@]}" --radialog "$radialog" --python "$python" --data "$data" \
    --data-name "${RADIALOG_BENCH_NAME:-$name}" "$@"
