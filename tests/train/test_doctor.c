// `radialog doctor`: its report, what it reads of other machines (folders that stand for / with
// /proc and /sys in them), and that nothing such files hold, and no folder, breaks it.
#include "core/files/json.h"
#include "core/gpu.h"
#include "core/rng.h"
#include "tests/train/helper_program.h"
#include "train/config_keys.h"
#include "train/doctor.h"
#include "train/doctor_facts.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char work[256];

static void setup(void) {
    workspace_make(work);
}
static void teardown(void) {
    workspace_remove(work);
}

// --- other machines ------------------------------------------------------------------------------
static void put_bytes(const char *root, const char *path, const void *bytes, size_t size) {
    char full[1024];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(full, 0755);
        *slash = '/';
    }
    FILE *f = fopen(full, "wb");
    ck_assert_msg(f != NULL, "%s", full);
    fwrite(bytes, 1, size, f);
    fclose(f);
}

static void put(const char *root, const char *path, const char *text) {
    put_bytes(root, path, text, strlen(text));
}

// A new root with 8 GB, of which 6 are free.
static void machine(char root[300], const char *name) {
    snprintf(root, 300, "%s/%s", work, name);
    put(root, "/proc/meminfo",
        "MemTotal:        8000000 kB\nMemFree:  1 kB\nMemAvailable:    6000000 kB\n");
}

static void expect_memory(const char *root, int64_t limit, int64_t left, int64_t usable) {
    memory_facts m = facts_memory(root);
    ck_assert_int_eq(m.total, 8192000000);
    ck_assert_int_eq(m.available, 6144000000);
    ck_assert_int_eq(m.limit, limit);
    ck_assert_int_eq(m.left, left);
    ck_assert_int_eq(m.usable, usable);
}

