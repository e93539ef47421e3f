// Which files a tokenizer comes from, told by what they hold, and which of its tokens have names.
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/tokenizer_private.h"

#include <string.h>

// --- names ---------------------------------------------------------------------------------------
// The text of a token in a configuration: a string, or an object with its content. NULL: none.
static const char *named_text(json_value value) {
    const char *text = NULL;
    if (json_kind_of(value) == JSON_OBJECT) value = json_find(value, "content");
    return json_kind_of(value) == JSON_TEXT && !json_text(&text, value) ? text : NULL;
}

// The first of TEXTS that the vocabulary has, -1: none.
static int32_t first_of(const tokenizer *t, const char *const *texts) {
    for (; *texts; texts++) {
        int32_t id = tokenizer_find(t, *texts, strlen(*texts));
        if (id >= 0) return id;
    }
    return -1;
}

// Byte-level BPE: by tokenizer_config.json where it is there and names them, else by the names that
// GPT-2, RoBERTa and LLaMA-3 use.
static status find_named(tokenizer *t, const char *config) {
    static const struct {
        const char *key, *usual[4];
    } known[] = {{"bos_token", {"<s>", "<|begin_of_text|>", "<|endoftext|>"}},
                 {"eos_token", {"</s>", "<|end_of_text|>", "<|endoftext|>"}},
                 {"pad_token", {"<pad>"}},
                 {"unk_token", {"<unk>"}}};
    int32_t *id[] = {&t->named.begin, &t->named.end, &t->named.pad, &t->named.unknown};
    json *document = NULL;
    status rc = config ? json_read(&document, config, TOKENIZER_FILE_MAX) : STATUS_OK;
    if (!rc && config) rc = json_object(json_root(document));
    for (int i = 0; i < 4 && !rc; i++) {
        json_value value = config ? json_find(json_root(document), known[i].key) : (json_value){0};
        const char *text = named_text(value), *const one[] = {text, NULL};
        *id[i] = first_of(t, text ? one : known[i].usual);
        if (text && *id[i] < 0)
            rc = json_fail(value, "is '%.64s', which is not in the vocabulary", text);
    }
    json_close(document);
    return rc;
}

// --- SentencePiece -------------------------------------------------------------------------------
// The model's own special tokens; transformers keeps them as AddedTokens that strip nothing.
static status add_named(tokenizer *t) {
    const int32_t id[] = {t->named.unknown, t->named.begin, t->named.end, t->named.pad};
    status rc = STATUS_OK;
    for (int i = 0; i < 4 && !rc; i++) {
        if (id[i] < 0) continue;
        const char *text = piece_model_text(t->pieces, id[i]);
        const added_token a = {
            .text = (char *)text, .length = strlen(text), .id = id[i], .special = true};
        rc = tokenizer_put(t, &a);
    }
    if (t->named.pad < 0) t->named.pad = t->named.unknown;
    return rc;
}

static status read_pieces(tokenizer *t, const char *path, const buffer *bytes) {
    status rc = piece_model_open(&t->pieces, path, bytes->data, bytes->length);
    if (rc) return rc;
    t->size = piece_model_count(t->pieces);
    t->named = piece_model_named(t->pieces);
    return add_named(t);
}

// How special_tokens_map.json gives TEXT: a string strips on both sides, an object as it says.
// What it does not give is no special token, and strips as well.
static void take_manner(added_token *a, json_value value) {
    if (json_kind_of(value) == JSON_LIST) {
        for (json_value v = json_first(value); v.node; v = json_next(v)) take_manner(a, v);
        return;
    }
    const char *text = named_text(value);
    if (!text || strcmp(text, a->text)) return;
    a->special = true;
    if (json_kind_of(value) != JSON_OBJECT) return;
    json_value left = json_find(value, "lstrip"), right = json_find(value, "rstrip");
    if (!left.node || json_bool(&a->left, left)) a->left = false;
    if (!right.node || json_bool(&a->right, right)) a->right = false;
}

