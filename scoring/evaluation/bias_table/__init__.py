"""One table of what judges are biased by, beside what people do: for any panel, or a file of what one said."""
