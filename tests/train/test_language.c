// train lm and train lora: what a step means depends neither on packing nor on shared prefixes; resume;
// the weights of tokens; several images; what checkpoints and exports hold; what is refused.
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/dataset.h"
#include "eval/metrics.h"
#include "tests/train/helper_language.h"
#include "tests/train/helper_program.h"
#include "tests/train/helper_run.h"
#include "train/answer_scores.h"
#include "train/language_data.h"
#include "train/run_record.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const lora =
    "--quiet --set train.batch=4 --set train.micro_batch=2 --set optim.lr=0.05 "
    "--set optim.warmup_steps=0 --set optim.schedule=constant --set train.validate_first=false "
    "--set lora.rank=3 --set train.pack_tokens=2048 --set train.validate_every=2";

static void train(const char *name, int steps, const char *extra) {
    program_expect(0, "train lora %s %s --set run.dir=%s --set run.max_steps=%d %s", common, lora,
                   in_work(name), steps, extra);
}

// --- steps --------------------------------------------------------------------------------------
START_TEST(pieces_and_prefixes_do_not_matter) {
    static const char *const ways[] = {"--set train.pack_tokens=900 --set train.share_prefix=false",
                                       "--set train.pack_tokens=900", "--set train.recompute=true"};
    train("whole", 3, "--set lora.dropout=0 --set train.share_prefix=false");
    for (int i = 0; i < 3; i++) {
        char name[16], extra[160];
        snprintf(name, sizeof name, "way%d", i);
        snprintf(extra, sizeof extra, "--set lora.dropout=0 %s", ways[i]);
        train(name, 3, extra);
        for (int step = 1; step <= 3; step++) {
            const double want = run_metric(in_work("whole"), step, "loss"),
                         got = run_metric(in_work(name), step, "loss");
            const double norm = run_metric(in_work("whole"), step, "grad_norm");
            ck_assert_msg(fabs(got - want) <= 1e-4 * fabs(want), "%s: step %d: %.8g, expected %.8g",
                          ways[i], step, got, want);
            ck_assert_double_le(fabs(run_metric(in_work(name), step, "grad_norm") - norm), 1e-3 * norm);
        }
    }
}
END_TEST

START_TEST(lora_resumes) {
    train("straight", 6, "");
    train("parts", 2, "");
    train("parts", 6, "");
    run_expect_steps(in_work("parts"), 6);
    run_expect_same(in_work("straight"), in_work("parts"), 6);
}
END_TEST

START_TEST(images_of_another_aligner) {
    char *log;
    train("images", 1, "");
    language_embeddings("others.h5", "d");
    ck_assert_int_eq(rename(in_work("others.h5"), in_work("images.h5")), 0);
    train("images", 2, "");
    log = read_file(in_work("images/log.txt"), NULL);
    ck_assert_ptr_nonnull(strstr(log, "step-00000001 was made from other data"));
    free(log);
    language_embeddings("others.h5", "c");
    ck_assert_int_eq(rename(in_work("others.h5"), in_work("images.h5")), 0);
    train("images", 3, "");
    train("images", 4, "");
    log = read_file(in_work("images/log.txt"), NULL);
    ck_assert_ptr_nonnull(strstr(log, "step-00000002 was made from other data"));
    ck_assert_ptr_null(strstr(log, "step-00000003 was made from other data"));
    free(log);
}
END_TEST

// --- weights of tokens --------------------------------------------------------------------------
static language_options options_of(const instruct_set *data, language_weighting weighting) {
    return (language_options){.batch = 5,
                              .micro_batch = 2,
                              .pack_tokens = 900,
                              .positions = 2048,
                              .weighting = weighting,
                              .share = true,
                              .image_token = instruct_facts_of(data)->image_token,
                              .ranks = 1,
                              .seed = 3,
                              .shuffle = true};
}

static int64_t learned(const llama_sample *x) {
    int64_t count = 0;
    for (int i = 0; i < x->spans; i++) count += x->span[2 * i + 1] - x->span[2 * i];
    return count;
}

