// From a conversation's text to a record's block. See instruct.h.
#include "data/instruct_private.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "blocks are little-endian"
#endif

const char *const instruct_skip_names[INSTRUCT_SKIPS] = {"none",
#define X(name, text) text,
                                                         INSTRUCT_SKIP_LIST(X)
#undef X
};

void instruct_text_free(instruct_text *t) {
    buffer_free(&t->id);
    buffer_free(&t->images);
    buffer_free(&t->prompt);
    buffer_free(&t->answer);
}

typedef struct building {
    const instruct_text *text;
    const instruct_facts *f;
    instruct_skip *skip;
    int images;
    buffer prompt, whole; // ids
} building;

// Of a text that ends in a NUL, cut for error texts.
#define ID_OF(b) 80, (b)->text->id.data

static status leave_out(building *b, instruct_skip why, const char *what) {
    *b->skip = why;
    return status_fail(STATUS_FORMAT, "record %.*s: %s", ID_OF(b), what);
}

static int64_t count_ids(const buffer *ids) {
    return (int64_t)(ids->length / sizeof(int32_t));
}

static const int32_t *ids_of(const buffer *ids) {
    return (const int32_t *)(const void *)ids->data;
}

bool instruct_overwrite(int32_t *ids, int64_t count, const instruct_facts *f) {
    if (!f->overwrite) return true;
    for (int64_t i = 0; i < count; i++)
        if (ids[i] == f->image_token) return true;
    if (count < f->queries) return false;
    for (int i = 0; i < f->queries; i++) ids[i] = f->image_token;
    return true;
}

static status overwrite(building *b) {
    const int64_t prompt = count_ids(&b->prompt);
    if (instruct_overwrite((int32_t *)(void *)b->whole.data, prompt, b->f)) return STATUS_OK;
    return status_fail(STATUS_FORMAT,
                       "record %.*s: no image tokens, and a prompt of %lld ids, which %d cannot overwrite", ID_OF(b),
                       (long long)prompt, b->f->queries);
}

static status wrong_count(const building *b, int64_t count) {
    const long long want = (long long)b->images * b->f->queries;
    if (b->images == 1)
        return status_fail(STATUS_FORMAT, "record %.*s: %lld image tokens, an image has %lld", ID_OF(b),
                           (long long)count, want);
    return status_fail(STATUS_FORMAT, "record %.*s: %lld image tokens, its %d images have %lld", ID_OF(b),
                       (long long)count, b->images, want);
}

// Each image of queries tokens in one piece, which the cut leaves whole, and none in the answer.
static status check_image(building *b) {
    const int32_t *id = ids_of(&b->whole), token = b->f->image_token;
    const int64_t total = count_ids(&b->whole);
    int64_t count = 0, run = 0, last = -1;
    bool apart = false;
    for (int64_t i = 0; i <= total; i++) {
        const bool shows = i < total && id[i] == token;
        apart |= !shows && run % b->f->queries;
        run = shows ? run + 1 : 0;
        if (shows) last = i;
        count += shows;
    }
    *b->skip = INSTRUCT_SKIP_IMAGE;
    if (!count && b->images == 1 && b->f->overwrite) return overwrite(b);
    if (count != (int64_t)b->images * b->f->queries) return wrong_count(b, count);
    if (apart) return leave_out(b, INSTRUCT_SKIP_IMAGE, "its image tokens stand apart");
    if (last >= count_ids(&b->prompt)) return leave_out(b, INSTRUCT_SKIP_IMAGE, "its answer has image tokens");
    if (last >= b->f->cutoff)
        return status_fail(STATUS_FORMAT, "record %.*s: its image tokens are cut off at %d ids",
                           ID_OF(b), b->f->cutoff);
    return STATUS_OK;
}

static status tokenise(building *b, const tokenizer *t) {
    const instruct_text *x = b->text;
    const int32_t begin = tokenizer_named(t).begin;
    buffer both = {0};
    buffer_append(&both, x->prompt.data, x->prompt.length);
    buffer_append(&both, x->answer.data, x->answer.length);
    status rc = both.failed;
    if (begin >= 0) {
        buffer_append(&b->prompt, &begin, sizeof begin);
        buffer_append(&b->whole, &begin, sizeof begin);
    }
    if (!rc) rc = tokenizer_encode(t, x->prompt.data, x->prompt.length, &b->prompt);
    if (!rc) rc = tokenizer_encode(t, both.data, both.length, &b->whole);
    if (!rc) rc = b->prompt.failed ? b->prompt.failed : b->whole.failed;
    buffer_free(&both);
    return rc;
}

