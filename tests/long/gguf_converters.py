# SPDX-License-Identifier: Apache-2.0
"""What tests/reference/gguf_files.py writes is what the peers' own converters write: every tensor,
bit for bit, and every key that it writes; and csm speaks from their files as from the source.

    python tests/long/gguf_converters.py --crispasr DIR --codec-cpp DIR [--csm build/bin/csm]

DIR: checkouts of CrispStrobe/CrispASR at 72d3c38 and of mybigday/codec.cpp at c5ef02b. Packages:
the tests' (scripts/python-env). codec.cpp's backbone comes from llama.cpp's convert_hf_to_gguf.py,
which is not run here: its side of the pair is gguf_files.py's.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGUFReader
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "reference"))
import gguf_files  # noqa: E402
from transformers_frames import random_model, silence_the_end  # noqa: E402


def source(directory):
    """A small model, its configuration in csm-1b's spelling, both names of the audio table."""
    model = random_model(directory, 19, 8, (2, 256, 4, 2, 64, 512), (2, 256, 4, 2, 64, 256))
    silence_the_end(model)
    (model / "generation_config.json").unlink()
    path = model / "config.json"
    config = json.loads(path.read_text())
    for part in config, config["depth_decoder_config"]:
        part |= {"audio_num_codebooks": part["num_codebooks"],
                 "audio_vocab_size": part["vocab_size"],
                 "rope_theta": part["rope_parameters"]["rope_theta"],
                 "rope_scaling": part["rope_parameters"]}
    path.write_text(json.dumps(config))
    tensors = gguf_files.tensors_of(model)
    table = next(tensors[n] for n in gguf_files.AUDIO_TABLES if n in tensors)
    gguf_files.save_tensors(model, tensors | {n: table.copy() for n in gguf_files.AUDIO_TABLES})
    return model


def compare(own, theirs):
    """How many tensors and keys are equal; all that we write must be."""
    a, b = GGUFReader(own), GGUFReader(theirs)
    found = {t.name: t for t in b.tensors}
    skipped = [t.name for t in a.tensors if t.name.startswith(("dec.transformer", "up.r"))]
    for t in a.tensors:
        if t.name in skipped: # the copies that csm does not read
            continue
        other = found[t.name]
        assert t.tensor_type == other.tensor_type and list(t.shape) == list(other.shape), t.name
        assert t.data.tobytes() == other.data.tobytes(), t.name
    ours = {t.name for t in a.tensors}
    missing = [n for n in found if n not in ours and not n.startswith(("dec.transformer", "up.r",
                                                                       "mimi."))]
    assert not missing, missing
    keys = [k for k in a.fields if not k.startswith("GGUF.")]
    for key in keys:
        x, y = a.fields[key].contents(), b.fields[key].contents()
        same = np.array_equal(x, y) if isinstance(x, list) else x == y
        assert same, (key, x, y)
    return f"{len(a.tensors) - len(skipped)} tensors and {len(keys)} keys equal"


def speak(csm, model, out):
    subprocess.run([csm, "generate", "--model-path", model, "--engine", "native", "--dtype", "f32",
                    "--strategy", "exact", "--seed", "5", "--text", "Hello there, Sesame 12345",
                    "--no-normalize", "--max-audio-length-ms", "800", "--output", "none",
                    "--save-tokens", out, "--save-logits", "--quiet"], check=True)
    return load_file(out)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--crispasr", required=True, type=pathlib.Path)
    parser.add_argument("--codec-cpp", required=True, type=pathlib.Path)
    parser.add_argument("--csm", default=ROOT / "build/bin/csm")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        model = source(scratch / "hf")
        want = speak(options.csm, model, scratch / "want")
        for kind in Type.F32, Type.F16:
            theirs = scratch / f"crispasr-{kind.name}.gguf"
            subprocess.run([sys.executable, options.crispasr / "models/convert-csm-to-gguf.py",
                            "--input", model, "--output", theirs, "--outtype", kind.name.lower()],
                           check=True, stdout=subprocess.DEVNULL)
            gguf_files.crispasr(scratch / "own.gguf", model, kind)
            print(f"CrispASR {kind.name}: {compare(scratch / 'own.gguf', theirs)}")
            got = speak(options.csm, theirs, scratch / "got")
            if kind == Type.F32:
                assert np.array_equal(got["logits"], want["logits"])
                print("CrispASR F32: codes and logits of csm equal the source's")
        pair = scratch / "pair"
        gguf_files.pair(pair, model, Type.F16, Type.F16)
        scripts = options.codec_cpp / "scripts"
        subprocess.run([sys.executable, scripts / "convert-to-gguf.py", "--model-type", "csm",
                        "--checkpoint-path", model, "--output", scratch / "theirs.gguf",
                        "--quantization", "F16"], check=True, stdout=subprocess.DEVNULL,
                       env=os.environ | {"PYTHONPATH": os.pathsep.join(
                           [str(scripts), os.environ.get("PYTHONPATH", "")])})
        print(f"codec.cpp F16: {compare(pair / 'csm.gguf', scratch / 'theirs.gguf')}")
        own = speak(options.csm, pair, scratch / "own")
        (scratch / "theirs.gguf").replace(pair / "csm.gguf")
        got = speak(options.csm, pair, scratch / "got")
        assert np.array_equal(got["logits"], own["logits"])
        print("codec.cpp F16: codes and logits of csm equal those of our file")


main()
