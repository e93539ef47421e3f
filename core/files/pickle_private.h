// What pickle.c (the machine), pickle_calls.c (the calls it knows) and pickle_arrays.c (of these, the
// ones for arrays) share.
#pragma once
#include "core/files/pickle.h"

typedef struct pickle_cell {
    pickle_ref value;
    uint32_t next; // 0: the last one
} pickle_cell;

struct pickle {
    const char *name; // borrowed while reading
    const unsigned char *bytes;
    size_t size, at; // next byte
    size_t place;    // of the present opcode
    pickle_value *value;
    size_t values, value_room;
    pickle_cell *cell; // [0] unused
    size_t cells, cell_room;
    pickle_ref *stack;
    size_t depth, stack_room;
    pickle_ref *memo; // 0: unset
    size_t memos, memo_room;
    pickle_storage *storage;
    size_t storages, storage_room;
    pickle_tensor *tensor;
    size_t tensors, tensor_room;
    pickle_array *array;
    size_t arrays, array_room;
    pickle_ref root;
};

// FORMAT, with name and byte.
status pickle_fail(const pickle *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

status pickle_new(pickle *p, pickle_kind kind, pickle_ref *out);
status pickle_push(pickle *p, pickle_ref value);
status pickle_append(pickle *p, pickle_ref container, pickle_ref item);
// Moves the stack's values from FROM on into a container.
status pickle_gather(pickle *p, pickle_ref container, size_t from);

// The opcodes REDUCE, NEWOBJ, BUILD and BINPERSID. ARGS is a tuple.
status pickle_call(pickle *p, pickle_ref callee, pickle_ref args, pickle_ref *out);
status pickle_make(pickle *p, pickle_ref class, pickle_ref args, pickle_ref *out);
status pickle_build(pickle *p, pickle_ref object, pickle_ref state);
status pickle_persistent(pickle *p, pickle_ref id, pickle_ref *out);

// A call's arguments, or the parts of another tuple; at most this many, more are kept out of sight.
enum { PICKLE_MAX_ARGS = 10 };
typedef struct pickle_args {
    size_t count;
    pickle_ref value[PICKLE_MAX_ARGS];
} pickle_args;
void pickle_read_args(const pickle *p, pickle_ref tuple, pickle_args *a);
// NAME is "module.name".
bool pickle_is_global(const pickle_value *v, const char *name);

// --- pickle_arrays.c -----------------------------------------------------------------------------
status pickle_call_dtype(pickle *p, const pickle_args *a, pickle_ref *out);
status pickle_call_reconstruct(pickle *p, const pickle_args *a, pickle_ref *out);
status pickle_call_frombuffer(pickle *p, const pickle_args *a, pickle_ref *out);
status pickle_call_blob(pickle *p, const pickle_args *a, pickle_ref *out);
status pickle_build_dtype(pickle *p, pickle_ref object, pickle_ref state);
status pickle_build_array(pickle *p, pickle_ref object, pickle_ref state);
// A view T of the storage that BLOB is.
status pickle_array_of_blob(pickle *p, pickle_ref blob, const pickle_tensor *t, pickle_ref *out);