// added_tokens.json: texts and ids, in any order, which go on where the model's end.
static status add_listed(tokenizer *t, json_value list, json_value map) {
    status rc = json_object(list);
    int32_t first = t->size;
    size_t count = rc ? 0 : json_count(list);
    if (!rc && count > ADDED_MAX)
        return json_fail(list, "holds %zu added tokens; at most %d", count, ADDED_MAX);
    json_value *by_id = NULL;
    if (!rc) rc = mem_new(&by_id, count + 1, "added tokens");
    for (json_value v = rc ? (json_value){0} : json_first(list); v.node && !rc; v = json_next(v)) {
        int64_t id;
        rc = json_int(&id, v, first, first + (int64_t)count - 1);
        if (!rc && by_id[id - first].node) rc = json_fail(v, "has an id that another one has");
        if (!rc) by_id[id - first] = v;
    }
    for (size_t i = 0; i < count && !rc; i++) {
        added_token a = {.text = (char *)json_key(by_id[i]), .left = true, .right = true};
        a.length = strlen(a.text);
        a.id = first + (int32_t)i;
        if (map.node)
            for (json_value v = json_first(map); v.node; v = json_next(v)) take_manner(&a, v);
        if (!a.length || a.length > TOKEN_TEXT_MAX)
            rc = json_fail(by_id[i], "has %zu bytes; 1 to %d are expected", a.length,
                           TOKEN_TEXT_MAX);
        if (!rc) rc = tokenizer_put(t, &a);
    }
    mem_free(by_id);
    return rc;
}

static status read_added(tokenizer *t, const char *folder) {
    char path[PATH_SIZE], map_path[PATH_SIZE];
    json *list = NULL, *map = NULL;
    status rc = path_join(path, sizeof path, folder, "added_tokens.json");
    if (!rc) rc = path_join(map_path, sizeof map_path, folder, "special_tokens_map.json");
    if (rc || !file_exists(path)) return rc;
    rc = json_read(&list, path, TOKENIZER_FILE_MAX);
    if (!rc && file_exists(map_path)) rc = json_read(&map, map_path, TOKENIZER_FILE_MAX);
    if (!rc && map) rc = json_object(json_root(map));
    if (!rc) rc = add_listed(t, json_root(list), map ? json_root(map) : (json_value){0});
    json_close(map);
    json_close(list);
    return rc;
}

// --- files ---------------------------------------------------------------------------------------
typedef enum file_kind { FILE_PIECES, FILE_JSON, FILE_VOCABULARY, FILE_MERGES } file_kind;

// A vocabulary's members are numbers, and tokenizer.json has a model.
static status json_file_kind(file_kind *out, json_value root) {
    status rc = json_object(root);
    if (rc) return rc;
    *out = json_kind_of(json_find(root, "model")) == JSON_OBJECT ? FILE_JSON : FILE_VOCABULARY;
    if (*out == FILE_VOCABULARY && json_kind_of(json_first(root)) != JSON_NUMBER)
        return json_fail(root, "is neither a tokenizer.json (no \"model\" in it) nor a vocab.json");
    return STATUS_OK;
}

// Whether BYTES are lines of text: the first is "#version..." or two tokens.
static bool looks_like_merges(const buffer *bytes) {
    size_t line = 0, blanks = 0;
    while (line < bytes->length && bytes->data[line] != '\n' && line < TOKEN_TEXT_MAX)
        blanks += bytes->data[line++] == ' ';
    if (line >= 8 && !memcmp(bytes->data, "#version", 8)) return true;
    return line > 2 && line < bytes->length && blanks == 1;
}

