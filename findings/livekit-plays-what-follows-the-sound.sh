#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# livekit-agents 1.8.9: AudioStreamDecoder, by which its text-to-speech plugins read a service's WAV, does not look at
# the length of the "data" chunk. Whatever follows the sound is played as 16-bit samples: the title that soundfile and
# others write at the end, C2PA and XMP marks, and the header of a second WAV in the same stream.
#
# Seen here: a second of quiet speech with a title, as soundfile writes it, becomes 24,023 samples; the last 23 are the
# letters of the title, nearly as loud as can be. 4 kB of XMP are 85 ms of loud noise. Two WAVs one after the other
# have the 22 samples of a header between them. Python's wave, soundfile and ffmpeg play none of it.
#
# Send a WAV that ends with its sound, or raw PCM, to such a client.
#
# Needs python3 with venv; installs livekit-agents (400 MB). Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check livekit-agents==1.8.9 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY' 2>log || { cat log >&2; exit 1; }
import asyncio
import io
import struct
import sys
import wave
from importlib.metadata import version

import numpy as np
import soundfile
from livekit.agents.utils.codecs import AudioStreamDecoder

print({name: version(name) for name in ("livekit-agents", "livekit", "soundfile")})
SPEECH = (np.sin(np.arange(24000) * 0.05) * 100).astype(np.int16)


def written(title):
    """The speech as soundfile writes it, with a title or without."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 24000, 1, subtype="PCM_16", format="WAV") as sound:
        sound.write(SPEECH)
        if title:
            sound.title = title
    return file.getvalue()


async def played(content):
    decoder = AudioStreamDecoder(sample_rate=24000, num_channels=1, format="audio/wav")
    for start in range(0, len(content), 1000):  # as HTTP brings it
        decoder.push(content[start:start + 1000])
    decoder.end_input()
    samples = b"".join([bytes(frame.data) async for frame in decoder])
    await decoder.aclose()
    return np.frombuffer(samples, np.int16)


plain, titled = written(None), written("A sentence of csm, spoken")
mark = b"<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>".ljust(4096)
marked = plain + b"_PMX" + struct.pack("<I", len(mark)) + mark
marked = marked[:4] + struct.pack("<I", len(marked) - 8) + marked[8:]
more = {}
for name, content in {"plain": plain, "with a title": titled, "with XMP": marked, "twice": plain + plain}.items():
    heard = asyncio.run(played(content))
    expected = 2 * len(SPEECH) if name == "twice" else wave.open(io.BytesIO(content)).getnframes()
    more[name] = len(heard) - expected
    print(f"{name}: {len(heard)} samples of {expected}, the loudest {np.abs(heard.astype(int)).max()} "
          f"of {np.abs(SPEECH.astype(int)).max()}")
sys.exit(not (more["plain"] == 0 and more["with a title"] > 10 and more["with XMP"] == 2052 and more["twice"] == 22))
PY
