// The registry of a model's parameters and buffers.
//
// A model first declares everything by name (its layers call param_add), then rules freeze parts of it,
// then params_allocate lays all trainable values, and their gradients, out in two flat blocks with equal
// offsets; frozen values and buffers get blocks of their own. Names are those of the public checkpoints.
//
// Where the device computes in bf16 or fp16, vectors (biases, norms, statistics) stay wide (dtype_wide),
// and so do the trainable values that the optimizer updates: matrices compute with a narrow copy of them
// that is renewed after each update. Frozen matrices exist in the device's type alone.
#pragma once
#include "core/arena.h"
#include "models/nn/quantise.h"
#include "models/ops/ops.h"

typedef enum param_role {
    PARAM_WEIGHT,  // trainable unless frozen
    PARAM_BUFFER,  // state that is saved but not trained: running statistics
    PARAM_CONSTANT // computed from the configuration, not saved: position tables
} param_role;

typedef enum init_kind {
    INIT_ZERO,
    INIT_ONE,
    INIT_CONSTANT,
    INIT_UNIFORM,
    INIT_NORMAL,
    INIT_TRUNCATED
} init_kind;

// How a parameter begins. Draws are keyed by (seed, name, element): they depend on nothing else.
typedef struct init {
    init_kind kind;
    double scale; // that constant; U(-scale, scale); N(0, scale); N(0, scale) cut off at two scales
} init;

// A run of a parameter's rows that files hold as a tensor of its own: layers that read the same input
// are one matrix in memory (q, k and v), and several in public checkpoints.
typedef struct param_piece {
    const char *name;
    int64_t rows;
} param_piece;
enum { PARAM_PIECES = 3 };

typedef struct param {
    const char *name;
    param_role role;
    init init;
    bool frozen;
    bool apart;           // its values come from a file of their own: checkpoints do not hold them
    bool coded;           // a frozen matrix in few bits: its numbers are in QUANTISED alone
    quantised quantised;
    bool decay;           // weight decay applies (set by a rule of the stage)
    tensor value;         // conv weights: OHWI
    gradient grad;        // value.grad points here where the parameter trains
    int64_t offset;       // in elements of its block's copy of it; of what is coded, in bytes
    bool conv;            // a convolution's weight: OHWI in memory, OIHW in files
    int file_rank;        // shape in checkpoint files
    int64_t file_dim[TENSOR_MAX_RANK];
    int pieces; // 0: files hold the whole under its name
    param_piece piece[PARAM_PIECES];
} param;

// What a file holds of a parameter under one name.
typedef struct param_file {
    const char *name;
    int rank;
    int64_t dim[TENSOR_MAX_RANK];
    int64_t first, count; // elements of the parameter, in the order of files
} param_file;

typedef struct params {
    device *device; // borrowed
    arena names;
    param **item;
    size_t count, capacity;
    status failed; // sticky, of param_add
    void *values, *gradients;      // (trainable) wide
    void *narrow;                  // (trainable) in the device's type; NULL where that is wide
    void *frozen, *buffers;        // each tensor in its own type
    int64_t trainable;             // elements
    size_t frozen_bytes, buffer_bytes;
} params;

status params_open(params *p, device *d);
void params_close(params *p);

// Declares a parameter. NAME is copied. The tensor is valid from params_allocate on and lives as long
// as P. A failure is kept in P and reported by params_allocate.
tensor *param_add(params *p, param_role role, const char *name, init how, int rank,
                  const int64_t *dim);
// The same for a convolution's weight (O, K, K, C), which files hold as (O, C, K, K).
tensor *param_add_conv(params *p, const char *name, init how, int64_t O, int64_t K, int64_t C);

// The latest parameter has this shape in files (same elements, same order).
void param_file_shape(params *p, int rank, const int64_t *dim);

// Files hold the latest parameter's rows as COUNT tensors with these names (copied) and numbers of rows.
void param_pieces(params *p, int count, const param_piece *piece);
// The tensors of Q in files: how many there are, and number I of them.
int param_files(const param *q);
param_file param_file_at(const param *q, int i);

// Freezes every weight whose name starts with PREFIX; returns how many. Before params_allocate.
int params_freeze(params *p, const char *prefix);
// Those whose name starts with PREFIX stand apart: params_init and checkpoints pass them by.
int params_apart(params *p, const char *prefix);

// Frozen matrices whose names have PART in them are kept as HOW; returns how many. Before params_allocate.
int params_quantise(params *p, const char *part, quantisation how);

status params_allocate(params *p);
// Fills a parameter from host memory, in the order of files.
status param_fill(params *p, const char *name, const float *values);
// The CRC-32 of the values, as f32 in the order of files, of all weights and buffers whose names begin with PREFIX.
status params_checksum(uint32_t *crc, const params *p, const char *prefix);
// Fills weights and buffers with their beginnings: all but those that stand apart, or of these those whose
// names start with PREFIX.
status params_init(params *p, uint64_t seed);
status params_init_apart(params *p, uint64_t seed, const char *prefix);
// A step begins: no gradient has been touched, no use recorded.
void params_begin(params *p);

param *params_find(const params *p, const char *name); // NULL if there is none

// A parameter's values between the device and host memory in file layout, as f32. SOURCE is a block in
// the parameter's layout: p->values for weights, or an optimizer's block with equal offsets.
status param_read(const params *p, const param *q, const void *block, float *out);
status param_write(const params *p, const param *q, void *block, const float *values);
// Takes the numbers of a coded parameter, of which all rows were given, to the device.
void param_code(params *p, param *q, const quantise *codes);
// The same of a part in files.
status param_read_file(const params *p, const param *q, const param_file *f, const void *block,
                       float *out);
status param_write_file(const params *p, const param *q, const param_file *f, void *block,
                        const float *values);
// COUNT elements of a part in files from its element FIRST on, in the type of Q's value, as they are: of what
// is frozen and no convolution.
void param_write_raw(const params *p, const param *q, const param_file *f, int64_t first, int64_t count,
                     const void *numbers);
// The same as f64, which loses nothing of what a device in double holds.
status param_read_f64(const params *p, const param *q, const void *block, double *out);
status param_write_f64(const params *p, const param *q, void *block, const double *values);
// Elements that q takes in its block, with the padding behind it, which is zero.
int64_t param_extent(const param *q);
// The block that holds q's value.
void *param_block(const params *p, const param *q);

// "PREFIX.NAME" in TEXT.
enum { NAME_SIZE = 192 };
const char *name_in(char text[NAME_SIZE], const char *prefix, const char *name);
