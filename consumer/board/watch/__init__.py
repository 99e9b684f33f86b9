"""What the stream does that answers the battles: how far it lags, and what it could not score."""
