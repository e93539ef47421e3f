// A bundle: all that inference needs besides the base, in one folder, with an account of where it
// came from: bundle.json for machines, README.md for people.
//
//     adapter/   as --format peft writes it       tokenizer/   of the base
//     aligner/   with the image encoder           prompts.json
//     classifier/
// Hashes are CRC-32. No path of this machine is written.
#include "core/files/json.h"
#include "core/log.h"
#include "train/checkpoint.h"
#include "train/export.h"
#include "train/source_hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUNDLE_VERSION = 1, LIST_BYTES = 4 << 20 };

static const char *const folders[] = {"", "adapter", "aligner", "classifier", "tokenizer"};
enum { FOLDERS = sizeof folders / sizeof *folders };

typedef struct job {
    const export_options *options;
    adapter adapter;
    llama_config base;
    buffer files, origins; // members of bundle.json
    buffer table;          // of README.md
} job;

// --- contents -----------------------------------------------------------------------------------
// The model that a run or a checkpoint folder at FROM holds becomes TO/NAME.
static status copy_model(const char *to, const char *name, const char *from) {
    static const char *const file[] = {"model.safetensors", "config.json", "vocab.txt"};
    char path[PATH_SIZE], target[PATH_SIZE];
    if (!from) return STATUS_OK;
    status rc = checkpoint_file(path, sizeof path, from);
    if (rc) return rc;
    char *slash = strrchr(path, '/');
    if (!slash || strcmp(slash + 1, file[0]) != 0)
        return status_fail(STATUS_USAGE, "--%s %s: is neither a run nor a checkpoint folder", name,
                           from);
    *slash = 0;
    rc = path_join(target, sizeof target, to, name);
    if (!rc) rc = folder_make(target);
    for (int i = 0; i < 3 && !rc; i++) rc = export_copy(target, path, file[i], i == 2);
    return rc;
}

static status copy_prompts(const char *folder, const char *from) {
    char path[PATH_SIZE];
    buffer text = {0};
    if (!from) return STATUS_OK;
    status rc = file_read(from, LIST_BYTES, &text);
    if (!rc) rc = path_join(path, sizeof path, folder, "prompts.json");
    if (!rc) rc = file_write(path, text.data, text.length);
    buffer_free(&text);
    return rc;
}

static status write_contents(const job *j, const char *folder) {
    char path[PATH_SIZE];
    const export_options *o = j->options;
    status rc = path_join(path, sizeof path, folder, "adapter");
    if (!rc) rc = folder_make(path);
    if (!rc) rc = peft_write(&j->adapter, path, o);
    if (!rc && o->verify) rc = peft_verify(&j->adapter, path, o);
    if (!rc) rc = copy_model(folder, "aligner", o->aligner);
    if (!rc) rc = copy_model(folder, "classifier", o->classifier);
    if (!rc) rc = path_join(path, sizeof path, folder, "tokenizer");
    if (!rc) rc = folder_make(path);
    if (!rc) rc = export_copy_tokenizer(path, o->base);
    return rc ? rc : copy_prompts(folder, o->prompts);
}

// --- hashes -------------------------------------------------------------------------------------
// Adds FOLDER/NAME to the list OUT of bundle.json, called AS.
static status add_hash(buffer *out, const char *folder, const char *name, const char *as,
                       buffer *rows) {
    char path[PATH_SIZE];
    int64_t bytes;
    uint32_t crc;
    status rc = path_join(path, sizeof path, folder, name);
    if (!rc) rc = file_checksum(path, &bytes, &crc);
    if (rc) return rc;
    buffer_text(out, out->length ? ",\n    " : "\n    ");
    buffer_json(out, as);
    buffer_print(out, ": {\"bytes\": %lld, \"crc32\": \"%08x\"}", (long long)bytes, crc);
    buffer_print(rows, "| `%s` | %lld | `%08x` |\n", as, (long long)bytes, crc);
    return out->failed;
}

