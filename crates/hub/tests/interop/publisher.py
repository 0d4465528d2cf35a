"""Publishes by pymercure, prints the id: TOKEN=… python publisher.py HUB TOPIC DATA."""

import os
import sys

from pymercure.message import Message
from pymercure.publisher.sync import SyncPublisher

print(SyncPublisher(sys.argv[1], os.environ["TOKEN"]).publish(Message([sys.argv[2]], sys.argv[3])))
