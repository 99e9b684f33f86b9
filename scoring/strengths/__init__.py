"""How strong models are, from what people and judges said: Bradley-Terry, its intervals, style control.

numpy and scipy only. What goes in are tallies, what comes out is a table of models.
"""
