# SPDX-License-Identifier: Apache-2.0
"""The files of deploy/, each read by the program it is for, or by that program's own rules."""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import kubernetes_validate
import pytest
import sky
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BIN = pathlib.Path(os.environ.get("CSM_BUILD_DIR", ROOT / "build")) / "bin"


def run(*command, **kwargs):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_haproxy_takes_its_file():
    env = os.environ | {"CSM_LISTEN": ":8080", "CSM_ONE": "127.0.0.1:1", "CSM_TWO": "127.0.0.1:2"}
    said = run("haproxy", "-c", "-f", DEPLOY / "haproxy.cfg", env=env)
    assert "WARNING" not in said


@pytest.fixture
def nginx(tmp_path):
    """The port of nginx before two csm serve, with the file's own ports changed for free ones."""
    ports = {8080: free_port(), 8081: free_port(), 8082: free_port()}
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in ports.items():
        assert f":{old}" in text
        text = text.replace(f":{old}", f":{new}")
    (tmp_path / "csm.conf").write_text(text)
    places = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(f"daemon off; pid {tmp_path}/pid; error_log stderr;\nevents {{}}\n"
                                         f"http {{ access_log off;\n{places}include {tmp_path}/csm.conf; }}\n")
    assert "test is successful" in run("nginx", "-t", "-c", tmp_path / "nginx.conf")
    replicas = [subprocess.Popen([BIN / "csm", "serve", "--port", str(ports[p]), "--threads", "1"], stdout=subprocess.PIPE,
                                 text=True) for p in (8081, 8082)]
    for replica in replicas:
        assert replica.stdout.readline().startswith("listening on ")
    front = subprocess.Popen(["nginx", "-c", tmp_path / "nginx.conf"])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", ports[8080])) == 0:
                break
        time.sleep(0.05)
    yield ports[8080], replicas
    for process in (front, *replicas):
        process.terminate()
        process.wait()
    for replica in replicas:
        replica.stdout.close()


def speak(port, text, form="pcm", n_first=0):
    """The seconds until the first n_first bytes, until the last, and the sound."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    started = time.monotonic()
    connection.request("POST", "/v1/audio/speech", json.dumps({"input": text, "seed": 7, "response_format": form}))
    answer = connection.getresponse()
    assert answer.status == 200
    head = answer.read(n_first)
    first = time.monotonic() - started
    sound = head + answer.read()
    connection.close()
    return first, time.monotonic() - started, sound


def test_nginx_streams_and_asks_the_other_replica(nginx):
    port, replicas = nginx
    first, whole, _ = speak(port, "One sentence after another is said. " * 30, n_first=1000)
    assert first < whole / 4
    sounds = {form: speak(port, "Hello there.", form)[2] for form in ("pcm", "flac")}
    replicas[0].send_signal(signal.SIGKILL)
    replicas[0].wait()
    for form, sound in [*sounds.items()] * 3:
        assert speak(port, "Hello there.", form)[2] == sound


@pytest.mark.parametrize("name", ["deployment", "service", "autoscaling", "disruption"])
def test_kubernetes_schemas_hold(name):
    for document in yaml.safe_load_all((DEPLOY / "kubernetes" / f"{name}.yaml").read_text()):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_kubernetes_parts_fit_together():
    parts = {n: yaml.safe_load((DEPLOY / "kubernetes" / f"{n}.yaml").read_text())
             for n in ("kustomization", "deployment", "service", "autoscaling", "disruption")}
    assert all((DEPLOY / "kubernetes" / name).is_file() for name in parts["kustomization"]["resources"])
    deployment, pod = parts["deployment"], parts["deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == parts["service"]["spec"]["selector"]
    assert labels == parts["disruption"]["spec"]["selector"]["matchLabels"]
    assert parts["autoscaling"]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    metric = parts["autoscaling"]["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert f'"{metric}", "gauge"' in (ROOT / "server" / "metrics.c").read_text()
    container, = pod["spec"]["containers"]
    help_text = run(BIN / "csm", "serve", "--help")
    assert all(re.search(rf"{arg}\b", help_text) for arg in container["args"] if arg.startswith("--"))


def tasks(n):
    """The environment of each task of an array."""
    env = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_COUNT": str(n), "SLURM_ARRAY_TASK_MIN": "1",
                        "SLURM_ARRAY_TASK_MAX": str(n), "SLURM_CPUS_PER_TASK": "1"}
    for i in range(1, n + 1):
        yield env | {"SLURM_ARRAY_TASK_ID": str(i)}


def test_the_tasks_of_a_slurm_array_make_one_corpus(tmp_path):
    run("shellcheck", DEPLOY / "corpus.sbatch")
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"id": i, "text": "Hello there."}) + "\n" for i in range(7)))
    for env in tasks(3):
        for _ in range(2):  # requeued
            run("sh", DEPLOY / "corpus.sbatch", texts, tmp_path / "o", "--retries", 1, env=env)
    run(BIN / "csm", "synth", "--manifest", texts, "--output-dir", tmp_path / "alone", "--retries", 1)
    read = lambda folder: {p.name: p.read_bytes() for p in folder.glob("*.wav")}  # noqa: E731
    assert read(tmp_path / "o") == read(tmp_path / "alone") and len(read(tmp_path / "o")) == 7
    done = subprocess.run(["sh", DEPLOY / "corpus.sbatch", texts, tmp_path / "o"], capture_output=True, text=True,
                          env={k: v for k, v in os.environ.items() if not k.startswith("SLURM")})
    assert done.returncode != 0 and "expected sbatch --array=1-N" in done.stderr


@pytest.mark.parametrize("name", ["serve", "corpus"])
def test_skypilot_takes_its_files(name):
    env = [("CSM_REPOSITORY", "https://example.org/csm"), ("BUCKET", "s3://corpus"), ("HF_TOKEN", "x")]
    config = yaml.safe_load((DEPLOY / "skypilot" / f"{name}.yaml").read_text())
    needed = [k for part in ("envs", "secrets") for k, v in config.get(part, {}).items() if v is None]
    assert set(needed) <= dict(env).keys()
    config["envs"] |= {k: v for k, v in env if k in config["envs"]}
    config["secrets"] |= {k: v for k, v in env if k in config["secrets"]}
    config.pop("file_mounts", None)  # a cloud would be asked for the bucket
    name, script = config["name"], config["run"]  # the parser empties what it is given
    task = sky.Task.from_yaml_config(config)
    assert (task.name, task.run) == (name, script) and (task.service is not None) == (name == "csm")
