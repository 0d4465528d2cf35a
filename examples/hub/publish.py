#!/usr/bin/env python3
"""Publishes an update with nothing but Python, and prints its id.

    export SSEKIT_TOKEN=$(ssekit token make --key-file key --publish '*')
    python3 examples/hub/publish.py https://example.com/news 'hello, world'
    python3 examples/hub/publish.py https://example.com/news 'for some alone' --private

HUB says where the hub is, unless on this machine. publish_by_package.py does the same with a package of PyPI.
"""

import os
import sys
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

HUB = os.environ.get("HUB", "http://127.0.0.1:3000/.well-known/mercure")


def publish(token: str, topic: str, data: str, private: bool = False) -> str:
    """Gives the id of the update."""
    form = [("topic", topic), ("data", data)] + [("private", "on")] * private
    request = Request(HUB, urlencode(form).encode(), {"Authorization": f"Bearer {token}"})
    with urlopen(request, timeout=30) as answer:
        return answer.read().decode()


if __name__ == "__main__":
    if len(sys.argv) < 3 or "SSEKIT_TOKEN" not in os.environ:
        sys.exit(f"usage: SSEKIT_TOKEN=… python3 {sys.argv[0]} TOPIC DATA [--private]")
    try:
        print(publish(os.environ["SSEKIT_TOKEN"], sys.argv[1], sys.argv[2], "--private" in sys.argv))
    except HTTPError as refusal:
        sys.exit(f"{refusal}\n{refusal.read().decode()}")
