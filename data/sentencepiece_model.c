// SentencePiece models: reading and checking them.
//
// libsentencepiece trusts what it loads: its tables for normalisation are used as they stand in the
// file. So a model is read here first, field by field, and what was understood is written anew for
// the library. Accepted is what LLaMA has: BPE, no normalisation table, blanks as U+2581.
#include "core/checksum.h"
#include "core/files/little_endian.h"
#include "core/utf8.h"
#include "data/sentencepiece_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// --- protocol buffers ----------------------------------------------------------------------------
typedef struct wire {
    const unsigned char *at, *end;
    const char *name; // of the file, for errors
} wire;

typedef struct field {
    uint64_t number, value;     // VALUE: of a number of any kind
    unsigned kind;              // 0 varint, 1 and 5 fixed, 2 bytes
    const unsigned char *bytes; // (size)
    size_t size;
} field;

static status cut_off(const wire *w) {
    return status_fail(STATUS_FORMAT, "%s: not a SentencePiece model, or cut short", w->name);
}

static status read_varint(wire *w, uint64_t *out) {
    *out = 0;
    for (unsigned shift = 0; shift < 70 && w->at < w->end; shift += 7) {
        unsigned char c = *w->at++;
        if (shift == 63 && c > 1) break;
        *out |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) return STATUS_OK;
    }
    return cut_off(w);
}

static status read_field(wire *w, field *f) {
    *f = (field){0};
    status rc = read_varint(w, &f->number);
    if (rc) return rc;
    f->kind = (unsigned)(f->number & 7);
    f->number >>= 3;
    if (f->kind == 0) return read_varint(w, &f->value);
    uint64_t size = f->kind == 1 ? 8 : 4;
    if (f->kind == 2) rc = read_varint(w, &size);
    if (rc) return rc;
    if (!f->number || (f->kind != 1 && f->kind != 2 && f->kind != 5) ||
        size > (uint64_t)(w->end - w->at))
        return cut_off(w);
    f->bytes = w->at;
    f->size = (size_t)size;
    w->at += size;
    if (f->kind == 5) f->value = le32(f->bytes);
    return STATUS_OK;
}

static status needs(const wire *w, const field *f, unsigned kind, const char *what) {
    if (f->kind == kind) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: not a SentencePiece model: %s is of another kind",
                       w->name, what);
}

enum { NAME_FIELD = 45 }; // of the trainer's: unk_piece, then those of begin, end, pad

// --- reading -------------------------------------------------------------------------------------
static status good_text(const char *name, const char *what, const unsigned char *bytes,
                        size_t size) {
    if (size > 0 && size <= TOKEN_TEXT_MAX && text_is_utf8((const char *)bytes, size))
        return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: %s is not a text of 1 to %d bytes of UTF-8 without NUL",
                       name, what, TOKEN_TEXT_MAX);
}

static status read_piece(piece_model *m, wire w) {
    piece p = {.type = PIECE_NORMAL};
    field f, text = {0}; // the last of each counts
    status rc = STATUS_OK;
    char what[40];
    uint32_t bits = 0;
    while (w.at < w.end && !rc) {
        rc = read_field(&w, &f);
        if (rc) break;
        if (f.number == 1) rc = needs(&w, &f, 2, "a piece's text"), text = f;
        if (f.number == 2) rc = needs(&w, &f, 5, "a piece's score"), bits = (uint32_t)f.value;
        if (f.number == 3) rc = needs(&w, &f, 0, "a piece's type"), p.type = (uint32_t)f.value;
        if (f.number == 3 && (f.value < PIECE_NORMAL || f.value > PIECE_BYTE))
            rc = status_fail(STATUS_FORMAT, "%s: piece %d is of an unknown type", w.name, m->count);
    }
    snprintf(what, sizeof what, "piece %d", m->count);
    memcpy(&p.score, &bits, sizeof bits);
    if (!rc && m->count == TOKENS_MAX)
        rc = status_fail(STATUS_FORMAT, "%s: more than %d pieces", w.name, TOKENS_MAX);
    if (!rc) rc = good_text(w.name, what, text.bytes, text.size);
    if (!rc && !isfinite(p.score))
        rc = status_fail(STATUS_FORMAT, "%s: the score of %s is not finite", w.name, what);
    if (!rc)
        rc = mem_grow((void **)&m->piece, &m->room, (size_t)m->count + 1, sizeof *m->piece,
                      "pieces");
    if (rc) return rc;
    p.begin = m->texts.length;
    p.length = text.size;
    buffer_append(&m->texts, text.bytes, text.size);
    buffer_append(&m->texts, "", 1);
    m->piece[m->count++] = p;
    return m->texts.failed;
}

