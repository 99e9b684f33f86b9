"""Parts of kafka-python that are replaced because they are wrong; one module a fault."""
