"""Transfers against a server that misbehaves on request: limits of size and time, and the true reason."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deepseq_nb.core.errors import DatasetError
from deepseq_nb.family.transfer import transfer

CONTENT = b">A/1-4\nMKVL\n" * 100


class Misbehaving(BaseHTTPRequestHandler):
    """Does what the last part of the address says, until the test is over."""

    def do_GET(self):
        what = self.path.rsplit("/", 1)[-1]
        try:
            getattr(self, f"send_{what}")()
            self.wfile.flush()
        except OSError:  # the other side has hung up
            pass

    def head(self, code=200, **fields):
        self.send_response(code)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send_good(self):
        self.head(Content_Length=str(len(CONTENT)))
        self.wfile.write(CONTENT)

    def send_endless(self):
        self.head()
        while not self.server.over.is_set():
            self.wfile.write(b"x" * 65_536)

    def send_hall(self):
        """A redirection with an endless text of its own."""
        self.head(302, Location="/good")
        while not self.server.over.is_set():
            self.wfile.write(b"x" * 65_536)

    def send_round(self):
        self.head(302, Location="/round", Content_Length="0")

    def send_elsewhere(self):
        self.head(302, Location="/good", Content_Length="0")

    def send_disk(self):
        self.head(302, Location="file:///etc/passwd", Content_Length="0")

    def send_packed(self):
        self.head(Content_Encoding="gzip", Content_Length=str(len(CONTENT)))
        self.wfile.write(CONTENT)

    def send_cut(self):
        self.head(Content_Length=str(len(CONTENT)))
        self.wfile.write(CONTENT[:50])

    def send_chunks(self):
        self.head(Transfer_Encoding="chunked")
        self.wfile.write(b"what is this?\r\n")

    def send_silence(self):
        self.head(Content_Length=str(len(CONTENT)))
        self.wfile.flush()
        self.server.over.wait(60)

    def send_drip(self):
        """Never silent for long, and never done: the lines above the content without an end."""
        self.wfile.write(b"HTTP/1.0 200 OK\r\n")
        while not self.server.over.wait(0.05):
            self.wfile.write(b"X")
            self.wfile.flush()

    def send_nothing(self):
        self.head(404, Content_Length="0")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def home():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    server.daemon_threads, server.over = True, threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("what", ["good", "elsewhere", "hall"])
def test_what_comes_in_good_order_is_given_whole(home, what):
    assert transfer(home + what, len(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("endless", "more than the 1,200 bytes came that were expected"),
        ("round", "the server sends on from one address to the next, more than 10 times"),
        ("disk", "the server sends on to 'file:///etc/passwd', which is no web address"),
        ("packed", "what came is not packed in the way that the server says"),
        ("cut", "the connection broke off before the end of the file"),
        ("chunks", "the connection broke off before the end of the file"),
        ("nothing", "the server answers 404 Not Found"),
    ],
)
def test_a_transfer_that_fails_says_the_true_reason(home, what, reason):
    with pytest.raises(DatasetError) as caught:
        transfer(home + what, len(CONTENT))
    assert str(caught.value) == reason


def test_one_byte_too_many_is_too_many(home):
    with pytest.raises(DatasetError, match="more than the 1,199 bytes"):
        transfer(home + "good", len(CONTENT) - 1)


def test_a_server_that_is_silent_is_given_up(home):
    with pytest.raises(DatasetError, match="does not answer in time"):
        transfer(home + "silence", len(CONTENT), silence=0.3)


def test_a_server_that_is_never_silent_is_given_up_too(home):
    """The limit of silence would never be reached, not even for the lines above the content."""
    with pytest.raises(DatasetError, match="it was not here after 1 s"):
        transfer(home + "drip", len(CONTENT), silence=30, total=1)
