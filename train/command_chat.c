// radialog chat: a conversation about a radiograph in a terminal, or line by line from a file.
// Answers appear token by token; what was said stays in the cache, so that a turn computes what is
// new (REFERENCE 7.9, 7.11).
#include "core/files/fs.h"
#include "core/log.h"
#include "core/nearest.h"
#include "train/ask_prompts.h"
#include "train/assistant.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/report_labeler.h"
#include "train/signals.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const option options[] = {
    OPTIONS_ASSISTANT,
    {"labeler", "PATH",
     "who reads what a report says, for /correct alone: a run of train chexbert"},
    {0},
};

typedef struct chat {
    assistant assistant;
    report_labeler labeler;
    bool judges;            // there is a labeler
    task_prompts *tasks;    // then: how a correction is asked for
    bool machine, terminal; // JSON lines; somebody types
    const picture *picture; // the eyes' own; NULL: none
    char image[PATH_SIZE];  // its file
    names turns;            // the user's, the assistant's, ...; the report's prompt is ""
    size_t report;          // the turn that is the latest report
    int64_t answers;
    buffer typed, line; // what was read and is no line yet; the line
    buffer ids;         // of the prompt
    answer_text text;
    decoder_state state;
    int32_t tokens;
} chat;

static void chat_close(chat *c) {
    answer_text_close(&c->text);
    buffer_free(&c->ids);
    buffer_free(&c->typed);
    buffer_free(&c->line);
    names_free(&c->turns);
    task_prompts_close(c->tasks);
    report_labeler_close(&c->labeler);
    assistant_close(&c->assistant);
}

// --- an answer ----------------------------------------------------------------------------------
static status show(const chat *c, const char *text, size_t length) {
    if (c->machine) return STATUS_OK;
    if (fwrite(text, 1, length, stdout) != length || fflush(stdout))
        return status_fail(STATUS_IO, "cannot write the answer: %s", strerror(errno));
    return STATUS_OK;
}

static status hear(void *context, const int32_t *ids, int32_t count, decoder_state state) {
    chat *c = context;
    const char *new;
    size_t length;
    c->state = state;
    c->tokens = count;
    if (state == DECODER_LOST)
        return status_fail(STATUS_FORMAT, "no logit is a number: are the weights damaged?");
    const bool first = !c->text.given;
    status rc = answer_text_next(&c->text, ids, count, state != DECODER_WRITES, &new, &length);
    while (!rc && first && length && *new == ' ' && length--)
        new ++; // for the eye; it is kept as it was said
    return rc ? rc : show(c, new, length);
}

static status show_turn(const chat *c, int64_t known, bool stopped) {
    buffer line = {0};
    if (!c->machine) return show(c, "\n", 1);
    const char *asked = c->turns.name[c->turns.count - 1];
    buffer_print(&line, "{\"turn\":%zu,\"asked\":", c->turns.count / 2 + 1);
    buffer_json(&line, asked);
    buffer_print(
        &line,
        ",\"prompt_tokens\":%zu,\"known_tokens\":%lld,\"tokens\":%d,\"end\":\"%s\",\"text\":",
        c->ids.length / sizeof(int32_t), (long long)known, c->tokens,
        stopped                    ? "interrupted"
        : c->state == DECODER_FULL ? "length"
                                   : "stop");
    buffer_json(&line, answer_text_all(&c->text));
    buffer_text(&line, "}\n");
    status rc = line.failed;
    if (!rc && (fwrite(line.data, 1, line.length, stdout) != line.length || fflush(stdout)))
        rc = status_fail(STATUS_IO, "cannot write the answer: %s", strerror(errno));
    buffer_free(&line);
    return rc;
}

// The whole of it, or up to the Ctrl-C of somebody who has seen enough.
static status write_answer(chat *c, int64_t slot, bool *stopped) {
    status rc = STATUS_OK;
    while (!rc && c->state == DECODER_WRITES) {
        rc = decoder_step(c->assistant.decoder);
        if (rc || !signals_pending() || c->state != DECODER_WRITES) continue;
        decoder_drop(c->assistant.decoder, slot);
        if (!c->terminal || signals_pending() != SIGINT)
            return status_fail(STATUS_INTERRUPTED, "stopped by signal %d", signals_pending());
        signals_forget();
        *stopped = true;
        break;
    }
    return rc;
}

