"""Tests 7, 15 and 16: calls that fail, and syncs that take their time (fail_calls.c).

    python3 spec/faults/call_failures.py BIN WEIR SINK [mode=workload] [error=EIO] [call=any] [forever=0] [n=1] [step=1]
                                         [kills=20] [seed=1] [times=40]

BIN is the folder of the built tools, WEIR the host's program, SINK that of the sink.

mode=workload  the n-th call of the workload on a new store fails, for n = 1, 1 + step, ... until none does. Whatever
               had been acknowledged is there; the process ended with 75 (the store failed), 8 (it was not opened) or
               0; after a failed sync or commit nothing was acknowledged any more; the next start goes on to the end
mode=host      the same with `weir run` and `weir resume`, by the verifier and the sink
mode=kill      syncs take 5 ms, 64 clients; the process is killed at random, most often while it waits for one
mode=control   the same with a store that acknowledges before it commits; that must be found
mode=rate      with syncs of 5 ms 64 clients are at least `times` times as fast as one

A failure prints the command that repeats it.
"""

import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is left in the tree
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verify_store  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
LIFE = 60  # seconds
TRIES = 5
PER_STORE = 20  # kills
MARK_ENTRY, MARK_KEY, MARK_FULL, MARK_FAULT = 1, 2, 3, 5
MORE_THAN_ENOUGH = 10000  # calls


class Wrong(Exception):
    pass


