# SPDX-License-Identifier: Apache-2.0
"""requests_alone.py N: N requests with seeds, one at a time and 64 at a time in random order, and
csm generate of each: all equal, byte for byte."""

import concurrent.futures
import random
import sys
import tempfile

from conftest import Server, generate

WORDS = "one two three four five six seven eight nine ten".split()
VOICES = ["rms", "slt", "awb", "kal16"]


def main(n):
    rng = random.Random(1)
    asked = [{"text": " ".join(rng.choices(WORDS, k=rng.randint(1, 6))).capitalize() + ".",
              "seed": rng.randrange(2**63), "voice": rng.choice(VOICES)} for _ in range(n)]
    with tempfile.TemporaryDirectory() as voices:
        server = Server("--no-mark", voices=voices)
        alone = [server.speak(**a) for a in asked]
        order = rng.sample(range(n), n)
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            together = dict(zip(order, pool.map(lambda i: server.speak(**asked[i]), order)))
        status = server.stop()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda a: generate(a["text"], a["seed"], "--voice", a["voice"]), asked))
    n_together = sum(together[i] == alone[i] for i in range(n))
    n_generate = sum(said[i] == alone[i] for i in range(n))
    print(f"{n} requests: {n_together} equal 64 at a time, {n_generate} equal to csm generate; "
          f"the server ended with {status}")
    return 0 if n_together == n_generate == n and status == 0 else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
