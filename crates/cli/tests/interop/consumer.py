"""Prints the data of each update of a topic, by pymercure's own consumer: python consumer.py HUB TOPIC."""

import sys

from pymercure.consumer import Consumer

consumer = Consumer(sys.argv[1], [sys.argv[2]], lambda message: print(message.data, flush=True))
consumer.start_consumption()
print("subscribed", flush=True)
