// A run's numbers read back from its folder (train/run_record.h), also while they are written, and
// its page.
#include "core/files/fs.h"
#include "tests/core/helper_check.h"
#include "tests/train/helper_program.h"
#include "train/run_page.h"
#include "train/run_record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char
    first
        [] = "{\"step\":1,\"epoch\":0,\"loss\":2.5,\"itc\":1.5,\"lm\":1,\"lr\":0.1,\"grad_norm\":3,"
             "\"ms\":1000}\n",
   second[] =
       "{\"step\":2,\"epoch\":0,\"loss\":2,\"itc\":1.25,\"lm\":0.75,\"lr\":0.2,\"grad_norm\":null,"
       "\"ms\":500,"
       "\"validation\":{\"loss\":2.25,\"auc\":0.5,\"count\":7,\"image_to_text\":{\"recall_1\":0.25}"
       ","
       "\"sample\":{\"id\":\"a<b\",\"text\":\"<script>no</script>\"},"
       "\"classes\":{\"Edema\":{\"f1\":0.75,\"auc\":null},\"Fracture\":{\"f1\":0,\"auc\":0.5}}}}\n",
   third[] =
       "{\"step\":3,\"epoch\":1,\"loss\":1,\"itc\":0.5,\"lm\":0.5,\"lr\":0.1,\"grad_norm\":1,"
       "\"ms\":250,"
       "\"validation\":{\"loss\":2,\"auc\":0.625,\"count\":7,\"image_to_text\":{\"recall_1\":0.5},"
       "\"sample\":{\"id\":\"a<b\",\"text\":\"clear\"},"
       "\"classes\":{\"Edema\":{\"f1\":0.5,\"auc\":1},\"Fracture\":{\"f1\":0,\"auc\":0.5}}}}\n";

static char folder[PATH_SIZE];

static void put(const char *name, const char *a, const char *b, const char *c) {
    char path[PATH_SIZE];
    buffer text = {0};
    buffer_text(&text, a);
    buffer_text(&text, b);
    buffer_text(&text, c);
    ck_assert(!path_join(path, sizeof path, folder, name) &&
              !file_write(path, text.data, text.length));
    buffer_free(&text);
}

static void setup(void) {
    strcpy(folder, scratch("run"));
    ck_assert(!path_remove(folder) && !folder_make(folder));
}

static void expect_series(const run_record *r, const char *name, int64_t count, double last) {
    const run_series *s = run_record_find(r, name);
    ck_assert_msg(s != NULL, "no %s", name);
    ck_assert_int_eq(s->count, count);
    ck_assert_msg(s->value[count - 1] == last || (isnan(last) && isnan(s->value[count - 1])),
                  "%s: %g", name, s->value[count - 1]);
    ck_assert_double_eq(s->step[count - 1], (double)r->step);
}

START_TEST(reading) {
    run_record r;
    put("metrics.jsonl", first, second, "{\"step\":3,\"lo"); // being written
    put("log.txt", "starting at step 0 of 9\nx starting at step 0 of 99\n",
        "resuming from step 1 of 4\n", "step 2: ...\n");
    ck_assert_msg(!run_record_open(&r, folder), "%s", status_text());
    ck_assert(r.step == 2 && r.total == 4 && r.samples == 1);
    ck_assert_double_eq(r.ms, 1500);
    expect_series(&r, "loss", 2, 2);
    expect_series(&r, "grad_norm", 2, NAN);
    expect_series(&r, "validation.classes.Edema.f1", 1, 0.75);
    expect_series(&r, "validation.image_to_text.recall_1", 1, 0.25);
    ck_assert_ptr_null(run_record_find(&r, "validation.sample"));
    ck_assert_str_eq(r.sample[0].text, "<script>no</script>");
    put("metrics.jsonl", first, second, third); // written
    ck_assert(!run_record_more(&r, folder));
    ck_assert(r.step == 3 && r.samples == 2);
    expect_series(&r, "validation.loss", 2, 2);
    put("metrics.jsonl", first, "", ""); // a run that resumed from step 1
    ck_assert(!run_record_more(&r, folder));
    ck_assert(r.step == 1 && !r.samples && r.total == 4);
    expect_series(&r, "loss", 1, 2.5);
    run_record_close(&r);
}
END_TEST

static void expect_bad(status expected, const char *a, const char *b, const char *place,
                       const char *reason) {
    run_record r;
    put("metrics.jsonl", a, b, "");
    expect_failure(run_record_open(&r, folder), expected, b, place, reason);
    run_record_close(&r);
}

