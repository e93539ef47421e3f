#include "core/files/little_endian.h"
#include "core/files/pickle_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

status pickle_fail(const pickle *p, const char *format, ...) {
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return status_fail(STATUS_FORMAT, "%s: byte %zu: %s", p->name, p->place, text);
}

// --- memory --------------------------------------------------------------------------------------
// A large file is mostly numbers. What is made of it here stays smaller than itself.
static size_t most_values(const pickle *p) {
    size_t most = p->size / 64 > PICKLE_MAX_VALUES ? p->size / 64 : PICKLE_MAX_VALUES;
    return most < UINT32_MAX ? most : UINT32_MAX;
}

static status room(const pickle *p, void **block, size_t *capacity, size_t count, size_t size) {
    if (count >= most_values(p)) return pickle_fail(p, "more than %zu values", most_values(p));
    return mem_grow(block, capacity, count + 1, size, "a pickle");
}

status pickle_new(pickle *p, pickle_kind kind, pickle_ref *out) {
    status rc = room(p, (void **)&p->value, &p->value_room, p->values, sizeof *p->value);
    if (rc) return rc;
    p->value[p->values] = (pickle_value){.kind = kind};
    *out = (pickle_ref)p->values++;
    return STATUS_OK;
}

status pickle_push(pickle *p, pickle_ref value) {
    status rc = room(p, (void **)&p->stack, &p->stack_room, p->depth, sizeof *p->stack);
    if (!rc) p->stack[p->depth++] = value;
    return rc;
}

status pickle_append(pickle *p, pickle_ref container, pickle_ref item) {
    status rc = room(p, (void **)&p->cell, &p->cell_room, p->cells, sizeof *p->cell);
    if (rc) return rc;
    uint32_t cell = (uint32_t)p->cells++;
    p->cell[cell] = (pickle_cell){.value = item};
    pickle_value *v = &p->value[container];
    if (v->as.items.count++)
        p->cell[v->as.items.last].next = cell;
    else
        v->as.items.first = cell;
    v->as.items.last = cell;
    return STATUS_OK;
}

status pickle_gather(pickle *p, pickle_ref container, size_t from) {
    status rc = STATUS_OK;
    for (size_t i = from; i < p->depth && !rc; i++) rc = pickle_append(p, container, p->stack[i]);
    p->depth = from;
    return rc;
}

// --- the stream and the stack --------------------------------------------------------------------
static status take(pickle *p, uint64_t count, const unsigned char **out) {
    *out = p->bytes + p->at;
    if (count > p->size - p->at)
        return pickle_fail(p, "needs %llu more bytes, there are %zu; the file is cut or damaged",
                           (unsigned long long)count, p->size - p->at);
    p->at += (size_t)count;
    return STATUS_OK;
}

// A little-endian number of WIDTH bytes.
static status take_number(pickle *p, int width, uint64_t *out) {
    const unsigned char *bytes;
    status rc = take(p, (uint64_t)width, &bytes);
    *out = 0;
    for (int i = rc ? 0 : width; i-- > 0;) *out = *out << 8 | bytes[i];
    return rc;
}

static status pop(pickle *p, pickle_ref *out) {
    *out = 0;
    if (!p->depth || p->value[p->stack[p->depth - 1]].kind == PICKLE_MARK)
        return pickle_fail(p, "takes a value from an empty stack");
    *out = p->stack[--p->depth];
    return STATUS_OK;
}

// Where the values above the latest mark begin. The mark is value 0.
static status find_mark(const pickle *p, size_t *out) {
    size_t i = p->depth;
    while (i > 0 && p->stack[i - 1]) i--;
    *out = i;
    return i ? STATUS_OK : pickle_fail(p, "there is no mark on the stack");
}

static status push_new(pickle *p, pickle_kind kind, pickle_ref *out) {
    status rc = pickle_new(p, kind, out);
    return rc ? rc : pickle_push(p, *out);
}

static status push_int(pickle *p, pickle_kind kind, int64_t value) {
    pickle_ref ref;
    status rc = push_new(p, kind, &ref);
    if (!rc) p->value[ref].as.integer = value;
    return rc;
}

