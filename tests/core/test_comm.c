// core/launch.h and core/comm.h where one process runs alone; tests/ranks/ has the rest.
#include "core/comm.h"
#include "tests/core/helper_check.h"

#include <stdlib.h>
#include <string.h>

// --- how the process was started ------------------------------------------------------------------
static const char *const variables[] = {
    "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK",
    "OMPI_COMM_WORLD_LOCAL_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK", "MPI_LOCALRANKID",
    "MPI_LOCALNRANKS", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID",
    "SLURM_STEP_TASKS_PER_NODE", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "RADIALOG_RENDEZVOUS",
};

// SETTINGS: "NAME=value NAME=value ..."; all others are unset.
static status read_with(launch *l, const char *settings) {
    char text[512], *rest = NULL;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    ck_assert(strlen(settings) < sizeof text);
    strcpy(text, settings);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *value = strchr(word, '=');
        *value = 0;
        setenv(word, value + 1, 1);
    }
    return launch_read(l);
}

#define TORCHRUN "RANK=3 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=node7 MASTER_PORT=29500 "

static const struct {
    const char *settings;
    bool mpi, tcp, file;
    int rank, size, local_rank, local_size;
} starts[] = {
    {"", false, false, false, 0, 1, 0, 1},
    {"OMPI_COMM_WORLD_SIZE=1 OMPI_COMM_WORLD_RANK=0", false, false, false, 0, 1, 0, 1},
    {"OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_LOCAL_RANK=1 "
     "OMPI_COMM_WORLD_LOCAL_SIZE=2 PMIX_RANK=3", true, false, false, 3, 4, 1, 2},
    {"PMI_SIZE=2 PMI_RANK=1 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=2", true, false, false, 1, 2, 1, 2},
    {"PMIX_RANK=2", true, false, false, 2, 0, 0, 1},
    // sbatch's own script, an interactive shell of srun, and a step of eight.
    {"SLURM_NTASKS=8 SLURM_PROCID=0", false, false, false, 0, 1, 0, 1},
    {"SLURM_NTASKS=8 SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=1", false, false, false, 0, 1, 0, 1},
    {"SLURM_STEP_NUM_TASKS=8 SLURM_PROCID=5 SLURM_LOCALID=1 SLURM_STEP_TASKS_PER_NODE=4(x2)",
     true, false, false, 5, 8, 1, 4},
    {TORCHRUN, false, true, false, 3, 8, 1, 2},
    {"RANK=1 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=1", false, true, false, 1, 2, 1, 2},
    {"RANK=1 WORLD_SIZE=2 RADIALOG_RENDEZVOUS=/x/y", false, false, true, 1, 2, 1, 2},
    {"RANK=0 WORLD_SIZE=1", false, false, false, 0, 1, 0, 1},
    {"RANK=1 WORLD_SIZE=2 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=1", true, false, false, 1, 2, 0, 1},
    {"RANK=1", false, false, false, 0, 1, 0, 1},
    {"RANK=0 WORLD_SIZE=1 MASTER_ADDR=a MASTER_PORT=1", false, false, false, 0, 1, 0, 1},
    // Left over in a container, under mpirun; torchrun once per machine, under srun.
    {"RANK=0 WORLD_SIZE=1 MASTER_ADDR=a MASTER_PORT=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=1",
     true, false, false, 1, 2, 0, 1},
    {TORCHRUN "SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=1", false, true, false, 3, 8, 1, 2},
    {TORCHRUN "OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_RANK=3", true, true, false, 3, 8, 1, 2},
};

START_TEST(launch_reads_what_started_it) {
    launch l;
    ck_assert_int_eq(read_with(&l, starts[_i].settings), STATUS_OK);
    ck_assert_int_eq(l.mpi, starts[_i].mpi);
    ck_assert_int_eq(l.tcp, starts[_i].tcp);
    ck_assert_int_eq(l.file, starts[_i].file);
    ck_assert_int_eq(l.rank, starts[_i].rank);
    ck_assert_int_eq(l.size, starts[_i].size);
    ck_assert_int_eq(l.local_rank, starts[_i].local_rank);
    ck_assert_int_eq(l.local_size, starts[_i].local_size);
}
END_TEST

