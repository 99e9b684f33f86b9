"""What pages are told as it happens: server-sent events."""
