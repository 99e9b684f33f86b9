"""Floor 3: the stream and the face. Battles from Kafka, preferences to Kafka, and the `prefstream` command."""

if not __name__.startswith("prefstream."):  # beside the checkout's root the short name resolves, too
    raise ImportError("import prefstream.consumer: by its short name every class of it would exist twice")
