# SPDX-License-Identifier: Apache-2.0
"""CrispASR's CSM, over ggml: peer_ggml.py LIBRARY MODEL.gguf THREADS

LIBRARY is a shared library with the functions of its csm_tts.h. It tells of every tenth frame on
standard error; the clock is read when such a line comes, so a turn is ten frames, or as many tens.
"""

import ctypes
import os
import pathlib
import sys
import threading
import time

from turns import serve


class Params(ctypes.Structure):  # csm_tts_context_params
    _fields_ = [("n_threads", ctypes.c_int), ("verbosity", ctypes.c_int), ("use_gpu", ctypes.c_bool),
                ("temperature", ctypes.c_float), ("topk", ctypes.c_int), ("seed", ctypes.c_uint64),
                ("max_audio_tokens", ctypes.c_int)]


class Lines(threading.Thread):
    """(when, text) of each line that the library writes to standard error."""

    def __init__(self):
        super().__init__(daemon=True)
        reading, writing = os.pipe()
        os.dup2(writing, 2)
        self.pipe, self.lines = os.fdopen(reading), []

    def run(self):
        for line in self.pipe:
            self.lines.append((time.perf_counter(), line))

    def find(self, text):
        return [when for when, line in self.lines if text in line]


def main(library, gguf, n_threads):
    lines = Lines()
    lines.start()
    lib = ctypes.CDLL(library)
    lib.csm_tts_init_from_file.restype = ctypes.c_void_p
    lib.csm_tts_init_from_file.argtypes = [ctypes.c_char_p, Params]
    lib.csm_tts_run_generate_codes.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p,
                                               ctypes.c_int]
    context = lib.csm_tts_init_from_file(gguf.encode(), Params(int(n_threads), 2, False, 0.9, 50, 1, 0))
    if context is None:
        sys.exit(f"{library}: does not open {gguf}")

    def measure(n_frames):
        tens = max(1, n_frames // 10)
        lines.lines.clear()
        done = lib.csm_tts_run_generate_codes(context, b"x" * 27, None, 10 * tens + 1)
        time.sleep(0.2)  # for the last lines
        stamps = lines.find("first frame cb0") + lines.find(", cb0=")
        if done != 10 * tens + 1 or len(stamps) < tens + 1:
            raise RuntimeError(f"{done} frames, lines: {lines.lines}")
        stamps = sorted(stamps)[-tens - 1:]
        return [(b - a) * 100 for a, b in zip(stamps, stamps[1:])]

    serve(f"CrispASR {pathlib.Path(gguf).stem}", "csm_tts over ggml", measure)


main(*sys.argv[1:])
