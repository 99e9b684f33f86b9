"""What graphics cards could do at most, by arithmetic on what their makers say of them."""
