"""What a sweep shows: tidy frames, comparisons with intervals, figures and one page."""
