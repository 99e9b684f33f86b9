"""From the topics into the board's file, so that a kill at any moment loses and doubles nothing."""