// A text or bytes whose length is a number of WIDTH bytes before it.
static status push_text(pickle *p, pickle_kind kind, int width) {
    uint64_t length;
    const unsigned char *bytes;
    pickle_ref ref;
    status rc = take_number(p, width, &length);
    if (!rc) rc = take(p, length, &bytes);
    if (!rc && length > UINT32_MAX) return pickle_fail(p, "a text of %llu bytes", (unsigned long long)length);
    if (!rc) rc = push_new(p, kind, &ref);
    if (!rc) p->value[ref].as.text = (pickle_text){(const char *)bytes, (uint32_t)length};
    return rc;
}

// LONG1 and LONG4: two's complement of any length.
static status push_long(pickle *p, int width) {
    uint64_t length, value = 0;
    const unsigned char *bytes;
    pickle_ref ref;
    status rc = take_number(p, width, &length);
    if (!rc && width == 4 && length > INT32_MAX)
        return pickle_fail(p, "a number of %lld bytes", (long long)(int32_t)length);
    if (!rc) rc = take(p, length, &bytes);
    if (rc) return rc;
    if (length > 8) {
        rc = push_new(p, PICKLE_LONG, &ref);
        if (!rc) p->value[ref].as.text = (pickle_text){(const char *)bytes, (uint32_t)length};
        return rc;
    }
    if (length && bytes[length - 1] & 0x80) value = ~UINT64_C(0);
    for (size_t i = (size_t)length; i-- > 0;) value = value << 8 | bytes[i];
    return push_int(p, PICKLE_INT, (int64_t)value);
}

static status push_float(pickle *p) {
    const unsigned char *bytes;
    uint64_t bits = 0;
    pickle_ref ref;
    status rc = take(p, 8, &bytes);
    for (int i = 0; i < 8 && !rc; i++) bits = bits << 8 | bytes[i];
    if (!rc) rc = push_new(p, PICKLE_FLOAT, &ref);
    if (!rc) memcpy(&p->value[ref].as.number, &bits, sizeof bits);
    return rc;
}

// One line of the stream, without its end.
static status take_line(pickle *p, pickle_text *out) {
    const unsigned char *start = p->bytes + p->at, *end = memchr(start, '\n', p->size - p->at);
    *out = (pickle_text){0};
    if (!end || end - start > 4096) return pickle_fail(p, "a name without an end");
    *out = (pickle_text){(const char *)start, (uint32_t)(end - start)};
    p->at += out->length + 1;
    return STATUS_OK;
}

static status push_global(pickle *p, pickle_text module, pickle_text name) {
    pickle_ref ref;
    status rc = push_new(p, PICKLE_GLOBAL, &ref);
    if (rc) return rc;
    p->value[ref].as.global.module = module.data;
    p->value[ref].as.global.module_length = module.length;
    p->value[ref].as.global.name_length = name.length;
    p->value[ref].name = name.data;
    return STATUS_OK;
}

static status global_of_lines(pickle *p) {
    pickle_text module, name;
    status rc = take_line(p, &module);
    if (!rc) rc = take_line(p, &name);
    return rc ? rc : push_global(p, module, name);
}

static status global_of_stack(pickle *p) {
    pickle_ref name, module;
    status rc = pop(p, &name);
    if (!rc) rc = pop(p, &module);
    if (rc) return rc;
    if (p->value[name].kind != PICKLE_TEXT || p->value[module].kind != PICKLE_TEXT)
        return pickle_fail(p, "names something by what is no text");
    return push_global(p, p->value[module].as.text, p->value[name].as.text);
}

// --- containers ----------------------------------------------------------------------------------
// A tuple of the COUNT topmost values; COUNT < 0: of those above the mark.
static status push_tuple(pickle *p, pickle_kind kind, int count) {
    pickle_ref ref;
    size_t from = p->depth;
    status rc = STATUS_OK;
    if (count < 0) {
        rc = find_mark(p, &from);
    } else {
        for (int i = 0; i < count && !rc; i++)
            if (p->depth < (size_t)(i + 1) || !p->stack[p->depth - (size_t)i - 1])
                rc = pickle_fail(p, "takes a value from an empty stack");
        from -= rc ? 0 : (size_t)count;
    }
    if (!rc) rc = pickle_new(p, kind, &ref);
    if (!rc && kind == PICKLE_DICT && (p->depth - from) % 2) rc = pickle_fail(p, "a key without a value");
    if (!rc) rc = pickle_gather(p, ref, from);
    if (!rc && count < 0) p->depth--; // the mark
    return rc ? rc : pickle_push(p, ref);
}

