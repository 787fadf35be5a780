# SPDX-License-Identifier: Apache-2.0
"""What --output, --format and --sample-rate write, read back by libsndfile and by the players of each format."""

import json
import math
import re
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

RATE = 24000


@pytest.fixture(scope="module")
def tokens(csm, tmp_path_factory):
    out = tmp_path_factory.mktemp("tokens") / "t.safetensors"
    csm("generate", "--text", "Hello there.", "--seed", 3, "--output", "none", "--save-tokens", out)
    return out


@pytest.fixture(scope="module")
def sound(csm, tokens):
    """The samples that every format is made of."""
    out = tokens.with_suffix(".wav")
    csm("codec", "decode", tokens, out, "--format", "wav-f32")
    samples, rate = soundfile.read(out, dtype="float32")
    assert rate == RATE and len(samples) % 1920 == 0
    return samples


def tool(*command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: scripts/install-deps test")
    return subprocess.run([*map(str, command)], check=True, capture_output=True).stdout


def played(path, out):
    """Samples and rate by the format's own player."""
    kind = path.suffix[1:]
    command = {"flac": ("flac", "-s", "-f", "-d", path, "-o", out), "ogg": ("oggdec", "-Q", path, "-o", out),
               "opus": ("opusdec", "--quiet", path, out), "mp3": ("mpg123", "-q", "-w", out, path)}[kind]
    tool(*command)
    return soundfile.read(out, dtype="float32")


def by_ffmpeg(path):
    data = tool("ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-c:a", "pcm_f32le", "-")
    return np.frombuffer(data, "<f4")


def snr(expected, found):
    return 10 * np.log10(np.sum(expected ** 2) / np.sum((expected - found) ** 2))


# Signal to noise of speech: 16 bits keep 40 dB and more of this sound's level, the lossy ones, which follow
# the ear, 10; a lag of one sample would leave some 5 at the most. LAME's level of 0.95 alone is 26 dB.
@pytest.mark.parametrize("kind, least", [("wav", 40), ("flac", 40), ("ogg", 8), ("opus", 8), ("mp3", 8)])
def test_the_ending_decides_and_no_sample_is_lost(csm, tokens, sound, tmp_path, kind, least):
    out = tmp_path / f"a.{kind}"
    csm("codec", "decode", tokens, out)
    info = soundfile.info(out)
    assert info.format == {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "opus": "OGG", "mp3": "MPEG"}[kind] or \
        info.format == "MP3"
    found, rate = soundfile.read(out, dtype="float32")
    assert rate == RATE and len(found) == len(sound) and snr(sound, found) > least


@pytest.mark.parametrize("kind", ["flac", "ogg", "opus", "mp3"])
def test_the_reference_players_agree(csm, tokens, sound, tmp_path, kind):
    out = tmp_path / f"a.{kind}"
    csm("codec", "decode", tokens, out)
    found, rate = played(out, tmp_path / "played.wav")
    assert rate == RATE and len(found) == len(sound) and snr(sound, found) > 8


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "opus", "mp3", "aac"])
def test_ffmpeg_reads_it(csm, tokens, sound, tmp_path, kind):
    out = tmp_path / f"a.{kind}"
    csm("codec", "decode", tokens, out)
    found = by_ffmpeg(out)
    if kind == "aac":  # ADTS cannot say a length: frames of 1024, the first of which is the coder's delay
        assert len(found) == 1024 * (math.ceil(len(sound) / 1024) + 1)
        assert snr(sound, found[1024:][:len(sound)]) > 8
    elif kind == "mp3":  # FFmpeg keeps up to a frame at the end in some releases
        assert len(sound) <= len(found) <= len(sound) + 1152
    else:
        assert len(found) == len(sound) * (2 if kind == "opus" else 1)


