"""What Sphinx has to be told of documents that were written for GitHub."""
