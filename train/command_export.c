// radialog export: a checkpoint's weights as other programs load them. So far the aligner's, under
// LAVIS' names.
#include "core/files/fs.h"
#include "core/files/safetensors.h"
#include "core/log.h"
#include "train/checkpoint.h"
#include "train/commands.h"

#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"format", "lavis",
     "names of LAVIS' Blip2Qformer and of RaDialog's checkpoint_4.pth (its \"model\")"},
    {"out", "FILE", "the weights, safetensors"},
    {"verify", NULL, "read the file again and compare every number"},
    {0},
};

static const char words[] = "Qformer.bert.embeddings.word_embeddings.weight";
static const char positions[] = "Qformer.bert.embeddings.position_embeddings.weight";
static const char bias[] = "Qformer.cls.predictions.bias";

// What the original's file holds beside a checkpoint of ours: tied weights under their second name,
// and a table of 0, 1, 2, ...
static const struct {
    const char *name, *of;
} twins[] = {{"Qformer.cls.predictions.decoder.weight", words},
             {"Qformer.cls.predictions.decoder.bias", bias}};
static const char ids_name[] = "Qformer.bert.embeddings.position_ids";

// One pass declares, the next one writes.
static status give(safetensors_writer *w, bool writing, const char *name,
                   const safetensors_entry *e) {
    return writing ? safetensors_write(w, name, e->data, e->bytes)
                   : safetensors_declare(w, name, e->type, e->rank, e->dim);
}

static status give_ids(safetensors_writer *w, bool writing, int64_t count) {
    status rc = STATUS_OK;
    if (!writing) return safetensors_declare(w, ids_name, DTYPE_I64, 2, (int64_t[]){1, count});
    for (int64_t i = 0; i < count && !rc; i++) rc = safetensors_write(w, ids_name, &i, sizeof i);
    return rc;
}

static status give_all(safetensors_writer *w, bool writing, const safetensors *from) {
    const safetensors_entry *places = safetensors_lookup(from, positions);
    status rc = give_ids(w, writing,
                         places->dim[0]); // the widest type first: all begin where their type wants
    for (size_t i = 0; i < safetensors_count(from) && !rc; i++) {
        const safetensors_entry *e = safetensors_at(from, i);
        rc = give(w, writing, e->name, e);
    }
    for (int i = 0; i < 2 && !rc; i++)
        rc = give(w, writing, twins[i].name, safetensors_lookup(from, twins[i].of));
    return rc;
}

static status check_aligner(const safetensors *from, const char *path) {
    static const char *const needed[] = {words, positions, bias, "query_tokens",
                                         "visual_encoder.projector.model.0.weight"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!safetensors_lookup(from, needed[i]))
            return status_fail(STATUS_FORMAT, "%s: is no aligner's checkpoint: it has no %s", path,
                               needed[i]);
    return STATUS_OK;
}

static status verify(const safetensors *from, const char *path) {
    safetensors *again = NULL;
    status rc = safetensors_open(&again, path);
    for (size_t i = 0; !rc && i < safetensors_count(from); i++) {
        const safetensors_entry *e = safetensors_at(from, i),
                                *x = safetensors_lookup(again, e->name);
        if (!x || x->type != e->type || x->bytes != e->bytes || memcmp(x->data, e->data, e->bytes))
            rc = status_fail(STATUS_FORMAT, "%s: %s is not what the checkpoint holds", path,
                             e->name);
    }
    for (int i = 0; i < 2 && !rc; i++) {
        const safetensors_entry *e = safetensors_lookup(from, twins[i].of),
                                *x = safetensors_lookup(again, twins[i].name);
        if (!x || x->bytes != e->bytes || memcmp(x->data, e->data, e->bytes))
            rc = status_fail(STATUS_FORMAT, "%s: %s is not %s", path, twins[i].name, e->name);
    }
    if (!rc) log_info("%s: verified, %zu tensors", path, safetensors_count(again));
    safetensors_close(again);
    return rc;
}

static status write_file(const safetensors *from, const char *path) {
    safetensors_writer *w = NULL;
    status rc = safetensors_create(&w, path);
    if (!rc) rc = give_all(w, false, from);
    if (!rc) rc = give_all(w, true, from);
    if (!rc) rc = safetensors_finish(w);
    safetensors_writer_close(w);
    return rc;
}

static status export(const arguments *a) {
    char path[PATH_SIZE];
    safetensors *from = NULL;
    const char *format = argument(a, "format"), *out = argument(a, "out");
    if (!out) return status_fail(STATUS_USAGE, "--out FILE is missing: where the weights go");
    if (!format || strcmp(format, "lavis"))
        return status_fail(STATUS_USAGE, "--format %s: there is lavis",
                           format ? format : "is missing");
    if (a->positionals != 1)
        return status_fail(STATUS_USAGE, "name one run, checkpoint folder or model.safetensors");
    status rc = checkpoint_file(path, sizeof path, a->positional[0]);
    if (!rc) rc = safetensors_open(&from, path);
    if (!rc) rc = check_aligner(from, path);
    if (!rc) rc = write_file(from, out);
    if (!rc && argument_given(a, "verify")) rc = verify(from, out);
    safetensors_close(from);
    return rc;
}

const command command_export = {
    .name = "export",
    .positional = "CHECKPOINT",
    .summary = "a checkpoint's weights under the names that other programs know",
    .options = options,
    .run = export,
};
