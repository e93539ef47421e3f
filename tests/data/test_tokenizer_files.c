// Tokenizers of language models by hand: files of byte-level BPE that are read and that are
// refused, merging, names, wrong ids, many threads, failing allocations. What texts become is
// test_tokenizer_table.c's.
#include "core/files/fs.h"
#include "data/tokenizer_private.h"
#include "tests/data/helper_tokenizer.h"

#include <stdio.h>
#include <string.h>

// --- byte-level files by hand --------------------------------------------------------------------
// "c":ID of the 256 bytes, in their order, with a comma behind each; then MORE.
static void vocabulary(buffer *b, const char *more) {
    for (int byte = 0; byte < 256; byte++) {
        char text[3] = {0};
        bpe_char_of(text, (unsigned char)byte);
        buffer_print(b, "\"%s%s\":%d%s", byte == '"' || byte == '\\' ? "\\" : "", text, byte,
                     byte < 255 || *more ? "," : "");
    }
    buffer_text(b, more);
}

typedef struct parts {
    const char *tokens, *merges, *model, *normalizer, *pre, *decoder, *added;
} parts;

#define BYTE_LEVEL "{\"type\":\"ByteLevel\"}"

// tokenizer.json of PARTS; those left out are GPT-2's.
static void write_json(const parts *p) {
    buffer b = {0};
    buffer_print(&b, "{\n\"normalizer\":%s,\n\"pre_tokenizer\":%s,\n\"decoder\":%s,\n",
                 p->normalizer ? p->normalizer : "null", p->pre ? p->pre : BYTE_LEVEL,
                 p->decoder ? p->decoder : BYTE_LEVEL);
    buffer_print(&b, "\"added_tokens\":[%s],\n\"model\":{%s\"merges\":[%s],\n\"vocab\":{",
                 p->added ? p->added : "", p->model ? p->model : "", p->merges ? p->merges : "");
    vocabulary(&b, p->tokens ? p->tokens : "");
    buffer_text(&b, "}}}");
    write_bytes("tokenizer.json", b.data, b.length);
    buffer_free(&b);
}

START_TEST(merges_by_rank) {
    // aaa: the leftmost pair first; abab: "ba" has the lower rank; a pair twice: the last place.
    write_json(&(parts){.tokens = "\"aa\":256,\"ab\":257,\"ba\":258,\"aba\":259,\"abab\":260,"
                                  "\"cd\":261,\"bc\":262",
                        .merges = "\"c d\",\"a a\",[\"b\",\"a\"],\"a b\",\"ab a\",\"a ba\",\"b c\","
                                  "\"c d\""});
    tokenizer *t = open_good(tokenizer_folder());
    ck_assert_int_eq(tokenizer_size(t), 263);
    expect(t, "aaa", 256, 'a');
    expect(t, "aaaa", 256, 256);
    expect(t, "abab", 259, 'b');
    expect(t, "bcd", 262, 'd');
    expect(t, "a b", 'a', ' ', 'b');
    expect_ids(t, "", NULL, 0);
    tokenizer_close(t);
}
END_TEST

START_TEST(whole_words) {
    parts p = {.tokens = "\"abc\":256,\"\u0120abc\":257", .model = "\"ignore_merges\":true,"};
    write_json(&p);
    tokenizer *t = open_good(tokenizer_folder());
    uint32_t with = tokenizer_checksum(t);
    expect(t, "abc abc abcd", 256, 257, ' ', 'a', 'b', 'c', 'd');
    tokenizer_close(t);
    p.model = "\"ignore_merges\":false,";
    write_json(&p);
    t = open_good(tokenizer_folder());
    expect(t, "abc", 'a', 'b', 'c');
    ck_assert_uint_ne(tokenizer_checksum(t), with);
    tokenizer_close(t);
}
END_TEST

START_TEST(blank_in_front) {
    write_json(&(parts){.pre = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}",
                        .added = "{\"id\":256,\"content\":\"<x>\",\"special\":true}"});
    tokenizer *t = open_good(tokenizer_folder());
    expect(t, "a<x>b <x> c", ' ', 'a', 256, ' ', 'b', ' ', 256, ' ', 'c');
    tokenizer_close(t);
}
END_TEST

