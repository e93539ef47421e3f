// Conversations taken apart again. See prompts.h.
#include "data/prompts_private.h"

#include <string.h>

// Moves *AT behind WORD if it stands there.
static bool pass(const char **at, const char *word) {
    const size_t length = strlen(word);
    if (strncmp(*at, word, length)) return false;
    *at += length;
    return true;
}

// Appends what stands before the separator of side SIDE and the other side's role, and moves *AT
// behind them.
static bool take_message(buffer *out, const char **at, const prompts *p, int side) {
    buffer mark = {0};
    buffer_print(&mark, "%s%s:", p->separator[side], p->role[1 - side]);
    const char *end = mark.failed ? NULL : strstr(*at, mark.data);
    if (mark.failed) out->failed = mark.failed;
    if (end && end > *at) {
        buffer_append(out, *at, (size_t)(end - *at));
        buffer_append(out, "", 1);
    }
    const bool taken = end && end > *at;
    if (taken) *at = end + mark.length;
    buffer_free(&mark);
    return taken;
}

// END: what stands behind the last role.
static bool take_messages(buffer *out, int *count, const prompts *p, const char *at,
                          const char *end) {
    if (!pass(&at, p->system) || !pass(&at, p->separator[0]) || !pass(&at, p->role[0]))
        return false;
    if (!pass(&at, ":")) return false;
    for (*count = 0;; ++*count) {
        if (*count % 2 && !strcmp(at, end)) return true;
        if (!pass(&at, " ") || !take_message(out, &at, p, *count % 2)) return false;
    }
}

status prompts_split(buffer *out, int *count, const prompts *p, const char *conversation) {
    buffer around[2] = {{0}, {0}};
    bool behind = false;
    for (int i = 0; i < 2; i++) buffer_text(&around[i], "");
    for (int i = 0; i < p->wrapper.count; i++) {
        const part *x = &p->wrapper.part[i];
        if (x->kind == SLOT_TEXT)
            buffer_append(&around[behind], p->wrapper.text.data + x->at, x->length);
        else
            behind = true;
    }
    const char *at = conversation;
    status rc = around[0].failed ? around[0].failed : around[1].failed;
    if (!rc && !(pass(&at, around[0].data) && take_messages(out, count, p, at, around[1].data)))
        rc = status_fail(STATUS_FORMAT, "a conversation is not made of these prompts: %.60s...",
                         conversation);
    for (int i = 0; i < 2; i++) buffer_free(&around[i]);
    return out->failed ? out->failed : rc;
}
