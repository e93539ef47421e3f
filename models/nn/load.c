#include "models/nn/load.h"
#include "core/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const load_recipe load_own = {.what = "a checkpoint of radialog", .strict = true};

static bool starts(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool matches(const char *const *part, const char *name) {
    for (; part && *part; part++)
        if (**part == '^' ? starts(name, *part + 1) : strstr(name, *part) != NULL) return true;
    return false;
}

// The file's name of a parameter, in TEXT.
static const char *file_name(char text[NAME_SIZE], const load_recipe *r, const char *name) {
    for (const load_name *n = r->names; n && n->file; n++) {
        if (!starts(name, n->model)) continue;
        if (snprintf(text, NAME_SIZE, "%s%s", n->file, name + strlen(n->model)) >= NAME_SIZE)
            die("params_load: %s%s is too long", n->file, name);
        return text;
    }
    return name;
}

// The file's tensor for a parameter, NULL if there is none; its name, or the first that was tried, in TEXT.
static const weight_entry *find_entry(char text[NAME_SIZE], const weights *file, const load_recipe *r,
                                      const char *name) {
    char other[NAME_SIZE];
    snprintf(text, NAME_SIZE, "%s", file_name(other, r, name));
    const weight_entry *e = weights_lookup(file, text);
    for (const load_name *n = r->endings; !e && n && n->file; n++) {
        size_t length = strlen(text), end = strlen(n->model);
        if (length < end || strcmp(text + length - end, n->model)) continue;
        if (snprintf(other, sizeof other, "%.*s%s", (int)(length - end), text, n->file) < NAME_SIZE)
            e = weights_lookup(file, other);
    }
    return e;
}

static bool wanted(const load_recipe *r, const param *q) {
    return q->role != PARAM_CONSTANT && q->apart == r->apart && !matches(r->keep, q->name);
}

// --- the table of what does not fit --------------------------------------------------------------
typedef struct findings {
    bool measuring; // the first time through: only the widths of the columns
    buffer rows;
    int count, missing, misshapen, unknown;
    int width[3]; // of the columns before the verdict
} findings;

static void print_cells(findings *f, const char *const cell[4]) {
    for (int i = 0; i < 3; i++) {
        int length = (int)strlen(cell[i]);
        if (f->measuring && length > f->width[i]) f->width[i] = length;
    }
    if (f->measuring) return;
    buffer_print(&f->rows, "  %-*s  %-*s  %-*s  %s\n", f->width[0], cell[0], f->width[1], cell[1],
                 f->width[2], cell[2], cell[3]);
}

static void add_row(findings *f, const char *name, const char *file, const char *model,
                    const char *verdict) {
    if (!f->count) print_cells(f, (const char *[]){"tensor", "in the file", "in the model", "verdict"});
    if (f->count++ < LOAD_TABLE_ROWS) print_cells(f, (const char *[]){name, file, model, verdict});
}

static status print_findings(findings *f, const load_recipe *r, const char *path) {
    buffer text = {0};
    if (!f->count) return f->rows.failed;
    buffer_print(&text, "%s as %s: tensors that do not fit\n", path, r->what);
    if (f->rows.data) buffer_text(&text, f->rows.data);
    if (f->count > LOAD_TABLE_ROWS)
        buffer_print(&text, "  and %d more\n", f->count - LOAD_TABLE_ROWS);
    if (text.length) text.data[text.length - 1] = 0; // the log ends the line
    status rc = text.failed ? text.failed : f->rows.failed;
    if (!rc) log_warn("%s", text.data);
    buffer_free(&text);
    return rc;
}

// --- comparison ----------------------------------------------------------------------------------
static bool may_grow(const load_recipe *r, const param *q) {
    for (const char *const *name = r->grown; name && *name; name++)
        if (!strcmp(q->name, *name)) return true;
    return false;
}

static bool fits(const load_recipe *r, const param *q, const param_file *part, const weight_entry *e) {
    if (e->rank != part->rank) return false;
    for (int i = 0; i < e->rank; i++)
        if (e->dim[i] != part->dim[i] && (i || e->dim[0] > part->dim[0] || !may_grow(r, q))) return false;
    return true;
}

static void compare(findings *f, const load_recipe *r, const param *q, const param_file *part,
                    const weight_entry *e, const char *name) {
    char have[SHAPE_TEXT_SIZE], want[SHAPE_TEXT_SIZE];
    shape_text(want, part->rank, part->dim);
    if (!e) {
        f->missing++;
        add_row(f, name, "-", want, "missing");
        return;
    }
    shape_text(have, e->rank, e->dim);
    if (!fits(r, q, part, e)) {
        f->misshapen++;
        add_row(f, name, have, want, "another shape");
    } else if (e->type == ELEMENT_COUNT) {
        f->misshapen++;
        add_row(f, name, e->type_name, "F32", "a type that is not supported");
    }
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Tensors of the file that no parameter takes.
static void find_unknown(findings *f, load_counts *counts, const weights *file, const load_recipe *r,
                         const char **taken, size_t count) {
    char have[SHAPE_TEXT_SIZE];
    qsort(taken, count, sizeof *taken, compare_texts);
    for (size_t i = 0; i < weights_count(file); i++) {
        const weight_entry *e = weights_at(file, i);
        if (bsearch(&e->name, taken, count, sizeof *taken, compare_texts)) continue;
        if (matches(r->ignored, e->name)) {
            counts->ignored++;
            continue;
        }
        f->unknown++;
        counts->unknown++;
        add_row(f, e->name, shape_text(have, e->rank, e->dim), "-", "not in the model");
    }
}

// TAKEN has room for PARAM_PIECES names per parameter.
static void compare_all(findings *f, const params *p, const weights *file, const load_recipe *r,
                        load_counts *counts, const char **taken) {
    char name[NAME_SIZE];
    size_t count = 0;
    *counts = (load_counts){0};
    f->count = f->missing = f->misshapen = f->unknown = 0;
    for (size_t i = 0; i < p->count; i++) {
        const param *q = p->item[i];
        if (q->role == PARAM_CONSTANT || q->apart != r->apart) continue;
        if (!wanted(r, q)) {
            counts->kept++;
            continue;
        }
        for (int j = 0; j < param_files(q); j++) {
            const param_file part = param_file_at(q, j);
            const weight_entry *e = find_entry(name, file, r, part.name);
            compare(f, r, q, &part, e, e ? e->name : name);
            if (e) taken[count++] = e->name;
        }
    }
    find_unknown(f, counts, file, r, taken, count);
}

static status check_all(const params *p, const weights *file, const load_recipe *r, load_counts *counts) {
    findings f = {.measuring = true};
    const char **taken = NULL;
    status rc = mem_new(&taken, PARAM_PIECES * p->count, "names of tensors");
    if (rc) return rc;
    compare_all(&f, p, file, r, counts, taken);
    f.measuring = false;
    compare_all(&f, p, file, r, counts, taken);
    mem_free(taken);
    rc = print_findings(&f, r, weights_path(file));
    if (!rc && (f.missing || f.misshapen || (r->strict && f.unknown)))
        rc = status_fail(STATUS_FORMAT, "%s: %d tensors missing, %d of another shape, %d not in the model: "
                                        "they do not fit the model of this configuration (read as %s); the "
                                        "table above names them",
                         weights_path(file), f.missing, f.misshapen, f.unknown, r->what);
    buffer_free(&f.rows);
    return rc;
}

// --- loading -------------------------------------------------------------------------------------
// COUNT numbers of E from FIRST on.
static status expect_finite(const float *values, const weights *file, const weight_entry *e, int64_t first,
                            int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return status_fail(STATUS_FORMAT, "%s: \"%.200s\" holds %s at element %lld: weights must be finite "
                                              "numbers of f32's range", weights_path(file), e->name,
                               isnan(values[i]) ? "NaN" : "an infinity", (long long)(first + i));
    return STATUS_OK;
}

// The numbers of E, which must be finite, where the parameter's are to go.
static status read_finite(float *values, weights *file, const weight_entry *e) {
    status rc = weights_read_f32(file, e, values);
    return rc ? rc : expect_finite(values, file, e, 0, e->count);
}

// Whether the file's bytes are what the device is to hold.
static bool is_as_kept(const param *q, const weight_entry *e) {
    const bool frozen = q->frozen || q->role != PARAM_WEIGHT;
    return frozen && !q->conv && !q->coded && !strcmp(e->type_name, dtype_name(q->value.type));
}

// Those go from the file to their place, piece by piece: a large model is in memory once.
static status copy_part(params *p, weights *file, const param *q, const param_file *part,
                        const weight_entry *e) {
    float *values;
    const void *bytes = NULL;
    status rc = mem_new(&values, WEIGHT_PIECE, e->name);
    for (int64_t first = 0; first < e->count && !rc; first += WEIGHT_PIECE) {
        const int64_t count = e->count - first < WEIGHT_PIECE ? e->count - first : WEIGHT_PIECE;
        rc = weights_piece(file, e, first, count, &bytes);
        if (rc) break;
        element_to_f32(values, e->type, bytes, (size_t)count);
        rc = expect_finite(values, file, e, first, count);
        if (!rc) param_write_raw(p, q, part, first, count, bytes);
    }
    mem_free(values);
    return rc;
}

// CODES: of a parameter in few bits, which takes the rows of all its parts; else not used.
static status load_part(params *p, weights *file, const param *q, const param_file *part,
                        const weight_entry *e, quantise *codes) {
    float *values;
    const int64_t row = q->value.rank > 1 ? part->count / part->dim[0] : 1;
    status rc = mem_new(&values, part->count, e->name);
    if (rc) return rc;
    if (e->count < part->count && !q->coded)
        rc = param_read_file(p, q, part, param_block(p, q), values);
    if (!rc) rc = read_finite(values, file, e);
    if (!rc && q->coded)
        rc = quantise_rows(codes, values, part->first / row, part->dim[0]);
    else if (!rc)
        rc = param_write_file(p, q, part, param_block(p, q), values);
    mem_free(values);
    return rc;
}

// PART of Q in FILE. Its size is params_load's question to all tensors before, and of params_code to each.
static status find_part(const weight_entry **out, const weights *file, const load_recipe *r, const param *q,
                        const param_file *part) {
    char name[NAME_SIZE], have[SHAPE_TEXT_SIZE], want[SHAPE_TEXT_SIZE];
    const weight_entry *e = *out = find_entry(name, file, r, part->name);
    if (!e) return status_fail(STATUS_FORMAT, "%s: has no %s", weights_path(file), part->name);
    if (fits(r, q, part, e)) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: %s is %s, %s by the configuration", weights_path(file), e->name,
                       shape_text(have, e->rank, e->dim), shape_text(want, part->rank, part->dim));
}

// All parts of Q: into P, or of a parameter in few bits into CODES. *LOADED counts them.
static status load_parts(params *p, weights *file, const load_recipe *r, const param *q, quantise *codes,
                         int64_t *loaded) {
    const weight_entry *e;
    status rc = q->coded ? quantise_open(codes, q->quantised.how, q->value.dim[0], q->value.dim[1]) : STATUS_OK;
    for (int j = 0; j < param_files(q) && !rc; j++) {
        const param_file part = param_file_at(q, j);
        rc = find_part(&e, file, r, q, &part);
        if (rc) break;
        rc = is_as_kept(q, e) ? copy_part(p, file, q, &part, e) : load_part(p, file, q, &part, e, codes);
        weights_forget(file, e);
        *loaded += !rc;
    }
    if (!rc && q->coded) quantise_end(codes);
    return rc;
}

static status load_one(params *p, weights *file, const load_recipe *r, param *q, load_counts *counts) {
    quantise codes = {0};
    status rc = load_parts(p, file, r, q, &codes, &counts->loaded);
    if (!rc && q->coded) param_code(p, q, &codes);
    quantise_close(&codes);
    return rc;
}

static const load_recipe own_names;

status params_code_check(const params *p, const weights *file) {
    const weight_entry *e;
    status rc = STATUS_OK;
    for (size_t i = 0; i < p->count && !rc; i++) {
        const param *q = p->item[i];
        if (!q->coded) continue;
        rc = quantise_check(q->quantised.how, q->value.dim[1]);
        for (int j = 0; j < param_files(q) && !rc; j++) {
            const param_file part = param_file_at(q, j);
            rc = find_part(&e, file, &own_names, q, &part);
        }
    }
    return rc;
}

status params_code(quantise *out, weights *file, const param *q) {
    int64_t loaded = 0;
    *out = (quantise){0};
    return load_parts(NULL, file, &own_names, q, out, &loaded);
}

status params_load(params *p, weights *file, const load_recipe *recipe, load_counts *counts) {
    *counts = (load_counts){0};
    status rc = check_all(p, file, recipe, counts);
    for (size_t i = 0; i < p->count && !rc; i++)
        if (wanted(recipe, p->item[i])) rc = load_one(p, file, recipe, p->item[i], counts);
    return rc;
}

status params_load_told(params *p, weights *file, const load_recipe *recipe) {
    load_counts n;
    status rc = params_load(p, file, recipe, &n);
    if (!rc)
        log_info("%s (%s, %s): %lld tensors loaded, %lld left as they began, %lld of the file not needed",
                 weights_path(file), recipe->what, weights_format(file), (long long)n.loaded, (long long)n.kept,
                 (long long)(n.ignored + n.unknown));
    return rc;
}
