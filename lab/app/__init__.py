"""The app: a page with the controls of a scenario and the answers of two planners."""
