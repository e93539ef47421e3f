// Runs kernels block by block, thread by thread; see include/cuda_shim.h.
#include "tests/shim/fiber.h"

#include <cuda_shim.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

extern "C" {
#include "tests/shim/shim.h"
}

const shim_thread *shim_now;

enum waiting { RUNS, AT_BARRIER, IN_WARP, ENDED };

struct touched { // one number in shared memory
    uint64_t written, read; // when last: a count of barriers
    int writer, reader;     // which thread; SEVERAL readers
};
enum { SEVERAL = -1 };

struct shim_memory {
    std::vector<uint64_t> bytes; // aligned for any element
    std::vector<touched> who;
};

struct warp {
    uint64_t value[2][32]; // of this exchange and of the one before, which some may still be reading
    uint64_t exchanges;
    int arrived;
    shim_place place;
};

struct running {
    shim_thread id;
    fiber *f;
    waiting state;
    uint64_t exchange; // the one it waits for
    shim_place place;  // where it waits
};

static struct {
    const char *name; // of the launch
    shim_body body;
    void *context;
    std::vector<running> thread;
    std::vector<warp> warps;
    int now;
    uint64_t barriers;    // since the program began; never 0 while a block runs
    uint64_t block_began; // at which of them
    uint64_t block;       // number of the block since the program began
    size_t shared;        // bytes that this launch's sites take
    bool reverse, catching;
    std::string caught;
} shim;

// --- what is found wrong -----------------------------------------------------------------------------
__attribute__((format(printf, 1, 2))) static void report(const char *format, ...) {
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    int used = snprintf(text, sizeof text, "kernel %s, block (%u, %u, %u): ", shim.name,
                        shim.thread.empty() ? 0 : shim.thread[0].id.block.x,
                        shim.thread.empty() ? 0 : shim.thread[0].id.block.y,
                        shim.thread.empty() ? 0 : shim.thread[0].id.block.z);
    vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
    va_end(arguments);
    if (!shim.catching) {
        fprintf(stderr, "shim: %s\n", text);
        abort();
    }
    if (shim.caught.empty()) shim.caught = text;
}

void shim_catch(void) {
    shim.catching = true;
    shim.caught.clear();
}

const char *shim_caught(void) {
    shim.catching = false;
    return shim.caught.c_str();
}

void shim_reverse(bool reverse) {
    shim.reverse = reverse;
}

// --- calls of kernels --------------------------------------------------------------------------------
// Each program leaves the names that it ran in a file, for test_kernel_list.
static std::map<std::string, int64_t> calls;

static void write_calls() {
    std::string path = std::string(SHIM_CALLS) + "/" + program_invocation_short_name;
    FILE *file = fopen(path.c_str(), "w");
    if (!file) {
        fprintf(stderr, "shim: cannot write %s\n", path.c_str());
        abort();
    }
    for (const auto &c : calls) fprintf(file, "%s %lld\n", c.first.c_str(), (long long)c.second);
    fclose(file);
}

[[maybe_unused]] static const int written_at_exit = atexit(write_calls); // even if there were none

void shim_count(const char *function) {
    calls[function]++;
}

int64_t shim_calls(const char *function) {
    auto found = calls.find(function);
    return found == calls.end() ? 0 : found->second;
}

// --- shared memory -----------------------------------------------------------------------------------
void *shim_touch(shim_site *site, int64_t i, bool write) {
    static uint64_t nowhere[2];
    if (site->block != shim.block) { // the block's first use
        if (!site->memory) site->memory = new shim_memory();
        site->memory->bytes.resize((site->count * site->element + 7) / 8);
        site->memory->who.resize(site->count);
        site->block = shim.block;
        shim.shared += (site->count * site->element + 15) / 16 * 16;
        if (shim.shared > 48 << 10) report("%zu bytes of shared memory with %s", shim.shared, site->name);
    }
    const int t = shim.now;
    const shim_place at = site->place;
    if (i < 0 || (size_t)i >= site->count) {
        report("thread %d touches %s[%lld] of %zu (%s:%d)", t, site->name, (long long)i, site->count, at.file,
               at.line);
        return nowhere;
    }
    touched *w = &site->memory->who[(size_t)i];
    bool other_wrote = w->written == shim.barriers && w->writer != t;
    if (write) {
        if (other_wrote)
            report("race: threads %d and %d both write %s[%lld] (%s:%d)", w->writer, t, site->name,
                   (long long)i, at.file, at.line);
        if (w->read == shim.barriers && w->reader != t)
            report("race: thread %d writes %s[%lld], which thread %d reads (%s:%d)", t, site->name,
                   (long long)i, w->reader, at.file, at.line);
        w->written = shim.barriers;
        w->writer = t;
    } else {
        if (w->written < shim.block_began)
            report("thread %d reads %s[%lld] before it is written (%s:%d)", t, site->name, (long long)i,
                   at.file, at.line);
        if (other_wrote)
            report("race: thread %d reads %s[%lld], which thread %d writes (%s:%d)", t, site->name,
                   (long long)i, w->writer, at.file, at.line);
        w->reader = w->read == shim.barriers && w->reader != t ? (int)SEVERAL : t;
        w->read = shim.barriers;
    }
    return reinterpret_cast<char *>(site->memory->bytes.data()) + (size_t)i * site->element;
}

