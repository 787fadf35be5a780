# SPDX-License-Identifier: Apache-2.0
"""csm analyze: files of other programs, exit codes, the report's forms."""

import json
import pathlib
import re
import shutil
import struct

import numpy as np
import pytest

CSM_A = pathlib.Path(__file__).resolve().parents[1] / "golden" / "csm-a"
rng = np.random.default_rng(1)
CODES = rng.integers(1, 2048, (50, 8)).astype(np.int32)


def safetensors(path, tensors, metadata=None):
    """Written by hand: these tests need no package but numpy."""
    names = {np.dtype(np.int32): "I32", np.dtype(np.int64): "I64", np.dtype(np.float32): "F32",
             np.dtype(np.uint16): "U16"}
    header, data = {"__metadata__": metadata or {}}, b""
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def analyzed(csm, *args):
    done = csm("analyze", *args, "--json", check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout), done.returncode


def test_one_stream_is_described(csm, tmp_path):
    a = safetensors(tmp_path / "a.safetensors", {"codes": CODES}, {"seed": "42", "ended": "true"})
    report, code = analyzed(csm, a)
    assert code == 0 and "verdict" not in report
    one = report["a"]
    assert (one["frames"], one["codebooks"], one["ended_by"]) == (50, 8, "itself")
    values, counts = np.unique(CODES[:, 3], return_counts=True)
    assert one["per_codebook"][3]["unique"] == len(values)
    p = counts / counts.sum()
    assert one["per_codebook"][3]["entropy_bits"] == pytest.approx(-(p * np.log2(p)).sum())
    assert one["per_codebook"][3]["top"][0]["count"] == counts.max()


@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<i8", "<u2", "<i2", ">u8"])
def test_numpy_arrays_of_any_integer_type_are_read(csm, tmp_path, dtype):
    np.save(tmp_path / "a.npy", CODES.astype(dtype))
    np.save(tmp_path / "b.npy", np.asfortranarray(CODES)[None])
    report, code = analyzed(csm, tmp_path / "a.npy", tmp_path / "b.npy")
    assert (report["verdict"], code) == ("same", 0)
    assert report["a"]["per_codebook"][0]["highest"] == CODES[:, 0].max()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_is_read_and_compared_with_safetensors(csm, tmp_path, save):
    save(tmp_path / "a.npz", codes=CODES, logits=np.zeros(3, np.float32))
    save(tmp_path / "c.npz", other=CODES.astype(np.int64), x=np.zeros((2, 2)))
    b = safetensors(tmp_path / "b.safetensors", {"anything": CODES.astype(np.int64)})
    for name in ("a.npz", "c.npz"):
        assert analyzed(csm, tmp_path / name, b)[0]["verdict"] == "same"


def test_the_contract_of_a_comparison(csm, tmp_path):
    other = CODES.copy()
    other[20, 5] += 1
    a = safetensors(tmp_path / "a.safetensors", {"codes": CODES})
    b = safetensors(tmp_path / "b.safetensors", {"codes": other})
    report, code = analyzed(csm, a, b)
    assert report["verdict"] in ("same", "rounding", "noise", "logits", "sampler")
    assert code == (0 if report["verdict"] in ("same", "rounding") else 1)
    assert report["first_divergence"]["frame"] == 20
    assert report["first_divergence"]["codebook"] == 5
    assert 0.9 < report["similarity"] < 1 and 0.9 < report["overlap"] <= 1
    assert len(report["per_codebook"]) == 8 and report["per_codebook"][0]["similarity"] == 1
    assert report["explanation"]


def test_a_file_and_itself_are_the_same(csm, tmp_path):
    a = safetensors(tmp_path / "a.safetensors", {"codes": CODES})
    report, code = analyzed(csm, a, a)
    assert (report["verdict"], code, report["first_divergence"]) == ("same", 0, None)
    assert report["similarity"] == 1 and report["total_variation"] == 0


