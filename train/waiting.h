// How OpenMP's threads wait for each other.
#pragma once

// GNU's OpenMP lets threads spin for milliseconds at the end of each loop. On a machine with other work
// to do that makes a step up to ten times as long, as the thread that is waited for does not get the
// core (docs/benchmarks.md). The library reads its settings before main, so the program is started again
// with a short wait, once; a setting of the user's own stands. Call first; returns where nothing is to do.
void waiting_set(char **argv);
