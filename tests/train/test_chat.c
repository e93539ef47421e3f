// radialog chat: conversations line by line. A later turn reads what is new and says what a conversation that was
// never seen gets; commands; what it refuses and goes on behind.
#include "core/files/fs.h"
#include "core/files/json.h"
#include "data/dicom.h"
#include "tests/train/helper_language.h"
#include "tests/train/helper_program.h"
#include "train/assistant.h"
#include "train/commands.h"
#include "train/config_keys.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *image, *other, models[4096];

static void setup(void) {
    language_setup();
    language_train_seer();
    program_expect(0, "train chexbert --quiet %s --set data.shards=%s/shards --set model.vocabulary=%s/vocab.txt "
                      "--set run.dir=%s/chexbert --set run.max_steps=2", tiny_chexbert, work, work, work);
    image = radiograph_file("*");
    other = radiograph_file("[c-f]*");
    ck_assert_str_ne(image, other);
    snprintf(models, sizeof models,
             "%s --quiet --aligner %s/aligner --classifier %s/classifier --set generate.max_new_tokens=12 "
             "--set instruct.prompts=%s/configs/prompts/report.json", common, work, work, SOURCE_ROOT);
}

static void teardown(void) {
    free(image);
    free(other);
    language_teardown();
}

// `radialog chat RUN WORDS` with LINES as its input.
static outcome chat(const char *lines, const char *words) {
    char text[8192];
    ck_assert(!file_write(in_work("lines"), lines, strlen(lines)));
    const int copy = dup(STDIN_FILENO);
    ck_assert_ptr_nonnull(freopen(in_work("lines"), "r", stdin));
    snprintf(text, sizeof text, "chat %s/seer %s %s", work, words, models);
    outcome o = program("%s", text);
    dup2(copy, STDIN_FILENO);
    close(copy);
    return o;
}

typedef struct turn {
    int64_t number, prompt, known, tokens;
    char text[512], end[32];
} turn;

static void read_turn(turn *t, const char *out, int line) {
    json *document;
    const char *text, *end;
    for (; line; line--) out = strchr(out, '\n') + 1;
    ck_assert_msg(!json_parse(&document, "line", out, strcspn(out, "\n"), 1), "%s", out);
    const json_value root = json_root(document);
    ck_assert(!json_member_int(&t->number, root, "turn", 1, 99));
    ck_assert(!json_member_int(&t->prompt, root, "prompt_tokens", 1, 1 << 20));
    ck_assert(!json_member_int(&t->known, root, "known_tokens", 0, 1 << 20));
    ck_assert(!json_member_int(&t->tokens, root, "tokens", 0, 12));
    ck_assert(!json_member_text(&text, root, "text") && !json_member_text(&end, root, "end"));
    snprintf(t->text, sizeof t->text, "%s", text);
    snprintf(t->end, sizeof t->end, "%s", end);
    json_close(document);
}

START_TEST(turns_read_what_is_new) {
    outcome o = chat("Is there an effusion?\n\n  And the heart?\r\n/quit\nnever said\n", image), plain;
    ck_assert_msg(!o.exit && count_text(o.out, "\n") >= 3, "%d %s%s", o.exit, o.out, o.err);
    char words[1024];
    snprintf(words, sizeof words, "%s --json", image);
    plain = o;
    o = chat("Is there an effusion?\nAnd the heart?\n", words);
    ck_assert_int_eq(count_text(o.out, "\n"), 3);
    turn t[3];
    char all[2048] = "";
    for (int i = 0; i < 3; i++) {
        read_turn(&t[i], o.out, i);
        ck_assert_int_eq(t[i].number, i + 1);
        ck_assert_int_gt(t[i].tokens, 0);
        ck_assert_str_eq(t[i].end, t[i].tokens == 12 ? "length" : "stop");
        const char *shown = t[i].text + strspn(t[i].text, " ");
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s\n", shown);
        if (i) // all that stood before the latest answer is there
            ck_assert_int_ge(t[i].known, t[i - 1].prompt - 1);
    }
    ck_assert_str_eq(plain.out, all);
    outcome_free(&plain);
    outcome_free(&o);
}
END_TEST

