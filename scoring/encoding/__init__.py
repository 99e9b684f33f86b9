"""Battles to token ids: the layout, the shares of the token budget, tokens, identity mask."""
