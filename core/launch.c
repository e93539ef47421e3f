#include "core/launch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Slurm sets SLURM_NTASKS and SLURM_PROCID in batch scripts as well, where one process runs alone: only
// srun sets SLURM_STEP_NUM_TASKS.
static const struct {
    const char *size, *rank, *local_rank, *local_size;
} managers[] = {
    {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"},
};
enum { MANAGERS = sizeof managers / sizeof *managers, MOST_RANKS = 1 << 20 };

static bool is_set(const char *name) {
    const char *text = getenv(name);
    return text && *text;
}

// Slurm writes what stands on several machines as "4(x2),3"; the first number is this one's or
// all's.
static bool may_follow(const char *name, char next) {
    return !next || (!strncmp(name, "SLURM_", 6) && (next == '(' || next == ','));
}

// The whole number that NAME holds.
static status read_number(int *out, const char *name, int least, int most) {
    const char *text = getenv(name);
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || !may_follow(name, *end) || value < least || value > most)
        return status_fail(STATUS_USAGE, "%s=%s: expected a whole number from %d to %d", name, text,
                           least, most);
    *out = (int)value;
    return STATUS_OK;
}

static status read_optional(int *out, const char *name, int least, int most) {
    return is_set(name) ? read_number(out, name, least, most) : STATUS_OK;
}

static status read_manager(launch *l, int i) {
    status rc = read_number(&l->size, managers[i].size, 1, MOST_RANKS);
    if (!rc) rc = read_number(&l->rank, managers[i].rank, 0, l->size - 1);
    if (!rc) rc = read_optional(&l->local_rank, managers[i].local_rank, 0, MOST_RANKS);
    if (!rc) rc = read_optional(&l->local_size, managers[i].local_size, 1, MOST_RANKS);
    l->mpi = l->size > 1;
    return rc;
}

static status read_mpi(launch *l) {
    for (int i = 0; i < MANAGERS; i++)
        if (is_set(managers[i].size) && is_set(managers[i].rank)) return read_manager(l, i);
    if (!is_set("PMIX_RANK")) return STATUS_OK;
    l->mpi = true;
    l->size = 0;
    return read_number(&l->rank, "PMIX_RANK", 0, MOST_RANKS);
}

// Each of SIZE ranks would train alone, all in one folder.
static status refuse_unmet(int size) {
    if (size == 1) return STATUS_OK;
    return status_fail(STATUS_USAGE,
                       "RANK and WORLD_SIZE=%d say not where the ranks meet: set MASTER_ADDR and "
                       "MASTER_PORT, as torchrun does, or RADIALOG_RENDEZVOUS; or unset WORLD_SIZE",
                       size);
}

// torchrun's variables, which also say who is who where a file is given.
static status read_torchrun(launch *l) {
    if (!is_set("RANK") || !is_set("WORLD_SIZE")) return STATUS_OK;
    bool tcp = is_set("MASTER_ADDR") && is_set("MASTER_PORT"), file = is_set("RADIALOG_RENDEZVOUS");
    launch own = {.local_size = 1, .host = getenv("MASTER_ADDR"), .path = getenv("RADIALOG_RENDEZVOUS")};
    if (!tcp && !file && l->mpi) return STATUS_OK;
    status rc = read_number(&own.size, "WORLD_SIZE", 1, MOST_RANKS);
    if (!rc) rc = read_number(&own.rank, "RANK", 0, own.size - 1);
    if (!rc && !tcp && !file) rc = refuse_unmet(own.size);
    own.local_rank = own.rank;
    own.local_size = own.size;
    if (!rc) rc = read_optional(&own.local_rank, "LOCAL_RANK", 0, MOST_RANKS);
    if (!rc) rc = read_optional(&own.local_size, "LOCAL_WORLD_SIZE", 1, MOST_RANKS);
    if (!rc && tcp) rc = read_number(&own.port, "MASTER_PORT", 1, 65535);
    if (rc || own.size == 1) return rc; // left over in many containers: what MPI says counts
    own.file = file;
    own.tcp = tcp;
    // torchrun may itself have been started by srun or mpirun, once per machine: then it knows better.
    own.mpi = l->mpi && l->size == own.size && l->rank == own.rank;
    *l = own;
    return STATUS_OK;
}

status launch_read(launch *out) {
    *out = (launch){.size = 1, .local_size = 1};
    status rc = read_mpi(out);
    return rc ? rc : read_torchrun(out);
}
