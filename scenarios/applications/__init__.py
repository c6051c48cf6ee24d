"""Applications: pipelines of operators, results of their configurations, and their declarations."""
