# SPDX-License-Identifier: Apache-2.0
"""Debian's flite, called in process: speech at 16 kHz with the phone spoken at each 20 ms."""
import ctypes
import pathlib

import numpy as np

RATE = 16000
LABEL_RATE = 50     # phone labels a second

# Speaker number -> flite's voice and the gain that brings it to the loudness of the others.
# Speaker 0, the default, is the one that pocketsphinx understands best (voice/README.md).
SPEAKERS = [('rms', 1.2), ('slt', 0.65), ('awb', 1.1), ('kal16', 2.4)]

PHONES = ('pau aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th '
          'uh uw v w y z zh').split()
PHONE_IDS = {name: i for i, name in enumerate(PHONES)}


class _Wave(ctypes.Structure):
    """cst_wave of flite/cst_wave.h"""
    _fields_ = [('type', ctypes.c_char_p), ('rate', ctypes.c_int), ('n_samples', ctypes.c_int),
                ('n_channels', ctypes.c_int), ('samples', ctypes.POINTER(ctypes.c_short))]


class Flite:
    """One synthesizer with all SPEAKERS loaded; make one a process.

    directory holds the shared libraries (and libasound.so.2 where the system lacks it);
    None takes the system's own, from the package libflite1.
    """

    def __init__(self, directory=None):
        def library(name):
            path = name if directory is None else str(pathlib.Path(directory) / name)
            return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)

        if directory and (pathlib.Path(directory) / 'libasound.so.2').exists():
            library('libasound.so.2')
        self._lib = library('libflite.so.1')
        library('libflite_usenglish.so.1')
        library('libflite_cmulex.so.1')
        self._declare()
        self._lib.flite_init()
        self._voices = []
        for name, _ in SPEAKERS:
            register = getattr(library(f'libflite_cmu_us_{name}.so.1'), f'register_cmu_us_{name}')
            register.restype, register.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
            self._voices.append(register(None))

    def _declare(self):
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        for name, result, arguments in [
                ('flite_synth_text', pointer, [text, pointer]),
                ('utt_wave', ctypes.POINTER(_Wave), [pointer]),
                ('utt_relation', pointer, [pointer, text]),
                ('relation_head', pointer, [pointer]),
                ('item_next', pointer, [pointer]),
                ('item_feat_string', text, [pointer, text]),
                ('item_feat_float', ctypes.c_float, [pointer, text]),
                ('delete_utterance', None, [pointer])]:
            function = getattr(self._lib, name)
            function.restype, function.argtypes = result, arguments

    def speak(self, text, speaker):
        """text -> (samples [n] int16 at RATE, phone ids [n / RATE * LABEL_RATE] uint8)"""
        lib = self._lib
        utterance = lib.flite_synth_text(text.encode('ascii', 'ignore'), self._voices[speaker])
        wave = lib.utt_wave(utterance).contents
        assert wave.rate == RATE, wave.rate
        samples = np.ctypeslib.as_array(wave.samples, (wave.n_samples,)).copy()
        phones = np.zeros(-(-len(samples) * LABEL_RATE // RATE), np.uint8)
        segment = lib.relation_head(lib.utt_relation(utterance, b'Segment'))
        start = 0
        while segment:
            name = lib.item_feat_string(segment, b'name').decode()
            end = round(lib.item_feat_float(segment, b'end') * LABEL_RATE)
            phones[start:end] = PHONE_IDS.get(name, 0)
            start, segment = end, lib.item_next(segment)
        lib.delete_utterance(utterance)
        return samples, phones