// --- against a conversation that was never seen -----------------------------------------------------
typedef struct heard {
    int32_t ids[64], count;
    bool over;
} heard;

static status hear(void *context, const int32_t *ids, int32_t count, decoder_state state) {
    heard *h = context;
    memcpy(h->ids, ids, (size_t)count * sizeof *ids);
    h->count = count;
    h->over = state != DECODER_WRITES;
    return STATUS_OK;
}

static void open_assistant(assistant *a) {
    static arguments given;
    static const char *positional[128];
    static char text[8192];
    char *words[128];
    int count = 0;
    snprintf(text, sizeof text, "%s/seer %s", work, models);
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " ")) words[count++] = w;
    ck_assert(!arguments_parse(&given, &command_chat, positional, count, words));
    ck_assert_msg(!assistant_open(a, &given, chat_tables, 1), "%s", status_text());
}

static heard ask(assistant *a, const char *const *message, int count, const picture *p, char *text) {
    heard h = {0};
    buffer ids = {0};
    answer_text said;
    const char *new;
    size_t length;
    const assistant_question q = {.message = message, .count = count, .picture = p, .most = 12, .context = &h,
                                  .said = hear};
    ck_assert_msg(!assistant_ask(a, &q, &ids, NULL), "%s", status_text());
    while (!h.over) ck_assert(!decoder_step(a->decoder));
    ck_assert(!answer_text_begin(&said, a->language.tokens, (const int32_t *)(const void *)ids.data,
                                 (int32_t)(ids.length / sizeof(int32_t))));
    ck_assert(!answer_text_next(&said, h.ids, h.count, true, &new, &length));
    snprintf(text, 512, "%s", answer_text_all(&said));
    answer_text_close(&said);
    buffer_free(&ids);
    return h;
}

START_TEST(later_turns_equal_a_full_reading) {
    static assistant a, fresh;
    const picture *p;
    char text[3][512];
    heard h[3];
    const char *message[5] = {"", text[0], "Is there an effusion?", text[1], "Is the heart large?"};
    open_assistant(&a);
    ck_assert(!image_reader_file(&a.eyes, image, &p));
    for (int i = 0; i < 3; i++) h[i] = ask(&a, message, 2 * i + 1, p, text[i]);
    for (int i = 1; i < 3; i++) {
        char again[512];
        const picture *seen;
        open_assistant(&fresh);
        ck_assert(!image_reader_file(&fresh.eyes, image, &seen));
        const heard whole = ask(&fresh, message, 2 * i + 1, seen, again);
        ck_assert_int_eq(decoder_counted(fresh.decoder).known, 0);
        ck_assert_int_eq(whole.count, h[i].count);
        ck_assert(!memcmp(whole.ids, h[i].ids, (size_t)whole.count * sizeof *whole.ids));
        ck_assert_str_eq(again, text[i]);
        assistant_close(&fresh);
    }
    ck_assert_int_gt(decoder_counted(a.decoder).known, 200); // the prompts' most
    assistant_close(&a);
}
END_TEST

// Beside a picture the first message is the prompt for a report, and then what it says.
START_TEST(the_first_message_is_the_prompt) {
    static assistant a;
    const picture *p;
    heard h = {0};
    buffer ids = {0}, want = {0}, text = {0};
    open_assistant(&a);
    ck_assert(!image_reader_file(&a.eyes, image, &p));
    const assistant_question q = {.message = (const char *const[]){"Be brief."}, .count = 1, .picture = p, .most = 12,
                                  .context = &h, .said = hear};
    ck_assert(!assistant_ask(&a, &q, &ids, NULL));
    prompts_report(&text, a.words, p->findings.data, QUERIES);
    buffer_text(&text, " Be brief.");
    ck_assert(!conversation_encode(&want, a.words, a.language.tokens, NULL, (const char *const[]){text.data}, 1));
    ck_assert(ids.length == want.length && !memcmp(ids.data, want.data, ids.length));
    buffer_free(&ids), buffer_free(&want), buffer_free(&text);
    assistant_close(&a);
}
END_TEST

