#include "train/doctor.h"
#include "core/checksum.h"
#include "core/comm_facts.h"
#include "core/files/deflate.h"
#include "core/files/hdf5.h"
#include "core/files/json.h"
#include "core/gpu.h"
#include "core/http_server.h"
#include "core/onednn.h"
#include "data/csv.h"
#include "data/dicom.h"
#include "data/image_codec.h"
#include "data/tokenizer.h"
#include "data/wordpiece.h"
#include "train/doctor_facts.h"

#include <fcntl.h>
#include <omp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

// --- the report ----------------------------------------------------------------------------------
void doctor_open(doctor *d, const char *root, const config *c) {
    *d = (doctor){.root = root, .config = c, .section = ""};
    table_column(&d->table, "part");
    table_column(&d->table, "what");
    table_column(&d->table, "found");
    table_column(&d->table, "advice");
}

void doctor_free(doctor *d) {
    table_free(&d->table);
    buffer_free(&d->lines);
    buffer_free(&d->facts);
}

void doctor_line(doctor *d, doctor_state state, const char *what, const char *found,
                 const char *advice, ...) {
    static const char *const words[] = {"fine", "advice", "missing"};
    char text[512];
    va_list list;
    va_start(list, advice);
    vsnprintf(text, sizeof text, advice, list);
    va_end(list);
    table_text(&d->table, d->section);
    table_text(&d->table, what);
    table_text(&d->table, found);
    table_text(&d->table, *text ? text : "fine");
    const char *const values[] = {d->section, what, found, text}, *const keys[] = {"part", "what",
                                                                                   "found",
                                                                                   "advice"};
    buffer_print(&d->lines, "%s\n    {\"state\":\"%s\"", d->lines.length ? "," : "", words[state]);
    for (int i = 0; i < 4; i++) {
        buffer_print(&d->lines, ",\"%s\":", keys[i]);
        buffer_json(&d->lines, values[i]);
    }
    buffer_text(&d->lines, "}");
    if (state == DOCTOR_MISSING) d->missing = true;
}

void doctor_fact(doctor *d, const char *name, double value) {
    buffer_print(&d->facts, "%s\"%s\":", d->facts.length ? "," : "", name);
    if (!(value >= 0 && value < 1e18))
        buffer_text(&d->facts, "null");
    else
        buffer_print(&d->facts, "%.0f", value);
}

// --- the processor and its threads ---------------------------------------------------------------
static const char *compiled_for(void) {
#if defined __AVX512F__
    return "AVX-512";
#elif defined __AVX2__
    return "AVX2";
#else
    return "any processor of its kind";
#endif
}

// Those that this process may run on.
static int usable_cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return (int)sysconf(_SC_NPROCESSORS_ONLN);
    return CPU_COUNT(&set);
}

static void instructions(doctor *d, const cpu_facts *f) {
    char found[128];
    snprintf(found, sizeof found, "%s%s%s%s%s", f->avx2 ? "AVX2" : "", f->avx512 ? ", AVX-512" : "",
             f->avx512_bf16 ? ", AVX-512 BF16" : "", f->amx_bf16 ? ", AMX BF16" : "",
             f->avx2 || f->avx512 ? "" : "neither AVX2 nor AVX-512 known");
    doctor_line(d, f->avx2 ? DOCTOR_FINE : DOCTOR_ADVICE, "instructions", found, "%s",
                f->avx2 ? "" : "training works, several times slower than with AVX2");
    doctor_line(d, DOCTOR_FINE, "bf16", onednn_bf16_is_fast() ? "multiplied as such" : "multiplied as f32", "%s", "");
    bool wider = f->avx512 && strcmp(compiled_for(), "AVX-512");
    doctor_line(d, wider ? DOCTOR_ADVICE : DOCTOR_FINE, "compiled for", compiled_for(), "%s",
                wider ? "scripts/build.sh on this machine uses its AVX-512" : "");
}

static void environment(doctor *d) {
    static const char *const names[] = {
        "OMP_NUM_THREADS",    "OMP_PROC_BIND",    "OMP_PLACES",
        "OMP_WAIT_POLICY",    "OMP_DYNAMIC",      "GOMP_CPU_AFFINITY",
        "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MALLOC_ARENA_MAX"};
    buffer text = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            buffer_print(&text, "%s%s=%.40s", text.length ? " " : "", names[i], getenv(names[i]));
    bool narrowed = getenv("ONEDNN_MAX_CPU_ISA") || getenv("DNNL_MAX_CPU_ISA");
    doctor_line(d, narrowed ? DOCTOR_ADVICE : DOCTOR_FINE, "set in the environment",
                text.length ? text.data : "nothing", "%s",
                narrowed ? "oneDNN is kept from instructions that the processor has" : "");
    if (text.failed) d->lines.failed = text.failed;
    buffer_free(&text);
}

