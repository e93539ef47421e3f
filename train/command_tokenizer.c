// radialog tokenizer train: vocabularies from report text.
#include "core/files/file_map.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/log.h"
#include "data/dataset.h"
#include "data/sections.h"
#include "data/tokenizer.h"
#include "data/wordpiece.h"
#include "train/commands.h"
#include "train/signals.h"

#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"type", "KIND", "wordpiece (BERT's family) or sentencepiece (LLaMA's)"},
    {"out", "FILE", "the vocabulary (wordpiece: vocab.txt, sentencepiece: tokenizer.model)"},
    {"size", "N", "tokens, special ones included (default 30522; sentencepiece: 32000)"},
    {"min-frequency", "N", "wordpiece: of two neighbours that become one token (default 2)"},
    {"alphabet", "N", "wordpiece: the most frequent characters that get tokens (default 1000)"},
    {"extra", "TOKEN", "wordpiece: one more special token, such as [DEC] (repeatable)"},
    {"cased", NULL, "wordpiece: keeps capitals and accents"},
    {"field", "NAME", "of JSON lines: the member that holds the text (default text)"},
    {"section", "NAME", "of shards: findings, impression, ... (default findings)"},
    {"split", "NAME", "of shards: train, validate or test (default train)"},
    {0},
};

// Where texts go, and how they are read.
typedef struct corpus {
    wordpiece_trainer *trainer; // NULL: they are kept
    tokenizer_texts kept;
    const char *field;
    int section, split;
    int64_t texts;
} corpus;

static status take_text(corpus *c, const char *text, size_t length) {
    if (signals_pending())
        return status_fail(STATUS_INTERRUPTED, "stopped by signal %d", signals_pending());
    c->texts += length > 0;
    if (!c->trainer) return length ? tokenizer_texts_add(&c->kept, text, length) : STATUS_OK;
    return wordpiece_trainer_add(c->trainer, text, length);
}

// --- sources -------------------------------------------------------------------------------------
static status read_json_line(corpus *c, const char *path, int line, const char *text,
                             size_t length) {
    json *document = NULL;
    const char *value = NULL;
    if (strspn(text, " \t\r") >= length) return STATUS_OK;
    status rc = json_parse(&document, path, text, length, line);
    if (!rc) rc = json_member_text(&value, json_root(document), c->field);
    if (!rc) rc = take_text(c, value, strlen(value));
    json_close(document);
    return rc;
}

// Lines of text or of JSON.
static status read_lines(corpus *c, const char *path) {
    file_map map;
    size_t name = strlen(path);
    bool lines_of_json = name > 6 && !strcmp(path + name - 6, ".jsonl");
    status rc = file_map_open(&map, path);
    if (rc) return rc;
    const char *text = (const char *)map.data;
    int line = 1;
    for (size_t at = 0, length; at < map.size && !rc; at += length + 1, line++) {
        const char *end = memchr(text + at, '\n', map.size - at);
        length = end ? (size_t)(end - text) - at : map.size - at;
        rc = lines_of_json ? read_json_line(c, path, line, text + at, length)
                           : take_text(c, text + at, length);
    }
    file_map_close(&map);
    return rc;
}

// As training sees them: line feeds deleted, blanks around removed.
static status read_shards(corpus *c, const char *path) {
    dataset *data = NULL;
    buffer text = {0}, clean = {0};
    status rc = dataset_open(&data, path);
    int64_t begin = rc ? 0 : dataset_split_begin(data, c->split);
    int64_t count = rc ? 0 : dataset_split_count(data, c->split);
    for (int64_t i = 0; i < count && !rc; i++) {
        if (!dataset_has_text(data, begin + i, (record_text)c->section)) continue;
        clean.length = 0;
        rc = dataset_text(&text, data, begin + i, (record_text)c->section);
        if (!rc) findings_clean(&clean, text.length ? text.data : "");
        if (!rc) rc = clean.failed;
        if (!rc) rc = take_text(c, clean.data, clean.length);
    }
    buffer_free(&clean);
    buffer_free(&text);
    dataset_close(data);
    return rc;
}

static status read_all(corpus *c, const arguments *a) {
    status rc = STATUS_OK;
    for (int i = 0; i < a->positionals && !rc; i++) {
        const char *path = a->positional[i];
        rc = folder_exists(path) ? read_shards(c, path) : read_lines(c, path);
    }
    return rc;
}

// --- wordpiece -----------------------------------------------------------------------------------
static int extra_tokens(const char *token[MAX_GIVEN], const arguments *a) {
    int count = 0;
    for (int i = 0; i < a->count; i++)
        if (!strcmp(a->given[i].option->name, "extra")) token[count++] = a->given[i].value;
    return count;
}

static status wordpiece_options_read(wordpiece_train_options *o, const arguments *a) {
    int64_t size, alphabet;
    status rc = argument_int(a, "size", 16, 1 << 22, 30522, &size);
    if (!rc) rc = argument_int(a, "min-frequency", 1, INT32_MAX, 2, &o->min_frequency);
    if (!rc) rc = argument_int(a, "alphabet", 1, 0x110000, 1000, &alphabet);
    if (rc) return rc;
    o->size = (int32_t)size;
    o->alphabet = (int32_t)alphabet;
    o->cased = argument_given(a, "cased");
    return STATUS_OK;
}

