"""Traces of the stream by OpenTelemetry: which battle waited for what, from its producer's span to its reader's.

Nothing here but `traceparent` and `names` is imported where tracing is off.
"""
