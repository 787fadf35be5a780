# SPDX-License-Identifier: Apache-2.0
"""csm/mark.h by ctypes, so that measuring needs no Python package to be built."""
import ctypes
import os
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
RATE = 24000


class Payload(ctypes.Structure):
    _fields_ = [('maker', ctypes.c_uint8), ('model', ctypes.c_uint16), ('free_bits', ctypes.c_uint8)]

    def __iter__(self):
        return iter((self.maker, self.model, self.free_bits))


class Options(ctypes.Structure):
    _fields_ = [('size', ctypes.c_size_t), ('key', ctypes.c_char_p), ('rate_hz', ctypes.c_int), ('payload', Payload),
                ('fixed_speed', ctypes.c_bool)]


class Found(ctypes.Structure):
    _fields_ = [('start_s', ctypes.c_double), ('end_s', ctypes.c_double), ('p_value', ctypes.c_double),
                ('speed', ctypes.c_double), ('has_payload', ctypes.c_bool), ('payload', Payload)]


library = ctypes.CDLL(os.environ.get('CSM_LIBRARY', str(ROOT / 'build/lib/libcsm.so')))
floats = np.ctypeslib.ndpointer(np.float32, flags='C')
pointer, size = ctypes.c_void_p, ctypes.c_size_t
for name in ('mark', 'detector'):
    getattr(library, f'csm_{name}_open').argtypes = [ctypes.POINTER(Options), ctypes.POINTER(pointer), pointer]
    getattr(library, f'csm_{name}_close').argtypes = [pointer]
library.csm_mark_push.argtypes = [pointer, floats, size, floats]
library.csm_detector_push.argtypes = [pointer, floats, size, pointer]
library.csm_detector_result.argtypes = [pointer, ctypes.POINTER(ctypes.POINTER(Found)), ctypes.POINTER(size),
                                        ctypes.POINTER(ctypes.c_double), pointer]


def begin(kind, payload=(1, 0, 0), key=None, rate=RATE, fixed_speed=False):
    options, handle = Options(ctypes.sizeof(Options), key, rate, Payload(*payload), fixed_speed), pointer()
    status = getattr(library, f'csm_{kind}_open')(ctypes.byref(options), ctypes.byref(handle), None)
    if status != 0:
        raise ValueError(f'csm_{kind}_open: status {status}')
    return handle


def mark(samples, payload=(1, 0, 0), key=None, rate=RATE, chunk=None):
    samples = np.ascontiguousarray(samples, np.float32)
    out, handle = np.empty_like(samples), begin('mark', payload, key, rate)
    chunk = chunk or max(1, len(samples))
    for at in range(0, len(samples), chunk):
        piece = np.empty_like(samples[at:at + chunk])
        library.csm_mark_push(handle, samples[at:at + chunk], len(piece), piece)
        out[at:at + chunk] = piece
    library.csm_mark_close(handle)
    return out


def detect(samples, key=None, rate=RATE, fixed_speed=False):
    """(stretches found, smallest bound)"""
    samples, handle = np.ascontiguousarray(samples, np.float32), begin(
        'detector', key=key, rate=rate, fixed_speed=fixed_speed)
    found, n, p_value = ctypes.POINTER(Found)(), size(), ctypes.c_double()
    status = library.csm_detector_push(handle, samples, len(samples), None)
    status = status or library.csm_detector_result(handle, ctypes.byref(found), ctypes.byref(n),
                                                   ctypes.byref(p_value), None)
    if status != 0:
        raise MemoryError(f'csm_detector: status {status}')
    copies = [Found.from_buffer_copy(found[i]) for i in range(n.value)]
    library.csm_detector_close(handle)
    return copies, p_value.value
