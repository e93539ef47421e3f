#include "core/library.h"

#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A search: what is looked for, and what has been said about the places.
typedef struct search {
    library *out;
    const library_kind *kind;
    char places[640];  // "; "-separated, for the error's text
    char trouble[256]; // why a file that was found could not be loaded
} search;

static void say(char *text, size_t size, const char *words) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used ? "; " : "", words);
}

// The loader's error for a missing file is no trouble; for one that is there it is.
static bool try_file(search *f, const char *file) {
    void *handle = dlopen(file, RTLD_NOW | (f->kind->plugins ? RTLD_GLOBAL : RTLD_LOCAL));
    if (!handle) {
        const char *why = dlerror();
        if (strchr(file, '/') && access(file, F_OK) == 0 && !*f->trouble)
            snprintf(f->trouble, sizeof f->trouble, "%.255s", why ? why : file);
        return false;
    }
    struct link_map *map = NULL;
    f->out->handle = handle;
    snprintf(f->out->path, sizeof f->out->path, "%.511s",
             !dlinfo(handle, RTLD_DI_LINKMAP, &map) && map && *map->l_name ? map->l_name : file);
    return true;
}

// FOLDER empty: the names' own, or the loader's path.
static bool try_folder(search *f, const char *folder) {
    char file[PATH_MAX];
    for (const char *const *name = f->kind->names; *name; name++) {
        const char *last = strrchr(*name, '/');
        int length = snprintf(file, sizeof file, "%s%s%s", folder, *folder ? "/" : "",
                              *folder && last ? last + 1 : *name);
        if (length < (int)sizeof file && try_file(f, file)) return true;
    }
    return false;
}

// Folders by PATTERN, the last first: so the highest version of several wins.
static bool try_pattern(search *f, const char *pattern) {
    glob_t found;
    bool done = false;
    if (glob(pattern, GLOB_ONLYDIR, NULL, &found)) return false;
    for (size_t i = found.gl_pathc; i > 0 && !done; i--)
        done = try_folder(f, found.gl_pathv[i - 1]);
    globfree(&found);
    return done;
}

// Folders in LIST, separated by colons.
static bool try_list(search *f, const char *list) {
    char folder[PATH_MAX];
    while (list && *list) {
        size_t length = strcspn(list, ":");
        if (length && length < sizeof folder) {
            memcpy(folder, list, length);
            folder[length] = 0;
            if (try_folder(f, folder)) return true;
        }
        list += length + (list[length] == ':');
    }
    return false;
}

static bool try_named_folder(search *f, const char *variable, const char *below) {
    char folder[PATH_MAX], words[PATH_MAX + 64];
    const char *value = getenv(variable);
    if (!value || !*value) return false;
    snprintf(folder, sizeof folder, "%s/%s", value, below);
    snprintf(words, sizeof words, "%s of %s", below, variable);
    say(f->places, sizeof f->places, words);
    return try_folder(f, folder);
}

// Wheels keep a library in PREFIX/lib/python3.N/site-packages/nvidia/PART/lib.
static bool try_wheels(search *f, const char *prefix) {
    static const char *const folder[] = {
        "lib/python3*/site-packages", "lib64/python3*/site-packages", "lib/python3*/dist-packages"};
    char pattern[PATH_MAX], words[PATH_MAX];
    if (!prefix || !*prefix) return false;
    snprintf(words, sizeof words, "%s/lib/python3*/*-packages/nvidia/*/lib", prefix);
    if (!strstr(f->places, words)) say(f->places, sizeof f->places, words);
    for (size_t i = 0; i < sizeof folder / sizeof *folder; i++) {
        int length = snprintf(pattern, sizeof pattern, "%s/%s/nvidia/*/lib", prefix, folder[i]);
        if (length < (int)sizeof pattern && try_pattern(f, pattern)) return true;
    }
    return false;
}

// Cuts "/NAME" from the end of PATH twice: BIN/python3 stands in PREFIX/bin.
static bool prefix_of(char *path) {
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(path, '/');
        if (!slash) return false;
        *slash = 0;
    }
    return true;
}

// The environment of the first python3 on PATH: as it is called (an environment's bin/python3 is a
// link out of it) and as it is. Debian's has its packages below /usr/local.
static bool try_python(search *f) {
    char file[PATH_MAX], real[PATH_MAX];
    for (const char *path = getenv("PATH"); path && *path;) {
        size_t length = strcspn(path, ":");
        int written = snprintf(file, sizeof file, "%.*s/python3", (int)length, path);
        path += length + (path[length] == ':');
        if (!length || written >= (int)sizeof file || access(file, X_OK)) continue;
        bool has_real = realpath(file, real) && prefix_of(real);
        if (prefix_of(file) && try_wheels(f, file)) return true;
        if (has_real && strcmp(real, file) && try_wheels(f, real)) return true;
        return has_real && !strcmp(real, "/usr") && try_wheels(f, "/usr/local");
    }
    return false;
}

static bool try_home(search *f) {
    char prefix[PATH_MAX];
    const char *home = getenv("HOME");
    if (!home || !*home) return false;
    snprintf(prefix, sizeof prefix, "%s/.local", home);
    return try_wheels(f, prefix);
}

static bool try_toolkit(search *f) {
    if (try_named_folder(f, "CUDA_HOME", "lib64") || try_named_folder(f, "CUDA_PATH", "lib64"))
        return true;
    say(f->places, sizeof f->places, "/usr/local/cuda*/lib64");
    return try_folder(f, "/usr/local/cuda/lib64") || try_pattern(f, "/usr/local/cuda*/lib64");
}

static bool try_everything(search *f) {
    const char *asked = getenv("RADIALOG_LIBRARIES");
    if (asked && *asked) {
        say(f->places, sizeof f->places, "RADIALOG_LIBRARIES");
        if (try_list(f, asked)) return true;
    }
    if (*f->kind->names[0] == '/') say(f->places, sizeof f->places, f->kind->names[0]);
    say(f->places, sizeof f->places, "the loader's path");
    if (try_folder(f, "")) return true;
    if (!f->kind->nvidia) return false;
    return try_toolkit(f) || try_wheels(f, getenv("VIRTUAL_ENV")) ||
           try_wheels(f, getenv("CONDA_PREFIX")) || try_python(f) || try_home(f);
}

status library_open(library *out, const library_kind *kind) {
    search f = {.out = out, .kind = kind};
    *out = (library){0};
    if (try_everything(&f)) return STATUS_OK;
    if (*f.trouble)
        return status_fail(STATUS_DEVICE,
                           "%s was found and cannot be loaded: %s (looked in: %s); %s", kind->title,
                           f.trouble, f.places, kind->advice);
    return status_fail(STATUS_DEVICE,
                       "%s (%s) was not found; looked in: %s; %s, or name its folder in "
                       "RADIALOG_LIBRARIES",
                       kind->title, kind->names[0], f.places, kind->advice);
}

void library_close(library *l) {
    if (l->handle) dlclose(l->handle);
    *l = (library){0};
}

status library_symbols(const library *l, const library_kind *kind, const library_symbol *list,
                       size_t count, void *table) {
    for (size_t i = 0; i < count; i++) {
        void *found = dlsym(l->handle, list[i].name);
        if (!found)
            return status_fail(STATUS_DEVICE,
                               "%s: %s lacks %s: it is older than this program needs; %s",
                               kind->title, l->path, list[i].name, kind->advice);
        // C has no conversion from data to function pointers; POSIX says that the bytes are the
        // same.
        memcpy((char *)table + list[i].offset, &found, sizeof found);
    }
    return STATUS_OK;
}
