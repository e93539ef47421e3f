// radialog classify: findings of radiographs, as JSON lines.
#include "core/files/fs.h"
#include "core/log.h"
#include "data/image.h"
#include "data/augment.h"
#include "models/classifier_weights.h"
#include "train/checkpoint.h"
#include "train/classifier_data.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/devices.h"
#include "train/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"checkpoint", "PATH", "a run directory (its best checkpoint), a checkpoint folder, or a file of weights "
                           "(RaDialog's .ckpt; sizes then come from --config and --set, the paper's "
                           "without)"},
    {"split", "NAME", "of a shard directory: train, validate or test (default test)"},
    {"limit", "N", "only the first N records of the split"},
    {"out", "FILE", "write there instead of to stdout"},
    {0},
};

static const config_key *const tables[] = {run_keys,   data_keys,    image_keys,      pixel_keys,
                                           train_keys, encoder_keys, classifier_keys, NULL};
enum { FILE_BATCH = 8 };

// A trained model, ready for inference.
typedef struct predictor {
    config *config;
    device *device, *dry;
    comm *comm;
    params params;
    tape tape;
    classifier model;
    classifier_inputs inputs;
    int crop, size;
    int64_t batch;
} predictor;

static void predictor_close(predictor *p) {
    if (p->device) classifier_inputs_close(&p->inputs, p->device);
    tape_free(&p->tape);
    params_close(&p->params);
    comm_close(p->comm);
    device_close(p->dry);
    device_close(p->device);
    config_close(p->config);
}

// The configuration that the checkpoint folder carries, then --config and --set.
static status predictor_config(predictor *p, const arguments *a, const char *folder) {
    char path[PATH_SIZE];
    status rc = settings_open(&p->config, tables, a);
    if (file_exists(folder)) return rc; // weights alone carry none
    if (!rc) rc = path_join(path, sizeof path, folder, "config.json");
    if (!rc) rc = config_load(p->config, path);
    return rc ? rc : settings_overrides(p->config, a);
}

static status predictor_open(predictor *p, const arguments *a) {
    char folder[PATH_SIZE], file[PATH_SIZE];
    classifier_config sizes;
    const char *given = argument(a, "checkpoint");
    if (!given)
        return status_fail(STATUS_USAGE, "--checkpoint PATH is missing: a run directory, a checkpoint folder "
                                         "or a file of weights");
    status rc = path_join(folder, sizeof folder, given, "checkpoints");
    if (!rc && folder_exists(folder))
        rc = checkpoint_choose(given, folder, sizeof folder);
    else if (snprintf(folder, sizeof folder, "%s", given) >= (int)sizeof folder)
        rc = status_fail(STATUS_USAGE, "--checkpoint is too long");
    if (!rc) rc = predictor_config(p, a, folder);
    if (!rc) rc = classifier_from_config(&sizes, p->config);
    if (!rc) rc = device_from_config(&p->device, p->config, NULL);
    if (rc) return rc;
    p->crop = (int)config_int(p->config, "data.crop");
    p->size = (int)config_int(p->config, "data.size");
    p->batch = config_is_set(p->config, "train.batch") ? config_int(p->config, "train.batch") : FILE_BATCH;
    rc = device_open_dry(&p->dry, p->device);
    if (!rc) rc = comm_open_single(&p->comm);
    if (!rc) rc = params_open(&p->params, p->device);
    if (!rc) rc = tape_init(&p->tape, p->device, p->dry, p->comm);
    if (rc) return rc;
    classifier_make(&p->model, &p->params, &sizes);
    params_freeze(&p->params, ""); // inference: no gradients
    rc = params_allocate(&p->params);
    if (!rc) rc = classifier_fill(&p->model, &p->params);
    if (!rc) rc = checkpoint_weights(file, sizeof file, folder);
    if (!rc) rc = classifier_load(&p->params, file, true, true);
    if (rc) return rc;
    rc = classifier_inputs_open(&p->inputs, p->device, p->batch, p->size);
    if (rc) return rc;
    classifier_score_dry(&p->tape, &p->model, &p->inputs);
    return tape_allocate(&p->tape, tape_used(&p->tape));
}

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
    loader_options o = loader_from_config(p->config, SPLIT_TEST, false, p->comm);
    o.batch = p->batch;
    o.need_findings = false;
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
    if (!rc) rc = classifier_score(&p->tape, &p->model, l, &p->inputs, false, logits);
    for (int64_t i = 0; i < rows && !rc; i++)
        rc = print_prediction(out, dataset_id(data, loader_record(l, i), ID_DICOM),
                              logits + i * CLASS_COUNT);
    mem_free(logits);
    loader_close(l);
    dataset_close(data);
    return rc;
}

// The pixels of one file as the model wants them: square, crop, resize.
static status read_pixels(uint8_t *out, const predictor *p, const char *path, uint8_t *square,
                          uint8_t *crop) {
    image picture = {0};
    status rc = image_read(&picture, path);
    if (!rc) rc = image_square(square, &picture, STORED_SIDE);
    if (!rc) image_crop(crop, square, STORED_SIDE, p->crop);
    if (!rc) rc = image_resize(out, p->size, p->size, crop, p->crop, p->crop);
    image_free(&picture);
    return rc;
}

// "abc" of "folder/abc.jpg".
static void stem_of(char *out, size_t size, const char *path) {
    const char *slash = strrchr(path, '/');
    snprintf(out, size, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(out, '.');
    if (dot && dot != out) *dot = 0;
}

static status classify_file(predictor *p, const char *path, FILE *out, uint8_t *work) {
    float lut[256], logits[CLASS_COUNT];
    char id[256];
    uint8_t *square = work, *crop = work + STORED_PIXELS, *pixels = work + 2 * STORED_PIXELS;
    int8_t labels[CLASS_COUNT] = {0};
    status rc = read_pixels(pixels, p, path, square, crop);
    if (rc) return rc;
    lut_plain(lut);
    batch b = {.count = 1, .pixels = pixels, .lut = lut, .labels = labels};
    tape_begin(&p->tape, false);
    classifier_inputs_load(&p->inputs, p->device, &b, false);
    device_read(p->device, logits,
                classifier_logits(&p->tape, &p->model, classifier_images(&p->tape, &p->inputs)));
    rc = tape_failed(&p->tape);
    stem_of(id, sizeof id, path);
    return rc ? rc : print_prediction(out, id, logits);
}

static status classify_files(predictor *p, const arguments *a, FILE *out) {
    uint8_t *work;
    int bad = 0;
    status rc = mem_new(&work, 3 * STORED_PIXELS, "images");
    for (int i = 0; i < a->positionals && !rc; i++) {
        status one = classify_file(p, a->positional[i], out, work);
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
    mem_free(work);
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

static status help_keys(buffer *out) { return settings_help(out, tables); }

const command command_classify = {
    .name = "classify",
    .positional = "SHARDS|IMAGE...",
    .summary = "findings of a shard directory's split or of image files, as JSON lines",
    .options = options,
    .configured = true,
    .run = classify,
    .keys = help_keys,
};
