# SPDX-License-Identifier: Apache-2.0
"""Prompts of the family, id by id, as mlx-audio makes them: Marvis (SmolLM2's pre-tokenizer, its
template), MisoTTS (`speaker_prefix_space`), csm-1b's (Llama 3's ends). 1,000 texts each.

    python tests/long/marvis_prompts.py [--csm-build build] [--seed N]

The method that is called is mlx-audio 0.6.2's own, on tokenizers of the test's vocabulary: none of
these repositories' are at hand. Packages: the tests' (scripts/python-env), and mlx-audio itself,
which is installed into a temporary directory without what it needs to be heard.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "reference")]
MLX_AUDIO = "mlx-audio==0.6.2"


def tokenizer_in(directory, content, ends):
    directory.mkdir()
    (directory / "tokenizer.json").write_text(json.dumps(content))
    (directory / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": ends[0], "eos_token": ends[1],
        "clean_up_tokenization_spaces": False}))
    return directory


def with_template(content, ends):
    """The post_processor that puts the ends around a text, as tokenizers writes it."""
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{ends[0]}:0 $A:0 {ends[1]}:0",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ends])
    return json.loads(tokenizer.to_str())


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--csm-build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target",
                        scratch / "peer", MLX_AUDIO], check=True)
        sys.path.insert(0, str(scratch / "peer"))
        os.environ["HF_HUB_OFFLINE"] = "1"
        from mlx_audio.tts.models.sesame import sesame
        from test_tokenizer import base, encode, smollm2, texts
        from transformers import AutoTokenizer

        rng = random.Random(asked.seed)
        smol, llama = ("<|im_start|>", "<|im_end|>"), ("<|begin_of_text|>", "<|end_of_text|>")
        marvis = with_template(smollm2(rng), smol)
        llama_like = json.loads(base(1500, rng, ignore_merges=True).to_str())
        kinds = [("marvis", marvis, smol, False, AutoTokenizer.from_pretrained),
                 ("miso", with_template(llama_like, llama), llama, True, AutoTokenizer.from_pretrained),
                 ("csm-1b", llama_like, llama, False, sesame.load_llama3_tokenizer)]
        failed = False
        for name, content, ends, has_space, load in kinds:
            directory = tokenizer_in(scratch / name, content, ends)
            peer = types.SimpleNamespace(_text_tokenizer=load(str(directory)), _frame_size=33,
                                         _speaker_prefix_space=has_space)
            cases = texts(1000, rng)
            found, _ = encode(asked.csm_build, directory / "tokenizer.json", cases,
                              "prompt-space" if has_space else "prompt")
            wanted = [sesame.Model._tokenize_text_segment(peer, t, 7)[0][:, -1].tolist()
                      for t in cases]
            differ = sum(a != b for a, b in zip(found, wanted, strict=True))
            print(f"{name}: {len(cases)} texts, {sum(map(len, wanted))} ids, {differ} texts differ "
                  f"(seed {asked.seed})")
            failed = failed or differ > 0
    sys.exit(1 if failed else 0)


main()