static status train_wordpiece(const arguments *a, corpus *c, const char *out) {
    static const char *extra[MAX_GIVEN];
    wordpiece_train_options o = {.extra = extra, .extras = extra_tokens(extra, a)};
    buffer vocabulary = {0};
    int32_t tokens = 0;
    status rc = wordpiece_options_read(&o, a);
    if (!rc) rc = wordpiece_trainer_open(&c->trainer, &o);
    if (!rc) rc = read_all(c, a);
    int64_t words = rc ? 0 : wordpiece_trainer_words(c->trainer);
    if (!rc) rc = wordpiece_trainer_finish(c->trainer, &vocabulary, &tokens);
    if (!rc) rc = file_write(out, vocabulary.data, vocabulary.length);
    if (!rc && tokens < o.size)
        log_warn("%d tokens, not %d: no pair of neighbours stands together %lld times any more",
                 tokens, o.size, (long long)o.min_frequency);
    if (!rc && argument_given(a, "json"))
        printf("{\"tokens\":%d,\"texts\":%lld,\"words\":%lld}\n", tokens, (long long)c->texts,
               (long long)words);
    else if (!rc)
        printf("%d tokens from %lld words of %lld texts written to %s\n", tokens, (long long)words,
               (long long)c->texts, out);
    wordpiece_trainer_close(c->trainer);
    buffer_free(&vocabulary);
    return rc;
}

// --- sentencepiece -------------------------------------------------------------------------------
// Fewer special tokens, bytes and characters than this there never are.
enum { PIECES_LEAST = 300, PIECES_USUAL = 32000 };

static status refuse_others(const arguments *a) {
    static const char *const others[] = {"min-frequency", "alphabet", "extra", "cased"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (argument_given(a, others[i]))
            return status_fail(STATUS_USAGE, "--%s belongs to --type wordpiece", others[i]);
    return STATUS_OK;
}

static status train_sentencepiece(const arguments *a, corpus *c, const char *out) {
    buffer model = {0};
    int64_t size = 0;
    int32_t tokens = 0;
    status rc = refuse_others(a);
    if (!rc) rc = argument_int(a, "size", PIECES_LEAST, 1 << 20, PIECES_USUAL, &size);
    if (!rc) rc = read_all(c, a);
    if (!rc) rc = tokenizer_train_sentencepiece(&model, &tokens, &c->kept, (int32_t)size);
    if (!rc) rc = file_write(out, model.data, model.length);
    if (!rc && tokens < size)
        log_warn("%d tokens, not %lld: no two neighbours are left to be one token", tokens,
                 (long long)size);
    if (!rc && argument_given(a, "json"))
        printf("{\"tokens\":%d,\"texts\":%lld}\n", tokens, (long long)c->texts);
    else if (!rc)
        printf("%d tokens from %lld texts written to %s\n", tokens, (long long)c->texts, out);
    tokenizer_texts_free(&c->kept);
    buffer_free(&model);
    return rc;
}

// --- the command ---------------------------------------------------------------------------------
static const struct {
    const char *name;
    status (*train)(const arguments *a, corpus *c, const char *out);
} types[] = {{"wordpiece", train_wordpiece}, {"sentencepiece", train_sentencepiece}};
enum { TYPES = sizeof types / sizeof *types };

// The index of the option's value among KNOWN.
static status choose(int *out, const arguments *a, const char *name, const char *standard,
                     const char *const *known, int count) {
    const char *value = argument(a, name);
    buffer all = {0};
    if (!value) value = standard;
    for (*out = 0; value && *out < count; ++*out)
        if (!strcmp(known[*out], value)) return STATUS_OK;
    for (int i = 0; i < count; i++) buffer_print(&all, "%s%s", i ? ", " : "", known[i]);
    status rc = all.failed;
    if (!rc && value)
        rc = status_fail(STATUS_USAGE, "--%s %s; there are %s", name, value, all.data);
    else if (!rc)
        rc = status_fail(STATUS_USAGE, "--%s is missing; there are %s", name, all.data);
    buffer_free(&all);
    return rc;
}

static status train_tokenizer(const arguments *a) {
    static const char *const texts[] = {
#define X(name, text) text,
        RECORD_TEXT_LIST(X)
#undef X
    };
    const char *type_names[TYPES], *out = argument(a, "out");
    corpus c = {.field = argument(a, "field")};
    int type;
    for (int i = 0; i < TYPES; i++) type_names[i] = types[i].name;
    if (!c.field) c.field = "text";
    status rc = choose(&type, a, "type", NULL, type_names, TYPES);
    if (!rc) rc = choose(&c.section, a, "section", "findings", texts, TEXT_COUNT);
    if (!rc) rc = choose(&c.split, a, "split", "train", split_names, SPLIT_COUNT);
    if (!rc && !out) rc = status_fail(STATUS_USAGE, "--out FILE is missing");
    return rc ? rc : types[type].train(a, &c, out);
}

const command command_tokenizer_train = {
    .name = "tokenizer train",
    .positional = "SHARDS|TEXT|JSONL...",
    .summary = "makes a vocabulary of report text: shards, files with a text a line, .jsonl files",
    .options = options,
    .run = train_tokenizer,
};
