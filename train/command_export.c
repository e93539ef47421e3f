// radialog export: a checkpoint's weights as other programs load them. The aligner's, under LAVIS'
// names, stand here; adapters of language models in train/export_*.c.
#include "core/files/safetensors.h"
#include "core/log.h"
#include "core/nearest.h"
#include "train/checkpoint.h"
#include "train/commands.h"
#include "train/export.h"

#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"format", "NAME",
     "peft, gguf, merged or bundle, of a LoRA run; lavis, of an aligner: names of LAVIS' "
     "Blip2Qformer and of RaDialog's checkpoint_4.pth (its \"model\")"},
    {"out", "PATH", "what is written: a file (gguf, lavis) or a folder (peft, merged, bundle)"},
    {"base", "FOLDER",
     "the language model beside which the adapter was trained, a Hugging Face folder"},
    {"base-name", "NAME",
     "what an adapter's configuration calls its base, such as lmsys/vicuna-7b-v1.3"},
    {"bin-names", NULL,
     "of peft: adapter_model.bin with the image projection in it, as PEFT 0.3.0 and RaDialog have it"},
    {"type", "f32|f16", "numbers of a GGUF file; f32 where it is not given"},
    {"storage", "NAME",
     "of merged weights: how the base was kept in training (plain, fp8, int8, nf4), where a folder of PEFT's does not "
     "say it"},
    {"shard-mb", "N", "most MiB in one file of merged weights; 4096 where it is not given"},
    {"aligner", "PATH", "of a bundle: the aligner's run or checkpoint, with the image encoder"},
    {"classifier", "PATH", "of a bundle: the findings classifier's run or checkpoint"},
    {"prompts", "FILE", "of a bundle: the prompts' templates"},
    {"data", "FOLDER",
     "of a bundle: the conversations that it was trained on, whose hash is noted"},
    {"verify", NULL, "read what was written again and compare"},
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

static status export_lavis(const export_options *o) {
    char path[PATH_SIZE];
    safetensors *from = NULL;
    status rc = checkpoint_file(path, sizeof path, o->checkpoint);
    if (!rc) rc = safetensors_open(&from, path);
    if (!rc) rc = check_aligner(from, path);
    if (!rc) rc = write_file(from, o->out);
    if (!rc && o->verify) rc = export_keep(o->out, verify(from, o->out));
    safetensors_close(from);
    return rc;
}

static const char *const format_names[] = {"lavis", "peft", "gguf", "merged", "bundle"};
enum { FORMATS = sizeof format_names / sizeof *format_names };
static status (*const forms[FORMATS])(const export_options *) = {
    export_lavis, export_peft, export_gguf, export_merged, export_bundle};

static status find_format(const char *name, int *out) {
    if (!name)
        return status_fail(STATUS_USAGE,
                           "--format is missing: lavis, peft, gguf, merged or bundle");
    for (*out = 0; *out < FORMATS; ++*out)
        if (!strcmp(name, format_names[*out])) return STATUS_OK;
    return status_fail(STATUS_USAGE,
                       "--format %s: there is lavis, peft, gguf, merged and bundle; did "
                       "you mean %s?",
                       name, nearest_name(name, format_names, FORMATS));
}

static status read_type(const char *text, dtype *out) {
    *out = text && !strcmp(text, "f16") ? DTYPE_F16 : DTYPE_F32;
    if (!text || *out == DTYPE_F16 || !strcmp(text, "f32")) return STATUS_OK;
    return status_fail(STATUS_USAGE, "--type %s: there is f32 and f16", text);
}

static status export(const arguments *a) {
    int format;
    int64_t shard = 0;
    export_options o = {
        .checkpoint = a->positionals ? a->positional[0] : NULL,
        .out = argument(a, "out"),
        .base = argument(a, "base"),
        .base_name = argument(a, "base-name"),
        .aligner = argument(a, "aligner"),
        .classifier = argument(a, "classifier"),
        .prompts = argument(a, "prompts"),
        .data = argument(a, "data"),
        .storage = argument(a, "storage"),
        .bin_names = argument_given(a, "bin-names"),
        .verify = argument_given(a, "verify"),
    };
    if (!o.out) return status_fail(STATUS_USAGE, "--out PATH is missing: where the weights go");
    status rc = find_format(argument(a, "format"), &format);
    if (!rc && a->positionals != 1)
        rc = status_fail(STATUS_USAGE, "name one run, checkpoint folder or file of weights");
    if (!rc && o.bin_names && forms[format] != export_peft)
        rc = status_fail(STATUS_USAGE, "--bin-names: goes with --format peft");
    if (!rc) rc = read_type(argument(a, "type"), &o.type);
    if (!rc) rc = argument_int(a, "shard-mb", 1, 1 << 20, 4096, &shard);
    o.shard_bytes = shard << 20;
    return rc ? rc : forms[format](&o);
}

const command command_export = {
    .name = "export",
    .positional = "CHECKPOINT",
    .summary = "a checkpoint's weights as other programs load them",
    .options = options,
    .run = export,
    .refuses_output = true,
};
