// Makes a folder of instruct data; the format is in instruct.h. The rows of a shard are built by
// threads in pieces, whose place in the shard depends on their numbers alone.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "data/csv.h"
#include "data/instruct_manifest.h"
#include "data/shard_folder.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 64, ERROR_SIZE = 1024 };

// What became of a row.
typedef struct row_fate {
    instruct_skip skip; // or: its block, bytes of the piece's
    size_t size;
    int32_t length, supervised;
    uint32_t crc;
    size_t id, detail; // of a skipped one: places in the piece's texts
} row_fate;

typedef struct piece {
    buffer blocks, texts; // texts: a NUL behind each
} piece;

typedef struct shard_build {
    const instruct_source *from;
    const instruct_options *o;
    int split;
    int64_t first, rows;
    row_fate *fate; // (rows)
    piece *pieces;  // (pieces of rows)
    status failed;
    int64_t failed_piece;
    char error[ERROR_SIZE];
} shard_build;

static int64_t count_pieces(int64_t rows) {
    return (rows + PIECE - 1) / PIECE;
}

// --- building -----------------------------------------------------------------------------------

static size_t keep(buffer *texts, const char *text) {
    const size_t at = texts->length;
    buffer_append(texts, text, strlen(text) + 1);
    return at;
}

static status reset_text(instruct_text *t) {
    buffer *const all[] = {&t->id, &t->images, &t->prompt, &t->answer};
    status rc = STATUS_OK;
    for (int i = 0; i < 4 && !rc; i++) {
        all[i]->length = 0;
        buffer_text(all[i], "");
        rc = all[i]->failed;
    }
    t->task = "";
    t->may_be_empty = false;
    return rc;
}

static status build_row(shard_build *b, piece *p, instruct_text *t, int64_t i) {
    row_fate *f = &b->fate[i];
    const size_t begin = p->blocks.length;
    status rc = reset_text(t);
    if (!rc) rc = b->from->row(t, &f->skip, b->from->context, b->split, b->first + i);
    if (!rc)
        rc = instruct_build(&p->blocks, &f->length, &f->supervised, &f->skip, t, b->o->tokenizer,
                            &b->o->facts);
    if (!rc) {
        f->skip = INSTRUCT_KEPT;
        f->size = p->blocks.length - begin;
        f->crc = checksum_crc32(0, p->blocks.data + begin, f->size);
        return STATUS_OK;
    }
    if (rc != STATUS_FORMAT) return rc;
    f->id = keep(&p->texts, t->id.data);
    f->detail = keep(&p->texts, status_text());
    return p->texts.failed;
}

static void build_piece(shard_build *b, instruct_text *t, int64_t number) {
    const int64_t first = number * PIECE, end = first + PIECE < b->rows ? first + PIECE : b->rows;
    status rc = STATUS_OK;
    for (int64_t i = first; i < end && !rc; i++) rc = build_row(b, &b->pieces[number], t, i);
    if (!rc) return;
#pragma omp critical(build_instruct)
    if (!b->failed || number < b->failed_piece) {
        b->failed = rc;
        b->failed_piece = number;
        snprintf(b->error, sizeof b->error, "%s", status_text());
    }
}

static status build_rows(shard_build *b) {
#pragma omp parallel num_threads(b->o->threads)
    {
        instruct_text t = {0};
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < count_pieces(b->rows); i++) build_piece(b, &t, i);
        instruct_text_free(&t);
    }
    return b->failed ? status_carry(b->failed, b->error) : STATUS_OK;
}

// --- a shard's file -----------------------------------------------------------------------------

typedef struct tables {
    int64_t records, bytes, skipped;
    int64_t *offset, *crc, *row;
    int32_t *length, *supervised;
    char *blocks; // (bytes)
    text_column reason, id, detail;
} tables;

static void tables_free(tables *t) {
    mem_free(t->offset), mem_free(t->crc), mem_free(t->row);
    mem_free(t->length), mem_free(t->supervised), mem_free(t->blocks);
    text_column_free(&t->reason);
    text_column_free(&t->id);
    text_column_free(&t->detail);
}

static status tables_take(tables *t, const shard_build *b) {
    for (int64_t k = 0; k < count_pieces(b->rows); k++)
        t->bytes += (int64_t)b->pieces[k].blocks.length;
    status rc = mem_new(&t->offset, b->rows + 1, "a shard");
    if (!rc) rc = mem_new(&t->crc, b->rows, "a shard");
    if (!rc) rc = mem_new(&t->row, b->rows, "a shard");
    if (!rc) rc = mem_new(&t->length, b->rows, "a shard");
    if (!rc) rc = mem_new(&t->supervised, b->rows, "a shard");
    return rc ? rc : mem_take_untouched((void **)&t->blocks, (size_t)t->bytes, "a shard");
}

