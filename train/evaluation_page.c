// report.html of an evaluation: scores, controls, findings one by one, and reports beside what was
// written in their places, those first that went worst.
#include "core/files/fs.h"
#include "data/image.h"
#include "eval/chart.h"
#include "train/evaluator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PICTURE_SIDE = 256 };

static void write_table(buffer *out, void make(table *t, const evaluator *v), const evaluator *v) {
    table t = {0};
    make(&t, v);
    html_table(out, &t);
    table_free(&t);
}

// --- findings -----------------------------------------------------------------------------------
static void add_bars(buffer *out, const evaluator *v, const char *heading,
                     double of(const clinical_class *c)) {
    html_element(out, "h3", NULL, heading);
    chart_bars_begin(out);
    for (int n = 0; n < CLASS_COUNT; n++) {
        double value[EVALUATION_RUNS];
        char note[32];
        snprintf(note, sizeof note, "in %lld", (long long)v->run[0].clinical.per_class[n].support);
        for (int k = 0; k < v->e.runs; k++) value[k] = of(&v->run[k].clinical.per_class[n]);
        chart_bars_row(out, class_names[n], note, value, v->e.runs);
    }
    chart_bars_end(out);
}

static double f1_of(const clinical_class *c) {
    return c->score.f1;
}

static void class_table(table *t, const evaluator *v, int k) {
    const clinical_scores *c = &v->run[k].clinical;
    static const char *const columns[] = {"finding",   "real",   "written", "both",
                                          "precision", "recall", "F1"};
    for (int i = 0; i < 7; i++) table_column(t, columns[i]);
    for (int n = 0; n < CLASS_COUNT; n++) {
        const clinical_class *x = &c->per_class[n];
        table_text(t, class_names[n]);
        table_integer(t, x->support);
        table_integer(t, x->predicted);
        table_integer(t, x->matched);
        table_number(t, x->score.precision, 3);
        table_number(t, x->score.recall, 3);
        table_number(t, x->score.f1, 3);
    }
    const struct {
        const char *name;
        const metric_average *x;
    } average[] = {{"macro average", &c->all.macro},
                   {"micro average", &c->all.micro},
                   {"weighted average", &c->all.weighted},
                   {"average of reports", &c->all.samples},
                   {"macro average of 5", &c->five.macro}};
    table_rule(t);
    for (int i = 0; i < 5; i++) {
        table_text(t, average[i].name);
        for (int e = 0; e < 3; e++) table_text(t, "");
        table_number(t, average[i].x->precision, 3);
        table_number(t, average[i].x->recall, 3);
        table_number(t, average[i].x->f1, 3);
    }
}

static void add_classes(buffer *out, const evaluator *v) {
    const char *name[EVALUATION_RUNS];
    for (int k = 0; k < v->e.runs; k++) name[k] = v->e.run[k].title;
    html_element(out, "h2", NULL, "Findings, one by one");
    html_element(out, "p", "soft", "F1 of each finding; in how many real reports it is.");
    chart_legend(out, name, v->e.runs);
    add_bars(out, v, "", f1_of);
    for (int k = 0; k < v->e.runs; k++) {
        table t = {0};
        buffer_text(out, "<details><summary>");
        html_text(out, v->e.run[k].title);
        buffer_text(out, ": precision and recall</summary>\n");
        class_table(&t, v, k);
        html_table(out, &t);
        table_free(&t);
        buffer_text(out, "</details>\n");
    }
}

// --- examples -----------------------------------------------------------------------------------
typedef struct example {
    double f1, words;
    int64_t number;
} example;

