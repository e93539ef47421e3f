// Instruct data: conversations as token ids, with the places of what is to be learned, the images
// they are about and their texts. Made once by `radialog instruct`, read by the language model's
// training and by generation. A folder of HDF5 shards, manifest.json and skipped.csv.
//
// A shard (train-00000.h5):
//     blocks (bytes) u8: the records' blocks behind each other
//     offsets (N + 1) i64: where each begins    crc32 (N) i64: of each block
//     length (N) i32: its ids                   supervised (N) i32: those to be learned
//     skipped_row (S) i64, skipped_reason, skipped_id, skipped_detail: rows that made no record
//     attributes: format, version, split, plan (hash of inputs and options), first_row, rows
// A block, all of it i32 and little-endian but the texts:
//     ids, spans, images, and the bytes of id, task, images' names (with their NULs), prompt,
//     answer; the ids; pairs {first, end} of spans; id, task, each image, prompt and answer, a NUL
//     behind each; zeros up to a multiple of 4
// The shard ends in a seal (data/shard.h) with the CRC-32 of all but the blocks, which have their
// own: opening reads the tables alone, and a block is checked whenever it is read.
#pragma once
#include "data/dataset.h"
#include "data/prompts.h"
#include "data/tokenizer.h"

enum { INSTRUCT_VERSION = 1, INSTRUCT_ROWS = 4096, INSTRUCT_SOURCE_SIZE = 64 };

// What the records of a folder have in common; manifest.json says it.
typedef struct instruct_facts {
    uint32_t tokenizer; // checksum, the image token added
    int32_t vocabulary; // ids, that one included
    int32_t image_token;
    int queries;      // image tokens that stand for an image
    bool overwrite;   // where a conversation has no image token, its first ids become them (REFERENCE 5.3)
    uint32_t prompts; // hash of the templates
    int cutoff;       // ids of a record at most
    uint64_t seed;
    bool stratified;                                  // the training split
    char findings[SPLIT_COUNT][INSTRUCT_SOURCE_SIZE]; // of the prompts: "labels", "none", ...
    char source[INSTRUCT_SOURCE_SIZE];                // "shards PLAN" or "json CRC"
    char section[INSTRUCT_SOURCE_SIZE];               // the report's
    int64_t limit;                                    // records of the training split; 0: all
} instruct_facts;

// --- reading ------------------------------------------------------------------------------------

typedef struct instruct_set instruct_set;

// Reads FOLDER/manifest.json and every shard's tables. Errors: IO; FORMAT, naming the file; MEMORY.
status instruct_open(instruct_set **out, const char *folder);
void instruct_close(instruct_set *s); // accepts NULL

const instruct_facts *instruct_facts_of(const instruct_set *s);
const char *instruct_plan(const instruct_set *s); // changes when the data do; borrowed
// FORMAT, saying what to do, unless T, with its image token added, is the tokenizer of the ids.
status instruct_expect(const instruct_set *s, const tokenizer *t);

// The functions below die of a split or a record that is not there.
int64_t instruct_count(const instruct_set *s, int split);
int32_t instruct_length(const instruct_set *s, int split, int64_t i);     // ids of a record
int32_t instruct_supervised(const instruct_set *s, int split, int64_t i); // those to be learned
int32_t instruct_longest(const instruct_set *s, int split); // length of the longest; 0: no record

typedef struct instruct_record {
    const char *id, *task;
    const int32_t *ids; // (count): the begin token first, image tokens in their places
    int32_t count;
    const int32_t *span; // (spans, 2): {first, end} of ids to be learned, in order
    int spans;
    const char *const *image; // (images): dicom_ids; the I-th owns the I-th run of image tokens
    int images;
    const char *prompt, *answer; // as texts, not cut
} instruct_record;

// Record I, borrowed until the next call; no other is in memory. Not for two threads at once.
// Errors: IO; FORMAT, naming shard and record (a checksum, or what does not fit together); MEMORY.
status instruct_read(instruct_set *s, int split, int64_t i, instruct_record *out);

// --- building -----------------------------------------------------------------------------------

//  X(name in C, name in manifest.json and skipped.csv)
#define INSTRUCT_SKIP_LIST(X)                                                                      \
    X(BAD_ROW, "bad row")               /* of a file of conversations */                           \
    X(NO_FINDINGS, "no findings known") /* the file of predictions lacks the image */              \
    X(NO_ANSWER, "empty answer")                                                                   \
    X(IMAGE, "image tokens") /* none, too many, apart, in the answer, or cut off */                \
    X(NO_ROOM, "prompt fills the cut-off")

typedef enum instruct_skip {
    INSTRUCT_KEPT,
#define X(name, text) INSTRUCT_SKIP_##name,
    INSTRUCT_SKIP_LIST(X)
#undef X
        INSTRUCT_SKIPS
} instruct_skip;
extern const char *const instruct_skip_names[INSTRUCT_SKIPS];