static void threads(doctor *d, const cpu_facts *f, int cpus) {
    int64_t set = config_int(d->config, "run.threads");
    int count = set ? (int)set : omp_get_max_threads();
    char found[64];
    snprintf(found, sizeof found, "%d", count);
    doctor_fact(d, "threads", count);
    if (f->quota > 0 && count > f->quota + 0.5)
        doctor_line(d, DOCTOR_ADVICE, "threads", found,
                    "the control group allows %.1f processors' time: --set "
                    "run.threads=%.0f",
                    f->quota, f->quota < 1 ? 1 : f->quota);
    else if (count > cpus)
        doctor_line(d, DOCTOR_ADVICE, "threads", found,
                    "more than the %d processors there are: they wait for "
                    "each other; --set run.threads=%d",
                    cpus, cpus);
    else
        doctor_line(d, DOCTOR_FINE, "threads", found, "%s", "");
}

void doctor_processor(doctor *d) {
    cpu_facts f;
    char found[128];
    int cpus = usable_cpus(), used = 0;
    d->section = "CPU";
    facts_cpu(&f, d->root);
    doctor_line(d, DOCTOR_FINE, "model", *f.model ? f.model : "unknown", "%s", "");
    if (f.cores) used = snprintf(found, sizeof found, "%d cores, ", f.cores);
    used += snprintf(found + used, sizeof found - (size_t)used,
                     "%d processors, %d for this process", f.cpus ? f.cpus : cpus, cpus);
    if (f.quota > 0) snprintf(found + used, sizeof found - (size_t)used, ", %.1f by time", f.quota);
    doctor_line(d, DOCTOR_FINE, "processors", found, "%s", "");
    doctor_fact(d, "cpus", cpus);
    doctor_fact(d, "cores", f.cores ? f.cores : -1);
    instructions(d, &f);
    threads(d, &f, cpus);
    environment(d);
}

// --- GPUs ----------------------------------------------------------------------------------------
static void driver(doctor *d, bool built) {
    char text[512];
    bool there = facts_read(text, sizeof text, d->root, "/proc/driver/nvidia/version");
    text[strcspn(text, "\n")] = 0;
    if (built || there)
        doctor_line(d, there || !built ? DOCTOR_FINE : DOCTOR_ADVICE, "driver",
                    there ? text : "none", "%s",
                    there ? built ? "" : "scripts/build.sh cuda-release builds for the GPU"
                          : "install NVIDIA's driver to use a GPU");
}

// What a GPU is used with, also where there is none: what is missing is known before one comes.
static void gpu_libraries(doctor *d, bool asked) {
    char found[640];
    gpu_library l;
    for (int i = 0; i < GPU_LIBRARIES; i++) {
        if (gpu_library_find(&l, i)) {
            bool misses = asked && strcmp(l.name, "NCCL") != 0; // which one rank goes without
            doctor_line(d, misses ? DOCTOR_MISSING : DOCTOR_ADVICE, l.name, "not usable", "%s",
                        status_text());
            continue;
        }
        const int *v = l.facts.version, *built = l.facts.built;
        // Within a major number newer ones do what older ones did.
        const bool fits = v[0] == built[0] && (v[1] > built[1] || (v[1] == built[1] && v[2] >= built[2]));
        snprintf(found, sizeof found, "%d.%d.%d, built with %d.%d.%d, %s", v[0], v[1], v[2], built[0], built[1],
                 built[2], l.facts.path);
        if (fits)
            doctor_line(d, DOCTOR_FINE, l.name, found, "%s", "");
        else
            doctor_line(d, DOCTOR_ADVICE, l.name, found, "the program wants %d.%d.%d or a later %d: install it, or "
                        "build again on this machine", built[0], built[1], built[2], built[0]);
    }
}

