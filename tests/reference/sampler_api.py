# SPDX-License-Identifier: Apache-2.0
"""csm/sampling.h of the shared library, for what csm sample has no option for."""

import ctypes

import numpy as np

DTYPES = {"f32": 1, "f16": 2, "bf16": 3}  # csm_dtype


class Config(ctypes.Structure):
    """csm_sampler_options."""

    _fields_ = [("size", ctypes.c_size_t), ("sampler", ctypes.c_int), ("stream", ctypes.c_int), ("dtype", ctypes.c_int),
                ("seed", ctypes.c_uint64), ("temperature", ctypes.c_double),
                ("top_k", ctypes.c_size_t), ("top_p", ctypes.c_double), ("min_p", ctypes.c_double),
                ("repetition_penalty", ctypes.c_double), ("mlx_version", ctypes.c_char_p),
                ("mlx_lm_version", ctypes.c_char_p), ("cuda_threads", ctypes.c_uint64)]


class Library:
    def __init__(self, build_dir):
        self.c = ctypes.CDLL(str(build_dir / "lib" / "libcsm.so"))
        self.c.csm_sampler_close.argtypes = [ctypes.c_void_p]

    def check(self, status, err):
        if status != 0:
            raise ValueError(err.value.decode())

    def sampler(self, **settings):
        return Sampler(self, **settings)

    def mlx_key(self, seed):
        """csm/experimental.h's keys of MLX."""
        key = np.empty(2, np.uint32)
        self.c.csm_mlx_key(ctypes.c_uint64(seed), pointer(key))
        return key

    def mlx_random(self, what, key, n):
        """what: split [n, 2], bits, uniform or gumbel [n]."""
        out = np.empty((n, 2) if what == "split" else n, np.uint32 if what in ("split", "bits") else np.float32)
        getattr(self.c, f"csm_mlx_{what}")(pointer(key), ctypes.c_size_t(n), pointer(out))
        return out

    def greedy(self, x):
        """Tokens of rows [rows, vocab]."""
        tokens, err = np.empty(len(x), np.int32), ctypes.create_string_buffer(512)
        self.check(self.c.csm_draw_greedy(pointer(x), *sizes(x), pointer(tokens), None, err), err)
        return tokens


class Sampler:
    """Settings: the fields of Config, dtype by its name."""

    def __init__(self, library, **settings):
        self.library, self.handle = library, ctypes.c_void_p()
        config, err = Config(size=ctypes.sizeof(Config)), ctypes.create_string_buffer(512)
        library.c.csm_sampler_options_init(ctypes.byref(config))
        settings["dtype"] = DTYPES[settings.get("dtype", "f32")]
        for name, value in settings.items():
            setattr(config, name, value)
        library.check(library.c.csm_sampler_open(ctypes.byref(config), ctypes.byref(self.handle),
                                                   err), err)

    def __del__(self):
        self.library.c.csm_sampler_close(self.handle)

    def set_history(self, ids):
        """ids int32 [rows, n], which the sampler borrows."""
        self.history = ids
        self.library.c.csm_sampler_set_history(self.handle, pointer(ids),
                                               ctypes.c_size_t(ids.shape[1]))

    def draw(self, x):
        """int32 [rows] of float32 [rows, vocab]."""
        tokens, err = np.empty(len(x), np.int32), ctypes.create_string_buffer(512)
        status = self.library.c.csm_sampler_draw(self.handle, pointer(x), *sizes(x),
                                                 pointer(tokens), None, None, err)
        self.library.check(status, err)
        return tokens

    def draw_several(self, x, n_samples):
        """int32 [rows, n_samples]."""
        tokens, err = np.empty((len(x), n_samples), np.int32), ctypes.create_string_buffer(512)
        status = self.library.c.csm_sampler_draw_several(
            self.handle, pointer(x), *sizes(x), ctypes.c_size_t(n_samples), pointer(tokens), err)
        self.library.check(status, err)
        return tokens


def pointer(array):
    assert array.flags.c_contiguous and array.dtype in (np.float32, np.int32, np.uint32)
    return ctypes.c_void_p(array.ctypes.data)


def sizes(x):
    return ctypes.c_size_t(x.shape[0]), ctypes.c_size_t(x.shape[1])