static void take_back(names *n) {
    mem_free(n->name[--n->count]);
}

static status answer_turn(chat *c) {
    const int64_t known = decoder_counted(c->assistant.decoder).known;
    bool stopped = false;
    int64_t slot;
    const assistant_question q = {.message = (const char *const *)c->turns.name,
                                  .count = (int)c->turns.count,
                                  .picture = c->picture,
                                  .most = c->assistant.most,
                                  .choice = c->assistant.choice,
                                  .number = c->answers,
                                  .context = c,
                                  .said = hear};
    c->state = DECODER_WRITES;
    c->tokens = 0;
    answer_text_close(&c->text);
    status rc = assistant_ask(&c->assistant, &q, &c->ids, &slot);
    if (!rc)
        rc = answer_text_begin(&c->text, c->assistant.language.tokens,
                               (const int32_t *)(const void *)c->ids.data,
                               (int32_t)(c->ids.length / sizeof(int32_t)));
    if (!rc) rc = write_answer(c, slot, &stopped);
    c->answers += !rc;
    if (!rc) rc = show_turn(c, decoder_counted(c->assistant.decoder).known - known, stopped);
    return rc ? rc : names_add(&c->turns, answer_text_all(&c->text));
}

// A turn that cannot be asked is told and taken back; the conversation goes on.
static status say(chat *c, const char *text) {
    status rc = names_add(&c->turns, text);
    if (!rc) rc = answer_turn(c);
    if (rc != STATUS_USAGE) return rc;
    take_back(&c->turns);
    fprintf(stderr, "%s (/reset begins anew)\n", status_text());
    return STATUS_OK;
}

// --- commands -----------------------------------------------------------------------------------
static void forget(chat *c) {
    while (c->turns.count) take_back(&c->turns);
}

// From the beginning: of a picture its report.
static status begin(chat *c) {
    forget(c);
    c->report = 1;
    return c->picture ? say(c, "") : STATUS_OK;
}

static status tell(const char *what) {
    fprintf(stderr, "%s\n", what);
    return STATUS_OK;
}

// What stands around a file's name where a terminal writes one that is dropped on it: quotes.
static const char *unquoted(char *out, const char *path) {
    const size_t length = strlen(path);
    const bool quoted =
        length > 1 && (*path == '\'' || *path == '"') && path[length - 1] == *path;
    snprintf(out, PATH_SIZE, "%.*s", (int)(quoted ? length - 2 : length), path + quoted);
    return out;
}

static status do_image(chat *c, const char *text) {
    char name[PATH_SIZE];
    const char *path = unquoted(name, text);
    const picture *p;
    if (!*path) return tell("/image FILE: which radiograph?");
    if (!c->assistant.sees)
        return tell("there is no aligner to look at radiographs: chat RUN --aligner PATH");
    status rc = image_reader_file(&c->assistant.eyes, path, &p);
    if (rc == STATUS_IO || rc == STATUS_FORMAT) return tell(status_text());
    if (rc) return rc;
    c->picture = p;
    snprintf(c->image, sizeof c->image, "%s", path);
    return begin(c);
}

static double probability(float logit) {
    return 1 / (1 + exp(-(double)logit));
}

static status do_findings(chat *c, const char *text) {
    const picture *p = c->picture;
    (void)text;
    if (!p) return tell("there is no radiograph: /image FILE");
    if (!c->assistant.eyes.finds) return tell("there is no classifier: chat RUN --classifier PATH");
    const char *before = "";
    int found = 0;
    if (c->machine) fputs("{\"findings\":[", stdout);
    for (int i = 0; i < CLASS_COUNT; i++) {
        if (!p->found[i]) continue;
        if (c->machine)
            printf("%s{\"name\":\"%s\",\"probability\":%.3f}", before, class_names[i],
                   probability(p->logits[i]));
        else
            printf("%-28s %.2f\n", class_names[i], probability(p->logits[i]));
        before = ",";
        found++;
    }
    fputs(c->machine ? "]}\n" : found ? "" : "no common findings\n", stdout);
    fflush(stdout);
    return STATUS_OK;
}