// Pieces of an answer add up to it, whole characters each.
START_TEST(answers_come_in_whole_characters) {
    tokenizer *t;
    answer_text a;
    buffer ids = {0}, prompt = {0}, all = {0};
    const char *new, said[] = "caf\xC3\xA9 \xE2\x82\xAC 5 \xF0\x9F\xA9\xBB end";
    size_t length;
    ck_assert(!tokenizer_open(&t, TEST_DATA "/tokenizer/llama.model"));
    ck_assert(!tokenizer_encode(t, "USER: x ASSISTANT:", 18, &prompt));
    ck_assert(!tokenizer_encode(t, said, strlen(said), &ids));
    ck_assert(!answer_text_begin(&a, t, (const int32_t *)(const void *)prompt.data, (int32_t)(prompt.length / 4)));
    const int32_t count = (int32_t)(ids.length / 4);
    int pieces = 0;
    for (int32_t k = 1; k <= count; k++) {
        ck_assert(!answer_text_next(&a, (const int32_t *)(const void *)ids.data, k, k == count, &new, &length));
        buffer_append(&all, new, length);
        buffer_text(&all, "");
        ck_assert(text_is_utf8(all.data, all.length));
        ck_assert_ptr_null(strstr(all.data, "\xEF\xBF\xBD"));
        pieces += length > 0;
    }
    ck_assert_int_lt(pieces, count); // bytes of a character waited for each other
    ck_assert_str_eq(all.data + strspn(all.data, " "), said);
    ck_assert_str_eq(answer_text_all(&a), all.data);
    // What stays broken is given in the end.
    answer_text_close(&a);
    ck_assert(!answer_text_begin(&a, t, (const int32_t *)(const void *)prompt.data, (int32_t)(prompt.length / 4)));
    const int32_t broken[] = {3 + 0xE2, 3 + 0x82};
    ck_assert(!answer_text_next(&a, broken, 2, false, &new, &length));
    ck_assert_uint_eq(length, 0);
    ck_assert(!answer_text_next(&a, broken, 2, true, &new, &length));
    ck_assert_uint_gt(length, 0);
    answer_text_close(&a);
    buffer_free(&ids), buffer_free(&prompt), buffer_free(&all);
    tokenizer_close(t);
}
END_TEST

// --- commands -----------------------------------------------------------------------------------
START_TEST(commands_do_what_they_say) {
    char lines[4096], words[1024];
    snprintf(lines, sizeof lines, "/findings\n/correct The heart is large.\n/save %s/said.txt\n/image '%s' \t\n/reset\n"
                                  "/save\t\"%s/later.txt\"\n", work, other, work);
    outcome o = chat(lines, image);
    ck_assert_msg(!o.exit, "%s", o.err);
    char *said = read_file(in_work("said.txt"), NULL), *later = read_file(in_work("later.txt"), NULL);
    ck_assert_ptr_nonnull(said);
    ck_assert_ptr_nonnull(later);
    ck_assert_msg(strstr(said, image) && strstr(said, "\nUser: (report)\n") &&
                      strstr(said, "\nUser: Correct the report: The heart is large.\n") && strstr(said, "Classifier: "),
                  "%s", said);
    ck_assert_int_eq(count_text(said, "\nAssistant: "), 2);
    ck_assert(strstr(later, other) && !strstr(later, image) && count_text(later, "\nAssistant: ") == 1);
    free(said), free(later);
    outcome_free(&o);

    snprintf(words, sizeof words, "%s --json --labeler %s/chexbert --set instruct.task_prompts=" SOURCE_ROOT "/configs/prompts/tasks.json",
             image, work);
    o = chat("/findings\n/correct\n", words);
    ck_assert_msg(!o.exit, "%s", o.err);
    ck_assert_ptr_nonnull(strstr(o.out, "{\"findings\":["));
    // The tiny labeler reads whatever it reads; the request names what it and the classifier differ in.
    ck_assert_msg(strstr(o.out, "Please give me the corrected report.") || strstr(o.err, "what the classifier found"), "%s%s",
                  o.out, o.err);
    outcome_free(&o);
}
END_TEST

