"""Everything that touches kafka-python: clients made and secured, its errors translated, its faults mended."""
