// Checkpoints of a model of three parameters: manifest.json, both tensor files and their checksums.
//
// An input: a byte of flags, then the parts manifest, model, optimizer, config (a length of 2 bytes before
// each; an empty part is the good one). Flag 1: the manifest is ours and its checksums are right, so that
// the tensor files are read whatever they hold. Flag 2: only checkpoint_load_model. In a manifest the word
// CRCCRC_0 becomes the checksum of the first file, and so on.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "optim/kernels.h"
#include "tests/fuzz/helper_fuzz.h"
#include "train/checkpoint.h"

#include <stdio.h>
#include <string.h>

enum { FILES = 3, GOOD = 64 * 1024 };
static const char *const file_names[FILES] = {"model.safetensors", "optimizer.safetensors",
                                              "config.json"};
static const char step_folder[] = "checkpoints/step-00000003";

static void must(status rc) {
    if (rc) die("%s", status_text());
}

static void save(const run *r, buffer *config_json) {
    (void)r;
    buffer_text(config_json, "{}\n");
}

static const stage stage_of_fuzz = {.name = "fuzz", .save = save};

static void run_make(run *r) {
    static const int64_t shape[] = {2, 3};
    *r = (run){.stage = &stage_of_fuzz, .seed = 1};
    snprintf(r->dir, sizeof r->dir, "%s", memory_folder());
    must(device_open_cpu(&r->device, 1));
    r->device->ops = &op_kernels_cpu;
    r->device->optim = &optim_kernels_cpu;
    must(device_open_dry(&r->dry, r->device));
    must(comm_open_single(&r->comm));
    must(params_open(&r->params, r->device));
    must(tape_init(&r->tape, r->device, r->dry, r->comm));
    param_add(&r->params, PARAM_WEIGHT, "a.weight", (init){.kind = INIT_NORMAL, .scale = 1}, 2, shape);
    param_add(&r->params, PARAM_BUFFER, "a.mean", (init){.kind = INIT_ONE}, 1, shape);
    param_add_conv(&r->params, "c.weight", (init){.kind = INIT_UNIFORM, .scale = 1}, 2, 1, 1);
    must(params_allocate(&r->params));
    must(params_init(&r->params, 1));
    must(adamw_init(&r->optimizer, r->device, r->params.trainable, adamw_defaults(ADAMW_TORCH)));
    r->step = 3;
    r->best.known = true;
    must(checkpoint_save(r, 2, true));
}

static buffer good[FILES], good_manifest;

static void read_good(void) {
    char path[PATH_SIZE];
    const char *folder = memory_folder_path(step_folder);
    for (int i = 0; i < FILES; i++) {
        must(path_join(path, sizeof path, folder, file_names[i]));
        must(file_read(path, GOOD, &good[i]));
    }
    must(path_join(path, sizeof path, folder, "manifest.json"));
    must(file_read(path, GOOD, &good_manifest));
}

static void place(const char *name, const void *bytes, size_t size) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", step_folder, name);
    memory_folder_file(path, bytes, size);
}

// The good manifest, with the checksums of these files.
static void place_manifest(const uint8_t *const *file, const size_t *size) {
    static const char mark[] = "\"files\": {";
    buffer m = {0};
    const char *files = strstr(good_manifest.data, mark);
    demand(files);
    buffer_append(&m, good_manifest.data, (size_t)(files - good_manifest.data) + sizeof mark - 1);
    for (int i = 0; i < FILES; i++)
        buffer_print(&m, "%s\"%s\": {\"bytes\": %zu, \"crc32\": \"%08x\"}", i ? "," : "", file_names[i],
                     size[i], checksum_crc32(0, file[i], size[i]));
    buffer_text(&m, "}}\n");
    demand(!m.failed);
    place("manifest.json", m.data, m.length);
    buffer_free(&m);
}

static void place_input(const uint8_t *manifest, size_t manifest_size, const uint8_t *const *file,
                        const size_t *size) {
    input in = {manifest, manifest_size};
    char word[24], crc[16], *text = input_rest_text(&in);
    for (int i = 0; i < FILES; i++) {
        snprintf(word, sizeof word, "CRCCRC_%d", i);
        snprintf(crc, sizeof crc, "%08x", checksum_crc32(0, file[i], size[i]));
        input_replace(text, manifest_size, word, crc);
    }
    place("manifest.json", text, manifest_size);
    mem_free(text);
}

static void place_all(int flags, input *in) {
    const uint8_t *file[FILES];
    size_t size[FILES], manifest_size;
    const uint8_t *manifest = input_part(in, &manifest_size);
    for (int i = 0; i < FILES; i++) {
        file[i] = input_part(in, &size[i]);
        if (!size[i]) {
            file[i] = (const uint8_t *)good[i].data;
            size[i] = good[i].length;
        }
        place(file_names[i], file[i], size[i]);
    }
    if (flags & 1)
        place_manifest(file, size);
    else if (manifest_size)
        place_input(manifest, manifest_size, file, size);
    else
        place("manifest.json", good_manifest.data, good_manifest.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static run r;
    char best[PATH_SIZE];
    bool found = false;
    input in = {data, size};
    int flags = input_byte(&in);
    if (!r.device) {
        log_quiet(true);
        run_make(&r);
        r.data_hash = "data";
        read_good();
    }
    place_all(flags, &in);
    r.step = 0;
    r.best = (best_score){0};
    status rc = flags & 2 ? checkpoint_load_model(&r.params, memory_folder_path(step_folder))
                          : checkpoint_resume(&r, 2, &found);
    if (rc) demand_failure(rc);
    demand(size > 1 || flags & 2 || found); // all parts are the good ones
    rc = checkpoint_choose(memory_folder(), best, sizeof best);
    if (rc) demand_failure(rc);
    return 0;
}
