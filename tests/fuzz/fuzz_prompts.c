// Prompt files, ours and RaDialog's, with a system text and what stands around a conversation: what
// opens fills in findings as they are, braces and all, and shows the image.
//
// An input: flags (1 a system text, 2 a wrapper, 4 a key), the parts of these that are there, the
// file.
#include "data/prompts.h"
#include "tests/fuzz/helper_fuzz.h"

#include <string.h>

static int count_word(const char *text, const char *word) {
    int count = 0;
    while ((text = strstr(text, word))) count++, text += strlen(word);
    return count;
}

static void use(const prompts *p) {
    static const char findings[] = "{findings} } {image} {{0}} %s";
    const char *message[] = {NULL, "{image} answer", "again", NULL};
    const int literal = prompts_literal_tokens(p);
    buffer first = {0}, all = {0};
    prompts_report(&first, p, findings, 7);
    demand(!first.failed && count_word(first.data, findings) >= 1);
    demand(count_word(first.data, prompts_image_token(p)) >= (literal ? literal : 7));
    message[0] = first.data;
    prompts_conversation(&all, p, message, 4);
    demand(!all.failed && strstr(all.data, first.data) && strstr(all.data, message[1]));
    demand(prompts_hash(p) == prompts_hash(p));
    first.length = 0;
    if (prompts_without_findings(p)) prompts_report(&first, p, NULL, 1);
    demand(!first.failed);
    touch_text(first.data);
    buffer_free(&first);
    buffer_free(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    const int flags = input_byte(&in);
    prompts_files files = {0};
    prompts *p;
    char key[64] = "";
    size_t count;
    if (flags & 1) {
        const uint8_t *text = input_part(&in, &count);
        files.system = memory_file(1, text, count);
    }
    if (flags & 2) {
        const uint8_t *text = input_part(&in, &count);
        files.wrapper = memory_file(2, text, count);
    }
    if (flags & 4) {
        const uint8_t *text = input_part(&in, &count);
        if (count > sizeof key - 1) count = sizeof key - 1;
        if (count) memcpy(key, text, count);
        key[count] = 0;
        files.key = key;
    }
    files.prompts = memory_file(0, in.data, in.size);
    status rc = prompts_open(&p, &files);
    if (rc) {
        demand_failure(rc);
        demand(!p);
    } else {
        use(p);
    }
    prompts_close(p);
    return 0;
}
