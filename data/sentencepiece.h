// libsentencepiece behind a header for C. data/sentencepiece.cpp is the only file that includes
// the library's; no exception leaves it. What reaches piece_library_load was checked and written
// anew by data/sentencepiece_model.c: the library itself trusts its models.
#pragma once
#include "core/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct piece_library piece_library;

// MODEL: a serialized ModelProto. 0, or 1 with a line in WHY (at most ROOM bytes with its NUL).
int piece_library_load(piece_library **out, const void *model, size_t size, char *why, size_t room);
void piece_library_free(piece_library *s); // accepts NULL

typedef void piece_library_take(void *context, const int *id, size_t count);
// Gives the ids of TEXT (valid UTF-8) to TAKE, once. Any number of threads may.
int piece_library_encode(const piece_library *s, const char *text, size_t length,
                         piece_library_take *take, void *context, char *why, size_t room);

typedef void piece_library_keep(void *context, const char *bytes, size_t count);
// Gives the serialized model of COUNT texts, which end at END in BYTES, to KEEP, once. SETTINGS:
// the trainer's own, "name=value" with blanks between.
int piece_library_train(const char *settings, const char *bytes, const size_t *end, size_t count,
                        piece_library_keep *keep, void *context, char *why, size_t room);

// The library does not tell what it is when it runs.
const char *piece_library_built(void);

#ifdef __cplusplus
}
#endif
