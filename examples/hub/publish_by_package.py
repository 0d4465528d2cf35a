#!/usr/bin/env python3
"""Publishes an update with the package mercure-publisher, which makes its own tokens, and prints the update's id.

    pip install mercure-publisher
    export KEY=$(cat key)
    python3 examples/hub/publish_by_package.py https://example.com/news 'hello, world'
    python3 examples/hub/publish_by_package.py https://example.com/news 'for some alone' --private

HUB says where the hub is, unless on this machine; KEY is the hub's key. The package named `mercure` is for another protocol.
"""

import os
import sys

from mercure_publisher import MercureConfig, MercurePublisher, MercurePublishError

if len(sys.argv) < 3 or "KEY" not in os.environ:
    sys.exit(f"usage: KEY=… python3 {sys.argv[0]} TOPIC DATA [--private]")
config = MercureConfig(
    hub_url=os.environ.get("HUB", "http://127.0.0.1:3000/.well-known/mercure"),
    publisher_jwt_key=os.environ["KEY"],
    publish_topics=["*"],
    jwt_ttl_seconds=300,
)
with MercurePublisher(config) as publisher:
    try:
        print(publisher.publish(sys.argv[1], sys.argv[2], private="--private" in sys.argv))
    except MercurePublishError as refusal:
        sys.exit(f"{refusal}\n{refusal.response_body}")
