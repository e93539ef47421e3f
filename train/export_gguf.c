// Adapters as llama.cpp loads them beside a base in GGUF.
//
// llama.cpp turns neighbouring numbers of a head by one angle, Hugging Face's checkpoints number I
// and number I + D / 2; its converter therefore permutes the rows of q and k, and an adapter's B
// must follow.
#include "core/files/gguf.h"
#include "core/log.h"
#include "train/export.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FILE_ALL_F32 = 0, FILE_MOSTLY_F16 = 1 }; // general.file_type

static const struct {
    const char *module, *name;
    enum { ROWS_KEPT, ROWS_OF_QUERIES, ROWS_OF_KEYS } rows;
} layers[] = {
    {"self_attn.q_proj", "attn_q", ROWS_OF_QUERIES}, {"self_attn.k_proj", "attn_k", ROWS_OF_KEYS},
    {"self_attn.v_proj", "attn_v", ROWS_KEPT},       {"self_attn.o_proj", "attn_output", ROWS_KEPT},
    {"mlp.gate_proj", "ffn_gate", ROWS_KEPT},        {"mlp.up_proj", "ffn_up", ROWS_KEPT},
    {"mlp.down_proj", "ffn_down", ROWS_KEPT},
};

typedef struct job {
    const export_options *options;
    adapter adapter;
    llama_config base;
} job;

// The layer's name in GGUF, and how many heads its rows stand in (0: they stay). The base knows it.
static int layer_of(char name[MODULE_SIZE], const job *j, const char *module) {
    int number = 0, end = 0;
    sscanf(module, "model.layers.%d.%n", &number, &end);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        if (strcmp(module + end, layers[i].module) != 0) continue;
        snprintf(name, MODULE_SIZE, "blk.%d.%s.weight", number, layers[i].name);
        return layers[i].rows == ROWS_OF_QUERIES ? j->base.heads
               : layers[i].rows == ROWS_OF_KEYS  ? j->base.key_heads
                                                 : 0;
    }
    die("export gguf: no layer %s", module);
}

// A head's rows (x0, x1, ..., y0, y1, ...), x and y turned together, become (x0, y0, x1, y1, ...).
static void permute_rows(float *to, const float *from, int64_t rows, int64_t columns, int heads) {
    const int64_t width = rows / heads, half = width / 2;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t inside = r % width, source = r - inside + inside % 2 * half + inside / 2;
        memcpy(to + r * columns, from + source * columns, (size_t)columns * sizeof *to);
    }
}

static status narrow(uint16_t *to, const float *from, int64_t count, const char *name) {
    for (int64_t i = 0; i < count; i++) {
        to[i] = f16_from_float(from[i]);
        if (!isfinite(f16_to_float(to[i])))
            return status_fail(STATUS_FORMAT,
                               "%s: holds %g, which f16 does not: export it with --type f32", name,
                               (double)from[i]);
    }
    return STATUS_OK;
}

// The bytes of E as the file holds them, in *OUT (mem_free).
static status numbers_of(void **out, const job *j, const weight_entry *e, int heads) {
    float *values = NULL, *turned = NULL;
    uint16_t *halves = NULL;
    status rc = adapter_values(&values, &j->adapter, e);
    if (!rc && heads) rc = mem_new(&turned, e->count, e->name);
    if (!rc && heads) {
        permute_rows(turned, values, e->dim[0], e->dim[1], heads);
        memcpy(values, turned, (size_t)e->count * sizeof *values);
    }
    if (!rc && j->options->type == DTYPE_F16) {
        rc = mem_new(&halves, e->count, e->name);
        if (!rc) rc = narrow(halves, values, e->count, e->name);
    }
    mem_free(turned);
    *out = rc ? NULL : halves ? (void *)halves : values;
    if (rc || halves) mem_free(values);
    if (rc) mem_free(halves);
    return rc;
}

// --- writing ------------------------------------------------------------------------------------
static status write_notes(gguf_writer *w, const job *j) {
    const lora_config *l = &j->adapter.lora;
    status rc = gguf_note_text(w, "general.architecture", "llama");
    if (!rc) rc = gguf_note_text(w, "general.type", "adapter");
    if (!rc) rc = gguf_note_text(w, "adapter.type", "lora");
    // llama.cpp divides by the rank, whatever the scale's rule.
    if (!rc) rc = gguf_note_f32(w, "adapter.lora.alpha", (float)(lora_scale(l) * (double)l->rank));
    if (!rc)
        rc = gguf_note_u32(w, "general.file_type",
                           j->options->type == DTYPE_F16 ? FILE_MOSTLY_F16 : FILE_ALL_F32);
    return rc;
}

