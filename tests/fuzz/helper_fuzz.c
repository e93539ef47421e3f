#include "tests/fuzz/helper_fuzz.h"
#include "core/files/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 8 };

static void write_all(int fd, const void *bytes, size_t size) {
    if (ftruncate(fd, 0) || pwrite(fd, bytes, size, 0) != (ssize_t)size) die("no file in memory");
}

const char *memory_file(int slot, const void *bytes, size_t size) {
    static int fd[SLOTS];
    static char path[SLOTS][32];
    if (slot < 0 || slot >= SLOTS) die("memory_file: slot %d", slot);
    if (!path[slot][0]) {
        fd[slot] = memfd_create("fuzz", MFD_CLOEXEC);
        if (fd[slot] < 0) die("no file in memory");
        snprintf(path[slot], sizeof path[slot], "/proc/self/fd/%d", fd[slot]);
    }
    write_all(fd[slot], size ? bytes : "", size);
    return path[slot];
}

static char folder[64];

static void folder_remove(void) {
    if (path_remove(folder)) fprintf(stderr, "%s\n", status_text());
}

const char *memory_folder(void) {
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "%s/radialog-fuzz-XXXXXX",
                 folder_exists("/dev/shm") ? "/dev/shm" : "/tmp");
        if (!mkdtemp(folder)) die("no folder %s", folder);
        atexit(folder_remove);
    }
    return folder;
}

const char *memory_folder_path(const char *name) {
    static char path[PATH_SIZE];
    if (path_join(path, sizeof path, memory_folder(), name)) die("%s", status_text());
    return path;
}

const char *memory_folder_file(const char *name, const void *bytes, size_t size) {
    const char *path = memory_folder_path(name);
    FILE *file = fopen(path, "wb");
    if (!file) die("cannot write %s", path);
    if (size && fwrite(bytes, 1, size, file) != size) die("cannot write %s", path);
    if (fclose(file)) die("cannot write %s", path);
    return path;
}

uint8_t input_byte(input *in) {
    if (!in->size) return 0;
    in->size--;
    return *in->data++;
}

uint32_t input_number(input *in, int bytes) {
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint32_t)input_byte(in) << (8 * i);
    return value;
}

const uint8_t *input_bytes(input *in, size_t *count, size_t most) {
    const uint8_t *at = in->data;
    *count = in->size < most ? in->size : most;
    in->data += *count;
    in->size -= *count;
    return at;
}

const uint8_t *input_part(input *in, size_t *count) {
    size_t length = input_number(in, 2);
    return input_bytes(in, count, length);
}

char *input_rest_text(input *in) {
    char *text;
    if (mem_new(&text, in->size + 1, "text")) die("%s", status_text());
    if (in->size) memcpy(text, in->data, in->size);
    in->size = 0;
    return text;
}

void input_replace(void *text, size_t size, const char *word, const char *by) {
    size_t length = strlen(word);
    if (strlen(by) != length) die("input_replace: %s by %s", word, by);
    for (char *at = text, *end = at + size; (at = memmem(at, (size_t)(end - at), word, length));)
        memcpy(at, by, length);
}

void touch_bytes(const void *bytes, size_t size) {
    static volatile uint8_t last;
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
    last = (uint8_t)(last + sum);
}

void touch_text(const char *text) {
    touch_bytes(text, strlen(text));
}

void demand_failure(status rc) {
    const char *text = status_text();
    demand(rc != STATUS_OK && *text && !strchr(text, '\n'));
}
