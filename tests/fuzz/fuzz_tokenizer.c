// Tokenizers of language models. The first byte chooses what the input is: a SentencePiece model, a
// tokenizer.json, vocab.json with merges.txt and tokenizer_config.json, added_tokens.json with
// special_tokens_map.json, each with a text behind; or a text alone, which must come back from two
// tokenizers that are at hand.
#include "core/files/fs.h"
#include "data/tokenizer.h"
#include "tests/fuzz/helper_fuzz.h"

#include <string.h>

static const int32_t *ids_of(const buffer *b) {
    return (const int32_t *)(const void *)b->data;
}

static int64_t count_of(const buffer *b) {
    return (int64_t)(b->length / sizeof(int32_t));
}

// Ids are of the vocabulary, and the same again; text comes back for all of them.
static void use(tokenizer *t, const char *text, size_t length) {
    buffer ids = {0}, again = {0}, out = {0};
    int32_t image, size = tokenizer_size(t);
    status rc = tokenizer_add(t, "<IMG>", length & 1, &image);
    demand(!rc && image >= 0 && image <= size && tokenizer_special(t, "<IMG>") == image);
    demand(!tokenizer_encode(t, text, length, &ids));
    demand(!tokenizer_encode(t, text, length, &again));
    demand(ids.length == again.length &&
           (!ids.length || !memcmp(ids.data, again.data, ids.length)));
    for (int64_t i = 0; i < count_of(&ids); i++)
        demand(ids_of(&ids)[i] >= 0 && ids_of(&ids)[i] < tokenizer_size(t));
    for (int32_t id = 0; id < tokenizer_size(t) && id < 600; id++)
        buffer_append(&ids, &id, sizeof id);
    for (int skip = 0; skip < 2; skip++) {
        out.length = 0;
        demand(!tokenizer_decode(t, ids_of(&ids), count_of(&ids), skip, &out));
        if (out.data) touch_bytes(out.data, out.length);
    }
    demand(tokenizer_decode(t, &(int32_t){tokenizer_size(t)}, 1, true, &out) == STATUS_FORMAT);
    tokenizer_checksum(t);
    buffer_free(&ids), buffer_free(&again), buffer_free(&out);
}

static void open_and_use(const char *path, const input *in) {
    tokenizer *t;
    status rc = tokenizer_open(&t, path);
    if (rc)
        demand_failure(rc);
    else
        use(t, (const char *)in->data, in->size);
    tokenizer_close(t);
}

// --- the two at hand -----------------------------------------------------------------------------
// The 256 characters of byte-level vocabularies.
static void byte_text(buffer *b, int byte) {
    static int next; // of those that stand for others
    if (!byte) next = 0x100;
    bool itself = (byte > ' ' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    unsigned c = itself ? (unsigned)byte : (unsigned)next++;
    const char text[] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 63)), 0};
    char plain[3] = {'\\', (char)byte, 0};
    if (c >= 0x80)
        buffer_text(b, text);
    else
        buffer_text(b, byte == '"' || byte == '\\' ? plain : plain + 1);
}

static tokenizer *make_merges(void) {
    buffer b = {0};
    tokenizer *t;
    buffer_text(&b,
                "{\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\","
                "\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{"
                "\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|"
                "\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|"
                "\\\\s+(?!\\\\S)|\\\\s+\"}},{\"type\":\"ByteLevel\",\"use_regex\":false}]},"
                "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\","
                "\"ignore_merges\":true,\"vocab\":{");
    for (int byte = 0; byte < 256; byte++) {
        buffer_text(&b, "\"");
        byte_text(&b, byte);
        buffer_print(&b, "\":%d,", byte);
    }
    buffer_text(&b, "\"aa\":256,\"ab\":257,\"aab\":258,\"bab\":259,\"clear\":260},"
                    "\"merges\":[\"a a\",\"a b\",\"aa b\",\"b ab\"]}}");
    demand(!b.failed);
    status rc = tokenizer_open(&t, memory_file(3, b.data, b.length));
    if (rc) die("%s", status_text());
    buffer_free(&b);
    return t;
}