START_TEST(refused_json) {
    static const struct {
        parts p;
        const char *words;
    } bad[] = {
        {{.normalizer = "{\"type\":\"NFC\"}"}, "tokenizer.json:2: normalizer 'NFC' is not"},
        {{.pre = "{\"type\":\"Whitespace\"}"}, "pre-tokenizer 'Whitespace'"},
        {{.pre = "null"}, "no pre_tokenizer"},
        {{.pre = "{\"type\":\"ByteLevel\",\"use_regex\":false}"}, "without a pattern"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{"
                 "\"Regex\":\"\\\\p{L}+|\\\\d\"},\"behavior\":\"Isolated\"}," BYTE_LEVEL "]}"},
         "pattern \\p{L}+|\\d is none of"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{"
                 "\"String\":\" \"},\"behavior\":\"Isolated\"}," BYTE_LEVEL "]}"},
         "Split without a pattern"},
        {{.pre =
              "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"}," BYTE_LEVEL "]}"},
         "'ByteLevel' behind 'Digits'"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[]}"}, "ByteLevel is expected"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{"
                 "\"Regex\":\"x\"},\"behavior\":\"Removed\"}," BYTE_LEVEL "]}"},
         "a Split that is Removed"},
        {{.decoder = "null"}, "no decoder"},
        {{.decoder = "{\"type\":\"Metaspace\"}"}, "decoder 'Metaspace'"},
        {{.model = "\"type\":\"WordPiece\","}, "the model is 'WordPiece'"},
        {{.model = "\"dropout\":0.1,"}, "dropout 0.1"},
        {{.model = "\"end_of_word_suffix\":\"</w>\","}, "'</w>' is not supported"},
        {{.merges = "\"a b\""}, "merge of 'a' and 'b'"},
        {{.merges = "\"ab\""}, "'ab' is not of two"},
        {{.merges = "\"a b c\""}, "not of two"},
        {{.merges = "[\"a\"]"}, "a merge of 1 tokens"},
        {{.merges = "3"}, "must be a text"},
        {{.tokens = "\"aa\":300"}, "has id 300"},
        {{.tokens = "\"aa\":97"}, "both have id 97"},
        {{.tokens = "\"aa\":-1"}, "aa"},
        {{.added = "{\"id\":300,\"content\":\"<x>\"}"}, "'<x>' has id 300; 256 is its place"},
        {{.added = "{\"id\":98,\"content\":\"a\"}"}, "97 is its place"},
        {{.added = "{\"id\":256,\"content\":\"\"}"}, "of 0 bytes"},
        {{.added = "{\"id\":256,\"content\":\"x\xc3\xa9\"},{\"id\":256,\"content\":\"x\xc3\xa9\"}"},
         "twice"},
        {{.added = "{\"id\":256,\"content\":\"<x>\",\"lstrip\":3}"}, "lstrip"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tokenizer *t;
        write_json(&bad[i].p);
        status rc = tokenizer_open(&t, tokenizer_folder());
        ck_assert_msg(rc == STATUS_FORMAT && !t && strstr(status_text(), bad[i].words) &&
                          strstr(status_text(), "tokenizer.json:"),
                      "case %zu: %d %s", i, rc, status_text());
    }
}
END_TEST

START_TEST(byte_missing) {
    tokenizer *t;
    write_bytes("vocab.json", "{\"a\":0,\"b\":1}", 13);
    write_bytes("merges.txt", "#version: 0.2\n", 14);
    ck_assert_int_eq(tokenizer_open(&t, tokenizer_folder()), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "no token for the byte 0x00"));
}
END_TEST

// --- vocab.json and merges.txt -------------------------------------------------------------------
static void write_pair(const char *merges) {
    buffer b = {0};
    buffer_text(&b, "{");
    vocabulary(&b, "\"ab\":256,\"<s>\":257,\"</s>\":258,\"<mask>\":259}");
    write_bytes("vocab.json", b.data, b.length);
    write_bytes("merges.txt", merges, strlen(merges));
    buffer_free(&b);
}

START_TEST(pair_of_files) {
    static const char *const paths[] = {"", "vocab.json", "merges.txt"};
    uint32_t sum = 0;
    for (int form = 0; form < 3; form++) {
        static const char *const merges[] = {"#version: 0.2\na b\n", "a b\r\n", "a b"};
        write_pair(merges[form]);
        for (int i = 0; i < 3; i++) {
            tokenizer *t;
            if (form == 2 && i == 2) continue; // one line without an end looks like nothing
            t = open_good(*paths[i] ? in_folder(paths[i]) : tokenizer_folder());
            expect(t, "<s>ab <mask> x</s>", 257, 256, 259, ' ', 'x', 258);
            tokenizer_ids n = tokenizer_named(t);
            ck_assert(n.begin == 257 && n.end == 258 && n.pad == -1 && n.unknown == -1);
            ck_assert_int_eq(tokenizer_special(t, "<mask>"), 259);
            ck_assert_int_eq(tokenizer_special(t, "ab"), -1);
            if (!sum) sum = tokenizer_checksum(t);
            ck_assert_uint_eq(tokenizer_checksum(t), sum);
            tokenizer_close(t);
        }
    }
    tokenizer *t;
    write_pair("#version: 0.2\na b\nb x y\n");
    ck_assert_int_eq(tokenizer_open(&t, tokenizer_folder()), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "merges.txt:3: the merge 'b x y'"));
    ck_assert_int_eq(path_remove(in_folder("merges.txt")), STATUS_OK);
    ck_assert_int_eq(tokenizer_open(&t, tokenizer_folder()), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(status_text(), "merges.txt"));
}
END_TEST

