"""What training left behind: adapters averaged in their weights, runs compared on what they held out."""
