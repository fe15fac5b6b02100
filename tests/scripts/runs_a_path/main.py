"""Runs other scripts in its own process, as debuggers and notebooks do."""

import runpy
import sys

sys.argv = ["inner.py", "--alpha", "0.5", *sys.argv[1:]]
names = runpy.run_path("inner.py", run_name="__main__")
print(sorted(name for name in names if not name.startswith("_")))
exec(compile("print('compiled', __name__, __file__.endswith('main.py'))", "<string>", "exec"))
try:
    runpy.run_path("inner.py", run_name="__main__", init_globals={"FAIL": True})
except SystemExit as error:
    print("SystemExit", error.code)
