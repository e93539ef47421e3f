// The shim finds what is planted, and finds nothing in a kernel without faults.
#include "core/cuda/stream.h"
#include "models/ops/kernels.h"
#include "tests/shim/planted.h"
#include "tests/shim/shim.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 64 };

static device *open_shim(void) {
    device *d = NULL;
    ck_assert_int_eq(device_open_shim(&d, DTYPE_F32), STATUS_OK);
    return d;
}

// Runs with FAULT on OUT (2) and numbers 1 to 64; what was reported.
static const char *report_of(float out[2], enum planted_fault fault) {
    device *d = open_shim();
    float *inp = malloc(COUNT * sizeof *inp);
    for (int i = 0; i < COUNT; i++) inp[i] = (float)(i + 1);
    shim_catch();
    planted_run(out, inp, fault, d->stream);
    free(inp);
    device_close(d);
    return shim_caught();
}

START_TEST(nothing_in_a_good_kernel) {
    float out[2] = {0, 5};
    ck_assert_str_eq(report_of(out, PLANTED_NONE), "");
    ck_assert(out[0] == COUNT * (COUNT + 1) / 2 && out[1] == 5);
    shim_reverse(true);
    ck_assert_str_eq(report_of(out, PLANTED_NONE), "");
    shim_reverse(false);
    ck_assert(out[0] == COUNT * (COUNT + 1) / 2);
}
END_TEST

static const struct {
    enum planted_fault fault;
    const char *text;
} reported[] = {
    {PLANTED_RACE, "race: threads 0 and 1 both write x[0]"},
    {PLANTED_MISSING_BARRIER, "before it is written"},
    {PLANTED_READ_RACE, "race: thread 40 writes x[3], which thread 3 reads"},
    {PLANTED_NEVER_WRITTEN, "thread 5 reads x[5] before it is written"},
    {PLANTED_OUTSIDE_SHARED, "thread 7 touches x[64] of 64"},
    {PLANTED_SKIPPED_BARRIER, "only 32 of 64 threads reach a barrier"},
    {PLANTED_TWO_BARRIERS, "threads wait at different barriers"},
    {PLANTED_MISSING_LANE, "waits for lanes of its warp that do not take part"},
    {PLANTED_LARGE_BLOCK, "blocks of 1056 x 1 x 1 threads"},
    {PLANTED_MUCH_SHARED, "65536 bytes of shared memory"},
};

START_TEST(each_fault_is_reported) {
    float out[2] = {0};
    const char *text = report_of(out, reported[_i].fault);
    ck_assert_msg(strstr(text, reported[_i].text) != NULL, "reported: '%s', expected '%s'", text,
                  reported[_i].text);
    if (reported[_i].fault != PLANTED_MUCH_SHARED && reported[_i].fault != PLANTED_LARGE_BLOCK)
        ck_assert_msg(strstr(text, "kernel planted, block (0, 0, 0)") && strstr(text, "planted.cu:"), "%s", text);
}
END_TEST

// After a report a good kernel runs as if nothing had been.
START_TEST(faults_leave_nothing_behind) {
    float out[2] = {0};
    for (size_t i = 0; i < sizeof reported / sizeof *reported; i++) {
        report_of(out, reported[i].fault);
        ck_assert_str_eq(report_of(out, PLANTED_NONE), "");
        ck_assert(out[0] == COUNT * (COUNT + 1) / 2);
    }
}
END_TEST

// Blocks that add to one place: what comes out says in which order they ran.
START_TEST(order_of_blocks_is_seen) {
    float there[2] = {0}, back[2] = {0};
    report_of(there, PLANTED_ORDER);
    shim_reverse(true);
    report_of(back, PLANTED_ORDER);
    shim_reverse(false);
    ck_assert(there[0] != back[0]);
}
END_TEST

START_TEST(a_write_behind_the_output_is_seen) {
    float out[2] = {0, 5};
    report_of(out, PLANTED_OUTSIDE);
    ck_assert(out[1] != 5);
}
END_TEST

// Under address sanitizer, reads behind a block end the program.
#ifdef __SANITIZE_ADDRESS__
START_TEST(a_read_behind_the_input_is_seen) {
    pid_t child = fork();
    if (child == 0) {
        float out[2];
        if (!freopen("/dev/null", "w", stderr)) _exit(0);
        report_of(out, PLANTED_READ_OUTSIDE);
        _exit(0);
    }
    int ended = 0;
    ck_assert_int_eq(waitpid(child, &ended, 0), child);
    ck_assert(!(WIFEXITED(ended) && WEXITSTATUS(ended) == 0));
}
END_TEST
#endif

// What ends the program outside of these tests.
START_TEST(a_fault_ends_the_program) {
    pid_t child = fork();
    if (child == 0) {
        float out[2] = {0}, inp[COUNT] = {0};
        device *d = open_shim();
        if (!freopen("/dev/null", "w", stderr)) _exit(0);
        planted_run(out, inp, PLANTED_RACE, d->stream);
        _exit(0);
    }
    int ended = 0;
    ck_assert_int_eq(waitpid(child, &ended, 0), child);
    ck_assert(!(WIFEXITED(ended) && WEXITSTATUS(ended) == 0));
}
END_TEST