// The same pixels in a DICOM file say the same; what is no radiograph is told, and the conversation goes on.
START_TEST(dicom_files) {
    char words[1024], lines[2048];
    size_t size;
    if (!*dicom_built()) return;
    const char *path = dicom_of("film", image);
    outcome want = chat("Is there an effusion?\n/findings\n", image);
    snprintf(words, sizeof words, "%s --intensity window", path);
    outcome o = chat("Is there an effusion?\n/findings\n", words);
    ck_assert_msg(!o.exit && *want.out, "%s", o.err);
    ck_assert_str_eq(o.out, want.out);
    ck_assert_ptr_null(strstr(o.err, DICOM_SECRET));
    outcome_free(&want);
    outcome_free(&o);
    char *bytes = read_file(in_work("film"), &size);
    ck_assert(!file_write(in_work("cut"), bytes, size / 2));
    free(bytes);
    snprintf(lines, sizeof lines, "/image %s/cut\n/image %s/film\n/save %s/said.txt\n", work, work, work);
    o = chat(lines, image);
    ck_assert_msg(!o.exit && strstr(o.err, "/cut: not a whole DICOM file"), "%d %s", o.exit, o.err);
    char *said = read_file(in_work("said.txt"), NULL);
    ck_assert(strstr(said, "/film\n") && !strstr(said, DICOM_SECRET) && !strstr(o.err, DICOM_SECRET));
    free(said);
    outcome_free(&o);
    snprintf(words, sizeof words, "%s/cut", work);
    o = chat("", words);
    ck_assert_msg(o.exit == 1 && strstr(o.err, "/cut: not a whole DICOM file"), "%d %s", o.exit, o.err);
    outcome_free(&o);
    o = chat("", "--intensity widow");
    ck_assert_msg(o.exit == 2 && strstr(o.err, "--intensity widow is not known; did you mean window?"), "%d %s", o.exit, o.err);
    outcome_free(&o);
}
END_TEST

START_TEST(mistakes_are_told_and_the_conversation_goes_on) {
    char lines[4096];
    snprintf(lines, sizeof lines, "/imagine\n/image %s/none.jpg\n/image\n/save\n/save %s/no/such/place\n/correct\n"
                                  "an <IMG> of it\nIs there an effusion?\n", work, work);
    char words[1024];
    snprintf(words, sizeof words, "%s --json", image);
    outcome o = chat(lines, words);
    ck_assert_msg(!o.exit, "%s", o.err);
    static const char *const told[] = {"unknown command /imagine; did you mean /image?", "none.jpg: cannot open",
                                       "/image FILE: which", "/save FILE: where", "no/such/place", "needs --classifier",
                                       "a message holds <IMG>"};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        ck_assert_msg(strstr(o.err, told[i]), "%s is not in %s", told[i], o.err);
    turn t;
    ck_assert_int_eq(count_text(o.out, "\n"), 2);
    read_turn(&t, o.out, 1);
    ck_assert_int_eq(t.number, 2);
    read_turn(&t, o.out, 0);
    outcome_free(&o);

    char reason[128];
    snprintf(reason, sizeof reason, "tokens; there is room for %d before an answer", (int)t.prompt + 79);
    snprintf(words, sizeof words, "%s --json --set dialogue.positions=%d", image, (int)t.prompt + 80);
    o = chat("one\ntwo\nthree\nfour\nfive\nsix\nseven\n/reset\neight\n", words);
    ck_assert_msg(!o.exit && strstr(o.err, reason), "%s%s", o.out, o.err);
    ck_assert_ptr_nonnull(strstr(o.out, "\"asked\":\"eight\""));
    outcome_free(&o);
}
END_TEST