// *COUNT ids of the whole as kept, of which those from *FIRST on are learned.
static status cut(building *b, int32_t *count, int32_t *first, int32_t end) {
    const int64_t cutoff = b->f->cutoff, prompt = count_ids(&b->prompt);
    int64_t total = count_ids(&b->whole);
    if (total > cutoff) total = cutoff;
    b->whole.length = (size_t)total * sizeof(int32_t);
    if (total < cutoff && end >= 0 && ids_of(&b->whole)[total - 1] != end) {
        buffer_append(&b->whole, &end, sizeof end);
        total++;
    }
    *count = (int32_t)total;
    *first = (int32_t)(prompt < total ? prompt : total);
    if (prompt < total) return b->whole.failed;
    *b->skip = INSTRUCT_SKIP_NO_ROOM;
    return status_fail(STATUS_FORMAT,
                       "record %.*s: its prompt of %lld ids leaves nothing to learn within %d",
                       ID_OF(b), (long long)prompt, b->f->cutoff);
}

static void append_text(buffer *block, const char *text, size_t length) {
    buffer_append(block, text, length);
    buffer_append(block, "", 1);
}

static status append_block(buffer *block, const building *b, int32_t count, int32_t first) {
    const instruct_text *x = b->text;
    const size_t begin = block->length, task = strlen(x->task);
    const size_t names = x->images.length ? x->images.length : x->id.length + 1;
    const int32_t span[2] = {first, count};
    if (x->id.length > INT16_MAX || names > INT32_MAX / 8 || x->prompt.length > INT32_MAX / 8 ||
        x->answer.length > INT32_MAX / 8)
        return status_fail(STATUS_FORMAT, "record %.*s: its texts are too long", ID_OF(b));
    const block_head head = {.count = count,
                             .spans = 1,
                             .images = b->images,
                             .id = (int32_t)x->id.length,
                             .task = (int32_t)task,
                             .names = (int32_t)names,
                             .prompt = (int32_t)x->prompt.length,
                             .answer = (int32_t)x->answer.length};
    buffer_append(block, &head, sizeof head);
    buffer_append(block, b->whole.data, (size_t)count * sizeof(int32_t));
    buffer_append(block, span, sizeof span);
    append_text(block, x->id.data, x->id.length);
    append_text(block, x->task, task);
    append_text(block, x->images.length ? x->images.data : x->id.data, names - 1);
    append_text(block, x->prompt.data, x->prompt.length);
    append_text(block, x->answer.data, x->answer.length);
    while (!block->failed && (block->length - begin) % sizeof(int32_t)) buffer_append(block, "", 1);
    return block->failed;
}

static int count_images(const instruct_text *t) {
    int count = 0;
    for (size_t i = 0; i < t->images.length; i++) count += !t->images.data[i];
    return count ? count : 1;
}

status instruct_build(buffer *block, int32_t *length, int32_t *supervised, instruct_skip *skip,
                      const instruct_text *text, const tokenizer *t, const instruct_facts *f) {
    building b = {.text = text, .f = f, .skip = skip, .images = count_images(text)};
    int32_t count = 0, first = 0;
    status rc = STATUS_OK;
    *skip = INSTRUCT_SKIP_BAD_ROW;
    if (!text->answer.length && !text->may_be_empty)
        rc = leave_out(&b, INSTRUCT_SKIP_NO_ANSWER, "its answer is empty");
    if (!rc) rc = tokenise(&b, t);
    if (!rc) rc = check_image(&b);
    if (!rc) rc = cut(&b, &count, &first, tokenizer_named(t).end);
    if (!rc) rc = append_block(block, &b, count, first);
    buffer_free(&b.prompt);
    buffer_free(&b.whole);
    if (rc) return rc;
    *skip = INSTRUCT_KEPT;
    *length = count;
    *supervised = count - first;
    return STATUS_OK;
}
