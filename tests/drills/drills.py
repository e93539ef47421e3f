#!/usr/bin/env python3
"""Fault drills: what may happen to a run happens to it, and it goes on to the same bytes or stops with one clear line.

    drills.py PROGRAM FAULTS [--kills N] [--seed S] [--only DRILL,...] [--short] [--no-ranks] [--work DIR] [--table FILE]

PROGRAM is radialog, FAULTS is tests/drills/faults.c built to be preloaded. Exit status 1 if a drill found
something; each finding is one line, and the folder that shows it is kept."""
import argparse
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from pipeline import STAGES, Failure, Pipeline, check_kept, contents, finished, said


class Drills:
    def __init__(self, pipeline, faults, seed, short):
        self.p, self.faults, self.short, self.stages = pipeline, os.path.abspath(faults), short, pipeline.stages
        self.random = random.Random(seed)
        self.findings, self.rows, self.failing = [], [], 0

    def each(self, title, cases):
        """Runs CASES (name, function of a folder); a row of the table for the whole."""
        begin, failed, notes = time.monotonic(), 0, {}
        for name, case in cases:
            folder = self.p.folder()
            try:
                note = case(folder)
                notes[note] = notes.get(note, 0) + 1
                shutil.rmtree(folder)
            except (Failure, subprocess.TimeoutExpired) as why:
                failed += 1
                self.findings.append(f"{title}, {name}: {why} ({folder})")
                print(self.findings[-1], file=sys.stderr, flush=True)
        told = ", ".join(f"{k} {n}" for n, k in sorted(notes.items(), key=lambda x: str(x[0])) if n)
        self.rows.append((title, len(cases), failed, told))
        print(f"{title}: {len(cases)} cases, {failed} failed, {time.monotonic() - begin:.0f} s; {told}", file=sys.stderr,
              flush=True)

    # --- kills ----------------------------------------------------------------------------------

    def kill(self, stage, folder):
        """One kill -9; a moment that comes too late is drawn again."""
        os.symlink("../in", os.path.join(folder, "in"))
        for attempt in range(8):
            inner = os.path.join(folder, str(attempt))
            os.mkdir(inner)
            note = self.kill_once(stage, inner)
            if note != "had ended":
                break
        return note

    def kill_once(self, stage, folder):
        """At a moment of the run, of all its processes or of one of several; then it goes on."""
        begin, process = time.monotonic(), self.p.start(stage, folder)
        try:
            process.wait(self.random.uniform(0, 1) * self.p.seconds[stage.name])
            self.p.seconds[stage.name] = time.monotonic() - begin  # faster than it was: so are the next moments
        except subprocess.TimeoutExpired:
            pass
        several = stage.ranks > 1 or stage.starts
        pids = radialog_pids(process.pid) if several else [process.pid]
        if several and pids and self.random.random() < 0.5:
            kill_all([self.random.choice(pids)])  # what started it, or what it started, ends the others
        else:
            kill_all([process.pid] + pids)
        code = process.wait(60)
        self.wait_until_all_have_ended(process)
        before = finished(stage, folder)
        if code == 0:
            self.p.compare(stage, folder)
        self.p.finish(stage, folder)
        check_kept(stage, folder, before)
        return "had ended" if code == 0 else "went on from what was finished" if before else "began anew"

    def kills(self, count):
        whole = max(1, count // len(self.stages))
        for i, stage in enumerate(self.stages):
            times = whole + (i < count - whole * len(self.stages))
            title = f"kill -9: {stage.name}"
            self.each(title, [(f"kill {k}", lambda folder, s=stage: self.kill(s, folder)) for k in range(times)])

    # --- calls of the system that fail ----------------------------------------------------------

    def fault(self, stage, folder, calls, number, at):
        """Whether a call failed at all."""
        mark = os.path.join(self.p.work, "mark")
        if os.path.exists(mark):
            os.remove(mark)
        under = folder if calls != "read" else self.p.work + "/"
        code, lines = self.p.run(stage, folder, more={
            "LD_PRELOAD": self.faults, "FAULT_CALLS": calls, "FAULT_AT": str(at), "FAULT_ERRNO": str(number),
            "FAULT_UNDER": os.path.join(under, "out") if calls != "read" else under, "FAULT_MARK": mark})
        if not os.path.exists(mark):
            if code:
                raise Failure(f"{stage.name}: ends with {code}, though nothing failed: {lines}")
            self.p.compare(stage, folder)
            return False
        if code == 0:
            self.p.compare(stage, folder)  # a failure that does not matter
            return True
        if code != 1 or len(lines) != 1 or not lines[0].startswith("radialog"):
            raise Failure(f"{stage.name}, call {at}: exit status {code}, {len(lines)} lines: {lines}")
        if calls != "read" and os.strerror(number) not in lines[0]:
            raise Failure(f"{stage.name}, call {at}: the reason is not said: {lines[0]}")
        self.p.finish(stage, folder)
        return True

    def faulty(self, stage, calls, number):
        def case(folder):
            at = 1
            os.symlink("../in", os.path.join(folder, "in"))
            while True:
                inner = os.path.join(folder, str(at))
                os.mkdir(inner)
                if not self.fault(stage, inner, calls, number, at):
                    return ""
                self.failing += 1
                shutil.rmtree(inner)
                at += 1 if at < (2 if self.short else 4) else 1 + at // (1 if self.short else 2)

        return case

    def disk(self, title, calls, number, stages):
        self.failing = 0
        self.each(title, [(s.name, self.faulty(s, calls, number)) for s in stages])
        self.rows[-1] = (*self.rows[-1][:3], f"{self.failing} runs with failing calls")

    # --- damage, edits, company ------------------------------------------------------------------

    def flip(self, path):
        with open(path, "r+b") as f:
            size = f.seek(0, os.SEEK_END)
            at = self.random.randrange(size)
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ (1 << self.random.randrange(8))]))
        return at

    def flipped_shard(self, folder):
        """Training on it stops and names it; when it is removed, ingest makes it again."""
        inputs = os.path.join(folder, "in")
        shutil.copytree(os.path.join(self.p.work, "in"), inputs, symlinks=True)
        shards = os.path.join(inputs, "shards")
        name = self.random.choice(sorted(n for n in os.listdir(shards) if n.startswith("train")))
        at = self.flip(os.path.join(shards, name))
        inner = os.path.join(folder, "run")
        os.mkdir(inner)
        code, lines = self.p.run(stage_named("classifier"), inner)
        if code != 1 or len(lines) != 1 or name not in lines[0]:
            raise Failure(f"byte {at} of {name}: exit status {code}: {lines}")
        shutil.rmtree(os.path.join(inner, "out"), ignore_errors=True)
        os.remove(os.path.join(shards, name))
        os.rename(shards, os.path.join(inner, "out"))
        self.p.finish(stage_named("ingest"), inner)
        return "named, then made again"

    def flipped_checkpoint(self, folder):
        """The one before is taken, with a warning, and the run ends in the same bytes."""
        stage = stage_named(self.random.choice(["classifier", "chexbert", "lora"]))
        code, lines = self.p.run(stage, folder, extra=["--set", "run.max_steps=6"])
        if code:
            raise Failure(f"{stage.name}: {lines}")
        newest = os.path.join(folder, "out", "checkpoints", "step-%08d" % finished(stage, folder))
        name = self.random.choice(sorted(os.listdir(newest)))
        at = self.flip(os.path.join(newest, name))
        code, lines = self.p.run(stage, folder)
        if code:
            raise Failure(f"{stage.name}, byte {at} of {name}: exit status {code}: {lines}")
        self.p.compare(stage, folder)
        return "went on from the one before"

    def flipped_weights(self, folder):
        """A checkpoint's weights that another stage reads: stops and names the file."""
        inputs = os.path.join(folder, "in")
        shutil.copytree(os.path.join(self.p.work, "in"), inputs, symlinks=True)
        path = os.path.join(inputs, "classifier", "checkpoints", "best", "model.safetensors")
        at = self.flip(path)
        inner = os.path.join(folder, "run")
        os.mkdir(inner)
        code, lines = self.p.run(stage_named("aligner"), inner)
        if code != 1 or len(lines) != 1 or "model.safetensors" not in lines[0]:
            raise Failure(f"byte {at}: exit status {code}: {lines}")
        return "named"

    def edited(self, setting, fits):
        """A configuration that changes between two runs of one folder."""
        stage = stage_named("classifier")

        def case(folder):
            self.p.run(stage, folder, extra=["--set", "run.max_steps=6"])
            before = contents(folder)
            code, lines = self.p.run(stage, folder, extra=["--set", setting])
            with open(os.path.join(folder, "said")) as f:
                warned = "the configuration differs" in f.read()
            if fits and (code or not warned):
                raise Failure(f"exit status {code}, warned {warned}: {lines}")
            # A table of the tensors that do not fit stands above the line.
            if not fits and (code not in (1, 2) or not lines[-1].startswith("radialog") or contents(folder) != before):
                raise Failure(f"exit status {code}, unchanged {contents(folder) == before}: {lines}")
            return "goes on, and says so" if fits else "refused, nothing changed"

        return case

    def company(self, stage, folder):
        """Two runs of one command in one folder: the second is refused, or both end in the same bytes."""
        first = self.p.start(stage, folder)
        time.sleep(self.random.uniform(0.02, 0.5) * self.p.seconds[stage.name])
        code, lines = self.p.run(stage, folder)
        kept = first.wait(120)
        if kept and code:
            raise Failure(f"both failed, {kept} and {code}: {lines}")
        refusals = "another radialog" in lines[0] or "is there already" in lines[0] if lines else False
        if code and (code not in (1, 2) or len(lines) != 1 or not refusals):
            raise Failure(f"the second: exit status {code}: {lines}")
        self.p.compare(stage, folder)
        return "the second was refused" if code else "the first was refused" if kept else "both ended well"

    def hung(self, folder):
        """A rank that stops: the others end within the watchdog's time and name it."""
        stage = stage_named("classifier, 2 ranks")
        process = self.p.start(stage, folder, extra=["--set", "run.watchdog=2", "--set", "run.max_steps=100000"])
        self.wait_for_steps(folder, self.random.randrange(1, 8), process)
        pids = radialog_pids(process.pid)
        os.kill(pids[-1], signal.SIGSTOP)
        try:
            code = process.wait(40)
        finally:
            kill_all(pids)
        text = " ".join(said(folder))
        if code == 0 or "rank 1" not in text:
            raise Failure(f"exit status {code}: {text[:300]}")
        return "named"

    @staticmethod
    def wait_until_all_have_ended(process):
        """A command whose `run` was killed writes its checkpoint first."""
        end = time.monotonic() + 60
        while radialog_pids(process.pid):
            if time.monotonic() > end:
                raise Failure("what the killed process had started is still running")
            time.sleep(0.01)

    @staticmethod
    def wait_for_steps(folder, count, process):
        path, end = os.path.join(folder, "out", "metrics.jsonl"), time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if os.path.exists(path):
                with open(path) as f:
                    if len(f.readlines()) >= count:
                        return
            time.sleep(0.01)
        raise Failure(f"no {count} steps: {said(folder)}")


