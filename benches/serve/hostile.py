"""The effect of misbehaving clients on others: `easel serve` with 1024 open files, full of them.

2,000 connections that send nothing, 200 that send half a head and 200 that request pictures and never read, each opened again
as soon as it is closed; meanwhile `/health` is requested on new connections, a picture is drawn, and memory is measured. And
`/images?limit=100` of large pictures, by several clients that read slowly.
"""

import asyncio
import json
import multiprocessing
import os
import pathlib
import resource
import sqlite3
import tempfile
import time

SILENT, HALVES, DEAF = 2000, 200, 200
SECONDS = 20
LARGE = 10_000_000


async def exchange(server, path, body=None, timeout=60):
    """The status and body of one request on its own connection."""
    reader, writer = await asyncio.open_connection(*server.place())
    try:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        answer = await asyncio.wait_for(reader.read(), timeout)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body
    finally:
        writer.close()


async def occupy(server, said, opened):
    """Holds a connection that has sent `said`, and opens another when it is closed."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(*server.place(), limit=1024)
            opened.value += 1
            if said:
                writer.write(said)
            if said.endswith(b"\r\n\r\n"):
                # Never reads: the transport stops at its limit, and the socket's buffer fills.
                writer.transport.pause_reading()
                while not writer.is_closing():
                    await asyncio.sleep(1)
                    writer.write(b"\r\n")
            else:
                await reader.read()
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(1)


def crowd(server, opened):
    """All hostile clients, in a separate process so that the measured clients do not wait for their event loop."""
    half = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"
    deaf = b"GET /images?limit=100 HTTP/1.1\r\nhost: localhost\r\n\r\n"

    async def besiege():
        said = [b""] * SILENT + [half] * HALVES + [deaf] * DEAF
        await asyncio.gather(*(occupy(server, bytes, opened) for bytes in said))

    asyncio.run(besiege())


async def siege(server):
    """Fills the server, and measures the service that others get."""
    _, body = await exchange(server, "/generate", {"prompt": "a red apple", "width": 512, "height": 512, "steps": 1})
    await until_completed(server, json.loads(body)["task_id"])
    opened = multiprocessing.get_context("fork").Value("i", 0)
    besiegers = multiprocessing.get_context("fork").Process(target=crowd, args=(server, opened), daemon=True)
    besiegers.start()
    await asyncio.sleep(3)
    request = {"prompt": "a red apple", "width": 512, "height": 512, "steps": 20}
    _, body = await exchange(server, "/generate", request)
    drawing = asyncio.create_task(until_completed(server, json.loads(body)["task_id"]))
    times, failed, peak, end = [], 0, 0.0, time.monotonic() + SECONDS
    while time.monotonic() < end or not drawing.done():
        began = time.monotonic()
        try:
            status, _ = await exchange(server, "/health")
            failed += status != 200
        except (OSError, IndexError, asyncio.TimeoutError):
            failed += 1
        times.append(time.monotonic() - began)
        peak = max(peak, server.resident())
        await asyncio.sleep(0.01)
    besiegers.kill()
    times.sort()
    at = lambda part: times[min(len(times) - 1, int(len(times) * part))] * 1e3
    return {"asked": len(times), "failed": failed, "p50": at(0.5), "p99": at(0.99), "opened": opened.value, "peak": peak,
            "drawing": await drawing}


async def until_completed(server, task):
    """Waits until a task has ended, and returns its status."""
    while True:
        try:
            found = json.loads((await exchange(server, f"/status/{task}"))[1])
            if found["status"] in ("completed", "error", "cancelled"):
                return found["status"]
        except (OSError, ValueError, IndexError):
            pass
        await asyncio.sleep(0.1)


async def draw(server, pictures):
    """Draws pictures, and waits for them."""
    tasks = []
    for _ in range(pictures):
        _, body = await exchange(server, "/generate", {"prompt": "a", "width": 64, "height": 64, "steps": 1})
        tasks.append(json.loads(body)["task_id"])
    for task in tasks:
        await until_completed(server, task)


def enlarge(folder):
    """Makes every picture of a data folder ten megabytes long; no server may run on it."""
    for path in pathlib.Path(folder, "pictures").iterdir():
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(LARGE - 8))
    with sqlite3.connect(pathlib.Path(folder, "easel.db")) as database:
        database.execute("UPDATE picture SET length = ?", (LARGE,))
    database.close()


async def lists(server, clients=10):
    """The peak of memory while clients read long lists of large pictures."""

    async def read_all():
        reader, writer = await asyncio.open_connection(*server.place(), limit=64 << 10)
        writer.write(b"GET /images?limit=100 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        length = 0
        while piece := await reader.read(256 << 10):
            length += len(piece)
        writer.close()
        return length

    before, peak = server.resident(), 0.0
    reading = [asyncio.create_task(read_all()) for _ in range(clients)]
    while not all(task.done() for task in reading):
        peak = max(peak, server.resident())
        await asyncio.sleep(0.02)
    return before, peak, [await task for task in reading]


def run(start, kinds):
    """`start(*options, files=N)` starts a server; `kinds` are the ways to serve."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for kind, options in kinds.items():
        with start(*options, files=1024) as server:
            found = asyncio.run(siege(server))
            print(f"{kind:9} /health requested {found['asked']} times: median {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms, "
                  f"{found['failed']} failed; {found['opened']} hostile connections; the drawing {found['drawing']}; "
                  f"at most {found['peak']:.0f} MB", flush=True)
        folder = tempfile.TemporaryDirectory()
        first = start(*options, folder=folder)
        asyncio.run(draw(first, 100))
        first.process.terminate()
        first.process.wait()
        enlarge(folder.name)
        with start(*options, folder=folder) as server:
            before, peak, lengths = asyncio.run(lists(server))
            print(f"{kind:9} {len(lengths)} readers of /images?limit=100, {lengths[0] / 1e6:.1f} MB each: "
                  f"{before:.0f} MB before, {peak:.0f} MB at most", flush=True)
