"""`easel serve` for the length of a test."""

import os
import pathlib
import re
import subprocess
import tempfile
import time

import httpx2

EASEL = os.environ.get("EASEL", "easel")

# What the tests draw: small and quick.
SIZE = 64


class Server:
    """A server with the embedded model on a free port and a data folder of its own. `addresses` has all of its addresses."""

    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory()
        command = [EASEL, "serve", "--native", "--listen", "127.0.0.1:0", "--device", "cpu", "--data", self.folder.name]
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        self.addresses = {}
        for line in self.process.stderr:
            if found := re.match("easel: (.*) on http://(.*)", line):
                self.addresses[found[1]] = found[2]
            if "listening" in self.addresses:
                break
        else:
            raise RuntimeError("the server did not start")
        self.url = f"http://{self.addresses['listening']}"
        self.host, _, port = self.url.removeprefix("http://").partition(":")
        self.port = int(port)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        self.folder.cleanup()

    def statuses(self, **headers):
        """The statuses of all tasks, newest first."""
        tasks = httpx2.get(f"{self.url}/tasks", headers=headers).json()["tasks"]
        return [task["status"] for task in tasks.values()]

    def until(self, condition, seconds=30):
        """Waits until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not after {seconds} s: {self.statuses()}")
            time.sleep(0.02)


def new_key(folder):
    """A file of keys, and the key in it."""
    path = pathlib.Path(folder) / "keys.toml"
    made = subprocess.run([EASEL, "new-key", "tester", "--file", path], check=True, capture_output=True, text=True)
    return path, made.stdout.split()[-1]
