// A training run of a stage as the program does it, but on the device that is asked for, the double one among
// them; the ranks are what mpirun made. Rank 0 leaves its trained parameters and buffers, and the first moments
// (which are gradients after one step), in a file: for each tensor a count and as many doubles.
//   rank_train STAGE oracle|cpu OUT [--set] KEY=VALUE ...
#include "core/log.h"
#include "tests/oracle/oracle.h"
#include "train/config_keys.h"
#include "train/devices.h"
#include "train/run.h"
#include "train/stage_aligner.h"
#include "train/stage_chexbert.h"
#include "train/stage_classifier.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const stage *stage;
    const config_key *const *tables;
} stages[] = {{&stage_classifier, classifier_tables}, {&stage_chexbert, chexbert_tables}, {&stage_aligner, aligner_tables}};

static status write_tensor(FILE *f, const params *p, const param *q, const void *block) {
    int64_t count = tensor_count(&q->value);
    double *values = NULL;
    status rc = mem_new(&values, count, q->name);
    if (!rc) rc = param_read_f64(p, q, block, values);
    if (!rc && (fwrite(&count, sizeof count, 1, f) != 1 ||
                fwrite(values, sizeof *values, (size_t)count, f) != (size_t)count))
        rc = status_fail(STATUS_IO, "cannot write %s", q->name);
    mem_free(values);
    return rc;
}

static status write_values(const run *r, const char *path) {
    const params *p = &r->params;
    FILE *f = fopen(path, "wb");
    status rc = f ? STATUS_OK : status_fail(STATUS_IO, "%s: cannot create", path);
    for (size_t i = 0; i < p->count && !rc; i++)
        if (p->item[i]->role != PARAM_CONSTANT && !p->item[i]->frozen)
            rc = write_tensor(f, p, p->item[i], param_block(p, p->item[i]));
    for (size_t i = 0; i < p->count && !rc; i++)
        if (p->item[i]->role == PARAM_WEIGHT && !p->item[i]->frozen)
            rc = write_tensor(f, p, p->item[i], r->optimizer.m);
    if (f) fclose(f);
    return rc;
}

static status configure(config **c, const config_key *const *tables, int count, char **options) {
    status rc = config_open(c, tables);
    for (int i = 0; i < count && !rc; i++)
        if (strcmp(options[i], "--set")) rc = config_set(*c, options[i]);
    return rc;
}

int main(int argc, char **argv) {
    config *c = NULL;
    run r = {0};
    launch started;
    device *d = NULL;
    comm *ranks = NULL;
    int which = 0;
    while (argc > 3 && which < 3 && strcmp(stages[which].stage->name, argv[1])) which++;
    if (argc < 4 || which == 3) return 2;
    stage trained = *stages[which].stage;
    trained.report = NULL; // it would leave the best checkpoint's weights instead of the last step's
    log_quiet(1);
    status rc = configure(&c, stages[which].tables, argc - 4, argv + 4);
    if (!rc) rc = launch_read(&started);
    if (!rc && !strcmp(argv[2], "oracle")) rc = device_open_oracle(&d);
    if (!rc && strcmp(argv[2], "oracle")) rc = device_from_config(&d, c, &started);
    if (!rc) rc = comm_open(&ranks, &started, d, config_float(c, "run.watchdog"));
    if (!rc) rc = run_open_on(&r, &trained, c, d, ranks);
    if (!rc) rc = train_loop(&r);
    if (!rc && ranks->rank == 0) rc = write_values(&r, argv[3]);
    if (rc) fprintf(stderr, "rank_train: %s\n", status_text());
    run_close(&r);
    config_close(c);
    return rc != STATUS_OK;
}