class Trial:
    """A store of its own, in memory where that is possible: it is made and removed hundreds of times."""

    def __init__(self, settings):
        self.settings = settings
        base = "/dev/shm" if settings["mode"] in ("workload", "host", "rate") and os.path.isdir("/dev/shm") else None
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="weir-calls-", dir=base))
        self.store = os.path.join(self.folder, "store")
        os.mkdir(self.store)
        self.marks = os.path.join(self.folder, "marks")
        self.log = os.path.join(self.folder, "sink")
        self.checked = {}

    def shim(self, **more):
        path = os.path.join(self.settings["bin"], "fail_calls.so")
        return dict(LD_PRELOAD=path, FAULT_FOLDER=self.store, FAULT_MARKS=self.marks, **more)

    def fault(self, n):
        given = {"FAULT_CALL": self.settings["call"], "FAULT_ERROR": self.settings["error"], "FAULT_N": str(n)}
        if self.settings["forever"]:
            given["FAULT_FOREVER"] = "1"
        return self.shim(**given)

    def start(self, command, more, cwd=None):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("FAULT_", "WEIR_"))}
        environment.update(more, FAULT_SINK=self.settings["sink"], FAULT_SINK_LOG=self.log)
        return subprocess.Popen(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, life):
        try:
            out, err = life.communicate(timeout=LIFE)
        except subprocess.TimeoutExpired:
            life.kill()
            life.communicate()
            raise Wrong("it did not end within %d s" % LIFE) from None
        self.said = (err.decode() + out.decode())[-400:]
        return life.returncode

    def workload(self, more, **settings):
        command = [os.path.join(self.settings["bin"], "fault_workload"), self.store, self.marks]
        return self.start(command + ["%s=%s" % item for item in settings.items()], more)

    def weir(self, more, *arguments):
        command = [self.settings["weir"], *arguments, "--store", self.store, "--json", "-q"]
        return self.start(command, more, cwd=os.path.join(HERE, "world"))

    def read_marks(self):
        if not os.path.exists(self.marks):
            return []
        with open(self.marks, "rb") as file:
            data = file.read()
        return list(struct.iter_unpack("<IIQ", data[:len(data) // 16 * 16]))

    def look(self):
        if not os.path.exists(self.marks) or not os.path.exists(os.path.join(self.store, "data.mdb")):
            return
        findings = verify_store.verify_marks(self.store, self.marks, self.checked).findings
        if findings:
            raise Wrong("\n".join(findings[:8]))

    def close(self):
        shutil.rmtree(self.folder)


def expect_status(trial, status, allowed, what):
    if status not in allowed:
        raise Wrong("%s ended with status %d, not one of %s: %s" % (what, status, sorted(allowed), trial.said))


def check_after_fault(trial, status):
    """Whether the call failed at all; and that nothing is acknowledged after a sync, or the write that commits, has
    failed. (Other calls may: a seal that was not written does no harm.)"""
    kinds = [what for what, _, _ in trial.read_marks()]
    if MARK_FAULT not in kinds:
        return False
    after = kinds[kinds.index(MARK_FAULT):]
    if trial.settings["call"] in ("sync", "meta") and trial.settings["error"] != "ENOSPC":
        if MARK_ENTRY in after or MARK_KEY in after:
            raise Wrong("something was acknowledged after the call that failed")
        if status == 0:
            raise Wrong("the process went on to its end")
    return True


def fail_workload(trial, n):
    shape = {"clients": 1, "requests": 12, "lives": 2, "runs": 2}
    status = trial.finish(trial.workload(trial.fault(n), **shape))
    expect_status(trial, status, {0, 8, 75}, "the workload")
    failed = check_after_fault(trial, status)
    trial.look()
    expect_status(trial, trial.finish(trial.workload({}, **shape)), {0}, "the next start")
    trial.look()
    return failed, status


def fail_host(trial, n):
    """What is refused because the disk is full can be asked for again; what failed ends the process with 75."""
    status = trial.finish(trial.weir(trial.fault(n), "run", "stubborn"))
    allowed = {0, 1, 8, 75} if trial.settings["error"] == "ENOSPC" else {0, 75}
    expect_status(trial, status, allowed, "weir run")
    failed = MARK_FAULT in [what for what, _, _ in trial.read_marks()]
    for verb in (["resume"], ["run", "chain"]):
        expect_status(trial, trial.finish(trial.weir({}, *verb)), {0}, "weir " + verb[0])
    history, _ = verify_store.verify(trial.store, trial.log)
    if history.findings:
        raise Wrong("\n".join(history.findings[:8]))
    for run, row in history.rows.items():
        if row[0] != "finished" and status == 0:
            raise Wrong("run %s is %s at the end" % (run.decode(), row[0]))
    return failed, status


def fail_each(settings):
    """n = 1, 1 + step, ... until the call does not fail any more, because there are fewer."""
    body = fail_workload if settings["mode"] == "workload" else fail_host
    counts, n = {}, settings["n"]
    while n < MORE_THAN_ENOUGH:
        trial = Trial(settings)
        try:
            failed, status = body(trial, n)
        except Wrong as wrong:
            raise Wrong("call %d: %s" % (n, wrong)) from None
        finally:
            trial.close()
        if not failed:
            break
        counts[status] = counts.get(status, 0) + 1
        n += settings["step"]
    if n == 1:
        raise Wrong("no call of class '%s' was made" % settings["call"])
    print("%s, %s at call '%s' %s: %d calls, by status of the process: %s" % (
        settings["mode"], settings["error"], settings["call"], "for ever" if settings["forever"] else "once", n - 1, counts))


def kill_in_window(settings, **more):
    """The marks of a store are read again after each kill, so a store is used for some kills only."""
    draw, marks = random.Random(settings["seed"]), 0
    for done in range(0, settings["kills"], PER_STORE):
        trial = Trial(settings)
        try:
            for _ in range(min(PER_STORE, settings["kills"] - done)):
                kill_once(trial, draw.uniform(0.02, 0.12), more)
            marks += len(trial.read_marks())
        finally:
            trial.close()
    print("%d kills, %d marks: nothing acknowledged is missing" % (settings["kills"], marks))


def kill_once(trial, seconds, more):
    life = trial.workload(trial.shim(FAULT_DELAY_MS="5", **more), clients=64, requests=100000, lives=1, runs=1)
    try:
        life.wait(seconds)
    except subprocess.TimeoutExpired:
        life.kill()
    expect_status(trial, trial.finish(life), {-signal.SIGKILL}, "the workload")
    trial.look()


def control(settings):
    try:
        kill_in_window(settings, WEIR_DEFECT="ack_before_commit")
    except Wrong as wrong:
        print("control: found: %s" % str(wrong).split("\n", 1)[0])
        return
    raise Wrong("control: acknowledging before the commit was not found in %d kills" % settings["kills"])


def rate_of(settings, clients):
    trial = Trial(settings)
    try:
        life = trial.workload(trial.shim(FAULT_DELAY_MS="5"), clients=clients, requests=150, lives=1, runs=1)
        expect_status(trial, trial.finish(life), {0}, "the workload")
        return float(trial.said.split()[-1])
    finally:
        trial.close()


def compare_rates(settings):
    """The best of some tries: other work on the machine makes each of them slower."""
    best = 0
    for _ in range(TRIES):
        one, many = rate_of(settings, 1), rate_of(settings, 64)
        best = max(best, many / one)
        print("one client %.0f entries/s, 64 clients %.0f entries/s: %.0f times" % (one, many, many / one))
        if best >= settings["times"]:
            return
    raise Wrong("64 clients are %.1f times as fast as one, not %d" % (best, settings["times"]))


MODES = {"workload": fail_each, "host": fail_each, "kill": kill_in_window, "control": control, "rate": compare_rates}


def main(arguments):
    settings = {"mode": "workload", "error": "EIO", "call": "any", "forever": 0, "n": 1, "step": 1, "kills": 20, "seed": 1,
                "times": 40}
    for argument in arguments[4:]:
        key, _, value = argument.partition("=")
        settings[key] = int(value) if isinstance(settings[key], int) else value
    settings.update(zip(("bin", "weir", "sink"), (os.path.abspath(path) for path in arguments[1:4])))
    try:
        MODES[settings["mode"]](settings)
    except Wrong as wrong:
        again = ["%s=%s" % item for item in settings.items() if item[0] not in ("bin", "weir", "sink")]
        print("%s\nrepeat: python3 %s" % (wrong, " ".join(arguments[:4] + again)))
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(sys.argv))
