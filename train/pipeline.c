// The pipeline's file: its stages as command lines, the braces in them, and whether every one of them is sound.
#include "train/pipeline.h"
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/memory.h"
#include "core/nearest.h"
#include "train/settings.h"

#include <ctype.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20, NAME_MOST = 63 };

typedef struct name_value {
    const char *name;
    char *value;
} name_value;

typedef struct reading {
    pipeline *p;
    const pipeline_options *o;
    json *file;
    name_value setting[PIPELINE_MOST];
    int settings;
    pipeline_stage *stage; // at hand
    json_value at;         // the word at hand
} reading;

// --- all -----------------------------------------------------------------------------------------
static bool good_name(const char *name) {
    size_t length = 0;
    for (; isalnum((unsigned char)name[length]) || (length && strchr("-_", name[length]) && name[length]); length++) {}
    return length && length <= NAME_MOST && !name[length];
}

static int source_find(const pipeline *p, const char *name) {
    for (size_t i = 0; i < p->sources; i++)
        if (!strcmp(p->source[i].name, name)) return (int)i;
    return -1;
}

static int setting_find(const reading *r, const char *name) {
    for (int i = 0; i < r->settings; i++)
        if (!strcmp(r->setting[i].name, name)) return i;
    return -1;
}

static status new_name(const reading *r, json_value at, const char *name) {
    if (!good_name(name))
        return json_fail(at, "'%.80s' is no name: letters, digits, - and _, at most %d, a letter or digit first", name,
                         NAME_MOST);
    const bool taken = source_find(r->p, name) >= 0 || setting_find(r, name) >= 0 || !strcmp(name, "out") ||
                       !strcmp(name, "here");
    return taken ? json_fail(at, "'%s' has a meaning already", name) : STATUS_OK;
}

static status unknown_reference(const reading *r, const char *name) {
    const char *all[3 * PIPELINE_MOST + 2] = {"out", "here"};
    int known = 2;
    for (size_t i = 0; i < r->p->sources && known < 2 * PIPELINE_MOST; i++) all[known++] = r->p->source[i].name;
    for (int i = 0; i < r->settings; i++) all[known++] = r->setting[i].name;
    return json_fail(r->at, "{%.80s} is no input, setting or stage before this one; did you mean {%s}?", name,
                     nearest_name(name, all, known));
}

// The path that --input gives for NAME; NULL: none.
static const char *given_input(const reading *r, const char *name) {
    const size_t length = strlen(name);
    for (int i = r->o->inputs; i-- > 0;)
        if (!strncmp(r->o->input[i], name, length) && r->o->input[i][length] == '=') return r->o->input[i] + length + 1;
    return NULL;
}

static status add_source(pipeline *p, const char *name, const char *path, int stage, bool by_times) {
    pipeline_source s = {.stage = stage, .by_times = by_times};
    status rc = mem_grow((void **)&p->source, &p->room[1], p->sources + 1, sizeof *p->source, "sources");
    if (!rc) rc = mem_string(&s.name, name);
    if (!rc) rc = mem_string(&s.path, path);
    if (!rc) {
        p->source[p->sources++] = s;
        return STATUS_OK;
    }
    mem_free(s.name);
    mem_free(s.path);
    return rc;
}

static status uses(reading *r, int source) {
    pipeline_stage *s = r->stage;
    const int from = r->p->source[source].stage;
    if (from >= 0) r->p->stage[from].read = true;
    for (size_t i = 0; i < s->sources; i++)
        if (s->source[i] == source) return STATUS_OK;
    status rc = mem_grow((void **)&s->source, &s->room[2], s->sources + 1, sizeof *s->source, "sources");
    if (!rc) s->source[s->sources++] = source;
    return rc;
}

// A file that a stage reads and nobody declared.
static status uses_file(reading *r, const char *name, const char *path) {
    size_t i = 0;
    while (i < r->p->sources && strcmp(r->p->source[i].path, path)) i++;
    status rc = i < r->p->sources ? STATUS_OK : add_source(r->p, name, path, -1, false);
    return rc ? rc : uses(r, (int)i);
}

// --- words -----------------------------------------------------------------------------------------
static status add_word(char ***list, size_t *room, size_t count, const char *word) {
    status rc = mem_grow((void **)list, room, count + 2, sizeof **list, "words");
    return rc ? rc : mem_string(&(*list)[count], word);
}

