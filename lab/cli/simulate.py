"""The command ``compass-sim``: its help, and its start.

What is heavy is imported afterwards, so that ``compass-sim --help`` is quick.
"""

import os
import sys

from lab.common.garbage import imported_for_good
from lab.common.options import listing

HELP = """\
compass-sim simulates compound-AI serving and compares planners.

usage: compass-sim [KEY=VALUE ...]        one run
       compass-sim -m [KEY=A,B,C ...]     a sweep: one run for each combination of values
       ~KEY takes a key out; +KEY=VALUE adds an entry to a mapping, or a parameter to a class,
       such as +workload.devices.jetson=1

examples:
  compass-sim                                         the default: an hour, three planners compared
  compass-sim experiment=speech_small                 ten simulated minutes
  compass-sim planner=videostorm workload.rate=0.2 drift=device_slowdown
  compass-sim planner._target_=my_pkg.MyPlanner       a planner of your own
  compass-sim -m experiment=speech_small 'seed=range(10)'
  compass-sim -m hydra/launcher=joblib experiment=speech_small planner=greedy,vulcan seed=0,1

choices:
{groups}

keys that are often set:
  seed                 seed of all random streams (0)
  horizon_s            length of the run in simulated seconds (3600)
  workload.rate        query arrivals per second (0.1)
  flush_every_s        simulated seconds between two writings of results (600)
  max_wall_s           seconds of wall-clock time after which a run is ended (null, for never)
  requests             true to write a table of all requests, too (false)
  resume               true to go on with what broke off in hydra.run.dir, or to make those runs
                       of a sweep that are missing in hydra.sweep.dir (false)
  figures              false to draw none; compass-lab report DIR draws them later (true)
  hydra.run.dir        where results go (outputs/DATE/TIME); hydra.sweep.dir for sweeps
  hydra/launcher       where runs of a sweep are made: basic, one after the other; joblib, on all
                       cores; ray, on many machines (basic)

options:
  --all                print every row of the table of results, with zeros and details
  --config-dir DIR     where files of your own are, such as DIR/experiment/mine.yaml
  --cfg job            print the whole configuration, every key, and do not run
  --hydra-help         options of Hydra, which composes the configuration

exit status: 0 done; 1 something failed, results were kept; 2 bad input, nothing ran;
             130 interrupted, results were kept.
Other tools: compass-lab --help
"""


def main() -> int:
    """Run the command; return its exit status."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(HELP.format(groups=listing()), end="")
        return 0
    # A console script lacks what `python -m` has: modules of the current directory.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Exceptions come here, instead of to Hydra's printer.
    with imported_for_good():
        from lab.cli.run import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
