# SPDX-License-Identifier: Apache-2.0
"""The page at /, used in a real Chromium: type, hear, clone, keep, delete."""

import base64
import json
import os
import pathlib

import pytest

from browser import CHROMIUM, Browser
from conftest import TEXT, generate, recording

SAID = "This is how I speak when I am asked to read a line aloud."
SHOTS = os.environ.get("CSM_PAGE_PICTURES")  # a directory: keep pictures of the page there

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    b = Browser()
    yield b
    b.close()


@pytest.fixture
def page(browser, server):
    browser.events = []
    browser.open(server.base + "/")
    browser.wait("document.getElementById('voice').length > 4")
    yield browser
    problems, urls = browser.problems(), browser.urls()
    assert problems == []
    assert all(u.startswith((server.base, "blob:", "data:")) for u in urls), urls


def say(page, **fields):
    """Say it with these fields; what the page tells then."""
    for name, value in fields.items():
        page.run(f"document.getElementById('{name}').value = {json.dumps(value)}")
    page.run("void document.getElementById('say').click()")
    page.wait("document.getElementById('out-finish').textContent !== '–' || "
              "document.getElementById('message').textContent")
    return {n: page.run(f"document.getElementById('out-{n}').textContent")
            for n in ("seed", "first", "rtf", "seconds", "tokens", "finish")}


def heard(page):
    """The samples that were played, as pcm."""
    return base64.b64decode(page.run(
        "(async () => { const bytes = new Uint8Array(await wavOf(chunks, RATE).arrayBuffer());"
        " let s = ''; for (const b of bytes) s += String.fromCharCode(b); return btoa(s); })()"))[44:]


def close_to(a, b):
    """Equal but for the scaling by 32767 in place of 32768 on the way back: one step."""
    pairs = zip(memoryview(a).cast("h"), memoryview(b).cast("h"))
    return len(a) == len(b) and all(abs(x - y) <= 1 for x, y in pairs)


@pytest.mark.parametrize("seed", ["5", "12345678901234567"])  # beyond what a script's number holds
def test_what_is_typed_is_heard_and_told(page, seed):
    told = say(page, text=TEXT, voice="slt", seed=seed)
    assert close_to(heard(page), generate(TEXT, seed, "--voice", "slt"))
    assert told["seed"] == seed and told["finish"] == "stop"
    assert told["first"].endswith(" ms") and float(told["rtf"]) > 0 and "," in told["tokens"]
    assert page.run("context.state") == "running" and page.run("playAt") > 0
    assert not page.run("document.getElementById('save').disabled")


def test_what_is_wrong_is_told(page):
    say(page, text=TEXT, speed="9")
    assert "speed" in page.run("document.getElementById('message').textContent")
    assert page.run("document.getElementById('message').className") == "wrong"
    page.events = [e for e in page.events if e["method"] != "Log.entryAdded"]  # the 400 itself
    assert say(page, speed="1")["finish"] == "stop"


def test_a_file_becomes_a_voice_and_goes_again(page, tmp_path):
    (tmp_path / "voice.wav").write_bytes(recording())
    document = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=document, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(tmp_path / "voice.wav")])
    page.wait("recording !== null")
    for name, value in (("ref-text", SAID), ("voice-name", "page-voice"), ("consent", "mine")):
        page.run(f"document.getElementById('{name}').value = {json.dumps(value)}")
    page.run("void document.getElementById('keep').click()")
    page.wait("document.getElementById('voice').value === 'page-voice'")
    assert say(page, text=TEXT, seed="5")["finish"] == "stop"
    kept = heard(page)
    assert not close_to(kept, generate(TEXT, 5))
    page.run("void document.getElementById('drop').click()")
    page.wait("![...document.getElementById('voice').options].some(o => o.value === 'page-voice')")
    page.run("document.getElementById('use-once').checked = true")
    assert say(page, voice="")["finish"] == "stop"
    assert close_to(heard(page), kept)  # for once, without keeping it


def test_the_microphone_is_a_recording(page):
    page.run("void document.getElementById('record').click()")
    page.wait("recorder !== null && recorder.state === 'recording'")
    page.run("new Promise(r => setTimeout(r, 1500))")
    page.run("void document.getElementById('record').click()")
    page.wait("recording !== null")
    assert page.run("recording.size") > 24000 * 2


@pytest.mark.parametrize("name,width,height,scheme", [
    ("light", 900, 900, "light"), ("dark", 900, 900, "dark"), ("phone", 360, 740, "dark")])
def test_it_fits_light_dark_and_phone(page, name, width, height, scheme):
    page.show(width, height, scheme, is_phone=name == "phone")
    assert say(page, text=TEXT, seed="5")["finish"] == "stop"
    page.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.run("document.documentElement.scrollWidth") <= width  # nothing sticks out
    ink, paper = (page.run(f"getComputedStyle(document.body).{p}") for p in ("color", "backgroundColor"))
    assert contrast(ink, paper) > 7
    if SHOTS:
        page.picture(pathlib.Path(SHOTS) / f"page-{name}.png")


def contrast(a, b):
    """WCAG's ratio of two colours rgb(r, g, b)."""

    def luminance(colour):
        parts = [int(c) / 255 for c in colour[4:-1].split(",")]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)
