"""Two sides of a comparison, wherever their answers are: on a topic, in a file, or still to be given by a panel."""
