#include "train/doctor_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 4096, TEXT_ROOM = 1 << 16 };

// --- files ---------------------------------------------------------------------------------------
// Not blocking: whatever stands there, a doctor must not wait for it.
bool facts_read(char *text, size_t size, const char *root, const char *path) {
    char full[PATH_ROOM];
    size_t used = 0;
    text[0] = 0;
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full) return false;
    int fd = open(full, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    for (ssize_t n; used < size - 1; used += (size_t)n) {
        n = read(fd, text + used, size - 1 - used);
        if (n < 0 && errno == EINTR)
            n = 0;
        else if (n <= 0)
            break;
    }
    close(fd);
    for (size_t i = 0; i < used; i++)
        if (!text[i]) text[i] = ' '; // a NUL must not hide what follows
    text[used] = 0;
    return used > 0;
}

// A whole number from 0 on at TEXT, after blanks; -1 where there is none or it is larger than any
// memory.
static int64_t number_at(const char *text) {
    text += strspn(text, " \t");
    if (*text < '0' || *text > '9') return -1;
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    return errno || value > INT64_MAX / 2 ? -1 : (int64_t)value;
}

// What stands behind KEY at the start of a line; NULL where no line begins so.
static const char *line_of(const char *text, const char *key) {
    size_t length = strlen(key);
    for (const char *at = text; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        if (!strncmp(at, key, length)) return at + length;
    return NULL;
}

static int64_t number_of(const char *text, const char *key) {
    const char *value = line_of(text, key);
    return value ? number_at(value) : -1;
}

static int64_t number_in(const char *root, const char *folder, const char *name) {
    char path[PATH_ROOM], text[64];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return -1;
    return facts_read(text, sizeof text, root, path) ? number_at(text) : -1;
}

// --- control groups ------------------------------------------------------------------------------
typedef struct group_version {
    const char *controllers; // of its line in /proc/self/cgroup: "memory", or "" for version 2
    const char *mount;
} group_version;

static const group_version memory_groups[] = {{"", "/sys/fs/cgroup"},
                                              {"memory", "/sys/fs/cgroup/memory"}};
static const group_version cpu_groups[] = {{"", "/sys/fs/cgroup"}, {"cpu", "/sys/fs/cgroup/cpu"}};

// Whether WORD stands in LIST (LENGTH bytes), which commas divide.
static bool listed(const char *list, size_t length, const char *word) {
    size_t want = strlen(word);
    for (size_t at = 0; at <= length;) {
        const char *comma = memchr(list + at, ',', length - at);
        size_t end = comma ? (size_t)(comma - list) : length;
        if (end - at == want && !memcmp(list + at, word, want)) return true;
        at = end + 1;
    }
    return false;
}

// The folder of this process's group: MOUNT and the path in its line "ID:CONTROLLERS:/PATH". A path
// that climbs out (the process was moved) leaves MOUNT.
static void group_folder(char folder[PATH_ROOM], const group_version *v, const char *root) {
    char text[TEXT_ROOM];
    snprintf(folder, PATH_ROOM, "%s", v->mount);
    facts_read(text, sizeof text, root, "/proc/self/cgroup");
    for (const char *line = text; line && *line;
         line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        size_t length = strcspn(line, "\n");
        const char *first = memchr(line, ':', length);
        const char *second =
            first ? memchr(first + 1, ':', length - (size_t)(first + 1 - line)) : NULL;
        if (!second || !listed(first + 1, (size_t)(second - first - 1), v->controllers)) continue;
        size_t path = length - (size_t)(second + 1 - line);
        if (path < 2 || second[1] != '/' || memmem(second + 1, path, "..", 2)) return;
        if (snprintf(folder, PATH_ROOM, "%s%.*s", v->mount, (int)path, second + 1) >= PATH_ROOM)
            snprintf(folder, PATH_ROOM, "%s", v->mount);
        return;
    }
}

// FOLDER becomes its parent; false at MOUNT, which is the last.
static bool group_parent(char *folder, const char *mount) {
    char *slash = strrchr(folder, '/');
    if (strlen(folder) <= strlen(mount) || !slash || (size_t)(slash - folder) < strlen(mount))
        return false;
    *slash = 0;
    return true;
}

// --- memory --------------------------------------------------------------------------------------
// Larger limits mean none: version 1 writes the largest number that pages can count.
static const int64_t NO_LIMIT = (int64_t)1 << 60;

// Limit of one group and what it has left, in M if less than what stands there.
static void note_group(memory_facts *m, const char *root, const char *folder, bool second) {
    char path[PATH_ROOM], text[TEXT_ROOM] = "";
    int64_t limit = number_in(root, folder, second ? "memory.max" : "memory.limit_in_bytes");
    int64_t used = number_in(root, folder, second ? "memory.current" : "memory.usage_in_bytes");
    if (limit < 0 || limit > NO_LIMIT) return;
    if (snprintf(path, sizeof path, "%s/memory.stat", folder) < (int)sizeof path)
        facts_read(text, sizeof text, root, path);
    int64_t cache = number_of(text, second ? "inactive_file " : "total_inactive_file ");
    if (cache > 0 && used >= 0) used = used > cache ? used - cache : 0;
    int64_t left = used < 0 ? limit : used < limit ? limit - used : 0;
    if (m->limit < 0 || limit < m->limit) m->limit = limit;
    if (m->left < 0 || left < m->left) m->left = left;
}

static int64_t kilobytes(const char *text, const char *key) {
    int64_t value = number_of(text, key);
    return value < 0 || value > INT64_MAX / 2048 ? -1 : 1024 * value;
}

memory_facts facts_memory(const char *root) {
    memory_facts m = {-1, -1, -1, -1, -1};
    char text[TEXT_ROOM], folder[PATH_ROOM];
    facts_read(text, sizeof text, root, "/proc/meminfo");
    m.total = kilobytes(text, "MemTotal:");
    m.available = kilobytes(text, "MemAvailable:");
    if (m.total >= 0 && m.available > m.total) m.available = m.total;
    for (int i = 0; i < 2; i++) {
        const group_version *v = &memory_groups[i];
        group_folder(folder, v, root);
        do note_group(&m, root, folder, i == 0);
        while (group_parent(folder, v->mount));
    }
    m.usable = m.available < 0 || (m.left >= 0 && m.left < m.available) ? m.left : m.available;
    return m;
}

// --- processors ----------------------------------------------------------------------------------
static bool has_word(const char *line, const char *word) {
    size_t length = strlen(word), end = strcspn(line, "\n");
    for (const char *at = line; (at = memmem(at, end - (size_t)(at - line), word, length));
         at += length)
        if ((at == line || at[-1] == ' ' || at[-1] == '\t') &&
            (at[length] == ' ' || at[length] == '\n' || !at[length]))
            return true;
    return false;
}

// Behind the colon of a line of /proc/cpuinfo, at most SIZE - 1 bytes that can be printed.
static void copy_value(char *out, size_t size, const char *value) {
    size_t used = 0;
    out[0] = 0;
    if (!value) return;
    value += strspn(value, " \t:");
    for (; *value && *value != '\n' && used < size - 1; value++)
        if (*value >= ' ' && *value < 127) out[used++] = *value;
    out[used] = 0;
}

// Pairs of package and core, each once. More than fit, or lines without them: 0, unknown.
static int count_cores(const char *text) {
    enum { MOST = 4096 };
    int64_t seen[MOST], package = 0;
    int cores = 0;
    for (const char *at = text; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
        const char *colon = strchr(at, ':');
        if (!colon) break;
        if (!strncmp(at, "physical id", 11)) package = number_at(colon + 1);
        if (strncmp(at, "core id", 7)) continue;
        int64_t core = number_at(colon + 1);
        if (core < 0 || core >= 1 << 20 || package < 0 || package >= 1 << 20) return 0;
        int64_t pair = package * (1 << 20) + core;
        int i = 0;
        while (i < cores && seen[i] != pair) i++;
        if (i < cores) continue;
        if (cores == MOST) return 0;
        seen[cores++] = pair;
    }
    return cores;
}

static double time_quota(const char *root) {
    char folder[PATH_ROOM], path[PATH_ROOM], text[128];
    double least = 0;
    for (int i = 0; i < 2; i++) {
        const group_version *v = &cpu_groups[i];
        group_folder(folder, v, root);
        do {
            int64_t quota = -1, period = -1;
            if (i == 0 && snprintf(path, sizeof path, "%s/cpu.max", folder) < (int)sizeof path &&
                facts_read(text, sizeof text, root, path)) {
                quota = number_at(text);
                period = number_at(text + strcspn(text, " "));
            } else if (i == 1) {
                quota = number_in(root, folder, "cpu.cfs_quota_us");
                period = number_in(root, folder, "cpu.cfs_period_us");
            }
            if (quota <= 0 || period <= 0) continue;
            double share = (double)quota / (double)period;
            if (!(least > 0) || share < least) least = share;
        } while (group_parent(folder, v->mount));
    }
    return least;
}

void facts_cpu(cpu_facts *out, const char *root) {
    enum { CPUINFO_ROOM = 1 << 20 };
    static char text[CPUINFO_ROOM]; // 256 processors say half a megabyte
    *out = (cpu_facts){.quota = time_quota(root)};
    if (!facts_read(text, sizeof text, root, "/proc/cpuinfo")) return;
    copy_value(out->model, sizeof out->model, line_of(text, "model name"));
    for (const char *at = text; (at = line_of(at, "processor"));) out->cpus++;
    out->cores = count_cores(text);
    const char *flags = line_of(text, "flags");
    if (!flags) return;
    out->avx2 = has_word(flags, "avx2");
    out->avx512 = has_word(flags, "avx512f") && has_word(flags, "avx512bw") &&
                  has_word(flags, "avx512dq") && has_word(flags, "avx512vl");
    out->avx512_bf16 = has_word(flags, "avx512_bf16");
    out->amx_bf16 = has_word(flags, "amx_bf16");
}