void doctor_gpus(doctor *d) {
    char reason[512] = "", what[32], found[400];
    gpu_facts g;
    bool built = !strcmp(gpu_build, "built");
    bool asked = !strcmp(config_text(d->config, "run.device"), "cuda");
    d->section = "CUDA";
    doctor_line(d, DOCTOR_FINE, "CUDA", gpu_build, "%s", "");
    driver(d, built);
    if (built) gpu_libraries(d, asked);
    int count = gpu_count(reason, sizeof reason);
    doctor_fact(d, "gpus", count);
    // A GPU that nobody asks for may be missing.
    if (!count && (built || asked))
        doctor_line(d, asked ? DOCTOR_MISSING : DOCTOR_ADVICE, "GPUs", "none", "%s%s",
                    asked ? "--device cuda: " : "", reason);
    for (int i = 0; i < count; i++) {
        snprintf(what, sizeof what, "GPU %d", i);
        if (gpu_describe(&g, i)) {
            doctor_line(d, DOCTOR_ADVICE, what, "does not answer", "%s", status_text());
            continue;
        }
        snprintf(found, sizeof found,
                 "%s, %.1f GB, %.1f GB free, compute capability %d.%d, CUDA %d.%d (driver "
                 "%d.%d)",
                 g.name, 1e-9 * (double)g.memory, 1e-9 * (double)g.free, g.sm / 10, g.sm % 10,
                 g.runtime / 1000, g.runtime % 1000 / 10, g.driver / 1000, g.driver % 1000 / 10);
        bool busy = (double)g.free < 0.9 * (double)g.memory;
        doctor_line(d, busy ? DOCTOR_ADVICE : DOCTOR_FINE, what, found, "%s",
                    busy ? "another program uses some of its memory" : "");
    }
}

// --- ranks ---------------------------------------------------------------------------------------
// The folder of PATH that holds NAME, as "FOLDER/NAME"; "" where none does.
static void find_program(char *out, size_t size, const char *name) {
    const char *path = getenv("PATH");
    for (const char *at = path ? path : ""; *at;) {
        size_t length = strcspn(at, ":");
        int needed = snprintf(out, size, "%.*s/%s", (int)length, at, name);
        if (length && needed < (int)size && !access(out, X_OK)) return;
        at += length + (at[length] == ':');
    }
    *out = 0;
}

// What PROGRAM --version writes first, within two seconds; "" where it says nothing.
static void first_words(char *out, size_t size, const char *program) {
    char *const words[] = {(char *)(uintptr_t)program, "--version", NULL};
    int ends[2];
    size_t used = 0;
    pid_t child = -1;
    posix_spawn_file_actions_t actions;
    out[0] = 0;
    if (pipe2(ends, O_CLOEXEC)) return;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&child, program, &actions, NULL, words, environ)) child = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    struct pollfd wait = {.fd = ends[0], .events = POLLIN};
    for (ssize_t n = 1; child > 0 && n > 0 && used < size - 1 && !memchr(out, '\n', used);
         used += (size_t)n) {
        n = poll(&wait, 1, 2000) == 1 ? read(ends[0], out + used, size - 1 - used) : 0;
        if (n < 0) n = 0;
    }
    close(ends[0]);
    if (child > 0) kill(child, SIGKILL);
    if (child > 0) waitpid(child, NULL, 0);
    out[used] = 0;
    out[strcspn(out, "\n")] = 0;
}

void doctor_ranks(doctor *d) {
    comm_facts f;
    char path[4096], version[128] = "";
    d->section = "ranks";
    comm_describe(&f);
    bool built = !strncmp(f.mpi, "built", 5);
    find_program(path, sizeof path, "mpirun");
    doctor_line(d, f.broken ? DOCTOR_ADVICE : DOCTOR_FINE, "MPI", f.mpi, "%s", built ? "" : "one rank trains without");
    if (built) doctor_line(d, DOCTOR_FINE, "its library", f.library, "%s", "");
    if (*path) first_words(version, sizeof version, path);
    bool lacks = built && !*path;
    doctor_line(d, lacks ? DOCTOR_ADVICE : DOCTOR_FINE, "mpirun",
                *version ? version
                : *path  ? path
                         : "not in PATH",
                "%s",
                lacks ? "several ranks on CPUs are started by it: install it, or put it in PATH"
                      : "");
}

// --- libraries -----------------------------------------------------------------------------------
// Whether the first PARTS numbers of both are the same.
static bool same_start(const char *a, const char *b, int parts) {
    for (; *a && *a == *b; a++, b++)
        if (*a == '.' && !--parts) return true;
    return parts <= 1 && (!*a || *a == '.') && (!*b || *b == '.');
}

