"""Test 18: the disk of a live store gets full, and has room again, in cycles.

    python3 spec/faults/full_disk.py DISK BIN WEIR SINK [cycles=6]

DISK is a small file system of its own (full_disk_test makes one). In each cycle a workload of four clients appends
while the rest of the disk is taken: they are refused with `full` and stay alive, what was acknowledged can be read,
and within 5 s of space they go on by themselves. Then the same with a host: a new run is refused, runs can be listed,
and with space it runs. At the end of each cycle the verifier reads the store: nothing is lost.
"""

import os
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # nothing is left in the tree
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verify_store  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
MARK_ENTRY, MARK_FULL = 1, 3
SOON = 5  # seconds until a store goes on, or must have noticed that the disk is full
FULL = 8  # the host's status for what is refused


class Wrong(Exception):
    pass


def take_all(path):
    """Takes what is left of the disk, to the last byte."""
    with open(path, "ab", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass


class Marks:
    """The marks of a workload, as they come."""

    def __init__(self, path):
        self.path, self.at = path, 0

    def skip(self):
        self.at = os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def wait_for(self, kind, what, life):
        until = time.monotonic() + SOON
        while time.monotonic() < until:
            if os.path.exists(self.path):
                with open(self.path, "rb") as file:
                    file.seek(self.at)
                    data = file.read()
                if any(data[at] == kind for at in range(0, len(data) - 15, 16)):
                    return
            if life.poll() is not None:
                raise Wrong("the workload ended with status %d: %s" % (life.returncode, life.stderr.read().decode()[-400:]))
            time.sleep(0.002)
        raise Wrong("%s within %d s" % (what, SOON))


def live_cycle(disk, bin_folder, marks_path):
    """One life of the workload, through a full disk."""
    store, ballast, marks = os.path.join(disk, "store"), os.path.join(disk, "ballast"), Marks(marks_path)
    marks.skip()
    command = [os.path.join(bin_folder, "fault_workload"), store, marks_path, "clients=4", "requests=10000000", "lives=1"]
    life = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        marks.wait_for(MARK_ENTRY, "nothing was acknowledged", life)
        marks.skip()
        take_all(ballast)
        marks.wait_for(MARK_FULL, "a full disk was not noticed", life)
        take_all(ballast)
        os.unlink(ballast)
        marks.skip()
        marks.wait_for(MARK_ENTRY, "with room again nothing was acknowledged", life)
    finally:
        life.kill()
        life.communicate()
        if os.path.exists(ballast):
            os.unlink(ballast)
    findings = verify_store.verify_marks(store, marks_path).findings
    if findings:
        raise Wrong("\n".join(findings[:8]))


def host_cycle(disk, weir, sink, log):
    """A host refuses a new run on a full disk, lists the old ones, and runs when there is room."""
    store, ballast = os.path.join(disk, "host"), os.path.join(disk, "ballast")
    environment = dict(os.environ, FAULT_SINK=sink, FAULT_SINK_LOG=log)

    def host(*arguments):
        command = [weir, *arguments, "--store", store, "--json"]
        return subprocess.run(command, cwd=os.path.join(HERE, "world"), env=environment, capture_output=True, timeout=60,
                              check=False)

    def expect(result, status, text, what):
        if result.returncode != status or text not in result.stdout:
            raise Wrong("%s: status %d: %s" % (what, result.returncode, (result.stderr + result.stdout).decode()[-400:]))

    expect(host("run", "chain", "-q"), 0, b'"finished"', "a run with room")
    take_all(ballast)
    try:
        # what is free inside data.mdb may still do for a few
        for _ in range(200):
            result = host("run", "chain", "-q")
            if result.returncode != 0:
                break
        expect(result, FULL, b'"full"', "a run on a full disk")
        expect(host("runs"), 0, b'"finished"', "the list of runs on a full disk")
    finally:
        os.unlink(ballast)
    expect(host("resume", "-q"), 0, b"", "going on with room again")
    expect(host("run", "chain", "-q"), 0, b'"finished"', "a run with room again")
    history, _ = verify_store.verify(store, log)
    if history.findings:
        raise Wrong("\n".join(history.findings[:8]))


def clear(disk):
    for name in os.listdir(disk):
        if name != "lost+found":
            shutil.rmtree(os.path.join(disk, name))


def main(arguments):
    disk, bin_folder, weir, sink = (os.path.abspath(path) for path in arguments[1:5])
    settings = dict([("cycles", "6")] + [argument.split("=", 1) for argument in arguments[5:]])
    marks_path, log = os.path.join(os.path.dirname(disk), "marks"), os.path.join(os.path.dirname(disk), "sink")
    started = time.monotonic()
    try:
        for cycle in range(int(settings["cycles"])):
            live_cycle(disk, bin_folder, marks_path)
            if cycle % 3 == 2:  # a store that has grown leaves no room to fill
                clear(disk)
                os.unlink(marks_path)
                host_cycle(disk, weir, sink, log)
                clear(disk)
                os.unlink(log)
    except Wrong as wrong:
        print("cycle %d: %s\nrepeat: sh spec/faults/full_disk_test python3 %s" % (cycle + 1, wrong, " ".join(arguments[2:])))
        return 1
    print("%s cycles in %.0f s: nothing is lost" % (settings["cycles"], time.monotonic() - started))
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    sys.exit(main(sys.argv))
