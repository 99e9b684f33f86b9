"""Files of battles: rows in and out, what people said of them, what a file holds."""