START_TEST(refusals) {
    run_record r;
    expect_failure(run_record_open(&r, folder), STATUS_IO, "none", "metrics.jsonl", NULL);
    run_record_close(&r);
    expect_bad(STATUS_FORMAT, first, "{\"step\":2,]}\n", "metrics.jsonl:2", NULL);
    expect_bad(STATUS_FORMAT, first, "{\"loss\":2}\n", "metrics.jsonl:2", "step");
    expect_bad(STATUS_FORMAT, first, "[1]\n", "metrics.jsonl:2", NULL);
    expect_bad(STATUS_FORMAT, "{\"step\":1,\"validation\":{\"sample\":{\"id\":3}}}\n", "",
               "metrics.jsonl:1", "id");
}
END_TEST

static char *read_page(buffer *page) {
    char path[PATH_SIZE];
    ck_assert_msg(!run_page_write(folder), "%s", status_text());
    ck_assert(!path_join(path, sizeof path, folder, "report.html") && !file_read(path, 0, page));
    return page->data;
}

START_TEST(pages) {
    buffer page = {0};
    put("metrics.jsonl", first, second, third);
    put("log.txt", "resuming from step 0 of 5\n", "starting at step 0 of 9\n", "a: starting at step 0 of 99\n");
    put("config.resolved.json", "{\"a\": \"</pre><b>\"}", "", "");
    const char *html = read_page(&page);
    static const char *const there[] = {"3 of 9",
                                        "0:00:01",
                                        "2.5 at first, 1 at last",
                                        "2 at best, at step 3",
                                        "Parts of the loss",
                                        "Learning rate",
                                        "image_to_text",
                                        "Edema",
                                        "0.50",
                                        "&lt;script&gt;no&lt;/script&gt;",
                                        "&lt;/pre&gt;&lt;b&gt;",
                                        "a&lt;b"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        ck_assert_msg(strstr(html, there[i]) != NULL, "no %s", there[i]);
    ck_assert_ptr_null(strstr(html, "<script"));
    ck_assert_ptr_null(strstr(html, ">count<")); // never changes
    put("metrics.jsonl", "", "", "");            // before the first step
    ck_assert_ptr_nonnull(strstr(read_page(&page), "0 of 9"));
    buffer_free(&page);
}
END_TEST

// Both commands, also before the first step.
START_TEST(commands) {
    char path[PATH_SIZE];
    put("metrics.jsonl", first, second, third);
    put("log.txt", "starting at step 0 of 9\n", "", "");
    outcome o = program("watch %s", folder);
    ck_assert_msg(o.exit == 0, "%s", o.err);
    ck_assert_ptr_nonnull(strstr(o.out, "3 of 9, epoch 2\n"));
    ck_assert_ptr_nonnull(strstr(o.out, "step 3: loss 2 auc 0.625 count 7\n"));
    ck_assert_ptr_nonnull(strstr(o.out, "0:00:03 left")); // 6 steps of 0.58 s
    ck_assert_ptr_nonnull(strstr(o.out, "█"));
    ck_assert_ptr_null(strstr(o.out, "\x1b"));
    outcome_free(&o);
    put("log.txt", "starting at step 0 of 2\n", "", ""); // continued with fewer steps than there are
    o = program("watch %s", folder);
    ck_assert_msg(o.exit == 0 && strstr(o.out, "0:00:00 left"), "%s%s", o.out, o.err);
    outcome_free(&o);
    put("log.txt", "starting at step 0 of 9\n", "", "");
    o = program("report %s --tensorboard", folder);
    ck_assert_msg(o.exit == 0 && strstr(o.out, "report.html"), "%s", o.err);
    outcome_free(&o);
    size_t size = 0;
    ck_assert(!path_join(path, sizeof path, folder, "events.out.tfevents.0000000000.radialog"));
    char *events = read_file(path, &size);
    ck_assert_uint_gt(size, 12 * 40);
    ck_assert(!memcmp(events + 21,
                      "\x1a\x0d"
                      "brain.Event:2",
                      15));
    free(events);
    ck_assert(!path_remove(folder) && !folder_make(folder));
    program_expect(0, "watch %s --once", folder);
    program_expect(1, "report %s", folder);
    ck_assert(!path_remove(folder));
    program_expect(1, "watch %s", folder);
    program_expect(2, "report %s %s", folder, folder);
}
END_TEST

START_TEST(failing_memory) {
    put("metrics.jsonl", first, second, third);
    for (int64_t n = 1;; n++) {
        mem_fail_at(n);
        const status rc = run_page_write(folder);
        const bool failed = mem_has_failed();
        mem_fail_at(0);
        ck_assert_msg(rc == (failed ? STATUS_MEMORY : STATUS_OK), "allocation %lld: %s",
                      (long long)n, status_text());
        if (!failed) break;
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("run_page");
    TCase *tests = tcase_create("run_page");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, reading);
    tcase_add_test(tests, refusals);
    tcase_add_test(tests, pages);
    tcase_add_test(tests, commands);
    tcase_add_test(tests, failing_memory);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
