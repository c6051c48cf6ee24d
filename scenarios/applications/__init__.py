"""Applications: pipelines of operators, what their configurations do, and declarations of them."""
