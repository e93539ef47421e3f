// Byte-level BPE from files: tokenizer.json of Hugging Face's tokenizers, and vocab.json with
// merges.txt of GPT-2 and RoBERTa. What would change ids and is not known here is an error that
// names it; what only concerns lengths, offsets and the tokens at both ends is passed over
// ("truncation", "padding", "post_processor").
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/tokenizer_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// --- small helpers -------------------------------------------------------------------------------
static bool is_set(json_value value) {
    return value.node && json_kind_of(value) != JSON_NULL;
}

// The "type" of a part such as a normalizer.
static const char *type_of(json_value part) {
    const char *type = NULL;
    json_value value = json_find(part, "type");
    return value.node && !json_text(&type, value) ? type : "without a type";
}

// False where it is not there.
static status flag(bool *out, json_value object, const char *name) {
    json_value value = json_find(object, name);
    *out = false;
    return is_set(value) ? json_bool(out, value) : STATUS_OK;
}

// The latest error with the value's place in front.
static status at_value(status rc, json_value value) {
    char place[JSON_PLACE_SIZE];
    if (rc != STATUS_FORMAT) return rc;
    return status_fail(rc, "%s%s", json_place(place, value), status_text());
}

// As json_fail, without the value's key: the texts here name what they speak of.
static status __attribute__((format(printf, 2, 3)))
place_fail(json_value value, const char *format, ...) {
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return at_value(status_fail(STATUS_FORMAT, "%s", text), value);
}

// --- tokenizer.json ------------------------------------------------------------------------------
static status read_split(bpe_options *o, json_value part) {
    const char *behavior = NULL, *pattern = NULL;
    bool invert = false;
    json_value given = json_find(part, "pattern"), regex = json_find(given, "Regex");
    status rc = json_member_text(&behavior, part, "behavior");
    if (!rc) rc = flag(&invert, part, "invert");
    if (!rc && !regex.node)
        return place_fail(part,
                          "a Split without a pattern {\"Regex\": ...}, which is not supported");
    if (!rc) rc = json_text(&pattern, regex);
    if (rc) return rc;
    if (strcmp(behavior, "Isolated") || invert)
        return place_fail(part, "a Split that is %s%.32s; only Isolated ones are supported",
                          invert ? "inverted and " : "", behavior);
    for (int i = 0; i < BPE_PATTERNS; i++) {
        o->pattern = (bpe_pattern)i;
        if (!strcmp(pattern, bpe_patterns[i])) return STATUS_OK;
    }
    return place_fail(regex,
                      "the pre-tokenizer's pattern %.200s is none of the known ones (GPT-2's and "
                      "LLaMA-3's)",
                      pattern);
}

static status read_byte_level(bpe_options *o, json_value part, bool split) {
    bool own = true;
    json_value value = json_find(part, "use_regex");
    status rc = is_set(value) ? json_bool(&own, value) : STATUS_OK;
    if (!rc) rc = flag(&o->prefix, part, "add_prefix_space");
    if (!rc && own == split)
        return place_fail(part, split ? "ByteLevel with a pattern of its own behind a Split, which "
                                        "is not supported"
                                      : "ByteLevel without a pattern and no Split before it, which "
                                        "is not supported");
    if (!rc && split && o->prefix)
        return place_fail(part, "add_prefix_space behind a Split is not supported");
    if (!split) o->pattern = BPE_GPT2;
    return rc;
}

// ByteLevel, or Split and ByteLevel.
static status read_pre_tokenizer(bpe_options *o, json_value root) {
    json_value part = json_find(root, "pre_tokenizer"), list = part;
    bool split = false;
    status rc = STATUS_OK;
    if (!is_set(part))
        return place_fail(root, "no pre_tokenizer; only byte-level BPE is supported");
    if (!strcmp(type_of(part), "Sequence")) {
        rc = json_member(&list, part, "pretokenizers");
        if (!rc) rc = json_list(list);
        part = json_first(list);
        split = !rc && part.node && !strcmp(type_of(part), "Split");
        if (split) rc = read_split(o, part);
        if (split) part = json_next(part);
        if (!rc && part.node && json_next(part).node)
            return place_fail(json_next(part),
                              "pre-tokenizer '%.64s' behind '%.64s' is not supported",
                              type_of(json_next(part)), type_of(part));
    }
    if (rc) return rc;
    if (!part.node || strcmp(type_of(part), "ByteLevel"))
        return place_fail(part.node ? part : list,
                          "pre-tokenizer '%.64s' where ByteLevel is expected; it is not supported",
                          type_of(part));
    return read_byte_level(o, part, split);
}

