// Python pickles (protocols 2 to 5) as far as PyTorch's weight files and dicts of arrays need them.
// Nothing is executed and nothing imported: the machine knows containers, numbers, texts, and a fixed
// list of calls that rebuild tensors, arrays and inert things (pickle_calls.c). Any other call is an
// error that names it. A class or function that is only named, never called, is inert and harmless.
//
// The result is a graph of values that may share parts and contain itself: whoever walks it guards
// itself. Texts point into the bytes, which are borrowed until pickle_close.
#pragma once
#include "core/files/element.h"
#include "core/memory.h"
#include <stdbool.h>

// A file may have more values than this: one for each 64 of its bytes.
enum { PICKLE_MAX_VALUES = 1 << 22, PICKLE_MAX_TENSORS = 1 << 18, PICKLE_MAX_RANK = 8 };

typedef enum pickle_kind {
    PICKLE_MARK, // inside the machine only
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_LONG, // more than 64 bits: its bytes, little-endian
    PICKLE_FLOAT,
    PICKLE_TEXT,
    PICKLE_BYTES,
    PICKLE_TUPLE,
    PICKLE_LIST, // lists and sets
    PICKLE_DICT,
    PICKLE_GLOBAL, // the name of a class or function: MODULE NAME
    PICKLE_STORAGE,
    PICKLE_TENSOR,
    PICKLE_DTYPE, // numpy's
    PICKLE_BLOB,  // a storage as a whole file of torch.save: its bytes (NULL: not kept)
    PICKLE_ARRAY, // numpy's, or a tensor whose storage is a BLOB
    PICKLE_INERT // something rebuilt of which nothing is kept
} pickle_kind;

typedef uint32_t pickle_ref; // index of a value

typedef struct pickle_text {
    const char *data; // not NUL-ended
    uint32_t length;
} pickle_text;

typedef struct pickle_value {
    pickle_kind kind;
    union {
        int64_t integer; // INT, BOOL
        double number;
        pickle_text text; // TEXT, BYTES, LONG, BLOB
        struct {
            uint32_t first, last, count; // cells of TUPLE, LIST; of DICT: key, value, key, ...
        } items;
        struct {
            const char *module;
            uint32_t module_length, name_length; // NAME stands in `name`
        } global;
        struct {
            element_type type; // ELEMENT_COUNT: none that is read
            bool big_endian;
        } dtype;
        uint32_t index; // of STORAGE, TENSOR, ARRAY
    } as;
    const char *name; // GLOBAL
} pickle_value;

typedef struct pickle_storage {
    pickle_text key;
    element_type type; // ELEMENT_COUNT: untyped, COUNT is bytes
    int64_t count;
} pickle_storage;

typedef struct pickle_tensor {
    uint32_t storage;
    element_type type;
    size_t place; // the byte of the stream that rebuilt it
    int rank;
    int64_t offset; // in elements, as the strides
    int64_t dim[PICKLE_MAX_RANK], stride[PICKLE_MAX_RANK];
} pickle_tensor;

// An array whose numbers stand in the pickle itself.
typedef struct pickle_array {
    const unsigned char *data; // in the borrowed bytes; NULL: not kept, and the rest says nothing
    size_t bytes;              // numpy: of all elements, no more and no fewer
    element_type type;         // ELEMENT_COUNT, torch only: that of its storage
    bool big_endian, by_columns;
    bool torch; // DATA is a whole file of torch.save (torch_blob_read), of which this is a view:
    int64_t offset, stride[PICKLE_MAX_RANK];
    int rank;
    int64_t dim[PICKLE_MAX_RANK];
} pickle_array;

typedef struct pickle pickle;

// Reads one pickle from BYTES + *AT on and moves *AT behind its end. NAME stands in error texts with the
// number of the byte. Errors: FORMAT, MEMORY.
status pickle_read(pickle **out, const char *name, const unsigned char *bytes, size_t size, size_t *at);
void pickle_close(pickle *p); // accepts NULL

const pickle_value *pickle_root(const pickle *p);
// Walks TUPLE, LIST and DICT: for (uint32_t c = v->as.items.first; c; c = pickle_next(p, c)).
const pickle_value *pickle_item(const pickle *p, uint32_t cell);
uint32_t pickle_next(const pickle *p, uint32_t cell);
size_t pickle_storages(const pickle *p); // references, several to one key
const pickle_storage *pickle_storage_at(const pickle *p, uint32_t index);
const pickle_tensor *pickle_tensor_at(const pickle *p, uint32_t index);
const pickle_array *pickle_array_at(const pickle *p, uint32_t index);

// What PyTorch calls storages of TYPE: "torch.FloatStorage".
const char *pickle_storage_name(element_type type);
bool pickle_is_text(const pickle_value *v, const char *text);
// "module.name" of a GLOBAL in OUT, with '?' for control characters.
enum { PICKLE_NAME_SIZE = 128 };
char *pickle_global_name(char out[PICKLE_NAME_SIZE], const pickle_value *v);
// The value of the key TEXT in a DICT; NULL: none, or no dict.
const pickle_value *pickle_find(const pickle *p, const pickle_value *dict, const char *key);
