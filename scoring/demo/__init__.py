"""The demo's two small judges: where their weights come from, and the adapters that ship."""