static void train_pieces(buffer *out) {
    static const char text[] = "The heart is normal in size. The lungs are clear. \xc3\xa9 1 2";
    tokenizer_texts texts = {0};
    int32_t count;
    demand(!tokenizer_texts_add(&texts, text, sizeof text - 1));
    demand(!tokenizer_train_sentencepiece(out, &count, &texts, 320));
    tokenizer_texts_free(&texts);
}

static const buffer *small_model(void) {
    static buffer model;
    if (!model.length) train_pieces(&model);
    return &model;
}

// What is not UTF-8 comes back as U+FFFD; MARK: so does U+2581, as a blank.
static void clean(buffer *out, const char *text, size_t length, bool mark) {
    char with_nul[8] = {0};
    for (size_t at = 0; at < length;) {
        size_t taken = 0;
        for (size_t n = 1; n <= 4 && n <= length - at && !taken; n++) {
            memcpy(with_nul, text + at, n);
            with_nul[n] = 0;
            if (text_is_utf8(with_nul, n) || (n == 1 && !text[at])) taken = n;
        }
        bool blank = mark && taken == 3 && !memcmp(text + at, "\xe2\x96\x81", 3);
        if (!taken || blank)
            buffer_text(out, blank ? " " : "?");
        else
            buffer_append(out, text + at, taken);
        at += taken ? taken : 1;
    }
}

// U+FFFD as '?' too, and several of either as one: how many there are is no concern here.
static void squeeze(buffer *b) {
    size_t kept = 0;
    for (size_t at = 0; at < b->length;) {
        bool odd = b->data[at] == '?';
        size_t n = 1;
        if (b->length - at >= 3 && !memcmp(b->data + at, "\xef\xbf\xbd", 3)) {
            odd = true;
            n = 3;
        }
        if (!odd)
            b->data[kept++] = b->data[at];
        else if (!kept || b->data[kept - 1] != '?')
            b->data[kept++] = '?';
        at += n;
    }
    b->length = kept;
}

static void comes_back(const tokenizer *t, const char *text, size_t length, bool mark) {
    buffer ids = {0}, got = {0}, want = {0};
    demand(!tokenizer_encode(t, text, length, &ids));
    demand(!tokenizer_decode(t, ids_of(&ids), count_of(&ids), false, &got));
    clean(&want, text, length, mark);
    squeeze(&got);
    squeeze(&want);
    demand(got.length == want.length && (!got.length || !memcmp(got.data, want.data, got.length)));
    buffer_free(&ids), buffer_free(&got), buffer_free(&want);
}

static void read_text(const char *text, size_t length) {
    static tokenizer *merges, *pieces;
    const buffer *model = small_model();
    if (!merges) merges = make_merges();
    if (!pieces) demand(!tokenizer_open(&pieces, memory_file(4, model->data, model->length)));
    comes_back(merges, text, length, false);
    if (length && !memchr(text, '<', length)) comes_back(pieces, text, length, true);
}

// --- files ---------------------------------------------------------------------------------------
// A folder with FILES (2 or 3; the first may be the model at hand) of the input's parts.
static void read_folder(input *in, const char *const *files, int count, const buffer *first) {
    static const char *const all[] = {"tokenizer.model",   "vocab.json",
                                      "merges.txt",        "tokenizer_config.json",
                                      "added_tokens.json", "special_tokens_map.json"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        demand(!path_remove(memory_folder_path(all[i])));
    for (int i = 0; i < count; i++) {
        size_t size;
        const uint8_t *bytes;
        if (!i && first) {
            memory_folder_file(files[i], first->data, first->length);
            continue;
        }
        bytes = input_part(in, &size);
        if (size) memory_folder_file(files[i], bytes, size);
    }
    open_and_use(memory_folder(), in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const bpe[] = {"vocab.json", "merges.txt", "tokenizer_config.json"};
    static const char *const listed[] = {"tokenizer.model", "added_tokens.json",
                                         "special_tokens_map.json"};
    input in = {data, size};
    size_t length;
    int kind = input_byte(&in) % 5;
    if (kind == 2) {
        read_folder(&in, bpe, 3, NULL);
    } else if (kind == 3) {
        read_folder(&in, listed, 3, small_model());
    } else if (kind == 4) {
        read_text((const char *)in.data, in.size);
    } else {
        const uint8_t *bytes = input_part(&in, &length);
        open_and_use(memory_file(kind, bytes, length), &in);
    }
    return 0;
}