START_TEST(weights_of_tokens) {
    instruct_set *data;
    ck_assert(!instruct_open(&data, in_work("records")));
    for (int w = WEIGHT_TOKEN; w <= WEIGHT_REFERENCE; w++) {
        language_split s;
        const language_options o = options_of(data, (language_weighting)w);
        ck_assert_msg(!language_split_open(&s, data, SPLIT_TRAIN, &o), "%s", status_text());
        ck_assert_msg(!language_split_batch(&s, &o, 0), "%s", status_text());
        double sum = 0, mean[3] = {0};
        for (int64_t i = 0; i < 5; i++) {
            const double own = s.sample[i].weight * (double)learned(&s.sample[i]);
            sum += own;
            mean[i / 2] += own;
        }
        ck_assert_double_le(fabs(sum - 1), 1e-12);
        for (int m = 0; m < 3 && w == WEIGHT_REFERENCE; m++) // each micro-batch is a third
            ck_assert_double_le(fabs(mean[m] - 1.0 / 3), 1e-12);
        if (w == WEIGHT_TOKEN) ck_assert(s.sample[0].weight == s.sample[4].weight);
        int64_t next = 0;
        for (int64_t p = 0; p < s.pieces; next += s.piece[p++].count) {
            const language_piece *x = &s.piece[p];
            ck_assert_int_eq(x->first, next);
            ck_assert_int_le(llama_rows(&s.sample[x->first], x->count, x->shared), 900);
            ck_assert_int_eq(x->shared > 0, x->count > 1);
        }
        ck_assert_int_eq(next, 5);
        ck_assert_int_gt(s.pieces, 1);
        language_split_close(&s);
    }
    instruct_close(data);
}
END_TEST

// Slices of three ranks are the batch of one.
START_TEST(slices_of_ranks) {
    instruct_set *data;
    language_split all, own;
    ck_assert(!instruct_open(&data, in_work("records")));
    language_options o = options_of(data, WEIGHT_REFERENCE);
    ck_assert(!language_split_open(&all, data, SPLIT_TRAIN, &o));
    ck_assert(!language_split_batch(&all, &o, 1));
    int64_t next = 0;
    o.ranks = 3;
    for (o.rank = 0; o.rank < 3; o.rank++) {
        ck_assert(!language_split_open(&own, data, SPLIT_TRAIN, &o));
        ck_assert(!language_split_batch(&own, &o, 1));
        for (int64_t i = 0; i < own.step.count; i++, next++) {
            const llama_sample *a = &own.sample[i], *b = &all.sample[next];
            ck_assert(a->count == b->count && a->sample == b->sample && a->weight == b->weight);
            ck_assert(!memcmp(a->ids, b->ids, (size_t)a->count * sizeof *a->ids));
        }
        language_split_close(&own);
    }
    ck_assert_int_eq(next, 5);
    language_split_close(&all);
    instruct_close(data);
}
END_TEST

// --- several images -----------------------------------------------------------------------------
// WORK/NAME: four conversations about the images FIRST and SECOND.
static void write_pairs(const char *name, const char *first, const char *second) {
    char path[32];
    buffer text = {0};
    for (int i = 0; i < 4; i++)
        buffer_print(&text,
                     "%s{\"instruction\": \"Then <IMG><IMG><IMG><IMG>, now <IMG><IMG><IMG><IMG>. ASSISTANT:\", "
                     "\"output\": \"It has grown %d times.\", \"dicom\": [\"%s\", \"%s\"]}",
                     i ? ",\n" : "[", i, first, second);
    buffer_text(&text, "]");
    snprintf(path, sizeof path, "%s.json", name);
    ck_assert(!file_write(in_work(path), text.data, text.length));
    buffer_free(&text);
    program_expect(0, "instruct %s/%s --out %s/%s --quiet --set instruct.tokenizer=%s/tokenizer/llama.model "
                      "--set instruct.image_tokens=%d", work, path, work, name, TEST_DATA, QUERIES);
}

