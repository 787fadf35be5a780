# SPDX-License-Identifier: Apache-2.0
"""Ids of csm's tokenizer against Hugging Face `tokenizers` with the same file."""

import json
import os
import random
import subprocess
import sys
import unicodedata

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers import trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SEED = int(os.environ.get("CSM_SEED", random.SystemRandom().randrange(10**6)))

WORDS = """the a of and to in is it that was for on are with as his they be at one have this from
or had by hot but some what there we can out other were all your when up use word how said an each
she which do their time if will way about many then them would write like so these her long make
thing see him two has look more day could go come did my sound no most number who over know water
than call first people may down side been now find any new work part take get place made live where
after back little only round man year came show every good me give our under name very through just
form much great think say help low line before turn cause same mean differ move right boy old too
does tell sentence set three want air well also play small end put home read hand port large spell
Conversational speech model Sesame voice I'm you're we've he'd they'll isn't don't O'Neill""".split()


def assigned():
    """Code points that PCRE2 and `tokenizers` both know: all of Unicode 14 if that is Python's,
    else the old ones (newer Pythons know more than a distribution's PCRE2)."""
    known = unicodedata if unicodedata.unidata_version < "15" else unicodedata.ucd_3_2_0
    return [c for c in range(0x80, 0x110000)
            if not 0xD800 <= c <= 0xDFFF and known.category(chr(c)) != "Cn"]