def test_bare_samples_and_telephony(csm, tokens, sound, tmp_path):
    csm("codec", "decode", tokens, tmp_path / "a.pcm")
    assert np.abs(np.fromfile(tmp_path / "a.pcm", "<i2") / 32768 - sound).max() <= 1 / 32768
    csm("codec", "decode", tokens, tmp_path / "f.pcm", "--format", "f32le")
    assert np.array_equal(np.fromfile(tmp_path / "f.pcm", "<f4"), sound)
    for law in ("ulaw", "alaw"):
        csm("codec", "decode", tokens, tmp_path / "a.wav", "--format", law, "--sample-rate", 8000)
        info = soundfile.info(tmp_path / "a.wav")
        assert (info.subtype, info.samplerate) == (law.upper()[0] + "LAW" if law == "ulaw" else "ALAW", 8000)
        assert info.frames == math.ceil(len(sound) / 3)
        csm("codec", "decode", tokens, tmp_path / "a.pcm", "--format", law, "--sample-rate", 8000)
        bare = (tmp_path / "a.pcm").read_bytes()
        assert len(bare) == info.frames and (tmp_path / "a.wav").read_bytes().endswith(bare + b"\0" * (len(bare) % 2))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_a_sample_rate_keeps_the_duration(csm, tokens, sound, tmp_path, rate):
    out = tmp_path / "a.wav"
    csm("codec", "decode", tokens, out, "--sample-rate", rate)
    info = soundfile.info(out)
    assert (info.samplerate, info.frames) == (rate, math.ceil(len(sound) * rate / RATE))


def test_generate_writes_what_decode_writes(csm, tokens, tmp_path):
    for kind in ("wav", "flac", "mp3"):
        csm("codec", "decode", tokens, tmp_path / f"d.{kind}")
        told = json.loads(csm("generate", "--text", "Hello there.", "--seed", 3, "--json", "--output",
                              tmp_path / f"g.{kind}").stdout)
        frames = {k: soundfile.info(tmp_path / f"{k}.{kind}").frames for k in "gd"}
        assert frames["g"] == frames["d"] == told["frames"] * 1920


def test_tags_are_there(csm, tokens, tmp_path):
    version = re.search(r"\d+\.\d+\.\d+", csm("--version").stdout).group()
    for kind in ("wav", "flac", "ogg", "opus", "mp3"):
        out = tmp_path / f"a.{kind}"
        csm("codec", "decode", tokens, out, "--title", "Gr\u00fc\u00dfe \u4e16\u754c")
        told = json.loads(tool("ffprobe", "-v", "error", "-show_entries", "format_tags:stream_tags", "-of", "json", out))
        tags = {v for part in [told["format"], *told["streams"]] for v in part.get("tags", {}).values()}
        assert {"Gr\u00fc\u00dfe \u4e16\u754c", f"csm {version}"} <= tags
    csm("codec", "decode", tokens, tmp_path / "plain.wav")
    assert (tmp_path / "plain.wav").read_bytes()[36:40] == b"data"  # 44 bytes of header, without a title


def test_what_is_piped_is_whole_at_once(build_dir, tokens):
    for kind in ("wav", "flac", "ogg", "opus", "mp3", "aac", "s16le"):
        done = subprocess.run([build_dir / "bin" / "csm", "codec", "decode", tokens, "-", "--format", kind],
                              stdout=subprocess.PIPE, check=True)
        assert len(done.stdout) > 3000


