// radialog run: what runs and what does not, what is refused before anything runs, what a kill leaves.
#include "core/files/fs.h"
#include "tests/core/helper_check.h"
#include "tests/train/helper_lora.h"
#include "tests/train/helper_program.h"
#include "tests/train/helper_run.h"
#include "train/content.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char work[256];

static void setup(void) {
    workspace_make(work);
}
static void teardown(void) {
    workspace_remove(work);
}

// A pipeline of STAGES, the members of its list, beside a configuration.
static void write_pipeline(const char *stages) {
    char path[300], text[8192];
    snprintf(path, sizeof path, "%s/p.json", work);
    snprintf(text, sizeof text,
             "{\"format\": \"radialog-pipeline\", \"version\": 1, \"dir\": \"%s/out\",\n"
             "\"settings\": {\"studies\": 24, \"steps\": 6, \"side\": 600}, \"inputs\": {\"words\": \"%s/words.txt\", \"lora\": {\"path\": \"\"}},\n\"stages\": [%s]}\n",
             work, work, stages);
    write_text(path, text);
    snprintf(path, sizeof path, "%s/c.json", work);
    write_text(path, "{\"train\": {\"batch\": 4, \"checkpoint_every\": 2, \"validate_first\": false},\n"
                     "\"model\": {\"stem\": 4, \"widths\": [4, 4, 8, 8], \"blocks\": [1, 1, 1, 1], \"vit_width\": 8,\n"
                     "\"pooler_blocks\": 0, \"joint_width\": 16}, \"data\": {\"size\": 112}}\n");
    snprintf(path, sizeof path, "%s/words.txt", work);
    write_text(path, "the heart is large\nthe lungs are clear\n");
}

static const char drawn[] = "{\"name\": \"data\", \"run\": [\"synth\", \"{out}\", \"--studies\", \"{studies}\", \"--max-side\", \"{side}\"]},\n"
                            "{\"name\": \"shards\", \"run\": [\"ingest\", \"{data}\", \"--out\", \"{out}\"]},\n"
                            "{\"name\": \"contents\", \"show\": true, \"run\": [\"inspect\", \"{shards}\"]},\n"
                            "{\"name\": \"vocabulary\", \"out\": \"v/vocab.txt\", \"run\": [\"tokenizer\", \"train\", \"--type\",\n"
                            "\"wordpiece\", \"--size\", \"60\", \"{words}\", \"--out\", \"{out}\"]},\n"
                            "{\"name\": \"classifier\", \"run\": [\"train\", \"classifier\", \"--config\", \"{here}/c.json\", \"--set\",\n"
                            "\"data.shards={shards}\", \"--set\", \"run.dir={out}\", \"--set\", \"run.max_steps={steps}\"]}";

// Runs it, expecting that of its stages exactly RAN did (their names with blanks around).
static void expect_ran(const char *options, const char *ran) {
    static const char *const stages[] = {"data", "shards", "contents", "vocabulary", "classifier"};
    outcome o = program("run %s/p.json %s", work, options);
    ck_assert_msg(o.exit == 0, "%s", o.err);
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        char name[40], line[60];
        snprintf(name, sizeof name, " %s ", stages[i]);
        snprintf(line, sizeof line, " %s: ", stages[i]);
        const char *told = strstr(o.err, line);
        const bool did = told && strncmp(told + strlen(line), "nothing to do\n", 14);
        ck_assert_msg(did == (strstr(ran, name) != NULL), "%s of '%s': %s", stages[i], ran, o.err);
    }
    ck_assert_ptr_nonnull(strstr(o.out, "records")); // of inspect, whether it ran or not
    outcome_free(&o);
}

