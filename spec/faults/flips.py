"""Test 22: damaged bits and sectors, and whether the store and the verifier agree about them.

    python3 spec/faults/flips.py BIN [flips=40] [seed=1] [flip=I]

In each copy of a store one bit is flipped, or one sector of 512 bytes is zero, random, from elsewhere in the file, or
as it was some commits before. Then the store verifies itself (check.c) and the verifier reads it, each in a process
of its own, because LMDB may crash on a damaged page. What the verifier finds the store must not call good: that is
damage that would be taken for values. The control: a store that verifies nothing would be caught, because the
verifier does find some of the damage.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SECTOR = 512
KINDS = ["bit", "zero", "random", "elsewhere", "before"]


class Copies:
    """A good store, how it was before, and damaged copies of it."""

    def __init__(self, bin_folder, seed):
        self.bin, self.seed = bin_folder, seed
        base = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.folder = tempfile.mkdtemp(prefix="weir-flips-", dir=base)
        self.marks = os.path.join(self.folder, "marks")
        self.grow(60)
        self.older = self.data("good")
        self.grow(40)
        self.good = self.data("good")

    def grow(self, requests):
        command = [os.path.join(self.bin, "fault_workload"), os.path.join(self.folder, "good"), self.marks,
                   "requests=%d" % requests, "clients=3", "lives=1"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def data(self, name):
        with open(os.path.join(self.folder, name, "data.mdb"), "rb") as file:
            return file.read()

    def damaged(self, number):
        """The bytes of a damaged copy, and what was done to it."""
        draw = random.Random(self.seed * 1000003 + number)
        kind = KINDS[number % len(KINDS)]
        at = draw.randrange(len(self.good) // SECTOR) * SECTOR
        if kind == "bit":
            at = draw.randrange(len(self.good))
            part = bytes([self.good[at] ^ 1 << draw.randrange(8)])
        elif kind == "zero":
            part = bytes(SECTOR)
        elif kind == "random":
            part = draw.randbytes(SECTOR)
        elif kind == "elsewhere":
            other = draw.randrange(len(self.good) // SECTOR) * SECTOR
            part = self.good[other:other + SECTOR]
        else:
            part = (self.older[at:at + SECTOR] + bytes(SECTOR))[:SECTOR]
        return self.good[:at] + part + self.good[at + len(part):], "%s at %d" % (kind, at)

    def write(self, data):
        copy = os.path.join(self.folder, "copy")
        shutil.rmtree(copy, ignore_errors=True)
        os.mkdir(copy, 0o700)
        with open(os.path.join(copy, "data.mdb"), "wb") as file:
            file.write(data)
        shutil.copy(os.path.join(self.folder, "good", "seal"), copy)
        with open(os.path.join(copy, "reserve"), "wb") as file:  # so that the store does not take the time to make it
            file.truncate(64 << 20)
        return copy

    def close(self):
        shutil.rmtree(self.folder)


def run(command):
    """"good", "found" or "crashed", and what was said."""
    try:
        result = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return "crashed", "no end within 20 s"
    said = (result.stdout + result.stderr).decode(errors="replace").strip().split("\n")
    return {0: "good", 1: "found"}.get(result.returncode, "crashed"), said[0] if result.returncode != 1 else said[-1]


def verify(copies, copy):
    return run([sys.executable, os.path.join(HERE, "verify_store.py"), copy, "--marks", copies.marks])


def judge(copies, number):
    """The verdicts of the verifier and of the store on one damaged copy. The store comes last: an index that is not that
    of its rows it makes anew when it opens, and then the verifier has nothing to say any more."""
    data, what = copies.damaged(number)
    copy = copies.write(data)
    ours = verify(copies, copy)
    theirs = run([os.path.join(copies.bin, "fault_check"), copy])
    if ours[0] == "found" and theirs[0] == "good" and verify(copies, copy)[0] == "good":
        theirs = "mended", theirs[1]
    return ours, theirs, what


def main(arguments):
    settings = {"flips": 40, "seed": 1, "flip": -1}
    for argument in arguments[2:]:
        key, _, value = argument.partition("=")
        settings[key] = int(value)
    copies = Copies(os.path.abspath(arguments[1]), settings["seed"])
    counts, wrong = {}, 0
    try:
        numbers = range(settings["flips"]) if settings["flip"] < 0 else [settings["flip"]]
        for number in numbers:
            ours, theirs, what = judge(copies, number)
            counts[(ours[0], theirs[0])] = counts.get((ours[0], theirs[0]), 0) + 1
            if ours[0] == "found" and theirs[0] == "good" or settings["flip"] >= 0:
                print("flip %d, %s: the verifier: %s (%s); the store: %s (%s)" % (number, what, *ours, *theirs))
            if ours[0] == "found" and theirs[0] == "good":
                wrong += 1
                print("repeat: python3 %s %s seed=%d flip=%d" % (arguments[0], arguments[1], settings["seed"], number))
    finally:
        copies.close()
    for (ours, theirs), count in sorted(counts.items()):
        print("%d times the verifier says %s and the store %s" % (count, ours, theirs))
    if settings["flip"] < 0 and not any(ours == "found" for ours, _ in counts):
        print("the verifier found no damage at all; this test would find nothing")
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv))
