"""Floor 2: battles in, probabilities out. A library of its own; knows no Kafka."""

if not __name__.startswith("prefstream."):  # beside the checkout's root the short name resolves, too
    raise ImportError("import prefstream.scoring: by its short name every class of it would exist twice")
