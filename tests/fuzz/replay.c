// Runs a fuzz target over files: replay_NAME FILE|FOLDER... . Fails if there was nothing to run; a finding
// of the target is a crash, as under libFuzzer.
#include "core/files/fs.h"
#include "core/log.h"
#include "tests/fuzz/helper_fuzz.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t files;

static status replay_file(const char *path) {
    buffer bytes = {0};
    status rc = file_read(path, 0, &bytes);
    if (!rc) {
        // A copy of exactly that size, so that the sanitizer sees each read beyond it.
        uint8_t *data = malloc(bytes.length ? bytes.length : 1);
        if (!data) die("replay: no memory");
        for (size_t i = 0; i < bytes.length; i++) data[i] = (uint8_t)bytes.data[i];
        LLVMFuzzerTestOneInput(data, bytes.length);
        free(data);
        files++;
    }
    buffer_free(&bytes);
    return rc;
}

static status replay(const char *path) {
    char inside[PATH_SIZE];
    names list = {0};
    if (!folder_exists(path)) return replay_file(path);
    status rc = folder_list(path, &list);
    for (size_t i = 0; i < list.count && !rc; i++) {
        rc = path_join(inside, sizeof inside, path, list.name[i]);
        if (!rc) rc = replay_file(inside);
    }
    names_free(&list);
    return rc;
}

int main(int argc, char **argv) {
    status rc = STATUS_OK;
    log_quiet(true);
    for (int i = 1; i < argc && !rc; i++) rc = replay(argv[i]);
    if (rc) fprintf(stderr, "replay: %s\n", status_text());
    if (!rc && !files) fprintf(stderr, "replay: no files to run\n");
    if (!rc && files) printf("%lld files\n", (long long)files);
    return rc || !files ? EXIT_FAILURE : EXIT_SUCCESS;
}
