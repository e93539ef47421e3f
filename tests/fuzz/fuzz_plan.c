// The tables of an ingest: a folder's data.csv, MIMIC's split, metadata and label files. The first byte says
// which of them the input is; the others are good.
#include "core/files/fs.h"
#include "core/log.h"
#include "data/ingest_plan.h"
#include "tests/fuzz/helper_fuzz.h"

#include <stdio.h>
#include <string.h>

enum { FOLDER, SPLITS, METADATA, CHEXPERT, LABELS, KINDS };

static const char *const place[KINDS] = {
    [FOLDER] = "data.csv",
    [SPLITS] = "mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-split.csv",
    [METADATA] = "mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-metadata.csv",
    [CHEXPERT] = "mimic-cxr-jpg/2.0.0/mimic-cxr-2.0.0-chexpert.csv",
    [LABELS] = "labels.csv",
};

#define CLASS_HEADER                                                                               \
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,"           \
    "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,"    \
    "Support Devices\n"

static const char *const good[KINDS] = {
    [FOLDER] = "image,report\na.png,FINDINGS: clear\n",
    [SPLITS] = "dicom_id,study_id,subject_id,split\nd1,50000001,10000001,train\n"
               "d2,50000002,10000001,validate\nd3,50000003,10000002,test\n",
    [METADATA] = "dicom_id,ViewPosition\nd1,PA\nd2,LATERAL\n",
    [CHEXPERT] = "subject_id,study_id," CLASS_HEADER "10000001,50000001,1.0,,,,,,,,,,,,,-1.0\n",
    [LABELS] = "dicom_id," CLASS_HEADER "d1,1,,,0,,,,-1,,,,,,\n",
};

static void write_good(int kind) {
    memory_folder_file(place[kind], good[kind], strlen(good[kind]));
}

static void check(const ingest_plan *p) {
    size_t ordered = 0, alive = 0;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        ordered += p->count[s];
        for (size_t i = 0; i < p->count[s]; i++) demand(p->row[p->order[s][i]].split == s);
    }
    for (size_t i = 0; i < p->rows; i++) {
        const plan_row *row = &p->row[i];
        alive += row->split != ROW_DROPPED;
        demand(row->view < p->views.count);
        for (int k = 0; k < ROW_TEXTS; k++) touch_text(plan_text(p, row, (row_text)k));
        for (int c = 0; c < CLASS_COUNT; c++) demand(row->labels[c] >= -2 && row->labels[c] <= 1);
    }
    demand(ordered == alive && strlen(p->hash) == 16);
    for (size_t i = 0; i < p->skips.count; i++) {
        touch_text(p->skips.texts.data + p->skips.list[i].id);
        touch_text(p->skips.texts.data + p->skips.list[i].detail);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool ready;
    static char labels[PATH_SIZE];
    input in = {data, size};
    int kind = input_byte(&in) % KINDS;
    if (!ready) {
        log_quiet(true);
        demand(!folder_make(memory_folder_path("mimic-cxr-jpg/2.0.0")));
        demand(!folder_make(memory_folder_path("mimic-cxr-reports/files")));
        for (int i = 0; i < KINDS; i++) write_good(i);
        snprintf(labels, sizeof labels, "%s", memory_folder_path(place[LABELS]));
        ready = true;
    }
    memory_folder_file(place[kind], in.data, in.size);
    ingest_plan p = {0};
    ingest_options o = {.source = kind == FOLDER ? INGEST_FOLDER : INGEST_MIMIC,
                        .root = memory_folder(),
                        .out = "out",
                        .labels = kind == LABELS ? labels : NULL,
                        .shard_records = 2,
                        .validate = 0.1,
                        .test = 0.1};
    status rc = kind == FOLDER ? plan_folder(&p, &o) : plan_mimic(&p, &o);
    if (!rc) rc = plan_finish(&p, &o);
    if (rc)
        demand_failure(rc);
    else
        check(&p);
    plan_free(&p);
    write_good(kind);
    return 0;
}