START_TEST(runs_what_has_changed) {
    char path[400], other[400];
    write_pipeline(drawn);
    expect_ran("", " data shards contents vocabulary classifier ");
    expect_ran("", " ");

    // What a stage reads: only those behind it.
    snprintf(path, sizeof path, "%s/words.txt", work);
    write_text(path, "no pneumothorax is seen\n");
    expect_ran("", " vocabulary ");
    snprintf(path, sizeof path, "%s/out/replaced/vocabulary-1", work);
    ck_assert(file_exists(path));

    // What is gone is made again; as it comes out the same, nothing behind it runs.
    snprintf(path, sizeof path, "%s/out/shards", work);
    ck_assert_int_eq(path_remove(path), STATUS_OK);
    expect_ran("", " shards ");

    // A word, a setting and a configuration.
    snprintf(path, sizeof path, "%s/out/classifier/checkpoints", work);
    snprintf(other, sizeof other, "%s/out/replaced/classifier-1/checkpoints", work);
    expect_ran("--set steps=4", " classifier ");
    ck_assert(folder_exists(path) && folder_exists(other));
    expect_ran("--set steps=4 --set classifier.run.seed=3", " classifier ");
    snprintf(path, sizeof path, "%s/c.json", work);
    size_t size;
    char *text = read_file(path, &size);
    text[size - 2] = ' ';
    text[size - 1] = '}';
    write_text(path, text);
    free(text);
    expect_ran("--set steps=4 --set classifier.run.seed=3", " classifier ");
    expect_ran("--set steps=4 --set classifier.run.seed=3 vocabulary contents", " ");
}
END_TEST

START_TEST(looks_ahead) {
    char path[500];
    write_pipeline(drawn);
    outcome o = program("run %s/p.json --dry-run", work);
    ck_assert_msg(o.exit == 0, "%s", o.err);
    ck_assert_int_eq(count_text(o.out, "has not run"), 5);
    ck_assert_msg(strstr(o.out, " GB"), "%s", o.out); // of training
    outcome_free(&o);
    snprintf(path, sizeof path, "%s/out", work);
    ck_assert(!folder_exists(path));

    expect_ran("", " data shards contents vocabulary classifier ");
    o = program("run %s/p.json --dry-run --set studies=25 --json", work);
    ck_assert_msg(o.exit == 0, "%s", o.err);
    ck_assert_msg(strstr(o.out, "\"name\": \"data\", \"need\": \"runs anew\", \"why\": \"its words have changed: '25' was '24'\""),
                  "%s", o.out);
    ck_assert_msg(strstr(o.out, "\"name\": \"classifier\", \"need\": \"may run\", \"why\": \"shards runs before\""), "%s", o.out);
    ck_assert_msg(strstr(o.out, "\"name\": \"vocabulary\", \"need\": \"nothing to do\""), "%s", o.out);
    outcome_free(&o);
    expect_ran("", " ");
}
END_TEST

// What a stopped pipeline leaves goes on, to the bytes of one that never stopped. The stage outlives a killed one
// by the time of a checkpoint, in which its folder is not free.
START_TEST(goes_on_after_a_kill) {
    char run[400], command[400];
    write_pipeline(drawn);
    snprintf(command, sizeof command, "run %s/p.json --set steps=40 --set classifier.train.checkpoint_every=1", work);
    snprintf(run, sizeof run, "%s/out/classifier", work);
    run_kill_at(run, 5, command);
    outcome o = {0};
    for (int i = 0; i < 200; i++) {
        outcome_free(&o);
        o = program("%s", command);
        if (!o.exit) break;
        ck_assert_msg(strstr(o.err, "another radialog"), "%s", o.err);
        usleep(20000);
    }
    ck_assert_msg(o.exit == 0 && strstr(o.err, "classifier: was not finished"), "%s", o.err);
    ck_assert_msg(strstr(o.err, "resuming from step") && !strstr(o.err, "step 40 of"), "%s", o.err); // it was told
    ck_assert_msg(!strstr(o.err, "data: has not run"), "%s", o.err);
    outcome_free(&o);
    snprintf(command, sizeof command, "%s/out", work);
    char kept[400], again[400];
    snprintf(kept, sizeof kept, "%s/kept", work);
    ck_assert_int_eq(rename(command, kept), 0);
    program_expect(0, "run %s/p.json --set steps=40 --set classifier.train.checkpoint_every=1", work);
    snprintf(again, sizeof again, "%s/out/classifier", work);
    snprintf(kept, sizeof kept, "%s/kept/classifier", work);
    run_expect_steps(kept, 40);
    run_expect_same(again, kept, 40);
}
END_TEST