START_TEST(names_of_a_configuration) {
    static const char good[] = "{\"bos_token\":\"<mask>\",\"eos_token\":{\"content\":\"<s>\"},"
                               "\"pad_token\":null,\"unk_token\":\"ab\"}";
    static const char bad[] = "{\n\"bos_token\":\"<none>\"}";
    tokenizer *t;
    write_pair("#version: 0.2\na b\n");
    write_bytes("tokenizer_config.json", good, sizeof good - 1);
    t = open_good(tokenizer_folder());
    tokenizer_ids n = tokenizer_named(t);
    ck_assert(n.begin == 259 && n.end == 257 && n.pad == -1 && n.unknown == 256);
    tokenizer_close(t);
    write_bytes("tokenizer_config.json", bad, sizeof bad - 1);
    ck_assert_int_eq(tokenizer_open(&t, tokenizer_folder()), STATUS_FORMAT);
    ck_assert_ptr_nonnull(
        strstr(status_text(), "tokenizer_config.json:2: \"bos_token\" is '<none>', which"));
}
END_TEST

START_TEST(other_files) {
    static const struct {
        const char *bytes;
        status rc;
        const char *words;
    } bad[] = {
        {"", STATUS_FORMAT, "is empty"},
        {"{}", STATUS_FORMAT, "neither a tokenizer.json"},
        {"{\"x\":{}}", STATUS_FORMAT, "neither a tokenizer.json"},
        {"{\"model\":", STATUS_FORMAT, "file:1"},
        {"some text", STATUS_FORMAT, "not a SentencePiece model"},
    };
    tokenizer *t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_bytes("file", bad[i].bytes, strlen(bad[i].bytes));
        ck_assert_int_eq(tokenizer_open(&t, in_folder("file")), bad[i].rc);
        ck_assert_msg(strstr(status_text(), bad[i].words) != NULL, "%s", status_text());
    }
    ck_assert_int_eq(tokenizer_open(&t, tokenizer_folder()), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(status_text(), "no tokenizer in it"));
    ck_assert_int_eq(tokenizer_open(&t, in_folder("none")), STATUS_IO);
}
END_TEST

START_TEST(wrong_ids) {
    static const char *const files[] = {MODELS "llama.model", MODELS "llama3.json"};
    for (int i = 0; i < 2; i++) {
        tokenizer *t = open_good(files[i]);
        buffer out = {0};
        const int32_t ids[] = {5, tokenizer_size(t)}, below[] = {-1};
        ck_assert_int_eq(tokenizer_decode(t, ids, 2, false, &out), STATUS_FORMAT);
        ck_assert_int_eq(tokenizer_decode(t, below, 1, true, &out), STATUS_FORMAT);
        ck_assert_int_eq(tokenizer_decode(t, ids, 1, true, &out), STATUS_OK);
        buffer_free(&out);
        tokenizer_close(t);
    }
}
END_TEST

// --- threads and memory --------------------------------------------------------------------------
START_TEST(many_threads) {
    static const char *const files[] = {MODELS "llama.model", MODELS "llama3.json"};
    static const char text[] =
        "USER: The heart is normal in size, lungs are clear.</s> <|eot_id|> x";
    for (int i = 0; i < 2; i++) {
        tokenizer *t = open_good(files[i]);
        buffer want = {0};
        int wrong = 0;
        ck_assert_int_eq(tokenizer_encode(t, text, sizeof text - 1, &want), STATUS_OK);
#pragma omp parallel for num_threads(4) reduction(+ : wrong)
        for (int n = 0; n < 400; n++) {
            buffer got = {0};
            wrong += tokenizer_encode(t, text, sizeof text - 1, &got) != STATUS_OK ||
                     got.length != want.length || memcmp(got.data, want.data, want.length);
            buffer_free(&got);
        }
        ck_assert_int_eq(wrong, 0);
        buffer_free(&want);
        tokenizer_close(t);
    }
}
END_TEST

static status use_all(const char *path) {
    static const char text[] = "The heart \xff <IMG> is</s> normal <|left|> word 12 \n\n late one";
    tokenizer *t = NULL;
    buffer ids = {0}, out = {0};
    int32_t id;
    status rc = tokenizer_open(&t, path);
    if (!rc) rc = tokenizer_add(t, "<IMG>", true, &id);
    if (!rc) rc = tokenizer_encode(t, text, sizeof text - 1, &ids);
    if (!rc)
        rc = tokenizer_decode(t, (const int32_t *)(const void *)ids.data,
                              (int64_t)(ids.length / sizeof id), false, &out);
    buffer_free(&out);
    buffer_free(&ids);
    tokenizer_close(t);
    return rc;
}

START_TEST(without_memory) {
    static const char *const files[] = {MODELS "llama.model", MODELS "listed", MODELS "roberta",
                                        MODELS "llama3.json"};
    for (int i = 0; i < 4; i++) {
        int64_t n = 1;
        for (;; n++) {
            mem_fail_at(n);
            status rc = use_all(files[i]);
            mem_fail_at(0);
            if (!rc) break;
            ck_assert_msg(rc == STATUS_MEMORY, "%s, %lld: %s", files[i], (long long)n,
                          status_text());
        }
        ck_assert_int_gt(n, 20);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        merges_by_rank, whole_words,   blank_in_front,           refused_json,
        byte_missing,   pair_of_files, names_of_a_configuration, other_files,
        wrong_ids,      many_threads,  without_memory,           NULL};
    return run_tokenizer_tests("tokenizer_files", tests);
}
