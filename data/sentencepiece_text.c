// SentencePiece: text to pieces through the library, pieces to text, and the trainer's settings.
// Going back is done here, since the reference joins special tokens and runs of pieces by rules of
// its own (data/tokenizer.c).
#include "core/utf8.h"
#include "data/sentencepiece_model.h"

#include <stdio.h>
#include <string.h>

// --- text to ids ---------------------------------------------------------------------------------
static void take_ids(void *context, const int *id, size_t count) {
    _Static_assert(sizeof(int) == sizeof(int32_t), "ids are int");
    if (count) buffer_append(context, id, count * sizeof *id);
}

status piece_model_encode(const piece_model *m, const char *text, size_t length, buffer *out) {
    char why[256];
    if (length > TOKENIZER_FILE_MAX)
        return status_fail(STATUS_FORMAT, "a text of %zu bytes to tokenise; at most %d", length,
                           TOKENIZER_FILE_MAX);
    if (piece_library_encode(m->library, text, length, take_ids, out, why, sizeof why))
        return status_fail(STATUS_MEMORY, "libsentencepiece cannot encode a text: %s", why);
    return out->failed;
}

// --- ids to text ---------------------------------------------------------------------------------
// A run of bytes: what is no UTF-8 becomes U+FFFD, byte by byte.
static void put_run(buffer *out, buffer *run) {
    for (size_t at = 0; at < run->length;) {
        uint32_t c;
        bool good;
        size_t taken = utf8_read(&c, &good, run->data + at, run->length - at);
        if (!good) taken = 1;
        buffer_append(out, good ? run->data + at : "\xef\xbf\xbd", good ? taken : 3);
        at += taken;
    }
    run->length = 0;
}

// A piece with blanks for U+2581; the first of a text loses the one that encoding puts there.
static bool put_piece(const piece_model *m, const piece *p, bool first, buffer *out) {
    static const char blank[] = "\xe2\x96\x81";
    const char *text = m->texts.data + p->begin, *end = text + p->length, *next;
    bool dropped = false;
    if (p->type == PIECE_CONTROL) return false;
    if (p->type == PIECE_UNKNOWN) {
        buffer_text(out, " \xe2\x81\x87 ");
        return false;
    }
    if (first && (m->dummy_prefix || m->remove_blanks) && !strncmp(text, blank, 3)) {
        text += 3;
        dropped = !m->remove_blanks; // those take away all that lead
    }
    for (; (next = strstr(text, blank)) != NULL; text = next + 3) {
        buffer_append(out, text, (size_t)(next - text));
        buffer_text(out, " ");
    }
    buffer_append(out, text, (size_t)(end - text));
    return dropped;
}

void piece_model_decode(const piece_model *m, const int32_t *ids, int64_t count, buffer *out) {
    const size_t start = out->length;
    bool first = true, dropped = false;
    buffer run = {0};
    for (int64_t i = 0; i < count; i++) {
        const piece *p = &m->piece[ids[i]];
        if (p->type == PIECE_BYTE) {
            unsigned char byte = (unsigned char)piece_byte(m, ids[i]);
            buffer_append(&run, &byte, 1);
            continue;
        }
        put_run(out, &run);
        if (dropped || out->length > start) first = false;
        dropped = put_piece(m, p, first, out);
    }
    put_run(out, &run);
    if (run.failed) out->failed = run.failed;
    buffer_free(&run);
}

// --- training ------------------------------------------------------------------------------------
// The library leaves out whole texts for the sake of U+2585, which it keeps for itself.
status tokenizer_texts_add(tokenizer_texts *t, const char *text, size_t length) {
    status rc = mem_grow((void **)&t->end, &t->room, t->count + 1, sizeof *t->end, "texts");
    if (rc) return rc;
    for (size_t at = 0; at < length;) {
        uint32_t c;
        bool good;
        size_t taken = utf8_read(&c, &good, text + at, length - at);
        if (!good || c == 0x2585)
            buffer_text(&t->bytes, "\xef\xbf\xbd");
        else
            buffer_append(&t->bytes, c ? text + at : " ", taken);
        at += taken;
    }
    t->end[t->count++] = t->bytes.length;
    return t->bytes.failed;
}

void tokenizer_texts_free(tokenizer_texts *t) {
    buffer_free(&t->bytes);
    mem_free(t->end);
    *t = (tokenizer_texts){0};
}

static void keep_model(void *context, const char *bytes, size_t count) {
    buffer_append(context, bytes, count);
}

status tokenizer_train_sentencepiece(buffer *out, int32_t *count, const tokenizer_texts *texts,
                                     int32_t size) {
    char settings[1024], why[256];
    const size_t start = out->length;
    piece_model *m = NULL;
    snprintf(settings, sizeof settings,
             "model_type=bpe vocab_size=%d byte_fallback=true split_digits=true "
             "normalization_rule_name=identity remove_extra_whitespaces=false "
             "add_dummy_prefix=true allow_whitespace_only_pieces=true "
             "character_coverage=0.99995 unk_id=0 bos_id=1 eos_id=2 pad_id=-1 "
             "hard_vocab_limit=false num_threads=1 max_sentence_length=1073741824 "
             "minloglevel=2",
             size);
    if (!texts->bytes.length) return status_fail(STATUS_FORMAT, "no text to make a vocabulary of");
    if (piece_library_train(settings, texts->bytes.data, texts->end, texts->count, keep_model, out,
                            why, sizeof why))
        return status_fail(STATUS_FORMAT, "libsentencepiece cannot make %d tokens: %s", size, why);
    if (out->failed) return out->failed;
    status rc = piece_model_open(&m, "the new model", out->data + start, out->length - start);
    if (!rc) *count = m->count;
    piece_model_close(m);
    return rc;
}

library_version tokenizer_sentencepiece_version(void) {
    return version_texts("", piece_library_built());
}
