#include "train/run_page.h"
#include "core/files/fs.h"
#include "data/labels.h"
#include "eval/chart.h"
#include "train/run_record.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LINES = CHART_COLOURS, KEYS = 16 };
static const char validation[] = "validation.";

// --- training -----------------------------------------------------------------------------------
static chart_line line_of(const run_series *s, int colour, bool points) {
    return (chart_line){s->step, s->value, s->count, colour, points};
}

static void add_curve(buffer *out, const run_record *r, const char *name, const char *title,
                      bool zero) {
    const run_series *s = run_record_find(r, name);
    const chart_frame frame = {title, "steps", zero};
    if (!s) return;
    const chart_line line = line_of(s, 0, false);
    chart_lines(out, &frame, &line, NULL, 1);
}

// The loss's parts stand between it and the learning rate in each line.
static void add_losses(buffer *out, const run_record *r) {
    const chart_frame frame = {"Loss", "steps", false},
                      parts = {"Parts of the loss", "steps", false};
    chart_line line[LINES];
    const char *name[LINES];
    int count = 0;
    bool inside = false;
    for (size_t i = 0; i < r->count && strcmp(r->series[i].name, "lr") && count < LINES; i++) {
        if (inside) {
            name[count] = r->series[i].name;
            line[count] = line_of(&r->series[i], count + 1, false);
            count++;
        }
        inside |= !strcmp(r->series[i].name, "loss");
    }
    const run_series *loss = run_record_find(r, "loss"),
                     *held = run_record_find(r, "validation.loss");
    if (!loss) return;
    const chart_line both[] = {line_of(loss, 0, false),
                               held ? line_of(held, 1, true) : (chart_line){0}};
    static const char *const names_of_both[] = {"training", "validation"};
    chart_lines(out, &frame, both, held ? names_of_both : NULL, held ? 2 : 1);
    if (count) chart_lines(out, &parts, line, name, count);
}

static void add_training(buffer *out, const run_record *r) {
    html_element(out, "h2", NULL, "Training");
    charts_begin(out);
    add_losses(out, r);
    add_curve(out, r, "lr", "Learning rate", true);
    add_curve(out, r, "grad_norm", "Norm of the gradient, before clipping", true);
    add_curve(out, r, "loss_scale", "Scale of the loss", true);
    add_curve(out, r, "samples_per_second", "Samples per second", true);
    add_curve(out, r, "tokens_per_second", "Tokens per second", true);
    add_curve(out, r, "ms", "Milliseconds of a step", true);
    charts_end(out);
}

// --- validation ---------------------------------------------------------------------------------
static bool begins(const char *text, const char *prefix) {
    return !strncmp(text, prefix, strlen(prefix));
}

// "image_to_text" of "validation.image_to_text.recall_1"; empty: it stands alone. NULL: no score of
// a validation.
static const char *group_of(char out[64], const char *name) {
    if (!begins(name, validation) || begins(name, "validation.classes.")) return NULL;
    const char *rest = name + strlen(validation), *dot = strchr(rest, '.');
    const size_t length = dot ? (size_t)(dot - rest) : 0;
    if (length >= 64) return NULL;
    memcpy(out, rest, length);
    out[length] = 0;
    return out;
}

static bool changes(const run_series *s) {
    for (int64_t i = 1; i < s->count; i++)
        if (s->value[i] != s->value[0]) return true;
    return s->count == 1 && s->value[0] != floor(s->value[0]);
}

static bool is_share(const run_series *s) {
    for (int64_t i = 0; i < s->count; i++)
        if (s->value[i] < -1 || s->value[i] > 1) return false;
    return true;
}

static const char *label_of(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

// Scores between -1 and 1 of one group share frames of LINES lines; others have frames of their
// own. How many of a thing there were is no score.
static void add_group(buffer *out, const run_record *r, const char *group) {
    chart_line line[LINES];
    const char *name[LINES];
    int count = 0;
    char own[64], title[100];
    snprintf(title, sizeof title, "%s", *group ? group : "Scores");
    const chart_frame frame = {title, "steps", false};
    for (size_t i = 0; i < r->count; i++) {
        const run_series *s = &r->series[i];
        const char *its = group_of(own, s->name);
        if (!its || strcmp(its, group) || !changes(s) || !strcmp(s->name, "validation.loss"))
            continue;
        const chart_frame alone = {label_of(s->name), "steps", false};
        const chart_line points = line_of(s, is_share(s) ? count : 1, true);
        if (!is_share(s)) {
            chart_lines(out, &alone, &points, NULL, 1);
            continue;
        }
        name[count] = label_of(s->name);
        line[count++] = points;
        if (count == LINES) chart_lines(out, &frame, line, name, count), count = 0;
    }
    if (count) chart_lines(out, &frame, line, name, count);
}

static void add_validation(buffer *out, const run_record *r) {
    char group[64], other[64];
    bool any = false;
    for (size_t i = 0; i < r->count; i++) any |= begins(r->series[i].name, validation);
    if (!any) return;
    html_element(out, "h2", NULL, "Validation");
    charts_begin(out);
    for (size_t i = 0; i < r->count; i++) {
        const char *its = group_of(group, r->series[i].name);
        bool before = !its;
        for (size_t j = 0; j < i && !before; j++) {
            const char *same = group_of(other, r->series[j].name);
            before = same && !strcmp(same, its);
        }
        if (!before) add_group(out, r, its);
    }
    charts_end(out);
}

// --- classes ------------------------------------------------------------------------------------
// The keys that classes have, in their order.
static int class_keys(const char *key[KEYS], const run_record *r) {
    int count = 0;
    for (size_t i = 0; i < r->count && count < KEYS; i++) {
        if (!begins(r->series[i].name, "validation.classes.")) continue;
        const char *its = label_of(r->series[i].name);
        bool known = false;
        for (int k = 0; k < count; k++) known |= !strcmp(key[k], its);
        if (!known) key[count++] = its;
    }
    return count;
}

static double class_value(const run_record *r, int class, const char *key) {
    char name[256];
    snprintf(name, sizeof name, "validation.classes.%s.%s", class_names[class], key);
    return run_record_latest(r, name);
}

static void add_class_table(buffer *out, const run_record *r, const char *const *key, int keys) {
    table t = {0};
    table_column(&t, "finding");
    for (int k = 0; k < keys; k++) table_column(&t, key[k]);
    for (int c = 0; c < CLASS_COUNT; c++) {
        table_text(&t, class_names[c]);
        for (int k = 0; k < keys; k++) {
            const double value = class_value(r, c, key[k]);
            table_number(&t, value, value == floor(value) && fabs(value) > 1 ? 0 : 3);
        }
    }
    buffer_text(out, "<details><summary>all numbers</summary>\n");
    html_table(out, &t);
    buffer_text(out, "</details>\n");
    table_free(&t);
}

static void add_classes(buffer *out, const run_record *r) {
    static const char *const shown[] = {"f1", "positive_f1", "auc"};
    const char *key[KEYS], *bar[3];
    const int keys = class_keys(key, r);
    int bars = 0;
    if (!keys) return;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < keys; k++)
            if (!strcmp(key[k], shown[i])) bar[bars++] = shown[i];
    html_element(out, "h2", NULL, "Findings, one by one");
    html_element(out, "p", "soft", "Of the latest validation.");
    chart_legend(out, bar, bars);
    chart_bars_begin(out);
    for (int c = 0; c < CLASS_COUNT; c++) {
        double value[3];
        for (int k = 0; k < bars; k++) value[k] = class_value(r, c, bar[k]);
        chart_bars_row(out, class_names[c], "", value, bars);
    }
    chart_bars_end(out);
    add_class_table(out, r, key, keys);
}

