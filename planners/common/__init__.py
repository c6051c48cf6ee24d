"""Functions and classes that several planners use."""
