"""The command ``compass-sim``: its help and its entry point.

Heavy modules are imported later, so that ``compass-sim --help`` is fast.
"""

import os
import sys

from lab.common.command import run_command
from lab.common.garbage import imported_for_good
from lab.common.options import listing
from lab.common.resources import check_machine

HELP = """\
compass-sim simulates compound-AI serving and compares planners.

usage: compass-sim [KEY=VALUE ...]        one run
       compass-sim -m [KEY=A,B,C ...]     a sweep: one run for each combination of values
       ~KEY removes a key; +KEY=VALUE adds an entry to a mapping or a parameter to a class,
       such as +workload.devices.jetson=1

examples:
  compass-sim                                         the default: three planners, one hour
  compass-sim experiment=speech_small                 ten simulated minutes
  compass-sim planner=videostorm workload.rate=0.2 drift=device_slowdown
  compass-sim planner._target_=my_pkg.MyPlanner       a planner of your own
  compass-sim -m experiment=speech_small 'seed=range(10)'
  compass-sim -m hydra/launcher=joblib experiment=speech_small planner=greedy,vulcan seed=0,1

choices:
{groups}

common keys (and their defaults):
  seed                 seed of all random streams (0)
  horizon_s            length of the run in simulated seconds (3600)
  workload.rate        query arrivals per second (0.1)
  flush_every_s        simulated seconds between two writes of results (600)
  bound_every_s        simulated seconds of a period of the bound on goodput (null: at most 30
                       periods)
  max_wall_s           wall-clock limit of a run in seconds (null: no limit)
  max_call_s           wall-clock limit of one call of a planner in seconds (600)
  requests             true to also write a table of all requests (false)
  resume               true to resume the unfinished run in hydra.run.dir, or to make the missing
                       runs of the sweep in hydra.sweep.dir (false)
  figures              false to draw no figures; compass-lab report DIR draws them later (true)
  hydra.run.dir        directory of the results (outputs/DATE/TIME); hydra.sweep.dir for sweeps
  hydra/launcher       how the runs of a sweep are made: basic, one after the other; joblib, on
                       all cores; ray, on several machines (basic)

options:
  --all                print every row of the result table, including zeros and details
  --config-dir DIR     directory of your own configuration files, such as
                       DIR/experiment/mine.yaml
  --allow-import MODULE
                       let configuration files name classes of MODULE, which is imported and run;
                       may be repeated
  --cfg job            print the whole configuration and do not run
  --version            print the version
  --hydra-help         print the options of Hydra, which composes the configuration

exit status: 0 done; 1 something failed, results were kept; 2 bad input, nothing ran;
             130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, results were kept.
Other tools: compass-lab --help
"""


def main() -> int:
    """Run the command; return its exit status."""
    return run_command("compass-sim", _main)


def _main() -> int:
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(HELP.format(groups=listing()), end="")
        return 0
    if "--version" in sys.argv[1:]:  # Hydra's own option prints the version of Hydra.
        from lab.behaviour import version_lines

        print(version_lines())
        return 0
    check_machine()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises exceptions instead of printing them.
    with imported_for_good():
        from lab.cli.run import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
