"""How good a judge, a panel, or a file of predictions is against what people said: numbers, and a report of them.

No module here reads what a battle says beyond its lengths and the hash of its prompt, so no report can repeat it.
"""
