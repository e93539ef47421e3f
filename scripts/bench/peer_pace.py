"""How a peer is timed: one warm-up, "ready", then each line on stdin starts a round whose wall and CPU seconds go
to stdout; when stdin ends, a line of JSON with what else there is to say. `radialog bench --paced` does the same.
A round that counts only a part of its work returns that part's times."""
import json
import resource
import sys
import time


def cpu_seconds():
    seconds = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        seconds += usage.ru_utime + usage.ru_stime
    return seconds


def peak_memory():
    """MB, of this process alone."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024e-6
    return 0.0


def pace(one_round, late_facts=None, **facts):
    """LATE_FACTS: a dict that rounds fill."""
    one_round()
    print("ready", flush=True)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), cpu_seconds()
        times = one_round() or (time.perf_counter() - start, cpu_seconds() - cpu)
        print("%.9f %.9f" % times, flush=True)
    print(json.dumps(dict(facts, **(late_facts or {}), peak_memory_mb=peak_memory())), flush=True)
