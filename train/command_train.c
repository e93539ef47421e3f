// radialog train STAGE
#include "core/files/fs.h"
#include "core/log.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/run.h"
#include "train/settings.h"
#include "train/stage_aligner.h"
#include "train/stage_chexbert.h"
#include "train/stage_classifier.h"
#include "train/stage_language.h"

#include <stdio.h>
#include <string.h>

static const option options[] = {
    {"fresh", NULL, "start over in a new folder beside run.dir instead of continuing there"},
    {0},
};

// run.dir, or run.dir-2, -3, ... : the first that does not exist yet.
static status fresh_folder(config *c) {
    char assignment[PATH_SIZE];
    const char *dir = config_text(c, "run.dir");
    if (!folder_exists(dir)) return STATUS_OK;
    for (int i = 2;; i++) {
        if (snprintf(assignment, sizeof assignment, "run.dir=%s-%d", dir, i) >= (int)sizeof assignment)
            return status_fail(STATUS_USAGE, "run.dir is too long");
        if (!folder_exists(assignment + strlen("run.dir="))) break;
    }
    log_info("starting over in %s", assignment + strlen("run.dir="));
    return config_set(c, assignment);
}

// Ranks part in run_close: whoever launched them may end all when the first of those that have nothing to say is gone.
static status say_before_parting(const run *r, const arguments *a, status rc) {
    if (!r->comm || r->comm->size == 1 || rc == STATUS_ELSEWHERE || !*status_text()) return rc;
    fprintf(stderr, "radialog %s: %s\n", a->command->name, status_text());
    return status_carry(rc, "");
}

static status train_with(const arguments *a, const stage *s, const config_key *const *tables) {
    config *c = NULL;
    run r = {0};
    status rc = settings_open(&c, tables, a);
    if (!rc && argument_given(a, "fresh")) rc = fresh_folder(c);
    if (!rc) {
        rc = run_open(&r, s, c);
        if (!rc) rc = train_loop(&r);
        if (rc) rc = say_before_parting(&r, a, rc);
        run_close(&r);
    }
    config_close(c);
    return rc;
}

// The command, its help and its entry in the program's list, by the stage's name.
#define TRAIN(stage, words)                                                                                            \
    static status train_##stage(const arguments *a) { return train_with(a, &stage_##stage, stage##_tables); }          \
    const command command_train_##stage = {                                                                            \
        .name = "train " #stage,                                                                                       \
        .summary = words "; continues what is in run.dir",                                                             \
        .options = options,                                                                                            \
        .run = train_##stage,                                                                                          \
        .tables = stage##_tables,                                                                                      \
    };
TRAIN(classifier, "trains the findings classifier")
TRAIN(chexbert, "trains the report labeler")
TRAIN(aligner, "trains the Q-Former that turns radiographs into tokens")
TRAIN(lm, "trains a small language model whole")
TRAIN(lora, "trains adapters and the image projection beside a frozen language model")