// A kill between a stage's last byte and the note of it: the output is whole, and some commands write over none.
START_TEST(goes_on_behind_the_last_byte) {
    char path[300], base[300], lora[300];
    snprintf(base, sizeof base, "%s/base", work);
    snprintf(lora, sizeof lora, "%s/lora", work);
    lora_base(base, DTYPE_F32, WORDS);
    lora_run(lora, "false");
    write_pipeline("{\"name\": \"data\", \"run\": [\"synth\", \"{out}\", \"--studies\", \"4\", \"--max-side\", \"{side}\"]},\n"
                   "{\"name\": \"adapter\", \"run\": [\"export\", \"{lora}\", \"--format\", \"peft\", \"--out\", \"{out}\"]}");
    program_expect(0, "run %s/p.json --input lora=%s", work, lora);
    snprintf(path, sizeof path, "%s/out/pipeline.state.json", work);
    buffer state = {0};
    ck_assert_int_eq(file_read(path, 0, &state), STATUS_OK);
    int notes = 0;
    for (char *at = state.data; (at = strstr(at, "\"done\": true")); notes++) memcpy(at, "\"done\":false", 12);
    ck_assert_int_eq(notes, 2);
    write_text(path, state.data);
    buffer_free(&state);
    program_expect(0, "run %s/p.json --input lora=%s", work, lora);
    outcome o = program("run %s/p.json --input lora=%s", work, lora);
    ck_assert_msg(o.exit == 0 && strstr(o.err, "2 stages, 0 of them run"), "%s", o.err);
    outcome_free(&o);
}
END_TEST

START_TEST(hands_signals_on) {
    char run[400];
    int state;
    write_pipeline(drawn);
    snprintf(run, sizeof run, "%s/out/classifier", work);
    pid_t pipeline = program_start("run %s/p.json --set steps=100000 --quiet", work);
    for (int i = 0; i < 3000 && run_last_step(run) < 3; i++) usleep(10000);
    ck_assert_int_ge(run_last_step(run), 3);
    kill(pipeline, SIGINT);
    ck_assert_int_eq(waitpid(pipeline, &state, 0), pipeline);
    ck_assert(WIFEXITED(state));
    ck_assert_int_eq(WEXITSTATUS(state), 130);
    // The stage has ended before it, with a checkpoint of its latest step.
    char path[500];
    const int step = run_last_step(run);
    snprintf(path, sizeof path, "%s/checkpoints/step-%08d", run, step);
    ck_assert_msg(folder_exists(path), "%s", path);
    outcome o = program("run %s/p.json --set steps=100000 --dry-run", work);
    ck_assert_msg(strstr(o.out, "was not finished"), "%s", o.out);
    outcome_free(&o);
}
END_TEST

// A stage that fails stops all with its exit status; what was done before is kept.
START_TEST(a_stage_fails) {
    char path[300];
    write_pipeline("{\"name\": \"voc\", \"out\": \"v.txt\", \"run\": [\"tokenizer\", \"train\", \"--type\", \"wordpiece\", \"{words}\", \"--size\", \"60\", \"--out\", \"{out}\"]},\n"
                   "{\"name\": \"shards\", \"run\": [\"ingest\", \"{voc}\", \"--out\", \"{out}\"]}, {\"name\": \"more\", \"run\": [\"inspect\", \"{shards}\"]}");
    outcome o = program("run %s/p.json", work);
    ck_assert_int_eq(o.exit, 1);
    ck_assert_msg(strstr(o.err, "radialog run: stage shards (radialog ingest) ended with exit status 1"), "%s", o.err);
    ck_assert_msg(strstr(o.err, "voc: has not run") && !strstr(o.err, "more: "), "%s", o.err);
    outcome_free(&o);
    o = program("run %s/p.json", work);
    ck_assert_msg(strstr(o.err, "voc: nothing to do") && strstr(o.err, "shards: was not finished"), "%s", o.err);
    outcome_free(&o);
    // A state that cannot be read is not written over.
    snprintf(path, sizeof path, "%s/out/pipeline.state.json", work);
    write_text(path, "{\"stages\": {\"voc\": 3}, \"paths\": {}}");
    o = program("run %s/p.json", work);
    ck_assert_int_eq(o.exit, 1);
    ck_assert_msg(strstr(o.err, "pipeline.state.json"), "%s", o.err);
    outcome_free(&o);
}
END_TEST

