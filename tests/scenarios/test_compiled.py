"""Machine code: who compiles the simulator is told so, and nobody else."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

ROOT = Path(__file__).parents[2]
PACKAGES = ("scenarios", "sim", "planners", "hardware_models")
NOTICE = "compiling the simulator"
COMPILE = "from sim.request_rows import line_of; print(line_of(1))"


def test_who_compiles_is_told_so_once_and_who_only_imports_is_not(tmp_path):
    for package in PACKAGES:
        copytree(ROOT / package, tmp_path / package, ignore=ignore_patterns("__pycache__"))

    def notices(code):
        made = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stderr
        return made.stderr.count(NOTICE), made.stdout.strip()

    assert notices("import sim, planners") == (0, "")
    assert notices(COMPILE) == (1, "16")
    assert notices(COMPILE) == (0, "16")
