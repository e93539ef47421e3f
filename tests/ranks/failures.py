#!/usr/bin/env python3
"""What happens to ranks when one of them is killed, stopped, does not come, or gives up.

    failures.py mpi|tcp|file PROGRAM [CASE...]     PROGRAM is ranks_failing, built for MPI or for NCCL

Exit status 1, with all that the ranks have said, where something is not as it must be."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

RANKS = 3
HERE = os.path.dirname(os.path.abspath(__file__))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Ranks:
    """RANKS processes, started by mpirun or one by one."""

    def __init__(self, kind, program, arguments):
        self.lines, self.pids, self.lock = [], {}, threading.Lock()
        self.folder = tempfile.TemporaryDirectory()
        if kind == "mpi":
            commands = [[os.path.join(HERE, "mpirun.sh"), str(RANKS), program] + arguments]
            environments = [dict(os.environ)]
        else:
            where = ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())} if kind == "tcp"
                     else {"RADIALOG_RENDEZVOUS": os.path.join(self.folder.name, "meet")})
            commands = [[program] + arguments] * RANKS
            environments = [dict(os.environ, RANK=str(r), WORLD_SIZE=str(RANKS), **where)
                            for r in range(RANKS)]
        self.processes = [
            subprocess.Popen(c, env=e, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for c, e in zip(commands, environments)]
        self.readers = [threading.Thread(target=self.read, args=(p,)) for p in self.processes]
        for reader in self.readers:
            reader.start()

    def read(self, process):
        for line in process.stdout:
            with self.lock:
                self.lines.append(line.rstrip("\n"))
                match = re.match(r"rank (\d+) pid (\d+)$", line)
                if match:
                    self.pids[int(match.group(1))] = int(match.group(2))

    def wait_for_pids(self):
        end = time.monotonic() + 60
        while len(self.pids) < RANKS:
            if time.monotonic() > end:
                self.fail("the ranks did not meet")
            time.sleep(0.02)
        time.sleep(0.3)  # into the loop

    def codes(self, seconds, but=None):
        """Exit statuses of all processes but rank BUT's (which is killed where it was started alone)."""
        end = time.monotonic() + seconds
        codes = []
        for rank, process in enumerate(self.processes):
            if but is not None and rank == but and len(self.processes) > 1:
                continue
            try:
                codes.append(process.wait(max(0.01, end - time.monotonic())))
            except subprocess.TimeoutExpired:
                self.fail("still running after %g seconds" % seconds)
        self.kill()
        for reader in self.readers:
            reader.join()
        for rank, pid in self.pids.items():
            while os.path.exists("/proc/%d" % pid) and time.monotonic() < end + 5:
                time.sleep(0.02)
            if os.path.exists("/proc/%d" % pid):
                self.fail("rank %d lives on" % rank)
        return codes

    def kill(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def fail(self, text):
        for pid in self.pids.values():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.kill()
        print("failed: %s; the ranks said:\n  %s" % (text, "\n  ".join(self.lines)))
        os._exit(1)

    def own_lines(self):
        return [line for line in self.lines if line.startswith("radialog: ")]

    def demand_lines(self, ranks, pattern):
        """One line of each of RANKS, and no more, which fits PATTERN."""
        for line in self.own_lines():
            if not re.fullmatch(r"radialog: rank (\d) of %d: %s" % (RANKS, pattern), line):
                self.fail("unexpected: " + line)
        said = sorted(int(line.split()[2]) for line in self.own_lines())
        if said != sorted(ranks):
            self.fail("expected one line of each of the ranks %s" % sorted(ranks))


OPERATION = r"(all_reduce_sum|all_reduce_start|all_reduce_finish|agree_max|recorded step|after operation) \d+"


def demand(ranks, condition, text):
    if not condition:
        ranks.fail(text)


def case_kill(kind, program):
    for victim in 0, 1:
        ranks = Ranks(kind, program, ["loop", "60"])
        ranks.wait_for_pids()
        start = time.monotonic()
        os.kill(ranks.pids[victim], signal.SIGKILL)
        codes = ranks.codes(15, but=victim)
        demand(ranks, all(code != 0 for code in codes), "exit statuses %s" % codes)
        demand(ranks, time.monotonic() - start < 8, "the others took too long to end")
        if kind != "mpi":
            demand(ranks, codes == [1] * (RANKS - 1), "exit statuses %s" % codes)
            others = [r for r in range(RANKS) if r != victim]
            ranks.demand_lines(others, OPERATION + ".*rank %d\\b.*" % victim)


def case_stop(kind, program):
    for victim in 0, 2:
        ranks = Ranks(kind, program, ["loop", "2"])
        ranks.wait_for_pids()
        os.kill(ranks.pids[victim], signal.SIGSTOP)
        codes = ranks.codes(20, but=victim)
        demand(ranks, all(code == 1 for code in codes), "exit statuses %s" % codes)
        others = [r for r in range(RANKS) if r != victim]
        ranks.demand_lines(others, OPERATION + ".*rank %d\\b.*" % victim)


def case_behind(kind, program):
    ranks = Ranks(kind, program, ["behind", "2"])
    ranks.wait_for_pids()
    codes = ranks.codes(20)
    demand(ranks, all(code == 1 for code in codes), "exit statuses %s" % codes)
    ranks.demand_lines([0, 2], OPERATION + ".*rank 1\\b.*")


def case_abort(kind, program):
    ranks = Ranks(kind, program, ["abort", "60"])
    ranks.wait_for_pids()
    codes = ranks.codes(15)
    demand(ranks, all(code == 1 for code in codes), "exit statuses %s" % codes)
    demand(ranks, ranks.own_lines() == ["radialog: rank 1 of 3: the disk is full"], "not one clear line")


def case_refuse(kind, program):
    """NCCL itself fails on one rank."""
    if kind == "mpi":
        return
    os.environ["FAKE_NCCL_FAILS_AT"] = "60"
    ranks = Ranks(kind, program, ["loop", "60"])
    del os.environ["FAKE_NCCL_FAILS_AT"]
    codes = ranks.codes(15)
    demand(ranks, codes == [1] * RANKS, "exit statuses %s" % codes)
    ranks.demand_lines([1], OPERATION + ", rank 1 of 3: a failure of the fake NCCL")


def case_recorded(kind, program):
    """A rank stops while the others' hosts wait for the device alone, as in replayed graphs."""
    if kind == "mpi":
        return
    os.environ["TEST_RECORDING"] = "1"
    ranks = Ranks(kind, program, ["device", "2"])
    del os.environ["TEST_RECORDING"]
    ranks.wait_for_pids()
    os.kill(ranks.pids[1], signal.SIGSTOP)
    codes = ranks.codes(20, but=1)
    demand(ranks, codes == [1] * (RANKS - 1), "exit statuses %s" % codes)
    ranks.demand_lines([0, 2], OPERATION + ".*rank 1\\b.*")


def case_late(kind, program):
    """All hosts agree, but one device does not take part, in steps that are launched and in replayed ones."""
    if kind == "mpi":
        return
    for recorded in False, True:
        if recorded:
            os.environ["TEST_RECORDING"] = "1"
        ranks = Ranks(kind, program, ["late", "2"])
        os.environ.pop("TEST_RECORDING", None)
        ranks.wait_for_pids()
        codes = ranks.codes(20)
        demand(ranks, codes == [1] * RANKS, "exit statuses %s" % codes)
        operation = "recorded step" if recorded else "all_reduce_start"
        ranks.demand_lines([0, 2], operation + r" \d+ has not ended within 2 seconds; it waits for rank 1\b.*")


def main(arguments):
    kind, program = arguments[:2]
    cases = {name[5:]: case for name, case in globals().items() if name.startswith("case_")}
    for name in arguments[2:] or cases:
        start = time.monotonic()
        cases[name](kind, program)
        print("%s: as it must be, %.1f seconds" % (name, time.monotonic() - start), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
