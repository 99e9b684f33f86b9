"""Whether judges can be trusted now: their forecasts held against the votes that came after them.

On arrays and sums alone: no Kafka, no torch, and nothing of what a battle says beyond its lengths.
"""