static status read_trainer(piece_model *m, wire w) {
    status rc = STATUS_OK;
    while (w.at < w.end && !rc) {
        field f;
        rc = read_field(&w, &f);
        if (rc) break;
        if (f.number == 3) rc = needs(&w, &f, 0, "model_type"), m->type = f.value;
        if (f.number == 24)
            rc = needs(&w, &f, 0, "treat_whitespace_as_suffix"), m->suffix = f.value;
        if (f.number == 35) rc = needs(&w, &f, 0, "byte_fallback"), m->byte_fallback = f.value;
        if (f.number < NAME_FIELD || f.number >= NAME_FIELD + PIECE_NAMES) continue;
        char **name = &m->named[f.number - NAME_FIELD];
        rc = needs(&w, &f, 2, "a special piece's name");
        if (!rc && f.size) rc = good_text(w.name, "a special piece's name", f.bytes, f.size);
        mem_free(*name);
        *name = NULL;
        if (!rc) rc = mem_new(name, f.size + 1, "a special piece's name");
        if (!rc) memcpy(*name, f.bytes, f.size);
    }
    return rc;
}

static status read_normalizer(piece_model *m, wire w, bool back) {
    bool unused;
    status rc = STATUS_OK;
    while (w.at < w.end && !rc) {
        field f;
        rc = read_field(&w, &f);
        if (rc) break;
        bool *flag = f.number == 3   ? &m->dummy_prefix
                     : f.number == 4 ? &m->remove_blanks
                     : f.number == 5 ? &m->escape_blanks
                                     : NULL;
        if (flag) {
            rc = needs(&w, &f, 0, "a flag of the normalizer");
            *(back ? &unused : flag) = f.value != 0;
        } else if (f.number == 2 && (f.kind != 2 || f.size)) {
            rc = status_fail(STATUS_FORMAT,
                             "%s: the model normalises text by a table; only models without one "
                             "(identity, as LLaMA's) are read",
                             w.name);
        }
    }
    return rc;
}

static status read_model(piece_model *m, wire w) {
    status rc = STATUS_OK;
    static const char *const parts[] = {"", "a piece",          "trainer_spec", "normalizer_spec",
                                        "", "denormalizer_spec"};
    while (w.at < w.end && !rc) {
        field f;
        rc = read_field(&w, &f);
        if (rc || !f.number || f.number > 5 || f.number == 4) continue;
        rc = needs(&w, &f, 2, parts[f.number]);
        if (rc) break;
        wire inside = {f.bytes, f.bytes + f.size, w.name};
        if (f.number == 1) rc = read_piece(m, inside);
        if (f.number == 2) rc = read_trainer(m, inside);
        if (f.number == 3 || f.number == 5) rc = read_normalizer(m, inside, f.number == 5);
    }
    return rc;
}