// What the report says and the classifier does not, and what it lacks (REFERENCE 7.9). REQUEST stays
// empty where they agree.
static status compare(chat *c, buffer *request) {
    const char *report = c->turns.name[c->report];
    int8_t said[CLASS_COUNT];
    correction x = {0};
    bool differ = false;
    status rc = report_labeler_texts(&c->labeler, &report, 1, said, NULL);
    for (int i = 0; i < CLASS_COUNT && !rc; i++) {
        if (i == CLASS_NO_FINDING) continue;
        x.wrong[i] = said[i] == LABEL_POSITIVE && !c->picture->found[i];
        x.missing[i] = said[i] != LABEL_POSITIVE && c->picture->found[i];
        differ |= x.wrong[i] || x.missing[i];
    }
    return rc || !differ ? rc : ask_correction(request, c->tasks, &x);
}

static status do_correct(chat *c, const char *text) {
    buffer request = {0};
    status rc = STATUS_OK;
    if (c->turns.count < 2) return tell("there is no report yet");
    if (*text) {
        buffer_print(&request, "Correct the report: %s", text);
        rc = request.failed;
    } else if (!c->judges || !c->assistant.eyes.finds || !c->picture) {
        return tell("/correct TEXT: what is wrong? To find out by itself, chat needs --classifier, "
                    "--labeler and a "
                    "radiograph.");
    } else
        rc = compare(c, &request);
    if (!rc && !request.length)
        rc = tell("the report says what the classifier found");
    else if (!rc) {
        const size_t turns = c->turns.count;
        rc = say(c, request.data);
        if (c->turns.count > turns) c->report = c->turns.count - 1;
    }
    buffer_free(&request);
    return rc;
}

static status do_save(chat *c, const char *text) {
    char name[PATH_SIZE];
    const char *path = unquoted(name, text);
    buffer out = {0};
    if (!*path) return tell("/save FILE: where to?");
    if (c->picture) buffer_print(&out, "Radiograph: %s\n", c->image);
    if (c->picture && c->assistant.eyes.finds)
        buffer_print(&out, "Classifier: %s\n", c->picture->findings.data);
    for (size_t i = 0; i < c->turns.count; i++) {
        const char *said = c->turns.name[i];
        if (i == 0 && c->picture && !*said) said = "(report)";
        buffer_print(&out, "\n%s: %s\n", i % 2 ? "Assistant" : "User", said + strspn(said, " "));
    }
    buffer_text(&out, "");
    status rc = out.failed;
    if (!rc) rc = file_write(path, out.data, out.length);
    buffer_free(&out);
    return rc == STATUS_IO ? tell(status_text()) : rc;
}

static status do_reset(chat *c, const char *text) {
    (void)text;
    return begin(c);
}

static status do_help(chat *c, const char *text);

static const struct {
    const char *name, *argument, *help;
    status (*run)(chat *c, const char *text);
} commands[] = {
    {"/findings", "", "what the classifier found", do_findings},
    {"/correct", " [TEXT]", "a corrected report: by TEXT, or by what the classifier found",
     do_correct},
    {"/image", " FILE", "another radiograph and its report", do_image},
    {"/save", " FILE", "the conversation, as a text", do_save},
    {"/reset", "", "begins the conversation anew", do_reset},
    {"/help", "", "this text", do_help},
    {"/quit", "", "ends", NULL},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static status do_help(chat *c, const char *text) {
    (void)c, (void)text;
    for (int i = 0; i < COMMANDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%s", commands[i].name, commands[i].argument);
        fprintf(stderr, "  %-18s %s\n", name, commands[i].help);
    }
    return tell("Anything else is said to the model. Ctrl-C stops an answer, Ctrl-D ends.");
}

// A line that begins with '/'.
static status run_command(chat *c, const char *line, bool *quit) {
    const char *known[COMMANDS];
    const size_t length = strcspn(line, " \t");
    char typed[32];
    for (int i = 0; i < COMMANDS; i++) {
        known[i] = commands[i].name;
        if (strlen(known[i]) != length || strncmp(line, known[i], length)) continue;
        *quit = !commands[i].run;
        return *quit ? STATUS_OK : commands[i].run(c, line + length + strspn(line + length, " \t"));
    }
    snprintf(typed, sizeof typed, "%.*s", (int)(length < 31 ? length : 31), line);
    fprintf(stderr, "unknown command %s; did you mean %s? (/help)\n", typed,
            nearest_name(typed, known, COMMANDS));
    return STATUS_OK;
}

// --- lines --------------------------------------------------------------------------------------
// What was read up to the next line's end goes into c->line.
static bool take_line(chat *c, bool rest) {
    const char *end = c->typed.data ? memchr(c->typed.data, '\n', c->typed.length) : NULL;
    size_t length = end ? (size_t)(end - c->typed.data) : c->typed.length;
    if (!end && (!rest || !length)) return false;
    c->line.length = 0;
    buffer_append(&c->line, c->typed.data, length);
    if (length && c->line.data[length - 1] == '\r') c->line.data[--c->line.length] = 0;
    length += end != NULL;
    memmove(c->typed.data, c->typed.data + length, c->typed.length - length);
    c->typed.length -= length;
    return true;
}

// *THERE: false at the end of the input. Waits for a line or a signal.
static status read_line(chat *c, bool *there) {
    char bytes[4096];
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (c->terminal) fputs("> ", stderr);
    while (!(*there = take_line(c, false))) {
        if (signals_pending())
            return status_fail(STATUS_INTERRUPTED, "stopped by signal %d", signals_pending());
        if (poll(&input, 1, 200) <= 0) continue; // a signal, or nothing yet
        const ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n < 0) return status_fail(STATUS_IO, "cannot read the input: %s", strerror(errno));
        if (n == 0) {
            *there = take_line(c, true);
            break;
        }
        buffer_append(&c->typed, bytes, (size_t)n);
        if (c->typed.failed) return c->typed.failed;
    }
    return c->line.failed;
}