// What stands for {NAME}, with the rest of the word behind it; but for settings.
static status refer(reading *r, const char *name, const char *rest, buffer *out) {
    pipeline_stage *s = r->stage;
    const int source = source_find(r->p, name);
    if (!strcmp(name, "here")) {
        buffer file = {0};
        buffer_text(out, r->p->here);
        buffer_print(&file, "%s%s", r->p->here, rest);
        status rc = file.failed ? file.failed : uses_file(r, rest + strspn(rest, "/"), file.data);
        buffer_free(&file);
        return rc;
    }
    if (!strcmp(name, "out")) {
        if (!s->out) return json_fail(r->at, "{out} of a stage that makes nothing");
        buffer_text(out, s->out);
        return STATUS_OK;
    }
    if (source < 0) return unknown_reference(r, name);
    if (!*r->p->source[source].path)
        return status_fail(STATUS_USAGE, "%s: stage %s reads the input '%s': say where it is, --input %s=PATH", r->p->path,
                           s->name, name, name);
    buffer_text(out, r->p->source[source].path);
    return uses(r, source);
}

// What is in the first braces of *WORD goes to NAME, and what stands before them to OUT; *WORD moves behind them.
// *FOUND: there were some.
static status next_braces(reading *r, const char **word, char name[NAME_MOST + 1], buffer *out, bool *found) {
    const char *open = strchr(*word, '{'), *close = open ? strchr(open, '}') : NULL;
    const size_t plain = open ? (size_t)(open - *word) : strlen(*word);
    buffer_append(out, *word, plain);
    *found = open != NULL;
    if (!open) return STATUS_OK;
    if (!close || close - open - 1 > NAME_MOST)
        return json_fail(r->at, "'%.80s': a brace that does not close", *word);
    snprintf(name, NAME_MOST + 1, "%.*s", (int)(close - open - 1), open + 1);
    *word = close + 1;
    return STATUS_OK;
}

// With what stands for its settings, and nothing else; or for all other braces.
static status expand(reading *r, const char *word, bool settings, buffer *out) {
    char name[NAME_MOST + 1];
    bool found = true;
    status rc = STATUS_OK;
    while (!rc && found) {
        rc = next_braces(r, &word, name, out, &found);
        if (rc || !found) break;
        const int setting = setting_find(r, name);
        if (!settings)
            rc = refer(r, name, word, out);
        else if (setting >= 0)
            buffer_text(out, r->setting[setting].value);
        else
            buffer_print(out, "{%s}", name);
    }
    return rc ? rc : out->failed;
}

static status add_given(reading *r, const char *word) {
    pipeline_stage *s = r->stage;
    buffer given = {0}, text = {0};
    status rc = expand(r, word, true, &given);
    if (!rc) rc = expand(r, given.length ? given.data : "", false, &text);
    if (!rc) rc = add_word(&s->given, &s->room[0], s->words, given.length ? given.data : "");
    if (!rc) rc = add_word(&s->argv, &s->room[1], s->words, text.length ? text.data : "");
    if (!rc) s->words++;
    buffer_free(&given);
    buffer_free(&text);
    return rc;
}

static status add_two(reading *r, const char *word, const char *next) {
    status rc = add_given(r, word);
    return rc ? rc : add_given(r, next);
}

// --- stages ----------------------------------------------------------------------------------------
// What --set says of this stage's configuration, and where it is to compute.
static status add_options(reading *r) {
    const pipeline_stage *s = r->stage;
    const size_t length = strlen(s->name);
    const bool configured = command_configured(s->command);
    status rc = STATUS_OK;
    for (int i = 0; i < r->o->sets && !rc; i++)
        if (!strncmp(r->o->set[i], s->name, length) && r->o->set[i][length] == '.')
            rc = add_two(r, "--set", r->o->set[i] + length + 1);
    if (!rc && configured && r->o->device) rc = add_two(r, "--device", r->o->device);
    if (!rc && configured && r->o->precision) rc = add_two(r, "--precision", r->o->precision);
    return rc;
}

