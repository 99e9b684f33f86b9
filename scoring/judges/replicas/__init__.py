"""One judge on several devices: its replicas share its micro-batches out among them."""
