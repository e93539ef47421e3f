#!/usr/bin/env python3
"""Holds a run's event file against its metrics.jsonl, read by TensorBoard itself.

    python3 -m venv /tmp/board && /tmp/board/bin/pip install tensorboard 'setuptools<81'
    radialog report RUN --tensorboard && /tmp/board/bin/python scripts/check_tensorboard.py RUN
"""
import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def flatten(value, name=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flatten(inner, f"{name}/{key}" if name else key)
    elif isinstance(value, (int, float)):
        yield name, value


def main():
    run = pathlib.Path(sys.argv[1])
    board = EventAccumulator(str(run), size_guidance={"scalars": 0})
    board.Reload()
    wanted = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        numbers = json.loads(line)
        step = numbers.pop("step")
        for name, value in flatten(numbers):
            wanted.setdefault(name, []).append((step, value))
    assert set(board.Tags()["scalars"]) == set(wanted), set(board.Tags()["scalars"]) ^ set(wanted)
    for name, points in wanted.items():
        found = [(e.step, e.value) for e in board.Scalars(name)]
        assert [s for s, _ in found] == [s for s, _ in points], name
        assert all(abs(a - b) <= 1e-6 * abs(b) for (_, a), (_, b) in zip(found, points)), name
    print(f"{len(wanted)} curves, {sum(map(len, wanted.values()))} numbers: equal")


main()