// The vectors of a piece, and the rows that they replace: of each image in its turn, where its tokens stand.
static void expect_images(const char *name, const char *const id[2]) {
    instruct_set *data;
    language_split s;
    language_inputs in;
    embeddings *file;
    device *d;
    float want[QUERIES * WIDTH];
    ck_assert(!instruct_open(&data, in_work(name)));
    const language_options o = options_of(data, WEIGHT_TOKEN);
    ck_assert(!language_images_open(&file, in_work("images.h5"), instruct_facts_of(data)));
    ck_assert(!device_open_cpu(&d, 1));
    ck_assert(!language_split_open(&s, data, SPLIT_TRAIN, &o) && !language_split_batch(&s, &o, 0));
    const llama_room room = {.samples = 5, .rows = 900, .images = 900, .targets = 900, .most = 900};
    ck_assert(!language_inputs_open(&in, d, &room, WIDTH, QUERIES));
    ck_assert(!language_inputs_load(&in, d, &s, 0, file, false, o.image_token));
    const int32_t *row = packed_host(&in.batch.memory, &in.batch.images),
                  *position = packed_host(&in.batch.memory, &in.batch.positions);
    ck_assert_int_eq(s.piece[0].count, 4);
    ck_assert_int_eq(in.images.dim[0], 4 * 2 * QUERIES);
    ck_assert_int_eq(in.images.type, DTYPE_F32);
    int64_t k = 0;
    for (int i = 0; i < 4; i++)
        for (int32_t place = 0, seen = 0; place < s.sample[i].count; place++) {
            if (s.sample[i].ids[place] != o.image_token) continue;
            ck_assert(!language_image_read(want, file, id[seen / QUERIES]));
            ck_assert_int_eq(position[row[k]], place);
            ck_assert(!memcmp((float *)in.images.data + k++ * WIDTH, want + seen++ % QUERIES * WIDTH,
                              WIDTH * sizeof *want));
        }
    ck_assert_int_eq(k, 4 * 2 * QUERIES);
    language_inputs_close(&in, d);
    language_split_close(&s);
    embeddings_close(file);
    instruct_close(data);
    device_close(d);
}

// Each image's vectors stand at its own tokens: other names there are another loss.
START_TEST(two_images_of_a_conversation) {
    static const char *const folders[] = {"ab", "ba", "ab"};
    dataset *data;
    char id[2][64], extra[96], runs[16];
    double loss[3];
    ck_assert(!dataset_open(&data, in_work("shards")));
    for (int k = 0; k < 2; k++) snprintf(id[k], sizeof id[k], "%s", dataset_id(data, k, ID_DICOM));
    dataset_close(data);
    write_pairs("ab", id[0], id[1]);
    write_pairs("ba", id[1], id[0]);
    expect_images("ab", (const char *const[]){id[0], id[1]});
    expect_images("ba", (const char *const[]){id[1], id[0]});
    for (int i = 0; i < 3; i++) {
        snprintf(extra, sizeof extra, "--set lora.dropout=0 --set data.instruct=%s", in_work(folders[i]));
        snprintf(runs, sizeof runs, "pair%d", i);
        train(runs, 1, extra);
        loss[i] = run_metric(in_work(runs), 1, "loss");
    }
    ck_assert_msg(loss[0] == loss[2] && fabs(loss[0] - loss[1]) > 1e-5 * loss[0], "%.9g, swapped %.9g, again %.9g",
                  loss[0], loss[1], loss[2]);
    program_expect(0, "generate %s/pair0 --quiet %s --set data.instruct=%s/ab --split train --limit 1 "
                      "--set generate.max_new_tokens=3 --out %s/pair.jsonl", work, common, work, work);
}
END_TEST

// --- what is left behind ------------------------------------------------------------------------
// A whole model's checkpoint is a folder that can be a base, with its tokenizer.
START_TEST(a_whole_model) {
    program_expect(0,
                   "train lm --quiet --set data.instruct=%s/records --set model.tokenizer=%s/tokenizer/"
                   "llama.model --set run.dir=%s/lm --set run.max_steps=2 --set train.batch=4 "
                   "--set model.width=32 --set model.layers=2 --set model.heads=4 --set model.inner=48 "
                   "--set model.positions=2048 --set train.validate_first=false --set run.threads=2",
                   work, TEST_DATA, work);
    ck_assert(same_files(in_work("lm/checkpoints/best/tokenizer.model"),
                         TEST_DATA "/tokenizer/llama.model"));
    program_expect(0,
                   "generate %s/lm --quiet --set data.instruct=%s/records --set data.embeddings=%s/"
                   "images.h5 --limit 1 --set generate.max_new_tokens=3 --out %s/lm.jsonl",
                   work, work, work, work);
}
END_TEST

// What export writes for PEFT loads here, its image projection with it: a step that changes nothing leaves
// what was exported.
START_TEST(a_folder_of_peft) {
    char extra[512];
    train("exported", 2, "");
    program_expect(0, "export %s/exported --format peft --out %s/peft", work, work);
    snprintf(extra, sizeof extra, "--set model.init=%s/peft --set optim.lr=0", work);
    train("again", 1, extra);
    ck_assert(same_files(in_work("exported/checkpoints/step-00000002/model.safetensors"),
                         in_work("again/checkpoints/step-00000001/model.safetensors")));
}
END_TEST

