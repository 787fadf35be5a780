# SPDX-License-Identifier: Apache-2.0
"""A real Chromium, driven over its DevTools protocol: enough of it to use a page."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

from websockets.sync.client import connect

CHROMIUM = os.environ.get("CSM_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    def __init__(self, *args):
        self.home = tempfile.mkdtemp()
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio",
             "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream",
             "--use-fake-device-for-media-stream", "--remote-debugging-port=0",
             "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={self.home}", *args,
             "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = self._wait_for_port()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as f:
            pages = [p for p in json.load(f) if p["type"] == "page"]
        self._opened = connect(pages[0]["webSocketDebuggerUrl"], max_size=None)
        self.ws = self._opened.__enter__()
        self.n, self.events = 0, []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def _wait_for_port(self):
        path = os.path.join(self.home, "DevToolsActivePort")
        for _ in range(300):
            if os.path.exists(path) and (text := open(path).read()).count("\n"):
                return int(text.split("\n")[0])
            assert self.process.poll() is None, "Chromium ended"
            time.sleep(0.1)
        raise AssertionError("Chromium did not start")

    def call(self, method, **params):
        self.n += 1
        self.ws.send(json.dumps({"id": self.n, "method": method, "params": params}))
        while True:
            message = json.loads(self.ws.recv(60))
            if message.get("id") == self.n:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def run(self, script):
        """The value of a script, which may be a promise."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, script, timeout=30):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if value := self.run(script):
                return value
            time.sleep(0.05)
        raise AssertionError(f"never came true: {script}")

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def show(self, width, height, scheme, is_phone=False):
        """From now on: a window of that size, light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=is_phone)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path):
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        with open(path, "wb") as f:
            f.write(base64.b64decode(shot["data"]))

    def problems(self):
        """What a developer would see in red, and requests to other hosts."""
        found = []
        for e in self.events:
            if e["method"] == "Runtime.exceptionThrown":
                found.append(e["params"]["exceptionDetails"]["text"])
            if e["method"] == "Log.entryAdded" and e["params"]["entry"]["level"] == "error":
                found.append(e["params"]["entry"]["text"])
        return found

    def urls(self):
        return [e["params"]["request"]["url"] for e in self.events
                if e["method"] == "Network.requestWillBeSent"]

    def close(self):
        self.ws.close()
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.home, ignore_errors=True)
