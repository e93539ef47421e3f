// core/config.h: defaults, files, --set, refusals with their words, help and the resolved text.
#include "core/config.h"
#include "core/files/fs.h"
#include "core/nearest.h"
#include "tests/core/helper_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const config_key optim_table[] = {
    {"optim", "lr", CONFIG_FLOAT, 0, 1, "1e-4", NULL, "learning rate at its peak"},
    {"optim", "kind", CONFIG_CHOICE, 0, 0, "\"adamw\"", "adamw|sgd|lion", "the optimizer"},
    {"optim", "betas", CONFIG_FLOATS, 0, 1, "[0.9, 0.999]", NULL, "decay of the moments"},
    {"optim", "warmup", CONFIG_INT, 0, 1e9, "0", NULL, "steps of warm-up"},
    {"optim", "offset", CONFIG_FLOAT, 0, 0, "-1.5", NULL, "any number"},
    {0},
};

static const config_key model_table[] = {
    {"model", "widths", CONFIG_INTS, 1, 4096, "[64, 128, 256, 512]", NULL, "of the stages"},
    {"model", "frozen", CONFIG_BOOL, 0, 0, "true", NULL, "no gradient for the encoder"},
    {"run", "seed", CONFIG_INT, 0, 0, "42", NULL, "any whole number"},
    {"run", "dir", CONFIG_PATH, 0, 0, "\"\"", NULL, "the run's folder"},
    {"run", "note", CONFIG_TEXT, 0, 0, "\"\"", NULL, "a remark"},
    {"run", "tags", CONFIG_TEXTS, 0, 0, "[]", NULL, "remarks"},
    {"run", "phases", CONFIG_TEXTS, 0, 0, "[\"train\"]", "train|test", "what to do"},
    {"run", "scale", CONFIG_FLOAT, 1, INFINITY, "1", NULL, "from one up"},
    {0},
};

static const config_key *const tables[] = {optim_table, model_table, NULL};

static config *opened(void) {
    config *c;
    ck_assert_int_eq(config_open(&c, tables), STATUS_OK);
    return c;
}

static status load_text(config *c, const char *text, size_t size) {
    const char *path = scratch("a.json");
    scratch_write(path, text, size);
    return config_load(c, path);
}

static char *resolved(const config *c) {
    buffer out = {0};
    config_resolved(c, &out);
    ck_assert_int_eq(out.failed, STATUS_OK);
    return out.data;
}

START_TEST(defaults) {
    config *c = opened();
    int64_t widths[4];
    double betas[2];
    const char *phase;
    ck_assert(config_float(c, "optim.lr") == 1e-4);
    ck_assert_str_eq(config_text(c, "optim.kind"), "adamw");
    ck_assert_int_eq(config_choice(c, "optim.kind"), 0);
    ck_assert_int_eq(config_floats(c, "optim.betas", betas, 2), 2);
    ck_assert(betas[0] == 0.9 && betas[1] == 0.999);
    ck_assert_int_eq(config_ints(c, "model.widths", widths, 4), 4);
    ck_assert(widths[0] == 64 && widths[3] == 512);
    ck_assert_int_eq(config_ints(c, "model.widths", widths, 0), 4);
    ck_assert(config_bool(c, "model.frozen"));
    ck_assert_int_eq(config_int(c, "run.seed"), 42);
    ck_assert_str_eq(config_text(c, "run.dir"), "");
    ck_assert_int_eq(config_texts(c, "run.tags", NULL, 0), 0);
    ck_assert_int_eq(config_texts(c, "run.phases", &phase, 1), 1);
    ck_assert_str_eq(phase, "train");
    ck_assert(!config_is_set(c, "optim.lr"));
    expect_failure(config_require(c, "run.dir"), STATUS_USAGE, "require", "run.dir", "the run's");
    expect_failure(config_fail(c, "model.widths", "has %d", 4), STATUS_USAGE, "fail",
                   "model.widths (default) has 4", NULL);
    config_close(c);
}
END_TEST

static const char file[] = "{\n \"optim\": {\"lr\": 0.1, \"betas\": [0.5, 0.25, 0.125]},\n"
                           " \"run\": {\n \"seed\": -9007199254740991,\n \"dir\": \"a \\\"b\\\"\","
                           " \"tags\": [\"x\", \"\"]},\n \"model\": {\"frozen\": false}}";

