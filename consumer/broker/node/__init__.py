"""One broker node: what it holds and what it decides about topics, logs, groups and transactions."""