static status check_parts(json_value root) {
    json_value normalizer = json_find(root, "normalizer"), decoder = json_find(root, "decoder");
    if (is_set(normalizer))
        return place_fail(normalizer, "normalizer '%.64s' is not supported; only files without one",
                          type_of(normalizer));
    if (!is_set(decoder)) return place_fail(root, "no decoder; ByteLevel is expected");
    if (strcmp(type_of(decoder), "ByteLevel"))
        return place_fail(decoder, "decoder '%.64s' is not supported; ByteLevel is expected",
                          type_of(decoder));
    return STATUS_OK;
}

// What some BPE models have and byte-level ones have not.
static status check_model(json_value model) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    double dropout = 0;
    const char *text = "";
    status rc = STATUS_OK;
    json_value value = json_find(model, "type");
    if (value.node && strcmp(type_of(model), "BPE"))
        return place_fail(value, "the model is '%.64s'; only BPE is supported", type_of(model));
    for (int i = 0; i < 2 && !rc; i++) {
        value = json_find(model, affixes[i]);
        if (is_set(value)) rc = json_text(&text, value);
        if (!rc && *text) return place_fail(value, "'%.64s' is not supported", text);
    }
    value = json_find(model, "dropout");
    if (!rc && is_set(value)) rc = json_number(&dropout, value);
    if (!rc && dropout != 0) return place_fail(value, "dropout %g is not supported", dropout);
    return rc;
}

static status read_vocabulary(bpe **out, const bpe_options *o, json_value vocabulary) {
    status rc = json_object(vocabulary);
    if (rc) return rc;
    size_t count = json_count(vocabulary);
    if (!count || count > TOKENS_MAX)
        return place_fail(vocabulary, "%zu tokens; 1 to %d are expected", count, TOKENS_MAX);
    rc = bpe_new(out, o, (int32_t)count);
    for (json_value v = json_first(vocabulary); v.node && !rc; v = json_next(v)) {
        int64_t id;
        rc = json_int(&id, v, 0, TOKENS_MAX);
        if (!rc) rc = at_value(bpe_token(*out, (int32_t)id, json_key(v)), v);
    }
    return rc;
}

// "left right".
static status merge_text(bpe *b, const char *text, size_t length) {
    const char *blank = memchr(text, ' ', length);
    size_t left = blank ? (size_t)(blank - text) : 0;
    if (!left || left + 1 == length || memchr(blank + 1, ' ', length - left - 1))
        return status_fail(STATUS_FORMAT, "the merge '%.*s' is not of two tokens",
                           (int)(length < 64 ? length : 64), text);
    return bpe_merge(b, text, left, blank + 1, length - left - 1);
}

// "left right", or ["left", "right"] as newer files have it.
static status read_merge(bpe *b, json_value v) {
    const char *left = NULL, *right = NULL;
    status rc = STATUS_OK;
    if (json_kind_of(v) != JSON_LIST) {
        rc = json_text(&left, v);
        return rc ? rc : at_value(merge_text(b, left, strlen(left)), v);
    }
    if (json_count(v) != 2) return place_fail(v, "a merge of %zu tokens", json_count(v));
    json_value first = json_first(v);
    rc = json_text(&left, first);
    if (!rc) rc = json_text(&right, json_next(first));
    return rc ? rc : at_value(bpe_merge(b, left, strlen(left), right, strlen(right)), v);
}

static status read_merge_list(bpe *b, json_value model) {
    json_value list;
    status rc = json_member(&list, model, "merges");
    if (!rc) rc = json_list(list);
    for (json_value v = rc ? (json_value){0} : json_first(list); v.node && !rc; v = json_next(v))
        rc = read_merge(b, v);
    return rc ? rc : at_value(bpe_ready(b), model);
}