START_TEST(file_and_set) {
    config *c = opened();
    const char *tags[2];
    double betas[3];
    ck_assert_int_eq(load_text(c, file, sizeof file - 1), STATUS_OK);
    ck_assert(config_float(c, "optim.lr") == 0.1);
    ck_assert(config_is_set(c, "optim.lr") && !config_is_set(c, "optim.kind"));
    ck_assert_int_eq(config_floats(c, "optim.betas", betas, 3), 3);
    ck_assert(betas[2] == 0.125);
    ck_assert(config_int(c, "run.seed") == -9007199254740991);
    ck_assert_str_eq(config_text(c, "run.dir"), "a \"b\"");
    ck_assert_int_eq(config_texts(c, "run.tags", tags, 2), 2);
    ck_assert_str_eq(tags[0], "x");
    ck_assert(!config_bool(c, "model.frozen"));
    expect_failure(config_fail(c, "run.seed", "is odd"), STATUS_USAGE, "fail", "a.json:4: run.seed",
                   "is odd");
    static const char *const good[] = {"optim.lr=0.25",       "optim.kind=lion",
                                       "optim.kind=\"lion\"", "model.widths=[1,2]",
                                       "model.frozen=true",   "run.dir=/data/a=b \\n",
                                       "run.tags=[\"q\"]",    "optim.warmup=1e3",
                                       "run.scale=1e300",     "run.seed=-0"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(config_set(c, good[i]) == STATUS_OK, "%s: %s", good[i], status_text());
    ck_assert(config_float(c, "optim.lr") == 0.25);
    ck_assert_int_eq(config_choice(c, "optim.kind"), 2);
    ck_assert_int_eq(config_ints(c, "model.widths", NULL, 0), 2);
    ck_assert(config_bool(c, "model.frozen"));
    ck_assert_str_eq(config_text(c, "run.dir"), "/data/a=b \\n");
    ck_assert_int_eq(config_int(c, "optim.warmup"), 1000);
    ck_assert_int_eq(config_int(c, "run.seed"), 0);
    ck_assert_int_eq(config_require(c, "run.dir"), STATUS_OK);
    expect_failure(config_fail(c, "optim.lr", "is odd"), STATUS_USAGE, "fail",
                   "--set optim.lr=0.25: optim.lr", "is odd");
    ck_assert_int_eq(config_set(c, "run.dir="), STATUS_OK);
    ck_assert_str_eq(config_text(c, "run.dir"), "");
    expect_failure(config_require(c, "run.dir"), STATUS_USAGE, "require", "run.dir", "not set");
    config_close(c);
}
END_TEST

typedef struct hostile {
    const char *text;
    size_t size;
    const char *place, *reason;
} hostile;

#define BAD(text, place, reason)                                                                   \
    { text, sizeof(text) - 1, place, reason }

static const hostile files[] = {
    BAD("", "a.json:1:", "empty"),
    BAD("{\"optim\": {\"lr\": 0.1}}\n}", "a.json:2:", "nothing after"),
    BAD("[]", "a.json:1:", "must be an object"),
    BAD("null", "a.json:1:", "must be an object"),
    BAD("{\"optm\": {}}", "a.json:1:", "no section \"optm\"; the nearest is \"optim\""),
    BAD("{\n\"optim.lr\": 1}", "a.json:2:", "no section"),
    BAD("{\"optim\": 3}", "a.json:1:", "\"optim\" must be an object, is a number"),
    BAD("{\"optim\": null}", "a.json:1:", "must be an object"),
    BAD("{\"optim\": {\n\"lt\": 0.1}}", "a.json:2:", "no key optim.lt; the nearest is optim.lr"),
    BAD("{\"run\": {\"deed\": 1}}", "a.json:1:", "the nearest is run.seed"),
    BAD("{\"run\": {\"\": 1}}", "a.json:1:", "no key run.;"),
    BAD("{\"run\": {\"seed.x\": 1}}", "a.json:1:", "no key run.seed.x"),
    BAD("{\"optim\": {\"lr\": 0.1,\n\"lr\": 0.2}}", "a.json:2:", "given twice"),
    BAD("{\"run\": {}, \"optim\": {},\n\"run\": {}}", "a.json:2:", "given twice"),
    BAD("{\"optim\": {\"lr\": null}}", "a.json:1:", "null"),
    BAD("{\"optim\": {\"lr\": \"0.1\"}}", "a.json:1:", "a number from 0 to 1, but it is \"0.1\""),
    BAD("{\"optim\": {\"lr\": 1.5}}", "a.json:1:", "optim.lr must be a number from 0 to 1"),
    BAD("{\"optim\": {\"lr\": -1e-300}}", "a.json:1:", "but it is -1"),
    BAD("{\"optim\": {\"lr\": 1e999}}", "a.json:1:", "too large"),
    BAD("{\"optim\": {\"lr\": [0.1]}}", "a.json:1:", "a list"),
    BAD("{\"optim\": {\"lr\": {\"a\": 1}}}", "a.json:1:", "an object"),
    BAD("{\"optim\": {\"warmup\": 1.5}}", "a.json:1:", "whole number"),
    BAD("{\"optim\": {\"warmup\": -1}}", "a.json:1:", "from 0 to 1000000000, but it is -1"),
    BAD("{\"run\": {\"seed\": 9007199254740993}}", "a.json:1:", "2^53"),
    BAD("{\"run\": {\"seed\": 1e30}}", "a.json:1:", "2^53"),
    BAD("{\"run\": {\"scale\": 0.5}}", "a.json:1:", "a number of at least 1,"),
    BAD("{\"optim\": {\"kind\": \"adam\"}}", "a.json:1:",
        "adamw|sgd|lion, but it is \"adam\" (the "
        "nearest is \"adamw\")"),
    BAD("{\"optim\": {\"kind\": 1}}", "a.json:1:", "one of adamw|sgd|lion"),
    BAD("{\"optim\": {\"kind\": \"adamw|sgd\"}}", "a.json:1:", "one of"),
    BAD("{\"optim\": {\"betas\": 0.9}}", "a.json:1:", "a list of numbers from 0 to 1, but it is"),
    BAD("{\"optim\": {\"betas\": [0.9,\n 2]}}", "a.json:2:", "element [1] is 2"),
    BAD("{\"optim\": {\"betas\": [[0.9]]}}", "a.json:1:", "element [0] is a list"),
    BAD("{\"model\": {\"widths\": [64, null]}}", "a.json:1:", "element [1] is null"),
    BAD("{\"model\": {\"widths\": [64, 0]}}", "a.json:1:", "element [1] is 0"),
    BAD("{\"model\": {\"frozen\": 1}}", "a.json:1:", "true or false"),
    BAD("{\"model\": {\"frozen\": \"true\"}}", "a.json:1:", "true or false"),
    BAD("{\"run\": {\"dir\": 7}}", "a.json:1:", "a path"),
    BAD("{\"run\": {\"note\": true}}", "a.json:1:", "a text, but it is true"),
    BAD("{\"run\": {\"note\": \"a\0b\"}}", "a.json:1:", "0x00"),
    BAD("{\"run\": {\"note\": \"\\u0000\"}}", "a.json:1:", "\\u0000"),
    BAD("{\"run\": {\"note\": \"\xc3(\"}}", "a.json:1:", "UTF-8"),
    BAD("{\"run\": {\"phases\": [\"train\", \"tets\"]}}", "a.json:1:", "the nearest is \"test\""),
    BAD("{\"run\": {\"tags\": [1]}}", "a.json:1:", "a list of texts"),
    BAD("{\"run\": {\"tags\": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
        "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}}",
        "a.json:1:", "more than 64"),
};

static const hostile arguments[] = {
    BAD("optim.lr", "--set optim.lr", "no '='"),
    BAD("", "--set", "no '='"),
    BAD("optim.lr=abc", "--set optim.lr=abc", "a number from 0 to 1, but it is abc"),
    BAD("optim.lr=", "--set optim.lr=", "a number"),
    BAD("optim.lr=2", "--set optim.lr=2", "a number from 0 to 1, but it is 2"),
    BAD("optim.lr=0.1 0.2", "--set optim.lr=0.1 0.2", "a number"),
    BAD("optim.lr=null", "--set optim.lr=null", "null"),
    BAD("optim.lr=nan", "--set optim.lr=nan", "a number"),
    BAD("optim.Ir=1", "--set optim.Ir=1", "no key optim.Ir; the nearest is optim.lr"),
    BAD("lr=1", "--set lr=1", "no key lr; the nearest is optim.lr"),
    BAD("=1", "--set =1", "no key"),
    BAD(".=1", "--set .=1", "no key"),
    BAD("optim=1", "--set optim=1", "no key optim"),
    BAD("optim.kind=", "--set optim.kind=", "one of adamw"),
    BAD("optim.kind=\"sgd", "--set optim.kind", "one of adamw"),
    BAD("model.frozen=yes", "--set model.frozen=yes", "true or false"),
    BAD("model.widths=64", "--set model.widths=64", "a list of whole numbers from 1 to 4096"),
    BAD("model.widths=[64", "--set model.widths=[64", "a list of whole numbers"),
    BAD("run.tags=x", "--set run.tags=x", "a list of texts"),
    BAD("run.note=\xff", "--set run.note=", "UTF-8"),
    BAD("run.seed=1.5", "--set run.seed=1.5", "a whole number"),
    BAD("run.seed=99999999999999999999", "--set run.seed=9", "2^53"),
    BAD("run.seed=1\n2", "--set run.seed=1?2", "a whole number"),
};

// A refusal leaves every value as it was, and the sanitizer sees what is lost.
START_TEST(refusals) {
    config *c = opened();
    ck_assert_int_eq(load_text(c, file, sizeof file - 1), STATUS_OK);
    char *before = resolved(c);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        expect_failure(load_text(c, files[i].text, files[i].size), STATUS_USAGE, files[i].text,
                       files[i].place, files[i].reason);
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        expect_failure(config_set(c, arguments[i].text), STATUS_USAGE, arguments[i].text,
                       arguments[i].place, arguments[i].reason);
    static const char partly[] = "{\"optim\": {\"lr\": 0.5, \"warmup\": 7}, \"run\": {\"sed\": 1}}";
    expect_failure(load_text(c, partly, sizeof partly - 1), STATUS_USAGE, "partly",
                   "a.json:1:", "run.seed");
    char *after = resolved(c);
    ck_assert_str_eq(before, after);
    mem_free(before);
    mem_free(after);
    config_close(c);
}
END_TEST

START_TEST(files_that_are_none) {
    config *c = opened();
    expect_failure(config_load(c, scratch("absent.json")), STATUS_IO, "absent", "absent.json",
                   "No such file");
    expect_failure(config_load(c, scratch("")), STATUS_IO, "folder", "radialog-core", "folder");
    size_t size = (1 << 20) + 1;
    char *large = malloc(size);
    memset(large, ' ', size);
    memcpy(large, "{}", 2);
    expect_failure(load_text(c, large, size), STATUS_USAGE, "large", "a.json",
                   "larger than 1048576");
    ck_assert_int_eq(load_text(c, large, size - 1), STATUS_OK);
    free(large);
    config_close(c);
}
END_TEST

// Numbers, texts and lists survive a round through the resolved text bit by bit.
START_TEST(resolved_text_loads_back) {
    static const char *const sets[] = {"optim.lr=0.1",
                                       "optim.lr=0.30000000000000004",
                                       "optim.lr=5e-324",
                                       "optim.offset=-1.7976931348623157e308",
                                       "optim.offset=-0.0",
                                       "optim.offset=123456789.12345679",
                                       "optim.betas=[]",
                                       "optim.betas=[0.1, 0.2, 0.7000000000000001]",
                                       "run.seed=-9007199254740991",
                                       "run.note=tab\t quote\" back\\ new\nline \xc3\xa9 \x7f",
                                       "run.tags=[\"\", \"\\u0001\", \"\\ud83d\\ude00\"]",
                                       "model.widths=[4096]"};
    for (size_t i = 0; i <= sizeof sets / sizeof *sets; i++) {
        config *c = opened(), *again = opened();
        if (i) ck_assert_msg(config_set(c, sets[i - 1]) == STATUS_OK, "%s", status_text());
        char *text = resolved(c);
        ck_assert_msg(load_text(again, text, strlen(text)) == STATUS_OK, "%s", status_text());
        char *text_again = resolved(again);
        ck_assert_str_eq(text, text_again);
        double a = config_float(c, "optim.offset"), b = config_float(again, "optim.offset");
        ck_assert(memcmp(&a, &b, sizeof a) == 0);
        a = config_float(c, "optim.lr"), b = config_float(again, "optim.lr");
        ck_assert(memcmp(&a, &b, sizeof a) == 0);
        ck_assert(config_int(c, "run.seed") == config_int(again, "run.seed"));
        ck_assert_str_eq(config_text(c, "run.note"), config_text(again, "run.note"));
        ck_assert(config_is_set(again, "run.tags"));
        mem_free(text);
        mem_free(text_again);
        config_close(c);
        config_close(again);
    }
}
END_TEST

START_TEST(resolved_text_is_stable) {
    config *c = opened();
    char *text = resolved(c);
    ck_assert_str_eq(text, "{\n  \"optim\": {\n    \"lr\": 0.0001,\n    \"kind\": \"adamw\",\n"
                           "    \"betas\": [0.9, 0.999],\n    \"warmup\": 0,\n"
                           "    \"offset\": -1.5\n  },\n  \"model\": {\n"
                           "    \"widths\": [64, 128, 256, 512],\n    \"frozen\": true\n  },\n"
                           "  \"run\": {\n    \"seed\": 42,\n    \"dir\": \"\",\n"
                           "    \"note\": \"\",\n    \"tags\": [],\n    \"phases\": [\"train\"],\n"
                           "    \"scale\": 1\n  }\n}\n");
    mem_free(text);
    config_close(c);
    static const config_key *const none[] = {NULL};
    ck_assert_int_eq(config_open(&c, none), STATUS_OK);
    text = resolved(c);
    ck_assert_str_eq(text, "{}\n");
    mem_free(text);
    expect_failure(config_set(c, "a.b=1"), STATUS_USAGE, "no keys", "--set a.b=1", "none");
    config_close(c);
}
END_TEST

START_TEST(help_names_everything) {
    config *c = opened();
    buffer help = {0};
    config_help(c, &help);
    ck_assert_int_eq(help.failed, STATUS_OK);
    for (const config_key *const *t = tables; *t; t++)
        for (const config_key *key = *t; key->section; key++) {
            char path[64];
            snprintf(path, sizeof path, "  %s.%s ", key->section, key->name);
            ck_assert_msg(strstr(help.data, path), "%s", path);
            ck_assert_msg(strstr(help.data, key->help), "%s", key->help);
            snprintf(path, sizeof path, "default %s\n", key->standard);
            ck_assert_msg(strstr(help.data, path), "%s", path);
        }
    ck_assert_ptr_nonnull(strstr(help.data, "a number from 0 to 1; default 1e-4"));
    ck_assert_ptr_nonnull(strstr(help.data, "one of adamw|sgd|lion; default"));
    ck_assert_ptr_nonnull(strstr(help.data, "a list of whole numbers from 1 to 4096"));
    ck_assert_ptr_nonnull(strstr(help.data, "a number of at least 1; default 1"));
    buffer_free(&help);
    config_close(c);
}
END_TEST

// A stage's own default for a key that it shares with others.
START_TEST(another_default) {
    static const config_key others[] = {
        {.section = "optim", .name = "lr", .type = CONFIG_DEFAULT, .standard = "0.25"},
        {.section = "model", .name = "widths", .type = CONFIG_DEFAULT, .standard = "[7]"},
        {0},
    };
    config *c;
    buffer help = {0};
    int64_t widths[4];
    ck_assert_int_eq(config_open(&c, (const config_key *const[]){optim_table, model_table, others, NULL}), 0);
    ck_assert(config_float(c, "optim.lr") == 0.25);
    ck_assert(!config_is_set(c, "optim.lr"));
    ck_assert_int_eq(config_ints(c, "model.widths", widths, 4), 1);
    ck_assert_int_eq(config_set(c, "optim.lr=2"), STATUS_USAGE); // the key's own rule
    config_help(c, &help);
    ck_assert_ptr_nonnull(strstr(help.data, "a number from 0 to 1; default 0.25\n"));
    buffer_free(&help);
    config_close(c);
}
END_TEST

START_TEST(every_allocation_may_fail) {
    scratch_write(scratch("good.json"), file, sizeof file - 1);
    int64_t n = 1;
    for (;; n++) {
        config *c = NULL;
        buffer out = {0};
        mem_fail_at(n);
        status rc = config_open(&c, tables);
        if (!rc) rc = config_load(c, scratch("good.json"));
        if (!rc) rc = config_set(c, "run.dir=elsewhere");
        if (!rc) rc = config_set(c, "model.widths=[1, 2, 3]");
        if (!rc) config_resolved(c, &out);
        if (!rc) rc = out.failed;
        mem_fail_at(0);
        buffer_free(&out);
        config_close(c);
        if (!rc) break;
        expect_failure(rc, STATUS_MEMORY, "allocation", NULL, "memory");
        ck_assert_int_lt(n, 5000);
    }
    ck_assert_int_gt(n, 150);
}
END_TEST

START_TEST(mutated_files) {
    uint64_t state = 77;
    int accepted = 0;
    config *c = opened();
    for (int i = 0; i < 2500; i++) {
        buffer text = {0};
        buffer_text(&text, file);
        fuzz_mutate(&text, &state);
        status rc = load_text(c, text.data, text.length);
        if (rc)
            expect_failure(rc, STATUS_USAGE, text.data, "a.json", NULL);
        else
            accepted++;
        buffer_free(&text);
    }
    ck_assert_int_gt(accepted, 20);
    ck_assert_int_lt(accepted, 1500);
    config_close(c);
}
END_TEST

START_TEST(mutated_arguments) {
    uint64_t state = 78;
    config *c = opened();
    for (int i = 0; i < 4000; i++) {
        buffer text = {0};
        buffer_text(&text, i % 2 ? "model.widths=[64, 128]" : "run.note=some bare text");
        fuzz_mutate(&text, &state);
        status rc = config_set(c, text.data);
        if (rc) expect_failure(rc, STATUS_USAGE, text.data, "--set", NULL);
        buffer_free(&text);
    }
    config_close(c);
}
END_TEST

START_TEST(nearest) {
    static const char *const words[] = {"train", "ingest", "instruct", "inspect", "export"};
    ck_assert_str_eq(nearest_name("trian", words, 5), "train");
    ck_assert_str_eq(nearest_name("inspec", words, 5), "inspect");
    ck_assert_str_eq(nearest_name("instrcut", words, 5), "instruct");
    ck_assert_str_eq(nearest_name("exprot", words, 5), "export");
    ck_assert_str_eq(nearest_name("", words, 5), "train"); // the shortest
    ck_assert_str_eq(nearest_name("zzz", words, 1), "train");
    ck_assert_ptr_null(nearest_name("train", words, 0));
    // A swap counts once: "ab" is nearer to "ba" than to "xb".
    static const char *const swap[] = {"axx", "bac"};
    ck_assert_str_eq(nearest_name("abc", swap, 2), "bac");
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    ck_assert_str_eq(nearest_name(longest, words, 5), "export"); // it has an x
}
END_TEST

static void ask_undeclared(void) {
    config_int(opened(), "optim.absent");
}
static void ask_other_type(void) {
    config_int(opened(), "optim.lr");
}
static void ask_list_as_text(void) {
    config_text(opened(), "run.tags");
}
static void declare(const config_key *a, const config_key *b) {
    config *c;
    const config_key *const two[] = {a, b, NULL};
    config_open(&c, two);
}
static void declare_twice(void) {
    declare(optim_table, optim_table);
}
static void declare_bad_default(void) {
    static const config_key table[] = {{"a", "b", CONFIG_INT, 0, 5, "6", NULL, "too large"}, {0}};
    declare(table, NULL);
}
static void declare_default_of_nothing(void) {
    static const config_key table[] = {{.section = "a", .name = "c", .type = CONFIG_DEFAULT, .standard = "1"}, {0}};
    declare(optim_table, table);
}
static void declare_no_choices(void) {
    static const config_key table[] = {{"a", "b", CONFIG_CHOICE, 0, 5, "\"x\"", NULL, "none"}, {0}};
    declare(table, NULL);
}

START_TEST(our_own_bugs_die) {
    expect_death(ask_undeclared, "undeclared");
    expect_death(ask_other_type, "other type");
    expect_death(ask_list_as_text, "list as text");
    expect_death(declare_twice, "declared twice");
    expect_death(declare_bad_default, "bad default");
    expect_death(declare_default_of_nothing, "default of nothing");
    expect_death(declare_no_choices, "no choices");
}
END_TEST

int main(void) {
    const TTest *const tests[] = {defaults,
                                  file_and_set,
                                  refusals,
                                  files_that_are_none,
                                  resolved_text_loads_back,
                                  resolved_text_is_stable,
                                  help_names_everything,
                                  another_default,
                                  every_allocation_may_fail,
                                  mutated_files,
                                  mutated_arguments,
                                  nearest,
                                  our_own_bugs_die,
                                  NULL};
    return run_suite(suite_of("config", tests));
}