// --- samples ------------------------------------------------------------------------------------
static void add_samples(buffer *out, const run_record *r) {
    if (!r->samples) return;
    html_element(out, "h2", NULL, "What it wrote");
    html_element(out, "p", "soft wide", r->sample[r->samples - 1].id);
    table t = {0};
    table_column(&t, "step");
    table_column(&t, "answer");
    for (size_t i = 0; i < r->samples; i++) {
        table_integer(&t, r->sample[i].step);
        table_text(&t, *r->sample[i].text ? r->sample[i].text : "(empty)");
    }
    html_table(out, &t);
    table_free(&t);
}

// --- the page -----------------------------------------------------------------------------------
static void add_summary(buffer *out, const run_record *r) {
    const run_series *loss = run_record_find(r, "loss"),
                     *held = run_record_find(r, "validation.loss");
    table t = {0};
    char text[64];
    table_column(&t, "");
    table_column(&t, "");
    snprintf(text, sizeof text, r->total ? "%lld of %lld" : "%lld", (long long)r->step,
             (long long)r->total);
    table_text(&t, "steps");
    table_text(&t, text);
    snprintf(text, sizeof text, "%.0f:%02.0f:%02.0f", floor(r->ms / 3.6e6),
             floor(fmod(r->ms / 6e4, 60)), floor(fmod(r->ms / 1e3, 60)));
    table_text(&t, "time in steps");
    table_text(&t, text);
    if (loss && loss->count) {
        snprintf(text, sizeof text, "%.4g at first, %.4g at last", loss->value[0],
                 loss->value[loss->count - 1]);
        table_text(&t, "loss");
        table_text(&t, text);
    }
    if (held && held->count) {
        int64_t best = 0;
        for (int64_t i = 1; i < held->count; i++)
            if (held->value[i] < held->value[best]) best = i;
        snprintf(text, sizeof text, "%.4g at best, at step %.0f", held->value[best],
                 held->step[best]);
        table_text(&t, "validation's loss");
        table_text(&t, text);
    }
    html_table(out, &t);
    table_free(&t);
}

static status add_configuration(buffer *out, const char *folder) {
    char path[PATH_SIZE];
    buffer text = {0};
    status rc = path_join(path, sizeof path, folder, "config.resolved.json");
    if (rc || !file_exists(path)) return rc;
    rc = file_read(path, 0, &text);
    if (!rc) {
        html_element(out, "h2", NULL, "Configuration");
        buffer_text(out, "<details><summary>all keys</summary>");
        html_element(out, "pre", NULL, text.data);
        buffer_text(out, "</details>\n");
    }
    buffer_free(&text);
    return rc;
}

static status print_page(buffer *out, const run_record *r, const char *folder) {
    char title[300];
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/') length--;
    size_t start = length;
    while (start && folder[start - 1] != '/') start--;
    snprintf(title, sizeof title, "Training run %.*s",
             (int)(length - start < 200 ? length - start : 200), folder + start);
    html_begin(out, title, folder);
    add_summary(out, r);
    add_training(out, r);
    add_validation(out, r);
    add_classes(out, r);
    add_samples(out, r);
    status rc = add_configuration(out, folder);
    html_end(out);
    return rc ? rc : out->failed;
}

status run_page_write(const char *folder) {
    char path[PATH_SIZE];
    run_record r;
    buffer page = {0};
    status rc = run_record_open(&r, folder);
    if (!rc) rc = print_page(&page, &r, folder);
    if (!rc) rc = path_join(path, sizeof path, folder, "report.html");
    if (!rc) rc = file_write(path, page.data, page.length);
    buffer_free(&page);
    run_record_close(&r);
    return rc;
}