// The container under what is to be added; inert things take anything and keep nothing.
static status add_items(pickle *p, pickle_kind kind, size_t from, size_t mark) {
    if (!from || from - mark == 0 || !p->stack[from - mark - 1])
        return pickle_fail(p, "adds to an empty stack");
    pickle_ref target = p->stack[from - mark - 1];
    pickle_kind have = p->value[target].kind;
    status rc = STATUS_OK;
    if (have == PICKLE_INERT)
        p->depth = from;
    else if (have != kind)
        rc = pickle_fail(p, "adds to something that is no %s", kind == PICKLE_DICT ? "dict" : "list");
    else if (kind == PICKLE_DICT && (p->depth - from) % 2)
        rc = pickle_fail(p, "a key without a value");
    else
        rc = pickle_gather(p, target, from);
    p->depth -= rc ? 0 : mark;
    return rc;
}

// APPEND and SETITEM (COUNT values), APPENDS and SETITEMS (those above the mark: COUNT 0).
static status add(pickle *p, pickle_kind kind, size_t count) {
    size_t from;
    if (!count) {
        status rc = find_mark(p, &from);
        return rc ? rc : add_items(p, kind, from, 1);
    }
    if (p->depth < count) return pickle_fail(p, "takes a value from an empty stack");
    for (size_t i = 0; i < count; i++)
        if (!p->stack[p->depth - i - 1]) return pickle_fail(p, "takes a value from an empty stack");
    return add_items(p, kind, p->depth - count, 0);
}

// --- memo ----------------------------------------------------------------------------------------
// Picklers number from 0 upwards, so the size of the table is bounded by that of the pickle.
static status memo_put(pickle *p, uint64_t index) {
    if (!p->depth || !p->stack[p->depth - 1]) return pickle_fail(p, "remembers from an empty stack");
    if (index >= most_values(p) || index > p->size)
        return pickle_fail(p, "memo number %llu is more than a pickle of %zu bytes can have",
                           (unsigned long long)index, p->size);
    status rc = mem_grow((void **)&p->memo, &p->memo_room, (size_t)index + 1, sizeof *p->memo, "a pickle");
    if (rc) return rc;
    p->memo[index] = p->stack[p->depth - 1];
    if (index >= p->memos) p->memos = (size_t)index + 1;
    return STATUS_OK;
}

static status memo_get(pickle *p, uint64_t index) {
    if (index >= p->memos || !p->memo[index])
        return pickle_fail(p, "memo number %llu was never set", (unsigned long long)index);
    return pickle_push(p, p->memo[index]);
}

// --- opcodes -------------------------------------------------------------------------------------
static status reduce(pickle *p, status (*what)(pickle *, pickle_ref, pickle_ref, pickle_ref *)) {
    pickle_ref args, callee, result;
    status rc = pop(p, &args);
    if (!rc) rc = pop(p, &callee);
    if (!rc && p->value[args].kind != PICKLE_TUPLE) rc = pickle_fail(p, "calls with what is no tuple");
    if (!rc) rc = what(p, callee, args, &result);
    return rc ? rc : pickle_push(p, result);
}

// NEWOBJ_EX: class, positional and named arguments.
static status make_named(pickle *p) {
    pickle_ref named;
    status rc = pop(p, &named);
    return rc ? rc : reduce(p, pickle_make);
}

static status build(pickle *p) {
    pickle_ref state, object;
    status rc = pop(p, &state);
    if (!rc) rc = pop(p, &object);
    if (!rc) rc = pickle_build(p, object, state);
    return rc ? rc : pickle_push(p, object);
}

