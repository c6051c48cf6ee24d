"""The course's notebooks: one text each, from which the instructor's and the students' are made.

A text has the model solutions. So it stays in the checkout; the wheel has what the students get.
"""