def test_codes_out_of_range_and_nan_logits_fail_the_check(csm, tmp_path):
    wrong = CODES.copy()
    wrong[3, 3] = -5
    assert analyzed(csm, safetensors(tmp_path / "a.safetensors", {"codes": wrong}))[1] == 1
    logits = rng.standard_normal((50, 8, 16)).astype(np.float32)
    logits[7, 2, 4] = np.nan
    b = safetensors(tmp_path / "b.safetensors", {"codes": CODES % 16, "logits": logits})
    report, code = analyzed(csm, b)
    assert code == 1 and report["a"]["health"]["first_bad"] == {"frame": 7, "codebook": 2}


MODEL = pathlib.Path(__file__).resolve().parents[1] / "golden" / "csm-a"


def spoken(csm, tmp_path, name, file, *more):
    """A token file with logits, of csm-a under a generation_config.json of ours."""
    model = tmp_path / name
    shutil.copytree(MODEL, model)
    (model / "generation_config.json").unlink()
    (model / "generation_config.json").write_text(json.dumps(file))
    csm("generate", "--model-path", model, "--text", "Hello there.", "--seed", "4", "--strategy",
        "exact", "--engine", "native", "--dtype", "f32", "--max-audio-length-ms", "1200",
        "--output", "none", "--quiet", "--save-tokens", tmp_path / f"{name}.st", *more)
    return tmp_path / f"{name}.st"


DRAWN = {"do_sample": True, "depth_decoder_do_sample": True, "temperature": 0.9,
         "depth_decoder_temperature": 0.9}


@pytest.mark.parametrize("keys, cause, confidence, words", [
    ({"top_p": 0.6}, "top_p", 0.99, "A was drawn with top-p 1, B with 0.6."),
    ({"depth_decoder_min_p": 0.4}, "min_p", 0.99, "A was drawn with min-p 0, B with 0.4."),
    ({"typical_p": 0.4}, "cutoff", 0.99, "A was drawn with typical-p 0, B with 0.4."),
    ({"depth_decoder_eta_cutoff": 0.3}, "cutoff", 0.99, "an eta cutoff of 0, B with 0.3."),
    ({"depth_decoder_suppress_tokens": list(range(600))}, "code_rules", 0.7,
     "rules over codes differs: none against depth_decoder_suppress_tokens.")])
def test_what_leaves_codes_out_is_named(csm, tmp_path, keys, cause, confidence, words):
    a = spoken(csm, tmp_path, "a", DRAWN, "--save-logits")
    b = spoken(csm, tmp_path, "b", DRAWN | keys, "--save-logits")
    report, code = analyzed(csm, a, b)
    assert (report["verdict"], report["cause"], code) == ("sampler", cause, 1)
    assert report["confidence"] == confidence and words in report["explanation"]


def header_of(path):
    raw = path.read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8:8 + n]), raw[8 + n:]


def as_another_machine(path, like, greedy=None):
    """The same draws from logits as off as another order of sums leaves them, without margins, under
    the metadata of `like`; greedy: a codebook that takes the most probable code."""
    header, data = header_of(path)
    arrays = {}
    for name, kind in (("codes", np.int32), ("logits", np.float32)):
        first, last = header[name]["data_offsets"]
        arrays[name] = np.frombuffer(data[first:last], kind).reshape(header[name]["shape"])
    noise = np.random.default_rng(2).standard_normal(arrays["logits"].shape).astype(np.float32)
    arrays["logits"] = arrays["logits"] * (1 + np.float32(1e-6) * noise)
    if greedy is not None:
        arrays["codes"] = arrays["codes"].copy()
        arrays["codes"][:, greedy] = arrays["logits"][:, greedy].argmax(-1)
    return safetensors(path.with_suffix(".other"), arrays, header_of(like)[0]["__metadata__"])


