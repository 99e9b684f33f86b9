"""Handlers: Kafka's protocol on one side, the broker's state machines on the other."""

from __future__ import annotations
