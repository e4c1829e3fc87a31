"""The page over HTTP: answers this machine's browser alone, requests nothing and keeps nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from samref.cli.page.actions import Answer, Page
from samref.cli.page.controls import controls
from samref.cli.page.desk import FORMATS, PRESETS, Desk
from samref.errors import SamrefError
from samref.report.html import template_environment

FIRST_PORT, PORTS = 7860, 100
LARGEST = 300 << 20  # bytes of a request
# A page of another site can make a browser send forms and images here, but no header of its own.
HEADER = "X-Samref"


class PageServer:
    """Serves a page until it is closed."""

    def __init__(self, desk: Desk, host: str = "127.0.0.1", port: int | None = None) -> None:
        """Takes an address.

        Args:
            desk: refines.
            host: 127.0.0.1 for this machine alone.
            port: None takes the first from 7860 on that is free, 0 any.

        Raises:
            OSError: where it is taken.
        """
        page = Page(desk)
        document = _document(desk.name).encode()

        class Handler(_Handler):
            def do_GET(self) -> None:
                self.answer_get(document)

            def do_POST(self) -> None:
                self.answer_post(page.actions, port_of())

        def port_of() -> int:
            return int(self.server.server_address[1])

        self.server = _bound(Handler, host, port)
        self.url = f"http://{host}:{port_of()}/"

    def serve(self) -> None:
        """Answers until the process is interrupted."""
        self.server.serve_forever()

    def start(self) -> None:
        """Answers in a thread of its own."""
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self.server.shutdown()
        self.server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Two pages at one address would share it.
    allow_reuse_port = False


class _Handler(BaseHTTPRequestHandler):
    """Reads requests, and writes answers that no browser keeps or takes for another kind."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the terminal is the user's."""

    def answer_get(self, document: bytes) -> None:
        if urlsplit(self.path).path != "/":
            self.respond(HTTPStatus.NOT_FOUND, "text/plain", b"")
        else:
            self.respond(HTTPStatus.OK, "text/html; charset=utf-8", document)

    def answer_post(self, actions: Mapping[str, Callable[[Any], Answer]], port: int) -> None:
        action = actions.get(urlsplit(self.path).path.strip("/"))
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST:
            self.close_connection = True
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the file is larger than {LARGEST >> 20} MB")
        content = self.rfile.read(length)
        if self.headers.get(HEADER) is None or action is None:
            return self._refuse(HTTPStatus.FORBIDDEN, "this is no request of the page's own")
        try:
            answer = action(json.loads(content))
        except SamrefError as error:
            return self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, f"the request is not understood: {error!r}")
        self.respond(HTTPStatus.OK, "application/json", json.dumps(answer).encode())

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self.respond(status, "application/json", json.dumps({"problem": sentence}).encode())

    def respond(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)


def _bound(handler: type[_Handler], host: str, port: int | None) -> _Server:
    tried = [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS)
    problem = OSError("no port is free")
    for number in tried:
        try:
            return _Server((host, number), handler)
        except OSError as error:
            problem = error
    raise problem


def _document(name: str) -> str:
    return (
        template_environment(Path(__file__).parent)
        .get_template("page.html")
        .render(model=name, controls=controls(), presets=list(PRESETS), formats=FORMATS)
    )