def drawn_with(csm, path, *more):
    csm("generate", "--model-path", MODEL, "--text", "Hello there.", "--seed", 4, "--strategy", "exact",
        "--engine", "native", "--dtype", "f32", "--max-audio-length-ms", 8000, "--temperature", 0.9,
        "--topk", 50, "--output", "none", "--quiet", "--save-logits", "--save-tokens", path, *more)
    return path


@pytest.mark.parametrize("options, cause, words", [
    (["--topk", 49], "top_k", "A was drawn with top-k 50, B with top-k 49."),
    (["--topk", 51], "top_k", "A was drawn with top-k 50, B with top-k 51."),
    (["--top-p", 0.95], "top_p", "A was drawn with top-p 1, B with 0.95."),
    (["--depth-min-p", 0.05], "min_p", "A was drawn with min-p 0, B with 0.05."),
    (["--depth-temperature", 0.8], "temperature", "B at temperature 0.8 in the depth decoder."),
    (["--depth-topk", 1], "top_k", "A was drawn with top-k 50, B with top-k 1 in the depth decoder."),
    (["--depth-temperature", 0], "greedy", "B takes the most probable code each time in the depth decoder")])
def test_a_sampler_is_no_rounding_where_the_logits_are(csm, tmp_path, options, cause, words):
    """Logits that differ by rounding, settings that no file tells, and codes that part."""
    a = drawn_with(csm, tmp_path / "a.st")
    report, code = analyzed(csm, a, as_another_machine(drawn_with(csm, tmp_path / "b.st", *options), a))
    assert (report["verdict"], report["cause"], code) == ("sampler", cause, 1), report["explanation"]
    assert words in report["explanation"]


def test_draws_of_one_codebook_are_told_from_other_noise(csm, tmp_path):
    a = drawn_with(csm, tmp_path / "a.st")
    report, code = analyzed(csm, a, as_another_machine(a, a, greedy=3))
    assert (report["verdict"], report["cause"], code) == ("sampler", "unknown", 1), report["explanation"]
    assert "the noise is the same, and the sampler differs, in draws of codebook 3 alone" in report["explanation"]


@pytest.mark.parametrize("keys, cause, words", [
    ({"library": ["PyTorch 2.13.0, oneDNN 3.12.0", "PyTorch 2.15.0, oneDNN 3.13.3"]}, "library",
     "PyTorch or oneDNN is another: PyTorch 2.13.0, oneDNN 3.12.0 against PyTorch 2.15.0"),
    ({"processor": ["AVX512 avx512_bf16 amx_bf16", "AVX512 avx512_bf16"]}, "processor",
     "AVX512 avx512_bf16 amx_bf16 against AVX512 avx512_bf16."),
    ({"processor": ["AVX512 ONEDNN_MAX_CPU_ISA=AVX2", "AVX2"], "library": ["a", "b"]}, "library",
     "their cap, are others: AVX512 ONEDNN_MAX_CPU_ISA=AVX2 against AVX2."),
    ({"threads": ["1", "2"]}, "processor", "number of threads is another: 1 against 2."),
    ({"device": ["cpu", "cuda:0"]}, "processor", "the device is another: cpu against cuda:0."),
    ({"library": ["a", "a"], "threads": ["2", "2"]}, "rounding", "")])
def test_what_rounds_otherwise_is_named(csm, tmp_path, keys, cause, words):
    """A close race lost: margins of either side are tiny where the codes part."""
    other, margins = CODES.copy(), np.full(CODES.shape, 2, np.float32)
    other[30, 3:] = (other[30, 3:] + 7) % 2048
    other[31:] = rng.integers(1, 2048, other[31:].shape)
    margins[30, 3] = 1e-4
    files = [safetensors(tmp_path / f"{i}.st", {"codes": codes, "margins": margins},
                         {"dtype": "f32", "seed": "1"} | {k: v[i] for k, v in keys.items()})
             for i, codes in enumerate((CODES, other))]
    report, code = analyzed(csm, *files)
    assert (report["verdict"], report["cause"], code) == ("rounding", cause, 0)
    assert words in report["explanation"]


