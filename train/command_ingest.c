// radialog ingest ROOT --source mimic|folder|dicom --out DIR
#include "core/nearest.h"
#include "data/ingest.h"
#include "train/commands.h"
#include "train/signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const option options[] = {
    {"source", "mimic|folder|dicom", "what ROOT holds (default mimic)"},
    {"out", "DIR", "the shard directory to write"},
    {"labels", "FILE", "CSV of dicom_id (the image's id) and the 14 classes, as radialog label writes it"},
    {"csv", "FILE", "folder, dicom: the table (default ROOT/data.csv)"},
    {"key", "FILE", "dicom: what ids are hashed with; without it they change, with it anyone may tell who is who: keep "
                    "it, and to yourself (default ROOT/radialog-ids.key, made on first use, mode 0600). The same name "
                    "with .csv lists all files and their ids"},
    {"intensity", "mimic-cxr-jpg|window", "dicom: pixels as MIMIC-CXR-JPG has them, stretched and equalised (the "
                                          "default), or as the file's window shows them"},
    {"sections", "radialog|mit-lcp", "history of the section parser: mit-lcp leaves out the studies whose "
                                     "conclusion it chose by hand (default radialog)"},
    {"compression", "deflate|none", "of the stored images (default none); deflate: 0.6 of the space, a tenth of the "
                                    "speed of reading"},
    {"shard-records", "N", "records per shard, at most 2048 (the default)"},
    {"keep-without-findings", NULL, "keep reports that have no findings section"},
    {"validate", "FRACTION", "folder, dicom: patients for validation where the table has no split (0.1)"},
    {"test", "FRACTION", "folder, dicom: patients for testing (0.1)"},
    {"seed", "S", "folder, dicom: of the split by patients (default 42)"},
    {"threads", "N", "default: one per core"},
    {"strict", NULL, "exit with 1 if any record was skipped"},
    {0},
};

// The place of --NAME's value in NAMES, or STANDARD where it is not given.
static status choose(const arguments *a, const char *name, const char *const *names, int count,
                     int standard, int *out) {
    const char *text = argument(a, name);
    *out = standard;
    if (!text) return STATUS_OK;
    for (*out = 0; *out < count; (*out)++)
        if (!strcmp(names[*out], text)) return STATUS_OK;
    return status_fail(STATUS_USAGE, "--%s %s is not known; did you mean %s?", name, text,
                       nearest_name(text, names, count));
}

static status fraction(const arguments *a, const char *name, double *out) {
    const char *text = argument(a, name);
    char *end;
    *out = 0.1;
    if (!text) return STATUS_OK;
    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= 0 && *out < 1))
        return status_fail(STATUS_USAGE, "--%s takes a fraction from 0 to below 1, not '%s'", name,
                           text);
    return STATUS_OK;
}

static bool stop_asked(void) { return signals_pending() != 0; }

// Options of the other source would be passed over in silence.
static status refuse_other(const arguments *a, ingest_source source) {
    static const struct {
        const char *name;
        bool with[INGEST_SOURCES];
    } owned[] = {{"csv", {[INGEST_FOLDER] = true, [INGEST_DICOM] = true}},
                 {"validate", {[INGEST_FOLDER] = true, [INGEST_DICOM] = true}},
                 {"test", {[INGEST_FOLDER] = true, [INGEST_DICOM] = true}},
                 {"seed", {[INGEST_FOLDER] = true, [INGEST_DICOM] = true}},
                 {"key", {[INGEST_DICOM] = true}},
                 {"intensity", {[INGEST_DICOM] = true}}};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (argument_given(a, owned[i].name) && !owned[i].with[source]) {
            int other = 0;
            while (!owned[i].with[other]) other++;
            return status_fail(STATUS_USAGE, "--%s goes with --source %s, not %s", owned[i].name,
                               ingest_source_names[other], ingest_source_names[source]);
        }
    return STATUS_OK;
}

