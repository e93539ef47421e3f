// Arrays whose numbers stand in the pickle itself: numpy's, and torch's tensors where pickle.dump
// wrote them. Nothing is rebuilt; where the bytes are, and what they are, is noted. numpy's
// ndarray.__reduce__, dtype.__reduce__ and torch/storage.py say what is called with which
// arguments. An array of another kind (objects, texts, records, or bytes as protocol 2 writes them)
// is inert: its data is NULL.
#include "core/files/pickle_private.h"

#include <string.h>

// --- numpy's types -------------------------------------------------------------------------------
static element_type type_of_code(const pickle_value *code) {
    static const struct {
        const char *code;
        element_type type;
    } codes[] = {
        {"f8", ELEMENT_F64}, {"f4", ELEMENT_F32}, {"f2", ELEMENT_F16},
        {"i8", ELEMENT_I64}, {"i4", ELEMENT_I32}, {"i2", ELEMENT_I16},
        {"i1", ELEMENT_I8},  {"u1", ELEMENT_U8},  {"b1", ELEMENT_BOOL},
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (pickle_is_text(code, codes[i].code)) return codes[i].type;
    return ELEMENT_COUNT;
}

// (code, align, copy)
status pickle_call_dtype(pickle *p, const pickle_args *a, pickle_ref *out) {
    element_type type = a->count ? type_of_code(&p->value[a->value[0]]) : ELEMENT_COUNT;
    status rc = pickle_new(p, PICKLE_DTYPE, out);
    if (!rc) p->value[*out].as.dtype.type = type;
    return rc;
}

// (version, byte order, subtype, names, fields, size, alignment, flags)
status pickle_build_dtype(pickle *p, pickle_ref object, pickle_ref state) {
    pickle_args a = {0};
    pickle_value *v = &p->value[object];
    if (p->value[state].kind == PICKLE_TUPLE) pickle_read_args(p, state, &a);
    bool plain = a.count >= 5;
    for (size_t i = 2; plain && i < 5; i++) plain = p->value[a.value[i]].kind == PICKLE_NONE;
    const pickle_value *order = plain ? &p->value[a.value[1]] : NULL;
    v->as.dtype.big_endian = plain && pickle_is_text(order, ">");
    if (!plain ||
        !(v->as.dtype.big_endian || pickle_is_text(order, "<") || pickle_is_text(order, "|")))
        v->as.dtype.type = ELEMENT_COUNT;
    return STATUS_OK;
}

// --- numpy's arrays ------------------------------------------------------------------------------
static status array_new(pickle *p, const pickle_array *array, pickle_ref *out) {
    status rc =
        mem_grow((void **)&p->array, &p->array_room, p->arrays + 1, sizeof *p->array, "arrays");
    if (!rc) rc = pickle_new(p, PICKLE_ARRAY, out); // which bounds their number
    if (rc) return rc;
    p->value[*out].as.index = (uint32_t)p->arrays;
    p->array[p->arrays++] = *array;
    return STATUS_OK;
}

// False: sizes that no array has.
static bool take_shape(const pickle *p, pickle_ref tuple, pickle_array *out) {
    const pickle_value *v = &p->value[tuple];
    if (v->kind != PICKLE_TUPLE || v->as.items.count > PICKLE_MAX_RANK) return false;
    for (uint32_t c = v->as.items.first; c; c = p->cell[c].next) {
        const pickle_value *size = &p->value[p->cell[c].value];
        if (size->kind != PICKLE_INT || size->as.integer < 0) return false;
        out->dim[out->rank++] = size->as.integer;
    }
    return true;
}

// Bytes of all elements; false: more than can be.
static bool array_bytes(const pickle_array *array, size_t *out) {
    bool empty = false, fits = true;
    *out = element_size(array->type);
    for (int i = 0; i < array->rank; i++) empty |= !array->dim[i];
    for (int i = 0; i < array->rank && !empty && fits; i++)
        fits = size_multiply(*out, (size_t)array->dim[i], out);
    if (empty) *out = 0;
    return fits;
}

// Takes an array from its parts. Parts of other kinds leave it inert; bytes that do not fill it are
// damage.
static status take_parts(pickle *p, pickle_array *out, pickle_ref shape, pickle_ref type,
                         pickle_ref bytes, bool by_columns) {
    const pickle_value *dtype = &p->value[type], *data = &p->value[bytes];
    pickle_array array = {.by_columns = by_columns, .type = ELEMENT_COUNT};
    size_t wanted;
    *out = array;
    if (dtype->kind != PICKLE_DTYPE || dtype->as.dtype.type == ELEMENT_COUNT ||
        data->kind != PICKLE_BYTES || !take_shape(p, shape, &array))
        return STATUS_OK;
    array.type = dtype->as.dtype.type;
    array.big_endian = dtype->as.dtype.big_endian;
    array.data = (const unsigned char *)data->as.text.data;
    array.bytes = data->as.text.length;
    if (!array_bytes(&array, &wanted) || wanted != array.bytes)
        return pickle_fail(p, "an array of %s whose shape does not fit its %zu bytes",
                           element_name(array.type), array.bytes);
    *out = array;
    return STATUS_OK;
}

// (class, shape, code): empty, until its state comes. Another class than numpy.ndarray is something
// inert.
status pickle_call_reconstruct(pickle *p, const pickle_args *a, pickle_ref *out) {
    const pickle_array empty = {.type = ELEMENT_COUNT};
    if (!a->count || !pickle_is_global(&p->value[a->value[0]], "numpy.ndarray"))
        return pickle_new(p, PICKLE_INERT, out);
    return array_new(p, &empty, out);
}

// (version, shape, type, whether by columns, bytes). A tensor's state is its attributes, which are
// dropped.
status pickle_build_array(pickle *p, pickle_ref object, pickle_ref state) {
    pickle_args a = {0};
    pickle_array *array = &p->array[p->value[object].as.index];
    if (array->torch) return STATUS_OK;
    if (p->value[state].kind == PICKLE_TUPLE) pickle_read_args(p, state, &a);
    if (a.count != 5 || p->value[a.value[3]].kind != PICKLE_BOOL) {
        *array = (pickle_array){.type = ELEMENT_COUNT};
        return STATUS_OK;
    }
    return take_parts(p, array, a.value[1], a.value[2], a.value[4],
                      p->value[a.value[3]].as.integer != 0);
}

// (bytes, type, shape, "C" or "F"): protocol 5.
status pickle_call_frombuffer(pickle *p, const pickle_args *a, pickle_ref *out) {
    pickle_array array = {.type = ELEMENT_COUNT};
    status rc = STATUS_OK;
    bool columns = a->count == 4 && pickle_is_text(&p->value[a->value[3]], "F");
    if (columns || (a->count == 4 && pickle_is_text(&p->value[a->value[3]], "C")))
        rc = take_parts(p, &array, a->value[2], a->value[1], a->value[0], columns);
    return rc ? rc : array_new(p, &array, out);
}

// --- torch's -------------------------------------------------------------------------------------
// (bytes of a file of torch.save). Protocol 2 gives something inert.
status pickle_call_blob(pickle *p, const pickle_args *a, pickle_ref *out) {
    pickle_text bytes = {0};
    if (a->count && p->value[a->value[0]].kind == PICKLE_BYTES)
        bytes = p->value[a->value[0]].as.text;
    status rc = pickle_new(p, PICKLE_BLOB, out);
    if (!rc) p->value[*out].as.text = bytes;
    return rc;
}

status pickle_array_of_blob(pickle *p, pickle_ref blob, const pickle_tensor *t, pickle_ref *out) {
    const pickle_text bytes = p->value[blob].as.text;
    pickle_array array = {.data = (const unsigned char *)bytes.data,
                          .bytes = bytes.length,
                          .type = t->type,
                          .torch = true,
                          .offset = t->offset,
                          .rank = t->rank};
    memcpy(array.dim, t->dim, sizeof array.dim);
    memcpy(array.stride, t->stride, sizeof array.stride);
    return array_new(p, &array, out);
}