START_TEST(memory_without_groups) {
    char root[300];
    machine(root, "bare");
    expect_memory(root, -1, -1, 6144000000);
    put(root, "/proc/self/cgroup", "0::/\n");
    put(root, "/sys/fs/cgroup/memory.max", "max\n");
    put(root, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    expect_memory(root, -1, -1, 6144000000);
}
END_TEST

// The inner group allows more than the outer one; pages that only cache files count as free.
START_TEST(memory_of_nested_groups) {
    char root[300];
    machine(root, "second");
    put(root, "/proc/self/cgroup", "0::/pods/one\n");
    put(root, "/sys/fs/cgroup/pods/one/memory.max", "4000000000\n");
    put(root, "/sys/fs/cgroup/pods/one/memory.current", "1000000000\n");
    expect_memory(root, 4000000000, 3000000000, 3000000000);
    put(root, "/sys/fs/cgroup/pods/memory.max", "2000000000\n");
    put(root, "/sys/fs/cgroup/pods/memory.current", "1500000000\n");
    expect_memory(root, 2000000000, 500000000, 500000000);
    put(root, "/sys/fs/cgroup/pods/memory.stat",
        "anon 5\ninactive_file 400000000\nactive_file 9\n");
    expect_memory(root, 2000000000, 900000000, 900000000);
    put(root, "/sys/fs/cgroup/pods/memory.current", "2500000000\n");
    expect_memory(root, 2000000000, 0, 0);
}
END_TEST

START_TEST(memory_of_first_version) {
    char root[300];
    machine(root, "first");
    put(root, "/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/box\n3:cpuset:/\n");
    put(root, "/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "3000000000\n");
    put(root, "/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "2000000000\n");
    put(root, "/sys/fs/cgroup/memory/box/memory.stat",
        "inactive_file 9\ntotal_inactive_file 100000000\n");
    expect_memory(root, 3000000000, 1100000000, 1100000000);
    // In a container the path is the host's, and the group's files lie at the mount.
    put(root, "/proc/self/cgroup", "4:memory:/docker/0123\n");
    put(root, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000000\n");
    expect_memory(root, 1000000000, 1000000000, 1000000000);
    put(root, "/proc/self/cgroup", "4:memory:/../../../../etc\n");
    put(root, "/etc/memory.limit_in_bytes", "5\n");
    expect_memory(root, 1000000000, 1000000000, 1000000000);
}
END_TEST

START_TEST(processors) {
    char root[300];
    cpu_facts f;
    machine(root, "cpu");
    put(root, "/proc/cpuinfo",
        "processor\t: 0\nmodel name\t: A \001CPU @ 2 GHz\nphysical id\t: 0\ncore id\t\t: 3\n"
        "flags\t\t: fpu avx2 avx512f avx512bw avx512dq avx512vl_not avx512vl\n\n"
        "processor\t: 1\nmodel name\t: A CPU\nphysical id\t: 0\ncore id\t\t: 3\n\n"
        "processor\t: 2\nphysical id\t: 1\ncore id\t\t: 3\n");
    facts_cpu(&f, root);
    ck_assert_str_eq(f.model, "A CPU @ 2 GHz");
    ck_assert_int_eq(f.cpus, 3);
    ck_assert_int_eq(f.cores, 2);
    ck_assert(f.avx2 && f.avx512 && !f.avx512_bf16 && !f.amx_bf16);
    ck_assert_double_eq(f.quota, 0);
    put(root, "/proc/cpuinfo", "processor : 0\nflags : avx2x xavx2 avx512_bf16\n");
    put(root, "/sys/fs/cgroup/cpu.max", "150000 100000\n");
    facts_cpu(&f, root);
    ck_assert(!f.avx2 && !f.avx512 && f.avx512_bf16 && f.cores == 0);
    ck_assert_double_eq(f.quota, 1.5);
    put(root, "/sys/fs/cgroup/cpu.max", "max 100000\n");
    put(root, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
    put(root, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    facts_cpu(&f, root);
    ck_assert_double_eq(f.quota, 0.5);
}
END_TEST

static const char *const read_files[] = {"/proc/meminfo",
                                         "/proc/cpuinfo",
                                         "/proc/self/cgroup",
                                         "/proc/driver/nvidia/version",
                                         "/sys/fs/cgroup/memory.max",
                                         "/sys/fs/cgroup/memory.current",
                                         "/sys/fs/cgroup/memory.stat",
                                         "/sys/fs/cgroup/cpu.max",
                                         "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                                         "/sys/fs/cgroup/memory/memory.usage_in_bytes",
                                         "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"};
enum { READ_FILES = sizeof read_files / sizeof *read_files };

// Pieces of what these files hold, numbers beyond every type, and bytes.
static size_t hostile_text(char *out, size_t size, rng_key key, uint64_t *draw) {
    static const char *const words[] = {"MemTotal:",
                                        "MemAvailable:",
                                        " ",
                                        "\t",
                                        "\n",
                                        "0::/",
                                        "4:memory:",
                                        "/",
                                        "..",
                                        "processor",
                                        "model name\t: ",
                                        "flags : avx2 ",
                                        "core id : ",
                                        "physical id : ",
                                        "max",
                                        "-1",
                                        "0",
                                        "18446744073709551616",
                                        "9223372036854775807",
                                        "999999999999",
                                        "inactive_file ",
                                        ":",
                                        ",",
                                        "nan",
                                        "1e308",
                                        "0x10",
                                        "%s%n"};
    size_t used = 0, target = rng_below(key, 1, (*draw)++, 3) ? 200 : size - 64;
    while (used < target) {
        uint64_t w = rng_below(key, 1, (*draw)++, sizeof words / sizeof *words + 3);
        if (w < sizeof words / sizeof *words)
            used += (size_t)snprintf(out + used, size - used, "%s", words[w]);
        else
            out[used++] = (char)rng_below(key, 1, (*draw)++, 256);
    }
    return used;
}

static void expect_sane(const char *root) {
    cpu_facts f;
    memory_facts m = facts_memory(root);
    facts_cpu(&f, root);
    const int64_t all[] = {m.total, m.available, m.limit, m.left, m.usable};
    for (size_t i = 0; i < 5; i++) ck_assert_int_ge(all[i], -1);
    ck_assert(m.left <= m.limit || m.limit < 0);
    ck_assert(f.cpus >= 0 && f.cores >= 0 && f.quota >= 0 && isfinite(f.quota));
    ck_assert_uint_lt(strlen(f.model), sizeof f.model);
}

START_TEST(hostile_files) {
    enum { ROUNDS = 300, SIZE = 70000 };
    static char text[SIZE];
    char root[300];
    snprintf(root, sizeof root, "%s/hostile", work);
    rng_key key = {.seed = 7, .site = rng_site("hostile")};
    uint64_t draw = 0;
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = rng_below(key, 1, draw++, READ_FILES);
        put_bytes(root, read_files[i], text, hostile_text(text, sizeof text, key, &draw));
        expect_sane(root);
    }
    program_expect(0, "doctor --root %s --set run.dir=%s --json", root, work);
}
END_TEST

// Neither a folder, nor a pipe that nobody writes, nor a link to itself where a file should be.
START_TEST(not_files) {
    char root[300], path[1024];
    snprintf(root, sizeof root, "%s/odd", work);
    for (size_t i = 0; i < READ_FILES; i++) {
        put(root, read_files[i], "");
        snprintf(path, sizeof path, "%s%s", root, read_files[i]);
        unlink(path);
        ck_assert_int_eq(i % 3 == 0   ? mkdir(path, 0755)
                         : i % 3 == 1 ? mkfifo(path, 0644)
                                      : symlink(path, path),
                         0);
    }
    memory_facts m = facts_memory(root);
    ck_assert(m.total == -1 && m.usable == -1);
    expect_sane(root);
    program_expect(0, "doctor --root %s --set run.dir=%s", root, work);
}
END_TEST

// --- disks ---------------------------------------------------------------------------------------
static int entries(const char *path) {
    int count = 0;
    DIR *folder = opendir(path);
    while (folder && readdir(folder)) count++;
    if (folder) closedir(folder);
    return count;
}

START_TEST(disk_is_measured) {
    char folder[300], file[600];
    snprintf(folder, sizeof folder, "%s/disk", work);
    ck_assert_int_eq(mkdir(folder, 0755), 0);
    disk_speed s = disk_measure(folder, 16 << 20, 1);
    ck_assert_msg(s.error == 0 && s.write > 1e5 && s.read > 1e5, "%s", strerror(s.error));
    ck_assert(isfinite(s.write) && isfinite(s.read));
    ck_assert_int_eq(entries(folder), 2); // "." and ".."
    snprintf(file, sizeof file, "%s/none/at/all", folder);
    ck_assert_int_eq(disk_measure(file, 16 << 20, 1).error, ENOENT);
    ck_assert_int_eq(disk_measure_file(file, 16 << 20, 1).error, ENOENT);
    put(folder, "/file", "a file that is no whole block long");
    snprintf(file, sizeof file, "%s/file", folder);
    s = disk_measure_file(file, 16 << 20, 1);
    ck_assert(s.error == 0 && s.read > 0);
    ck_assert_int_eq(disk_measure(file, 16 << 20, 1).error, ENOTDIR);
}
END_TEST

// --- the command ---------------------------------------------------------------------------------
static json *report(int exit, const char *words) {
    json *j = NULL;
    outcome o = program("doctor --json %s", words);
    ck_assert_msg(o.exit == exit, "doctor %s: exit %d: %s", words, o.exit, o.err);
    ck_assert_msg(json_parse(&j, "doctor", o.out, strlen(o.out), 1) == STATUS_OK, "%s",
                  status_text());
    outcome_free(&o);
    return j;
}

// The member KEY of the line WHAT of PART; fails the test where there is no such line.
static const char *line(const json *j, const char *part, const char *what, const char *key) {
    json_value lines = json_find(json_root(j), "lines");
    for (json_value v = json_first(lines); v.node; v = json_next(v)) {
        const char *its_part, *its_what, *value;
        ck_assert_int_eq(json_member_text(&its_part, v, "part"), STATUS_OK);
        ck_assert_int_eq(json_member_text(&its_what, v, "what"), STATUS_OK);
        if (strcmp(part, its_part) || strcmp(what, its_what)) continue;
        ck_assert_int_eq(json_member_text(&value, v, key), STATUS_OK);
        return value;
    }
    ck_abort_msg("no line %s, %s", part, what);
}

static double fact(const json *j, const char *key) {
    double value;
    json_value v = json_find(json_find(json_root(j), "facts"), key);
    ck_assert_msg(v.node != NULL, "no fact %s", key);
    if (json_kind_of(v) == JSON_NULL) return -1;
    ck_assert_int_eq(json_member_number(&value, json_find(json_root(j), "facts"), key), STATUS_OK);
    return value;
}

static void expect_text(const char *have, const char *part) {
    ck_assert_msg(strstr(have, part) != NULL, "no '%s' in '%s'", part, have);
}

// The faster precision is advised by its rate, whatever instructions there are.
START_TEST(products) {
    static const struct {
        double f32, bf16;
        const char *found, *advice;
    } cases[] = {{300, 180, "300 GFLOP/s in f32, 180 in bf16", "--precision f32 is the faster one"},
                 {300, 320, "300 GFLOP/s in f32, 320 in bf16", "--precision f32 is the faster one"},
                 {220, 420, "220 GFLOP/s in f32, 420 in bf16", "--precision bf16 is the faster one"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        doctor d;
        doctor_open(&d, work, NULL);
        doctor_judge_products(&d, cases[i].f32, cases[i].bf16);
        char found[128];
        snprintf(found, sizeof found, "\"found\":\"%s\"", cases[i].found);
        expect_text(d.lines.data, found);
        expect_text(d.lines.data, cases[i].advice);
        expect_text(d.lines.data, i < 2 ? "\"advice\",\"part\"" : "\"fine\",\"part\"");
        doctor_free(&d);
    }
}
END_TEST

START_TEST(this_machine) {
    char words[600];
    snprintf(words, sizeof words, "--set run.dir=%s/run/deep", work);
    json *j = report(0, words);
    static const char *const libraries[] = {"oneDNN",           "HDF5",     "cJSON", "libdeflate",
                                            "libsentencepiece", "utf8proc", "zlib",  "libjpeg",
                                            "libpng",
                                            "libmicrohttpd"};
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        expect_text(line(j, "libraries", libraries[i], "found"), "built with ");
        ck_assert_str_eq(line(j, "libraries", libraries[i], "state"), "fine");
    }
    ck_assert(fact(j, "cpus") >= 1 && fact(j, "threads") >= 1);
    ck_assert(fact(j, "products_f32") > 1e8);
    ck_assert(fact(j, "products_bf16") > 1e7);
    expect_text(line(j, "CPU", "bf16", "found"), "multiplied as ");
    expect_text(line(j, "CPU", "products", "found"), " GFLOP/s in f32");
    ck_assert(fact(j, "memory_total") > 1e8 && fact(j, "memory_free") <= fact(j, "memory_total"));
    ck_assert(fact(j, "run_free") > 0 && fact(j, "run_write") > 1e5 && fact(j, "run_read") > 1e5);
    const char *cuda = line(j, "CUDA", "CUDA", "found");
    if (!strcmp(cuda, "built")) { // its libraries stand there with or without a GPU
        static const char *const opened[] = {"cuBLASLt", "cuDNN", "NCCL"};
        for (int i = 0; i < 3; i++)
            if (strcmp(line(j, "CUDA", opened[i], "found"), "not usable") != 0)
                expect_text(line(j, "CUDA", opened[i], "found"), "built with ");
    }
    line(j, "ranks", "MPI", "found");
    line(j, "limits", "open files", "found");
    json_close(j);
    snprintf(words, sizeof words, "%s/run", work);
    ck_assert_int_ne(access(words, F_OK), 0); // it makes no folder
    outcome o = program("doctor --set run.dir=%s", work);
    ck_assert_int_eq(o.exit, 0);
    expect_text(o.out, "advice");
    expect_text(o.out, "fine");
    outcome_free(&o);
}
END_TEST

START_TEST(small_machine) {
    char root[300], words[1024];
    machine(root, "small");
    put(root, "/proc/self/cgroup", "0::/\n");
    put(root, "/sys/fs/cgroup/memory.max", "700000000\n");
    put(root, "/sys/fs/cgroup/cpu.max", "100000 100000\n");
    snprintf(words, sizeof words, "--root %s --set run.dir=%s --set run.threads=8", root, work);
    json *j = report(0, words);
    ck_assert_str_eq(line(j, "memory", "free", "state"), "advice");
    expect_text(line(j, "memory", "free", "found"), "0.70 GB");
    expect_text(line(j, "memory", "free", "advice"), "radialog plan");
    ck_assert_double_eq(fact(j, "memory_limit"), 7e8);
    expect_text(line(j, "CPU", "threads", "advice"), "run.threads=1");
    json_close(j);
}
END_TEST

START_TEST(folders) {
    char words[1024], folder[300];
    snprintf(folder, sizeof folder, "%s/closed", work);
    ck_assert_int_eq(mkdir(folder, 0555), 0);
    // Permissions do not bind root, for whom /proc is as closed.
    snprintf(words, sizeof words, "--set run.dir=%s/run", geteuid() ? folder : "/proc");
    json *j = report(1, words);
    ck_assert_str_eq(line(j, "run.dir", "writing", "state"), "missing");
    expect_text(line(j, "run.dir", "writing", "advice"), "choose another run.dir");
    ck_assert_double_eq(fact(j, "run_write"), -1);
    json_close(j);
    outcome o = program("doctor %s", words);
    ck_assert_int_eq(o.exit, 1);
    expect_text(o.err, "training would not work here");
    expect_text(o.out, "cannot write in");
    outcome_free(&o);
    // Nor can a run make a folder below a file.
    snprintf(folder, sizeof folder, "%s/file", work);
    FILE *f = fopen(folder, "w");
    ck_assert(f && !fclose(f));
    const char *const below[] = {"/dev/null/x", folder};
    for (int i = 0; i < 2; i++) {
        snprintf(words, sizeof words, "--set run.dir=%s", below[i]);
        j = report(1, words);
        ck_assert_str_eq(line(j, "run.dir", "folder", "state"), "missing");
        expect_text(line(j, "run.dir", "folder", "advice"), "is no folder: choose another run.dir");
        ck_assert_double_eq(fact(j, "run_write"), -1);
        json_close(j);
    }
    snprintf(words, sizeof words, "--set run.dir=%s --set data.shards=%s/none", work, work);
    j = report(0, words);
    expect_text(line(j, "data.shards", "folder", "advice"), "radialog ingest");
    json_close(j);
    small_shards(work, 6);
    snprintf(words, sizeof words, "--set run.dir=%s --set data.shards=%s/shards", work, work);
    j = report(0, words);
    expect_text(line(j, "data.shards", "reading", "found"), "MB/s");
    ck_assert(fact(j, "shards_read") > 1e4);
    json_close(j);
}
END_TEST

// A GPU that is asked for and not there is missing; one that is not asked for is not.
START_TEST(asked_for_a_gpu) {
    char reason[512];
    if (gpu_count(reason, sizeof reason)) return;
    outcome o = program("doctor --device cuda --set run.dir=%s/run", work);
    ck_assert_msg(o.exit == 1, "exit %d", o.exit);
    expect_text(o.out, "--device cuda: ");
    expect_text(o.err, "training would not work here");
    outcome_free(&o);
    program_expect(0, "doctor --device cpu --set run.dir=%s/run", work);
}
END_TEST

START_TEST(refused) {
    static const char *const words[][2] = {{"doctor me", "unexpected argument 'me'"},
                                           {"doctor --jsn", "did you mean --json?"},
                                           {"doctor --root", "needs a value"},
                                           {"doctor --set run.dri=x", "run.dir"},
                                           {"docter", "did you mean 'radialog doctor'?"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        outcome o = program("%s", words[i][0]);
        ck_assert_msg(o.exit == 2, "%s: exit %d", words[i][0], o.exit);
        expect_text(o.err, words[i][1]);
        outcome_free(&o);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("doctor");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 0);
    tcase_add_unchecked_fixture(all, setup, teardown);
    tcase_add_test(all, memory_without_groups);
    tcase_add_test(all, memory_of_nested_groups);
    tcase_add_test(all, memory_of_first_version);
    tcase_add_test(all, processors);
    tcase_add_test(all, hostile_files);
    tcase_add_test(all, not_files);
    tcase_add_test(all, disk_is_measured);
    tcase_add_test(all, products);
    tcase_add_test(all, this_machine);
    tcase_add_test(all, small_machine);
    tcase_add_test(all, folders);
    tcase_add_test(all, asked_for_a_gpu);
    tcase_add_test(all, refused);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
