"""Which partitions are ours, where reading begins in each, and how far it is."""
