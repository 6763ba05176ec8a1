"""The memory that large requests and answers cost: `easel serve` with its default limits.

Six bodies of 32 MiB full of small values at once; thirty requests at once with a PNG of 8000x8000 pixels that is a few hundred
kilobytes long; and `/imagine` with sixteen pictures of 2048x2048, by four clients at once.
"""

import asyncio
import base64
import json
import struct
import time
import zlib

BODY = 32 << 20
SIDE = 8000


def small_values():
    """A body of 32 MiB that would be gigabytes as a tree of values."""
    head, value, tail = b'{"prompt":"x","a":[', b'{"":0},', b'{"":0}]}'
    count = (BODY - len(head) - len(tail)) // len(value)
    return head + value * count + tail


def large_picture():
    """A PNG of 8000x8000 grey pixels."""
    row = b"\0" + b"\x80" * (3 * SIDE)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(row * SIDE, 9)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        png += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return png


async def post(server, path, data):
    """The status of a request and the length of its answer, which is read and dropped."""
    reader, writer = await asyncio.open_connection(*server.place(), limit=64 << 10)
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
    length, begin = 0, b""
    try:
        writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        while piece := await reader.read(256 << 10):
            begin = begin or piece
            length += len(piece)
    except ConnectionError:
        # The server may refuse a request before it has read all of it.
        pass
    finally:
        writer.close()
    return (int(begin.split(b" ", 2)[1]) if begin else None), length


async def watch(server, requests):
    """What the requests were answered, the peak of memory meanwhile, and the longest time that `/health` took."""
    waiting = [asyncio.create_task(post(server, *request)) for request in requests]
    peak, slowest = server.resident(), 0.0
    while not all(task.done() for task in waiting):
        begin = time.monotonic()
        await get_health(server)
        slowest = max(slowest, time.monotonic() - begin)
        peak = max(peak, server.resident())
        await asyncio.sleep(0.02)
    return [await task for task in waiting], peak, slowest


async def get_health(server):
    reader, writer = await asyncio.open_connection(*server.place())
    writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    await reader.read()
    writer.close()


def run(start, kinds):
    """`start(*options)` starts a server; `kinds` are the ways to serve."""
    bodies = small_values()
    picture = base64.b64encode(large_picture()).decode()
    painted = json.dumps({"prompt": "x", "ddim_steps": 2, "init_image": picture}).encode()
    many = {"prompt": "x", "ddim_steps": 1, "W": 2048, "H": 2048, "n_samples": 16, "seed": 7}
    cases = {
        "6 bodies of 32 MiB": [("/generate", bodies)] * 6,
        "6 bodies of 32 MiB with ignored fields": [("/v1/images/generations", bodies)] * 6,
        "30 pictures of 8000x8000": [("/imagine", painted)] * 30,
        "4 times 16 pictures of 2048x2048": [("/imagine", json.dumps(many).encode())] * 4,
    }
    for kind, options in kinds.items():
        for name, requests in cases.items():
            with start(*options) as server:
                before = server.resident()
                answers, peak, slowest = asyncio.run(watch(server, requests))
                statuses = sorted({status for status, _ in answers if status})
                print(f"{kind:9} {name}: {before:.0f} MB before, {peak:.0f} MB at most, /health at most {slowest * 1e3:.0f} ms, "
                      f"answers {statuses}, {max(length for _, length in answers) / 1e6:.1f} MB at most", flush=True)
