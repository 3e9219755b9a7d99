"""A report as a page, a table of pandas, and a summary in a notebook."""