static void library_line(doctor *d, const char *name, library_version v, int parts) {
    char found[128];
    bool fits = !*v.found || same_start(v.found, v.built, parts);
    snprintf(found, sizeof found, "%s, built with %s", *v.found ? v.found : "present", v.built);
    doctor_line(d, fits ? DOCTOR_FINE : DOCTOR_MISSING, name, found, "%s",
                fits ? "" : "the program was built with another: build it again on this machine");
}

// How much of a version must agree is each project's own promise: HDF5 stops programs over a minor
// number.
void doctor_libraries(doctor *d) {
    d->section = "libraries";
    library_line(d, "oneDNN", onednn_version(), 1);
    library_line(d, "HDF5", hdf5_version(), 2);
    library_line(d, "cJSON", json_version(), 1);
    library_line(d, "libdeflate", deflate_version(), 1);
    library_line(d, "libsentencepiece", tokenizer_sentencepiece_version(), 1);
    library_line(d, "utf8proc", wordpiece_utf8proc_version(), 1);
    library_line(d, "zlib", csv_zlib_version(), 1);
    library_line(d, "libjpeg", image_jpeg_version(), 1);
    library_line(d, "libpng", image_png_version(), 2);
    library_line(d, "libmicrohttpd", http_server_version(), 2);
    if (*dicom_built()) library_line(d, "DCMTK", version_texts("", dicom_built()), 2);
}

// --- memory and limits ---------------------------------------------------------------------------
static void gigabytes(char text[64], int64_t bytes) {
    if (bytes < 0)
        snprintf(text, 64, "unknown");
    else
        snprintf(text, 64, "%.2f GB", 1e-9 * (double)bytes);
}

void doctor_memory(doctor *d) {
    memory_facts m = facts_memory(d->root);
    char text[64];
    d->section = "memory";
    gigabytes(text, m.total);
    doctor_line(d, DOCTOR_FINE, "of the machine", text, "%s", "");
    if (m.limit >= 0) {
        gigabytes(text, m.limit);
        doctor_line(d, DOCTOR_FINE, "limit of the control group", text, "%s", "");
    }
    gigabytes(text, m.usable);
    bool little = m.usable >= 0 && m.usable < (int64_t)2 << 30;
    doctor_line(d, little ? DOCTOR_ADVICE : DOCTOR_FINE, "free", text, "%s",
                m.usable < 0 ? "radialog plan tells what a run takes"
                : little     ? "little: radialog plan tells whether a run fits"
                             : "");
    doctor_fact(d, "memory_total", (double)m.total);
    doctor_fact(d, "memory_limit", (double)m.limit);
    doctor_fact(d, "memory_free", (double)m.usable);
}

static void limit_text(char text[64], rlim_t value, double unit, const char *name) {
    if (value == RLIM_INFINITY)
        snprintf(text, 64, "unlimited");
    else
        snprintf(text, 64, unit > 1 ? "%.1f%s" : "%.0f%s", (double)value / unit, name);
}

void doctor_limits(doctor *d) {
    static const rlim_t FILES_NEEDED = 1024, LOCKED_NEEDED = (rlim_t)64 << 20;
    struct rlimit limit;
    struct statvfs shared;
    char text[64];
    d->section = "limits";
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit_text(text, limit.rlim_cur, 1, "");
        bool few = limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < FILES_NEEDED;
        doctor_line(d, few ? DOCTOR_ADVICE : DOCTOR_FINE, "open files", text, "%s",
                    few ? "each shard takes one: ulimit -n 1024" : "");
        doctor_fact(d, "open_files", limit.rlim_cur == RLIM_INFINITY ? -1 : (double)limit.rlim_cur);
    }
    if (!getrlimit(RLIMIT_MEMLOCK, &limit)) {
        limit_text(text, limit.rlim_cur, 1e6, " MB");
        bool little = limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < LOCKED_NEEDED;
        doctor_line(
            d, DOCTOR_FINE, "locked memory", text, "%s",
            little ? "enough for one machine; InfiniBand between machines wants ulimit -l unlimited"
                   : "");
    }
    if (!statvfs("/dev/shm", &shared)) {
        int64_t bytes = (int64_t)shared.f_bavail * (int64_t)shared.f_frsize;
        gigabytes(text, bytes);
        bool little = bytes < (int64_t)64 << 20;
        doctor_line(
            d, little ? DOCTOR_ADVICE : DOCTOR_FINE, "shared memory, /dev/shm", text, "%s",
            little
                ? "ranks on one machine talk through it: start the container with more (--shm-size)"
                : "");
    }
}
