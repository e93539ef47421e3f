#!/usr/bin/env python3
"""Starts the ranks of a program one by one, as torchrun does, and demands exit status 0 of each.

    together.py tcp|file RANKS PROGRAM [ARGUMENT...]"""
import os
import subprocess
import sys
import tempfile

from failures import free_port


def main(arguments):
    kind, ranks = arguments[0], int(arguments[1])
    with tempfile.TemporaryDirectory() as folder:
        where = ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())} if kind == "tcp"
                 else {"RADIALOG_RENDEZVOUS": os.path.join(folder, "meet")})
        processes = [subprocess.Popen(arguments[2:], env=dict(os.environ, RANK=str(rank), WORLD_SIZE=str(ranks),
                                                              OMP_NUM_THREADS="1", **where))
                     for rank in range(ranks)]
        codes = [process.wait() for process in processes]
    if any(codes):
        print("exit statuses of the ranks: %s" % codes)
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
