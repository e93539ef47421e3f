// Pipelines: what leads from a hospital's data to an adapter, as one JSON file of this program's command lines.
//
//     { "format": "radialog-pipeline", "version": 1, "dir": "runs/demo",
//       "settings": { "studies": 3200 },
//       "inputs": { "mimic": { "path": "/data/mimic", "by": "times" }, "vicuna": "" },
//       "stages": [
//         { "name": "data", "run": ["synth", "{out}", "--studies", "{studies}"] },
//         { "name": "shards", "run": ["ingest", "{data}", "--out", "{out}"] },
//         { "name": "words", "out": "vocab.txt", "run": ["tokenizer", "train", "{shards}", "--out", "{out}"] },
//         { "name": "scores", "show": true, "run": [...] } ] }
//
// In braces stand: "out", what the stage itself makes (DIR/NAME, or DIR/OUT); a stage before it, for what that one
// made; an input or a setting; "here", the folder of the file. So a pipeline is a graph, written down in an order in
// which it can run. An input without a path must be given; its content counts, or with "by": "times" only names,
// sizes and times of its files, which costs no reading. A stage with "show" is one whose stdout is the result: it is
// shown again when the stage need not run.
//
// A stage runs when it never has, when its words or what it reads have changed, or when its output is not what it
// left. DIR/pipeline.state.json knows all that. Where words or inputs changed, the output that was there is moved to
// DIR/replaced, and the stage starts anew; otherwise the command goes on with what is there, unless it writes over none.
#pragma once
#include "train/commands.h"
#include "train/content.h"

enum { PIPELINE_MOST = 256 }; // stages; inputs; settings

// What stages read: another's output, an input, a file beside the pipeline's.
typedef struct pipeline_source {
    char *name, *path;
    int stage; // that makes it; -1: none
    bool by_times;
} pipeline_source;

typedef struct pipeline_stage {
    char *name;
    const command *command;
    char *out; // path; NULL: none
    bool show;
    bool read; // by another stage, which may be one that need not run
    char **given, **argv;   // (words): with settings alone, and with all that stands for braces; ended by NULL
    size_t words;
    int *source;    // (sources): what it reads
    size_t sources;
    size_t room[3]; // of given, argv, source
} pipeline_stage;

typedef struct pipeline {
    char *path, *here, *dir;
    pipeline_stage *stage;
    pipeline_source *source;
    size_t stages, sources, room[2];
} pipeline;

// What the command line gives beside the file.
typedef struct pipeline_options {
    const char *dir; // NULL: as in the file
    // (sets) "SETTING=VALUE", or "STAGE.SECTION.KEY=VALUE": one key of a stage's configuration; (inputs)
    // "NAME=PATH", of an input or of a stage, which then is there and does not run.
    const char *const *set, *const *input;
    int sets, inputs;
    const char *device, *precision; // of all stages that compute; NULL: as they say
} pipeline_options;

// Reads PATH and checks all of it: every command's words and configuration too, before anything runs. FORMAT or
// USAGE with place, IO, MEMORY.
status pipeline_open(pipeline *p, const char *path, const pipeline_options *o);
void pipeline_close(pipeline *p); // also after a failure
// The number of the stage of that name. USAGE, naming the nearest.
status pipeline_find(const pipeline *p, const char *name, int *stage);

// --- what has to run (train/pipeline_state.c) ----------------------------------------------------

typedef enum pipeline_need {
    PIPELINE_FRESH,    // nothing to do
    PIPELINE_CONTINUE, // with what is there
    PIPELINE_ANEW,     // the old output is moved away
    PIPELINE_PERHAPS,  // a stage before it has to run first: only in looking ahead
} pipeline_need;

typedef struct pipeline_state pipeline_state;

// Reads the state of DIR, where none is fine; makes DIR and locks it unless AHEAD, which only looks. IO (another one
// is at work there), FORMAT, MEMORY.
status pipeline_state_open(pipeline_state **out, const pipeline *p, bool ahead);
void pipeline_state_close(pipeline_state *s); // accepts NULL
// Whether stage I has to run, and WHY. AHEAD: nothing runs, so stages before it count as they are. IO (an input
// is not there), MEMORY.
status pipeline_look(pipeline_state *s, int i, bool ahead, pipeline_need *need, buffer *why);
double pipeline_seconds(const pipeline_state *s, int i); // that it took the last time; below 0: never ran
// Moves the old output away and notes that the stage has begun with what it reads now.
status pipeline_begin(pipeline_state *s, int i, pipeline_need need);
// After so many more SECONDS; DONE: notes what it left.
status pipeline_end(pipeline_state *s, int i, double seconds, bool done);