// Without a validation split the latest checkpoint is the best.
START_TEST(no_validation) {
    program_expect(0,
                   "instruct %s/shards --out %s/alone --quiet --split train --set instruct.cutoff=2000 "
                   "--set instruct.tokenizer=%s/tokenizer/llama.model --set instruct.image_tokens=%d "
                   "--set instruct.prompts=%s/configs/prompts/report.json",
                   work, work, TEST_DATA, QUERIES, SOURCE_ROOT);
    char extra[512], target[64] = {0};
    snprintf(extra, sizeof extra, "--set data.instruct=%s/alone", work);
    train("alone_run", 4, extra);
    ck_assert(readlink(in_work("alone_run/checkpoints/best"), target, sizeof target - 1) > 0);
    ck_assert_str_eq(target, "step-00000004");
}
END_TEST

// --- answers that are judged --------------------------------------------------------------------
enum { ANSWERS = 5 };

static void train_labeler(void) {
    small_vocabulary(work);
    program_expect(0,
                   "train chexbert --quiet %s --set data.shards=%s/shards --set model.vocabulary=%s/"
                   "vocab.txt --set run.dir=%s/chexbert --set run.max_steps=6", tiny_chexbert, work, work,
                   work);
}

// Labels that the label command writes for FILE (JSON lines with a text), as scores.
static void label_file(const char *file, float scores[ANSWERS * CLASS_COUNT]) {
    outcome o = program("label %s --quiet --column text --checkpoint %s/chexbert", in_work(file), work);
    ck_assert_msg(!o.exit, "%s", o.err);
    char *at = strchr(o.out, '\n');
    for (int i = 0; i < ANSWERS; i++)
        for (int k = 0; k < CLASS_COUNT; k++) {
            ck_assert(at);
            at = strpbrk(at + 1, ",");
            ck_assert(at);
            scores[i * CLASS_COUNT + k] = strncmp(at, ",1", 2) ? -1.0f : 1.0f;
        }
    outcome_free(&o);
}

static void write_references(void) {
    instruct_set *data;
    buffer text = {0};
    ck_assert(!instruct_open(&data, in_work("records")));
    for (int i = 0; i < ANSWERS; i++) {
        instruct_record r;
        ck_assert(!instruct_read(data, SPLIT_VALIDATE, i, &r));
        buffer_text(&text, "{\"text\":");
        buffer_json(&text, r.answer);
        buffer_text(&text, "}\n");
    }
    ck_assert(!file_write(in_work("references.jsonl"), text.data, text.length));
    buffer_free(&text);
    instruct_close(data);
}

// What validation keeps of its answers is the first one that generate writes, and stands on the run's page.
static void expect_sample(const char *folder, const char *answers) {
    run_record r;
    json *document;
    const char *text, *line = answers;
    ck_assert_msg(!run_record_open(&r, folder), "%s", status_text());
    ck_assert_uint_eq(r.samples, 2); // of steps 2 and 4
    ck_assert(!json_parse(&document, "answers", line, strcspn(line, "\n"), 1));
    ck_assert(!json_member_text(&text, json_root(document), "text"));
    ck_assert(r.sample[1].step == 4);
    ck_assert_str_eq(r.sample[1].text, text);
    json_close(document);
    run_record_close(&r);
}

// The score in validation is that of the commands' own: generate, label, and the metric.
START_TEST(judged_answers) {
    static float said[ANSWERS * CLASS_COUNT], truth[ANSWERS * CLASS_COUNT];
    static uint8_t targets[ANSWERS * CLASS_COUNT];
    char extra[512];
    classify_metrics m;
    train_labeler();
    snprintf(extra, sizeof extra,
             "--set validate.answers=%d --set validate.labeler=%s/chexbert "
             "--set validate.max_new_tokens=40 --set validate.best=clinical_f1", ANSWERS, work);
    train("judged", 4, extra);
    program_expect(0,
                   "generate %s/judged/checkpoints/step-00000004 --quiet %s --split validate --limit %d "
                   "--set generate.max_new_tokens=40 --out %s/answers.jsonl", work, common, ANSWERS, work);
    write_references();
    label_file("answers.jsonl", said);
    label_file("references.jsonl", truth);
    for (int i = 0; i < ANSWERS * CLASS_COUNT; i++) targets[i] = truth[i] > 0;
    ck_assert(!metrics_classify(&m, said, targets, NULL, ANSWERS, CLASS_COUNT));
    ck_assert_double_eq(run_metric(in_work("judged"), 4, "clinical_f1"), m.macro.f1);
    ck_assert_double_eq(run_metric(in_work("judged"), 4, "clinical_recall"), m.macro.recall);
    char *answers = read_file(in_work("answers.jsonl"), NULL);
    expect_sample(in_work("judged"), answers);
    free(answers);
    ck_assert_msg(m.micro.recall > 0, "nothing that these reports say is right: the test shows nothing");

    train("judged_parts", 2, extra);
    train("judged_parts", 4, extra);
    run_expect_same(in_work("judged"), in_work("judged_parts"), 4);
}
END_TEST