// What a row says before it is tokenised.
typedef struct instruct_text {
    buffer id;     // of the record: the dicom_id of its image
    buffer images; // of several: their dicom_ids in order, a NUL behind each; empty: the one that ID names
    buffer prompt, answer;
    const char *task;   // borrowed
    bool may_be_empty;  // the answer: its end alone is learned then
} instruct_text;
void instruct_text_free(instruct_text *t);

// Where rows come from.
typedef struct instruct_source {
    const void *context;
    int64_t rows[SPLIT_COUNT];
    // Row I into OUT, whose buffers are empty texts; any thread. FORMAT: *SKIP says why this row is
    // left out, the failure's text what is wrong; OUT's id is filled in if known. Others end the
    // run.
    status (*row)(instruct_text *out, instruct_skip *skip, const void *context, int split,
                  int64_t i);
} instruct_source;

typedef struct instruct_options {
    const char *out; // the folder; made if missing
    const tokenizer *tokenizer;
    instruct_facts facts;
    int threads;        // any number gives the same bytes
    int64_t shard_rows; // 1 to INSTRUCT_ROWS; 0: INSTRUCT_ROWS
    bool (*stop)(void); // NULL, or asked between shards: true ends with INTERRUPTED
} instruct_options;

typedef struct instruct_summary {
    int64_t records, splits[SPLIT_COUNT];
    int64_t skipped_total, skipped[INSTRUCT_SKIPS];
    int64_t tokens, supervised;  // of all records
    int64_t longest;             // ids
    int64_t full;                // records of as many ids as there may be: most of them cut off
    int64_t shards, shards_made; // made in this run; 0: all was there
} instruct_summary;

// Appends the block of TEXT (REFERENCE 5.7): begin token, prompt and answer tokenised as one text,
// cut to cutoff ids; the end token unless it is there or nothing more fits. Learned is what stands
// behind the prompt's ids, counted on the prompt alone. With overwrite, the first ids of a text without image tokens
// become them; several images have tokens of their own. *LENGTH and *SUPERVISED: the block's.
// Errors: FORMAT with *SKIP, where it makes no record and nothing is appended; what
// tokenizer_encode says; MEMORY.
status instruct_build(buffer *block, int32_t *length, int32_t *supervised, instruct_skip *skip,
                      const instruct_text *text, const tokenizer *t, const instruct_facts *f);

// RaDialog's model takes a row without image tokens for one whose image begins at 0, and its vectors replace those of
// the begin token and of what follows (REFERENCE 5.3). Where F has overwrite, image tokens in place of the first of a
// prompt's IDS (COUNT) do the same, unless it has its own. False: it has fewer ids than an image.
bool instruct_overwrite(int32_t *ids, int64_t count, const instruct_facts *f);

// Makes the folder, or goes on with one that was begun from the same source and options: shards
// that are there are kept. Rows that make no record are counted and listed in skipped.csv. Errors:
// IO; FORMAT (a folder of other facts; no record at all: the first row's reason); MEMORY;
// INTERRUPTED.
status instruct_write(instruct_summary *summary, const instruct_source *from,
                      const instruct_options *options);

// --- conversations as the original's JSON (data/instruct_json.c, data/instruct_llava.c) ---------

// A list of objects {instruction, input, output, dicom} (REFERENCE 6.8), or, as LLaVA has it, of {id,
// image, conversations, task_type} (6.10), read object by object. Of several images, dicom or image is a list, in the
// order of their tokens: dicom_ids, of which the first is the record's id too, or paths.
typedef struct instruct_json instruct_json;

// Errors: IO; FORMAT with the line (no list, an element that is not closed); MEMORY.
status instruct_json_open(instruct_json **out, const char *path);
void instruct_json_close(instruct_json *j);              // accepts NULL
uint32_t instruct_json_checksum(const instruct_json *j); // CRC-32 of the file
// Whether its first object is of LLaVA's form: it holds messages, without system text, roles and the
// image's tokens, which PROMPTS (borrowed) and IMAGE_TOKENS then say.
bool instruct_json_is_llava(const instruct_json *j);
void instruct_json_words(instruct_json *j, const prompts *words, int image_tokens);
// All of it as SPLIT. J is borrowed.
instruct_source instruct_json_source(const instruct_json *j, int split);

// The records of SPLIT as such a file, as Python writes it with indent 4, in UTF-8. Appears whole
// or not at all. Errors: IO, FORMAT, MEMORY.
status instruct_json_write(const char *path, instruct_set *s, int split);
// The same in LLaVA's form. WORDS are those that the conversations are made of. SET: where MIMIC's paths
// of images come from; NULL: an image is its id and ".jpg". FORMAT: other words.
status instruct_llava_write(const char *path, instruct_set *s, int split, const prompts *words,
                            const dataset *set);
