// One shard of instruct data, for those who write, read and check them (data/instruct*.c).
#pragma once
#include "core/files/hdf5.h"
#include "core/files/json.h"
#include "data/instruct.h"
#include "data/shard.h"

enum { INSTRUCT_TEXTS = 5 };

// What stands at the front of a block.
typedef struct block_head {
    int32_t count, spans, images;
    int32_t id, task, names, prompt, answer; // bytes: without the NUL; NAMES: with their NULs
} block_head;
_Static_assert(sizeof(block_head) == 32, "a block has no gaps");

typedef struct instruct_shard {
    char *path;
    int fd;
    int split;
    char plan[PLAN_SIZE];
    int64_t first_row, rows; // of the source
    uint32_t seal;
    int64_t records;      // N
    int64_t *offset;      // (N + 1)
    int32_t *length;      // (N)
    int32_t *supervised;  // (N)
    uint32_t *crc;        // (N)
    int64_t place;        // of the blocks in the file
    int64_t *skipped_row; // (S)
    text_column skipped_reason, skipped_id, skipped_detail;
} instruct_shard;

// Errors: IO, FORMAT (names the file), MEMORY.
status instruct_shard_open(instruct_shard **out, const char *path);
void instruct_shard_close(instruct_shard *s); // accepts NULL
// Gives back what only the writer needs.
void instruct_shard_forget_skipped(instruct_shard *s);

// Appends manifest.json's part that says the facts: members of an object, each behind a comma but
// the first.
void instruct_facts_print(buffer *out, const instruct_facts *f);

// --- files of conversations ---------------------------------------------------------------------

// Object I of the file, parsed.
int64_t instruct_json_count(const instruct_json *j);
status instruct_json_element(json **out, const instruct_json *j, int64_t i);
// The row that an object of LLaVA's form is (data/instruct_llava.c). FORMAT with its line.
status instruct_llava_row(instruct_text *out, json_value object, const prompts *words,
                          int image_tokens);
// Appends NAME (LENGTH) to the images that T is about.
status instruct_add_image(instruct_text *t, const char *name, size_t length);
// What a task is called in a record, by its name in a file; NULL: it says none.
const char *instruct_task(json_value object);

// Prints element I of a list, without what stands between elements. CONTEXT is the caller's.
typedef status instruct_print(buffer *out, const instruct_record *r, void *context);
// The records of SPLIT as the list PATH (data/instruct_json.c).
status instruct_list_write(const char *path, instruct_set *s, int split, instruct_print *print,
                           void *context);