// The command line as the command will see it. Its configuration is a file that the stage reads.
static status check_words(reading *r) {
    pipeline_stage *s = r->stage;
    arguments *a = NULL;
    const char **positional = NULL;
    config *c = NULL;
    int words;
    s->command = command_find((int)s->words, (const char *const *)s->argv, &words);
    if (!s->command) return s->words ? command_unknown((int)s->words, (const char *const *)s->argv)
                                     : status_fail(STATUS_USAGE, "a command is missing");
    if (!strcmp(s->command->name, "run")) return status_fail(STATUS_USAGE, "a pipeline in a pipeline");
    status rc = add_options(r);
    if (!rc) rc = mem_new(&a, 1, "arguments");
    if (!rc) rc = mem_new(&positional, s->words, "arguments");
    if (!rc) rc = arguments_parse(a, s->command, positional, (int)s->words - words, s->argv + words);
    if (!rc && s->command->tables) rc = settings_open(&c, s->command->tables, a);
    if (!rc && command_configured(s->command) && argument(a, "config"))
        rc = uses_file(r, argument(a, "config"), argument(a, "config"));
    config_close(c);
    mem_free(positional);
    mem_free(a);
    return rc;
}

static status set_out(reading *r, const char *name, bool makes) {
    char path[PATH_SIZE];
    if (!makes) return STATUS_OK;
    status rc = path_join(path, sizeof path, r->p->dir, name);
    return rc ? rc : mem_string(&r->stage->out, path);
}

static bool mentions(json_value run, const char *name) {
    const char *word;
    char braces[NAME_MOST + 3];
    snprintf(braces, sizeof braces, "{%s}", name);
    for (json_value v = json_first(run); v.node; v = json_next(v))
        if (json_kind_of(v) == JSON_TEXT && !json_text(&word, v) && strstr(word, braces)) return true;
    return false;
}

// A stage whose output --input gives. What it would have read need not be made for it.
static status replace_stage(reading *r, const char *name, json_value run) {
    for (size_t i = 0; i < r->p->stages; i++)
        if (mentions(run, r->p->stage[i].name)) r->p->stage[i].read = true;
    return add_source(r->p, name, given_input(r, name), -1, false);
}

static status read_stage(reading *r, json_value v) {
    const char *name, *out, *word;
    json_value run;
    pipeline *p = r->p;
    status rc = json_object(v);
    for (json_value m = json_first(v); m.node && !rc; m = json_next(m)) {
        static const char *const known[] = {"name", "run", "out", "show"};
        int i = 0;
        while (i < 4 && strcmp(json_key(m), known[i])) i++;
        if (i == 4) rc = json_fail(m, "is no member of a stage; did you mean %s?", nearest_name(json_key(m), known, 4));
    }
    if (!rc) rc = json_member_text(&name, v, "name");
    if (!rc) rc = new_name(r, v, name);
    if (!rc) rc = json_member(&run, v, "run");
    if (!rc) rc = json_list(run);
    if (!rc && given_input(r, name)) return replace_stage(r, name, run);
    if (!rc && p->stages == PIPELINE_MOST) rc = json_fail(v, "more than %d stages", PIPELINE_MOST);
    if (!rc) rc = mem_grow((void **)&p->stage, &p->room[0], p->stages + 1, sizeof *p->stage, "stages");
    if (rc) return rc;
    pipeline_stage *s = r->stage = &p->stage[p->stages++];
    rc = mem_string(&s->name, name);
    out = name;
    if (!rc && json_find(v, "out").node) rc = json_member_text(&out, v, "out");
    if (!rc && (strstr(out, "..") || *out == '/')) rc = json_fail(v, "out '%s' leaves the pipeline's folder", out);
    if (!rc && json_find(v, "show").node) rc = json_member_bool(&s->show, v, "show");
    if (!rc) rc = set_out(r, out, mentions(run, "out"));
    for (json_value w = json_first(run); w.node && !rc; w = json_next(w)) {
        r->at = w;
        rc = json_text(&word, w);
        if (!rc) rc = add_given(r, word);
    }
    if (rc) return rc;
    rc = check_words(r);
    if (rc == STATUS_USAGE || rc == STATUS_FORMAT) {
        char why[1024], place[JSON_PLACE_SIZE];
        snprintf(why, sizeof why, "%.400sstage %s: %.500s", json_place(place, v), name, status_text());
        return status_carry(rc, why);
    }
    return rc ? rc : add_source(p, name, s->out ? s->out : "", (int)p->stages - 1, false);
}