static status read_options(ingest_options *o, const arguments *a) {
    int source, compression, variant, intensity;
    int64_t shard, threads, seed;
    status rc = choose(a, "source", ingest_source_names, INGEST_SOURCES, INGEST_MIMIC, &source);
    if (!rc)
        rc = choose(a, "compression", ingest_compression_names, INGEST_COMPRESSIONS, INGEST_NONE,
                    &compression);
    if (!rc)
        rc = choose(a, "sections", sections_variant_names, SECTIONS_VARIANTS, SECTIONS_RADIALOG, &variant);
    if (!rc)
        rc = choose(a, "intensity", dicom_recipe_names, DICOM_RECIPES, DICOM_MIMIC_CXR_JPG, &intensity);
    if (!rc) rc = argument_int(a, "shard-records", 1, 2048, 2048, &shard);
    if (!rc) rc = argument_int(a, "threads", 0, 1024, 0, &threads);
    if (!rc) rc = argument_int(a, "seed", 0, INT64_MAX, 42, &seed);
    if (!rc && !argument(a, "out"))
        rc = status_fail(STATUS_USAGE, "--out DIR is missing (radialog ingest --help)");
    if (rc) return rc;
    *o = (ingest_options){
        .source = (ingest_source)source,
        .root = a->positional[0],
        .out = argument(a, "out"),
        .csv = argument(a, "csv"),
        .labels = argument(a, "labels"),
        .key = argument(a, "key"),
        .intensity = (dicom_recipe)intensity,
        .compression = (ingest_compression)compression,
        .sections = (sections_variant)variant,
        .shard_records = shard,
        .threads = (int)threads,
        .keep_without_findings = argument_given(a, "keep-without-findings"),
        .strict = argument_given(a, "strict"),
        .seed = (uint64_t)seed,
        .stop = stop_asked,
    };
    rc = fraction(a, "validate", &o->validate);
    if (!rc) rc = fraction(a, "test", &o->test);
    return rc ? rc : refuse_other(a, o->source);
}

static void print_json(const ingest_summary *s) {
    printf("{\"records\":%lld,\"splits\":{", (long long)s->records);
    for (int i = 0; i < SPLIT_COUNT; i++)
        printf("%s\"%s\":%lld", i ? "," : "", split_names[i], (long long)s->splits[i]);
    printf("},\"skipped\":{");
    bool first = true;
    for (int i = 1; i < SKIP_COUNT; i++) {
        if (!s->skipped[i]) continue;
        printf("%s\"%s\":%lld", first ? "" : ",", skip_names[i], (long long)s->skipped[i]);
        first = false;
    }
    printf("},\"unlabelled\":%lld,\"shards\":%lld,\"shards_made\":%lld}\n", (long long)s->unlabelled,
           (long long)s->shards, (long long)s->shards_made);
}

static void print_summary(const ingest_summary *s, const char *out) {
    if (s->shards_made == 0)
        printf("%s is complete: nothing to do\n", out);
    else
        printf("%lld shards written to %s in %.1f s\n", (long long)s->shards_made, out, s->seconds);
    printf("%lld records: %lld train, %lld validate, %lld test\n", (long long)s->records,
           (long long)s->splits[SPLIT_TRAIN], (long long)s->splits[SPLIT_VALIDATE],
           (long long)s->splits[SPLIT_TEST]);
    for (int i = 1; i < SKIP_COUNT; i++)
        if (s->skipped[i]) printf("skipped, %s: %lld\n", skip_names[i], (long long)s->skipped[i]);
    if (s->skipped_total) printf("each skipped one is listed in %s/skipped.csv\n", out);
    if (s->unlabelled) printf("kept without any label: %lld\n", (long long)s->unlabelled);
    if (s->shared_patients)
        printf("warning: %lld patients are in more than one split\n", (long long)s->shared_patients);
}

static status ingest(const arguments *a) {
    ingest_options o;
    ingest_summary summary = {0};
    status rc = read_options(&o, a);
    if (rc) return rc;
    rc = ingest_run(&summary, &o);
    if (rc && !summary.records) return rc;
    if (argument_given(a, "json"))
        print_json(&summary);
    else
        print_summary(&summary, o.out);
    return rc;
}

const command command_ingest = {
    .name = "ingest",
    .positional = "ROOT",
    .summary = "makes a shard directory from radiographs and reports",
    .options = options,
    .run = ingest,
};