@pytest.mark.parametrize("kind", ["wav-f32", "wav-ulaw"])
def test_a_stream_that_is_kept_tells_no_wrong_length(build_dir, tmp_path, kind):
    """Players take the number of the fact chunk for it: all ones were 49 hours."""
    path = tmp_path / "a.wav"
    speak = [build_dir / "bin" / "csm", "generate", "--text", "Hi.", "--quiet", "--format", kind, "--output", "-"]
    path.write_bytes(subprocess.run(speak, stdout=subprocess.PIPE, check=True).stdout)
    told = json.loads(tool("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "json", path))
    assert soundfile.info(path).frames == round(float(told["format"]["duration"]) * RATE) > 0


@pytest.mark.parametrize("rate", [8000, 24000])
def test_each_page_of_vorbis_ends_a_sound(csm, tokens, tmp_path, rate):
    """One without a sample is the work of "a buggy encoder" to ogginfo."""
    csm("codec", "decode", tokens, tmp_path / "a.ogg", "--sample-rate", rate)
    assert b"granulepos" not in tool("ogginfo", tmp_path / "a.ogg")


@pytest.mark.parametrize("arguments, says", [
    (["--output", "a.txt"], "--output: 'a.txt', expected a name that ends in .wav"),
    (["--output", "a"], "--output: 'a', expected a name"),
    (["--output", "a.wav.part"], "--output: 'a.wav.part', expected a name"),
    (["--output", "a.wav", "--format", "mp3"], "--format: 'mp3', expected one that goes with"),
    (["--output", "a.mp3", "--format", "wav"], "--format: 'wav', expected one that goes with"),
    (["--output", "a.pcm", "--format", "wav-f32"], "--format: 'wav-f32', expected one that goes with"),
    (["--format", "wma"], "--format: 'wma', expected wav, wav-f32"),
    (["--sample-rate", "7999"], "--sample-rate: 7999, expected 8000 to 48000"),
    (["--sample-rate", "-1"], "--sample-rate: -1, expected 8000 to 48000"),
    (["--sample-rate", "99999999999"], "--sample-rate: '99999999999', expected a whole number, at most 2^31 - 1"),
    (["--sample-rate", "96000"], "--sample-rate: 96000, expected 8000 to 48000"),
    (["--output", "a.mp3", "--sample-rate", "30000"], "mp3: 30000 Hz, expected 8000, 11025"),
    (["--output", "none", "--sample-rate", "8000"], "--sample-rate: '', expected --output F"),
    (["--output", "none", "--title", "T"], "--title: '', expected --output F"),
    (["--output", "a.pcm", "--title", "T"], "--title: 'T', expected a format that has tags"),
])
def test_what_does_not_go_together_is_told(csm, tmp_path, arguments, says):
    done = csm("generate", "--text", "Hi.", *arguments, check=False, cwd=tmp_path)
    assert done.returncode == 2 and says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_mp3_that_libsndfile_reads_in_part_is_refused(csm, tmp_path):
    """Of a variable rate without the Xing frame: findings/soundfile-cuts-mp3-without-its-tag.sh."""
    sound = 0.3 * np.sin(np.arange(10 * RATE) / 17) + 0.01 * np.random.default_rng(0).standard_normal(10 * RATE)
    sound[5 * RATE:] = 0
    for mode, is_read in ("CONSTANT", True), ("VARIABLE", False):
        path = tmp_path / f"{mode}.mp3"
        with soundfile.SoundFile(path, "w", RATE, 1, format="MP3", bitrate_mode=mode,
                                 compression_level=0.5) as file:
            file.write(sound)
        csm("codec", "encode", path, tmp_path / "o.st")
        data = path.read_bytes()
        first = data.index(b"\xff\xf3")
        path.write_bytes(data[data.index(b"\xff\xf3", first + 4):])
        done = csm("codec", "encode", path, tmp_path / "o.st", check=False)
        assert (done.returncode == 0) == is_read and ("without its Xing frame" in done.stderr) != is_read


# What libsndfile does not read, in ffmpeg's words, and what the message calls it.
FOREIGN = {"m4a": "MPEG-4", "mp4": "MPEG-4", "aac": "AAC", "webm": "Matroska or WebM", "mka": "Matroska or WebM",
           "wma": "Windows Media", "spx": "Speex", "ac3": "AC-3", "oga": "FLAC in Ogg", "voc": "Creative Voice",
           "w64": "Wave64 of floats", "ts": "not a sound file: Format not recognised: if players know it"}
CODED = {"oga": "flac", "w64": "pcm_f32le", "ts": "mp2"}


@pytest.mark.parametrize("ending", FOREIGN)
def test_sound_that_is_not_read_is_named_with_the_way_out(csm, sound, tmp_path, ending):
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    path = tmp_path / f"a.{ending}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", *(["-c:a", CODED[ending]] if ending in CODED else []),
                    path], check=True)
    for how in ["codec", "encode", path, tmp_path / "o.st"], ["detect", path]:
        done = csm(*how, check=False)
        assert done.returncode == 3 and f"a.{ending}: {FOREIGN[ending]}" in done.stderr and "ffmpeg -i IN OUT.wav" in done.stderr