// --- the file --------------------------------------------------------------------------------------
static status read_settings(reading *r) {
    json_value all = json_find(json_root(r->file), "settings");
    status rc = all.node ? json_object(all) : STATUS_OK;
    for (json_value v = json_first(all); v.node && !rc; v = json_next(v)) {
        name_value *s = &r->setting[r->settings];
        const char *text;
        double number;
        buffer b = {0};
        if (r->settings == PIPELINE_MOST) return json_fail(v, "more than %d settings", PIPELINE_MOST);
        rc = new_name(r, v, json_key(v));
        if (!rc && json_kind_of(v) == JSON_NUMBER) {
            rc = json_number(&number, v);
            if (!rc && number == floor(number) && fabs(number) < 1e15)
                buffer_print(&b, "%.0f", number);
            else if (!rc)
                buffer_json_number(&b, number);
        } else if (!rc) {
            rc = json_text(&text, v);
            if (!rc) buffer_text(&b, text);
        }
        if (!rc) rc = b.failed;
        *s = (name_value){json_key(v), b.data};
        r->settings++;
    }
    return rc;
}

static status read_inputs(reading *r) {
    json_value all = json_find(json_root(r->file), "inputs");
    status rc = all.node ? json_object(all) : STATUS_OK;
    for (json_value v = json_first(all); v.node && !rc; v = json_next(v)) {
        const char *path = "", *by = "content";
        if (r->p->sources == PIPELINE_MOST) return json_fail(v, "more than %d inputs", PIPELINE_MOST);
        rc = new_name(r, v, json_key(v));
        if (!rc && json_kind_of(v) == JSON_OBJECT) {
            rc = json_member_text(&path, v, "path");
            if (!rc && json_find(v, "by").node) rc = json_member_text(&by, v, "by");
        } else if (!rc) {
            rc = json_text(&path, v);
        }
        if (!rc && strcmp(by, "content") && strcmp(by, "times"))
            rc = json_fail(v, "by is '%.40s', must be content or times", by);
        if (!rc && given_input(r, json_key(v))) path = given_input(r, json_key(v));
        if (!rc) rc = add_source(r->p, json_key(v), path, -1, !strcmp(by, "times"));
    }
    return rc;
}

static status unknown_name(const char *flag, const char *given, const char *const *all, int count) {
    return status_fail(STATUS_USAGE, "%s %.200s: the pipeline has no such name%s%s", flag, given,
                       count ? "; did you mean " : "", count ? nearest_name(given, all, count) : "");
}

// Every --input has found its name.
static status check_inputs(const reading *r) {
    const char *all[3 * PIPELINE_MOST];
    int known = 0;
    for (size_t k = 0; k < r->p->sources && known < 3 * PIPELINE_MOST; k++) all[known++] = r->p->source[k].name;
    for (int i = 0; i < r->o->inputs; i++) {
        char name[NAME_MOST + 1];
        const size_t length = strcspn(r->o->input[i], "=");
        if (!r->o->input[i][length] || length > NAME_MOST)
            return status_fail(STATUS_USAGE, "--input %.200s: is NAME=PATH", r->o->input[i]);
        snprintf(name, sizeof name, "%.*s", (int)length, r->o->input[i]);
        if (source_find(r->p, name) < 0) return unknown_name("--input", name, all, known);
    }
    return STATUS_OK;
}

// "NAME=VALUE"; those with a dot before the sign are a stage's.
static status take_settings(reading *r) {
    const char *all[PIPELINE_MOST];
    for (int k = 0; k < r->settings; k++) all[k] = r->setting[k].name;
    for (int i = 0; i < r->o->sets; i++) {
        char name[NAME_MOST + 1];
        const size_t length = strcspn(r->o->set[i], "=.");
        if (!r->o->set[i][length] || length > NAME_MOST)
            return status_fail(STATUS_USAGE, "--set %.200s: is SETTING=VALUE or STAGE.SECTION.KEY=VALUE", r->o->set[i]);
        if (r->o->set[i][length] == '.') continue;
        snprintf(name, sizeof name, "%.*s", (int)length, r->o->set[i]);
        const int k = setting_find(r, name);
        if (k < 0) return unknown_name("--set", name, all, r->settings);
        mem_free(r->setting[k].value);
        r->setting[k].value = NULL;
        status rc = mem_string(&r->setting[k].value, r->o->set[i] + length + 1);
        if (rc) return rc;
    }
    return STATUS_OK;
}