static status write_tensor(gguf_writer *w, const job *j, const char *name, const weight_entry *e,
                           int heads) {
    void *bytes;
    status rc = numbers_of(&bytes, j, e, heads);
    if (!rc) rc = gguf_write(w, name, bytes, (size_t)e->count * dtype_size(j->options->type));
    mem_free(bytes);
    return rc;
}

static status write_pairs(gguf_writer *w, const job *j, bool writing) {
    char layer[MODULE_SIZE], name[MODULE_SIZE + 16];
    status rc = STATUS_OK;
    for (size_t i = 0; i < 2 * j->adapter.pairs && !rc; i++) {
        const lora_pair *p = &j->adapter.pair[i / 2];
        const bool up = i % 2;
        const weight_entry *e = up ? p->b : p->a;
        const int heads = layer_of(layer, j, p->module);
        snprintf(name, sizeof name, "%s.%s", layer, up ? "lora_b" : "lora_a");
        rc = writing ? write_tensor(w, j, name, e, up ? heads : 0)
                     : gguf_declare(w, name, j->options->type, 2, e->dim);
    }
    return rc;
}

static status write_file(const job *j, const char *path) {
    gguf_writer *w = NULL;
    status rc = gguf_create(&w, path);
    if (!rc) rc = write_notes(w, j);
    if (!rc) rc = write_pairs(w, j, false);
    if (!rc) rc = write_pairs(w, j, true);
    if (!rc) rc = gguf_finish(w);
    gguf_writer_close(w);
    return rc;
}

// --- verification -------------------------------------------------------------------------------
// Row R of the file is where the checkpoint's row stands: the inverse of permute_rows, by its
// meaning.
static int64_t row_in_file(int64_t row, int64_t rows, int heads) {
    if (!heads) return row;
    const int64_t width = rows / heads, inside = row % width, half = width / 2;
    return row - inside + (inside < half ? 2 * inside : 2 * (inside - half) + 1);
}

static status verify_tensor(const job *j, const gguf *g, const char *name, const weight_entry *e,
                            int heads) {
    float *values;
    const gguf_entry *x = gguf_lookup(g, name);
    bool same = x && x->type == j->options->type && x->rank == 2 && x->dim[0] == e->dim[0] &&
                x->dim[1] == e->dim[1];
    status rc = adapter_values(&values, &j->adapter, e);
    for (int64_t i = 0; !rc && same && i < e->count; i++) {
        const int64_t row = i / e->dim[1], column = i % e->dim[1],
                      place = row_in_file(row, e->dim[0], heads) * e->dim[1] + column;
        const double found = element_get(x->data, place, x->type), wanted = (double)values[i];
        // Half a unit in the last place of f16, at the least 2^-25.
        const double most = x->type == DTYPE_F16 ? fmax(fabs(wanted) * 0x1p-11, 0x1p-25) : 0;
        same = fabs(found - wanted) <= most;
    }
    mem_free(values);
    if (!rc && !same)
        rc = status_fail(STATUS_FORMAT, "%s: %s is not what %s holds", j->options->out, name,
                         j->adapter.file);
    return rc;
}

static status verify(const job *j) {
    char layer[MODULE_SIZE], name[MODULE_SIZE + 16];
    double alpha = 0;
    gguf *g = NULL;
    status rc = gguf_open(&g, j->options->out);
    for (size_t i = 0; !rc && i < 2 * j->adapter.pairs; i++) {
        const lora_pair *p = &j->adapter.pair[i / 2];
        const int heads = layer_of(layer, j, p->module);
        snprintf(name, sizeof name, "%s.%s", layer, i % 2 ? "lora_b" : "lora_a");
        rc = verify_tensor(j, g, name, i % 2 ? p->b : p->a, i % 2 ? heads : 0);
    }
    const double wanted = lora_scale(&j->adapter.lora) * (double)j->adapter.lora.rank;
    if (!rc && !(gguf_number(g, "adapter.lora.alpha", &alpha) &&
                 fabs(alpha - wanted) <= 1e-6 * fabs(wanted)))
        rc = status_fail(STATUS_FORMAT, "%s: alpha is %g, expected %g", j->options->out, alpha,
                         wanted);
    if (!rc) log_info("%s: verified, %zu tensors", j->options->out, gguf_count(g));
    gguf_close(g);
    return rc;
}

status export_gguf(const export_options *o) {
    job j = {.options = o};
    status rc = export_is_new(o->out);
    if (!rc) rc = adapter_open(&j.adapter, o->checkpoint);
    if (!rc) rc = export_base(&j.base, o, &j.adapter);
    if (!rc) rc = write_file(&j, o->out);
    if (!rc && j.adapter.image_weight)
        log_info(
            "%s: llama.cpp has no place for the image projection: export it with --format peft",
            o->out);
    if (!rc && o->verify) rc = export_keep(o->out, verify(&j));
    adapter_close(&j.adapter);
    return rc;
}