// DOCUMENT: the file's, where it is JSON.
static status file_kind_of(file_kind *out, json **document, const char *path, const buffer *bytes) {
    size_t at = 0;
    while (at < bytes->length && bytes->data[at] && strchr(" \t\r\n", bytes->data[at])) at++;
    *out = looks_like_merges(bytes) ? FILE_MERGES : FILE_PIECES;
    if (at == bytes->length || bytes->data[at] != '{') return STATUS_OK;
    status rc = json_parse(document, path, bytes->data, bytes->length, 1);
    return rc ? rc : json_file_kind(out, json_root(*document));
}

// The folder of a file in OUT (PATH_SIZE).
static status folder_of(char *out, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 1;
    if (length >= PATH_SIZE) return status_fail(STATUS_IO, "%.100s...: too long a path", path);
    memcpy(out, slash ? path : ".", length);
    out[length] = 0;
    if (slash == path) strcpy(out, "/");
    return STATUS_OK;
}

// DOCUMENT is the vocabulary's; NULL: PATH is the merges'. The other one lies in the same folder.
static status read_pair(tokenizer *t, json *document, const char *path, const char *folder) {
    char other[PATH_SIZE];
    json *opened = NULL;
    status rc = path_join(other, sizeof other, folder, document ? "merges.txt" : "vocab.json");
    if (rc) return rc;
    if (document) return tokenizer_read_merges(t, json_root(document), other);
    rc = json_read(&opened, other, TOKENIZER_FILE_MAX);
    if (!rc) rc = tokenizer_read_merges(t, json_root(opened), path);
    json_close(opened);
    return rc;
}

// IN_FOLDER: the file's neighbours are asked for names and added tokens.
static status read_kind(tokenizer *t, file_kind kind, const char *path, const buffer *bytes,
                        json *document, bool in_folder) {
    char folder[PATH_SIZE], config[PATH_SIZE];
    status rc = folder_of(folder, path);
    if (!rc) rc = path_join(config, sizeof config, folder, "tokenizer_config.json");
    if (rc) return rc;
    if (kind == FILE_PIECES) {
        rc = read_pieces(t, path, bytes);
        return rc || !in_folder ? rc : read_added(t, folder);
    }
    if (kind == FILE_JSON)
        rc = tokenizer_read_json(t, json_root(document));
    else
        rc = read_pair(t, document, path, folder);
    return rc ? rc : find_named(t, in_folder && file_exists(config) ? config : NULL);
}

static status read_file(tokenizer *t, const char *path, bool in_folder) {
    buffer bytes = {0};
    json *document = NULL;
    file_kind kind = FILE_PIECES;
    status rc = file_read(path, TOKENIZER_FILE_MAX, &bytes);
    if (!rc && !bytes.length) rc = status_fail(STATUS_FORMAT, "%s: is empty", path);
    if (!rc) rc = file_kind_of(&kind, &document, path, &bytes);
    if (!rc) rc = read_kind(t, kind, path, &bytes, document, in_folder);
    json_close(document);
    buffer_free(&bytes);
    return rc;
}

static status read_folder(tokenizer *t, const char *folder) {
    static const char *const files[] = {"tokenizer.model", "tokenizer.json", "vocab.json"};
    char path[PATH_SIZE];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        status rc = path_join(path, sizeof path, folder, files[i]);
        if (rc) return rc;
        if (file_exists(path)) return read_file(t, path, true);
    }
    return status_fail(
        STATUS_IO,
        "%s: no tokenizer in it (tokenizer.model, tokenizer.json, or vocab.json with "
        "merges.txt)",
        folder);
}

status tokenizer_open(tokenizer **out, const char *path) {
    tokenizer *t = NULL;
    *out = NULL;
    status rc = mem_new(&t, 1, "a tokenizer");
    if (rc) return rc;
    t->named = (tokenizer_ids){-1, -1, -1, -1};
    rc = folder_exists(path) ? read_folder(t, path) : read_file(t, path, false);
    if (!rc) rc = tokenizer_order(t);
    if (rc)
        tokenizer_close(t);
    else
        *out = t;
    return rc;
}