// Without blanks at its ends; false where it holds a NUL, behind which nothing would be read.
static bool tidy(buffer *line) {
    if (memchr(line->data, 0, line->length)) return false;
    while (line->length && strchr(" \t", line->data[line->length - 1]))
        line->data[--line->length] = 0;
    return true;
}

static status talk(chat *c) {
    bool there = true, quit = false;
    status rc = STATUS_OK;
    while (!rc && !quit) {
        rc = read_line(c, &there);
        if (rc || !there) break;
        const bool sound = tidy(&c->line);
        const char *text = c->line.data + strspn(c->line.data, " \t");
        if (!sound)
            rc = tell("a line with a NUL in it is no text");
        else if (*text == '/')
            rc = run_command(c, text, &quit);
        else if (*text)
            rc = say(c, text);
    }
    if (c->terminal && !there) fputs("\n", stderr);
    return rc;
}

static status open_all(chat *c, const arguments *a) {
    const char *labeler = argument(a, "labeler");
    if (a->positionals > 2)
        return status_fail(
            STATUS_USAGE,
            "a conversation is about one radiograph; /image FILE begins one about another");
    if (a->positionals > 1 && !argument(a, "aligner"))
        return status_fail(STATUS_USAGE,
                           "--aligner PATH is missing: who turns %s into image tokens",
                           a->positional[1]);
    status rc = assistant_open(&c->assistant, a, chat_tables, 1);
    c->judges = labeler != NULL;
    if (!rc && labeler)
        rc = report_labeler_open_at(
            &c->labeler, labeler,
            config_text(c->assistant.language.inference.config, "run.device"));
    c->labeler.patient = true;
    if (!rc && labeler)
        rc = task_prompts_open(&c->tasks, config_text(c->assistant.language.inference.config, "instruct.task_prompts"));
    if (!rc && a->positionals > 1)
        rc = image_reader_file(&c->assistant.eyes, a->positional[1], &c->picture);
    if (!rc && a->positionals > 1) snprintf(c->image, sizeof c->image, "%s", a->positional[1]);
    return rc;
}

static status run(const arguments *a) {
    chat c = {.machine = argument_given(a, "json"),
              .terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO)};
    status rc = open_all(&c, a);
    if (!rc && signals_pending()) // while models were read
        rc = status_fail(STATUS_INTERRUPTED, "stopped by signal %d", signals_pending());
    if (!rc && c.terminal) rc = do_help(&c, "");
    if (!rc) rc = begin(&c);
    if (!rc) rc = talk(&c);
    chat_close(&c);
    return rc;
}

const command command_chat = {
    .name = "chat",
    .positional = "RUN [IMAGE]...",
    .summary = "a conversation about a radiograph, in the terminal",
    .options = options,
    .run = run,
    .tables = chat_tables,
};
