"""Machine code: who compiles is told so, and nobody else."""

import subprocess
import sys

NOTICE = "compiling the simulator"
PROGRAM = """
from scenarios.compiled import compiled

@compiled
def more(number):
    return number + 1

more.py_func.__module__ = "scenarios.compiled"
print("imported")
print(more(1), more(1.5))
"""


def test_who_compiles_is_told_so_once_and_who_finds_machine_code_is_not(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def notices(command):
        made = subprocess.run(
            [sys.executable, *command], check=False, capture_output=True, text=True
        )
        assert made.returncode == 0, made.stderr
        return made.stderr.count(NOTICE), made.stdout.split()

    assert notices(["-c", "import scenarios.compiled, sim"])[0] == 0
    assert notices([str(program)]) == (1, ["imported", "2", "2.5"])
    assert notices([str(program)]) == (0, ["imported", "2", "2.5"])
