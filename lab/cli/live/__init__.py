"""The tools of ``compass-lab`` for a browser: the app and the animation of a run."""
