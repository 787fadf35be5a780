# SPDX-License-Identifier: Apache-2.0
"""A GGUF file as lists that can be spoilt: read, changed, written again, with no checks."""

import struct

FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


class Gguf:
    """version; pairs: key -> (type, bytes of the value); tensors: name -> [sizes, type, offset],
    sizes as in the file, the contiguous one first; data."""

    def __init__(self, path):
        self.raw, self.at = path.read_bytes(), 4
        self.version, n_tensors, n_pairs = self.take("<IQQ")
        self.pairs, self.tensors = {}, {}
        for _ in range(n_pairs):
            key = self.take_text()
            (kind,) = self.take("<I")
            begin = self.at
            self.skip(kind)
            self.pairs[key] = (kind, self.raw[begin:self.at])
        for _ in range(n_tensors):
            name = self.take_text()
            (rank,) = self.take("<I")
            sizes = list(self.take(f"<{rank}Q"))
            self.tensors[name] = [sizes, *self.take("<IQ")]
        self.data = self.raw[-(-self.at // 32) * 32:]

    def take(self, form):
        values = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return values

    def take_text(self):
        (n,) = self.take("<Q")
        self.at += n
        return self.raw[self.at - n:self.at].decode()

    def skip(self, kind):
        if kind == STRING:
            self.take_text()
        elif kind == ARRAY:
            inner, n = self.take("<IQ")
            for _ in range(n):
                self.skip(inner)
        else:
            self.take("<" + FIXED[kind])

    def header(self, n_tensors=None, n_pairs=None):
        out = b"GGUF" + struct.pack("<IQQ", self.version,
                                    len(self.tensors) if n_tensors is None else n_tensors,
                                    len(self.pairs) if n_pairs is None else n_pairs)
        for key, (kind, value) in self.pairs.items():
            out += text(key) + struct.pack("<I", kind) + value
        for name, (sizes, kind, offset) in self.tensors.items():
            out += text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)
        return out

    def write(self, path, **counts):
        head = self.header(**counts)
        path.write_bytes(head + b"\0" * (-len(head) % 32) + self.data)