static status hash_files(job *j, const char *folder) {
    char path[PATH_SIZE], as[512];
    status rc = STATUS_OK;
    for (int i = 0; i < FOLDERS && !rc; i++) {
        names list = {0};
        rc = path_join(path, sizeof path, folder, folders[i]);
        if (!rc && folder_exists(path)) rc = folder_list(path, &list);
        for (size_t k = 0; k < list.count && !rc; k++) {
            char file[PATH_SIZE];
            snprintf(as, sizeof as, "%s%s%s", folders[i], i ? "/" : "", list.name[k]);
            rc = path_join(file, sizeof file, path, list.name[k]);
            if (!rc && !folder_exists(file)) rc = add_hash(&j->files, folder, as, as, &j->table);
        }
        names_free(&list);
    }
    return rc;
}

static bool ends(const char *text, const char *end) {
    const size_t a = strlen(text), b = strlen(end);
    return a > b && !strcmp(text + a - b, end);
}

// Weights and configuration of the base; the tokenizer is among the files.
static status hash_base(job *j) {
    names list = {0};
    char as[512];
    status rc = folder_list(j->options->base, &list);
    for (size_t i = 0; i < list.count && !rc; i++) {
        const char *n = list.name[i];
        if (strcmp(n, "config.json") != 0 && !ends(n, ".safetensors") && !ends(n, ".bin")) continue;
        snprintf(as, sizeof as, "base/%s", n);
        rc = add_hash(&j->origins, j->options->base, n, as, &j->table);
    }
    names_free(&list);
    return rc;
}

// The run's configuration, two folders above a checkpoint's.
static status hash_origins(job *j) {
    char above[PATH_SIZE], file[PATH_SIZE];
    status rc = hash_base(j);
    if (!rc) rc = path_join(above, sizeof above, j->adapter.folder, "../..");
    if (!rc) rc = path_join(file, sizeof file, above, "config.resolved.json");
    if (!rc && file_exists(file))
        rc = add_hash(&j->origins, above, "config.resolved.json", "training/config.resolved.json",
                      &j->table);
    if (!rc) rc = path_join(file, sizeof file, j->adapter.folder, "config.json");
    if (!rc && file_exists(file)) // PEFT's own folders have none
        rc = add_hash(&j->origins, j->adapter.folder, "config.json", "training/checkpoint.json",
                      &j->table);
    if (!rc && j->options->data)
        rc = add_hash(&j->origins, j->options->data, "manifest.json", "data/manifest.json",
                      &j->table);
    return rc;
}

// --- the account --------------------------------------------------------------------------------
static status write_account(const job *j, const char *folder) {
    char path[PATH_SIZE];
    buffer b = {0};
    buffer_print(&b,
                 "{\n  \"format\": \"radialog bundle\",\n  \"version\": %d,\n  \"code\": \"%s\",\n"
                 "  \"sources\": \"%s\",\n  \"base\": ",
                 BUNDLE_VERSION, RADIALOG_VERSION, source_hash);
    if (j->options->base_name)
        buffer_json(&b, j->options->base_name);
    else
        buffer_text(&b, "null");
    buffer_print(&b, ",\n  \"files\": {%s\n  },\n  \"made_from\": {%s\n  }\n}\n", j->files.data,
                 j->origins.data);
    status rc = b.failed;
    if (!rc) rc = path_join(path, sizeof path, folder, "bundle.json");
    if (!rc) rc = file_write(path, b.data, b.length);
    buffer_free(&b);
    return rc;
}

static void write_parts(buffer *b, const job *j) {
    const export_options *o = j->options;
    const lora_config *l = &j->adapter.lora;
    buffer_print(b, "- `adapter/`: LoRA in PEFT's form, rank %lld, alpha %g, %s, on",
                 (long long)l->rank, l->alpha,
                 l->rank_stabilised ? "rank-stabilised" : "scaled by alpha / rank");
    for (int i = 0; i < l->targets; i++) buffer_print(b, "%s %s", i ? "," : "", l->target[i]);
    buffer_print(b, "; %zu layers", j->adapter.pairs);
    if (j->adapter.image_weight)
        buffer_print(b, "; `img_proj.safetensors`, the projection of image tokens, %lld to %lld",
                     (long long)j->adapter.image_weight->dim[1],
                     (long long)j->adapter.image_weight->dim[0]);
    buffer_text(b, "\n- `tokenizer/`: of the base\n");
    if (o->aligner)
        buffer_text(b, "- `aligner/`: image encoder and Q-Former, for `radialog embed`\n");
    if (o->classifier) buffer_text(b, "- `classifier/`: findings, for `radialog classify`\n");
    if (o->prompts)
        buffer_text(b, "- `prompts.json`: the words that the adapter was trained with\n");
}