static status add_skipped(tables *t, const shard_build *b, int64_t i) {
    const row_fate *f = &b->fate[i];
    const char *texts = b->pieces[i / PIECE].texts.data;
    t->row[t->skipped++] = b->first + i;
    status rc = text_column_add(&t->reason, instruct_skip_names[f->skip]);
    if (!rc) rc = text_column_add(&t->id, texts + f->id);
    return rc ? rc : text_column_add(&t->detail, texts + f->detail);
}

static status fill_tables(tables *t, const shard_build *b) {
    status rc = tables_take(t, b);
    int64_t at = 0;
    for (int64_t k = 0; k < count_pieces(b->rows) && !rc; k++) {
        const buffer *from = &b->pieces[k].blocks;
        if (from->length) memcpy(t->blocks + at, from->data, from->length);
        at += (int64_t)from->length;
    }
    at = 0;
    for (int64_t i = 0; i < b->rows && !rc; i++) {
        const row_fate *f = &b->fate[i];
        if (f->skip) {
            rc = add_skipped(t, b, i);
            continue;
        }
        t->length[t->records] = f->length;
        t->supervised[t->records] = f->supervised;
        t->crc[t->records] = f->crc;
        at += (int64_t)f->size;
        t->offset[++t->records] = at;
    }
    return rc;
}

static status write_tables(hdf5 *f, const tables *t) {
    const int64_t ends = t->records + 1;
    status rc = hdf5_write(f, "offsets", DTYPE_I64, 1, &ends, t->offset);
    if (!rc) rc = hdf5_write(f, "length", DTYPE_I32, 1, &t->records, t->length);
    if (!rc) rc = hdf5_write(f, "supervised", DTYPE_I32, 1, &t->records, t->supervised);
    if (!rc) rc = hdf5_write(f, "crc32", DTYPE_I64, 1, &t->records, t->crc);
    if (!rc) rc = hdf5_write(f, "skipped_row", DTYPE_I64, 1, &t->skipped, t->row);
    if (!rc) rc = text_column_write(f, "skipped_reason", &t->reason);
    if (!rc) rc = text_column_write(f, "skipped_id", &t->id);
    if (!rc) rc = text_column_write(f, "skipped_detail", &t->detail);
    return rc ? rc : hdf5_write(f, "blocks", DTYPE_U8, 1, &t->bytes, t->blocks);
}

static status write_file(const char *path, const shard_build *b, const char *plan,
                         const tables *t) {
    hdf5 *f = NULL;
    status rc = hdf5_create(&f, path);
    if (!rc) rc = hdf5_write_text(f, "format", "radialog-instruct");
    if (!rc) rc = hdf5_write_int(f, "version", INSTRUCT_VERSION);
    if (!rc) rc = hdf5_write_text(f, "split", split_names[b->split]);
    if (!rc) rc = hdf5_write_text(f, "plan", plan);
    if (!rc) rc = hdf5_write_int(f, "first_row", b->first);
    if (!rc) rc = hdf5_write_int(f, "rows", b->rows);
    if (!rc) rc = write_tables(f, t);
    if (!rc) rc = hdf5_finish(f);
    hdf5_close(f);
    return rc;
}

// The seal says where the blocks are, which have checksums of their own.
static status seal(const char *path) {
    hdf5 *f = NULL;
    hdf5_shape shape;
    status rc = hdf5_open(&f, path);
    if (!rc) rc = hdf5_look(&shape, f, "blocks");
    hdf5_close(f);
    if (rc) return rc;
    const hdf5_chunk chunk = {shape.offset, (int64_t)shape.bytes};
    return shard_seal_write(path, &chunk, shape.bytes ? 1 : 0);
}

// PATH appears when it is complete; until then it is PATH.tmp.
static status write_shard(const char *path, const shard_build *b, const char *plan) {
    char part[PATH_SIZE];
    tables t = {0};
    if (snprintf(part, sizeof part, "%s.tmp", path) >= (int)sizeof part)
        return status_fail(STATUS_IO, "%s: the path is too long", path);
    status rc = fill_tables(&t, b);
    if (!rc) rc = write_file(part, b, plan, &t);
    if (!rc) rc = seal(part);
    if (!rc && rename(part, path)) rc = file_failure(path, "rename into place");
    if (rc) unlink(part);
    tables_free(&t);
    return rc;
}