// --- checking ------------------------------------------------------------------------------------
static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int piece_byte(const piece_model *m, int32_t id) {
    const char *text = piece_text(m, id);
    if (m->piece[id].length != 6 || memcmp(text, "<0x", 3) || text[5] != '>') return -1;
    int high = hex_digit(text[3]), low = hex_digit(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static status check_rules(const piece_model *m, const char *name) {
    static const char *const types[] = {"of no type", "unigram", "BPE", "of words",
                                        "of characters"};
    if (m->type != 2)
        return status_fail(STATUS_FORMAT,
                           "%s: the model is %s; only BPE models (LLaMA's kind) are read", name,
                           m->type < 5 ? types[m->type] : types[0]);
    if (m->suffix || !m->escape_blanks)
        return status_fail(STATUS_FORMAT, "%s: %s, which is not supported", name,
                           m->suffix ? "treat_whitespace_as_suffix is set"
                                     : "escape_whitespaces is not set");
    return STATUS_OK;
}

static status check_pieces(const piece_model *m, const char *name) {
    int32_t unknown = 0, bytes = 0;
    for (int32_t id = 0; id < m->count; id++) {
        unknown += m->piece[id].type == PIECE_UNKNOWN;
        bytes += m->piece[id].type == PIECE_BYTE;
        if (m->piece[id].type == PIECE_BYTE && piece_byte(m, id) < 0)
            return status_fail(STATUS_FORMAT, "%s: piece %d is said to be a byte and is '%.64s'",
                               name, id, piece_text(m, id));
    }
    if (unknown != 1)
        return status_fail(STATUS_FORMAT, "%s: %d pieces for what is unknown; a model has one",
                           name, unknown);
    if (bytes != (m->byte_fallback ? 256 : 0))
        return status_fail(STATUS_FORMAT,
                           "%s: %d pieces for bytes; with byte_fallback %s a model "
                           "has %d",
                           name, bytes, m->byte_fallback ? "on" : "off",
                           m->byte_fallback ? 256 : 0);
    return STATUS_OK;
}

// --- writing -------------------------------------------------------------------------------------
static void put_varint(buffer *b, uint64_t value) {
    do {
        unsigned char c = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        buffer_append(b, &c, 1);
        value >>= 7;
    } while (value);
}

static void put_number(buffer *b, unsigned number, uint64_t value) {
    put_varint(b, number << 3);
    put_varint(b, value);
}

static void put_bytes(buffer *b, unsigned number, const void *bytes, size_t size) {
    put_varint(b, number << 3 | 2);
    put_varint(b, size);
    buffer_append(b, bytes, size);
}

static void write_piece(const piece_model *m, int32_t id, buffer *part) {
    const piece *p = &m->piece[id];
    uint32_t bits;
    memcpy(&bits, &p->score, sizeof bits);
    part->length = 0;
    put_bytes(part, 1, piece_text(m, id), p->length);
    put_varint(part, 2 << 3 | 5);
    for (int shift = 0; shift < 32; shift += 8)
        buffer_append(part, &(unsigned char){(unsigned char)(bits >> shift)}, 1);
    put_number(part, 3, p->type);
}

// The model as it was understood.
static status write_model(const piece_model *m, buffer *out) {
    buffer part = {0};
    for (int32_t id = 0; id < m->count; id++) {
        write_piece(m, id, &part);
        put_bytes(out, 1, part.data, part.length);
    }
    part.length = 0;
    put_number(&part, 3, m->type);
    put_number(&part, 35, m->byte_fallback);
    for (unsigned i = 0; i < PIECE_NAMES; i++)
        if (m->named[i]) put_bytes(&part, NAME_FIELD + i, m->named[i], strlen(m->named[i]));
    put_bytes(out, 2, part.data, part.length);
    part.length = 0;
    put_bytes(&part, 1, "identity", 8);
    put_number(&part, 3, m->dummy_prefix);
    put_number(&part, 4, m->remove_blanks);
    put_number(&part, 5, m->escape_blanks);
    put_bytes(out, 3, part.data, part.length);
    status rc = part.failed ? part.failed : out->failed;
    buffer_free(&part);
    return rc;
}

// --- opening -------------------------------------------------------------------------------------
static void find_named(piece_model *m) {
    static const char *const usual[PIECE_NAMES] = {"<unk>", "<s>", "</s>", "<pad>"};
    int32_t *id[PIECE_NAMES] = {&m->ids.unknown, &m->ids.begin, &m->ids.end, &m->ids.pad};
    for (int i = 0; i < PIECE_NAMES; i++) {
        const char *text = m->named[i] ? m->named[i] : usual[i];
        *id[i] = piece_model_find(m, text, strlen(text));
        if (*id[i] >= 0 && m->piece[*id[i]].type != PIECE_CONTROL) *id[i] = -1;
    }
    for (int32_t i = 0; i < m->count; i++)
        if (m->piece[i].type == PIECE_UNKNOWN) m->ids.unknown = i;
}

status piece_model_open(piece_model **out, const char *name, const void *bytes, size_t size) {
    piece_model *m = NULL;
    buffer clean = {0};
    char why[256];
    const unsigned char *data = bytes;
    *out = NULL;
    status rc = mem_new(&m, 1, "a SentencePiece model");
    if (rc) return rc;
    m->type = 1; // what the format takes where the file says nothing
    m->dummy_prefix = m->remove_blanks = m->escape_blanks = true;
    if (size) rc = read_model(m, (wire){data, data + size, name});
    if (!rc && !m->count) rc = status_fail(STATUS_FORMAT, "%s: no pieces in it", name);
    if (!rc) rc = check_rules(m, name);
    if (!rc) rc = check_pieces(m, name);
    if (!rc) rc = write_model(m, &clean);
    if (!rc && piece_library_load(&m->library, clean.data, clean.length, why, sizeof why))
        rc = status_fail(STATUS_FORMAT, "%s: libsentencepiece refuses it: %s", name, why);
    if (!rc) find_named(m);
    buffer_free(&clean);
    if (rc)
        piece_model_close(m);
    else
        *out = m;
    return rc;
}

void piece_model_close(piece_model *m) {
    if (!m) return;
    piece_library_free(m->library);
    for (int i = 0; i < PIECE_NAMES; i++) mem_free(m->named[i]);
    buffer_free(&m->texts);
    mem_free(m->piece);
    mem_free(m);
}

// --- asking --------------------------------------------------------------------------------------
int32_t piece_model_count(const piece_model *m) {
    return m->count;
}

int32_t piece_model_find(const piece_model *m, const char *text, size_t length) {
    for (int32_t id = 0; id < m->count; id++)
        if (m->piece[id].length == length && !memcmp(piece_text(m, id), text, length)) return id;
    return -1;
}

const char *piece_model_text(const piece_model *m, int32_t id) {
    return piece_text(m, id);
}

tokenizer_ids piece_model_named(const piece_model *m) {
    return m->ids;
}

uint32_t piece_model_checksum(const piece_model *m) {
    unsigned char rules[] = {m->dummy_prefix, m->remove_blanks, m->byte_fallback};
    uint32_t crc = checksum_crc32(0, rules, sizeof rules);
    crc = checksum_crc32(crc, m->texts.data, m->texts.length);
    for (int32_t id = 0; id < m->count; id++) {
        uint32_t bits;
        memcpy(&bits, &m->piece[id].score, sizeof bits);
        const uint32_t word[] = {bits, m->piece[id].type};
        unsigned char bytes[8];
        for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(word[i / 4] >> (8 * (i % 4)));
        crc = checksum_crc32(crc, bytes, sizeof bytes);
    }
    return crc;
}
