// radialog bench STAGE: how fast this machine is at what takes time. scripts/bench.sh runs it beside PyTorch.
#include "train/bench.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/settings.h"

#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"batch", "N", "images (aligner: pairs, lora: conversations) in a batch (models 8, loader "
                   "train.batch); generate: answers at a time (1)"},
    {"size", "PIXELS", "side of the input (encoder 448, loader the crop, others data.size)"},
    {"rounds", "N", "timed rounds: steps, batches, passes over the data (default 5)"},
    {"warmup", "N", "rounds before them (default 1)"},
    {"threads", "N", "of computing and reading (default: one per core; ingest 1)"},
    {"data", "DIR", "loader: a shard directory (default data.shards); ingest: a folder of images; "
                    "tokenizer: a file, a text a line"},
    {"vocabulary", "FILE", "tokenizer: a BERT vocab.txt"},
    {"images", "N", "loader: of a round, at least (default 4096); ingest without --data: studies drawn (16)"},
    {"tokens", "N", "generate: of an answer (default 128)"},
    {"paced", NULL, "wait for a line on stdin before each timed round, and print both of its times"},
    {"max-side", "PIXELS", "of the drawn images (default 3056)"},
    {"compression", "deflate|none", "ingest: of the stored images (default none)"},
    {0},
};

enum { NO_IMAGES = -1 };

static const struct {
    const char *name;
    status (*run)(bench *b);
    const config_key *const *tables;
    int size; // 0: data.size; NO_IMAGES: the stage has none
} stages[] = {{"classifier", bench_classifier, classifier_tables, 0},
              {"encoder", bench_encoder, classifier_tables, 448},
              {"aligner", bench_aligner, aligner_tables, 0},
              {"lora", bench_lora, lora_tables, NO_IMAGES},
              {"generate", bench_generate, generate_tables, NO_IMAGES},
              {"loader", bench_loader, classifier_tables, 0},
              {"ingest", bench_ingest, classifier_tables, 0},
              {"tokenizer", bench_tokenizer, classifier_tables, 0},
              {"device", bench_device, classifier_tables, 0}};
enum { STAGES = sizeof stages / sizeof *stages };

static status set_number(config *c, const char *key, int64_t value) {
    char text[128];
    snprintf(text, sizeof text, "%s=%lld", key, (long long)value);
    return config_set(c, text);
}

// --size and --threads are short for keys. What neither the command nor a configuration says is the
// benchmark's own.
static status set_keys(bench *b, int stage) {
    config *c = b->config;
    int64_t size = b->size;
    bool loads = stages[stage].run == bench_loader;
    if (stages[stage].size == NO_IMAGES)
        return b->threads ? set_number(c, "run.threads", b->threads) : STATUS_OK;
    if (!size && !config_is_set(c, "data.size"))
        size = loads ? config_int(c, "data.crop") : stages[stage].size;
    status rc = size ? set_number(c, "data.size", size) : STATUS_OK;
    if (!rc && !loads && config_int(c, "data.crop") < config_int(c, "data.size"))
        rc = set_number(c, "data.crop", config_int(c, "data.size"));
    if (!rc && b->threads) rc = set_number(c, "run.threads", b->threads);
    if (!rc && b->threads) rc = set_number(c, "data.threads", b->threads);
    return rc;
}

static status read_options(bench *b, const arguments *a) {
    const char *compression = argument(a, "compression");
    bool deflate = compression && !strcmp(compression, "deflate");
    int64_t threads;
    b->data = argument(a, "data");
    b->vocabulary = argument(a, "vocabulary");
    b->plain = !deflate;
    if (compression && !deflate && strcmp(compression, "none"))
        return status_fail(STATUS_USAGE, "bench: --compression %s; there are deflate and none", compression);
    status rc = argument_int(a, "batch", 1, 65536, 0, &b->batch);
    if (!rc) rc = argument_int(a, "size", 32, 512, 0, &b->size);
    if (!rc) rc = argument_int(a, "rounds", 1, BENCH_ROUNDS_MAX, 5, &b->rounds);
    if (!rc) rc = argument_int(a, "warmup", 0, BENCH_ROUNDS_MAX, 1, &b->warmup);
    if (!rc) rc = argument_int(a, "tokens", 1, 65536, 128, &b->tokens);
    if (!rc) rc = argument_int(a, "images", 1, 1000000, 0, &b->images);
    if (!rc) rc = argument_int(a, "max-side", 256, 3056, 3056, &b->max_side);
    if (!rc) rc = argument_int(a, "threads", 1, 256, 0, &threads);
    if (!rc) b->threads = (int)threads;
    b->paced = argument_given(a, "paced");
    if (!rc) rc = mem_new(&b->seconds, b->rounds, "times");
    return rc ? rc : mem_new(&b->cpu, b->rounds, "times");
}

static status run_bench(const arguments *a) {
    bench b = {0};
    int stage = 0;
    while (stage < STAGES && strcmp(stages[stage].name, a->positional[0])) stage++;
    if (stage == STAGES)
        return status_fail(STATUS_USAGE, "bench: no benchmark '%s'; there are classifier, encoder, "
                                         "aligner, lora, generate, loader, ingest, tokenizer and "
                                         "device", a->positional[0]);
    status rc = read_options(&b, a);
    if (!rc) rc = settings_open(&b.config, stages[stage].tables, a);
    if (!rc) rc = set_keys(&b, stage);
    if (!rc) rc = stages[stage].run(&b);
    buffer_text(&b.json, "}");
    if (!rc) rc = b.json.failed ? b.json.failed : b.text.failed;
    if (!rc) printf("%s%s", argument_given(a, "json") ? b.json.data : b.text.data,
                    argument_given(a, "json") ? "\n" : "");
    buffer_free(&b.json);
    buffer_free(&b.text);
    config_close(b.config);
    mem_free(b.cpu);
    mem_free(b.seconds);
    return rc;
}

static status help_keys(buffer *out) {
    buffer_text(out, "of aligner:\n");
    status rc = settings_help(out, aligner_tables);
    buffer_text(out, "\nof lora and generate:\n");
    if (!rc) rc = settings_help(out, generate_tables);
    buffer_text(out, "\nof the others:\n");
    return rc ? rc : settings_help(out, classifier_tables);
}

const command command_bench = {
    .name = "bench",
    .positional = "classifier|encoder|aligner|lora|generate|loader|ingest|tokenizer|device",
    .summary = "times training steps, the encoder, writing, reading shards or making them, tokens, copies",
    .options = options,
    .run = run_bench,
    .keys = help_keys,
};
