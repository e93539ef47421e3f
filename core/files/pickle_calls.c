// What pickles may call: the list is closed. Each call either rebuilds something the reader wants (a
// tensor, a container) or gives an inert value of which nothing is kept. PyTorch's torch/_utils.py,
// torch/serialization.py and torch/_tensor.py say what is called with which arguments.
#include "core/files/pickle_private.h"

#include <string.h>

void pickle_read_args(const pickle *p, pickle_ref tuple, pickle_args *a) {
    const pickle_value *v = &p->value[tuple];
    a->count = 0;
    for (uint32_t c = v->as.items.first; c && a->count < PICKLE_MAX_ARGS; c = p->cell[c].next)
        a->value[a->count++] = p->cell[c].value;
}

bool pickle_is_global(const pickle_value *v, const char *name) {
    if (v->kind != PICKLE_GLOBAL) return false;
    size_t module = v->as.global.module_length, own = v->as.global.name_length;
    return strlen(name) == module + 1 + own && memcmp(name, v->as.global.module, module) == 0 &&
           name[module] == '.' && memcmp(name + module + 1, v->name, own) == 0;
}

// The element type that a global names: torch.float32 and its like.
static element_type type_of_dtype(const pickle_value *v) {
    static const struct {
        const char *name;
        element_type type;
    } names[] = {
        {"torch.float64", ELEMENT_F64},  {"torch.float32", ELEMENT_F32}, {"torch.float16", ELEMENT_F16},
        {"torch.bfloat16", ELEMENT_BF16}, {"torch.int64", ELEMENT_I64},  {"torch.int32", ELEMENT_I32},
        {"torch.int16", ELEMENT_I16},    {"torch.int8", ELEMENT_I8},     {"torch.uint8", ELEMENT_U8},
        {"torch.bool", ELEMENT_BOOL},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (pickle_is_global(v, names[i].name)) return names[i].type;
    return ELEMENT_COUNT;
}

// --- storages ------------------------------------------------------------------------------------
static const struct {
    const char *name;
    element_type type; // ELEMENT_COUNT: untyped
} storage_names[] = {
    {"torch.DoubleStorage", ELEMENT_F64}, {"torch.FloatStorage", ELEMENT_F32},
    {"torch.HalfStorage", ELEMENT_F16},   {"torch.BFloat16Storage", ELEMENT_BF16},
    {"torch.LongStorage", ELEMENT_I64},   {"torch.IntStorage", ELEMENT_I32},
    {"torch.ShortStorage", ELEMENT_I16},  {"torch.CharStorage", ELEMENT_I8},
    {"torch.ByteStorage", ELEMENT_U8},    {"torch.BoolStorage", ELEMENT_BOOL},
    {"torch.storage.UntypedStorage", ELEMENT_COUNT},
    {"torch.UntypedStorage", ELEMENT_COUNT},
    {"torch.storage._UntypedStorage", ELEMENT_COUNT},
};
enum { STORAGE_NAMES = sizeof storage_names / sizeof *storage_names };

const char *pickle_storage_name(element_type type) {
    for (int i = 0; i < STORAGE_NAMES; i++)
        if (storage_names[i].type == type) return storage_names[i].name;
    die("pickle_storage_name: no element type %d", (int)type);
}

// False: no storage type that is read.
static bool type_of_storage(const pickle_value *v, element_type *type) {
    for (int i = 0; i < STORAGE_NAMES; i++) {
        if (!pickle_is_global(v, storage_names[i].name)) continue;
        *type = storage_names[i].type;
        return true;
    }
    return false;
}

// ("storage", type, key, location, count) and, in legacy files, a view that was never written since 2017.
status pickle_persistent(pickle *p, pickle_ref id, pickle_ref *out) {
    pickle_args a = {0};
    char name[PICKLE_NAME_SIZE];
    if (p->value[id].kind == PICKLE_TUPLE) pickle_read_args(p, id, &a);
    if (a.count < 5 || !pickle_is_text(&p->value[a.value[0]], "storage"))
        return pickle_fail(p, "refers to something outside the pickle that is no storage");
    const pickle_value *type = &p->value[a.value[1]], *key = &p->value[a.value[2]],
                       *count = &p->value[a.value[4]];
    pickle_storage s = {0};
    if (type->kind != PICKLE_GLOBAL || key->kind != PICKLE_TEXT || count->kind != PICKLE_INT)
        return pickle_fail(p, "a storage whose type, key or size is of another kind");
    if (!type_of_storage(type, &s.type))
        return pickle_fail(p, "storages of type %s are not read", pickle_global_name(name, type));
    if (a.count > 5 && p->value[a.value[5]].kind != PICKLE_NONE)
        return pickle_fail(p, "a storage that is a view of another is not read");
    s.key = key->as.text;
    s.count = count->as.integer;
    if (s.count < 0) return pickle_fail(p, "a storage of %lld elements", (long long)s.count);
    if (p->storages >= PICKLE_MAX_TENSORS)
        return pickle_fail(p, "more than %d storages", PICKLE_MAX_TENSORS);
    status rc = mem_grow((void **)&p->storage, &p->storage_room, p->storages + 1, sizeof *p->storage,
                         "storages");
    if (!rc) rc = pickle_new(p, PICKLE_STORAGE, out);
    if (rc) return rc;
    p->value[*out].as.index = (uint32_t)p->storages;
    p->storage[p->storages++] = s;
    return STATUS_OK;
}

// --- tensors -------------------------------------------------------------------------------------
// The whole numbers of a tuple; *RANK is their number.
static status read_sizes(pickle *p, pickle_ref tuple, const char *what, int64_t *out, int *rank) {
    const pickle_value *v = &p->value[tuple];
    if (v->kind != PICKLE_TUPLE) return pickle_fail(p, "a tensor whose %s is no tuple", what);
    if (v->as.items.count > PICKLE_MAX_RANK)
        return pickle_fail(p, "a tensor of %u dimensions; at most %d are read", v->as.items.count,
                           PICKLE_MAX_RANK);
    *rank = 0;
    for (uint32_t c = v->as.items.first; c; c = p->cell[c].next) {
        const pickle_value *n = &p->value[p->cell[c].value];
        if (n->kind != PICKLE_INT) return pickle_fail(p, "a tensor whose %s is no whole number", what);
        if (n->as.integer < 0)
            return pickle_fail(p, "a tensor with a %s of %lld", what, (long long)n->as.integer);
        out[(*rank)++] = n->as.integer;
    }
    return STATUS_OK;
}

// (storage, offset, size, stride, ...); DTYPE 0: the storage's own.
static status rebuild_tensor(pickle *p, const pickle_args *a, pickle_ref dtype_ref, pickle_ref *out) {
    pickle_tensor t = {.place = p->place};
    int strides;
    pickle_kind kind = a->count < 4 ? PICKLE_NONE : p->value[a->value[0]].kind;
    if (kind != PICKLE_STORAGE && kind != PICKLE_BLOB)
        return pickle_fail(p, "a tensor without a storage");
    if (p->value[a->value[1]].kind != PICKLE_INT || p->value[a->value[1]].as.integer < 0)
        return pickle_fail(p, "a tensor whose offset is no whole number from 0");
    t.offset = p->value[a->value[1]].as.integer;
    status rc = read_sizes(p, a->value[2], "size", t.dim, &t.rank);
    if (!rc) rc = read_sizes(p, a->value[3], "stride", t.stride, &strides);
    if (rc) return rc;
    if (strides != t.rank) return pickle_fail(p, "a tensor of %d sizes and %d strides", t.rank, strides);
    t.type = dtype_ref ? type_of_dtype(&p->value[dtype_ref]) : ELEMENT_COUNT;
    if (kind == PICKLE_BLOB) return pickle_array_of_blob(p, a->value[0], &t, out);
    t.storage = p->value[a->value[0]].as.index;
    if (!dtype_ref) t.type = p->storage[t.storage].type;
    if (t.type == ELEMENT_COUNT) return pickle_fail(p, "a tensor of a type that is not read");
    if (p->tensors >= PICKLE_MAX_TENSORS)
        return pickle_fail(p, "more than %d tensors", PICKLE_MAX_TENSORS);
    rc = mem_grow((void **)&p->tensor, &p->tensor_room, p->tensors + 1, sizeof *p->tensor, "tensors");
    if (!rc) rc = pickle_new(p, PICKLE_TENSOR, out);
    if (rc) return rc;
    p->value[*out].as.index = (uint32_t)p->tensors;
    p->tensor[p->tensors++] = t;
    return STATUS_OK;
}

// --- calls ---------------------------------------------------------------------------------------
static status call_tensor(pickle *p, const pickle_args *a, pickle_ref *out) {
    return rebuild_tensor(p, a, 0, out);
}

// (storage, offset, size, stride, requires_grad, hooks, dtype, ...)
static status call_tensor_v3(pickle *p, const pickle_args *a, pickle_ref *out) {
    if (a->count < 7) return pickle_fail(p, "a tensor without a type");
    return rebuild_tensor(p, a, a->value[6], out);
}

// (tensor, requires_grad, hooks, ...)
static status call_parameter(pickle *p, const pickle_args *a, pickle_ref *out) {
    if (!a->count || p->value[a->value[0]].kind != PICKLE_TENSOR)
        return pickle_fail(p, "a parameter without a tensor");
    *out = a->value[0];
    return STATUS_OK;
}

// (function, class, arguments, state): a tensor with attributes. The class is only a name here.
static status call_from_type(pickle *p, const pickle_args *a, pickle_ref *out) {
    if (a->count < 3 || p->value[a->value[2]].kind != PICKLE_TUPLE)
        return pickle_fail(p, "a tensor of a class without arguments");
    const pickle_value *function = &p->value[a->value[0]];
    if (!pickle_is_global(function, "torch._utils._rebuild_tensor_v2") &&
        !pickle_is_global(function, "torch._utils._rebuild_tensor_v3"))
        return pickle_fail(p, "a tensor of a class that is rebuilt in another way than torch's own");
    return pickle_call(p, a->value[0], a->value[2], out);
}

static status call_inert(pickle *p, const pickle_args *a, pickle_ref *out) {
    (void)a;
    return pickle_new(p, PICKLE_INERT, out);
}

// OrderedDict(), defaultdict(factory), Counter({...}); Python 2 gave OrderedDict a list of pairs.
static status call_dict(pickle *p, const pickle_args *a, pickle_ref *out) {
    status rc = pickle_new(p, PICKLE_DICT, out);
    if (rc || !a->count) return rc;
    const pickle_value *first = &p->value[a->value[0]];
    if (first->kind == PICKLE_DICT) {
        *out = a->value[0];
        return STATUS_OK;
    }
    if (first->kind != PICKLE_LIST) return STATUS_OK; // a factory
    for (uint32_t c = first->as.items.first; c && !rc; c = p->cell[c].next) {
        const pickle_value pair = p->value[p->cell[c].value];
        if ((pair.kind != PICKLE_LIST && pair.kind != PICKLE_TUPLE) || pair.as.items.count != 2)
            return pickle_fail(p, "a dict of what are no pairs");
        uint32_t key = pair.as.items.first;
        rc = pickle_append(p, *out, p->cell[key].value);
        if (!rc) rc = pickle_append(p, *out, p->cell[p->cell[key].next].value);
    }
    return rc;
}

// set([...]) and torch.Size((...)): the container itself.
static status call_container(pickle *p, const pickle_args *a, pickle_ref *out) {
    if (!a->count) return pickle_new(p, PICKLE_LIST, out);
    pickle_kind kind = p->value[a->value[0]].kind;
    if (kind != PICKLE_LIST && kind != PICKLE_TUPLE) return pickle_fail(p, "a set or size of no list");
    *out = a->value[0];
    return STATUS_OK;
}

typedef struct callee {
    const char *name;
    status (*call)(pickle *p, const pickle_args *a, pickle_ref *out);
    bool is_class; // may be made by NEWOBJ too, and take BUILD's state
} callee;

static const callee callees[] = {
    {"torch._utils._rebuild_tensor_v2", call_tensor, false},
    {"torch._utils._rebuild_tensor", call_tensor, false},
    {"torch._utils._rebuild_tensor_v3", call_tensor_v3, false},
    {"torch._utils._rebuild_parameter", call_parameter, false},
    {"torch._utils._rebuild_parameter_with_state", call_parameter, false},
    {"torch._tensor._rebuild_from_type_v2", call_from_type, false},
    {"torch.Size", call_container, true},
    {"torch.device", call_inert, true},
    {"torch.serialization._get_layout", call_inert, false},
    {"collections.OrderedDict", call_dict, true},
    {"collections.defaultdict", call_dict, true},
    {"collections.Counter", call_dict, true},
    {"__builtin__.set", call_container, true},
    {"__builtin__.frozenset", call_container, true},
    {"builtins.set", call_container, true},
    {"builtins.frozenset", call_container, true},
    // Protocol 2 has no bytes: it writes them as encoded texts. Nothing needs them.
    {"_codecs.encode", call_inert, false},
    {"__builtin__.bytes", call_inert, false},
    {"builtins.bytes", call_inert, false},
    {"__builtin__.bytearray", call_inert, false},
    {"builtins.bytearray", call_inert, false},
    {"__builtin__.complex", call_inert, false},
    {"builtins.complex", call_inert, false},
    // numpy's modules before its version 2, and since.
    {"numpy.core.multiarray._reconstruct", pickle_call_reconstruct, false},
    {"numpy._core.multiarray._reconstruct", pickle_call_reconstruct, false},
    {"numpy.core.numeric._frombuffer", pickle_call_frombuffer, false},
    {"numpy._core.numeric._frombuffer", pickle_call_frombuffer, false},
    {"numpy.dtype", pickle_call_dtype, true},
    {"torch.storage._load_from_bytes", pickle_call_blob, false},
    // Scores in callbacks, options of a run, and paths: kept as nothing.
    {"numpy.core.multiarray.scalar", call_inert, false},
    {"numpy._core.multiarray.scalar", call_inert, false},
    {"argparse.Namespace", call_inert, true},
    {"pathlib.PosixPath", call_inert, true},
    {"pathlib.WindowsPath", call_inert, true},
    {"pathlib.PurePosixPath", call_inert, true},
    {"pathlib.PureWindowsPath", call_inert, true},
};

static status find_callee(pickle *p, pickle_ref ref, const callee **out) {
    char name[PICKLE_NAME_SIZE];
    const pickle_value *v = &p->value[ref];
    if (v->kind != PICKLE_GLOBAL) return pickle_fail(p, "calls something that is no function");
    for (size_t i = 0; i < sizeof callees / sizeof *callees; i++) {
        if (!pickle_is_global(v, callees[i].name)) continue;
        *out = &callees[i];
        return STATUS_OK;
    }
    return pickle_fail(p, "calls %s, which is no tensor; files that run code are not read",
                       pickle_global_name(name, v));
}

status pickle_call(pickle *p, pickle_ref function, pickle_ref args, pickle_ref *out) {
    const callee *c = NULL;
    pickle_args a;
    status rc = find_callee(p, function, &c);
    if (rc) return rc;
    pickle_read_args(p, args, &a);
    return c->call(p, &a, out);
}

status pickle_make(pickle *p, pickle_ref class, pickle_ref args, pickle_ref *out) {
    char name[PICKLE_NAME_SIZE];
    const callee *c = NULL;
    pickle_args a;
    status rc = find_callee(p, class, &c);
    if (rc) return rc;
    if (!c->is_class)
        return pickle_fail(p, "makes an object of %s, which is no class",
                           pickle_global_name(name, &p->value[class]));
    pickle_read_args(p, args, &a);
    return c->call(p, &a, out);
}

// The state of a dict (a module's _metadata), of a tensor (attributes) or of something inert is dropped.
status pickle_build(pickle *p, pickle_ref object, pickle_ref state) {
    char name[PICKLE_NAME_SIZE];
    const pickle_value *v = &p->value[object];
    switch (v->kind) {
    case PICKLE_DICT:
    case PICKLE_TENSOR:
    case PICKLE_INERT: return STATUS_OK;
    case PICKLE_DTYPE: return pickle_build_dtype(p, object, state);
    case PICKLE_ARRAY: return pickle_build_array(p, object, state);
    case PICKLE_GLOBAL:
        return pickle_fail(p, "changes %s, which is no tensor; files that run code are not read",
                           pickle_global_name(name, v));
    default: return pickle_fail(p, "changes the state of something that has none");
    }
}
