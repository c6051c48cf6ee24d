"""Applications: pipelines of operators, measurements of their configurations, and declarations."""