// Such a labeler reads nearly the same in all texts; which answer belongs to which report shows here. This rank
// has the answers behind the first, and reads each as the report's own labels or the next one's.
START_TEST(answers_meet_their_reports) {
    enum { COUNT = 5 };
    int8_t truth[COUNT * CLASS_COUNT], said[COUNT * CLASS_COUNT];
    run r = {0};
    clinical_scores right, wrong;
    for (int i = 0; i < COUNT * CLASS_COUNT; i++)
        truth[i] = i % CLASS_COUNT % COUNT == i / CLASS_COUNT ? LABEL_POSITIVE : LABEL_BLANK;
    ck_assert(!device_open_cpu(&r.device, 1) && !comm_open_single(&r.comm));
    answer_scores s = {.count = COUNT, .first = 1, .own = COUNT - 1, .truth = truth, .said = said};
    memcpy(said, truth + CLASS_COUNT, sizeof said - CLASS_COUNT);
    ck_assert(!answer_scores_measure(&s, &r, &right));
    ck_assert_double_eq(right.all.micro.f1, 1);
    ck_assert_double_eq(right.all.macro.f1, 11.0 / 14); // three classes are the first report's alone
    ck_assert_int_eq(right.count, COUNT);
    memcpy(said, truth, sizeof said - CLASS_COUNT);
    ck_assert(!answer_scores_measure(&s, &r, &wrong));
    ck_assert_double_eq(wrong.all.micro.f1, 0);
    comm_close(r.comm);
    device_close(r.device);
}
END_TEST

START_TEST(refusals) {
    static const struct {
        const char *extra, *says;
        int exit;
    } wrong[] = {
        {"--set data.embeddings=", "data.embeddings: the conversations have images", 2},
        {"--set train.pack_tokens=100", "raise train.pack_tokens", 1},
        {"--set train.batch=5", "must be a multiple of train.micro_batch", 2},
        {"--set lora.targets=[\"x_proj\"]", "\"x_proj\" is no linear layer", 2},
        {"--set model.tokenizer=nowhere", "nowhere", 1},
        {"--set model.storage=nf4", "whole blocks of 64", 2},
        {"--set validate.answers=2", "validate.labeler", 2},
        {"--set validate.best=clinical_f1", "as validate.answers", 2},
        {"--set validate.answers=2 --set validate.labeler=nowhere", "nowhere", 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        outcome o = program("train lora %s %s --set run.dir=%s/refused --set run.max_steps=1 %s", common,
                            lora, work, wrong[i].extra);
        ck_assert_msg(o.exit == wrong[i].exit && strstr(o.err, wrong[i].says), "%s: %d, %s",
                      wrong[i].extra, o.exit, o.err);
        outcome_free(&o);
    }
}
END_TEST

START_TEST(longer_than_the_model) {
    instruct_set *data;
    language_split s;
    ck_assert(!instruct_open(&data, in_work("records")));
    language_options o = options_of(data, WEIGHT_TOKEN);
    o.positions = 100;
    ck_assert_int_eq(language_split_open(&s, data, SPLIT_TRAIN, &o), STATUS_FORMAT);
    ck_assert_msg(strstr(status_text(), "smaller instruct.cutoff"), "%s", status_text());
    language_split_close(&s);
    instruct_close(data);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("language");
    TCase *tests = tcase_create("language");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, language_setup, language_teardown);
    tcase_add_test(tests, pieces_and_prefixes_do_not_matter);
    tcase_add_test(tests, lora_resumes);
    tcase_add_test(tests, images_of_another_aligner);
    tcase_add_test(tests, weights_of_tokens);
    tcase_add_test(tests, slices_of_ranks);
    tcase_add_test(tests, two_images_of_a_conversation);
    tcase_add_test(tests, a_whole_model);
    tcase_add_test(tests, a_folder_of_peft);
    tcase_add_test(tests, no_validation);
    tcase_add_test(tests, judged_answers);
    tcase_add_test(tests, answers_meet_their_reports);
    tcase_add_test(tests, refusals);
    tcase_add_test(tests, longer_than_the_model);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
