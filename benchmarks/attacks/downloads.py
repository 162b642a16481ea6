"""A server that misbehaves: the file whole, or one sentence and nothing left."""

import contextlib
import gzip
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deepseq_nb.family.registry import DatasetFile, download

from .frame import Bench, Outcome, Row, forked
from .inputs import tried

CONTENT = bytes(range(256)) * 400
WAYS = (
    "good", "cut", "reset", "wrong", "short", "long", "no length", "404", "500", "429", "html", "loop", "to file", "to closed port",
    "to good", "gzip", "broken gzip", "broken head", "chunked", "broken chunk", "stall", "silence", "drip", "endless",
    "endless chunks", "huge length", "negative length", "empty", "204", "206", "endless head", "close",
)  # fmt: skip


def _answer(
    way: str, talk: socket.socket, rng: np.random.Generator, address: str, path: str
) -> None:
    """One answer, raw: a library for servers would not misbehave."""
    part = int(rng.integers(1, len(CONTENT) - 1))

    def send(head: str, body: bytes = b"", status: str = "200 OK") -> None:
        talk.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin1") + body)

    length = f"Content-Length: {len(CONTENT)}\r\n"
    if path.endswith("/plain"):
        way = "good"
    if way == "good":
        send(length, CONTENT)
    elif way == "cut":
        send(length, CONTENT[:part])
    elif way == "reset":
        send(length, CONTENT[:part])
        talk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    elif way == "wrong":
        body = bytearray(CONTENT)
        body[part] ^= 1
        send(length, bytes(body))
    elif way == "short":
        send(f"Content-Length: {part}\r\n", CONTENT[:part])
    elif way == "long":
        send(f"Content-Length: {len(CONTENT) + part}\r\n", CONTENT + bytes(part))
    elif way == "no length":
        send("Connection: close\r\n", CONTENT)
    elif way in ("404", "500", "429", "204", "206"):
        status = {
            "404": "404 Not Found",
            "500": "500 Oops",
            "429": "429 Slow Down",
            "204": "204 No Content",
            "206": "206 Partial Content",
        }
        body = b"" if way == "204" else CONTENT[:part]
        send(f"Content-Length: {len(body)}\r\n", body, status[way])
    elif way == "html":
        page = b"<html><body>Please log in</body></html>"
        send(f"Content-Type: text/html\r\nContent-Length: {len(page)}\r\n", page)
    elif way == "loop":
        send(f"Location: http://{address}/again\r\nContent-Length: 0\r\n", b"", "302 Found")
    elif way == "to file":
        send("Location: file:///etc/passwd\r\nContent-Length: 0\r\n", b"", "302 Found")
    elif way == "to closed port":
        send("Location: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n", b"", "302 Found")
    elif way == "to good":
        send(f"Location: http://{address}/plain\r\nContent-Length: 0\r\n", b"", "302 Found")
    elif way == "gzip":
        body = gzip.compress(CONTENT)
        send(f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n", body)
    elif way == "broken gzip":
        send(f"Content-Encoding: gzip\r\n{length}", CONTENT)
    elif way == "broken head":
        talk.sendall(b"\x00\xff\x16\x03nonsense\r\n\r\n" + CONTENT)
    elif way == "chunked":
        body = b"".join(
            b"1000\r\n" + CONTENT[k : k + 4096] + b"\r\n" for k in range(0, len(CONTENT), 4096)
        )
        send("Transfer-Encoding: chunked\r\n", body + b"0\r\n\r\n")
    elif way == "broken chunk":
        send("Transfer-Encoding: chunked\r\n", b"1000\r\n" + CONTENT[:4096] + b"\r\nzzz\r\n")
    elif way == "stall":
        send(length, CONTENT[:part])
        time.sleep(30)
    elif way == "silence":
        time.sleep(30)
    elif way == "drip":
        send(length)
        for k in range(120):
            talk.sendall(CONTENT[k : k + 1])
            time.sleep(0.5)
    elif way in ("endless", "endless chunks"):
        send("Transfer-Encoding: chunked\r\n" if "chunks" in way else "Connection: close\r\n")
        body = b"10000\r\n" + bytes(65536) + b"\r\n" if "chunks" in way else bytes(65536)
        while True:
            talk.sendall(body)
    elif way == "huge length":
        send("Content-Length: 99999999999999\r\n", CONTENT)
    elif way == "negative length":
        send("Content-Length: -5\r\n", CONTENT)
    elif way == "empty":
        send("Content-Length: 0\r\n")
    elif way == "endless head":
        talk.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            talk.sendall(b"X-Y: " + b"z" * 60_000 + b"\r\n")


@contextlib.contextmanager
def server(way: str, seed: int) -> Iterator[tuple[str, list[int]]]:
    """A server in a process of its own; its address, and how it is told to end."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                talk, _ = listener.accept()
                threading.Thread(
                    target=_serve, args=(way, talk, seed, address), daemon=True
                ).start()
        finally:
            os._exit(0)
    listener.close()
    try:
        yield address, []
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def _serve(way: str, talk: socket.socket, seed: int, address: str) -> None:
    with contextlib.suppress(OSError, ValueError), talk:
        head = talk.recv(65536).decode("latin1")
        path = head.split(" ")[1] if " " in head else ""
        _answer(way, talk, np.random.default_rng(seed), address, path)


def misbehaving(
    bench: Bench, number: int, rng: np.random.Generator, folder: Path
) -> tuple[str, str | None]:
    """One download: at most a minute, and not much more on the disk than the file is long."""
    way = WAYS[number % len(WAYS)]
    entry = DatasetFile(family="TOY", kind="alignment", file="toy.a2m", bytes=len(CONTENT), repository="some/where",
                        sha256=hashlib.sha256(CONTENT).hexdigest(), commit="abc", path="toy")  # fmt: skip
    report, place, scratch = folder / "report", folder / "data", folder / "tmp"
    scratch.mkdir()
    with server(way, int(rng.integers(2**31))) as (address, _):

        def work() -> int:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (50 * 2**20, 50 * 2**20))
            os.environ["NO_PROXY"] = "127.0.0.1"
            found, fault = tried(
                lambda: download(entry, place, base_url=f"http://{address}", timeout=2), 100
            )
            report.write_text(f"{'file' if found else 'refused'}\n{fault or ''}")
            return 0

        ended: Outcome = forked(work, folder, 130, env={"TMPDIR": str(scratch)})
    if ended.code != 0:
        return way, f"hang or worse: exit {ended.code}: {ended.said}"
    what, _, fault = report.read_text().partition("\n")
    if fault:
        return way, fault
    here = [p for p in [*place.rglob("*"), *scratch.rglob("*")] if p.is_file()]
    if what == "file":
        same = len(here) == 1 and here[0].read_bytes() == CONTENT
        return way, None if same else f"wrong: {[str(p) for p in here]}"
    if way in ("good", "no length", "to good", "gzip", "chunked"):
        return way, "refused: a good file"
    return way, f"left behind: {[p.name for p in here]}" if here else None


ROWS = [Row("downloads", "a server that misbehaves in thirty ways", 128, misbehaving)]