START_TEST(starts_training_as_told) {
    char path[300], command[400];
    struct stat info;
    write_pipeline(drawn);
    snprintf(path, sizeof path, "%s/starter", work);
    snprintf(command, sizeof command, "#!/bin/sh\necho started >> %s/started\nexec \"$@\"\n", work);
    write_text(path, command);
    ck_assert_int_eq(chmod(path, 0755), 0);
    outcome o = program("run %s/p.json --launch %s", work, path);
    ck_assert_msg(o.exit == 0, "%s", o.err);
    outcome_free(&o);
    snprintf(path, sizeof path, "%s/started", work);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_size, 8); // once: the only stage that trains
    o = program("run %s/p.json --launch %s/missing --set steps=2", work, work);
    ck_assert_int_eq(o.exit, 1);
    ck_assert_msg(strstr(o.err, "cannot start") && strstr(o.err, "missing"), "%s", o.err);
    outcome_free(&o);
    static const char *const ranks[][2] = {
        {"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "localhost"}, {"MASTER_PORT", "29500"}};
    for (int i = 0; i < 4; i++) setenv(ranks[i][0], ranks[i][1], 1);
    o = program("run %s/p.json", work);
    for (int i = 0; i < 4; i++) unsetenv(ranks[i][0]);
    ck_assert_int_eq(o.exit, 2);
    ck_assert_msg(strstr(o.err, "--launch"), "%s", o.err);
    outcome_free(&o);
}
END_TEST

// All of it is checked before anything runs.
START_TEST(refuses) {
    static const struct {
        const char *stages, *options, *parts;
    } cases[] = {
        {"", "", "has no stage"},
        {"{\"name\": \"a b\", \"run\": [\"inspect\", \"x\"]}", "", "'a b' is no name"},
        {"{\"name\": \"out\", \"run\": [\"inspect\", \"x\"]}", "", "'out' has a meaning already"},
        {"{\"name\": \"words\", \"run\": [\"inspect\", \"x\"]}", "", "'words' has a meaning already"},
        {"{\"name\": \"a\", \"ran\": []}", "", "\"ran\"|did you mean run"},
        {"{\"name\": \"a\"}", "", "p.json:3|run"},
        {"{\"name\": \"a\", \"run\": []}", "", "stage a: a command is missing"},
        {"{\"name\": \"a\", \"run\": [\"synht\", \"{out}\"]}", "", "p.json:3|stage a|radialog synth"},
        {"{\"name\": \"a\", \"run\": [\"synth\", 3]}", "", "p.json:3"},
        {"{\"name\": \"a\", \"run\": [\"synth\", \"{out}\", \"--studis\", \"3\"]}", "", "stage a|--studies"},
        {"{\"name\": \"a\", \"run\": [\"train\", \"lm\", \"--set\", \"optim.lrr=1\"]}", "", "stage a|optim.lrr|optim.lr"},
        {"{\"name\": \"a\", \"run\": [\"train\", \"lm\", \"--config\", \"nowhere.json\"]}", "", "nowhere.json"},
        {"{\"name\": \"a\", \"run\": [\"run\", \"p.json\"]}", "", "a pipeline in a pipeline"},
        {"{\"name\": \"a\", \"run\": [\"inspect\", \"{b}\"]}, {\"name\": \"b\", \"run\": [\"synth\", \"{out}\"]}", "",
         "{b} is no input, setting or stage before"},
        {"{\"name\": \"a\", \"run\": [\"inspect\", \"{wordz}\"]}", "", "did you mean {words}"},
        {"{\"name\": \"a\", \"run\": [\"inspect\", \"{words\"]}", "", "a brace that does not close"},
        {"{\"name\": \"a\", \"out\": \"../x\", \"run\": [\"synth\", \"{out}\"]}", "", "leaves the pipeline's folder"},
        {"{\"name\": \"a\", \"run\": [\"synth\", \"{out}\"]}", "--set studeis=3", "did you mean studies"},
        {"{\"name\": \"a\", \"run\": [\"synth\", \"{out}\"]}", "--set studies", "SETTING=VALUE"},
        {"{\"name\": \"a\", \"run\": [\"synth\", \"{out}\"]}", "--set b.x.y=3", "has no stage b"},
        {"{\"name\": \"a\", \"run\": [\"synth\", \"{out}\"]}", "--set a.x.y=3", "unknown option --set"},
        {"{\"name\": \"a\", \"run\": [\"synth\", \"{out}\"]}", "--input wrods=3", "did you mean words"},
        {"{\"name\": \"a\", \"run\": [\"inspect\", \"{words}\"]}", "--input words=", "input 'words'|--input words=PATH"},
        {"{\"name\": \"a\", \"run\": [\"synth\", \"{out}\"]}", "b", "has no stage b"},
        {"{\"name\": \"a\", \"run\": [\"inspect\", \"{words}\"]}", "--input words=/nowhere", "/nowhere"},
        {"{\"name\": \"a\", \"run\": [\"synth\", \"{out}\"]}", "--launch=", "--launch is empty"},
    };
    char path[300], list[400];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_pipeline(cases[i].stages);
        outcome o = program("run %s/p.json %s", work, cases[i].options);
        ck_assert_msg(o.exit == 1 || o.exit == 2, "case %zu: exit %d", i, o.exit);
        snprintf(list, sizeof list, "%s", cases[i].parts);
        char *rest = list;
        for (char *part; (part = strsep(&rest, "|"));)
            ck_assert_msg(strstr(o.err, part) != NULL, "case %zu: no '%s' in: %s", i, part, o.err);
        outcome_free(&o);
    }
    snprintf(path, sizeof path, "%s/out/a", work);
    ck_assert(!folder_exists(path));
    // A command whose keys depend on what is asked has a configuration as well.
    write_pipeline("{\"name\": \"a\", \"run\": [\"plan\", \"classifier\"]}");
    outcome o = program("run %s/p.json --dry-run --set a.train.batch=2", work);
    ck_assert_msg(o.exit == 0, "%s", o.err);
    outcome_free(&o);
}
END_TEST

