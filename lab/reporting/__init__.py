"""The report on a sweep: claims, figures, tables and one page."""
