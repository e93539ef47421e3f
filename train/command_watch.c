// radialog watch: a training run live in a terminal, out of what it writes (train/run_record.h):
// how far it is, the loss as a line of blocks, what validation found, when it will end. It only
// reads, from any machine that sees the folder.
#include "core/files/fs.h"
#include "train/commands.h"
#include "train/run_record.h"
#include "train/signals.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LABEL = 12, BAR = 24, COLUMNS = 80, RECENT = 50, TENTHS = 10 };

static const option options[] = {
    {"once", NULL, "show it once and end; so it is where the output is no terminal"},
    {0},
};

static int columns(void) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col < 40) return COLUMNS;
    return size.ws_col;
}

// --- lines --------------------------------------------------------------------------------------
static void begin(buffer *out, const char *label) {
    buffer_print(out, "%-*s", LABEL, label);
}

// A line ends where the terminal does, so that the next drawing finds its beginning.
static void end(buffer *out, size_t start, int width) {
    size_t at = start;
    for (int seen = 0; at < out->length; at++) {
        seen += ((unsigned char)out->data[at] & 0xc0) != 0x80;
        if (seen > width) break;
    }
    if (!out->failed) out->length = at;
    buffer_text(out, "\n");
}

static void duration(buffer *out, double seconds) {
    const int64_t s = (int64_t)seconds;
    buffer_print(out, "%lld:%02lld:%02lld", (long long)(s / 3600), (long long)(s / 60 % 60),
                 (long long)(s % 60));
}

