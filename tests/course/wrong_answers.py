"""Wrong answers that students give, and words that their feedback must have, by step."""

WRONG = {}


def wrong(step, words):
    """Register a wrong answer of a step."""

    def register(answer):
        WRONG.setdefault(step, []).append((words, answer))
        return answer

    return register
