#include "core/files/gguf.h"
#include "core/buffer.h"
#include "core/files/file_map.h"
#include "core/files/gguf_private.h"
#include "core/files/little_endian.h"

#include <string.h>

// Files beyond these are not what anyone makes.
enum { NOTES_MAX = 1 << 16, TENSORS_MAX = 1 << 20, NAME_MAX_BYTES = 1 << 12, LIST_DEPTH = 4 };

typedef struct note {
    const char *key;
    gguf_kind kind;
    const char *text; // GGUF_TEXT
    double number;    // numbers
} note;

struct gguf {
    char *path;
    file_map map;
    size_t at; // what was read so far
    note *note;
    size_t notes, note_room;
    gguf_entry *entry;
    size_t count, entry_room;
    char **text; // copies of keys, texts and names
    size_t texts, text_room;
    uint64_t alignment;
};

static status bad(const gguf *g, const char *what) {
    return status_fail(STATUS_FORMAT, "%s: byte %zu: %s", g->path, g->at, what);
}

// --- pieces -------------------------------------------------------------------------------------
static status take(gguf *g, size_t bytes, const unsigned char **out) {
    if (bytes > g->map.size - g->at) return bad(g, "the file ends within its header");
    *out = g->map.data + g->at;
    g->at += bytes;
    return STATUS_OK;
}

static status take_u32(gguf *g, uint32_t *out) {
    const unsigned char *p = NULL;
    status rc = take(g, 4, &p);
    if (!rc) *out = le32(p);
    return rc;
}

static status take_u64(gguf *g, uint64_t *out) {
    const unsigned char *p = NULL;
    status rc = take(g, 8, &p);
    if (!rc) *out = le64(p);
    return rc;
}

// A text of at most LIMIT bytes, copied; OUT NULL: passed by.
static status take_text(gguf *g, size_t limit, const char **out) {
    const unsigned char *p = NULL;
    uint64_t length = 0;
    char *copy;
    status rc = take_u64(g, &length);
    if (!rc && (length > limit || length > g->map.size - g->at))
        rc = bad(g, "a text is longer than the file, or than any should be");
    if (!rc) rc = take(g, (size_t)length, &p);
    if (rc || !out) return rc;
    rc = mem_grow((void **)&g->text, &g->text_room, g->texts + 1, sizeof *g->text,
                  "texts of a file");
    if (!rc) rc = mem_new(&copy, length + 1, "a text of a file");
    if (rc) return rc;
    if (length) memcpy(copy, p, (size_t)length);
    g->text[g->texts++] = copy;
    *out = copy;
    return text_is_utf8(copy, (size_t)length) ? STATUS_OK : bad(g, "a text is not UTF-8");
}

// --- notes --------------------------------------------------------------------------------------
// Bytes of a number; 0: the kind is none.
static size_t kind_bytes(uint32_t kind) {
    static const unsigned char bytes[GGUF_KINDS] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return kind < GGUF_KINDS ? bytes[kind] : 0;
}

static double number_of(uint32_t kind, const unsigned char *p) {
    const uint64_t wide = kind_bytes(kind) == 8 ? le64(p) : kind_bytes(kind) == 4 ? le32(p) : 0;
    const uint32_t narrow = (uint32_t)wide;
    float f;
    double d;
    switch (kind) {
    case GGUF_U8:
    case GGUF_BOOL:
        return p[0];
    case GGUF_I8:
        return (int8_t)p[0];
    case GGUF_U16:
        return le16(p);
    case GGUF_I16:
        return (int16_t)le16(p);
    case GGUF_U32:
        return narrow;
    case GGUF_I32:
        return (int32_t)narrow;
    case GGUF_F32:
        memcpy(&f, &narrow, sizeof f);
        return (double)f;
    case GGUF_U64:
        return (double)wide;
    case GGUF_I64:
        return (double)(int64_t)wide;
    default:
        memcpy(&d, &wide, sizeof d);
        return d;
    }
}

