"""The overhead of serving: `easel serve` with and without the component, under load, watched, and polled while it draws.

    python3 benches/serve/bench.py EASEL COMPONENT [PART ...]

EASEL is the program, COMPONENT the file `easel_edge.wasm`; `cargo xtask bench serve` builds both. PARTS are load, submitting,
cost, watchers, leavers, polling, faults, rows, hostile, bodies, memory and malformed; the last six take minutes and run
only when named. The server is pinned to one core and wrk, the load generator, to another. Needs Linux, wrk and Python 3.11;
`malformed` needs schemathesis, `faults` needs root and libfaketime.
"""

import asyncio
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

SERVER_CORE, CLIENT_CORE = "0", "1"
# What schemathesis looks at in an answer.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


class Server:
    """A running `easel serve` with its own data folder."""

    def __init__(self, *options, model="stub", files=None, folder=None, environment=None):
        self.folder = folder or tempfile.TemporaryDirectory()
        limit = [] if files is None else ["prlimit", f"--nofile={files}:{files}"]
        command = [*limit, "taskset", "-c", SERVER_CORE, EASEL, "serve", "--listen", "127.0.0.1:0", "--data", self.folder.name]
        command += ["--model", model, "--device", "cpu", *options]
        environment = {**os.environ, "RUST_LOG": "warn", **(environment or {})}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        for line in self.process.stderr:
            if found := re.search(r"listening on (http://\S+)", line):
                self.url = found[1]
                return
        raise SystemExit(f"{' '.join(command)} did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    def place(self):
        """Host and port."""
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def resident(self):
        """Megabytes of memory in use."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1000

    def send(self, path, body=None):
        data = body and json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def generate(self, **options):
        return self.send("/generate", {"prompt": "a red apple", "width": 128, "height": 128, "seed": 7, **options})["task_id"]

    def seconds(self, task):
        """How long the engine took for a task, by the times in the store."""
        while (found := self.send(f"/status/{task}"))["status"] in ("pending", "processing"):
            time.sleep(0.2)
        assert found["status"] == "completed", found
        begin, end = (time_of(found[name]) for name in ("started_at", "completed_at"))
        return end - begin


def time_of(text):
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def kinds():
    return {"native": ["--native"], "component": ["--component", COMPONENT]}


def wrk(url, connections, seconds, *options):
    """Requests per second, milliseconds at the median and at the 99th percentile, requests, failures."""
    command = ["taskset", "-c", CLIENT_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *options, url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    milliseconds = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    at = lambda percent: next(float(n) * milliseconds[u] for n, u in re.findall(rf"{percent}%\s+([\d.]+)(us|ms|s)\b", said))
    failed = re.search(r"(?:Non-2xx or 3xx responses|Socket errors): .*", said)
    rate, count = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    return float(rate[1]), at(50), at(99), int(count[1]), failed[0] if failed else "none failed"


def load():
    """Both routes under load, on one core: medians of five runs."""
    for kind, options in kinds().items():
        with Server(*options) as server:
            for path in ("/health", "/pipeline/status"):
                wrk(server.url + path, 16, 1)
                runs = [wrk(server.url + path, 16, 3) for _ in range(5)]
                rate, median, last = (statistics.median(column) for column in list(zip(*runs))[:3])
                failed = "; ".join(sorted({run[4] for run in runs}))
                print(f"{kind:9} GET {path:16} {rate:7.0f}/s  median {median:5.2f} ms  p99 {last:5.2f} ms  {failed}")


SUBMIT = """
wrk.method = "POST"
wrk.body = '{"prompt":"a red apple","width":64,"height":64,"steps":1,"seed":7}'
wrk.headers["content-type"] = "application/json"
"""


def submitting():
    """POST /generate, on one core: medians of five runs."""
    for kind, options in kinds().items():
        with Server(*options, "--capacity", "1000000") as server, tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(SUBMIT)
            script.flush()
            runs = [wrk(server.url + "/generate", 16, 3, "-s", script.name) for _ in range(5)]
            rate, median, last = (statistics.median(column) for column in list(zip(*runs))[:3])
            failed = "; ".join(sorted({run[4] for run in runs}))
            print(f"{kind:9} POST /generate       {rate:7.0f}/s  median {median:5.2f} ms  p99 {last:5.2f} ms  {failed}")


def hostile():
    """A server full of misbehaving clients, with 1024 open files."""
    import hostile

    hostile.run(Server, kinds())


def faults():
    """A database that is locked, a disk that becomes read-only, a clock that jumps."""
    import faults

    faults.run(Server)


def rows():
    """Lists and the queue with 100,000 rows."""
    import rows

    rows.run(Server)


def cost():
    """One client: the time that the component adds to a request. Both servers run and take turns, seven times."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        servers = {kind: stack.enter_context(Server(*options)) for kind, options in kinds().items()}
        for path in ("/health", "/pipeline/status"):
            turns = [[wrk(server.url + path, 1, 1)[1] for server in servers.values()] for _ in range(8)][1:]
            native, component = (statistics.median(column) for column in zip(*turns))
            more = [component - native for native, component in turns]
            print(f"GET {path}: median {native:.3f} ms natively, {component:.3f} ms through the component: "
                  f"{statistics.median(more):+.3f} ms (turns: {min(more):+.3f} to {max(more):+.3f})")


async def watch(server, task, ready, seen):
    """Watches a task and records when each step arrives."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /generate-stream/{task} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    async for line in reader:
        if line.startswith(b"data:"):
            now = time.monotonic()
            event = json.loads(line[5:])
            if event["status"] != "pending":
                seen.append((event["status"], event["step"], now))
            elif ready:
                ready.release()
            if event["status"] in ("completed", "error", "cancelled"):
                break
    writer.close()


def watchers():
    """How far apart 200 watchers of one task see the same step."""

    async def run(server):
        blocker = server.generate(steps=40)
        task = server.generate(steps=40)
        ready, seen = asyncio.Semaphore(0), [[] for _ in range(200)]
        tasks = [asyncio.create_task(watch(server, task, ready, events)) for events in seen]
        for _ in tasks:
            await ready.acquire()
        await asyncio.gather(*tasks)
        server.seconds(blocker)
        steps = {}
        for events in seen:
            assert [step for status, step, _ in events if status == "processing"][-40:] == list(range(1, 41)), events
            for status, step, now in events:
                steps.setdefault((status, step), []).append(now)
        return [max(times) - min(times) for (status, _), times in steps.items() if status == "processing"]

    for kind, options in kinds().items():
        with Server(*options, model="easel-emoji") as server:
            apart = asyncio.run(run(server))
            print(f"{kind:9} 200 watchers, 40 steps, all seen by all watchers: at most {max(apart) * 1e3:.1f} ms apart, median {statistics.median(apart) * 1e3:.1f} ms")


def leavers():
    """The memory left behind by thousands of watchers that disconnect while the task runs."""

    async def visit(server, task):
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /generate-stream/{task} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        await reader.readuntil(b"data:")
        writer.close()

    async def crowd(server, task):
        await asyncio.gather(*(visit(server, task) for _ in range(200)))

    for kind, options in kinds().items():
        with Server(*options, model="easel-emoji") as server:
            task = server.generate(steps=1000)
            asyncio.run(crowd(server, task))
            before = server.resident()
            for _ in range(20):
                asyncio.run(crowd(server, task))
            time.sleep(12)
            after = server.resident()
            server.send("/cancel-generation", {"task_id": task})
            print(f"{kind:9} 4000 watchers that left: {before:.0f} MB before, {after:.0f} MB after")


def polling():
    """How much 200 polls a second slow down a picture drawn on the same core."""

    async def poll(server, until):
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        count = 0
        begin = time.monotonic()
        while not until.done():
            writer.write(f"GET /pipeline/status HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
            count += 1
            await asyncio.sleep(max(0.0, begin + count / 20 - time.monotonic()))
        writer.close()
        return count

    async def polled(server):
        until = asyncio.get_running_loop().run_in_executor(None, lambda: server.seconds(server.generate(steps=200)))
        counts = await asyncio.gather(*(poll(server, until) for _ in range(10)))
        return await until, sum(counts)

    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    for kind, options in kinds().items():
        with Server(*options, model="easel-emoji") as server:
            server.seconds(server.generate(steps=5))
            pairs = []
            for _ in range(3):
                alone = server.seconds(server.generate(steps=200))
                beside, count = asyncio.run(polled(server))
                pairs.append((beside / alone - 1, count / beside))
            slower, rate = (statistics.median(column) for column in zip(*pairs))
            print(f"{kind:9} {rate:.0f} polls a second: drawing takes {slower:+.1%} (runs: {', '.join(f'{s:+.1%}' for s, _ in pairs)})")


def bodies():
    """The memory that large bodies, pictures and answers cost."""
    import bodies

    bodies.run(Server, kinds())


def memory():
    """A million requests."""
    for kind, options in kinds().items():
        with Server(*options) as server:
            wrk(server.url + "/health", 16, 5)
            before, count = server.resident(), 0
            while count < 1_000_000:
                count += wrk(server.url + ("/health", "/tasks")[count // 100_000 % 2], 16, 10)[3]
                print(f"{kind:9} after {count:8} requests: {server.resident():.1f} MB (at first {before:.1f} MB)", flush=True)


def malformed():
    """10,000 requests that schemathesis generates from the description: no 5xx, no hang, no undescribed response."""
    # A host without a model that looks at pictures answers 503, as described.
    clip = str(pathlib.Path(__file__).resolve().parents[2] / "tests/golden/clip-vit")
    for kind, options in kinds().items():
        with Server(*options, "--clip", clip) as server:
            # Many operations have fewer examples than the maximum.
            operations = sum(len(methods) for methods in server.send("/openapi.json")["paths"].values())
            command = ["schemathesis", "run", server.url + "/openapi.json", "--checks", CHECKS]
            command += ["--phases", "examples,coverage,fuzzing", "--max-examples", str(20_000 // operations)]
            command += ["--request-timeout", "30", "--continue-on-failure", "--no-color"]
            said = subprocess.run(command, capture_output=True, text=True, cwd=server.folder.name)
            lines = [line.strip() for line in said.stdout.splitlines()]
            print(f"{kind:9}", "passed" if said.returncode == 0 else "FAILED\n" + said.stdout[-4000:])
            print("         ", "; ".join(line for line in lines if re.search(r"\d+ generated|test cases", line)))


PARTS = {part.__name__: part for part in (load, submitting, cost, watchers, leavers, polling, faults, rows, hostile, bodies, memory, malformed)}

if __name__ == "__main__":
    if len(sys.argv) < 3 or any(part not in PARTS for part in sys.argv[3:]):
        raise SystemExit(__doc__)
    EASEL, COMPONENT = (os.path.abspath(path) for path in sys.argv[1:3])
    for part in sys.argv[3:] or [name for name in PARTS if name not in ("faults", "rows", "hostile", "bodies", "memory", "malformed")]:
        print(f"# {part}: {PARTS[part].__doc__}")
        PARTS[part]()
