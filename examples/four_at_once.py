# SPDX-License-Identifier: Apache-2.0
"""Four sentences spoken side by side, each in a thread of its own.

    python four_at_once.py [MODEL_DIR]

Without MODEL_DIR by the embedded voice.
"""

import sys
import threading

import csm

TEXTS = ["The first of four.", "The second, at the same time.", "A third one.", "And the last."]


def say(model, number, text):
    n_samples = 0
    for frame in model.stream(text, seed=number, max_audio_length_ms=4000):
        n_samples += len(frame.samples)  # here a player, or a socket, would take them
    print(f"{text} {n_samples / model.sample_rate:.2f} s")


with csm.Model(sys.argv[1] if len(sys.argv) > 1 else None) as model:
    threads = [threading.Thread(target=say, args=(model, number, text))
               for number, text in enumerate(TEXTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
