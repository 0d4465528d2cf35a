"""Publishes by pymercure, and prints the id: HUB=… SSEKIT_TOKEN=… python publisher.py TOPIC DATA."""

import os
import sys

from pymercure.message import Message
from pymercure.publisher.sync import SyncPublisher

publisher = SyncPublisher(os.environ["HUB"], os.environ["SSEKIT_TOKEN"])
print(publisher.publish(Message([sys.argv[1]], sys.argv[2])))
