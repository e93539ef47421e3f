// radialog classify: findings of radiographs, as JSON lines.
#include "core/files/fs.h"
#include "core/log.h"
#include "train/commands.h"
#include "train/predictor.h"
#include "train/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const option options[] = {
    OPTION_CHECKPOINT,
    {"split", "NAME", "of a shard directory: train, validate or test (default test)"},
    {"limit", "N", "only the first N records of the split"},
    {"out", "FILE", "write there instead of to stdout"},
    {0},
};

// One line: the logits, the classes above the threshold, and their text for prompts (REFERENCE 7.1).
static status print_prediction(FILE *out, const char *id, const float *logits) {
    bool positive[CLASS_COUNT];
    buffer line = {0}, text = {0};
    buffer_text(&line, "{\"dicom_id\":");
    buffer_json(&line, id);
    buffer_text(&line, ",\"logits\":[");
    for (int c = 0; c < CLASS_COUNT; c++) {
        if (c) buffer_text(&line, ",");
        buffer_print(&line, "%.6g", (double)logits[c]);
        positive[c] = logits[c] > 0;
    }
    buffer_text(&line, "],\"findings\":[");
    for (int c = 0, n = 0; c < CLASS_COUNT; c++)
        if (positive[c]) buffer_print(&line, "%s\"%s\"", n++ ? "," : "", class_names[c]);
    findings_text(&text, positive);
    buffer_text(&line, "],\"text\":");
    buffer_json(&line, text.failed ? "" : text.data);
    buffer_text(&line, "}\n");
    status rc = line.failed ? line.failed : text.failed;
    if (!rc && fwrite(line.data, 1, line.length, out) != line.length)
        rc = status_fail(STATUS_IO, "cannot write the predictions: %s", strerror(errno));
    buffer_free(&text);
    buffer_free(&line);
    return rc;
}

static status classify_shards(predictor *p, const arguments *a, const char *path, FILE *out) {
    const char *split = argument(a, "split");
    dataset *data = NULL;
    loader *l = NULL;
    float *logits = NULL;
    int64_t limit;
    loader_options o = loader_from_config(p->inference.config, SPLIT_TEST, false, NULL);
    o.batch = p->batch;
    o.need_text = false;
    if (split) {
        for (o.split = 0; o.split < SPLIT_COUNT && strcmp(split_names[o.split], split); o.split++) {}
        if (o.split == SPLIT_COUNT)
            return status_fail(STATUS_USAGE, "--split %s; there are train, validate and test",
                               split);
    }
    status rc = argument_int(a, "limit", 0, INT64_MAX, 0, &limit);
    o.limit = limit;
    if (!rc) rc = dataset_open(&data, path);
    if (!rc) rc = loader_open(&l, data, &o);
    int64_t rows = rc ? 0 : loader_records(l);
    if (!rc) rc = mem_new(&logits, rows * CLASS_COUNT, "logits");
    if (!rc) rc = classifier_score(&p->inference.tape, &p->model, l, &p->inputs, false, logits);
    for (int64_t i = 0; i < rows && !rc; i++)
        rc = print_prediction(out, dataset_id(data, loader_record(l, i), ID_DICOM),
                              logits + i * CLASS_COUNT);
    mem_free(logits);
    loader_close(l);
    dataset_close(data);
    return rc;
}

static status classify_file(predictor *p, const char *path, FILE *out, image_file *image) {
    float logits[CLASS_COUNT];
    status rc = image_file_read(image, path);
    if (!rc) rc = predictor_file(p, image, logits);
    return rc ? rc : print_prediction(out, image->id, logits);
}

static status classify_files(predictor *p, const arguments *a, FILE *out) {
    image_file image;
    int bad = 0;
    status rc = image_file_open(&image, p->crop, p->size);
    for (int i = 0; i < a->positionals && !rc; i++) {
        status one = classify_file(p, a->positional[i], out, &image);
        if (one != STATUS_IO && one != STATUS_FORMAT) {
            rc = one;
            continue;
        }
        if (ferror(out)) {
            rc = one;
            continue;
        }
        log_warn("%s", status_text()); // the other files still get their answers
        bad++;
    }
    image_file_close(&image);
    if (!rc && bad)
        rc = status_fail(STATUS_FORMAT, "%d of %d files could not be read", bad, a->positionals);
    return rc;
}

static status classify(const arguments *a) {
    predictor p = {0};
    const char *path = argument(a, "out");
    FILE *out = stdout;
    status rc = predictor_open(&p, a);
    if (!rc && path) out = fopen(path, "w");
    if (!rc && !out) rc = status_fail(STATUS_IO, "%s: cannot create", path);
    if (!rc && folder_exists(a->positional[0]) && a->positionals == 1)
        rc = classify_shards(&p, a, a->positional[0], out);
    else if (!rc)
        rc = classify_files(&p, a, out);
    if (out && out != stdout && fclose(out) && !rc) rc = status_fail(STATUS_IO, "%s: cannot write", path);
    predictor_close(&p);
    return rc;
}

const command command_classify = {
    .name = "classify",
    .positional = "SHARDS|IMAGE...",
    .summary = "findings of a shard directory's split or of image files, as JSON lines",
    .options = options,
    .run = classify,
    .tables = predictor_tables,
};
