"""Which battles are chosen: for a person to look at, or for a shadow to answer. A draw that anybody can repeat."""
