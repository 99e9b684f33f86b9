"""The report of an evaluation as a page of HTML, and what other such pages are made of: styles, figures, drawings."""