static status make_shard(const char *path, shard_build *b, const char *plan) {
    status rc = mem_new(&b->fate, b->rows, "a shard's rows");
    if (!rc) rc = mem_new(&b->pieces, count_pieces(b->rows), "a shard's rows");
    if (!rc) rc = build_rows(b);
    if (!rc) rc = write_shard(path, b, plan);
    for (int64_t k = 0; b->pieces && k < count_pieces(b->rows); k++) {
        buffer_free(&b->pieces[k].blocks);
        buffer_free(&b->pieces[k].texts);
    }
    mem_free(b->pieces);
    mem_free(b->fate);
    return rc;
}

// --- the folder ---------------------------------------------------------------------------------

// A shard of this plan that stands there already, or NULL: it is missing, or damaged and made
// again.
static status find_shard(instruct_shard **out, const char *path, const char *plan) {
    *out = NULL;
    if (!file_exists(path)) return STATUS_OK;
    status rc = instruct_shard_open(out, path);
    if (rc == STATUS_FORMAT) {
        log_warn("%s; it is made again", status_text());
        return STATUS_OK;
    }
    if (rc || !strcmp((*out)->plan, plan)) return rc;
    instruct_shard_close(*out);
    *out = NULL;
    return shard_folder_other_plan(path);
}

static status run_shard(instruct_summary *sum, instruct_account *a, shard_build *b,
                        int64_t number) {
    char name[SHARD_NAME_SIZE], path[PATH_SIZE];
    instruct_shard *s = NULL;
    shard_name(name, b->split, number);
    status rc = path_join(path, sizeof path, b->o->out, name);
    if (!rc) rc = find_shard(&s, path, a->plan);
    if (rc) return rc;
    if (!s) {
        rc = make_shard(path, b, a->plan);
        // Read back as any reader will.
        if (!rc) rc = instruct_shard_open(&s, path);
        if (!rc) sum->shards_made++;
    }
    if (!rc) rc = instruct_account_shard(sum, a, s, name, b->o->facts.cutoff);
    instruct_shard_close(s);
    return rc;
}

static status run_split(instruct_summary *sum, instruct_account *a, const instruct_source *from,
                        const instruct_options *o, int split, progress *bar) {
    status rc = STATUS_OK;
    for (int64_t first = 0, number = 0; first < from->rows[split] && !rc;
         first += o->shard_rows, number++) {
        const int64_t left = from->rows[split] - first, made = sum->shards_made;
        shard_build b = {.from = from, .o = o, .split = split, .first = first};
        b.rows = left < o->shard_rows ? left : o->shard_rows;
        if (o->stop && o->stop())
            return status_fail(STATUS_INTERRUPTED,
                               "stopped after %lld shards; the same command continues from there",
                               (long long)sum->shards);
        rc = run_shard(sum, a, &b, number);
        bar->started_at += sum->shards_made == made ? b.rows : 0;
        progress_update(bar, bar->done + b.rows, split_names[split]);
    }
    return rc;
}

static status run(instruct_summary *sum, instruct_account *a, const instruct_source *from,
                  const instruct_options *o) {
    progress bar;
    int64_t rows = 0;
    for (int k = 0; k < SPLIT_COUNT; k++) rows += from->rows[k];
    status rc = instruct_prepare(a, from, o);
    if (rc) return rc;
    progress_begin(&bar, "instruct", "records", rows, 0);
    for (int k = 0; k < SPLIT_COUNT && !rc; k++) rc = run_split(sum, a, from, o, k, &bar);
    progress_end(&bar);
    return rc ? rc : instruct_manifest_write(sum, a, o);
}

status instruct_write(instruct_summary *summary, const instruct_source *from,
                      const instruct_options *options) {
    instruct_options o = *options;
    instruct_account a = {0};
    int lock = -1;
    *summary = (instruct_summary){0};
    if (!o.shard_rows) o.shard_rows = INSTRUCT_ROWS;
    if (o.shard_rows < 1 || o.shard_rows > INSTRUCT_ROWS || o.threads < 1 || o.facts.queries < 1 ||
        o.facts.cutoff < 1)
        die("instruct: %lld rows a shard, %d threads, %d image tokens, %d ids",
            (long long)o.shard_rows, o.threads, o.facts.queries, o.facts.cutoff);
    status rc = folder_make(o.out);
    if (!rc) rc = folder_lock(&lock, o.out);
    if (!rc) rc = run(summary, &a, from, &o);
    instruct_account_free(&a);
    if (lock >= 0) close(lock);
    return rc;
}