static status read_added(tokenizer *t, json_value v) {
    added_token a = {0};
    const char *text;
    int64_t id;
    status rc = json_object(v);
    if (!rc) rc = json_member_text(&text, v, "content");
    if (!rc) rc = json_member_int(&id, v, "id", 0, TOKENS_MAX);
    if (!rc) rc = flag(&a.single, v, "single_word");
    if (!rc) rc = flag(&a.left, v, "lstrip");
    if (!rc) rc = flag(&a.right, v, "rstrip");
    if (!rc) rc = flag(&a.late, v, "normalized");
    if (!rc) rc = flag(&a.special, v, "special");
    if (rc) return rc;
    a.text = (char *)text;
    a.length = strlen(text);
    a.id = (int32_t)id;
    if (!a.length || a.length > TOKEN_TEXT_MAX)
        return place_fail(v, "an added token of %zu bytes; 1 to %d are expected", a.length,
                          TOKEN_TEXT_MAX);
    return at_value(tokenizer_put(t, &a), v);
}

status tokenizer_read_json(tokenizer *t, json_value root) {
    bpe_options o = {0};
    json_value model, vocabulary, added = json_find(root, "added_tokens");
    status rc = json_member(&model, root, "model");
    if (!rc) rc = json_object(model);
    if (!rc) rc = check_model(model);
    if (!rc) rc = check_parts(root);
    if (!rc) rc = read_pre_tokenizer(&o, root);
    if (!rc) rc = flag(&o.ignore_merges, model, "ignore_merges");
    if (!rc) rc = json_member(&vocabulary, model, "vocab");
    if (!rc) rc = read_vocabulary(&t->merges, &o, vocabulary);
    if (!rc) rc = read_merge_list(t->merges, model);
    if (rc) return rc;
    t->size = bpe_count(t->merges);
    if (is_set(added)) rc = json_list(added);
    for (json_value v = json_first(added); v.node && !rc; v = json_next(v)) rc = read_added(t, v);
    return rc;
}

// --- vocab.json and merges.txt -------------------------------------------------------------------
static status read_merge_lines(bpe *b, const char *path) {
    buffer text = {0};
    status rc = file_read(path, TOKENIZER_FILE_MAX, &text);
    int line = 0;
    for (size_t at = 0, next, length; at < text.length && !rc; at = next) {
        const char *begin = text.data + at, *end = memchr(begin, '\n', text.length - at);
        length = end ? (size_t)(end - begin) : text.length - at;
        next = at + length + 1;
        line++;
        if (length && begin[length - 1] == '\r') length--;
        if (!length || (line == 1 && length >= 8 && !memcmp(begin, "#version", 8))) continue;
        if (memchr(begin, 0, length))
            rc = status_fail(STATUS_FORMAT, "a NUL byte; is this a merges.txt?");
        if (!rc) rc = merge_text(b, begin, length);
        if (rc == STATUS_FORMAT) rc = status_fail(rc, "%s:%d: %s", path, line, status_text());
    }
    buffer_free(&text);
    return rc;
}

// The special tokens that GPT-2's and RoBERTa's tokenizers have without being told.
static status add_usual(tokenizer *t) {
    static const char *const usual[] = {"<s>", "</s>", "<pad>", "<unk>", "<mask>", "<|endoftext|>"};
    status rc = STATUS_OK;
    for (size_t i = 0; i < sizeof usual / sizeof *usual && !rc; i++) {
        size_t length = strlen(usual[i]);
        int32_t id = bpe_find(t->merges, usual[i], length);
        const added_token a = {.text = (char *)usual[i],
                               .length = length,
                               .id = id,
                               .left = !strcmp(usual[i], "<mask>"),
                               .special = true};
        if (id >= 0) rc = tokenizer_put(t, &a);
    }
    return rc;
}

status tokenizer_read_merges(tokenizer *t, json_value vocabulary, const char *merges) {
    const bpe_options o = {.pattern = BPE_GPT2};
    status rc = read_vocabulary(&t->merges, &o, vocabulary);
    if (!rc) rc = at_value(bpe_ready(t->merges), vocabulary);
    if (!rc) rc = read_merge_lines(t->merges, merges);
    if (rc) return rc;
    t->size = bpe_count(t->merges);
    return add_usual(t);
}
