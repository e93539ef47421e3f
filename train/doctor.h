// What `radialog doctor` reports: lines of what was looked at, what was found and what to do about
// it, which sections append to one report. train/command_doctor.c prints it.
#pragma once
#include "core/config.h"
#include "eval/table.h"

typedef enum doctor_state {
    DOCTOR_FINE,
    DOCTOR_ADVICE, // training works; it could be better, or a part of it is absent
    DOCTOR_MISSING // training on the CPU does not work without
} doctor_state;

typedef struct doctor {
    const char *root; // before /proc and /sys: "" for this machine
    const config *config;
    const char *section; // of the lines to come
    table table;         // section, what, found, advice
    buffer lines, facts; // JSON: the same lines; numbers by name
    bool missing;        // a line said so
} doctor;

void doctor_open(doctor *d, const char *root, const config *c);
void doctor_free(doctor *d);
// FOUND and ADVICE in text; ADVICE "" becomes "fine".
void doctor_line(doctor *d, doctor_state state, const char *what, const char *found,
                 const char *advice, ...) __attribute__((format(printf, 5, 6)));
// A number for machines alone: not known where below 0.
void doctor_fact(doctor *d, const char *name, double value);

// --- sections ------------------------------------------------------------------------------------
void doctor_processor(doctor *d);
void doctor_gpus(doctor *d);
void doctor_ranks(doctor *d);
void doctor_libraries(doctor *d);
void doctor_memory(doctor *d);
void doctor_limits(doctor *d);
// The speed of products in f32 and bf16, and so which is the precision to train in (train/doctor_products.c). Takes
// some seconds.
void doctor_products(doctor *d);
// Free space and speed where run.dir and data.shards are (train/doctor_disk.c). Takes some seconds.
void doctor_disks(doctor *d);

// --- for tests -----------------------------------------------------------------------------------
// What doctor_products says of measured rates, in GFLOP/s.
void doctor_judge_products(doctor *d, double f32, double bf16);

// --- for doctor_disk.c and its tests -------------------------------------------------------------
typedef struct disk_speed {
    double write, read; // bytes a second; 0: not measured
    bool direct;        // past the page cache
    int error;          // errno of what failed first; 0: nothing
} disk_speed;

// Writes and reads a file in FOLDER that has no name, at most BYTES and about SECONDS for each.
disk_speed disk_measure(const char *folder, size_t bytes, double seconds);
// Reads the file at PATH alone.
disk_speed disk_measure_file(const char *path, size_t bytes, double seconds);
