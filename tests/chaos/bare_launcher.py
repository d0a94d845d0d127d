"""What workers/launcher.py would be without process group and subreaper: ends its child only."""

import os
import select
import subprocess
import sys

lifeline = int(sys.argv[1])
child = subprocess.Popen(sys.argv[2:])
select.select([lifeline, os.pidfd_open(child.pid)], [], [])
child.kill()
sys.exit(abs(child.wait()))
