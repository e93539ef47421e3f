// SentencePiece models by hand: names, adding to them, hostile ones, lists of added tokens.
#include "core/files/fs.h"
#include "tests/data/helper_tokenizer.h"

#include <stdio.h>
#include <string.h>

START_TEST(names_of_a_model) {
    tokenizer *t = open_good(MODELS "llama.model");
    tokenizer_ids n = tokenizer_named(t);
    int32_t id = -1, size = tokenizer_size(t);
    uint32_t before = tokenizer_checksum(t), after;
    ck_assert(n.begin == 1 && n.end == 2 && n.pad == 0 && n.unknown == 0);
    ck_assert_int_eq(tokenizer_special(t, "</s>"), 2);
    ck_assert_int_eq(tokenizer_special(t, "<IMG>"), -1);
    ck_assert(!tokenizer_add(t, "<IMG>", true, &id) && id == size);
    ck_assert_int_eq(tokenizer_size(t), size + 1);
    ck_assert_int_eq(tokenizer_special(t, "<IMG>"), size);
    after = tokenizer_checksum(t);
    ck_assert_uint_ne(before, after);
    ck_assert(!tokenizer_add(t, "<IMG>", false, &id) && id == size);
    ck_assert(!tokenizer_add(t, "</s>", true, &id) && id == 2);
    ck_assert_uint_eq(tokenizer_checksum(t), after); // nothing has changed
    expect(t, " <IMG> \t<IMG>\n", size, size);
    static const char *const bad[] = {"", " x", "x\n", "\xc2\xa0x", "x\xe3\x80\x80", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(tokenizer_add(t, bad[i], true, &id) == STATUS_USAGE, "%zu", i);
    tokenizer_close(t);
}
END_TEST

// A piece that is made special keeps its id and is cut out of texts.
START_TEST(own_piece_added) {
    tokenizer *t = open_good(MODELS "llama.model");
    int32_t id = -1, size = tokenizer_size(t);
    ck_assert(!tokenizer_add(t, "heart", false, &id) ||
              !tokenizer_add(t, "\xe2\x96\x81heart", false, &id));
    ck_assert(!tokenizer_add(t, "<0x0A>", false, &id) && id == 13);
    ck_assert_int_le(tokenizer_size(t), size + 1);
    expect(t, "<0x0A>", 13);
    tokenizer_close(t);
}
END_TEST

static void put(buffer *b, int number, const void *bytes, size_t size) {
    const char head[] = {(char)(number << 3 | 2), (char)size};
    ck_assert_uint_lt(size, 128);
    buffer_append(b, head, 2);
    buffer_append(b, bytes, size);
}

static void put_piece(buffer *b, const char *text, size_t length, int type, float score) {
    char part[128] = {0x0a, (char)length};
    memcpy(part + 2, text, length);
    part[length + 2] = 0x15;
    memcpy(part + length + 3, &score, 4);
    part[length + 7] = 0x18;
    part[length + 8] = (char)type;
    put(b, 1, part, length + 9);
}

// A model of unknown, begin, end and three letters, without normalisation.
static void plain_model(buffer *b) {
    put_piece(b, "<unk>", 5, 2, 0);
    put_piece(b, "<s>", 3, 3, 0);
    put_piece(b, "</s>", 4, 3, 0);
    put_piece(b, "a", 1, 1, -1);
    put_piece(b, "b", 1, 1, -2);
    put_piece(b, "ab", 2, 1, -3);
}

START_TEST(refused_models) {
    static const struct {
        const char *part;
        size_t size;
        int number; // of the part; 0: of bytes as they are
        const char *words;
    } bad[] = {
        {"\x18\1", 2, 2, "the model is unigram"},
        {"\x18\7", 2, 2, "of no type"},
        {"\x12\3abc", 5, 3, "normalises text by a table"},
        {"\x12\3abc", 5, 5, "normalises text by a table"},
        {"\xc0\1\1", 3, 2, "treat_whitespace_as_suffix"},
        {"\x28\0", 2, 3, "escape_whitespaces is not set"},
        {"\x98\2\1", 3, 2, "0 pieces for bytes; with byte_fallback on"},
        {"\x0a\0", 2, 1, "piece 6 is not a text"},
        {"\x0a\1\xff", 3, 1, "piece 6 is not a text"},
        {"\x0a\3a\0b", 5, 1, "piece 6 is not a text"},
        {"\x0a\1c\x15\0\0\xc0\x7f", 8, 1, "the score of piece 6"},
        {"\x0a\1c\x15\0\0\x80\x7f", 8, 1, "the score of piece 6"},
        {"\x0a\1c\x18\x07", 5, 1, "piece 6 is of an unknown type"},
        {"\x0a\1c\x18\2", 5, 1, "2 pieces for what is unknown"},
        {"\x0a\1c\x18\6", 5, 1, "said to be a byte and is 'c'"},
        {"\x0a\6<0x0a>\x18\6", 10, 1, "said to be a byte"},
        {"\x0a\1a", 3, 1, "libsentencepiece refuses it"},
        {"\x08\1", 2, 1, "a piece's text is of another kind"},
        {"\x0a\7\x0a", 3, 0, "cut short"},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 12, 0, "cut short"},
        {"\x0b", 1, 0, "cut short"},
        {"\x2d\1\2", 3, 0, "cut short"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buffer b = {0};
        tokenizer *t;
        plain_model(&b);
        put(&b, 2, "\x18\2", 2);
        if (bad[i].number)
            put(&b, bad[i].number, bad[i].part, bad[i].size);
        else
            buffer_append(&b, bad[i].part, bad[i].size);
        write_bytes("tokenizer.model", b.data, b.length);
        status rc = tokenizer_open(&t, tokenizer_folder());
        ck_assert_msg(rc == STATUS_FORMAT && !t && strstr(status_text(), bad[i].words) &&
                          strstr(status_text(), "tokenizer.model: "),
                      "case %zu: %d %s", i, rc, rc ? status_text() : "");
        buffer_free(&b);
    }
}
END_TEST

// Nothing is lost when the same model is opened; every beginning of it is refused.
START_TEST(cut_models) {
    buffer b = {0};
    tokenizer *t;
    plain_model(&b);
    put(&b, 2, "\x18\2", 2);
    write_bytes("tokenizer.model", b.data, b.length);
    t = open_good(tokenizer_folder());
    expect(t, "ab", 0, 5); // the blank in front is unknown
    tokenizer_close(t);
    for (size_t size = 0; size < b.length; size++) {
        write_bytes("tokenizer.model", b.data, size);
        ck_assert_msg(tokenizer_open(&t, tokenizer_folder()) == STATUS_FORMAT, "%zu bytes", size);
    }
    buffer_free(&b);
}
END_TEST

START_TEST(refused_lists) {
    static const struct {
        const char *list, *words;
    } bad[] = {
        {"{\"<x>\":161}", "added_tokens.json:1"},
        {"{\"<x>\":160,\"<y>\":160}", "has an id that another one has"},
        {"{\"<x>\":160,\"<y>\":162}", "added_tokens.json:1"},
        {"{\"\":160}", "0 bytes"},
        {"{\"<s>\":160}", "1 is its place"},
        {"[]", "must be an object"},
    };
    copy_to("tokenizer.model", MODELS "listed/tokenizer.model");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tokenizer *t;
        write_bytes("added_tokens.json", bad[i].list, strlen(bad[i].list));
        status rc = tokenizer_open(&t, tokenizer_folder());
        ck_assert_msg(rc == STATUS_FORMAT && strstr(status_text(), bad[i].words), "case %zu: %d %s",
                      i, rc, rc ? status_text() : "");
    }
    tokenizer *t = open_good(in_folder("tokenizer.model")); // alone, the file stands for itself
    ck_assert_int_eq(tokenizer_size(t), 160);
    tokenizer_close(t);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {names_of_a_model, own_piece_added, refused_models,
                                  cut_models,       refused_lists,   NULL};
    return run_tokenizer_tests("tokenizer_models", tests);
}
