#include "core/files/weights.h"
#include "core/checksum.h"
#include "core/files/file_map.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/files/safetensors.h"
#include "core/files/torch_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Numbers are copied and converted in pieces of so many elements.
enum { PIECE = WEIGHT_PIECE, WIDEST = 8, PARTS_MAX = 4096, INDEX_LIMIT = 64 << 20 };

// One file: either of the two.
typedef struct part {
    char *path;
    safetensors *safe;
    torch_file *torch;
} part;

struct weights {
    char *path;
    char format[32];
    part *part;
    size_t parts, part_room;
    weight_entry *entry;
    const weight_entry **by_name;
    size_t count, room;
    json *index;
    unsigned char *piece; // PIECE elements of the widest type
};

// --- one file ------------------------------------------------------------------------------------
typedef enum kind { KIND_SAFETENSORS, KIND_TORCH, KIND_INDEX, KIND_UNKNOWN } kind;

static bool named_safetensors(const char *path) {
    static const char ending[] = ".safetensors";
    size_t length = strlen(path), own = sizeof ending - 1;
    return length >= own && !strcmp(path + length - own, ending);
}

// What the first bytes say.
static status find_kind(const char *path, kind *out) {
    unsigned char head[9] = {0};
    int64_t size;
    FILE *f;
    status rc = file_size(path, &size);
    *out = KIND_UNKNOWN;
    if (rc) return rc;
    if (!file_exists(path)) return status_fail(STATUS_IO, "%s: is not a file", path);
    if (!size) return status_fail(STATUS_FORMAT, "%s: is empty", path);
    f = fopen(path, "rbe");
    if (!f) return file_failure(path, "open");
    size_t got = fread(head, 1, sizeof head, f);
    fclose(f);
    // First: the length of a safetensors header may begin with the bytes of another format, but a header
    // is shorter than 2^32 bytes, and the others have no zeros there.
    if (got == sizeof head && !memcmp(head + 4, "\0\0\0\0{", 5))
        *out = KIND_SAFETENSORS;
    else if (torch_file_is_zip(head, got) || torch_file_is_legacy(head, got))
        *out = KIND_TORCH;
    else if (head[0] == '{')
        *out = KIND_INDEX;
    else if (named_safetensors(path))
        *out = KIND_SAFETENSORS; // a damaged one, which its reader names
    return STATUS_OK;
}

static status add_entry(weights *w, const weight_entry *e) {
    status rc = mem_grow((void **)&w->entry, &w->room, w->count + 1, sizeof *w->entry, "the list of tensors");
    if (!rc) w->entry[w->count++] = *e;
    return rc;
}

static status add_safetensors(weights *w, part *p, uint32_t number) {
    status rc = safetensors_open(&p->safe, p->path);
    for (size_t i = 0; !rc && i < safetensors_count(p->safe); i++) {
        const safetensors_entry *s = safetensors_at(p->safe, i);
        weight_entry e = {.name = s->name, .type = element_find(s->type_name), .type_name = s->type_name,
                    .rank = s->rank, .bytes = s->bytes, .part = number, .place = i, .count = 1};
        for (int k = 0; k < s->rank; k++) e.dim[k] = s->dim[k];
        for (int k = 0; k < s->rank; k++) e.count = s->bytes ? e.count * s->dim[k] : 0;
        rc = add_entry(w, &e);
    }
    return rc;
}

static status add_torch(weights *w, part *p, uint32_t number) {
    status rc = torch_file_open(&p->torch, p->path);
    for (size_t i = 0; !rc && i < torch_file_count(p->torch); i++) {
        const torch_entry *t = torch_file_at(p->torch, i);
        weight_entry e = {.name = t->name, .type = t->type, .type_name = element_name(t->type), .rank = t->rank,
                    .count = t->count, .bytes = (size_t)t->count * element_size(t->type), .part = number,
                    .place = i};
        for (int k = 0; k < t->rank; k++) e.dim[k] = t->dim[k];
        rc = add_entry(w, &e);
    }
    return rc;
}

static status add_part(weights *w, const char *path, kind what) {
    status rc = mem_grow((void **)&w->part, &w->part_room, w->parts + 1, sizeof *w->part, "weight files");
    if (rc) return rc;
    part *p = &w->part[w->parts++];
    rc = mem_string(&p->path, path);
    if (rc) return rc;
    uint32_t number = (uint32_t)(w->parts - 1);
    return what == KIND_TORCH ? add_torch(w, p, number) : add_safetensors(w, p, number);
}

// --- an index of several -------------------------------------------------------------------------
// Whether NAME may stand beside the index: a plain file name.
static bool plain(const char *name) {
    return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 256;
}

