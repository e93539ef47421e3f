#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <stdlib.h>

START_TEST(image_from_bytes_exact) {
    static const int64_t dims[][3] = {{1, 1, 1}, {3, 5, 7}, {2, 16, 16}, {3, 181, 199}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        int64_t B = dims[i][0], pixels = dims[i][1] * dims[i][2];
        float *lut = random_floats(B * 256, 1, -2, 2);
        uint8_t *bytes = malloc((size_t)(B * pixels));
        for (int64_t k = 0; k < B * pixels; k++) bytes[k] = (uint8_t)(k * 37 + k / 256);
        tensor in = constant_u8(bytes, 3, dims[i]);
        tensor table = constant_f32(lut, 2, (int64_t[]){B, 256});
        for (int oracle = 0; oracle < 2; oracle++) {
            tape t;
            tape_open_large(&t, oracle);
            tensor *y = image_from_bytes(&t, &in, &table);
            tensor_expect(y, "y", 4, (int64_t[]){B, dims[i][1], dims[i][2], 1});
            ck_assert(!y->grad);
            for (int64_t k = 0; k < B * pixels; k++) {
                float expected = lut[k / pixels * 256 + bytes[k]];
                ck_assert(oracle ? ((double *)y->data)[k] == (double)expected
                                 : ((float *)y->data)[k] == expected);
            }
            tape_free(&t);
        }
        free(lut), free(bytes);
    }
}
END_TEST

static void floats_for_bytes(tape *t) {
    image_from_bytes(t, tape_tensor(t, 3, (int64_t[]){2, 3, 4}),
                     tape_tensor(t, 2, (int64_t[]){2, 256}));
}

static void short_table(tape *t) {
    image_from_bytes(t, tape_tensor_of(t, DTYPE_U8, 3, (int64_t[]){2, 3, 4}),
                     tape_tensor(t, 2, (int64_t[]){1, 256}));
}

START_TEST(image_from_bytes_wrong) {
    expect_death(floats_for_bytes, "image_from_bytes bytes: is F32, expected U8");
    expect_death(short_table, "image_from_bytes lut: has shape (1, 256), expected (2, 256)");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("image_from_bytes");
    TCase *tests = tcase_create("image_from_bytes");
    tcase_add_test(tests, image_from_bytes_exact);
    tcase_add_test(tests, image_from_bytes_wrong);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
