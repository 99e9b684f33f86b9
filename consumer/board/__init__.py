"""The board: strengths of models from votes and preferences, and whether the judges can be trusted now."""