def texts(n, rng):
    """Strings of many kinds: prose, code, numbers, runs of space, every script, emoji, specials."""
    points = assigned()
    spaces = [" ", "  ", "\t", "\n", "\r\n", "\r", "\v", "\f", "\u0085", "\u00a0", "\u1680",
              "\u180e", "\u2003", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b"]
    odd = ["'s", "'S", "'ſ", "'RE", "'ll", "'vegot", "İ", "ß", "ﬀ", "Å", "e\u0301", "👩‍👩‍👧", "🇩🇪", "½",
           "Ⅷ", "٣", "一二三", "[0]", "[12]", "<|AUDIO|>", "<|audio_eos|>", "<|begin_of_text|>",
           "<|end", "<|word|>", "<mask>", "<norm>", "\\", "\"", "{}", "()", "=>", "::", "--", "...",
           "_x", "x_", "1,234.56", "0x1F", "12345678", "a1b2", "https://a.b/c?d=e", "\x00", "\x7f"]
    out = ["", " ", "\n", "a", "'", "''s", "I'vegot", "a  b", "a\n\n b", " \n ", "  \r\n\r\n  x"]
    while len(out) < n:
        kind = rng.random()
        if kind < 0.35:
            out.append(" ".join(rng.choices(WORDS, k=rng.randrange(1, 25))).capitalize()
                       + rng.choice([".", "!", "?", "...", "\n", ""]))
        elif kind < 0.6:
            out.append("".join(rng.choice([rng.choice(WORDS), rng.choice(spaces), rng.choice(odd),
                                           str(rng.randrange(10**rng.randrange(1, 9)))])
                               for _ in range(rng.randrange(1, 16))))
        elif kind < 0.8:
            start = rng.randrange(len(points))
            block = points[max(0, start - 100):start + 100]
            out.append("".join(chr(rng.choice(block)) if rng.random() < 0.8 else
                               rng.choice(spaces + odd) for _ in range(rng.randrange(1, 24))))
        elif kind < 0.9:
            out.append("".join(chr(rng.choice(points)) for _ in range(rng.randrange(1, 16))))
        else:
            out.append(rng.choice(WORDS + spaces + odd) * rng.randrange(1, 60))
    return [t.replace("\x00", "\x01") for t in out]


def encode(build_dir, path, cases, mode=False):
    mode = ["template"] if mode is True else [mode] if mode else []
    done = subprocess.run([build_dir / "bin" / "encode_texts", path, *mode],
                          input=b"".join(t if isinstance(t, bytes) else t.encode() + b"\0"
                                         for t in cases),
                          capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return [line if line == "refused" else [int(i) for i in line.split()]
            for line in done.stdout.decode().split("\n")[:-1]], done.stderr.decode()


def compare(build_dir, tokenizer, path, cases, template=False):
    found, _ = encode(build_dir, path, cases, template)
    assert len(found) == len(cases)
    expected = tokenizer.encode_batch(cases, add_special_tokens=template)
    wrong = [(t, e.ids, f) for t, e, f in zip(cases, expected, found) if e.ids != f]
    assert not wrong, f"{len(wrong)} of {len(cases)} differ (CSM_SEED={SEED}); first: {wrong[0]}"


def base(vocab_size, rng, ignore_merges, **pipeline):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pipeline.get("pre_tokenizer", pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts(4000, rng), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in
                                  ("<|begin_of_text|>", "<|end_of_text|>", "<|AUDIO|>",
                                   "<|audio_eos|>", "<|AUDIO|><")])
    first, last = (tokenizer.token_to_id(t) for t in ("<|begin_of_text|>", "<|end_of_text|>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A <|end_of_text|>",
        special_tokens=[("<|begin_of_text|>", first), ("<|end_of_text|>", last)])
    return tokenizer


@pytest.fixture(scope="module")
def llama_like(tmp_path_factory):
    print(f"CSM_SEED={SEED}")
    tokenizer = base(6000, random.Random(SEED), ignore_merges=True)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return tokenizer, path


def test_20000_strings(build_dir, llama_like):
    tokenizer, path = llama_like
    compare(build_dir, tokenizer, path, texts(20000, random.Random(SEED + 1)))


def test_template(build_dir, llama_like):
    tokenizer, path = llama_like
    compare(build_dir, tokenizer, path, texts(1000, random.Random(SEED + 2)), template=True)


def test_marks_numerals_forms_and_contractions(build_dir, llama_like):
    """What lies beside \\p{L} and \\p{N}: runs of marks, numerals of every script, jamo, format characters,
    the four normal forms, contractions behind letters and marks."""
    tokenizer, path = llama_like
    rng, of = random.Random(SEED + 3), {}
    for c in map(chr, assigned()):
        of.setdefault(unicodedata.category(c)[0], []).append(c)
    marks, jamo = of["M"], [chr(c) for c in range(0x1100, 0x1200)]
    spaces = [" ", "\t", "\n", "\r", "\r\n", "\u0085", "\u00a0", "\u2028", "\u200b", "\ufeff", "\u200d", "\ufe0f"]
    ends = ["'s", "'S", "\u2019s", "'RE", "'rE", "'Ll", "'D", "'\u017f", "'M", "''ve", "'t's"]
    kinds = [(WORDS, marks, marks), (of["N"], of["N"], list("0123456789"), spaces), (jamo, marks),
             (of["S"], of["P"], of["C"], spaces), (of["L"], ends, spaces, marks)]
    cases = []
    for i in range(4000):
        kind = rng.choice(kinds)
        text = "".join(rng.choice(rng.choice(kind)) for _ in range(rng.randrange(1, 40)))
        form = ("", "NFC", "NFD", "NFKC", "NFKD")[i % 5]
        cases.append(unicodedata.normalize(form, text) if form else text)
    compare(build_dir, tokenizer, path, cases)


def test_every_character(build_dir, llama_like):
    """Each character between letters, alone, and doubled: what \\p{L}, \\p{N} and \\s are."""
    tokenizer, path = llama_like
    cases = [f"a{chr(c)}b 1{chr(c)}2{chr(c)}{chr(c)} {chr(c)}\n" for c in assigned()]
    compare(build_dir, tokenizer, path, cases)


def test_merges_as_strings_and_without_ignore_merges(build_dir, llama_like, tmp_path):
    rng = random.Random(SEED + 3)
    content = json.loads(llama_like[1].read_text())
    content["model"]["ignore_merges"] = False
    content["model"]["merges"] = [" ".join(m) if not isinstance(m, str) else m
                                  for m in content["model"]["merges"]]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content, ensure_ascii=False))
    compare(build_dir, Tokenizer.from_file(str(path)), path, texts(3000, rng))