static status open_listed(weights *w, json_value file) {
    char path[PATH_SIZE], folder[PATH_SIZE];
    const char *name;
    kind what;
    status rc = json_text(&name, file);
    if (!rc && !plain(name)) rc = json_fail(file, "\"%.60s\" is no plain file name", name);
    if (rc) return rc;
    snprintf(folder, sizeof folder, "%s", w->path);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    rc = path_join(path, sizeof path, slash ? (*folder ? folder : "/") : ".", name);
    for (size_t i = 0; i < w->parts && !rc; i++)
        if (!strcmp(w->part[i].path, path)) return STATUS_OK;
    if (!rc && w->parts == PARTS_MAX) rc = json_fail(file, "more than %d files", PARTS_MAX);
    if (!rc) rc = find_kind(path, &what);
    if (!rc && what != KIND_SAFETENSORS && what != KIND_TORCH)
        rc = status_fail(STATUS_FORMAT, "%s: is neither a safetensors file nor one of PyTorch", path);
    return rc ? rc : add_part(w, path, what);
}

static status read_index(weights *w, json_value *map) {
    status rc = json_read(&w->index, w->path, INDEX_LIMIT);
    if (!rc) rc = json_member(map, json_root(w->index), "weight_map");
    if (!rc) rc = json_object(*map);
    for (json_value v = rc ? (json_value){0} : json_first(*map); v.node && !rc; v = json_next(v))
        rc = open_listed(w, v);
    snprintf(w->format, sizeof w->format, "index of %zu files", w->parts);
    return rc;
}

// The index and its files name the same tensors, each in the file that holds it.
static status check_index(const weights *w, json_value map) {
    size_t listed = 0;
    for (json_value v = json_first(map); v.node; v = json_next(v), listed++) {
        const weight_entry *e = weights_lookup(w, json_key(v));
        const char *name = NULL, *slash;
        if (json_text(&name, v)) return STATUS_FORMAT;
        if (!e) return json_fail(v, "is a tensor that %s does not hold", name);
        slash = strrchr(w->part[e->part].path, '/');
        if (strcmp(slash ? slash + 1 : w->part[e->part].path, name))
            return json_fail(v, "stands in %s, not in %s", w->part[e->part].path, name);
    }
    if (listed != w->count)
        return status_fail(STATUS_FORMAT, "%s: lists %zu tensors, its files hold %zu", w->path, listed,
                           w->count);
    return STATUS_OK;
}

// --- interface -----------------------------------------------------------------------------------
static int compare_entries(const void *a, const void *b) {
    return strcmp((*(const weight_entry *const *)a)->name, (*(const weight_entry *const *)b)->name);
}

static status sort_entries(weights *w) {
    status rc = mem_new(&w->by_name, w->count, "the list of tensors");
    if (rc || !w->count) return rc;
    for (size_t i = 0; i < w->count; i++) w->by_name[i] = &w->entry[i];
    qsort(w->by_name, w->count, sizeof *w->by_name, compare_entries);
    for (size_t i = 1; i < w->count; i++)
        if (!strcmp(w->by_name[i - 1]->name, w->by_name[i]->name))
            return status_fail(STATUS_FORMAT, "%s: two tensors are named \"%.200s\"", w->path,
                               w->by_name[i]->name);
    return STATUS_OK;
}

static status open_all(weights *w) {
    kind what;
    json_value map = {0};
    status rc = find_kind(w->path, &what);
    if (rc) return rc;
    if (what == KIND_UNKNOWN)
        return status_fail(STATUS_FORMAT, "%s: is neither a safetensors file nor one of PyTorch (.pt, .pth, "
                                          ".bin, .ckpt)", w->path);
    if (what == KIND_INDEX) {
        rc = read_index(w, &map);
    } else {
        rc = add_part(w, w->path, what);
        bool legacy = !rc && w->part->torch && torch_file_legacy(w->part->torch);
        snprintf(w->format, sizeof w->format, "%s", what == KIND_SAFETENSORS ? "safetensors"
                                                    : legacy                 ? "PyTorch legacy"
                                                                             : "PyTorch zip");
    }
    if (!rc) rc = sort_entries(w);
    if (!rc && map.node) rc = check_index(w, map);
    return rc ? rc : mem_new(&w->piece, PIECE * WIDEST, "numbers of a tensor");
}

const char *const weights_model_files[] = {"model.safetensors.index.json", "model.safetensors",
                                           "pytorch_model.bin.index.json", "pytorch_model.bin", NULL};

status weights_find(char *path, size_t size, const char *folder, const char *const *file, const char *what) {
    buffer list = {0};
    status rc = STATUS_OK;
    if (!folder_exists(folder)) {
        if ((size_t)snprintf(path, size, "%s", folder) >= size)
            rc = status_fail(STATUS_IO, "%s: the path is too long", folder);
        return rc;
    }
    for (const char *const *n = file; *n && !rc; n++) {
        rc = path_join(path, size, folder, *n);
        if (!rc && file_exists(path)) return STATUS_OK;
    }
    for (const char *const *n = file; *n; n++) buffer_print(&list, "%s%s", n == file ? "" : ", ", *n);
    if (!rc)
        rc = status_fail(STATUS_IO, "%s: holds no %s (looked for %s)", folder, what,
                         list.failed ? "its files" : list.data);
    buffer_free(&list);
    return rc;
}

