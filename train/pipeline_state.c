// What a pipeline's stages have read and left, and so which of them have to run (pipeline.h).
#include "core/files/fs.h"
#include "core/files/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "train/pipeline.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char file_name[] = "pipeline.state.json";

// What a stage read when it began.
typedef struct seen {
    char *name;
    char content[CONTENT_SIZE];
} seen;

typedef struct stage_state {
    char *name; // of a stage of another pipeline in this folder, which keeps its place; NULL: of this one's
    bool begun, done;
    char *recipe;         // its words as JSON
    seen *read;           // (reads)
    size_t reads, room;
    char left[CONTENT_SIZE]; // its output; "": none
    double seconds;
} stage_state;

// What was found at a path once: while it looks the same it is not read again.
typedef struct known {
    char *path;
    char looks[CONTENT_SIZE], content[CONTENT_SIZE];
} known;

struct pipeline_state {
    const pipeline *p;
    int lock;
    char path[PATH_SIZE];
    stage_state *stage; // (stages): the pipeline's, then others
    size_t stages, stage_room;
    known *known;
    size_t knowns, room;
};

// --- the file --------------------------------------------------------------------------------------
static void stage_free(stage_state *t) {
    for (size_t i = 0; i < t->reads; i++) mem_free(t->read[i].name);
    mem_free(t->read);
    mem_free(t->recipe);
    mem_free(t->name);
    *t = (stage_state){.seconds = -1};
}

static status content_text(char out[CONTENT_SIZE], json_value v) {
    const char *text;
    status rc = json_text(&text, v);
    if (!rc) snprintf(out, CONTENT_SIZE, "%.*s", CONTENT_SIZE - 1, text);
    return rc;
}

static status add_read(stage_state *t, const char *name, const char *content) {
    status rc = mem_grow((void **)&t->read, &t->room, t->reads + 1, sizeof *t->read, "inputs");
    if (!rc) rc = mem_string(&t->read[t->reads].name, name);
    if (!rc) snprintf(t->read[t->reads++].content, CONTENT_SIZE, "%s", content);
    return rc;
}

static status read_stage(stage_state *t, json_value v) {
    const char *text;
    char content[CONTENT_SIZE];
    json_value left, reads;
    status rc = json_member_bool(&t->done, v, "done");
    t->begun = true;
    if (!rc) rc = json_member_text(&text, v, "words");
    if (!rc) rc = mem_string(&t->recipe, text);
    if (!rc) rc = json_member_number(&t->seconds, v, "seconds");
    if (!rc) rc = json_member(&left, v, "left");
    if (!rc) rc = content_text(t->left, left);
    if (!rc) rc = json_member(&reads, v, "read");
    if (!rc) rc = json_object(reads);
    for (json_value m = rc ? (json_value){0} : json_first(reads); m.node && !rc; m = json_next(m)) {
        rc = content_text(content, m);
        if (!rc) rc = add_read(t, json_key(m), content);
    }
    return rc;
}

static status add_known(pipeline_state *s, const char *path, const char *looks, const char *content) {
    size_t i = 0;
    while (i < s->knowns && strcmp(s->known[i].path, path)) i++;
    if (i == s->knowns) {
        status rc = mem_grow((void **)&s->known, &s->room, s->knowns + 1, sizeof *s->known, "paths");
        if (!rc) rc = mem_string(&s->known[i].path, path);
        if (rc) return rc;
        s->knowns++;
    }
    snprintf(s->known[i].looks, CONTENT_SIZE, "%s", looks);
    snprintf(s->known[i].content, CONTENT_SIZE, "%s", content);
    return STATUS_OK;
}

static status read_known(pipeline_state *s, json_value v) {
    char looks[CONTENT_SIZE], content[CONTENT_SIZE];
    json_value m;
    status rc = json_member(&m, v, "looks");
    if (!rc) rc = content_text(looks, m);
    if (!rc) rc = json_member(&m, v, "content");
    if (!rc) rc = content_text(content, m);
    return rc ? rc : add_known(s, json_key(v), looks, content);
}

static status read_state(pipeline_state *s) {
    json *file = NULL;
    json_value stages, paths, v;
    if (!file_exists(s->path)) return STATUS_OK;
    status rc = json_read(&file, s->path, 0);
    if (!rc) rc = json_member(&stages, json_root(file), "stages");
    if (!rc) rc = json_member(&paths, json_root(file), "paths");
    for (v = rc ? (json_value){0} : json_first(stages); v.node && !rc; v = json_next(v)) {
        size_t i = 0;
        while (i < s->p->stages && strcmp(s->p->stage[i].name, json_key(v))) i++;
        if (i == s->p->stages) {
            i = s->stages;
            rc = mem_grow((void **)&s->stage, &s->stage_room, i + 1, sizeof *s->stage, "a pipeline's state");
            if (!rc) rc = mem_string(&s->stage[i].name, json_key(v));
            if (!rc) s->stages++;
        }
        if (!rc) rc = read_stage(&s->stage[i], v);
    }
    for (v = rc ? (json_value){0} : json_first(paths); v.node && !rc; v = json_next(v)) rc = read_known(s, v);
    json_close(file);
    return rc;
}

