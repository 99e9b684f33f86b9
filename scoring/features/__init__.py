"""What can be counted of two answers at once, and a linear model over it. No torch; scikit-learn hashes the words."""
