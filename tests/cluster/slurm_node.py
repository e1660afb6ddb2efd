"""Slurm of one node on this machine: Debian's slurm-wlm and munge. Needs root.

python tests/cluster/slurm_node.py start FOLDER
python tests/cluster/slurm_node.py stop FOLDER
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
MinJobAge=86400
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=normal Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
PLACE = Path("/etc/slurm/slurm.conf")


def start(folder: Path) -> None:
    """Start munge, the controller and the node, and wait until the node is idle."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    memory = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20 * 0.9)
    said = dict(host=socket.gethostname().split(".")[0], folder=folder.resolve(), cpus=os.cpu_count(), memory=memory)
    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_text(CONFIGURATION.format(**said))
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=False)
    subprocess.run(["slurmctld"], check=True)
    subprocess.run(["slurmd"], check=True)
    for _ in range(60):
        found = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout.split()
        if found == ["idle"]:
            return
        time.sleep(1)
    sys.exit(f"the node is {found}, not idle; see {folder}/slurmctld.log and slurmd.log")


def stop(folder: Path) -> None:
    """Stop what `start` started."""
    for name in ("slurmd", "slurmctld"):
        pid = folder / f"{name}.pid"
        if pid.exists():
            subprocess.run(["kill", pid.read_text().strip()], check=False)
    subprocess.run(["pkill", "-x", "munged"], check=False)


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]](Path(sys.argv[2]))