static void print_stage(buffer *b, const char *name, const stage_state *t) {
    buffer_json(b, name);
    buffer_print(b, ": {\"done\": %s, \"seconds\": ", t->done ? "true" : "false");
    buffer_json_number(b, t->seconds);
    buffer_text(b, ", \"words\": ");
    buffer_json(b, t->recipe);
    buffer_text(b, ",\n    \"read\": {");
    for (size_t i = 0; i < t->reads; i++) {
        buffer_text(b, i ? ", " : "");
        buffer_json(b, t->read[i].name);
        buffer_print(b, ": \"%s\"", t->read[i].content);
    }
    buffer_print(b, "}, \"left\": \"%s\"}", t->left);
}

static status write_state(const pipeline_state *s) {
    buffer b = {0};
    buffer_text(&b, "{\"format\": \"radialog-pipeline-state\", \"version\": 1,\n  \"stages\": {");
    for (size_t i = 0, n = 0; i < s->stages; i++) {
        const stage_state *t = &s->stage[i];
        if (!t->begun) continue;
        buffer_text(&b, n++ ? ",\n    " : "\n    ");
        print_stage(&b, t->name ? t->name : s->p->stage[i].name, t);
    }
    buffer_text(&b, "},\n  \"paths\": {");
    for (size_t i = 0; i < s->knowns; i++) {
        buffer_text(&b, i ? ",\n    " : "\n    ");
        buffer_json(&b, s->known[i].path);
        buffer_print(&b, ": {\"looks\": \"%s\", \"content\": \"%s\"}", s->known[i].looks, s->known[i].content);
    }
    buffer_text(&b, "}}\n");
    status rc = b.failed ? b.failed : file_write(s->path, b.data, b.length);
    buffer_free(&b);
    return rc;
}

status pipeline_state_open(pipeline_state **out, const pipeline *p, bool ahead) {
    pipeline_state *s = NULL;
    *out = NULL;
    status rc = mem_new(&s, 1, "a pipeline's state");
    if (rc) return rc;
    *out = s;
    *s = (pipeline_state){.p = p, .lock = -1};
    rc = mem_grow((void **)&s->stage, &s->stage_room, p->stages, sizeof *s->stage, "a pipeline's state");
    if (!rc) s->stages = p->stages;
    for (size_t i = 0; i < s->stages; i++) s->stage[i].seconds = -1;
    if (!rc) rc = path_join(s->path, sizeof s->path, p->dir, file_name);
    if (!rc && !ahead) rc = folder_make(p->dir);
    if (!rc && !ahead) rc = folder_lock(&s->lock, p->dir);
    return rc ? rc : read_state(s);
}

void pipeline_state_close(pipeline_state *s) {
    if (!s) return;
    for (size_t i = 0; i < s->stages; i++) stage_free(&s->stage[i]);
    for (size_t i = 0; i < s->knowns; i++) mem_free(s->known[i].path);
    mem_free(s->stage);
    mem_free(s->known);
    if (s->lock >= 0) close(s->lock);
    mem_free(s);
}

// --- contents --------------------------------------------------------------------------------------
// Reads PATH only where it does not look as it did.
static status content_at(pipeline_state *s, char out[CONTENT_SIZE], const char *path) {
    char looks[CONTENT_SIZE];
    status rc = content_look(looks, path);
    for (size_t i = 0; i < s->knowns && !rc; i++)
        if (!strcmp(s->known[i].path, path) && !strcmp(s->known[i].looks, looks)) {
            snprintf(out, CONTENT_SIZE, "%s", s->known[i].content);
            return STATUS_OK;
        }
    if (!rc) rc = content_read(out, path);
    return rc ? rc : add_known(s, path, looks, out);
}

static status source_content(pipeline_state *s, char out[CONTENT_SIZE], const pipeline_source *from) {
    if (from->by_times) return content_look(out, from->path);
    return content_at(s, out, from->path);
}

static status recipe(const pipeline_stage *stage, buffer *b) {
    for (size_t i = 0; i < stage->words; i++) buffer_print(b, "%s%s", i ? "\n" : "", stage->given[i]);
    return b->failed;
}

// The first word that is another one now.
static void tell_change(const pipeline_stage *stage, const char *old, buffer *why) {
    for (size_t i = 0; i < stage->words; i++) {
        const size_t length = strcspn(old, "\n");
        if (!length) {
            buffer_text(why, "its words have changed: new is");
            for (; i < stage->words; i++) buffer_print(why, " %s", stage->given[i]);
            return;
        }
        if (strlen(stage->given[i]) != length || strncmp(stage->given[i], old, length)) {
            buffer_print(why, "its words have changed: '%s' was '%.*s'", stage->given[i], (int)length, old);
            return;
        }
        old += length + (old[length] == '\n');
    }
    buffer_print(why, "its words have changed: '%s' is gone", old);
}

static const seen *find_read(const stage_state *t, const char *name) {
    for (size_t i = 0; i < t->reads; i++)
        if (!strcmp(t->read[i].name, name)) return &t->read[i];
    return NULL;
}

