"""What a server does while its surroundings fail: a database that is locked for a minute, a disk that becomes read-only
while tasks are drawn, a clock that jumps by days. Every task that was accepted has to end once, with its picture.

The disk is a loop device, which needs root; the clock is Debian's package `faketime`.
"""

import json
import os
import pathlib
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
STUB = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 1, "seed": 7}
LOCKED = 60


def ask(server, path, body=None):
    """The status of an answer, what it says, and how many seconds it took."""
    data = body and json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"content-type": "application/json"})
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, said = answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        status, said = error.code, json.load(error)
    return status, said, time.monotonic() - began


class Watch:
    """The statuses and the slowest answer of each kind of request."""

    def __init__(self, server):
        self.server, self.seen, self.accepted = server, {}, []

    def round(self):
        for path, body in (("/health/live", None), ("/health", None), ("/tasks", None), ("/images", None), ("/generate", STUB)):
            status, said, took = ask(self.server, path, body)
            statuses, slowest = self.seen.get(path, (set(), 0.0))
            self.seen[path] = (statuses | {status}, max(slowest, took))
            if path == "/generate" and status == 200:
                self.accepted.append(said["task_id"])

    def rounds(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.round()
            time.sleep(0.2)

    def said(self):
        kinds = (f"{path} {'/'.join(map(str, sorted(statuses)))} in {slowest * 1e3:.0f} ms" for path, (statuses, slowest) in self.seen.items())
        return "; ".join(kinds)


def ended(server, tasks):
    """Waits for tasks; how many completed, and how many pictures there are of them."""
    statuses, pictures = [], 0
    for task in tasks:
        while (found := ask(server, f"/status/{task}")[1])["status"] in ("pending", "processing"):
            time.sleep(0.05)
        statuses.append(found["status"])
        pictures += ask(server, f"/images?limit=100&task_id={task}")[1]["length"]
    return statuses.count("completed"), pictures


def locked(start):
    """Another program holds the database for a minute."""
    folder = tempfile.TemporaryDirectory()
    with start(folder=folder) as server:
        watch = Watch(server)
        watch.rounds(1)
        other = sqlite3.connect(pathlib.Path(folder.name, "easel.db"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        watch.rounds(LOCKED)
        other.execute("COMMIT")
        watch.rounds(1)
        completed, pictures = ended(server, watch.accepted)
        print(f"locked for {LOCKED} s: {watch.said()}; {len(watch.accepted)} tasks accepted, {completed} completed, {pictures} pictures")


def read_only(start):
    """The file system under the data folder goes read-only, as one with errors does, and is mounted anew."""
    with tempfile.TemporaryDirectory() as place:
        image, disk = pathlib.Path(place, "disk.img"), pathlib.Path(place, "disk")
        image.write_bytes(bytes(64 << 20))
        disk.mkdir()
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        mount = ["mount", "-o", "loop", image, disk]
        subprocess.run(mount, check=True)
        folder = tempfile.TemporaryDirectory(dir=disk)
        try:
            server = start(folder=folder)
            watch = Watch(server)
            watch.rounds(2)
            subprocess.run(["mount", "-o", "remount,abort", disk], check=True)
            watch.rounds(10)
            server.process.kill()
            server.process.wait()
            subprocess.run(["umount", disk], check=True)
            subprocess.run(["fsck.ext4", "-p", "-f", image], stdout=subprocess.DEVNULL)
            subprocess.run(mount, check=True)
            again = start(folder=folder)
            completed, pictures = ended(again, watch.accepted)
            again.process.terminate()
            again.process.wait()
        finally:
            subprocess.run(["umount", disk])
        print(f"read-only: {watch.said()}; {len(watch.accepted)} tasks accepted, {completed} completed, {pictures} pictures")


def clock(start):
    """The clock jumps ahead by three days, back by six, and is put right."""
    with tempfile.NamedTemporaryFile("w", suffix=".time") as offset:

        def jump(days):
            pathlib.Path(offset.name).write_text(f"{days:+}d\n")

        jump(0)
        fake = {"LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": offset.name, "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        with start(environment=fake) as server:
            watch = Watch(server)
            watch.rounds(1)
            for days in (3, -3, 0):
                jump(days)
                # Longer than the sleep between two looks at the schedules of retention.
                watch.rounds(40)
            completed, pictures = ended(server, watch.accepted)
            print(f"clock: {watch.said()}; {len(watch.accepted)} tasks accepted, {completed} completed, {pictures} pictures")


def run(start):
    for fault in (locked, read_only, clock):
        fault(start)