static status pass_list(gguf *g, int depth) {
    const unsigned char *p;
    uint32_t kind = 0;
    uint64_t count = 0;
    size_t bytes = 0;
    status rc = take_u32(g, &kind);
    if (!rc) rc = take_u64(g, &count);
    if (rc) return rc;
    if (kind_bytes(kind)) {
        if (count > SIZE_MAX || !size_multiply((size_t)count, kind_bytes(kind), &bytes))
            return bad(g, "a list is longer than the file");
        return take(g, bytes, &p);
    }
    if ((kind != GGUF_TEXT && kind != GGUF_LIST) || depth == LIST_DEPTH)
        return bad(g, "a list of an unknown kind");
    // Each takes at least 8 bytes: a false COUNT ends at the end of the file.
    for (uint64_t i = 0; i < count && !rc; i++)
        rc = kind == GGUF_TEXT ? take_text(g, SIZE_MAX, NULL) : pass_list(g, depth + 1);
    return rc;
}

static status read_note(gguf *g) {
    const unsigned char *p = NULL;
    uint32_t kind = 0;
    note n = {0};
    status rc = take_text(g, NAME_MAX_BYTES, &n.key);
    if (!rc) rc = take_u32(g, &kind);
    if (!rc && kind == GGUF_TEXT) {
        rc = take_text(g, SIZE_MAX, &n.text);
    } else if (!rc && kind == GGUF_LIST) {
        rc = pass_list(g, 0);
    } else if (!rc) {
        if (!kind_bytes(kind)) return bad(g, "a note of an unknown kind");
        rc = take(g, kind_bytes(kind), &p);
        if (!rc) n.number = number_of(kind, p);
    }
    n.kind = (gguf_kind)kind;
    if (!rc)
        rc = mem_grow((void **)&g->note, &g->note_room, g->notes + 1, sizeof *g->note, "notes");
    if (!rc) g->note[g->notes++] = n;
    return rc;
}

static const note *find_note(const gguf *g, const char *key) {
    for (size_t i = 0; i < g->notes; i++)
        if (!strcmp(g->note[i].key, key)) return &g->note[i];
    return NULL;
}

const char *gguf_text(const gguf *g, const char *key) {
    const note *n = find_note(g, key);
    return n && n->kind == GGUF_TEXT ? n->text : NULL;
}

bool gguf_number(const gguf *g, const char *key, double *out) {
    const note *n = find_note(g, key);
    if (!n || n->kind == GGUF_TEXT || n->kind == GGUF_LIST) return false;
    *out = n->number;
    return true;
}

// --- table --------------------------------------------------------------------------------------
static dtype type_of(uint32_t code) {
    return code == GGUF_TYPE_F32    ? DTYPE_F32
           : code == GGUF_TYPE_F16  ? DTYPE_F16
           : code == GGUF_TYPE_BF16 ? DTYPE_BF16
                                    : DTYPE_COUNT;
}

// BYTES holds the place of the data until place_data.
static status read_entry(gguf *g) {
    gguf_entry e = {0};
    uint32_t rank = 0, code = 0;
    uint64_t size = 0, offset = 0;
    status rc = take_text(g, NAME_MAX_BYTES, &e.name);
    if (!rc) rc = take_u32(g, &rank);
    if (!rc && (rank < 1 || rank > GGUF_MAX_RANK))
        rc = bad(g, "a tensor of more than 4 dimensions");
    for (int i = (int)rank; i-- > 0 && !rc;) {
        rc = take_u64(g, &size);
        if (!rc && (size < 1 || size > INT64_MAX)) rc = bad(g, "a tensor of an impossible size");
        e.dim[i] = (int64_t)size;
    }
    if (!rc) rc = take_u32(g, &code);
    if (!rc) rc = take_u64(g, &offset);
    if (!rc && offset % g->alignment)
        rc = bad(g, "a tensor does not begin at the file's alignment");
    e.rank = (int)rank;
    e.type = type_of(code);
    e.bytes = (size_t)offset;
    if (!rc)
        rc =
            mem_grow((void **)&g->entry, &g->entry_room, g->count + 1, sizeof *g->entry, "tensors");
    if (!rc) g->entry[g->count++] = e;
    return rc;
}

