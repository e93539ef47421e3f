"""HDF5 files with strings that this project does not write, from h5py.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install h5py
    /tmp/golden/bin/python scripts/golden/hdf5_strings.py

Writes tests/golden/hdf5/strings.h5: one dataset for each way to hold the texts "one" and "another".
"""
import pathlib

import h5py
import numpy as np

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "hdf5"
TEXTS = [b"one", b"another"]


def fixed(padding):
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(8)
    kind.set_strpad(padding)
    return kind


def low(file, name, kind, rows, shape=(2,)):
    dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(rows, dtype="S8"), mtype=kind)


def main():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with h5py.File(GOLDEN / "strings.h5", "w", libver="earliest") as file:
        file.create_dataset("numpy", data=np.array(TEXTS))
        file.create_dataset("variable", data=TEXTS, dtype=h5py.string_dtype())
        file.create_dataset("chunked", data=np.array(TEXTS), chunks=(1,))
        low(file, "ended", fixed(h5py.h5t.STR_NULLTERM), TEXTS)
        low(file, "blanks", fixed(h5py.h5t.STR_SPACEPAD), [t.ljust(8) for t in TEXTS])
        low(file, "square", fixed(h5py.h5t.STR_NULLPAD), [TEXTS, TEXTS], (2, 2))


if __name__ == "__main__":
    main()