// In a recorded step the step and the first sample come from the device's memory, whatever the key says.
START_TEST(recorded_draws_read_the_step) {
    enum { SAMPLES = 3, EACH = 50 };
    device *d = open_shim();
    float x[SAMPLES * EACH], plain[SAMPLES * EACH], recorded[SAMPLES * EACH];
    for (int i = 0; i < SAMPLES * EACH; i++) x[i] = (float)i + 1;
    dropout_shape z = {.samples = SAMPLES, .per_sample = EACH, .group = 1, .rate = 0.5,
                       .key = {7, 11, 40}, .first_sample = 9};
    op_kernels_cuda.dropout_forward(plain, x, &z, DTYPE_F32, d->stream);
    z.key.step = 1, z.first_sample = 2;
    op_kernels_cuda.dropout_forward(recorded, x, &z, DTYPE_F32, d->stream);
    ck_assert(memcmp(plain, recorded, sizeof plain));
    shim_record(d, true, 40, 9);
    op_kernels_cuda.dropout_forward(recorded, x, &z, DTYPE_F32, d->stream);
    shim_record(d, false, 0, 0);
    ck_assert_mem_eq(plain, recorded, sizeof plain);
    device_close(d);
}
END_TEST

// Packed rows tell their samples themselves; the step is the recorded one all the same.
START_TEST(recorded_rows_keep_their_samples) {
    enum { ROWS = 3, EACH = 48 };
    static const int32_t rows[ROWS][2] = {{3, 1}, {-1, 0}, {70, 0}};
    device *d = open_shim();
    float x[ROWS * EACH], plain[ROWS * EACH], recorded[ROWS * EACH];
    for (int i = 0; i < ROWS * EACH; i++) x[i] = (float)i + 1;
    dropout_shape z = {.samples = ROWS, .per_sample = EACH, .group = 1, .rate = 0.5, .key = {7, 11, 40},
                       .rows = rows[0]};
    op_kernels_cuda.dropout_forward(plain, x, &z, DTYPE_F32, d->stream);
    z.key.step = 1;
    op_kernels_cuda.dropout_forward(recorded, x, &z, DTYPE_F32, d->stream);
    ck_assert(memcmp(plain, recorded, sizeof plain));
    shim_record(d, true, 40, 9);
    op_kernels_cuda.dropout_forward(recorded, x, &z, DTYPE_F32, d->stream);
    shim_record(d, false, 0, 0);
    ck_assert_mem_eq(plain, recorded, sizeof plain);
    device_close(d);
}
END_TEST

START_TEST(recorded_attention_reads_the_step) {
    enum { N = 2 * 9 * 4 };
    device *d = open_shim();
    float q[N], v[N], plain[N], recorded[N], lse[18];
    for (int i = 0; i < N; i++) q[i] = (float)(i % 7) / 7, v[i] = (float)(i % 11);
    attention_shape z = {.B = 2, .TQ = 9, .TK = 9, .H = 1, .D = 4, .scale = 0.5, .dropout = 0.5,
                         .key = {7, 11, 40}, .first_sample = 9};
    const attention_tensors first = {{plain}, {lse}, {q}, {q}, {v}}, again = {{recorded}, {lse}, {q}, {q}, {v}};
    op_kernels_cuda.attention_forward(&first, &z, DTYPE_F32, NULL, d->stream);
    z.key.step = 1, z.first_sample = 2;
    op_kernels_cuda.attention_forward(&again, &z, DTYPE_F32, NULL, d->stream);
    ck_assert(memcmp(plain, recorded, sizeof plain));
    shim_record(d, true, 40, 9);
    op_kernels_cuda.attention_forward(&again, &z, DTYPE_F32, NULL, d->stream);
    shim_record(d, false, 0, 0);
    ck_assert_mem_eq(plain, recorded, sizeof plain);
    device_close(d);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("shim");
    TCase *tests = tcase_create("shim");
    tcase_add_test(tests, nothing_in_a_good_kernel);
    tcase_add_loop_test(tests, each_fault_is_reported, 0, sizeof reported / sizeof *reported);
    tcase_add_test(tests, faults_leave_nothing_behind);
    tcase_add_test(tests, order_of_blocks_is_seen);
    tcase_add_test(tests, a_write_behind_the_output_is_seen);
#ifdef __SANITIZE_ADDRESS__
    tcase_add_test(tests, a_read_behind_the_input_is_seen);
#endif
    tcase_add_test(tests, a_fault_ends_the_program);
    tcase_add_test(tests, recorded_draws_read_the_step);
    tcase_add_test(tests, recorded_rows_keep_their_samples);
    tcase_add_test(tests, recorded_attention_reads_the_step);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