static status place_data(gguf *g) {
    const size_t gap = (size_t)(g->alignment - g->at % g->alignment) % (size_t)g->alignment;
    if (!g->count) return STATUS_OK;
    if (gap > g->map.size - g->at) return bad(g, "the file ends before its data");
    const size_t start = g->at + gap;
    for (size_t i = 0; i < g->count; i++) {
        gguf_entry *e = &g->entry[i];
        const size_t offset = e->bytes;
        size_t bytes = e->type == DTYPE_COUNT ? 0 : dtype_size(e->type);
        bool fits = offset <= g->map.size - start;
        for (int k = 0; k < e->rank; k++)
            fits = fits && size_multiply(bytes, (size_t)e->dim[k], &bytes);
        if (!fits || bytes > g->map.size - start - offset)
            return status_fail(STATUS_FORMAT, "%s: the data of \"%.200s\" are not inside the file",
                               g->path, e->name);
        e->bytes = bytes;
        e->data = e->type == DTYPE_COUNT ? NULL : g->map.data + start + offset;
    }
    return STATUS_OK;
}

static status read_all(gguf *g) {
    const unsigned char *p = NULL;
    uint32_t version = 0;
    uint64_t tensors = 0, notes = 0;
    double alignment = GGUF_ALIGNMENT;
    status rc = take(g, 4, &p);
    if (rc || memcmp(p, GGUF_MAGIC, 4))
        return status_fail(STATUS_FORMAT, "%s: is no GGUF file", g->path);
    rc = take_u32(g, &version);
    if (!rc && (version < 2 || version > GGUF_VERSION))
        rc = bad(g, "GGUF of another version than 2 or 3");
    if (!rc) rc = take_u64(g, &tensors);
    if (!rc) rc = take_u64(g, &notes);
    if (!rc && (tensors > TENSORS_MAX || notes > NOTES_MAX))
        rc = bad(g, "more tensors or notes than any file has");
    for (uint64_t i = 0; i < notes && !rc; i++) rc = read_note(g);
    if (rc) return rc;
    gguf_number(g, "general.alignment", &alignment);
    if (!(alignment >= 1 && alignment <= 1 << 20)) return bad(g, "general.alignment is impossible");
    g->alignment = (uint64_t)alignment;
    for (uint64_t i = 0; i < tensors && !rc; i++) rc = read_entry(g);
    return rc ? rc : place_data(g);
}

status gguf_open(gguf **out, const char *path) {
    gguf *g;
    *out = NULL;
    status rc = mem_new(&g, 1, "a GGUF file");
    if (rc) return rc;
    rc = mem_string(&g->path, path);
    if (!rc) rc = file_map_open(&g->map, path);
    if (!rc) rc = read_all(g);
    if (rc)
        gguf_close(g);
    else
        *out = g;
    return rc;
}

void gguf_close(gguf *g) {
    if (!g) return;
    for (size_t i = 0; i < g->texts; i++) mem_free(g->text[i]);
    mem_free(g->text);
    mem_free(g->note);
    mem_free(g->entry);
    file_map_close(&g->map);
    mem_free(g->path);
    mem_free(g);
}

size_t gguf_count(const gguf *g) {
    return g->count;
}

const gguf_entry *gguf_at(const gguf *g, size_t index) {
    if (index >= g->count) die("gguf_at: %zu of %zu tensors", index, g->count);
    return &g->entry[index];
}

const gguf_entry *gguf_lookup(const gguf *g, const char *name) {
    for (size_t i = 0; i < g->count; i++)
        if (!strcmp(g->entry[i].name, name)) return &g->entry[i];
    return NULL;
}