static status write_card(const job *j, const char *folder) {
    char path[PATH_SIZE];
    buffer b = {0};
    buffer_print(
        &b,
        "# Adapter for chest X-ray reports\n\nMade by radialog %s (sources %.12s). The language model is not "
        "in here: %s, %d layers, %lld wide.\n\n## What is in here\n",
        RADIALOG_VERSION, source_hash,
        j->options->base_name ? j->options->base_name : "a LLaMA with the hashes below",
        j->base.layers, (long long)j->base.width);
    write_parts(&b, j);
    buffer_print(&b,
                 "\n## What it was made from\nFiles of this folder, then the base, the training's "
                 "configuration and %s (CRC-32).\n\n| file | bytes | CRC-32 |\n|---|---|---|\n%s",
                 j->options->data ? "its data" : "(not given) its data", j->table.data);
    buffer_text(&b, "\n## Use\nDrafts for radiologists to read and correct. Not a medical device; "
                    "scores hold for "
                    "the data that they were measured on.\n");
    status rc = b.failed;
    if (!rc) rc = path_join(path, sizeof path, folder, "README.md");
    if (!rc) rc = file_write(path, b.data, b.length);
    buffer_free(&b);
    return rc;
}

// --- verification -------------------------------------------------------------------------------
static status verify(const char *folder) {
    char path[PATH_SIZE];
    json *account = NULL;
    json_value files;
    size_t count = 0;
    status rc = path_join(path, sizeof path, folder, "bundle.json");
    if (!rc) rc = json_read(&account, path, LIST_BYTES);
    if (!rc) rc = json_member(&files, json_root(account), "files");
    for (json_value v = rc ? (json_value){0} : json_first(files); v.node && !rc; v = json_next(v)) {
        const char *text;
        int64_t bytes = 0, wanted = 0;
        uint32_t crc = 0;
        rc = json_member_int(&wanted, v, "bytes", 0, INT64_MAX);
        if (!rc) rc = json_member_text(&text, v, "crc32");
        if (!rc) rc = path_join(path, sizeof path, folder, json_key(v));
        if (!rc) rc = file_checksum(path, &bytes, &crc);
        if (!rc && (bytes != wanted || strtoul(text, NULL, 16) != crc))
            rc = status_fail(STATUS_FORMAT, "%s: is not what bundle.json says", path);
        count++;
    }
    if (!rc) log_info("%s: verified, %zu files", folder, count);
    json_close(account);
    return rc;
}

static status write_bundle(job *j, const char *folder) {
    status rc = write_contents(j, folder);
    if (!rc) rc = hash_files(j, folder);
    if (!rc) rc = hash_origins(j);
    if (!rc) rc = j->table.failed;
    if (!rc) rc = write_account(j, folder);
    return rc ? rc : write_card(j, folder);
}

status export_bundle(const export_options *o) {
    char temporary[PATH_SIZE] = "";
    int lock = -1;
    job j = {.options = o};
    status rc = o->aligner
                    ? STATUS_OK
                    : status_fail(STATUS_USAGE, "--aligner PATH is missing: the run that made "
                                                "the images' embeddings");
    if (!rc) rc = adapter_open(&j.adapter, o->checkpoint);
    if (!rc) rc = export_base(&j.base, o, &j.adapter);
    if (!rc) rc = folder_begin(temporary, &lock, o->out);
    if (rc) *temporary = 0;
    if (!rc) rc = write_bundle(&j, temporary);
    if (!rc && o->verify) rc = verify(temporary);
    rc = folder_end(temporary, lock, o->out, rc);
    buffer_free(&j.files);
    buffer_free(&j.origins);
    buffer_free(&j.table);
    adapter_close(&j.adapter);
    return rc;
}
