# SPDX-License-Identifier: Apache-2.0
"""What is done to marked sound: ATTACKS, in the order of the table; each is a tuple of functions of 24 kHz
samples, done one after another.

Codecs are lame and opusenc, read again by libsndfile; mu-law, rates and the low-pass are libsndfile's
and scipy's. A clip takes some 0.4 s of one core for all of them.
"""
import subprocess
import tempfile

import numpy as np
import scipy.signal
import soundfile

from library import RATE


def at_rate(samples, source, target=RATE):
    divisor = np.gcd(source, target)
    return scipy.signal.resample_poly(samples, target // divisor, source // divisor).astype(np.float32)


def through(samples, command, ending):
    """samples after an encoder: command IN OUT"""
    with tempfile.TemporaryDirectory() as folder:
        a, b = f'{folder}/a.wav', f'{folder}/b.{ending}'
        soundfile.write(a, samples, RATE, 'PCM_16')
        subprocess.run([*command, a, b], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        decoded, rate = soundfile.read(b, dtype='float32')
        return at_rate(decoded, rate)


def mp3(kilobits):
    return lambda x: through(x, ['lame', '--quiet', '-b', str(kilobits)], 'mp3')


def opus(kilobits):
    return lambda x: through(x, ['opusenc', '--quiet', '--bitrate', str(kilobits)], 'opus')


def telephone(samples):
    with tempfile.NamedTemporaryFile(suffix='.wav') as file:
        soundfile.write(file.name, at_rate(samples, RATE, 8000), 8000, 'ULAW')
        return at_rate(soundfile.read(file.name, dtype='float32')[0], 8000)


def noise(samples, snr_db=20):
    random = np.random.default_rng(20261130).standard_normal(len(samples))
    return samples + random * np.sqrt(np.mean(samples ** 2) / 10 ** (snr_db / 10))


def cut(samples, seconds):
    start = (len(samples) - int(seconds * RATE)) // 2
    return samples[start:start + int(seconds * RATE)]


def cut_to_2(samples):
    return cut(samples, 2)


def quieter(samples):
    return samples * 0.25


def speed(factor):
    return lambda x: at_rate(x, round(RATE * factor))


def low_pass(samples):
    """Two Butterworth filters of second order, 3,400 Hz"""
    sections = scipy.signal.butter(2, 3400, fs=RATE, output='sos')
    return scipy.signal.sosfilt(sections, scipy.signal.sosfilt(sections, samples)).astype(np.float32)


mp3_64, opus_24 = mp3(64), opus(24)
ATTACKS = {
    'none, cut to 3 s': (lambda x: cut(x, 3),),
    'mp3 64 kbit/s': (mp3_64,),
    'mp3 32 kbit/s': (mp3(32),),
    'opus 24 kbit/s': (opus_24,),
    'opus 12 kbit/s': (opus(12),),
    '8 kHz, mu-law': (telephone,),
    '16 kHz and back': (lambda x: at_rate(at_rate(x, RATE, 16000), 16000),),
    'white noise, 20 dB': (noise,),
    'gain -12 dB': (quieter,),
    'cut to 2 s': (cut_to_2,),
    'speed 0.98': (speed(0.98),),
    'speed 0.993': (speed(0.993),),
    'speed 1.02': (speed(1.02),),
    'low-pass 3.4 kHz': (low_pass,),
    'mp3 64 and 8 kHz mu-law': (mp3_64, telephone),
    'opus 24 and speed 1.01': (opus_24, speed(1.01)),
    'noise 30 dB and opus 24': (lambda x: noise(x, 30), opus_24),
    'gain -12 dB and cut to 2 s': (quieter, cut_to_2),
}


def attacked(samples, steps, done):
    """samples after the steps; done: {steps: samples} of this sound, so that none is done twice"""
    if not steps:
        return samples
    if steps not in done:
        done[steps] = steps[-1](attacked(samples, steps[:-1], done))
    return done[steps]
