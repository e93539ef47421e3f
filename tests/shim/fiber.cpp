// Switches by a few instructions on x86-64 and by ucontext elsewhere. Address sanitizer is told of each switch,
// as it keeps bounds of the stack in use.
#include "tests/shim/fiber.h"

#include <cstdio>
#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

static const size_t STACK = 256 << 10, GUARD = 4096; // address space; pages come when they are touched

struct fiber {
    char *stack; // above a page that may not be touched
    void (*run)(void *context);
    void *context;
    bool ended;
    void *fake; // asan's
#ifdef __x86_64__
    void *sp;
#else
    ucontext_t at;
#endif
};

static std::vector<fiber *> &idle = *new std::vector<fiber *>(); // kept to the end: leak checks find what it holds
static fiber *now;
#ifdef WITH_ASAN
static const void *main_bottom;
static size_t main_size;
static void *main_fake;
#endif
#ifdef __x86_64__
static void *main_sp;
extern "C" void fiber_switch(void **from, void *to);
// Saves what a function must keep, changes stacks, and returns to where the other one was left.
__asm__(".text\n.globl fiber_switch\n.type fiber_switch,@function\nfiber_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size fiber_switch,.-fiber_switch\n");
#else
static ucontext_t main_at;
#endif

static void leave(bool for_good) {
    fiber *f = now;
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(for_good ? nullptr : &f->fake, main_bottom, main_size);
#else
    (void)for_good;
#endif
#ifdef __x86_64__
    fiber_switch(&f->sp, main_sp);
#else
    swapcontext(&f->at, &main_at);
#endif
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(f->fake, &main_bottom, &main_size);
#endif
}

static void entry() {
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &main_bottom, &main_size);
#endif
    now->run(now->context);
    now->ended = true;
    leave(true);
    abort();
}

static fiber *fiber_new() {
    fiber *f = new fiber();
    void *block = mmap(nullptr, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED || mprotect(block, GUARD, PROT_NONE)) {
        perror("a fiber's stack");
        abort();
    }
    f->stack = static_cast<char *>(block) + GUARD;
    return f;
}

fiber *fiber_start(void (*run)(void *context), void *context) {
    fiber *f = idle.empty() ? fiber_new() : idle.back();
    if (!idle.empty()) idle.pop_back();
    f->run = run;
    f->context = context;
    f->ended = false;
    f->fake = nullptr;
#ifdef __x86_64__
    void **top = reinterpret_cast<void **>(f->stack + STACK);
    *--top = nullptr; // where entry would return to; it aligns the stack as a call does
    *--top = reinterpret_cast<void *>(entry);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    f->sp = top;
#else
    getcontext(&f->at);
    f->at.uc_stack.ss_sp = f->stack;
    f->at.uc_stack.ss_size = STACK;
    makecontext(&f->at, entry, 0);
#endif
    return f;
}

bool fiber_run(fiber *f) {
    now = f;
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(&main_fake, f->stack, STACK);
#endif
#ifdef __x86_64__
    fiber_switch(&main_sp, f->sp);
#else
    swapcontext(&main_at, &f->at);
#endif
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(main_fake, nullptr, nullptr);
#endif
    now = nullptr;
    if (f->ended) idle.push_back(f);
    return f->ended;
}

void fiber_stop() {
    leave(false);
}

void fiber_abandon(fiber *f) {
#ifdef WITH_ASAN
    __asan_unpoison_memory_region(f->stack, STACK); // frames that nobody leaves
#endif
    idle.push_back(f);
}