// --- what has to run -------------------------------------------------------------------------------
double pipeline_seconds(const pipeline_state *s, int i) {
    return s->stage[i].seconds;
}

static status look_at_sources(pipeline_state *s, int i, bool ahead, pipeline_need *need, buffer *why) {
    const pipeline_stage *stage = &s->p->stage[i];
    char now[CONTENT_SIZE];
    status rc = STATUS_OK;
    for (size_t k = 0; k < stage->sources && !rc && *need == PIPELINE_FRESH; k++) {
        const pipeline_source *from = &s->p->source[stage->source[k]];
        const seen *was = find_read(&s->stage[i], from->name);
        if (ahead && from->stage >= 0 && !file_exists(from->path) && !folder_exists(from->path)) continue;
        rc = source_content(s, now, from);
        if (rc || (was && !strcmp(was->content, now))) continue;
        buffer_print(why, "%s %s", from->name, was ? "has changed" : "is new to it");
        *need = PIPELINE_ANEW;
    }
    return rc;
}

status pipeline_look(pipeline_state *s, int i, bool ahead, pipeline_need *need, buffer *why) {
    const pipeline_stage *stage = &s->p->stage[i];
    const stage_state *t = &s->stage[i];
    char now[CONTENT_SIZE];
    buffer words = {0};
    *need = PIPELINE_FRESH;
    if (!t->begun) {
        buffer_text(why, "has not run");
        *need = PIPELINE_CONTINUE;
        return why->failed;
    }
    status rc = recipe(stage, &words);
    if (!rc && strcmp(words.data, t->recipe)) {
        tell_change(stage, t->recipe, why);
        *need = PIPELINE_ANEW;
    }
    buffer_free(&words);
    if (!rc && *need == PIPELINE_FRESH) rc = look_at_sources(s, i, ahead, need, why);
    if (rc || *need != PIPELINE_FRESH) return rc ? rc : why->failed;
    if (!t->done) {
        buffer_text(why, "was not finished");
        *need = PIPELINE_CONTINUE;
    } else if (stage->out) {
        const bool there = file_exists(stage->out) || folder_exists(stage->out);
        if (there) rc = content_at(s, now, stage->out);
        if (!rc && (!there || strcmp(now, t->left))) {
            buffer_print(why, there ? "%s is not what it left" : "%s is gone", stage->out);
            *need = PIPELINE_CONTINUE;
        }
    }
    return rc ? rc : why->failed;
}

// --- running ---------------------------------------------------------------------------------------
// To DIR/replaced/NAME-1 or the first such name that is free.
static status move_away(const pipeline *p, const pipeline_stage *stage) {
    char folder[PATH_SIZE], to[PATH_SIZE];
    if (!stage->out || (!file_exists(stage->out) && !folder_exists(stage->out))) return STATUS_OK;
    status rc = path_join(folder, sizeof folder, p->dir, "replaced");
    if (!rc) rc = folder_make(folder);
    for (int n = 1; !rc; n++) {
        if (snprintf(to, sizeof to, "%s/%s-%d", folder, stage->name, n) >= (int)sizeof to)
            return status_fail(STATUS_IO, "%s/%s: the path is too long", folder, stage->name);
        if (!file_exists(to) && !folder_exists(to)) break;
    }
    if (!rc && rename(stage->out, to))
        rc = status_fail(STATUS_IO, "%s: cannot be moved to %s: %s", stage->out, to, strerror(errno));
    if (!rc) log_info("what was in %s is now %s: remove it when it is of no more use", stage->out, to);
    return rc;
}

status pipeline_begin(pipeline_state *s, int i, pipeline_need need) {
    const pipeline_stage *stage = &s->p->stage[i];
    stage_state *t = &s->stage[i];
    char now[CONTENT_SIZE], above[PATH_SIZE];
    buffer words = {0};
    const bool anew = need == PIPELINE_ANEW || stage->command->refuses_output;
    status rc = anew ? move_away(s->p, stage) : STATUS_OK;
    if (!rc && stage->out && snprintf(above, sizeof above, "%s", stage->out) < (int)sizeof above)
        rc = folder_make(dirname(above));
    if (rc) return rc;
    const double seconds = t->begun && !t->done && need == PIPELINE_CONTINUE ? t->seconds : 0;
    stage_free(t);
    t->begun = true;
    t->seconds = seconds;
    rc = recipe(stage, &words);
    t->recipe = words.data;
    for (size_t k = 0; k < stage->sources && !rc; k++) {
        const pipeline_source *from = &s->p->source[stage->source[k]];
        rc = source_content(s, now, from);
        if (!rc) rc = add_read(t, from->name, now);
    }
    return rc ? rc : write_state(s);
}

status pipeline_end(pipeline_state *s, int i, double seconds, bool done) {
    const pipeline_stage *stage = &s->p->stage[i];
    stage_state *t = &s->stage[i];
    t->seconds += seconds;
    status rc = done && stage->out ? content_at(s, t->left, stage->out) : STATUS_OK;
    t->done = done && !rc;
    const status written = write_state(s);
    return rc ? rc : written;
}