static status persistent(pickle *p) {
    pickle_ref id, result;
    status rc = pop(p, &id);
    if (!rc) rc = pickle_persistent(p, id, &result);
    return rc ? rc : pickle_push(p, result);
}

static status unknown_opcode(const pickle *p, unsigned code) {
    switch (code) {
    case 'I': case 'L': case 'F': case 'S': case 'V': case 'p': case 'g': case 'P':
        return pickle_fail(p, "opcode '%c' of protocols 0 and 1; only 2 and later are read", (char)code);
    case 'i': case 'o':
        return pickle_fail(p, "makes an object (opcode '%c'), which is no tensor; files that run code "
                              "are not read", (char)code);
    case 0x82: case 0x83: case 0x84:
        return pickle_fail(p, "refers to an extension (opcode 0x%02x); files that run code are not read",
                           code);
    default:
        return pickle_fail(p, "unknown opcode 0x%02x; the file is damaged or no pickle", code);
    }
}

// What builds containers, calls and handles the stack.
static status run_structure(pickle *p, unsigned code) {
    pickle_ref ref;
    size_t from;
    status rc;
    switch (code) {
    case '(': return pickle_push(p, 0);
    case '0':
        if (!p->depth || p->stack[p->depth - 1]) return pop(p, &ref);
        p->depth--; // a mark
        return STATUS_OK;
    case '1':
        rc = find_mark(p, &from);
        if (!rc) p->depth = from - 1;
        return rc;
    case '2':
        rc = pop(p, &ref);
        if (!rc) rc = pickle_push(p, ref);
        return rc ? rc : pickle_push(p, ref);
    case ')': return push_new(p, PICKLE_TUPLE, &ref);
    case 't': return push_tuple(p, PICKLE_TUPLE, -1);
    case 0x85: case 0x86: case 0x87: return push_tuple(p, PICKLE_TUPLE, (int)code - 0x84);
    case ']': case 0x8f: return push_new(p, PICKLE_LIST, &ref);
    case 'l': case 0x91: return push_tuple(p, PICKLE_LIST, -1);
    case 'a': return add(p, PICKLE_LIST, 1);
    case 'e': case 0x90: return add(p, PICKLE_LIST, 0);
    case '}': return push_new(p, PICKLE_DICT, &ref);
    case 'd': return push_tuple(p, PICKLE_DICT, -1);
    case 's': return add(p, PICKLE_DICT, 2);
    case 'u': return add(p, PICKLE_DICT, 0);
    case 'c': return global_of_lines(p);
    case 0x93: return global_of_stack(p);
    case 'R': return reduce(p, pickle_call);
    case 0x81: return reduce(p, pickle_make);
    case 0x92: return make_named(p);
    case 'b': return build(p);
    case 'Q': return persistent(p);
    default: return unknown_opcode(p, code);
    }
}

static status run_opcode(pickle *p, unsigned code) {
    uint64_t n;
    status rc;
    pickle_ref ref;
    switch (code) {
    case 0x80:
        rc = take_number(p, 1, &n);
        return !rc && (n < 2 || n > 5) ? pickle_fail(p, "protocol %d; 2 to 5 are read", (int)n) : rc;
    case 0x95: // a frame: its length is a hint for readers of streams
        rc = take_number(p, 8, &n);
        return !rc && n > p->size - p->at ? pickle_fail(p, "a frame of %llu bytes, there are %zu; the file "
                                                           "is cut", (unsigned long long)n, p->size - p->at)
                                          : rc;
    case 'N': return push_new(p, PICKLE_NONE, &ref);
    case 0x88: case 0x89: return push_int(p, PICKLE_BOOL, code == 0x88);
    case 'J':
        rc = take_number(p, 4, &n);
        return rc ? rc : push_int(p, PICKLE_INT, (int32_t)(uint32_t)n);
    case 'K': case 'M':
        rc = take_number(p, code == 'K' ? 1 : 2, &n);
        return rc ? rc : push_int(p, PICKLE_INT, (int64_t)n);
    case 0x8a: return push_long(p, 1);
    case 0x8b: return push_long(p, 4);
    case 'G': return push_float(p);
    case 'X': return push_text(p, PICKLE_TEXT, 4);
    case 0x8c: case 'U': return push_text(p, PICKLE_TEXT, 1);
    case 0x8d: return push_text(p, PICKLE_TEXT, 8);
    case 'T': return push_text(p, PICKLE_TEXT, 4);
    case 'B': return push_text(p, PICKLE_BYTES, 4);
    case 'C': return push_text(p, PICKLE_BYTES, 1);
    case 0x8e: case 0x96: return push_text(p, PICKLE_BYTES, 8);
    case 'q': case 'r':
        rc = take_number(p, code == 'q' ? 1 : 4, &n);
        return rc ? rc : memo_put(p, n);
    case 0x94: return memo_put(p, p->memos);
    case 'h': case 'j':
        rc = take_number(p, code == 'h' ? 1 : 4, &n);
        return rc ? rc : memo_get(p, n);
    default: return run_structure(p, code);
    }
}