status weights_open(weights **out, const char *path) {
    weights *w;
    *out = NULL;
    status rc = mem_new(&w, 1, "a weight file");
    if (rc) return rc;
    rc = mem_string(&w->path, path);
    if (!rc) rc = open_all(w);
    if (rc)
        weights_close(w);
    else
        *out = w;
    return rc;
}

void weights_close(weights *w) {
    if (!w) return;
    for (size_t i = 0; i < w->parts; i++) {
        safetensors_close(w->part[i].safe);
        torch_file_close(w->part[i].torch);
        mem_free(w->part[i].path);
    }
    mem_free(w->part);
    mem_free(w->by_name);
    mem_free(w->entry);
    json_close(w->index);
    mem_free(w->piece);
    mem_free(w->path);
    mem_free(w);
}

const char *weights_format(const weights *w) {
    return w->format;
}

const char *weights_path(const weights *w) {
    return w->path;
}

size_t weights_count(const weights *w) {
    return w->count;
}

const weight_entry *weights_at(const weights *w, size_t index) {
    if (index >= w->count) die("weights_at: %zu of %zu tensors", index, w->count);
    return &w->entry[index];
}

const weight_entry *weights_lookup(const weights *w, const char *name) {
    weight_entry wanted = {.name = name};
    const weight_entry *key = &wanted;
    const weight_entry **found =
        w->count ? bsearch(&key, w->by_name, w->count, sizeof *w->by_name, compare_entries) : NULL;
    return found ? *found : NULL;
}

// Elements FIRST to FIRST + COUNT - 1 in memory: the file's own bytes, or a copy in w->piece.
static status piece_of(weights *w, const weight_entry *e, int64_t first, int64_t count, const void **out) {
    part *p = &w->part[e->part];
    *out = w->piece;
    if (e->type == ELEMENT_COUNT)
        return status_fail(STATUS_FORMAT, "%s: \"%.200s\" is of type %s, which is not supported", w->path,
                           e->name, e->type_name);
    if (p->torch) return torch_file_copy(p->torch, torch_file_at(p->torch, e->place), first, count, w->piece);
    *out = (const char *)safetensors_at(p->safe, e->place)->data + (size_t)first * element_size(e->type);
    return STATUS_OK;
}

static status read_numbers(weights *w, const weight_entry *e, float *narrow, double *wide) {
    const void *bytes = NULL;
    for (int64_t first = 0; first < e->count; first += PIECE) {
        int64_t count = e->count - first < PIECE ? e->count - first : PIECE;
        status rc = piece_of(w, e, first, count, &bytes);
        if (rc) return rc;
        if (narrow)
            element_to_f32(narrow + first, e->type, bytes, (size_t)count);
        else
            element_to_f64(wide + first, e->type, bytes, (size_t)count);
    }
    return STATUS_OK;
}

status weights_read_f32(weights *w, const weight_entry *e, float *out) {
    return read_numbers(w, e, out, NULL);
}

status weights_read_f64(weights *w, const weight_entry *e, double *out) {
    return read_numbers(w, e, NULL, out);
}

status weights_piece(weights *w, const weight_entry *e, int64_t first, int64_t count, const void **out) {
    if (first < 0 || count < 0 || count > PIECE || first > e->count - count)
        die("weights_piece %s: elements %lld + %lld of %lld", e->name, (long long)first, (long long)count,
            (long long)e->count);
    return piece_of(w, e, first, count, out);
}

void weights_forget(weights *w, const weight_entry *e) {
    const part *p = &w->part[e->part];
    if (p->torch)
        torch_file_forget(p->torch);
    else
        file_map_forget(safetensors_at(p->safe, e->place)->data, e->bytes);
}

status weights_checksum(weights *w, const weight_entry *e, uint32_t *crc) {
    const void *bytes = NULL;
    const part *p = &w->part[e->part];
    *crc = 0;
    if (p->safe) {
        *crc = checksum_crc32(0, safetensors_at(p->safe, e->place)->data, e->bytes);
        return STATUS_OK;
    }
    for (int64_t first = 0; first < e->count; first += PIECE) {
        int64_t count = e->count - first < PIECE ? e->count - first : PIECE;
        status rc = piece_of(w, e, first, count, &bytes);
        if (rc) return rc;
        *crc = checksum_crc32(*crc, bytes, (size_t)count * element_size(e->type));
    }
    return STATUS_OK;
}
