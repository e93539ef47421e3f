#!/usr/bin/env python3
"""tests/golden/dicom.txt: small images of stored samples, and what public libraries make of them.

mimic: as the data descriptor of MIMIC-CXR-JPG tells it (numpy: stretched to 0..255 and truncated, inverted;
OpenCV's equalizeHist). window: pydicom's apply_modality_lut, then apply_voi (a table) or apply_windowing, as a
share of the range that the result may have.

    pip install numpy opencv-python-headless pydicom; scripts/golden/dicom.py > tests/golden/dicom.txt
"""
import cv2
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing
from pydicom.sequence import Sequence

WIDTH, HEIGHT = 13, 11


def line(name, values):
    print(name, *(repr(float(v)) if isinstance(v, (float, np.floating)) else int(v) for v in np.ravel(values)))


def table(count, first, bits, values, signed, modality):
    item = Dataset()
    descriptor = [count % 65536, first, bits]
    item.add_new("LUTDescriptor", "SS" if signed else "US", descriptor)
    item.add_new("LUTData", "US", [int(v) for v in values])
    if modality:
        item.ModalityLUTType = "US"
    return Sequence([item])


def mimic(stored, inverted):
    shifted = stored.astype(np.float64) - stored.min()
    grey = (shifted / shifted.max() * 255).astype(np.uint8)
    return cv2.equalizeHist(255 - grey if inverted else grey)


def window(stored, d):
    """What is shown, 0 to 1, before an inversion."""
    seen = apply_modality_lut(stored, d)
    if "VOILUTSequence" in d:
        bits = d.VOILUTSequence[0].LUTDescriptor[2]
        return apply_voi(seen, d) / (2**bits - 1)
    if "WindowCenter" not in d:
        bits = d.ModalityLUTSequence[0].LUTDescriptor[2] if "ModalityLUTSequence" in d else d.BitsStored
        low = -(2 ** (bits - 1)) if d.PixelRepresentation and "ModalityLUTSequence" not in d else 0
        return (seen - low) / (2**bits - 1)
    # Its range is that of the stored bits, rescaled.
    d.file_meta = FileMetaDataset()
    shown = apply_windowing(seen, d)
    if "ModalityLUTSequence" in d:
        low, high = 0, 2 ** d.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    else:
        low = -(2 ** (d.BitsStored - 1)) if d.PixelRepresentation else 0
        high = low + 2**d.BitsStored - 1
        slope, intercept = float(d.get("RescaleSlope", 1)), float(d.get("RescaleIntercept", 0))
        low, high = low * slope + intercept, high * slope + intercept
    return (shown - low) / (high - low)


def case(number, rng, stored_bits, signed=False, inverted=False, window_=None, function="LINEAR", slope=None,
         modality=None, voi=None):
    low = -(2 ** (stored_bits - 1)) if signed else 0
    stored = rng.integers(low + 3, low + 2**stored_bits - 5, (HEIGHT, WIDTH)).astype(np.int32)
    stored[2:5, 3:9] = stored[0, 0]  # a histogram with a step
    d = Dataset()
    d.BitsStored, d.PixelRepresentation = stored_bits, int(signed)
    d.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    d.BitsAllocated = 8 if stored_bits <= 8 else 16
    if slope:
        d.RescaleSlope, d.RescaleIntercept = slope
    if window_:
        d.WindowCenter, d.WindowWidth, d.VOILUTFunction = *window_, function
    if modality:
        d.ModalityLUTSequence = table(*modality, signed, True)
    if voi:
        d.VOILUTSequence = table(*voi, signed and not modality, False)
    shown = window(stored, d)
    functions = ["LINEAR", "LINEAR_EXACT", "SIGMOID"]
    line(f"{number}.frame", [d.BitsAllocated, stored_bits, signed, inverted, functions.index(function)])
    line(f"{number}.real", [float(v) for v in (*(slope or (1, 0)), *(window_ or (0, 0)))])
    for name, lut in ("modality", modality), ("voi", voi):
        line(f"{number}.{name}", [*lut[:3], *lut[3]] if lut else [0])
    line(f"{number}.stored", stored)
    line(f"{number}.mimic", mimic(stored, inverted))
    line(f"{number}.window", [float(v) for v in np.ravel(1 - shown if inverted else shown)])


def main():
    rng = np.random.default_rng(0)
    ramp = lambda count, bits: np.sort(rng.integers(0, 2**bits, count))
    line("size", [WIDTH, HEIGHT])
    cases = [
        dict(stored_bits=8, window_=(120.0, 100.0)),
        dict(stored_bits=12, window_=(2048.0, 3000.0)),
        dict(stored_bits=12, inverted=True, window_=(1000.5, 777.0), function="LINEAR_EXACT"),
        dict(stored_bits=16, window_=(30000.0, 9000.0), function="SIGMOID"),
        dict(stored_bits=14, signed=True, window_=(-100.0, 5000.0)),
        dict(stored_bits=10, slope=(2.5, -1000.0), window_=(300.0, 600.0), inverted=True),
        dict(stored_bits=10, voi=(1000, 10, 12, ramp(1000, 12))),
        dict(stored_bits=10, signed=True, voi=(700, -300, 16, ramp(700, 16)), inverted=True),
        dict(stored_bits=9, modality=(512, 0, 16, ramp(512, 14)), window_=(8000.0, 10000.0)),
        dict(stored_bits=9, modality=(400, 50, 16, ramp(400, 10)), voi=(1024, 0, 12, ramp(1024, 12))),
        dict(stored_bits=12, window_=(2000.0, 1.0)),
    ]
    line("cases", [len(cases)])
    for number, c in enumerate(cases):
        case(number, rng, **c)


if __name__ == "__main__":
    main()
