// manifest.json of a shard directory that holds one good shard, its two records and nothing else. The word
// SEALSEAL of an input becomes the shard's seal, which depends on the version of libhdf5.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "data/shard.h"
#include "tests/fuzz/helper_fuzz.h"

#include <stdio.h>
#include <string.h>

enum { RECORDS = 2 };

static void must(status rc) {
    if (rc) die("%s", status_text());
}

static char seal[16];

static void make_shard(const char *path) {
    static uint8_t pixels[STORED_PIXELS], packed[STORED_PIXELS];
    deflater *d;
    shard_writer *w;
    shard_record r = {.packed = packed, .crc = checksum_crc32(0, pixels, STORED_PIXELS), .width = 9,
                      .height = 8, .text = {"f", NULL, "", NULL, NULL, NULL}};
    must(deflater_open(&d, 1));
    zlib_compress(d, packed, &r.packed_size, pixels, sizeof packed, STORED_PIXELS);
    deflater_close(d);
    must(shard_create(&w, path, SPLIT_TRAIN, "0123456789abcdef", 1, RECORDS));
    for (int i = 0; i < RECORDS; i++) {
        for (int k = 0; k < ID_COUNT; k++) r.id[k] = i ? "b" : "a";
        must(shard_add(w, &r));
    }
    must(shard_finish(w));
    shard_writer_close(w);
    shard *made;
    must(shard_open(&made, path));
    snprintf(seal, sizeof seal, "%08x", made->seal);
    shard_close(made);
}

static void read_all(const dataset *s) {
    buffer text = {0};
    int64_t records = 0;
    for (int k = 0; k < SPLIT_COUNT; k++) records += dataset_split_count(s, k);
    demand(records == dataset_records(s));
    for (int64_t i = 0; i < records; i++) {
        demand(dataset_find(s, dataset_id(s, i, ID_DICOM)) == i);
        demand(dataset_split_of(s, i) == SPLIT_TRAIN);
        must(dataset_text(&text, s, i, TEXT_FINDINGS));
    }
    demand(dataset_find(s, "c") < 0);
    buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool ready;
    dataset *s;
    if (!ready) make_shard(memory_folder_path("train-00000.h5"));
    ready = true;
    input in = {data, size};
    char *text = input_rest_text(&in);
    input_replace(text, size, "SEALSEAL", seal);
    memory_folder_file("manifest.json", text, size);
    mem_free(text);
    status rc = dataset_open(&s, memory_folder());
    if (rc) {
        demand_failure(rc);
        demand(!s);
    } else {
        read_all(s);
    }
    dataset_close(s);
    return 0;
}