def test_words_of_the_vocabulary_that_no_merge_makes(build_dir, llama_like, tmp_path):
    """ignore_merges finds a whole piece that merging would not give."""
    content = json.loads(llama_like[1].read_text())
    content["model"]["merges"] = content["model"]["merges"][:300]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    compare(build_dir, Tokenizer.from_file(str(path)), path, texts(3000, random.Random(SEED + 4)))


def test_gpt2_style_with_leading_space(build_dir, tmp_path):
    rng = random.Random(SEED + 5)
    tokenizer = base(1200, rng, ignore_merges=False,
                     pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True))
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    compare(build_dir, tokenizer, path, texts(3000, rng))


def test_sequences_within_sequences(build_dir, tmp_path):
    rng = random.Random(SEED + 10)
    inner = pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "isolated"),
                                     pre_tokenizers.Split(Regex(LLAMA3), "isolated")])
    tokenizer = base(1200, rng, ignore_merges=False, pre_tokenizer=pre_tokenizers.Sequence([
        inner, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))
    tokenizer.post_processor = processors.Sequence([processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), tokenizer.post_processor])])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    compare(build_dir, tokenizer, path, texts(1000, rng), template=True)


def smollm2(rng, individual=True):
    """SmolLM2's pipeline: digits by themselves, then GPT-2's pattern; nothing around a text."""
    tokenizer = base(1500, rng, ignore_merges=False, pre_tokenizer=pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=individual),
        pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    content = tokenizer.to_str().replace("<|begin_of_text|>", "<|im_start|>")
    content = json.loads(content.replace("<|end_of_text|>", "<|im_end|>"))
    content["post_processor"] = None
    return content


@pytest.mark.parametrize("individual", [True, False])
def test_smollm2_style_digits(build_dir, tmp_path, individual):
    rng = random.Random(SEED + 9)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(smollm2(rng, individual)))
    tokenizer = Tokenizer.from_file(str(path))
    compare(build_dir, tokenizer, path, texts(3000, rng))
    compare(build_dir, tokenizer, path, ["Hello 2025", "a1b22c333", "½ Ⅷ ٣ ²", "1 2\n3", "12e-3"])


def test_marvis_prompt(build_dir, tmp_path):
    """Its training code's ends around SmolLM2's ids, 1,000 texts."""
    rng = random.Random(SEED + 10)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(smollm2(rng)))
    tokenizer = Tokenizer.from_file(str(path))
    ends = [(t, tokenizer.token_to_id(t)) for t in ("<|im_start|>", "<|im_end|>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|>:0 $A:0 <|im_end|>:0", special_tokens=ends)
    cases = texts(1000, rng)
    found, _ = encode(build_dir, path, cases, "prompt")
    assert found == [e.ids for e in tokenizer.encode_batch([f"[7]{t}" for t in cases])]


def test_miso_prompt(build_dir, llama_like):
    """speaker_prefix_space: "[7] text", the text's own leading white space gone as str.lstrip."""
    tokenizer, path = llama_like
    rng = random.Random(SEED + 11)
    cases = texts(1000, rng)
    cases += [chr(c) + "x" for c in assigned() if chr(c).isspace()] + ["\x1c\x1d \x1e\x1f\v\f y"]
    found, _ = encode(build_dir, path, cases, "prompt-space")
    assert found == [e.ids for e in tokenizer.encode_batch([f"[7] {t.lstrip()}" for t in cases])]


def test_flags_of_added_tokens(build_dir, tmp_path):
    rng = random.Random(SEED + 6)
    tokenizer = base(600, rng, ignore_merges=True)
    tokenizer.add_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False),
                          AddedToken("<norm>", normalized=True),
                          AddedToken("<left>", lstrip=True, normalized=True),
                          AddedToken("sound", single_word=True, normalized=False),
                          AddedToken("soundly", normalized=True),
                          AddedToken("  ", normalized=False)])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    pieces = ["<mask>", "<norm>", "<left>", "sound", "soundly", "sounds", " ", "  ", "\n", "\u3000",
              "\u0301", "_", "1", "ⓐ", "ː", "-", "<|AUDIO|>", "x", "ab"]
    cases = ["".join(rng.choices(pieces, k=rng.randrange(1, 9))) for _ in range(5000)]
    compare(build_dir, tokenizer, path, cases)


