"""Loading a judge: tokenizer, base, adapter and head, each verified."""