def stage_named(name):
    return next(s for s in STAGES if s.name == name)


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has just ended


def radialog_pids(parent):
    """The radialog processes of the session that PARENT leads: ranks that mpirun has started, a stage of `run`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                name, rest = f.read().rsplit(")", 1)
        except OSError:
            continue
        if name.endswith("(radialog") and int(rest.split()[3]) == parent:
            found.append(int(pid))
    return sorted(found)


def drill(d, only, kills):
    writers = [s for s in d.stages if s.ranks == 1]
    few = [stage_named(n) for n in ("ingest", "classifier", "export merged")] if d.short else writers
    times = 1 if d.short else 4
    every = {
        "kills": lambda: d.kills(kills),
        "full": lambda: d.disk("full disk", "write", errno.ENOSPC, few),
        "sync": lambda: d.disk("a disk that cannot sync", "sync", errno.EIO, few[:3]),
        "rename": lambda: d.disk("a name that cannot be given", "rename", errno.ENOSPC, few),
        "read": lambda: d.disk("read errors", "read", errno.EIO, few),
        "flip": lambda: (
            d.each("a flipped bit: shard", [("shard", d.flipped_shard)] * (3 * times)),
            d.each("a flipped bit: checkpoint", [("checkpoint", d.flipped_checkpoint)] * (3 * times)),
            d.each("a flipped bit: weights", [("weights", d.flipped_weights)] * (3 * times))),
        "edit": lambda: d.each("an edited configuration", [
            ("rate", d.edited("optim.lr=3e-3", True)), ("width", d.edited("model.hidden=12", False))]),
        "company": lambda: d.each("two runs in one folder", [
            (s.name, lambda folder, s=s: d.company(s, folder)) for s in few for _ in range(times)]),
        "hung": lambda: d.each("a rank that hangs", [("rank 1", d.hung)] * times),
    }
    if len(writers) == len(d.stages):
        del every["hung"]
    for name in only or every:
        every[name]()


def table(d, path):
    with open(path, "w") as f:
        f.write("| drill | cases | failed | what happened |\n|---|---|---|---|\n")
        for title, cases, failed, told in d.rows:
            f.write(f"| {title} | {cases} | {failed} | {told} |\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("faults")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--no-ranks", action="store_true", help="of a program built without MPI")
    parser.add_argument("--work")
    parser.add_argument("--table")
    a = parser.parse_args()
    work = a.work or tempfile.mkdtemp(prefix="radialog-drills-")
    os.makedirs(work, exist_ok=True)
    pipeline = Pipeline(a.program, work, [s for s in STAGES if s.ranks == 1 or not a.no_ranks])
    for stage in pipeline.stages:
        pipeline.straight(stage)
    d = Drills(pipeline, a.faults, a.seed, a.short)
    drill(d, [n for n in a.only.split(",") if n], a.kills)
    if a.table:
        table(d, a.table)
    if not d.findings:
        shutil.rmtree(work)
    return 1 if d.findings else 0


if __name__ == "__main__":
    sys.exit(main())