// Two pipelines in one folder share what both have.
START_TEST(two_in_one_folder) {
    static const char first[] = "{\"name\": \"a\", \"run\": [\"synth\", \"{out}\", \"--studies\", \"3\", \"--max-side\", \"{side}\"]},\n",
                      one[] = "{\"name\": \"b\", \"out\": \"b.txt\", \"run\": [\"tokenizer\", \"train\", \"--type\", \"wordpiece\", \"--size\",\n"
                              "\"60\", \"{words}\", \"--out\", \"{out}\"]}",
                      other[] = "{\"name\": \"c\", \"run\": [\"ingest\", \"{a}\", \"--out\", \"{out}\"]}";
    static const char *const ran[] = {"2 of them run", "1 of them run", "0 of them run", "0 of them run"};
    for (int i = 0; i < 4; i++) {
        char stages[1024];
        snprintf(stages, sizeof stages, "%s%s", first, i % 2 ? other : one);
        write_pipeline(stages);
        outcome o = program("run %s/p.json", work);
        ck_assert_msg(o.exit == 0 && strstr(o.err, ran[i]), "%d: %s", i, o.err);
        outcome_free(&o);
    }
}
END_TEST

// What is there already takes a stage's place.
START_TEST(begins_behind_a_stage) {
    char path[400];
    write_pipeline(drawn);
    small_shards(work, 24);
    snprintf(path, sizeof path, "--input shards=%s/shards", work);
    expect_ran(path, " contents vocabulary classifier ");
    snprintf(path, sizeof path, "%s/out/data", work);
    ck_assert(!folder_exists(path));
}
END_TEST