static status run(pickle *p) {
    for (;;) {
        const unsigned char *code;
        p->place = p->at;
        status rc = take(p, 1, &code);
        if (rc) return rc;
        if (*code == '.') {
            rc = pop(p, &p->root);
            if (!rc && p->depth) rc = pickle_fail(p, "ends with %zu values left on the stack", p->depth);
            return rc;
        }
        rc = run_opcode(p, *code);
        if (rc) return rc;
    }
}

// --- interface -----------------------------------------------------------------------------------
status pickle_read(pickle **out, const char *name, const unsigned char *bytes, size_t size, size_t *at) {
    pickle *p;
    pickle_ref mark;
    *out = NULL;
    status rc = mem_new(&p, 1, "a pickle");
    if (rc) return rc;
    *p = (pickle){.name = name, .bytes = bytes, .size = size, .at = *at, .cells = 1};
    rc = pickle_new(p, PICKLE_MARK, &mark);
    if (!rc) rc = run(p);
    *at = p->at;
    if (rc)
        pickle_close(p);
    else
        *out = p;
    return rc;
}

void pickle_close(pickle *p) {
    if (!p) return;
    mem_free(p->value);
    mem_free(p->cell);
    mem_free(p->stack);
    mem_free(p->memo);
    mem_free(p->storage);
    mem_free(p->tensor);
    mem_free(p->array);
    mem_free(p);
}

const pickle_value *pickle_root(const pickle *p) {
    return &p->value[p->root];
}

const pickle_value *pickle_item(const pickle *p, uint32_t cell) {
    return &p->value[p->cell[cell].value];
}

uint32_t pickle_next(const pickle *p, uint32_t cell) {
    return p->cell[cell].next;
}

size_t pickle_storages(const pickle *p) {
    return p->storages;
}

const pickle_storage *pickle_storage_at(const pickle *p, uint32_t index) {
    return &p->storage[index];
}

const pickle_tensor *pickle_tensor_at(const pickle *p, uint32_t index) {
    return &p->tensor[index];
}

const pickle_array *pickle_array_at(const pickle *p, uint32_t index) {
    return &p->array[index];
}

bool pickle_is_text(const pickle_value *v, const char *text) {
    return v->kind == PICKLE_TEXT && v->as.text.length == strlen(text) &&
           memcmp(v->as.text.data, text, v->as.text.length) == 0;
}

const pickle_value *pickle_find(const pickle *p, const pickle_value *dict, const char *key) {
    if (dict->kind != PICKLE_DICT) return NULL;
    for (uint32_t c = dict->as.items.first; c; c = pickle_next(p, pickle_next(p, c)))
        if (pickle_is_text(pickle_item(p, c), key)) return pickle_item(p, pickle_next(p, c));
    return NULL;
}

char *pickle_global_name(char out[PICKLE_NAME_SIZE], const pickle_value *v) {
    int module = (int)v->as.global.module_length, name = (int)v->as.global.name_length;
    snprintf(out, PICKLE_NAME_SIZE, "%.*s.%.*s", module > 80 ? 80 : module, v->as.global.module,
             name > 40 ? 40 : name, v->name);
    for (char *c = out; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?'; // bytes of a name are shown on a terminal
    return out;
}
