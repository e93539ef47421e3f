// Checks one op on one set of shapes, in seven ways:
//   1. the oracle's gradients against central differences in double (signed error, random output
//      weights; every coordinate of small inputs, random directions of large ones);
//   2. the CPU's output and gradients against the oracle's, on equal inputs;
//   3. using the op twice doubles every gradient on both devices (write first, then add);
//   4. guard words around gradients and behind outputs stay as they were;
//   5. each backward rule scaled by 1.01, input by input, is caught by 1 and by 2;
//   6. the same as 2 to 5 in bf16 where the CPU has it, on inputs that bf16 holds exactly, so that
//      what is left are roundings of results;
//   7. the same as 2 to 5 with the CUDA kernels' own source on the host shim (tests/shim/) in f32, bf16 and f16,
//      where blocks and threads in reverse order must give the same bits.
#pragma once
#include "models/ops/ops.h"
#include <check.h>

enum { OP_MAX_INPUTS = 12 };

typedef struct op_input {
    int rank;
    int64_t dim[TENSOR_MAX_RANK];
    bool gradient;    // wants one
    bool weight;      // a parameter's matrix: its gradient is wide (vectors are wide in any case)
    bool wide;        // a matrix of the wide type
    double low, high; // uniform range; both 0: -1 to 1
    double gap;       // values are kept this far from 0 (kinks); differences use a smaller step
} op_input;

typedef struct op_case {
    const char *op; // the name the op records under
    op_input input[OP_MAX_INPUTS];
    int inputs;
    // Runs the op once. Called with F32 tensors on the CPU and F64 ones on the oracle.
    tensor *(*run)(tape *t, tensor **in, const void *context);
    const void *context;
    double tolerance; // of 2, as ||a-b|| <= tolerance * ||b||; 0: 2e-6 * sqrt(largest input count)
    bool training;    // tape.training
    bool steps;       // the output is a staircase of the inputs: differences say nothing, 1 is left out
} op_case;

// Fails the running test with a message that names the op, the input and the numbers.
void op_check(const op_case *c);

// Devices shared by all tests of a program.
enum { ON_CPU, ON_ORACLE, ON_CPU_BF16, ON_SHIM, ON_SHIM_BF16, ON_SHIM_F16, TEST_DEVICES };
device *test_device(int which);

// Constants for run functions: host arrays as tensors without gradient.
tensor constant_u8(const uint8_t *data, int rank, const int64_t *dim);
tensor constant_i32(const int32_t *data, int rank, const int64_t *dim);
tensor constant_f32(const float *data, int rank, const int64_t *dim);

// Runs all tests of SUITE; the value for main to return.
int run_suite(Suite *suite);
