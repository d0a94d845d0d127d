"""An OpenAI-compatible server on loopback that answers as a test tells it to, odd ways included.

It stands at the edge: the client, its retries and the engine over it are real.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass
class Answer:
    """A status, a body (JSON, or text as it is) and headers; `after` seconds."""

    status: int = 200
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0


def completion(text: str | None, **more: Any) -> Answer:
    """A chat completion that says `text`."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}
    choice["message"]["content"] = text  # type: ignore[index]
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return Answer(body={**body, "choices": [{**choice, **more}], "usage": usage})


def problem(status: int, message: str, **headers: str) -> Answer:
    body = {"error": {"message": message, "type": "error", "param": None, "code": status}}
    return Answer(status=status, body=body, headers=headers)


@dataclass
class Server:
    """Where it listens, and the requests that came, in order."""

    url: str
    requests: list[Body] = field(default_factory=list)
    most_at_once: int = 0


@contextmanager
def serving(answer: Callable[[Body], Answer]) -> Iterator[Server]:
    """A server whose `answer` is given each request's body and key."""
    lock, now = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            body["key"] = self.headers["Authorization"]
            with lock:
                now[0] += 1
                found.requests.append(body)
                found.most_at_once = max(found.most_at_once, now[0])
            given = answer(body)
            time.sleep(given.after)
            with lock:
                now[0] -= 1
            is_text = isinstance(given.body, str)
            raw = given.body.encode() if is_text else json.dumps(given.body).encode()
            self.send_response(given.status)
            kind = "text/html" if is_text else "application/json"
            for name, value in {"Content-Type": kind, **given.headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    class Listening(ThreadingHTTPServer):
        request_queue_size = 128  # of 5, a burst has some refused, and sent again

    httpd = Listening(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    found = Server(url=f"http://127.0.0.1:{httpd.server_port}/v1")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
