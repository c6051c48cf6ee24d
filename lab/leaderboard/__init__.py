"""A leaderboard of a class: submitted planners, each in a confined process, on hidden seeds."""
