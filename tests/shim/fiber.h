// Fibers: functions with a stack of their own that stop in the middle and go on later. For the shim's
// threads; one operating-system thread runs them all.
#pragma once

struct fiber;

// The stacks are kept and used again: a fiber that ended gives its own back at once.
fiber *fiber_start(void (*run)(void *context), void *context);
// Goes on with F until it calls fiber_stop or ends; returns whether it has ended (F is gone then).
bool fiber_run(fiber *f);
// Called inside a fiber: back to whoever runs it.
void fiber_stop();
// Gives up a fiber that has stopped and will not end. Nothing on its stack is destroyed.
void fiber_abandon(fiber *f);