def test_usage_and_refusals(csm, tmp_path):
    assert csm("analyze", check=False).returncode == 2
    assert csm("analyze", "a", "b", "c", check=False).returncode == 2
    assert csm("analyze", "a", "--nonsense", check=False).returncode == 2
    assert csm("analyze", tmp_path / "missing.safetensors", check=False).returncode == 3


def hostile():
    np_header = b"\x93NUMPY\x01\x00"
    yield "empty", b""
    yield "text", b"hello, this is no tensor at all\n"
    yield "npy-cut", np_header + b"\x76\x00{'descr': '<i4'"
    text = b"{'descr': '<i4', 'fortran_order': False, 'shape': (1000000000, 1000), }"
    yield "npy-huge", np_header + struct.pack("<H", len(text)) + text
    yield "npy-objects", np_header + struct.pack("<H", 70) + b"{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }".ljust(70)
    yield "zip-cut", b"PK\x03\x04" + b"\x00" * 100
    yield "safetensors-cut", struct.pack("<Q", 1 << 40) + b"{}"


@pytest.mark.parametrize("name,content", list(hostile()))
def test_hostile_files_are_refused(csm, tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    done = csm("analyze", path, check=False)
    assert done.returncode == 3, done
    assert done.stderr.startswith("csm: ") and done.stdout == ""


@pytest.mark.parametrize("text", ["1 2 3 4\n5 6 7 8\n", "1,2,3\r\n", "[[1, 2], [3, 4]]", "7",
                                  '{"codes": [[1, 2]]}', "\n\n1\t2\n"])
def test_codes_as_text_are_refused_with_the_way_out(csm, tmp_path, text):
    (tmp_path / "codes.txt").write_text(text, newline="")
    for command in ("analyze", tmp_path / "codes.txt"), ("codec", "decode", tmp_path / "codes.txt",
                                                         tmp_path / "o.wav"):
        done = csm(*command, check=False)
        assert done.returncode == 3 and not (tmp_path / "o.wav").exists()
        assert "codes.txt: text, expected codes as safetensors, .npy or .npz" in done.stderr


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_codes_of_a_spreadsheet_are_text_too(csm, tmp_path, encoding):
    (tmp_path / "codes.csv").write_text("1,2,3\n", encoding=encoding)  # FF FE is no MPEG
    done = csm("analyze", tmp_path / "codes.csv", check=False)
    assert done.returncode == 3 and "codes.csv: text, expected codes as" in done.stderr


def test_tensors_that_do_not_fit_the_codes_are_refused(csm, tmp_path):
    for bad in ({"margins": np.zeros((50, 7), np.float32)},
                {"logits": np.zeros((50, 8), np.float32)},
                {"probs": np.zeros((50, 8), np.int32)}):
        path = safetensors(tmp_path / "bad.safetensors", {"codes": CODES, **bad})
        assert csm("analyze", path, check=False).returncode == 3
    for only in ({"codes": np.zeros((5, 8), np.float32)}, {"a": CODES, "b": CODES},
                 {"codes": np.zeros((2, 3, 8), np.int32)}):
        path = safetensors(tmp_path / "bad.safetensors", only)
        assert csm("analyze", path, check=False).returncode == 3


def test_the_table_fits_a_terminal(csm, tmp_path):
    wide = rng.integers(0, 2048, (200, 32)).astype(np.int32)
    margins = rng.exponential(size=wide.shape).astype(np.float32)
    a = safetensors(tmp_path / "a.safetensors", {"codes": wide, "margins": margins},
                    {"text": "words " * 100, "seed": "1"})
    b = safetensors(tmp_path / "b.safetensors", {"codes": wide[::-1].copy(), "margins": margins})
    for args in ((a,), (a, b)):
        lines = csm("analyze", *args, check=False).stdout.splitlines()
        assert lines and max(map(len, lines)) <= 80, max(lines, key=len)


def test_the_page_is_self_contained_and_escapes_what_files_say(csm, tmp_path):
    a = safetensors(tmp_path / "a.safetensors", {"codes": CODES},
                    {"text": "<script>alert(1)</script>"})
    b = safetensors(tmp_path / "b.safetensors", {"codes": CODES[::-1].copy()})
    page = tmp_path / "page.html"
    csm("analyze", a, b, "--html", page, "--png", tmp_path / "png", check=False)
    text = page.read_text()
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not re.search(r"(src|href)=\"(?!data:)", text) and "@import" not in text
    assert "prefers-color-scheme:dark" in text and text.count("<svg") >= 4
    pictures = sorted(p.name for p in (tmp_path / "png").iterdir())
    assert "differing.png" in pictures and "similarity.png" in pictures
    assert (tmp_path / "png" / "differing.png").read_bytes().startswith(b"\x89PNG")


def test_two_prompts_and_two_models_are_called_that(csm, tmp_path):
    """Whatever noise and margins would say of them."""

    def spoken(name, *options):
        csm("generate", "--quiet", "--seed", 1, "--output", "none", "--save-tokens", tmp_path / name, *options)
        return tmp_path / name

    a = spoken("a.st", "--text", "Where do we part?")
    for b, words in [(spoken("b.st", "--text", "Where do we"), "the text differs"),
                     (spoken("c.st", "--text", "Where do we part?", "--speaker", 1), "the speaker differs")]:
        report, code = analyzed(csm, a, b)
        assert (report["verdict"], report["cause"], code) == ("logits", "prompt", 1)
        assert words in report["explanation"]
    logits = spoken("l.st", "--text", "Where do we part?", "--save-logits")
    other = spoken("o.st", "--text", "Where do we part?", "--save-logits", "--model-path", CSM_A,
                   "--max-audio-length-ms", 400)
    report, code = analyzed(csm, logits, other)
    assert (report["verdict"], report["cause"], code) == ("logits", "model", 1)
    assert "two models" in report["explanation"]


def permuted(*order):
    return CODES[:, list(order)]


@pytest.mark.parametrize(("other", "words"), [
    (permuted(0, 2, 1, 3, 4, 5, 6, 7), "codebook 1 holds A's codebook 2, 2 of them"),
    (permuted(7, 6, 5, 4, 3, 2, 1, 0), "codebook 0 holds A's codebook 7, 8 of them"),
    (permuted(0, 1, 4, 2, 3, 5, 6, 7), "codebook 2 holds A's codebook 4, 3 of them"),
    (permuted(1, 2, 3, 4, 5, 6, 7, 0), "Codebook off by 1: B's codebook k holds what A's codebook k+1"),
    (np.roll(CODES, 1, 0), "Frames off by 1"), (CODES[2:], "Frames off by 2"), (CODES + 1, "Each code of B is A's +1")],
    ids=["two", "reversed", "three", "rolled", "late", "early", "plus one"])
def test_codes_in_other_places_are_called_that(csm, tmp_path, other, words):
    """With logits or without: no seed puts the same codes elsewhere."""
    a = safetensors(tmp_path / "a.safetensors", {"codes": CODES})
    b = safetensors(tmp_path / "b.safetensors", {"codes": np.ascontiguousarray(other.astype(np.int32))})
    report, code = analyzed(csm, a, b)
    assert (report["verdict"], code) == ("logits", 1) and report["cause"] in (
        "codebook", "frame_offset", "code_offset")
    assert words in report["explanation"] and report["confidence"] == 0.99


def delayed(*by):
    """B's codebook k begins by[k] frames later; zeros stand before and behind."""
    out = np.zeros((len(CODES) + max(by), CODES.shape[1]), CODES.dtype)
    for k, late in enumerate(by):
        out[late:late + len(CODES), k] = CODES[:, k]
    return out


@pytest.mark.parametrize(("other", "cause", "words"), [
    (delayed(0, 1, 2, 3, 4, 5, 6, 7), "frame_offset", "codebook 1 comes 1 frames later than A's, its last one 7"),
    (delayed(0, 2, 2, 2, 2, 2, 2, 2), "frame_offset", "codebook 1 comes 2 frames later than A's, its last one 2"),
    (CODES + 2051 * np.arange(8), "code_offset", "codebook 1 are A's +2051, of its last codebook +14357"),
    (np.delete(CODES, 20, 0), "frame_offset", "From frame 20 on B's frame f holds what A's frame f+1 does"),
    (np.insert(CODES, 20, CODES[4], 0), "frame_offset", "what A's frame f-1 does: frames were put in"),
    (np.repeat(CODES, 2, 0), "frame_offset", "B has each frame of A twice"),
    (CODES[::2], "frame_offset", "B has every other frame of A")],
    ids=["each later", "all but one later", "one table", "lost", "put in", "twice", "halved"])
def test_codes_that_are_moved_by_parts_are_called_that(csm, tmp_path, other, cause, words):
    """MusicGen's and Moshi's delays, Sesame's audio table, a stream that lost a frame: no seed does that."""
    a = safetensors(tmp_path / "a.safetensors", {"codes": CODES})
    b = safetensors(tmp_path / "b.safetensors", {"codes": np.ascontiguousarray(other.astype(np.int32))})
    report, code = analyzed(csm, a, b)
    assert (report["verdict"], report["cause"], code) == ("logits", cause, 1)
    assert words in report["explanation"] and report["confidence"] == 0.99


def test_one_code_that_differs_is_no_other_seed(csm, tmp_path):
    """All that follows is equal, which no other noise would give."""
    other = CODES.copy()
    other[5, 0] ^= 1
    report, code = analyzed(csm, safetensors(tmp_path / "a.safetensors", {"codes": CODES}),
                            safetensors(tmp_path / "b.safetensors", {"codes": other}))
    assert (report["verdict"], code) == ("logits", 1) and "noise and sampler are the same" in report["explanation"]


def test_a_file_that_says_nothing_of_its_weights_is_not_said_to(csm, drawn, tmp_path):
    """One side's word is not the files' own word."""
    meta, tensors = drawn
    a = safetensors(tmp_path / "a.safetensors", tensors, {**meta, "precision": "q8"})
    codes = tensors["codes"].copy()
    at = np.unravel_index(np.argmin(tensors["margins"]), codes.shape)
    codes[at] ^= 1
    report, _ = analyzed(csm, a, safetensors(tmp_path / "b.safetensors", {"codes": codes}))
    assert report["cause"] != "quantization" and "own word" not in report["explanation"]


def test_codes_that_were_cut_short_are_no_rounding(csm, drawn, tmp_path):
    """The side that went on won its race by far, though the other has no margins."""
    meta, tensors = drawn
    n = next(f for f in range(10, len(tensors["codes"])) if tensors["margins"][f, 0] > 1)
    a = safetensors(tmp_path / "a.safetensors", tensors, meta)
    report, code = analyzed(csm, a, safetensors(tmp_path / "b.safetensors", {"codes": tensors["codes"][:n]}))
    assert (report["verdict"], report["cause"], code) == ("sampler", "ending", 1)


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("turned", [False, True])
def test_the_frame_that_ends_speech_is_no_difference(csm, drawn, tmp_path, n, turned):
    """transformers' sequences keep it, and a batch is filled with it; another frame is one."""
    meta, tensors = drawn
    codes, meta = tensors["codes"][:20], {**meta, "ended": "true"}
    cut = {k: v[:20] for k, v in tensors.items()}
    a = safetensors(tmp_path / "a.safetensors", cut, meta)
    kept = np.concatenate([codes, np.zeros((n, codes.shape[1]), codes.dtype)])
    b = safetensors(tmp_path / "b.safetensors", {"codes": kept})
    report, code = analyzed(csm, *((b, a) if turned else (a, b)))
    assert (report["verdict"], report["cause"], code) == ("same", "none", 0), report["explanation"]
    assert f"{'A' if turned else 'B'} keeps the frame of zeros that ends speech" in report["explanation"]
    kept[-1, -1] = 1
    report, _ = analyzed(csm, a, safetensors(tmp_path / "c.safetensors", {"codes": kept}))
    assert report["verdict"] != "same"


def test_a_part_of_the_codebooks_is_said_to_be_one(csm, tmp_path):
    a = safetensors(tmp_path / "a.safetensors", {"codes": CODES})
    b = safetensors(tmp_path / "b.safetensors", {"codes": np.ascontiguousarray(CODES[:, :5])})
    report, code = analyzed(csm, a, b)
    assert (report["verdict"], code) == ("same", 0)
    assert report["explanation"].startswith("A has 8 codebooks, B has 5: those that both have")


@pytest.fixture(scope="module")
def drawn(csm, tmp_path_factory):
    """Codes, margins and logits of a stream that its limit cut, and its metadata."""
    path = tmp_path_factory.mktemp("drawn") / "a.safetensors"
    csm("generate", "--model-path", CSM_A, "--text", "Hello there.", "--seed", 1, "--engine", "native", "--output",
        "none", "--save-tokens", path, "--save-logits", "--max-audio-length-ms", 2000, "--quiet")
    raw = path.read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + n])
    return header.pop("__metadata__"), {
        k: np.frombuffer(raw[8 + n:], {"I32": "<i4", "F32": "<f4"}[v["dtype"]], v["data_offsets"][1] // 4
                         - v["data_offsets"][0] // 4, v["data_offsets"][0]).reshape(v["shape"])
        for k, v in header.items()}


@pytest.mark.parametrize("keeps", [("codes", "margins", "probs", "logits"), ("codes", "margins", "probs")],
                         ids=["logits", "margins"])
@pytest.mark.parametrize("noise", [0, 1e-7], ids=["equal", "rounded"])
@pytest.mark.parametrize("turned", [False, True])
def test_an_end_without_a_close_race_is_no_rounding(csm, tmp_path, drawn, keeps, noise, turned):
    """One ends by itself at frame 20 and the other goes on by a wide margin."""
    metadata, tensors = drawn
    late = safetensors(tmp_path / "late.safetensors", {k: tensors[k] for k in keeps}, metadata)
    cut = {k: tensors[k][:20] for k in keeps}
    if "logits" in cut:
        cut["logits"] = cut["logits"] * np.float32(1 + noise)
    early = safetensors(tmp_path / "early.safetensors", cut, {**metadata, "ended": "true"})
    assert tensors["margins"][20, 0] > 0.1
    report, code = analyzed(csm, *((early, late) if turned else (late, early)))
    assert (report["verdict"], report["cause"], code) == ("sampler", "ending", 1), report["explanation"]
    # The same files, with a race that was close: that is rounding.
    close = {k: tensors[k].copy() for k in keeps}
    close["margins"][20, 0] = 1e-7
    late = safetensors(tmp_path / "close.safetensors", close, metadata)
    if "logits" not in keeps or noise > 0:
        report, code = analyzed(csm, *((early, late) if turned else (late, early)))
        assert (report["verdict"], code) == ("rounding", 0), report["explanation"]


def test_nothing_is_concluded_from_no_frame(csm, tmp_path):
    a = safetensors(tmp_path / "a.safetensors", {"codes": CODES})
    b = safetensors(tmp_path / "b.safetensors", {"codes": CODES[:0]}, {"ended": "true"})
    report, code = analyzed(csm, a, b)
    assert code == 1 and report["confidence"] <= 0.2 and "nothing tells why" in report["explanation"]