// Means of equally many values in WIDTH blocks of one to eight eighths.
static void add_blocks(buffer *out, const run_series *s, int width) {
    static const char *const block[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double mean[512], low = INFINITY, high = -INFINITY;
    const int64_t count = s->count;
    int bins = width < 512 ? width : 512;
    if (bins > count) bins = (int)count;
    for (int b = 0; b < bins; b++) {
        double sum = 0;
        int64_t finite = 0;
        for (int64_t i = count * b / bins; i < count * (b + 1) / bins; i++)
            if (isfinite(s->value[i])) sum += s->value[i], finite++;
        mean[b] = finite ? sum / (double)finite : (double)NAN;
        if (finite) low = fmin(low, mean[b]), high = fmax(high, mean[b]);
    }
    for (int b = 0; b < bins; b++) {
        const double part = high > low ? (mean[b] - low) / (high - low) : 0;
        buffer_text(out, isfinite(mean[b]) ? block[(int)(part * 7.999)] : " ");
    }
}

static void show_progress(buffer *out, const run_record *r, int width) {
    const size_t start = out->length;
    begin(out, "step");
    if (!r->total) {
        buffer_print(out, "%lld", (long long)r->step);
    } else {
        const int filled = (int)(BAR * r->step / r->total);
        buffer_text(out, "[");
        for (int i = 0; i < BAR; i++) buffer_text(out, i < filled ? "#" : ".");
        buffer_print(out, "] %lld of %lld", (long long)r->step, (long long)r->total);
    }
    buffer_print(out, ", epoch %.0f", r->step ? run_record_latest(r, "epoch") + 1 : 1);
    end(out, start, width);
}

static void show_loss(buffer *out, const run_record *r, int width) {
    const run_series *loss = run_record_find(r, "loss");
    const size_t start = out->length;
    if (!loss || !loss->count) return;
    begin(out, "loss");
    buffer_print(out, "%-9.4g ", loss->value[loss->count - 1]);
    add_blocks(out, loss, width - LABEL - 10);
    end(out, start, width);
}

static double recent_ms(const run_record *r) {
    const run_series *ms = run_record_find(r, "ms");
    const int64_t count = ms ? ms->count : 0, few = count < RECENT ? count : RECENT;
    double sum = 0;
    for (int64_t i = count - few; i < count; i++) sum += ms->value[i];
    return few ? sum / (double)few : (double)NAN;
}

// A run that was continued with fewer steps than it had gone has none left.
static double seconds_left(const run_record *r) {
    if (!r->total) return (double)NAN;
    return r->total > r->step ? (double)(r->total - r->step) * recent_ms(r) / 1e3 : 0;
}

static void show_speed(buffer *out, const run_record *r, int width) {
    const double ms = recent_ms(r), samples = run_record_latest(r, "samples_per_second"),
                 tokens = run_record_latest(r, "tokens_per_second");
    size_t start = out->length;
    if (!isfinite(ms)) return;
    begin(out, "speed");
    buffer_print(out, "%.0f ms a step", ms);
    if (isfinite(samples)) buffer_print(out, ", %.4g samples/s", samples);
    if (isfinite(tokens)) buffer_print(out, ", %.5g tokens/s", tokens);
    buffer_print(out, "; lr %.3g, gradient %.3g", run_record_latest(r, "lr"),
                 run_record_latest(r, "grad_norm"));
    end(out, start, width);
    start = out->length;
    begin(out, "time");
    duration(out, r->ms / 1e3);
    if (r->total) {
        buffer_text(out, " in steps, ");
        duration(out, seconds_left(r));
        buffer_text(out, " left");
    }
    end(out, start, width);
}

// Scores of validation that belong to no class and no group, the latest of each.
static void show_validation(buffer *out, const run_record *r, int width) {
    static const char prefix[] = "validation.";
    const size_t start = out->length;
    double step = 0;
    for (size_t i = 0; i < r->count; i++) {
        const run_series *s = &r->series[i];
        const char *name = s->name + strlen(prefix);
        if (strncmp(s->name, prefix, strlen(prefix)) || strchr(name, '.') || !s->count) continue;
        if (!(step > 0)) {
            step = s->step[s->count - 1];
            begin(out, "validation");
            buffer_print(out, "step %.0f:", step);
        }
        buffer_print(out, " %s %.4g", name, s->value[s->count - 1]);
    }
    if (step > 0) end(out, start, width);
}

static void show_sample(buffer *out, const run_record *r, int width) {
    const size_t start = out->length;
    if (!r->samples) return;
    begin(out, "wrote");
    // A control character in the text would move the cursor.
    for (const char *c = r->sample[r->samples - 1].text; *c; c++)
        buffer_append(out, (unsigned char)*c < 0x20 || *c == 0x7f ? " " : c, 1);
    end(out, start, width);
}

static void draw(buffer *out, const run_record *r, const char *folder, int width) {
    out->length = 0;
    begin(out, "run");
    buffer_print(out, "%s", folder);
    end(out, 0, width);
    show_progress(out, r, width);
    show_loss(out, r, width);
    show_speed(out, r, width);
    show_validation(out, r, width);
    show_sample(out, r, width);
}

static void draw_json(buffer *out, const run_record *r) {
    buffer_print(out, "{\"step\":%lld,\"steps\":%lld,\"loss\":", (long long)r->step,
                 (long long)r->total);
    buffer_json_number(out, run_record_latest(r, "loss"));
    buffer_text(out, ",\"seconds\":");
    buffer_json_number(out, r->ms / 1e3);
    buffer_text(out, ",\"seconds_left\":");
    buffer_json_number(out, seconds_left(r));
    buffer_text(out, "}\n");
}

// --- watching -----------------------------------------------------------------------------------
static int count_lines(const buffer *text) {
    int lines = 0;
    for (size_t i = 0; i < text->length; i++) lines += text->data[i] == '\n';
    return lines;
}

static status look(run_record *r, const char *folder) {
    char path[PATH_SIZE];
    status rc = path_join(path, sizeof path, folder, "metrics.jsonl");
    if (rc || !file_exists(path)) return rc; // before the first step
    return run_record_more(r, folder);
}

// Until the last step, or a signal.
static status follow(run_record *r, const char *folder, buffer *screen) {
    status rc = STATUS_OK;
    int lines = 0;
    while (!rc) {
        rc = look(r, folder);
        if (rc) break;
        if (lines) printf("\x1b[%dA\x1b[J", lines);
        draw(screen, r, folder, columns());
        rc = screen->failed;
        if (!rc) fwrite(screen->data, 1, screen->length, stdout);
        fflush(stdout);
        lines = count_lines(screen);
        if (signals_pending() || (r->total && r->step >= r->total)) break;
        for (int i = 0; i < TENTHS && !signals_pending(); i++) usleep(100000);
    }
    return rc;
}

static status watch(const arguments *a) {
    const char *folder = a->positional[0];
    run_record r = {0};
    buffer screen = {0};
    if (a->positionals != 1)
        return status_fail(STATUS_USAGE, "one run directory at a time; %d were given",
                           a->positionals);
    if (!folder_exists(folder))
        return status_fail(STATUS_IO, "%s: no such folder; name the run.dir of a training", folder);
    status rc = STATUS_OK;
    const bool json = argument_given(a, "json");
    if (json || argument_given(a, "once") || !isatty(STDOUT_FILENO)) {
        rc = look(&r, folder);
        if (json)
            draw_json(&screen, &r);
        else
            draw(&screen, &r, folder, COLUMNS);
        if (!rc) rc = screen.failed;
        if (!rc) fwrite(screen.data, 1, screen.length, stdout);
    } else {
        rc = follow(&r, folder, &screen);
    }
    buffer_free(&screen);
    run_record_close(&r);
    return rc;
}

const command command_watch = {
    .name = "watch",
    .positional = "RUN",
    .summary = "a training run live in the terminal: progress, loss, validation, time left",
    .options = options,
    .run = watch,
};
