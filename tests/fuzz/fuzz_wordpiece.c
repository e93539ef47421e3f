// WordPiece. The first byte chooses: 0: the input is a vocabulary and, behind it, a text to encode;
// else a text for a vocabulary that is at hand, and for the trainer, whose vocabulary must read
// back and know all its words.
#include "data/wordpiece.h"
#include "tests/fuzz/helper_fuzz.h"

#include <string.h>

static const char *const dec[] = {"[DEC]"};
static const char plain[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nab\n##a\n##b\n##ab\n.\n,\n'\n##\n##s\ns\nt\n##t\nn\n"
    "don\n\xc3\xa9\n\xe4\xb8\xad\n##\xe1\x84\x92\n\xe1\x84\x92\n\xce\xb1\n##\xce\xb1\n#\n[\n]\n?\n!"
    "\nheart\nlung\n";

// Ids are of the vocabulary; cutting gives the beginning of the whole; text comes back for all ids.
static void encode(const wordpiece *w, const char *text, size_t length, size_t most) {
    wordpiece_ids all = {0}, cut = {0};
    buffer out = {0};
    demand(!wordpiece_encode(&all, w, text, length, 0));
    demand(!wordpiece_encode(&cut, w, text, length, most));
    demand(all.count >= 2 && all.id[0] == wordpiece_special_id(w, WORDPIECE_CLS));
    demand(!all.truncated && cut.truncated == (all.count > most) && cut.count <= most);
    demand(cut.truncated || cut.count == all.count);
    for (size_t i = 0; i + 1 < cut.count; i++) demand(cut.id[i] == all.id[i]);
    demand(cut.id[cut.count - 1] == wordpiece_special_id(w, WORDPIECE_SEP));
    for (size_t i = 0; i < all.count; i++) {
        demand(all.id[i] >= 0 && all.id[i] < wordpiece_count(w));
        demand(wordpiece_id(w, wordpiece_token(w, all.id[i])) == all.id[i]);
    }
    for (int flags = 0; flags < 4; flags++) {
        out.length = 0;
        demand(!wordpiece_decode(&out, w, all.id, all.count, flags & 1, flags & 2));
        if (out.data) touch_bytes(out.data, out.length);
    }
    buffer_free(&out);
    wordpiece_ids_free(&all);
    wordpiece_ids_free(&cut);
}

static void open_both(const char *vocabulary, size_t size, const char *text, size_t length,
                      size_t most) {
    for (int cased = 0; cased < 2; cased++) {
        wordpiece *w;
        wordpiece_options o = {.cased = cased, .extra = dec, .extras = 1};
        status rc = wordpiece_open_memory(&w, "vocab.txt", vocabulary, size, &o);
        if (rc)
            demand_failure(rc);
        else
            encode(w, text, length, most);
        wordpiece_close(w);
    }
}

static void train(const char *text, size_t length, int size, bool cased) {
    wordpiece_train_options o = {.cased = cased,
                                 .size = 20 + size,
                                 .min_frequency = 1 + size % 3,
                                 .alphabet = 40,
                                 .extra = dec,
                                 .extras = 1};
    wordpiece_trainer *t;
    wordpiece *w;
    buffer out = {0};
    int32_t count;
    demand(!wordpiece_trainer_open(&t, &o));
    demand(!wordpiece_trainer_add(t, text, length));
    status rc = wordpiece_trainer_finish(t, &out, &count);
    if (rc) {
        demand_failure(rc);
    } else {
        wordpiece_options options = {.cased = cased};
        demand(count <= o.size);
        demand(!wordpiece_open_memory(&w, "trained", out.data, out.length, &options));
        demand(wordpiece_count(w) == count);
        encode(w, text, length, 16);
        wordpiece_close(w);
    }
    wordpiece_trainer_close(t);
    buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    bool vocabulary = input_byte(&in) == 0;
    int number = input_byte(&in);
    size_t most = 2 + (size_t)number % 60, length;
    if (vocabulary) {
        const char *text = (const char *)input_part(&in, &length);
        open_both(text, length, (const char *)in.data, in.size, most);
    } else {
        open_both(plain, sizeof plain - 1, (const char *)in.data, in.size, most);
        train((const char *)in.data, in.size, number, number & 1);
    }
    return 0;
}