def test_an_added_token_of_the_vocabulary_has_its_id_there(build_dir, tmp_path):
    tokenizer = base(600, random.Random(SEED + 7), ignore_merges=True)
    tokenizer.add_tokens([AddedToken("<mask>", normalized=False)])
    file = json.loads(tokenizer.to_str())
    known = [t for t in file["model"]["vocab"] if len(t) > 1 and t.isascii()][:6]
    assert len(known) == 6
    for i, content in enumerate(known):
        file["added_tokens"].append(file["added_tokens"][-1] | {"id": 1000 + i, "content": content,
                                                                "normalized": i % 2 == 1})
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(file))
    rng = random.Random(SEED + 8)
    cases = [" ".join(rng.choices([*known, "<mask>", "x"], k=rng.randrange(1, 9))) for _ in range(500)]
    compare(build_dir, Tokenizer.from_file(str(path)), path, cases)


def test_golden_cases(build_dir):
    """182 strings of the reference's own tokenizer, with and without begin and end."""
    golden = os.path.join(os.path.dirname(__file__), "..", "golden")
    with open(os.path.join(golden, "tokenizer", "tokenizer_cases.json"), encoding="utf-8") as f:
        cases = json.load(f)["cases"]
    path = os.path.join(golden, "csm-a", "tokenizer.json")
    cases = [c for c in cases if "\0" not in c["text"]]  # zeros end a text of encode_texts
    assert len(cases) >= 180
    for key, template in (("ids", False), ("ids_special", True)):
        found, _ = encode(build_dir, path, [c["text"] for c in cases], template)
        assert found == [c[key] for c in cases]


def test_invalid_utf8_is_refused(build_dir, llama_like):
    bad = [b"\x80", b"a\xff", b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
           b"\xf0\x9f\x98", b"ok \xe2\x82"]
    found, _ = encode(build_dir, llama_like[1], [b + b"\0" for b in bad])
    assert found == ["refused"] * len(bad)


def test_a_long_word_is_not_quadratic(build_dir, llama_like):
    tokenizer, path = llama_like
    cases = ["ab" * 100000, "a" * 200000, " " * 200000, "1" * 200000, "é" * 100000]
    compare(build_dir, tokenizer, path, cases)
    _, told = encode(build_dir, path, cases)
    assert float(told.split("encoded in ")[1].split()[0]) < 5000


def large(path):
    """A file of the size of Llama 3's: 128,000 tokens, 280,000 merges, 17 MB."""
    rng = random.Random(7)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens, known, merges = list(alphabet), set(alphabet), []
    while len(tokens) < 128000:
        a, b = rng.choice(tokens), rng.choice(tokens)
        if len(a) + len(b) <= 14 and a + b not in known:
            known.add(a + b)
            tokens.append(a + b)
            merges.append([a, b])
    seen = {tuple(m) for m in merges}
    for t in tokens:
        for i in range(1, len(t)):
            if len(merges) < 280000 and t[:i] in known and t[i:] in known:
                if (t[:i], t[i:]) not in seen:
                    seen.add((t[:i], t[i:]))
                    merges.append([t[:i], t[i:]])
    content = json.loads(Tokenizer(models.BPE(ignore_merges=True)).to_str())
    content["model"]["vocab"] = {t: i for i, t in enumerate(tokens)}
    content["model"]["merges"] = merges
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
         "use_regex": False}]}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")


def test_a_file_of_llama3_size(build_dir, tmp_path):
    path = tmp_path / "tokenizer.json"
    large(path)
    compare(build_dir, Tokenizer.from_file(str(path)), path, texts(2000, random.Random(SEED + 8)))
    _, told = encode(build_dir, path, ["x"])
    print(f"{path.stat().st_size / 1e6:.1f} MB, {told}", file=sys.stderr)
