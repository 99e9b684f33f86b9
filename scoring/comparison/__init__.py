"""What would change if others answered: two sets of answers about the same battles, held against each other.

No module here reads what a battle says: preferences hold no text, and of rows only lengths and hashes stay.
"""
