// Reading batches from shards, and making shards from image files.
#include "core/files/fs.h"
#include "data/ingest.h"
#include "data/synth.h"
#include "train/bench.h"
#include "train/classifier_data.h"
#include "train/signals.h"

#include <stdlib.h>
#include <string.h>

// --- the loader ----------------------------------------------------------------------------------------------
enum { ROUND_IMAGES = 4096, DRAWN_STUDIES = 16 }; // where --images is not given

static status read_batches(loader *l, int64_t batches, int64_t *images) {
    status rc = STATUS_OK;
    for (int64_t i = 0; i < batches && !rc; i++) {
        batch *b = NULL;
        rc = loader_next(l, &b);
        if (!rc) *images += b->count;
        if (!rc && signals_pending())
            rc = status_fail(STATUS_INTERRUPTED, "stopped by signal %d", signals_pending());
    }
    return rc;
}

// A round is whole epochs. It begins with a seek, so that no batch has been read before its time.
static status time_loader(bench *b, loader *l, int64_t *images) {
    int64_t epoch = loader_steps_per_epoch(l), records = loader_records(l), next = 1000 * epoch;
    int64_t least = b->images ? b->images : ROUND_IMAGES;
    int64_t batches = epoch * ((least + records - 1) / records);
    status rc = STATUS_OK;
    for (int64_t i = -b->warmup; i < b->rounds && !rc; i++, next += batches + epoch) {
        *images = 0; // of the latest round, as of every one
        rc = bench_begin(b, i);
        if (!rc) rc = loader_seek(l, next);
        if (!rc) rc = read_batches(l, batches, images);
        if (!rc) bench_end(b, i);
    }
    return rc;
}

static void report_loader(bench *b, const loader_options *o, const loader *l, int64_t images) {
    bench_spread t = bench_sort(b->seconds, b->rounds), cpu = bench_sort(b->cpu, b->rounds);
    double count = (double)images;
    bench_name(b, "loader");
    bench_number(b, "threads", "threads", o->threads, 0);
    bench_number(b, "batch", "images in a batch", (double)o->batch, 0);
    bench_number(b, "crop", "pixels a side, cropped", o->crop, 0);
    bench_number(b, "size", "pixels a side, given out", o->size, 0);
    bench_number(b, "records", "records of the training split", (double)loader_records(l), 0);
    bench_number(b, "rounds", "timed rounds", (double)b->rounds, 0);
    bench_number(b, "images", "images in a round", count, 0);
    bench_number(b, "images_per_second", "images a second, median", count / t.median, 1);
    bench_number(b, "images_per_second_min", "  smallest", count / t.max, 1);
    bench_number(b, "images_per_second_max", "  largest", count / t.min, 1);
    bench_number(b, "cpu_ms_per_image", "CPU ms an image", 1e3 * cpu.median / count, 4);
    bench_number(b, "peak_memory_mb", "peak memory, MB", bench_peak_memory(), 1);
}

status bench_loader(bench *b) {
    dataset *data = NULL;
    loader *l = NULL;
    int64_t images = 0;
    loader_options o = loader_from_config(b->config, SPLIT_TRAIN, true, NULL);
    o.need_text = false;
    if (b->batch) o.batch = b->batch;
    if (o.size > o.crop)
        return status_fail(STATUS_USAGE, "bench: %d pixels a side cannot come from a crop of %d", o.size,
                           o.crop);
    status rc = dataset_open(&data, b->data ? b->data : config_text(b->config, "data.shards"));
    if (!rc) rc = loader_open(&l, data, &o);
    if (!rc) rc = time_loader(b, l, &images);
    if (!rc) report_loader(b, &o, l, images);
    loader_close(l);
    dataset_close(data);
    return rc;
}

// --- ingest --------------------------------------------------------------------------------------------------
static bool is_image(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (!strcmp(dot, ".jpg") || !strcmp(dot, ".jpeg") || !strcmp(dot, ".png"));
}

// A CSV field in quotes.
static void put_field(buffer *out, const char *text) {
    buffer_text(out, "\"");
    for (; *text; text++) buffer_print(out, *text == '"' ? "\"\"" : "%c", *text);
    buffer_text(out, "\"");
}