// Every --set with a dot has found its stage.
static status check_sets(const reading *r) {
    status rc = STATUS_OK;
    for (int i = 0; i < r->o->sets && !rc; i++) {
        char name[NAME_MOST + 1];
        int stage;
        const size_t length = strcspn(r->o->set[i], "=.");
        if (r->o->set[i][length] != '.') continue;
        snprintf(name, sizeof name, "%.*s", (int)length, r->o->set[i]);
        rc = pipeline_find(r->p, name, &stage);
    }
    return rc;
}

static status read_head(reading *r) {
    const char *text;
    int64_t version;
    json_value root = json_root(r->file);
    status rc = json_object(root);
    for (json_value m = json_first(root); m.node && !rc; m = json_next(m)) {
        static const char *const known[] = {"format", "version", "dir", "settings", "inputs", "stages"};
        int i = 0;
        while (i < 6 && strcmp(json_key(m), known[i])) i++;
        if (i == 6) rc = json_fail(m, "is no member of a pipeline; did you mean %s?", nearest_name(json_key(m), known, 6));
    }
    if (!rc) rc = json_member_text(&text, root, "format");
    if (!rc && strcmp(text, "radialog-pipeline")) rc = json_fail(root, "format is '%.40s', must be radialog-pipeline", text);
    if (!rc) rc = json_member_int(&version, root, "version", 1, 1);
    text = r->o->dir;
    if (!rc && !text) rc = json_member_text(&text, root, "dir");
    return rc ? rc : mem_string(&r->p->dir, text);
}

static status read_file(reading *r, const char *path) {
    char folder[PATH_SIZE];
    json_value stages;
    if (snprintf(folder, sizeof folder, "%s", path) >= (int)sizeof folder)
        return status_fail(STATUS_IO, "%s: the path is too long", path);
    status rc = mem_string(&r->p->path, path);
    if (!rc) rc = mem_string(&r->p->here, dirname(folder));
    if (!rc) rc = json_read(&r->file, path, FILE_LIMIT);
    if (!rc) rc = read_head(r);
    if (!rc) rc = read_settings(r);
    if (!rc) rc = read_inputs(r);
    if (!rc) rc = take_settings(r);
    if (!rc) rc = json_member(&stages, json_root(r->file), "stages");
    if (!rc) rc = json_list(stages);
    for (json_value v = rc ? (json_value){0} : json_first(stages); v.node && !rc; v = json_next(v)) rc = read_stage(r, v);
    if (!rc && !r->p->stages) rc = json_fail(stages, "has no stage");
    if (!rc) rc = check_inputs(r);
    return rc ? rc : check_sets(r);
}

status pipeline_open(pipeline *p, const char *path, const pipeline_options *o) {
    reading *r = NULL;
    *p = (pipeline){0};
    status rc = mem_new(&r, 1, "a pipeline");
    if (rc) return rc;
    r->p = p;
    r->o = o;
    rc = read_file(r, path);
    for (int i = 0; i < r->settings; i++) mem_free(r->setting[i].value);
    json_close(r->file);
    mem_free(r);
    return rc;
}

void pipeline_close(pipeline *p) {
    for (size_t i = 0; i < p->stages; i++) {
        pipeline_stage *s = &p->stage[i];
        for (size_t k = 0; k < s->room[0]; k++) mem_free(s->given[k]);
        for (size_t k = 0; k < s->room[1]; k++) mem_free(s->argv[k]);
        mem_free(s->given);
        mem_free(s->argv);
        mem_free(s->source);
        mem_free(s->name);
        mem_free(s->out);
    }
    for (size_t i = 0; i < p->sources; i++) {
        mem_free(p->source[i].name);
        mem_free(p->source[i].path);
    }
    mem_free(p->stage);
    mem_free(p->source);
    mem_free(p->path);
    mem_free(p->here);
    mem_free(p->dir);
    *p = (pipeline){0};
}

status pipeline_find(const pipeline *p, const char *name, int *stage) {
    const char *all[PIPELINE_MOST];
    for (size_t i = 0; i < p->stages; i++) {
        *stage = (int)i;
        if (!strcmp(p->stage[i].name, name)) return STATUS_OK;
        all[i] = p->stage[i].name;
    }
    return status_fail(STATUS_USAGE, "%s has no stage %.80s; did you mean %s?", p->path, name,
                       nearest_name(name, all, (int)p->stages));
}
