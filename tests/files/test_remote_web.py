"""Weights on real web servers, well-behaved and not; what fsspec needs for the web has to be installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

import tttcfg
from tests.builders import MODEL, old_document
from tests.evidence.dialects.tensors import Size, consolidated
from tests.safetensors.files import compact, framed, index_file, laid_out, room_for
from tttcfg.documents.checkpoint import find_checkpoint
from tttcfg.errors import InputError
from tttcfg.safetensors.header import HEADER_CAP
from tttcfg.safetensors.shards import INDEX_NAME, read_weights

pytest.importorskip("aiohttp")
TENSORS = {"a": ("F32", (2, 3)), "b": ("BF16", (4,))}
HEADER = compact(laid_out(TENSORS))
WHOLE = framed(HEADER, room_for(TENSORS))


class Web(BaseHTTPRequestHandler):
    """Serves bytes by path; `answers` (statuses and redirects), `ranges` and `lies` (lengths) make it misbehave."""

    files: ClassVar[dict[str, bytes]] = {}
    answers: ClassVar[dict[str, int | str]] = {}
    sent: ClassVar[list[tuple[str, int]]] = []
    ranges: ClassVar[bool] = True
    declining: ClassVar[bool] = False
    lies: ClassVar[dict[str, int]] = {}

    def do_HEAD(self) -> None:
        self.respond(head=True)

    def do_GET(self) -> None:
        self.respond(head=False)

    def respond(self, head: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        answer = self.answers.get(path, 200 if path in self.files else 404)
        if answer != 200:
            self.send_response(302 if isinstance(answer, str) else answer)
            if isinstance(answer, str):
                self.send_header("Location", answer)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data, wanted = self.files[path], self.headers.get("Range")
        partial = bool(wanted) and self.ranges
        if partial:
            start, _, end = str(wanted).removeprefix("bytes=").partition("-")
            data = data[int(start) : int(end) + 1]
        self.send_response(206 if partial else 200)
        self.send_header("Content-Length", str(len(data) if partial else self.lies.get(path, len(data))))
        if self.declining:
            self.send_header("Accept-Ranges", "none")
        self.end_headers()
        if not head:
            self.sent.append((path, len(data)))
            with suppress(OSError):  # the client closes the connection before the end
                self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://user:hunter2@127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def web() -> Iterator[str]:
    Web.files, Web.answers, Web.sent, Web.ranges, Web.declining, Web.lies = {}, {}, [], True, False, {}
    with serving() as url:
        yield url


def refused(url: str) -> str:
    with pytest.raises(InputError) as caught:
        read_weights(url)
    assert "hunter2" not in f"{caught.value!r} {caught.value}"
    return str(caught.value).partition(": ")[2]


def test_a_header_is_two_ranges(web: str) -> None:
    Web.files["x.safetensors"] = WHOLE
    assert read_weights(f"{web}/x.safetensors?sig=hunter2").shape("a") == (2, 3)
    assert Web.sent == [("x.safetensors", 8), ("x.safetensors", 8 + len(HEADER))]


@pytest.mark.parametrize("declining", [False, True])
def test_a_server_without_ranges_will_do(web: str, declining: bool) -> None:
    """The header is at the beginning, and the rest is not waited for."""
    Web.ranges, Web.declining = False, declining
    Web.files["x.safetensors"] = WHOLE
    assert read_weights(f"{web}/x.safetensors").names == {"a", "b"}


def test_fewer_bytes_than_promised_are_no_verdict_on_the_file(web: str) -> None:
    Web.files["x.safetensors"] = WHOLE[:20]
    Web.lies["x.safetensors"] = len(WHOLE)
    assert "were requested" in refused(f"{web}/x.safetensors")
    Web.files["x.safetensors"] = WHOLE[:5]
    assert "8 bytes were requested and 5 received" in refused(f"{web}/x.safetensors")


def test_a_length_that_is_too_small_is_a_file_that_ends_too_soon(web: str) -> None:
    Web.files["x.safetensors"] = WHOLE
    Web.lies["x.safetensors"] = len(WHOLE) - 1
    assert read_weights(f"{web}/x.safetensors").truncated is not None


def test_a_redirect_is_followed_on_the_web_and_nowhere_else(web: str) -> None:
    Web.files["x.safetensors"] = WHOLE
    Web.answers["moved.safetensors"] = f"{web}/x.safetensors"
    Web.answers["out.safetensors"] = "file:///etc/passwd"
    assert len(read_weights(f"{web}/moved.safetensors")) == 2
    assert "cannot be read" in refused(f"{web}/out.safetensors")


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "no such file"), (403, "access is refused"), (500, "cannot be read"), (416, "cannot be read")],
)
def test_an_error_answer_is_reported_with_its_reason(web: str, status: int, message: str) -> None:
    Web.answers["x.safetensors"] = status
    assert message in refused(f"{web}/x.safetensors?sig=hunter2")


def test_a_server_that_does_not_answer_is_not_a_missing_file() -> None:
    with serving() as url:
        pass
    assert "cannot be read" in refused(f"{url}/x.safetensors")


def test_a_shard_that_is_missing_is_named(web: str, tmp_path: Any) -> None:
    Web.files[INDEX_NAME] = index_file(tmp_path, {"a": "1.safetensors", "b": "2.safetensors"}).read_bytes()
    Web.files["1.safetensors"] = framed(compact(laid_out({"a": TENSORS["a"]})), 24)
    with pytest.raises(InputError) as caught:
        read_weights(f"{web}/{INDEX_NAME}")
    (problem,) = caught.value.problems
    assert (problem.code, str(problem.place).endswith("/2.safetensors")) == ("not_found", True)


def test_an_index_beyond_the_cap_is_not_fetched(web: str) -> None:
    Web.files[INDEX_NAME] = b" " * (HEADER_CAP + 1)
    assert "an index may have" in refused(f"{web}/{INDEX_NAME}")
    assert [size for _, size in Web.sent if size > 8] == []


def test_files_beside_weights_are_read_with_the_same_signature(web: str) -> None:
    shapes = {name: ("BF16", shape) for name, shape in consolidated(Size(), [1, 2], [64]).items()}
    Web.files["run/x.safetensors"] = framed(compact(laid_out(shapes)), room_for(shapes))
    Web.files["run/config.json"] = compact({**MODEL, "num_layers": 4})
    document = old_document(6, {"ttt.enable": True, "ttt.layers": [1, 2], "ttt.mini_batch_size": 8})
    Web.files["run/training_config.json"] = compact(document | {"lora": {**document["lora"], "enable": False}})
    effective: Any = tttcfg.resolve(f"{web}/run/x.safetensors?sig=hunter2")
    assert (effective.training.ttt.mini_batch_size, effective.ttt.head_dim) == (8, 16)


def test_a_signed_neighbour_that_is_refused_is_not_called_missing(web: str) -> None:
    shapes = {name: ("BF16", shape) for name, shape in consolidated(Size(), [1, 2], [64]).items()}
    Web.files["run/x.safetensors"] = framed(compact(laid_out(shapes)), room_for(shapes))
    Web.answers["run/training_config.json"] = Web.answers["run/config.json"] = 403
    effective: Any = tttcfg.resolve(f"{web}/run/x.safetensors?sig=hunter2")
    unreadable = [one.message for one in effective.findings if one.code == "unreadable"]
    assert len(unreadable) == 2
    assert "access is refused" in unreadable[0]
    unconfirmed = next(one.message for one in effective.findings if one.code == "unconfirmed")
    assert unconfirmed.endswith("could not be read")
    assert "hunter2" not in repr(effective)


def test_a_server_that_fails_is_never_taken_for_a_checkpoint_without_a_document(web: str) -> None:
    Web.files["run/x.safetensors"] = WHOLE
    Web.answers["run/training_config.json"] = 500
    with pytest.raises(InputError, match=r"training_config\.json: cannot be read"):
        tttcfg.resolve(f"{web}/run/x.safetensors")


@pytest.mark.parametrize("given", ["run", "run/", "run/consolidated", "run/consolidated/config.json"])
def test_a_folder_on_the_web_is_a_checkpoint_by_the_names_it_holds(web: str, given: str) -> None:
    Web.files["run/consolidated/lora.safetensors"] = WHOLE
    Web.files["run/consolidated/config.json"] = compact(MODEL)
    found = find_checkpoint(f"{web}/{given}")
    assert [name.rpartition("/")[2] for name in found.weights] == ["lora.safetensors"]
    assert found.model_config is not None
    assert found.document is None
