// The aligner's frozen random projector against hi-ml's image model under torch: the first and last
// values, sums of squares, and all bits.
#include "core/checksum.h"
#include "tests/models/helper_reference.h"

#include <check.h>
#include <stdlib.h>

// torch.manual_seed(SEED); ImageModel("resnet50_multi_image", 1408).projector.state_dict(), with torch
// 1.13 and hi-ml-multimodal 0.2.2 on a CPU with AVX2.
typedef struct vector {
    uint32_t seed;
    const char *name;
    double first[4], last[2], squares;
    uint32_t crc; // of the values' bytes
} vector;

static const vector vectors[] = {
    {42,
     "projector.model.0.weight",
     {-0.02481751, 0.02032655, 0.01312846, 0.01350003},
     {0.02345338, -0.02975203},
     469.69576533,
     0x5ede1d10},
    {42,
     "projector.model.3.weight",
     {0.01687681, 0.01178290, -0.00948688, -0.00080365},
     {-0.02436766, 0.00990628},
     469.94568311,
     0xcc729fd4},
    {42,
     "projector.model.3.bias",
     {0.00069653, 0.01300789, 0.01419379, 0.02046104},
     {-0.01218068, 0.01847437},
     0.35067526,
     0x990fe563},
    {42, "projector.model.1.running_var", {1, 1, 1, 1}, {1, 1}, 1408, 0x35648417},
    {42, "projector.model.1.bias", {0, 0, 0, 0}, {0, 0}, 0, 0xb9da7de2},
    {16,
     "projector.model.0.weight",
     {-0.02487219, -0.01866430, 0.01176925, -0.03443205},
     {-0.02485388, 0.00521414},
     469.29421802,
     0xdcdd125b},
    {16,
     "projector.model.3.weight",
     {0.01571908, -0.00284609, -0.00040933, 0.00218943},
     {0.00320560, 0.01059587},
     469.73797176,
     0xc906f227},
    {16,
     "projector.model.3.bias",
     {0.02286847, -0.00559673, 0.02308461, -0.01394548},
     {0.01731798, -0.01572969},
     0.32713337,
     0x0b03032c},
    {16, "projector.model.1.weight", {1, 1, 1, 1}, {1, 1}, 1408, 0x35648417},
    {16, "projector.model.1.running_mean", {0, 0, 0, 0}, {0, 0}, 0, 0xb9da7de2},
};

static void check_vector(const params *p, const vector *v) {
    char name[NAME_SIZE];
    const param *q = params_find(p, name_in(name, "biovil_encoder", v->name));
    ck_assert(q != NULL);
    int64_t n = tensor_count(&q->value);
    float *x = malloc((size_t)n * sizeof *x);
    double squares = 0;
    ck_assert_int_eq(param_read(p, q, param_block(p, q), x), STATUS_OK);
    for (int64_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
    for (int i = 0; i < 4; i++) ck_assert_double_eq_tol((double)x[i], v->first[i], 5.1e-9);
    for (int i = 0; i < 2; i++) ck_assert_double_eq_tol((double)x[n - 2 + i], v->last[i], 5.1e-9);
    ck_assert_double_eq_tol(squares, v->squares, 5.1e-9);
    ck_assert_msg(checksum_crc32(0, x, (size_t)n * sizeof *x) == v->crc, "%u %s", v->seed, v->name);
    free(x);
}

START_TEST(projector_of_the_seeds) {
    reference_model m;
    classifier_config c = reference_full;
    uint32_t seed = 0;
    c.encoder.image_size = 448;
    c.encoder.joint_width = 1408;
    reference_open(&m, false, &c);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        if (vectors[i].seed != seed) {
            seed = vectors[i].seed;
            reference_fill(&m);
            ck_assert_int_eq(
                biovil_t_fill_frozen_projector(&m.model.encoder, &m.params, "biovil_encoder", seed),
                STATUS_OK);
        }
        check_vector(&m.params, &vectors[i]);
    }
    reference_close(&m);
}
END_TEST

START_TEST(other_encoders_are_refused) {
    reference_model m;
    reference_open(&m, false, &reference_small);
    ck_assert_int_eq(
        biovil_t_fill_frozen_projector(&m.model.encoder, &m.params, "biovil_encoder", 42),
        STATUS_USAGE);
    reference_close(&m);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("projector");
    TCase *tests = tcase_create("frozen");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, projector_of_the_seeds);
    tcase_add_test(tests, other_encoders_are_refused);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