def whole(path, sound, ending):
    soundfile.write(path, sound, RATE, subtype={"opus": "OPUS"}.get(ending), format={"opus": "OGG", "rf64": "RF64"}.get(ending))
    return path.read_bytes()


@pytest.mark.parametrize("ending", ["wav", "rf64", "ogg", "opus", "mp3", "aiff", "au", "w64"])
def test_a_recording_that_breaks_off_is_told(csm, build_dir, sound, tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    data = whole(path, np.tile(sound, 8), ending)
    encode = ["codec", "encode", path, tmp_path / "o.st"]
    assert csm(*encode).stderr == ""
    path.write_bytes(data[:len(data) // 2])
    context = ["--context-audio", path, "--context-text", "Hello there."]
    voice = ["voice", "add", "v", "--audio", path, "--text", "Hello there."]
    for how in encode, ["generate", "--text", "Hi.", "--output", "none", *context], voice:
        assert "breaks off" in csm(*how, env={"CSM_VOICES": str(tmp_path)}).stderr
    assert "breaks off" in csm("detect", path, check=False).stderr
    piped = [build_dir / "bin/csm", "codec", "encode", "-", tmp_path / "o.st"]
    done = subprocess.run(piped, stdin=path.open("rb"), capture_output=True, text=True)
    assert done.returncode == 0 and "standard input: the file breaks off" in done.stderr
    if ending in ("ogg", "opus"):
        path.write_bytes(data + data)
        assert "several recordings" in csm(*encode).stderr


@pytest.mark.parametrize("ending, at, length", [
    ("aiff", 4, "7f000050"), ("w64", 16, "ffffffffffffffff"), ("w64", 16, "0000000000000000"),
    ("au", 8, "ffffffff"), ("wav", 4, "ffffffff")])
def test_lengths_of_who_streams_promise_nothing(csm, sound, tmp_path, ending, at, length):
    """SoX writes AIFF's, FFmpeg Wave64's, AU's and WAV's into a pipe."""
    path = tmp_path / f"a.{ending}"
    data = bytearray(whole(path, sound, ending))
    data[at:at + len(length) // 2] = bytes.fromhex(length)
    path.write_bytes(data)
    assert csm("codec", "encode", path, tmp_path / "o.st").stderr == ""


@pytest.mark.parametrize("how", ["cut", "damaged"])
def test_flac_that_is_not_whole_is_refused(csm, sound, tmp_path, how):
    """libsndfile gives what was good, and tells it once: what the next read does not find is forgotten."""
    path = tmp_path / "a.flac"
    soundfile.write(path, np.tile(sound, 8), RATE)
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    data[at] ^= 0x55
    path.write_bytes(data[:at] if how == "cut" else data)
    done = csm("codec", "encode", path, tmp_path / "o.st", check=False)
    assert done.returncode == 3 and "a.flac: damaged sound after " in done.stderr


def test_what_follows_the_last_sample_of_flac_is_no_damage(csm, sound, tmp_path):
    """Tags of MP3 (TAG) and APE are there in many libraries; another FLAC file is told."""
    path = tmp_path / "a.flac"
    soundfile.write(path, sound, RATE)
    data = path.read_bytes()
    encode = ["codec", "encode", path, tmp_path / "o.st"]
    csm(*encode)
    codes = (tmp_path / "o.st").read_bytes()
    for behind, says in (b"TAG" + bytes(125), ""), (data, "several recordings"):
        path.write_bytes(data + behind)
        assert says in csm(*encode).stderr and (says or csm(*encode).stderr == "")
        assert (tmp_path / "o.st").read_bytes() == codes


def test_a_tag_before_a_file_moves_no_sample(csm, sound, tmp_path):
    for name in "a.wav", "a.flac", "a.aiff":
        path = tmp_path / name
        soundfile.write(path, sound, RATE)
        data, codes = path.read_bytes(), []
        for before in b"", b"ID3\4\0\0\0\0\0\x0a" + bytes(10):
            path.write_bytes(before + data)
            assert csm("codec", "encode", path, tmp_path / "o.st").stderr == ""
            codes.append((tmp_path / "o.st").read_bytes())
        assert codes[0] == codes[1]


def test_what_a_wav_lacks_is_told(csm, sound, tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound, RATE)
    data = path.read_bytes()
    for wrong, says in ((data + data[36:], "WAV with more than one data chunk, expected one"),
                        (data[:24] + bytes(4) + data[28:], "its header has no rate or no channels, expected both")):
        path.write_bytes(wrong)
        done = csm("codec", "encode", path, tmp_path / "o.st", check=False)
        assert done.returncode == 3 and f"a.wav: {says}: convert it first" in done.stderr


@pytest.mark.parametrize("name, data, says", [
    ("a.wav", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x45\0\x01\0\x40\x1f\0\0\xa0\x0f\0\0\x01\0\x04\0data\0\0\0\0", "G.726 in WAV"),
    ("a.aac", b"ID3\4\0\0\0\0\0\5hello\xff\xf1" + bytes(99), "AAC"),
    ("a.flv", b"FLV\1\4\0\0\0\x09" + bytes(99), "Flash video"),
    ("a.silk", b"\2#!SILK_V3" + bytes(99), "SILK")])
def test_encodings_within_containers_are_named(csm, tmp_path, name, data, says):
    (tmp_path / name).write_bytes(data)
    done = csm("codec", "encode", tmp_path / name, tmp_path / "o.st", check=False)
    assert done.returncode == 3 and f"{name}: {says}, which libsndfile does not read" in done.stderr


def test_a_list_longer_than_its_file_costs_no_sound(csm, sound, tmp_path):
    """libsndfile can read such a list without end: it gets the file up to it."""
    whole, longer = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(whole, sound, 24000, subtype="PCM_16")
    texts = b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0some recorder\0"
    longer.write_bytes(whole.read_bytes() + texts + b"LIST\x40\0\0\0INFOISFT\x0e\0\0\0some")
    codes = [csm("codec", "encode", p, tmp_path / "o.st") and (tmp_path / "o.st").read_bytes() for p in (whole, longer)]
    assert codes[0] == codes[1]


def test_a_damaged_page_of_ogg_is_told(csm, sound, tmp_path):
    """Its readers leave out what it holds."""
    path = tmp_path / "a.ogg"
    data = bytearray(whole(path, np.tile(sound, 8), "ogg"))
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    assert "the file is damaged" in csm("codec", "encode", path, tmp_path / "o.st").stderr


def test_a_header_that_nobody_finished_is_told(csm, sound, tmp_path):
    path = tmp_path / "a.wav"
    data = bytearray(whole(path, sound, "wav"))
    data[40:44] = bytes(4)
    path.write_bytes(data)
    done = csm("codec", "encode", path, tmp_path / "o.st", check=False)
    assert done.returncode == 3 and "its header says no samples, though" in done.stderr


@pytest.mark.parametrize("promised", [0x7FF00000, 0x7FFFFFFF, 0xFFFFFFFF, "a pad byte less", "44 bytes more"])
def test_lengths_that_mean_nothing_are_not(csm, sound, tmp_path, promised):
    """A stream's, which is not known when the header is written; a writer's that counts wrong."""
    path = tmp_path / "a.wav"
    data = bytearray(whole(path, sound, "wav"))
    n = int.from_bytes(data[40:44], "little")
    data[40:44] = {"a pad byte less": n + 1, "44 bytes more": n + 44}.get(promised, promised).to_bytes(4, "little")
    path.write_bytes(data)
    assert csm("codec", "encode", path, tmp_path / "o.st").stderr == ""
