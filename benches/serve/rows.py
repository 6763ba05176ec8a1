"""What 100,000 rows cost: pages of tasks and pictures, and a whole task of the stub model that is taken from a long queue.

The rows are copies of one task's and one picture's, written into the database of a server that was stopped.
"""

import asyncio
import json
import os
import pathlib
import sqlite3
import statistics
import tempfile
import time
import uuid

from hostile import exchange, until_completed

ROWS = 100_000
STUB = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 1, "seed": 7}


def stop(server):
    server.process.terminate()
    server.process.wait()


async def submit(server, body):
    return json.loads((await exchange(server, "/generate", body))[1])["task_id"]


async def until_processing(server, task):
    while json.loads((await exchange(server, f"/status/{task}"))[1])["status"] == "pending":
        await asyncio.sleep(0.05)


def copy(folder, table, task, count):
    """Copies the row that belongs to this task, each time with another task's id."""
    with sqlite3.connect(pathlib.Path(folder, "easel.db")) as database:
        key = {"task": "id", "picture": "task"}[table]
        names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        names = [name for name in names if name not in (key, "number" if table == "task" else "id")]
        row = database.execute(f"SELECT {', '.join(names)} FROM {table} WHERE {key} = ?", (task,)).fetchone()
        ids = [str(uuid.uuid4()) for _ in range(count)]
        places = ", ".join("?" * (len(names) + 1))
        database.executemany(f"INSERT INTO {table} ({key}, {', '.join(names)}) VALUES ({places})", ((id, *row) for id in ids))
    database.close()
    return ids


def fill(start, folder):
    """100,000 waiting tasks and 100,000 pictures in a data folder. The copied task waits behind one that takes long."""
    server = start("--grace", "0", model="easel-emoji", folder=folder)

    async def leave():
        drawn = await submit(server, STUB)
        await until_completed(server, drawn)
        long = await submit(server, {**STUB, "steps": 1000})
        await until_processing(server, long)
        return drawn, long, await submit(server, STUB)

    drawn, long, waiting = asyncio.run(leave())
    stop(server)
    with sqlite3.connect(pathlib.Path(folder.name, "easel.db")) as database:
        database.execute("DELETE FROM task WHERE id = ?", (long,))
    database.close()
    copy(folder.name, "task", waiting, ROWS)
    pictures = pathlib.Path(folder.name, "pictures")
    # A file system allows some 65,000 names for one file.
    for place, id in enumerate(copy(folder.name, "picture", drawn, ROWS)):
        if place % 50_000 == 0:
            original = pictures / f"{id}-0"
            original.write_bytes((pictures / f"{drawn}-0").read_bytes())
            original.chmod(0o600)
        else:
            os.link(original, pictures / f"{id}-0")


async def page(server, path, times=21):
    """The median of milliseconds that a page takes."""
    took = []
    for _ in range(times):
        began = time.monotonic()
        status, _ = await exchange(server, path)
        assert status == 200, (path, status)
        took.append((time.monotonic() - began) * 1e3)
    return statistics.median(took)


async def waiting(server):
    return json.loads((await exchange(server, "/tasks?status=pending&limit=1"))[1])["total_tasks"]


async def measure(server):
    paths = ["/tasks", "/tasks?limit=20", "/tasks?limit=20&page=4000", "/tasks?limit=20&status=pending", "/images?limit=20",
             "/images?limit=20&page=4000"]
    pages = {path: await page(server, path) for path in paths}
    before, began = await waiting(server), time.monotonic()
    await asyncio.sleep(10)
    ended = before - await waiting(server)
    return pages, (time.monotonic() - began) * 1e3 / max(ended, 1), ended


def run(start):
    folder = tempfile.TemporaryDirectory()
    fill(start, folder)
    with start("--capacity", "1000000", folder=folder) as server:
        pages, milliseconds, ended = asyncio.run(measure(server))
    for path, took in pages.items():
        print(f"GET {path:32} {took:6.1f} ms", flush=True)
    print(f"a task of the stub model, taken, drawn, written and ended: {milliseconds:.2f} ms ({ended} tasks)")