// One row per image under FOLDER, which is absolute.
static status list_images(buffer *csv, int64_t *count, const char *folder) {
    names list = {0};
    status rc = folder_list(folder, &list);
    for (size_t i = 0; i < list.count && !rc; i++) {
        char path[PATH_SIZE];
        rc = path_join(path, sizeof path, folder, list.name[i]);
        if (!rc && folder_exists(path)) {
            rc = list_images(csv, count, path);
        } else if (!rc && is_image(list.name[i])) {
            buffer_print(csv, "i%lld,p%lld,train,\"No change.\",", (long long)*count, (long long)*count);
            put_field(csv, path);
            buffer_text(csv, "\n");
            ++*count;
        }
    }
    names_free(&list);
    return rc ? rc : csv->failed;
}

// WORK/data.csv: the images of b->data, or of a set drawn into WORK.
static status make_source(bench *b, const char *work, int64_t *count) {
    char drawn[PATH_SIZE], table[PATH_SIZE];
    buffer csv = {0};
    int64_t studies = b->images ? b->images : DRAWN_STUDIES;
    status rc = path_join(drawn, sizeof drawn, work, "drawn");
    if (!rc) rc = path_join(table, sizeof table, work, "data.csv");
    synth_options o = {.out = drawn, .studies = studies, .seed = 1, .max_side = (int)b->max_side};
    if (!rc && !b->data) rc = synth_write(&o);
    char *folder = rc ? NULL : realpath(b->data ? b->data : drawn, NULL);
    if (!rc && (!folder || !folder_exists(folder)))
        rc = status_fail(STATUS_IO, "%s: no such folder", b->data ? b->data : drawn);
    buffer_text(&csv, "id,patient,split,findings,image\n");
    if (!rc) rc = list_images(&csv, count, folder);
    if (!rc && !*count) rc = status_fail(STATUS_FORMAT, "%s: no .jpg, .jpeg or .png in it", folder);
    if (!rc) rc = file_write(table, csv.data, csv.length);
    free(folder);
    buffer_free(&csv);
    return rc;
}

static bool stop_asked(void) { return signals_pending() != 0; }

static status time_ingest(bench *b, const char *work, int64_t count) {
    char out[PATH_SIZE];
    status rc = path_join(out, sizeof out, work, "shards");
    ingest_options o = {.source = INGEST_FOLDER,
                        .root = work,
                        .out = out,
                        .compression = b->plain ? INGEST_NONE : INGEST_DEFLATE,
                        .threads = b->threads ? b->threads : 1,
                        .strict = true,
                        .stop = stop_asked};
    for (int64_t i = -b->warmup; i < b->rounds && !rc; i++) {
        ingest_summary sum;
        rc = path_remove(out);
        if (!rc) rc = bench_begin(b, i);
        if (!rc) rc = ingest_run(&sum, &o);
        if (!rc) bench_end(b, i);
        if (!rc && sum.records != count)
            die("bench: %lld of %lld records", (long long)sum.records, (long long)count);
    }
    return rc;
}

static void report_ingest(bench *b, int64_t images) {
    bench_spread t = bench_sort(b->seconds, b->rounds), c = bench_sort(b->cpu, b->rounds);
    double count = (double)images;
    bench_name(b, "ingest");
    bench_word(b, "compression", "compression", b->plain ? "none" : "deflate");
    bench_number(b, "threads", "threads", b->threads ? b->threads : 1, 0);
    bench_number(b, "images", "images", count, 0);
    bench_number(b, "rounds", "timed rounds", (double)b->rounds, 0);
    bench_number(b, "images_per_second", "images a second, median", count / t.median, 2);
    bench_number(b, "images_per_cpu_second", "images a second of CPU, median", count / c.median, 2);
    bench_number(b, "cpu_ms_per_image", "CPU ms an image, median", 1e3 * c.median / count, 3);
    bench_number(b, "cpu_ms_per_image_min", "  smallest", 1e3 * c.min / count, 3);
    bench_number(b, "cpu_ms_per_image_max", "  largest", 1e3 * c.max / count, 3);
    bench_number(b, "peak_memory_mb", "peak memory, MB", bench_peak_memory(), 1);
}

status bench_ingest(bench *b) {
    char work[PATH_SIZE];
    const char *base = getenv("TMPDIR");
    int64_t count = 0;
    status rc = path_join(work, sizeof work, base && *base ? base : "/tmp", "radialog-bench-XXXXXX");
    if (!rc && !mkdtemp(work)) rc = status_fail(STATUS_IO, "%s: cannot create", work);
    if (rc) return rc;
    rc = make_source(b, work, &count);
    if (!rc) rc = time_ingest(b, work, count);
    if (!rc) report_ingest(b, count);
    status removed = path_remove(work);
    return rc ? rc : removed;
}
