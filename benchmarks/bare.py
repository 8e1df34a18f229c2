"""An ASGI application that does nothing, under the gateway's own server: `python -m benchmarks.bare BYTES`.

It reads each request's body and answers with so many bytes: what is left of an answer when nobody makes it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import uvicorn

from gateway.app import protocol_settings
from gateway.limits import Limits
from gateway.running import run_until_stopped
from gateway.serving import Server, address_of, bound_socket, raise_open_files

START = b'{"data":"'


def bare(size: int) -> Any:
    """The application; its body is JSON of this size."""
    body = START + b"x" * (size - len(START) - 2) + b'"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(size).encode())]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


async def serve(size: int) -> None:
    listening = bound_socket("127.0.0.1", 0)
    settings = {**protocol_settings(Limits()), "lifespan": "off", "proxy_headers": False}
    server = Server(uvicorn.Config(bare(size), **settings))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, server, "should_exit", True)
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    await server.answers.wait()
    print(f"serving {address_of(listening)}/graphql", flush=True)
    await serving


if __name__ == "__main__":
    raise_open_files()
    run_until_stopped(lambda: serve(int(sys.argv[1])))