// Those of the tree, with inputs that are only there.
START_TEST(pipelines_of_the_tree) {
    static const char *const files[] = {"configs/demo/pipeline.json", "configs/paper/rg.json", "configs/paper/ins.json",
                                        "configs/local/pipeline.json"};
    static const char *const inputs[] = {"", "mimic bert biovil chexbert vicuna",
                                         "mimic bert biovil chexbert vicuna writer nle",
                                         "data bert encoder chexbert base"};
    write_pipeline("");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char words[2048] = "", list[200], *rest = list;
        snprintf(list, sizeof list, "%s", inputs[i]);
        for (char *name; (name = strsep(&rest, " ")) && *name;)
            snprintf(words + strlen(words), sizeof words - strlen(words), " --input %s=%s/words.txt", name, work);
        outcome o = program("run " SOURCE_ROOT "/%s --dir %s/none --dry-run%s", files[i], work, words);
        ck_assert_msg(o.exit == 0 && count_text(o.out, "has not run") > 10, "%s: %s", files[i], o.err);
        outcome_free(&o);
    }
}
END_TEST

// What content is and what is not.
START_TEST(contents) {
    char a[300], b[300], path[400], one[CONTENT_SIZE], two[CONTENT_SIZE];
    const char *const folders[] = {a, b};
    snprintf(a, sizeof a, "%s/a", work);
    snprintf(b, sizeof b, "%s/b", work);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/sub", folders[i]);
        ck_assert_int_eq(folder_make(path), STATUS_OK);
        snprintf(path, sizeof path, "%s/x", folders[i]);
        write_text(path, "1");
        snprintf(path, sizeof path, "%s/sub/y", folders[i]);
        write_text(path, "2");
    }
    ck_assert_int_eq(content_read(one, a) | content_read(two, b), STATUS_OK);
    ck_assert_str_eq(one, two);
    static const struct {
        const char *name, *text;
        bool same;
    } steps[] = {{"log.txt", "z", true}, {"sub/metrics.jsonl", "z", true}, {".hidden", "z", true}, {"x.tmp", "z", true},
                 {"sub/y", "3", false},  {"sub/y", "2", true},             {"sub/z", "", false}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char before[CONTENT_SIZE], after[CONTENT_SIZE];
        ck_assert_int_eq(content_look(before, b), STATUS_OK);
        snprintf(path, sizeof path, "%s/%s", b, steps[i].name);
        usleep(10000); // beyond the grain of the file system's clock
        write_text(path, steps[i].text);
        ck_assert_int_eq(content_read(two, b) | content_look(after, b), STATUS_OK);
        ck_assert_msg(!strcmp(one, two) == steps[i].same, "%s", steps[i].name);
        ck_assert_msg(!strcmp(before, after) == (i < 4), "%s", steps[i].name);
    }
    // Names count.
    snprintf(path, sizeof path, "%s/sub/z", b);
    ck_assert_int_eq(path_remove(path), STATUS_OK);
    ck_assert_int_eq(content_read(two, b), STATUS_OK);
    ck_assert_str_eq(one, two);
    snprintf(path, sizeof path, "%s/x", b);
    char to[400];
    snprintf(to, sizeof to, "%s/w", b);
    ck_assert_int_eq(rename(path, to), 0);
    ck_assert_int_eq(content_read(two, b), STATUS_OK);
    ck_assert_str_ne(one, two);
    snprintf(path, sizeof path, "%s/nowhere", work);
    expect_failure(content_read(one, path), STATUS_IO, "nowhere", "nowhere", "is not there");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pipeline");
    TCase *group = tcase_create("pipeline");
    tcase_set_timeout(group, 240);
    tcase_add_checked_fixture(group, setup, teardown);
    tcase_add_test(group, runs_what_has_changed);
    tcase_add_test(group, looks_ahead);
    tcase_add_test(group, goes_on_after_a_kill);
    tcase_add_test(group, goes_on_behind_the_last_byte);
    tcase_add_test(group, hands_signals_on);
    tcase_add_test(group, a_stage_fails);
    tcase_add_test(group, starts_training_as_told);
    tcase_add_test(group, refuses);
    tcase_add_test(group, two_in_one_folder);
    tcase_add_test(group, begins_behind_a_stage);
    tcase_add_test(group, pipelines_of_the_tree);
    tcase_add_test(group, contents);
    suite_add_tcase(suite, group);
    return run_suite(suite);
}