START_TEST(a_line_with_a_nul) {
    static const char bytes[] = "Is there\0 an effusion?\nAnd the heart?\n";
    ck_assert(!file_write(in_work("nul"), bytes, sizeof bytes - 1));
    char words[8192];
    snprintf(words, sizeof words, "%s chat %s/seer %s --json %s < %s/nul > %s/said 2> %s/told", program_path, work, image,
             models, work, work, work);
    ck_assert_int_eq(system(words), 0);
    char *said = read_file(in_work("said"), NULL), *told = read_file(in_work("told"), NULL);
    ck_assert(strstr(told, "a line with a NUL") && !strstr(said, "Is there") && strstr(said, "And the heart?"));
    free(said), free(told);
}
END_TEST

START_TEST(texts_alone) {
    outcome o = program("chat %s/base %s --quiet --set generate.max_new_tokens=5 --set "
                        "instruct.prompts=%s/configs/prompts/report.json", work, common, SOURCE_ROOT);
    ck_assert_msg(!o.exit && !*o.out, "%s", o.err); // nothing was said
    outcome_free(&o);
}
END_TEST

START_TEST(refusals) {
    char words[1024];
    snprintf(words, sizeof words, "%s %s", image, other);
    outcome o = chat("", words);
    ck_assert_msg(o.exit == 2 && strstr(o.err, "about one radiograph"), "%d %s", o.exit, o.err);
    outcome_free(&o);
    o = program("chat %s/seer %s %s", work, image, common);
    ck_assert_msg(o.exit == 2 && strstr(o.err, "--aligner PATH is missing"), "%d %s", o.exit, o.err);
    outcome_free(&o);
    o = program("chat %s/seer %s --classifier %s/classifier", work, common, work);
    ck_assert_msg(o.exit == 2 && strstr(o.err, "--aligner PATH is missing"), "%d %s", o.exit, o.err);
    outcome_free(&o);
    o = program("chat");
    ck_assert_int_eq(o.exit, 2);
    outcome_free(&o);
}
END_TEST

START_TEST(a_signal_ends_it) {
    int pipe_ends[2], state;
    ck_assert(!pipe(pipe_ends));
    const int copy = dup(STDIN_FILENO);
    dup2(pipe_ends[0], STDIN_FILENO);
    const pid_t child = program_start("chat %s/seer %s", work, models);
    dup2(copy, STDIN_FILENO);
    close(pipe_ends[0]), close(copy);
    usleep(500000); // it waits for a line, or is about to
    kill(child, SIGTERM);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state) ? WEXITSTATUS(state) == 143 : WTERMSIG(state) == SIGTERM);
    close(pipe_ends[1]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("chat");
    TCase *tests = tcase_create("chat");
    tcase_set_timeout(tests, 600);
    tcase_add_unchecked_fixture(tests, setup, teardown);
    tcase_add_test(tests, turns_read_what_is_new);
    tcase_add_test(tests, later_turns_equal_a_full_reading);
    tcase_add_test(tests, the_first_message_is_the_prompt);
    tcase_add_test(tests, answers_come_in_whole_characters);
    tcase_add_test(tests, commands_do_what_they_say);
    tcase_add_test(tests, dicom_files);
    tcase_add_test(tests, mistakes_are_told_and_the_conversation_goes_on);
    tcase_add_test(tests, a_line_with_a_nul);
    tcase_add_test(tests, texts_alone);
    tcase_add_test(tests, refusals);
    tcase_add_test(tests, a_signal_ends_it);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