void shim_expect_aligned(const shim_site *site, int64_t from, int count) {
    if (from % count)
        report("thread %d takes %d of %s from %lld on at once (%s:%d)", shim.now, count, site->name,
               (long long)from, site->place.file, site->place.line);
}

// --- waiting -----------------------------------------------------------------------------------------
static void wait_for(waiting what, shim_place place) {
    running *r = &shim.thread[(size_t)shim.now];
    r->state = what;
    r->place = place;
    fiber_stop();
}

void shim_block_sync(shim_place place) {
    wait_for(AT_BARRIER, place);
}

const uint64_t *shim_warp_exchange(uint64_t value, shim_place place) {
    running *r = &shim.thread[(size_t)shim.now];
    warp *w = &shim.warps[(size_t)shim.now / 32];
    uint64_t *values = w->value[w->exchanges % 2];
    if (!w->arrived) w->place = place;
    if (w->place.line != place.line || w->place.file != place.file)
        report("lanes of warp %d meet in different exchanges (%s:%d and %d)", shim.now / 32, place.file,
               w->place.line, place.line);
    values[shim.now % 32] = value;
    r->exchange = w->exchanges;
    if (++w->arrived == 32) {
        w->arrived = 0;
        w->exchanges++;
    } else
        wait_for(IN_WARP, place);
    return values;
}

// --- a block -----------------------------------------------------------------------------------------
static void thread_main(void *context) {
    (void)context;
    shim.body(shim.context);
}

static bool runs(running *r, int t) {
    return r->state == RUNS || (r->state == IN_WARP && shim.warps[(size_t)t / 32].exchanges > r->exchange);
}

// Runs each thread that can go on once; how many could.
static int run_pass() {
    const int n = (int)shim.thread.size();
    int ran = 0;
    for (int i = 0; i < n; i++) {
        const int t = shim.reverse ? n - 1 - i : i;
        running *r = &shim.thread[(size_t)t];
        if (!runs(r, t)) continue;
        shim.now = t;
        shim_now = &r->id;
        r->state = RUNS;
        if (!r->f) r->f = fiber_start(thread_main, nullptr);
        if (fiber_run(r->f)) r->state = ENDED;
        ran++;
    }
    return ran;
}

// All threads that have not ended wait: opens the barrier. False where that cannot go on.
static bool open_barrier() {
    const running *at = nullptr;
    int waiting = 0, n = (int)shim.thread.size();
    for (int t = 0; t < n; t++) {
        const running *r = &shim.thread[(size_t)t];
        if (r->state == IN_WARP) {
            report("thread %d waits for lanes of its warp that do not take part (%s:%d)", t, r->place.file,
                   r->place.line);
            return false;
        }
        if (r->state != AT_BARRIER) continue;
        if (at && (at->place.line != r->place.line || at->place.file != r->place.file)) {
            report("threads wait at different barriers (%s:%d and %d)", r->place.file, at->place.line,
                   r->place.line);
            return false;
        }
        at = r;
        waiting++;
    }
    if (waiting < n) {
        report("only %d of %d threads reach a barrier (%s:%d)", waiting, n, at->place.file, at->place.line);
        return false;
    }
    shim.barriers++;
    for (auto &r : shim.thread) r.state = RUNS;
    return true;
}

static bool all_ended() {
    for (const auto &r : shim.thread)
        if (r.state != ENDED) return false;
    return true;
}

static void run_block(dim3 index) {
    shim.block++;
    shim.block_began = ++shim.barriers;
    shim.shared = 0;
    for (auto &w : shim.warps) w.arrived = 0;
    for (auto &r : shim.thread) {
        r.id.block = index;
        r.f = nullptr;
        r.state = RUNS;
    }
    for (;;) {
        if (run_pass()) continue;
        if (all_ended() || !open_barrier()) break;
    }
    for (auto &r : shim.thread)
        if (r.state != ENDED && r.f) fiber_abandon(r.f);
    shim_now = nullptr;
}

// --- a launch ----------------------------------------------------------------------------------------
static bool fits(dim3 grid, dim3 block, shim_place at) {
    const unsigned threads = block.x * block.y * block.z;
    if (threads == 0 || threads > 1024 || threads % 32 || block.z > 64) {
        report("blocks of %u x %u x %u threads (%s:%d)", block.x, block.y, block.z, at.file, at.line);
        return false;
    }
    if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
        report("a grid of %u x %u x %u blocks (%s:%d)", grid.x, grid.y, grid.z, at.file, at.line);
        return false;
    }
    return true;
}

void shim_launch(stream *s, const char *name, dim3 grid, dim3 block, shim_body body, void *context,
                 shim_place place) {
    (void)s;
    if (!grid.x || !grid.y || !grid.z) return;
    shim.name = name;
    shim.body = body;
    shim.context = context;
    shim.thread.clear();
    if (!fits(grid, block, place)) return;
    for (unsigned z = 0; z < block.z; z++)
        for (unsigned y = 0; y < block.y; y++)
            for (unsigned x = 0; x < block.x; x++) {
                running r = {};
                r.id = {dim3(x, y, z), dim3(), block, grid};
                shim.thread.push_back(r);
            }
    shim.warps.assign(shim.thread.size() / 32, warp());
    const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    for (uint64_t i = 0; i < blocks; i++) {
        const uint64_t b = shim.reverse ? blocks - 1 - i : i;
        run_block(dim3((unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                       (unsigned)(b / grid.x / grid.y)));
    }
}
