"""The course: graders and hints of its steps, and the students' notebooks.

``python -m lab.course DIRECTORY`` copies the notebooks. In them, and anywhere else::

    from lab.course import check, hint
    print(hint("1.1", 1))
    print(check("1.1", my_function))

The text of no model solution is in this package. Graders call an answer on inputs that they draw,
and judge what it returns, by brute force where that is possible and else by computing the answer.
"""

from lab.course.all_steps import check, hint, steps
from lab.course.grading import Feedback

__all__ = ["Feedback", "check", "hint", "steps"]
