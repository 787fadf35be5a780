# SPDX-License-Identifier: Apache-2.0
"""Content Credentials: what csm signs, by generate and by serve, c2pa-python finds valid. The certificates
are made here, of an authority that nobody trusts."""

import io
import json
import os
import pathlib
import subprocess

import c2pa
import pytest
import soundfile

from conftest import CSM, Server, TEXT

LIBRARY = pathlib.Path(c2pa.__file__).parent / "libs" / "libc2pa_c.so"
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac"}
KEYS = {"p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        "p521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"], "ed25519": ["ED25519"],
        "rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """For each of KEYS NAME.pem, a signer's certificate with the uses that C2PA asks for and its authority's, and
    NAME.key."""
    here = tmp_path_factory.mktemp("credentials")

    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=here)

    (here / "uses").write_text("basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n"
                               "extendedKeyUsage=emailProtection\nsubjectKeyIdentifier=hash\n"
                               "authorityKeyIdentifier=keyid\n")
    openssl("genpkey", "-algorithm", *KEYS["p256"], "-out", "authority.key")
    openssl("req", "-x509", "-new", "-key", "authority.key", "-subj", "/O=a test/CN=authority", "-days", 3,
            "-addext", "keyUsage=critical,keyCertSign", "-out", "authority.crt")
    for name, kind in KEYS.items():
        openssl("genpkey", "-algorithm", *kind, "-out", f"{name}.key")
        openssl("req", "-new", "-key", f"{name}.key", "-subj", "/O=a test/CN=signer", "-out", "signer.csr")
        openssl("x509", "-req", "-in", "signer.csr", "-CA", "authority.crt", "-CAkey", "authority.key", "-set_serial",
                7, "-days", 2, "-extfile", "uses", "-out", "signer.crt")
        (here / f"{name}.pem").write_text((here / "signer.crt").read_text() + (here / "authority.crt").read_text())
    return here


def signing(folder, name="p256", key=None):
    return ["--c2pa-cert", folder / f"{name}.pem", "--c2pa-key", folder / (key or f"{name}.key")]


def generate(*options, library=LIBRARY):
    return subprocess.run([CSM, "generate", "--text", TEXT, "--quiet", *map(str, options)], capture_output=True,
                          text=True, env=os.environ | {"CSM_C2PA": str(library)})


def failures(data, kind):
    """What c2pa-python finds wrong, apart from an authority that nobody trusts."""
    told = json.loads(c2pa.Reader(TYPES[kind], io.BytesIO(data)).json())
    assert SOURCE in json.dumps(told["manifests"][told["active_manifest"]])
    found = told["validation_results"]["activeManifest"]["failure"]
    return [f["code"] for f in found if f["code"] != "signingCredential.untrusted"]


@pytest.mark.parametrize("kind", TYPES)
def test_a_signed_file_is_valid_and_its_sound_the_same(folder, tmp_path, kind):
    plain, signed = tmp_path / f"plain.{kind}", tmp_path / f"signed.{kind}"
    for path, options in ((plain, []), (signed, signing(folder))):
        assert generate("--mark", "--output", path, *options).returncode == 0
    data = signed.read_bytes()
    assert failures(data, kind) == []
    assert (soundfile.read(plain)[0] == soundfile.read(signed)[0]).all()
    assert subprocess.run([CSM, "detect", signed], capture_output=True).returncode == 0
    at = data.rfind(plain.read_bytes()[-64:]) if kind != "wav" else len(data) // 3
    assert at > 0
    broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
    assert "assertion.dataHash.mismatch" in failures(broken, kind)


@pytest.mark.parametrize("name", KEYS)
def test_each_kind_of_key_signs(folder, tmp_path, name):
    done = generate("--output", tmp_path / "a.wav", *signing(folder, name))
    assert done.returncode == 0, done.stderr
    assert failures((tmp_path / "a.wav").read_bytes(), "wav") == []


@pytest.mark.parametrize("kind", TYPES)
def test_each_file_of_a_corpus_is_signed(folder, tmp_path, kind):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": i, "text": TEXT}) + "\n" for i in "abc"))
    command = [CSM, "synth", "--manifest", tmp_path / "in.jsonl", "--format", kind, "--batch", "3", "--mark", "--quiet"]
    env = os.environ | {"CSM_C2PA": str(LIBRARY)}
    for out, more in ("plain", []), ("signed", signing(folder)):
        assert subprocess.run([*map(str, [*command, "--output-dir", tmp_path / out, *more])], env=env).returncode == 0
    for i in "abc":
        assert failures((tmp_path / "signed" / f"{i}.{kind}").read_bytes(), kind) == []
        assert (soundfile.read(tmp_path / "plain" / f"{i}.{kind}")[0] == soundfile.read(tmp_path / "signed" / f"{i}.{kind}")[0]).all()
    done = subprocess.run([*map(str, [*command[:4], "--output-dir", tmp_path / "o", "--format", "opus", *signing(folder)])],
                          env=env, capture_output=True, text=True)
    assert done.returncode == 2 and "a format that C2PA signs" in done.stderr and not (tmp_path / "o").exists()


def test_a_pipe_gets_the_same_file(folder):
    done = subprocess.run([CSM, "generate", "--text", TEXT, "--output", "-", *map(str, signing(folder))],
                          capture_output=True, env=os.environ | {"CSM_C2PA": str(LIBRARY)})
    assert done.returncode == 0 and failures(done.stdout, "wav") == []


@pytest.mark.parametrize("code, output, key, told", [
    (2, "a.opus", None, "a format that C2PA signs: wav, flac or mp3"),
    (2, "a.pcm", None, "a format that C2PA signs: wav, flac or mp3"),
    (2, "none", None, "expected --output F with it, a file"),
    (3, "a.wav", "uses", "certificate and key are refused"),
    (3, "a.wav", "nowhere", "nowhere: No such file"),
    (3, "a.wav", "authority.key", "c2pa: not signed: "),
])
def test_what_cannot_be_signed_is_refused_and_leaves_no_file(folder, tmp_path, code, output, key, told):
    done = generate("--output", output if output == "none" else tmp_path / output, *signing(folder, key=key))
    assert (done.returncode, told in done.stderr, done.stderr.count("\n")) == (code, True, 1), done.stderr
    assert not [*tmp_path.iterdir()]


def test_without_the_library_its_package_is_named(folder, tmp_path):
    done = generate("--output", tmp_path / "a.wav", *signing(folder), library=tmp_path / "nothing.so")
    assert done.returncode == 4 and not (tmp_path / "a.wav").exists()
    assert done.stderr.startswith("csm: c2pa: ") and "install c2pa-python" in done.stderr
    assert done.stderr.count("\n") == 1


SIGN = """
import pathlib, sys
import csm
folder, *files = map(pathlib.Path, sys.argv[1:])
credentials = csm.Credentials(folder / "p256.pem", str(folder / "p256.key"))
for file in files:
    file.write_bytes(credentials.sign(file.read_bytes()))
"""


def test_the_python_package_signs(folder, tmp_path):
    """In the environment where scripts/test has put the package: this one has the clients."""
    python = pathlib.Path(__file__).parents[2] / ".venv" / "bin" / "python"
    files = [tmp_path / f"a.{kind}" for kind in TYPES]
    for file in files:
        assert generate("--output", file).returncode == 0
    plain = [soundfile.read(file)[0] for file in files]
    done = subprocess.run([python, "-c", SIGN, folder, *files], capture_output=True, text=True,
                          env=os.environ | {"CSM_C2PA": str(LIBRARY)})
    assert done.returncode == 0, done.stderr
    for file, kind, sound in zip(files, TYPES, plain, strict=True):
        assert failures(file.read_bytes(), kind) == [] and (soundfile.read(file)[0] == sound).all()


@pytest.fixture(scope="module")
def signer(folder):
    os.environ["CSM_C2PA"] = str(LIBRARY)
    server = Server(*signing(folder))
    yield server
    assert server.stop() == 0, server.log[-20:]
    del os.environ["CSM_C2PA"]


@pytest.mark.parametrize("kind", TYPES)
def test_a_server_signs_whole_files(signer, kind):
    status, _, body = signer.request("POST", "/v1/audio/speech", {"input": TEXT, "response_format": kind})
    assert status == 200 and failures(body, kind) == []


@pytest.mark.parametrize("asked, told", [
    ({"response_format": "wav", "stream_format": "audio"}, "stream: this server signs its files"),
    ({"response_format": "wav", "stream_format": "sse"}, "stream: this server signs its files"),
    ({"response_format": "pcm"}, "response_format: this server signs its files"),
    ({"response_format": "opus"}, "response_format: this server signs its files"),
])
def test_a_server_that_signs_gives_nothing_unsigned(signer, asked, told):
    status, _, body = signer.request("POST", "/v1/audio/speech", {"input": TEXT, **asked})
    assert status == 400 and told in json.loads(body)["error"]["message"]
