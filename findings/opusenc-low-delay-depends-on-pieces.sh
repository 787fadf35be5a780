#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libopusenc 0.2.1 (Debian 12: libopusenc0 0.2.1-2 over libopus0 1.3.1-3): with
# OPE_SET_DECISION_DELAY(0), which live streams want, the bytes of a file depend on how the
# same samples were cut into calls of ope_encoder_write_float. With the default delay they do not.
#
# Seen here: 2 s at 24 kHz in pieces of 333, 960, 1920 and 4800 samples: four different files with
# delay 0, one file with the default. The serial number of the stream is set, so it is not that.
#
# Who caches, compares or signs Opus files hands over pieces of one length (csm: 20 ms).
#
# Needs apt-get, dpkg and python3; nothing is installed into the system. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
apt-get download -qq libopusenc0=0.2.1-2 libopus0=1.3.1-3 2>/dev/null
for package in ./*.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$(dirname "$(find . -name 'libopusenc.so.0')") python3 - <<'PY'
import array
import ctypes
import hashlib
import math
import sys

RATE, DELAY, SERIAL = 24000, 14000, 14006  # the numbers of OPE_SET_DECISION_DELAY and OPE_SET_SERIALNO
opus = ctypes.CDLL("libopusenc.so.0")
opus.ope_get_version_string.restype = ctypes.c_char_p
opus.ope_comments_create.restype = ctypes.c_void_p
opus.ope_encoder_create_file.restype = ctypes.c_void_p
opus.ope_encoder_create_file.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int,
                                         ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
opus.ope_encoder_write_float.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
for name in ("ope_encoder_drain", "ope_encoder_destroy"):
    getattr(opus, name).argtypes = [ctypes.c_void_p]
sound = array.array("f", [(0.3 * math.sin(2 * math.pi * 220 * i / RATE) + 0.2 * math.sin(2 * math.pi * 660 * i / RATE))
                          * (0.6 + 0.4 * math.sin(2 * math.pi * 3 * i / RATE)) for i in range(2 * RATE)])


def encode(piece, delay):
    error = ctypes.c_int()
    encoder = opus.ope_encoder_create_file(b"o.opus", opus.ope_comments_create(), RATE, 1, 0, ctypes.byref(error))
    assert encoder, error.value
    opus.ope_encoder_ctl(ctypes.c_void_p(encoder), SERIAL, ctypes.c_int(1))
    if delay is not None:
        opus.ope_encoder_ctl(ctypes.c_void_p(encoder), DELAY, ctypes.c_int(delay))
    first = sound.buffer_info()[0]
    for at in range(0, len(sound), piece):
        assert opus.ope_encoder_write_float(encoder, first + 4 * at, min(piece, len(sound) - at)) == 0
    opus.ope_encoder_drain(encoder)
    opus.ope_encoder_destroy(encoder)
    with open("o.opus", "rb") as file:
        data = file.read()
    return f"{len(data)} bytes, md5 {hashlib.md5(data).hexdigest()[:8]}"


print(opus.ope_get_version_string().decode())
seen = {}
for delay in (None, 0):
    seen[delay] = [encode(piece, delay) for piece in (333, 960, 1920, 4800)]
    print("decision delay", "default:" if delay is None else f"{delay}:", "; ".join(seen[delay]))
sys.exit(len(set(seen[None])) != 1 or len(set(seen[0])) == 1)
PY
