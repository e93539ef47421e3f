#!/usr/bin/env bash
# scripts/check_real_data.sh ROOT [OUT]: what must hold on real radiographs in the MIMIC-CXR-JPG layout under
# ROOT. Ingests, overfits the classifier to 32 of them and the aligner to 32 pairs (and fails to on blanked
# images), goes through the whole pipeline with small models, then trains the full ResNet-50 for 120 steps at 224
# pixels and a few at 488.
#   RADIALOG_QUICK=1 leaves out the full model.
set -euo pipefail
root=$(realpath "${1:?usage: scripts/check_real_data.sh ROOT [OUT]}") out=${2:+$(realpath -m "$2")}
cd "$(dirname "$0")/.."
out=${out:-runs/real}
scripts/build.sh cpu-release >/dev/null
radialog=build/cpu-release/radialog
small=(--config configs/demo/classifier.json)
fail() { echo "check_real_data: $*" >&2; exit 1; }
# The smallest loss of a run, and whether all of them are numbers.
losses() { python3 -c "
import json, math, sys
losses = [json.loads(line)['loss'] for line in open(sys.argv[1])]
assert losses and all(x is not None and math.isfinite(x) for x in losses), 'a loss is not finite'
print(min(losses))" "$1/metrics.jsonl"; }
below() { python3 -c "import sys; sys.exit(not float(sys.argv[1]) < float(sys.argv[2]))" "$1" "$2"; }

mkdir -p "$out"
$radialog ingest --source mimic "$root" --out "$out/shards"

overfit=("${small[@]}" --quiet --set data.shards="$out/shards" --set data.limit=32 --set train.batch=32
    --set run.max_steps=150 --set train.validate_every=150 --set train.checkpoint_every=0 --set train.validate_first=false
    --set optim.schedule=constant --set optim.lr=3e-3 --set optim.weight_decay=0)
rm -rf "$out/overfit" "$out/blank"
$radialog train classifier "${overfit[@]}" --set run.dir="$out/overfit" >/dev/null
$radialog train classifier "${overfit[@]}" --set run.dir="$out/blank" --set data.blank=true >/dev/null
seen=$(losses "$out/overfit") blind=$(losses "$out/blank")
echo "32 radiographs overfit: loss $seen; the same on black images: $blind"
below "$seen" 0.05 || fail "32 radiographs are not overfit below 0.05"
below "$blind" 0.05 && fail "black images are overfit: labels leak"

# 32 pairs with different reports, for training and, once more, to be measured on.
python3 - "$root" "$out/pairs" <<'END'
import csv, glob, os, re, sys
root, out = sys.argv[1:]
texts, rows = set(), []
for r in csv.DictReader(open(glob.glob(root + "/mimic-cxr-jpg/*/*-split.csv")[0])):
    place = f"files/p{r['subject_id'][:2]}/p{r['subject_id']}/s{r['study_id']}"
    image = glob.glob(f"{root}/mimic-cxr-jpg/*/{place}/{r['dicom_id']}.jpg")
    report = f"{root}/mimic-cxr-reports/{place}.txt"
    if not image or not os.path.exists(report): continue
    found = re.search(r"FINDINGS:(.*?)(?:IMPRESSION:|$)", open(report).read(), re.S)
    text = " ".join(found[1].split()) if found else ""
    if len(text) > 40 and text not in texts and len(rows) < 32:
        texts.add(text)
        rows.append((r["dicom_id"], os.path.realpath(image[0]), text))
os.makedirs(out, exist_ok=True)
with open(out + "/data.csv", "w") as f:
    table = csv.writer(f)
    table.writerow(["id", "image", "findings", "patient", "split"])
    for split in ("train", "validate"):
        for i, (name, image, text) in enumerate(rows):
            table.writerow([f"{split}-{name}", image, text, f"{split}{i}", split])
END
rm -rf "$out/pair-shards" "$out/pairs-seen" "$out/pairs-blank"
$radialog ingest --source folder "$out/pairs" --out "$out/pair-shards"
[ -f "$out/vocab.txt" ] || $radialog tokenizer train --type wordpiece --size 1000 --out "$out/vocab.txt" "$out/shards"
pairs=(--config configs/demo/aligner.json --quiet --set data.shards="$out/pair-shards"
    --set model.vocabulary="$out/vocab.txt" --set model.encoder="$out/overfit" --set model.init= --set model.dropout=0
    --set train.batch=32 --set run.max_steps=600 --set train.validate_every=600 --set train.validate_first=false
    --set optim.weight_decay=0 --set optim.schedule=constant)
$radialog train aligner "${pairs[@]}" --set run.dir="$out/pairs-seen" >/dev/null
$radialog train aligner "${pairs[@]}" --set run.dir="$out/pairs-blank" --set data.blank=true >/dev/null
python3 - "$out/pairs-seen" "$out/pairs-blank" <<'END'
import json, sys
def last(run):
    v = json.loads(open(run + "/metrics.jsonl").readlines()[-1])["validation"]
    return min(v[way]["recall_1"] for way in ("image_to_text", "text_to_image")), v["itm_balanced_accuracy"]
for run, what in zip(sys.argv[1:], ("seen", "on black images")):
    recall, match = last(run)
    print(f"32 pairs {what}: recall@1 {recall:.3f}, matches told from mismatches with balanced accuracy {match:.3f}")
    assert (recall >= 0.9 and match >= 0.9) if what == "seen" else (recall < 0.2 and match < 0.7), "check_real_data"
END

# All stages on them, short; and again: nothing to do.
pipeline=(run configs/demo/pipeline.json --dir "$out/pipeline" --input data="$root" --quiet)
for stage in classifier chexbert aligner lm lora; do pipeline+=(--set "$stage.train.epochs=2"); done
$radialog "${pipeline[@]}"
$radialog "${pipeline[@]}" --json | grep '"run":0' >/dev/null || fail "the pipeline runs again although nothing changed"

[ -n "${RADIALOG_QUICK:-}" ] && exit 0
full=(--config configs/paper/classifier.json --set data.shards="$out/shards" --set train.validate_every=1000000
    --set train.validate_first=false --set train.checkpoint_every=0)
rm -rf "$out/full-224" "$out/full-488"
$radialog train classifier "${full[@]}" --set run.dir="$out/full-224" --set data.crop=448 --set data.size=224 \
    --set train.batch=8 --set run.max_steps=120
echo "full model at 224, 120 steps: smallest loss $(losses "$out/full-224")"
$radialog train classifier "${full[@]}" --set run.dir="$out/full-488" --set train.batch=4 --set run.max_steps=4
echo "full model at 488, 4 steps: smallest loss $(losses "$out/full-488")"
