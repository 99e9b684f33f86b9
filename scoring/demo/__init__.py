"""The demo's small judges, and one more base: where their weights come from, and the adapters that ship."""
