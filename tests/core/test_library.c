// core/library.h: where libraries are looked for, in which order, and what is said where they are not found.
#include "core/library.h"
#include "tests/core/helper_check.h"
#include "tests/core/tiny_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"libtiny_new.so.2", "libtiny.so.1", NULL};
static const library_kind kind = {"Tiny", names, "install the package tiny", .nvidia = true};

// Folder after folder of PATH, below the scratch folder; the whole path, absolute.
static const char *folder(char out[4096], const char *path) {
    char part[512];
    for (const char *slash = path; slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (*part) mkdir(scratch(part), 0777);
    }
    mkdir(scratch(path), 0777);
    ck_assert_ptr_nonnull(realpath(scratch(path), out));
    return out;
}

static void put(const char *file, const char *in, const char *as) {
    char path[4600];
    snprintf(path, sizeof path, "%s/%s", in, as);
    ck_assert_int_eq(symlink(file, path), 0);
}

static void forget_places(void) {
    static const char *const variable[] = {"RADIALOG_LIBRARIES", "CUDA_HOME", "CUDA_PATH",
                                           "VIRTUAL_ENV", "CONDA_PREFIX"};
    for (size_t i = 0; i < sizeof variable / sizeof *variable; i++) unsetenv(variable[i]);
    setenv("PATH", "/nonexistent", 1);
    setenv("HOME", "/nonexistent", 1);
}

typedef struct functions {
    LIBRARY_POINTER(tiny_number)
    LIBRARY_POINTER(tiny_twice)
} functions;

static const library_symbol symbols[] = {LIBRARY_SYMBOL(functions, tiny_number)
                                             LIBRARY_SYMBOL(functions, tiny_twice)};

// The number of the library that is found now; -1 where none is.
static int found_number(void) {
    library l;
    functions f;
    if (library_open(&l, &kind)) return -1;
    ck_assert_int_eq(library_symbols(&l, &kind, symbols, 2, &f), STATUS_OK);
    ck_assert_int_eq(f.tiny_twice(21), 42);
    ck_assert_str_eq(strrchr(l.path, '/') + 1, names[f.tiny_number() == 1]);
    int number = f.tiny_number();
    library_close(&l);
    ck_assert_ptr_null(l.handle);
    library_close(&l);
    return number;
}

START_TEST(missing) {
    library l;
    forget_places();
    ck_assert_int_eq(found_number(), -1);
    expect_failure(STATUS_DEVICE, STATUS_DEVICE, "missing", "Tiny (libtiny_new.so.2) was not found",
                   "install the package tiny");
    setenv("CUDA_HOME", "/nonexistent/cuda", 1);
    setenv("VIRTUAL_ENV", "/nonexistent/venv", 1);
    static const char *const place[] = {
        "the loader's path", "lib64 of CUDA_HOME", "/usr/local/cuda*/lib64",
        "/nonexistent/venv/lib/python3*/*-packages/nvidia/*/lib", "/nonexistent/.local/lib"};
    for (size_t i = 0; i < sizeof place / sizeof *place; i++)
        expect_failure(library_open(&l, &kind), STATUS_DEVICE, place[i], place[i],
                       "RADIALOG_LIBRARIES");
    ck_assert_ptr_null(l.handle);
}
END_TEST

START_TEST(places) {
    char home[4096], wheel[4096], python[4096], asked[4096], prefix[4096], list[9000];
    forget_places();
    // The python3 on PATH, its prefix's wheels; the older name.
    folder(python, "python/bin");
    put("/bin/true", python, "python3");
    put(TINY_1, folder(wheel, "python/lib/python3.11/site-packages/nvidia/tiny/lib"),
        "libtiny.so.1");
    setenv("PATH", python, 1);
    ck_assert_int_eq(found_number(), 1);
    // An active environment comes first.
    put(TINY_2, folder(wheel, "venv/lib/python3.12/site-packages/nvidia/cu13/lib"),
        "libtiny_new.so.2");
    setenv("VIRTUAL_ENV", folder(prefix, "venv"), 1);
    ck_assert_int_eq(found_number(), 2);
    // The toolkit before any wheel.
    put(TINY_1, folder(home, "cuda/lib64"), "libtiny.so.1");
    setenv("CUDA_HOME", folder(home, "cuda"), 1);
    ck_assert_int_eq(found_number(), 1);
    // What was asked for before anything; an empty and a missing folder in the list do no harm.
    put(TINY_2, folder(asked, "asked"), "libtiny_new.so.2");
    snprintf(list, sizeof list, ":/nonexistent:%s", asked);
    setenv("RADIALOG_LIBRARIES", list, 1);
    ck_assert_int_eq(found_number(), 2);
}
END_TEST

// A library that is not NVIDIA's is not looked for where theirs are, but where the program was built, first.
START_TEST(other_places) {
    static char built[4600];
    static const char *const built_names[] = {built, NULL};
    static const library_kind other = {"Other", built_names, "install it", .plugins = true};
    char place[4096];
    library l;
    forget_places();
    snprintf(built, sizeof built, "%s/libtiny.so.1", folder(place, "built"));
    put(TINY_2, folder(place, "toolkit/lib64"), "libtiny.so.1");
    *strrchr(place, '/') = 0;
    setenv("CUDA_HOME", place, 1);
    expect_failure(library_open(&l, &other), STATUS_DEVICE, "other", "; the loader's path; install it", built);
    put(TINY_1, folder(place, "built"), "libtiny.so.1");
    ck_assert_int_eq(library_open(&l, &other), STATUS_OK);
    ck_assert_str_eq(l.path, built);
    ck_assert_ptr_nonnull(dlsym(RTLD_DEFAULT, "tiny_number"));
    library_close(&l);
    put(TINY_2, folder(place, "asked"), "libtiny.so.1");
    setenv("RADIALOG_LIBRARIES", place, 1);
    ck_assert_int_eq(library_open(&l, &other), STATUS_OK);
    ck_assert_ptr_nonnull(strstr(l.path, "asked/libtiny.so.1"));
    library_close(&l);
}
END_TEST

START_TEST(damaged) {
    char place[4096];
    library l;
    forget_places();
    folder(place, "damaged");
    scratch_write(scratch("damaged/libtiny.so.1"), "not a library", 13);
    setenv("RADIALOG_LIBRARIES", place, 1);
    expect_failure(library_open(&l, &kind), STATUS_DEVICE, "damaged", "found and cannot be loaded",
                   "libtiny.so.1");
}
END_TEST

START_TEST(missing_function) {
    struct {
        LIBRARY_POINTER(tiny_number)
        LIBRARY_POINTER(tiny_absent)
    } f;
    static const library_symbol wanted[] = {{"tiny_number", 0}, {"tiny_absent", sizeof(void *)}};
    char place[4096];
    library l;
    forget_places();
    put(TINY_1, folder(place, "lacking"), "libtiny.so.1");
    setenv("RADIALOG_LIBRARIES", place, 1);
    ck_assert_int_eq(library_open(&l, &kind), STATUS_OK);
    expect_failure(library_symbols(&l, &kind, wanted, 2, &f), STATUS_DEVICE, "lacking",
                   "tiny_absent", "libtiny.so.1");
    library_close(&l);
}
END_TEST

int main(void) {
    return run_suite(
        suite_of("library", (const TTest *const[]){missing, places, other_places, damaged, missing_function, NULL}));
}
