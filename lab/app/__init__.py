"""The app: a page with controls of a scenario, and the answers of two planners beside it."""