static const struct {
    const char *settings, *text;
} wrong_starts[] = {
    {"OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=4", "OMPI_COMM_WORLD_RANK=4: expected a whole number from 0 to 3"},
    {"OMPI_COMM_WORLD_SIZE=0 OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=0"},
    {"PMIX_RANK=-1", "PMIX_RANK=-1"},
    {"RANK=x WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=1", "RANK=x"},
    {"RANK=0 WORLD_SIZE=99999999999999999999 MASTER_ADDR=a MASTER_PORT=1", "WORLD_SIZE="},
    {"RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=65536", "MASTER_PORT=65536: expected a whole number from 1 to 65535"},
    {"RANK=0 WORLD_SIZE=2x MASTER_ADDR=a MASTER_PORT=5", "WORLD_SIZE=2x"},
    {"RANK=1(foo WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=5", "RANK=1(foo: expected a whole number"},
    {"RANK=1 WORLD_SIZE=2, MASTER_ADDR=a MASTER_PORT=5", "WORLD_SIZE=2,: expected"},
    {"RANK=1 WORLD_SIZE=2", "set MASTER_ADDR and MASTER_PORT"},
    {"RANK=1 WORLD_SIZE=2 MASTER_ADDR=a", "set MASTER_ADDR and MASTER_PORT"},
};

START_TEST(launch_refuses) {
    launch l;
    ck_assert_int_eq(read_with(&l, wrong_starts[_i].settings), STATUS_USAGE);
    ck_assert_msg(strstr(status_text(), wrong_starts[_i].text), "%s", status_text());
}
END_TEST

// --- the communicator -------------------------------------------------------------------------------
START_TEST(single_is_alone) {
    launch l;
    device *d;
    comm *c;
    float a[3] = {1, 2, 3}, b[3] = {0};
    ck_assert_int_eq(read_with(&l, ""), 0);
    ck_assert_int_eq(device_open_cpu(&d, 1), 0);
    ck_assert_int_eq(comm_open(&c, &l, d, 1), 0);
    ck_assert_str_eq(c->name, "single");
    c->all_reduce_sum(c, a, 3, DTYPE_F32, d);
    c->all_reduce_start(c, a, 3, DTYPE_F32, d);
    c->all_reduce_finish(c, d);
    c->all_gather(c, b, a, 3, DTYPE_F32, d);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert(a[0] == 1 && a[1] == 2 && a[2] == 3);
    b[1] = 7;
    c->reduce_scatter(c, a, b, 3, DTYPE_F32, d);
    ck_assert(a[1] == 7);
    c->reduce_scatter(c, a, a, 3, DTYPE_F32, d);
    c->broadcast(c, a, sizeof a, 0, d);
    c->barrier(c);
    ck_assert_int_eq(c->agree_max(c, -3), -3);
    comm_abort(c, "nobody waits"); // returns
    ck_assert_int_eq(comm_failed(c), STATUS_OK);
    comm_close(c);
    device_close(d);
}
END_TEST

START_TEST(cpu_ranks_need_mpi) {
    launch l;
    device *d;
    comm *c;
    ck_assert_int_eq(read_with(&l, TORCHRUN), 0);
    ck_assert_int_eq(device_open_cpu(&d, 1), 0);
    ck_assert_int_eq(comm_open(&c, &l, d, 1), STATUS_USAGE);
    ck_assert_ptr_null(c);
    ck_assert_msg(strstr(status_text(), "mpirun -n 8"), "%s", status_text());
    device_close(d);
}
END_TEST

START_TEST(shares_cover_all) {
    for (int size = 1; size < 9; size++) {
        for (int64_t n = 0; n < 40; n++) {
            int64_t next = 0, first, largest = comm_share(n, 0, size, NULL);
            for (int rank = 0; rank < size; rank++) {
                int64_t own = comm_share(n, rank, size, &first);
                ck_assert_int_eq(first, next);
                ck_assert(own == largest || own == largest - 1);
                next += own;
            }
            ck_assert_int_eq(next, n);
        }
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("comm");
    TCase *tests = tcase_create("comm");
    tcase_add_loop_test(tests, launch_reads_what_started_it, 0, sizeof starts / sizeof *starts);
    tcase_add_loop_test(tests, launch_refuses, 0, sizeof wrong_starts / sizeof *wrong_starts);
    tcase_add_test(tests, single_is_alone);
    tcase_add_test(tests, cpu_ranks_need_mpi);
    tcase_add_test(tests, shares_cover_all);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