static int compare_examples(const void *a, const void *b) {
    const example *x = a, *y = b;
    if (x->f1 != y->f1) return x->f1 < y->f1 ? -1 : 1;
    if (x->words != y->words) return x->words < y->words ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

// By the findings of the first run's report, then by its words.
static status order_examples(example **out, const evaluator *v) {
    status rc = mem_new(out, v->e.count, "examples");
    for (int64_t i = 0; i < v->e.count && !rc; i++) {
        const double *row = v->run[0].rows + i * REPORT_STATISTICS;
        (*out)[i] = (example){row[REPORT_CLINICAL + CLINICAL_COUNTS + 2], row[REPORT_ROUGE], i};
    }
    if (!rc) qsort(*out, (size_t)v->e.count, sizeof **out, compare_examples);
    return rc;
}

// What TRUTH and SAID have of a finding decides its look; SAID NULL: the real report.
static void add_tags(buffer *out, const evaluator *v, const int8_t *truth, const int8_t *said) {
    bool any = false;
    buffer_text(out, "<div class=\"tags\">");
    for (int n = 0; n < CLASS_COUNT; n++) {
        const bool there = clinical_found(truth[n], v->how.mapping),
                   found = said && clinical_found(said[n], v->how.mapping);
        if (!there && !found) continue;
        const char *kind = !said ? "" : there && found ? "good" : found ? "bad" : "missed";
        buffer_print(out, "<span class=\"%s\">%s%s</span>", kind,
                     !said            ? ""
                     : there && found ? "✓ "
                     : found          ? "+ "
                                      : "− ",
                     class_names[n]);
        any = true;
    }
    buffer_text(out, any ? "</div>" : "<span>nothing</span></div>");
}

static void add_report(buffer *out, const evaluator *v, const char *name, const char *text,
                       const int8_t *truth, const int8_t *said) {
    buffer_text(out, "<div>");
    html_element(out, "h3", "wide", name);
    html_element(out, "p", NULL, *text ? text : "(empty)");
    add_tags(out, v, truth, said);
    buffer_text(out, "</div>\n");
}

static status add_example(buffer *out, const evaluator *v, pixel_reader *pixels, uint8_t *square,
                          const example *x) {
    const int64_t i = x->number, record = v->e.record[i];
    const int8_t *truth = v->e.truth + i * CLASS_COUNT;
    const char *id = dataset_id(v->data, record, ID_DICOM);
    uint8_t *small = square + STORED_PIXELS;
    char about[128];
    status rc = dataset_pixels(square, pixels, record);
    if (!rc) rc = image_resize(small, PICTURE_SIDE, PICTURE_SIDE, square, STORED_SIDE, STORED_SIDE);
    buffer_text(out, "<article class=\"card\"><div>");
    if (!rc) rc = html_picture(out, small, PICTURE_SIDE, PICTURE_SIDE, "radiograph");
    snprintf(about, sizeof about, "F1 of its findings %.2f, R-L %.2f", x->f1, x->words);
    html_element(out, "p", "soft wide", id);
    html_element(out, "p", "soft", about);
    buffer_text(out, "</div><div class=\"texts\">");
    add_report(out, v, "Real report", v->e.reference[i], truth, NULL);
    for (int k = 0; k < v->e.runs; k++)
        if (v->e.run[k].table)
            add_report(out, v, v->e.run[k].title, v->e.run[k].text[i], truth,
                       v->e.run[k].labels + i * CLASS_COUNT);
    buffer_text(out, "</div></article>\n");
    return rc ? rc : out->failed;
}

static status add_examples(buffer *out, const evaluator *v) {
    const int64_t asked = config_int(v->config, "evaluate.examples"),
                  count = asked < v->e.count ? asked : v->e.count;
    pixel_reader *pixels = NULL;
    uint8_t *square = NULL;
    example *order = NULL;
    if (!count) return STATUS_OK;
    html_element(out, "h2", NULL, "Examples, the hardest first");
    html_element(out, "p", "soft",
                 "By the F1 of the findings in the first run's report, then by its words. "
                 "✓ in both reports, + written only, − missing.");
    status rc = order_examples(&order, v);
    if (!rc) rc = mem_new(&square, STORED_PIXELS + PICTURE_SIDE * PICTURE_SIDE, "a radiograph");
    if (!rc) rc = pixel_reader_open(&pixels, v->data);
    for (int64_t i = 0; i < count && !rc; i++) rc = add_example(out, v, pixels, square, &order[i]);
    pixel_reader_close(pixels);
    mem_free(square);
    mem_free(order);
    return rc;
}

// --- the page -----------------------------------------------------------------------------------
static status print_page(buffer *out, const evaluator *v) {
    char about[200];
    snprintf(about, sizeof about, "%lld reports, %d %s of answers; intervals of 95 %%",
             (long long)v->e.count, v->e.runs, v->e.runs == 1 ? "set" : "sets");
    html_begin(out, "Evaluation of written reports", about);
    html_element(out, "h2", NULL, "Scores");
    write_table(out, evaluation_paper, v);
    html_element(out, "p", "soft", evaluation_paper_about);
    html_element(out, "h2", NULL, "Clinical scores and controls");
    write_table(out, evaluation_scores, v);
    html_element(out, "p", "soft",
                 "similarity: of the labeler's vectors. priors: share of reports that compare with "
                 "an earlier film where "
                 "the real one does not; a model that is shown one film invents them all. "
                 "different: share of reports "
                 "that are unlike all others; a model that always writes the same has few.");
    if (v->e.runs > 1) {
        html_element(out, "h2", NULL, "The first against the others");
        write_table(out, evaluation_differences, v);
        html_element(out, "p", "soft",
                     "Its scores minus theirs; an interval that holds 0 tells no difference.");
    }
    add_classes(out, v);
    status rc = add_examples(out, v);
    html_element(out, "h2", NULL, "Protocol");
    write_table(out, evaluation_protocol, v);
    html_end(out);
    return rc ? rc : out->failed;
}

status evaluation_page(const evaluator *v, const char *folder) {
    char path[PATH_SIZE];
    buffer page = {0};
    status rc = print_page(&page, v);
    if (!rc) rc = path_join(path, sizeof path, folder, "report.html");
    if (!rc) rc = file_write(path, page.data, page.length);
    buffer_free(&page);
    return rc;
}
