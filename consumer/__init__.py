"""Floor 3: the stream and the face. Battles from Kafka, preferences to Kafka, and the `prefstream` command."""
