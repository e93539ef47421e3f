// The checklist: every kernel of ops.h belongs to an op, has an oracle and is declared from the
// list; every op has a test that calls it, and every backward rule one that op_check goes through.
// Works on the sources, so that a forgotten test fails here; and on what the other test programs left behind
// about the CUDA kernels that they ran on the host shim (ctest runs them before this one).
#include "optim/kernels.h"
#include "tests/ops/helper_op_check.h"

#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sources {
    int count;
    char **name, **text;
} sources;

static char *read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "cannot open %s", path);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    char *text = calloc((size_t)size + 1, 1);
    ck_assert_uint_eq(fread(text, 1, (size_t)size, f), (size_t)size);
    fclose(f);
    return text;
}

// The files of PATTERN whose names do not contain WITHOUT.
static sources read_all(const char *pattern, const char *without) {
    glob_t found;
    sources s = {0};
    ck_assert_msg(!glob(pattern, 0, NULL, &found), "nothing is %s", pattern);
    s.name = calloc(found.gl_pathc, sizeof *s.name);
    s.text = calloc(found.gl_pathc, sizeof *s.text);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (strstr(found.gl_pathv[i], without)) continue;
        s.name[s.count] = strdup(found.gl_pathv[i]);
        s.text[s.count++] = read_file(found.gl_pathv[i]);
    }
    globfree(&found);
    return s;
}

static void free_all(sources *s) {
    for (int i = 0; i < s->count; i++) free(s->name[i]), free(s->text[i]);
    free(s->name), free(s->text);
}

// The first source that contains TEXT where no name goes on to its left; -1 if none.
static int find(const sources *s, const char *text) {
    for (int i = 0; i < s->count; i++)
        for (const char *at = s->text[i]; (at = strstr(at, text)); at++)
            if (at == s->text[i] || !(isalnum((unsigned char)at[-1]) || at[-1] == '_')) return i;
    return -1;
}

static int find_format(const sources *s, const char *format, const char *name) {
    char text[160];
    snprintf(text, sizeof text, format, name);
    return find(s, text);
}

START_TEST(kernels_have_ops_and_oracles) {
    sources ops = read_all(SOURCE_ROOT "/models/ops/*.c", "_cpu.c");
    sources oracles = read_all(SOURCE_ROOT "/tests/oracle/*_oracle.c", "oracle_device");
    int count = 0;
    for (const char *const *name = op_kernel_names; *name; name++, count++) {
        ck_assert_msg(find_format(&ops, "ops->%s(", *name) >= 0, "no op calls the kernel %s",
                      *name);
        ck_assert_msg(find_format(&oracles, "%s_oracle(", *name) >= 0,
                      "the kernel %s has no oracle", *name);
    }
    ck_assert_int_gt(count, 40);
    free_all(&ops);
    free_all(&oracles);
}
END_TEST

// Names of ops: "tensor *NAME(tape *t" at the start of a line of ops.h.
static char *next_op(const char **at) {
    static const char mark[] = "\ntensor *";
    const char *found = strstr(*at, mark);
    if (!found) return NULL;
    found += strlen(mark);
    size_t length = strcspn(found, "(");
    *at = found + length;
    ck_assert_msg(!strncmp(*at, "(tape *t,", 9), "ops.h: what is '%.30s'?", found);
    return strndup(found, length);
}

START_TEST(ops_have_tests) {
    sources tests = read_all(SOURCE_ROOT "/tests/ops/test_*.c", "test_kernel_list");
    char *header = read_file(SOURCE_ROOT "/models/ops/ops.h"), *name;
    const char *at = header;
    int count = 0;
    while ((name = next_op(&at))) {
        bool called =
            find_format(&tests, "%s(t, ", name) >= 0 || find_format(&tests, "%s(&t, ", name) >= 0;
        ck_assert_msg(called, "no test in tests/ops calls the op %s", name);
        free(name);
        count++;
    }
    ck_assert_int_gt(count, 20);
    free(header);
    free_all(&tests);
}
END_TEST

// Names under which rules are recorded: the text in tape_record(t, "NAME", or, where one function
// serves several ops, any text followed by ", NAME_rule" is found by the op's own name.
START_TEST(rules_are_checked) {
    sources ops = read_all(SOURCE_ROOT "/models/ops/*.c", "_cpu.c");
    sources tests = read_all(SOURCE_ROOT "/tests/ops/test_*.c", "test_kernel_list");
    static const char mark[] = "tape_record(t, \"";
    int count = 0;
    for (int i = 0; i < ops.count; i++)
        for (const char *at = ops.text[i]; (at = strstr(at, mark));) {
            at += strlen(mark);
            char name[64];
            snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "\""), at);
            int test = find_format(&tests, ".op = \"%s\"", name);
            ck_assert_msg(test >= 0, "%s: no op_check goes through the rule of %s", ops.name[i],
                          name);
            ck_assert_msg(strstr(tests.text[test], "op_check(") != NULL, "%s: no op_check",
                          tests.name[test]);
            count++;
        }
    ck_assert_int_gt(count, 15);
    free_all(&ops);
    free_all(&tests);
}
END_TEST

// Calls of kernel NAME that the programs of tests/FLOOR counted.
static long long calls_of(const sources *calls, const char *name) {
    char text[160];
    long long sum = 0;
    snprintf(text, sizeof text, "%s_cuda ", name);
    for (int i = 0; i < calls->count; i++)
        for (const char *at = calls->text[i]; (at = strstr(at, text)); at++)
            if (at == calls->text[i] || at[-1] == '\n') sum += atoll(at + strlen(text));
    return sum;
}

START_TEST(cuda_kernels_ran_on_the_shim) {
    sources calls = read_all(SHIM_CALLS "/test_*", "test_shim");
    const char *const *const lists[] = {op_kernel_names, op_fused_names, optim_kernel_names};
    for (int i = 0; i < 3; i++)
        for (const char *const *name = lists[i]; *name; name++)
            ck_assert_msg(calls_of(&calls, *name) > 0, "no test ran the CUDA kernel %s on the shim",
                          *name);
    free_all(&calls);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kernel_list");
    TCase *tests = tcase_create("kernel_list");
    tcase_add_test(tests, kernels_have_ops_and_oracles);
    tcase_add_test(tests, ops_have_tests);
    tcase_add_test(tests, rules_are_checked);
    tcase_add_test(tests, cuda_kernels_ran_on_the_shim);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
