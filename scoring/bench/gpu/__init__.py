"""What a graphics card does with a panel: one run over everything that only a card can show."""
