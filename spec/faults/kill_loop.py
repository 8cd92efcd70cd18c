"""H5: starts the host over a store, kills it at random moments, looks at the store, goes on; again and again.

    python3 spec/faults/kill_loop.py WEIR SINK [kills=20] [seed=1] [mode=random] [repeats=1]

WEIR is the host's program, SINK that of the sink (sink.c). The runs are those of world/: eight at once, of five
pipelines, started by a flow. After each kill the store is read by verify_store.py: nothing acknowledged is
missing, no step has two outcomes, no history is damaged, and each step had its effects under one key.

mode=random   SIGKILL after 5 to 500 ms (tests 1 and 29)
mode=points   SIGKILL at each named failpoint, at its 1st, 2nd, 3rd and 10th journal entry (test 2)
mode=control  the host acknowledges before it commits (WEIR_DEFECT); the loop must find that

The moments are drawn from the seed; a failure prints the command that draws them again and keeps the store.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # nothing is left in the tree
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verify_store  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
POINTS = ["writer_taken", "before_commit", "after_commit", "after_ack_queued"]
HITS = [1, 2, 3, 10]
PER_STORE = 50  # kills; then it is brought to its end and another one begun
LIVES_MAX = 40  # until everything has come to its end
WAITING = 3  # the status of a life in which a flow waits for a run that was set aside
LIFE = 60  # seconds that a life may take when nobody kills it
ROUNDS = {"random": 4, "control": 4, "points": 1}


class Wrong(Exception):
    pass


class World:
    """One store, its sink, and the lives of the host over them."""

    def __init__(self, weir, sink, mode):
        self.weir, self.mode = os.path.abspath(weir), mode
        self.folder = tempfile.mkdtemp(prefix="weir-kill-loop-")
        self.store = os.path.join(self.folder, "store")
        self.log = os.path.join(self.folder, "sink")
        self.environment = dict(os.environ, FAULT_SINK=os.path.abspath(sink), FAULT_SINK_LOG=self.log)
        for name in ("WEIR_FAILPOINT", "WEIR_DEFECT", "WEIR_STORE"):
            self.environment.pop(name, None)
        self.checked = {}

    def unfinished(self):
        """Statuses of the runs that have not ended, by their ids."""
        if not os.path.exists(self.store):
            return {}
        history = verify_store.History(self.store, self.checked)
        return {run.decode(): row[0] for run, row in history.rows.items() if row[0] not in verify_store.ENDS}

    def begin(self, **more):
        """A life: goes on with what is unfinished, or begins anew."""
        unfinished = self.unfinished()
        suspects = [run for run, status in unfinished.items() if status == "quarantined"]
        if suspects:  # the process has ended over it too often: it goes on by its name only
            verb = ["resume", min(suspects)]
        elif unfinished:
            verb = ["resume"]
        else:
            verb = ["run", "eight", "--set", "rounds=%d" % ROUNDS[self.mode]]
        command = [self.weir] + verb + ["--store", self.store, "--json", "-q"]
        return subprocess.Popen(command, cwd=os.path.join(HERE, "world"), env=dict(self.environment, **more),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self, life):
        """Waits for a life that nobody kills, or that a failpoint does."""
        try:
            out, err = life.communicate(timeout=LIFE)
        except subprocess.TimeoutExpired:
            life.kill()
            life.communicate()
            raise Wrong("a life did not come to its end within %d s" % LIFE) from None
        quarantined = b"the process has ended" in out  # of one of the runs, which is told by the status
        if life.returncode not in (0, WAITING, -signal.SIGKILL) and not quarantined:
            raise Wrong("a life ended with status %d: %s" % (life.returncode, (err or out).decode()[-400:]))
        return life.returncode == -signal.SIGKILL

    def kill_after(self, seconds, **more):
        """True if it was killed before its end."""
        life = self.begin(**more)
        try:
            life.wait(seconds)
        except subprocess.TimeoutExpired:
            life.kill()
        return self.end(life)

    def look(self):
        history, effects = verify_store.verify(self.store, self.log, self.checked) if os.path.exists(self.store) else (None, {})
        if history and history.findings:
            raise Wrong("\n".join(history.findings[:8]))
        self.effects = effects
        return history

    def finish(self):
        """Brings everything to its end: every run has finished."""
        for _ in range(LIVES_MAX):
            if not self.unfinished():
                break
            if self.end(self.begin()):
                raise Wrong("a life was killed by nobody")
        history = self.look()
        for run, row in history.rows.items():
            if row[0] != "finished":
                raise Wrong("run %s is %s at the end" % (run.decode(), row[0]))
        return history

    def close(self):
        shutil.rmtree(self.folder)


def random_kills(world, settings):
    draw = random.Random(settings["seed"])
    kills = 0
    while kills < settings["kills"]:
        kills += world.kill_after(draw.uniform(0.005, 0.5))
        world.look()
    return kills


def control_kills(world, settings):
    """The defect acknowledges 5 ms before the commit; sooner or later a kill falls between. A slow machine's lives
    are longer: the moments are drawn from the length of a whole one."""
    draw = random.Random(settings["seed"])
    begun = time.monotonic()
    world.end(world.begin(WEIR_DEFECT="ack_before_commit"))
    span = time.monotonic() - begun
    for kills in range(1, settings["kills"] + 1):
        world.kill_after(draw.uniform(0.1, 1) * span, WEIR_DEFECT="ack_before_commit")
        try:
            world.look()
        except Wrong as wrong:
            print("control: after %d kills found:\n%s" % (kills, wrong))
            return kills
    raise Wrong("control: acknowledging before the commit was not found in %d kills" % settings["kills"])


def point_kills(world, settings):
    """Each point at each of its entries, in the first life and in one that goes on; all must be reached."""
    kills = 0
    for point in POINTS:
        for hit in HITS:
            for life in ("begins", "goes on"):
                if not world.end(world.begin(WEIR_FAILPOINT="%s:%d" % (point, hit))):
                    raise Wrong("%s:%d was not reached in a life that %s" % (point, hit, life))
                kills += 1
                world.look()
                if not world.unfinished():
                    break  # killed before anything was kept: nobody goes on
            world.finish()
    return kills


MODES = {"random": random_kills, "control": control_kills, "points": point_kills}


def one_store(arguments, settings):
    """Some kills over one store; how many of them fell, or None when something was wrong."""
    world = World(arguments[1], arguments[2], settings["mode"])
    try:
        kills = MODES[settings["mode"]](world, settings)
        if settings["mode"] != "control":
            history = world.finish()
            repeated = sum(count > 1 for count in world.effects.values())
            print("%d kills: %d runs finished, %d steps, %d keys at the sink, %d of them with more than one effect"
                  % (kills, len(history.rows), len(history.outcomes), len(world.effects), repeated), flush=True)
    except Wrong as wrong:
        again = ["%s=%s" % item for item in settings.items()]
        print(wrong)
        print("the store is kept in %s; repeat: python3 %s" % (world.folder, " ".join(arguments[:3] + again)))
        return None
    world.close()
    return kills


def main(arguments):
    settings = {"kills": 20, "seed": 1, "mode": "random", "repeats": 1}
    for argument in arguments[3:]:
        key, _, value = argument.partition("=")
        settings[key] = value if key == "mode" else int(value)
    left = {"random": settings["kills"], "points": settings["repeats"], "control": 1}[settings["mode"]]
    what = {"random": "kills", "points": "repeats", "control": "seed"}[settings["mode"]]
    while left > 0:
        some = min(left, PER_STORE if settings["mode"] == "random" else 1)
        part = dict(settings) if settings["mode"] == "control" else dict(settings, **{what: some})
        if one_store(arguments, part) is None:
            return 1
        left -= some
        settings["seed"] += 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv))
