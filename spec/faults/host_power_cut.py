"""Test 3 for a whole host: power cuts while eight runs of five pipelines are under way.

    python3 spec/faults/host_power_cut.py BIN WEIR [images=30] [seed=1] [image=I] [control=0]

BIN is the folder of the built tools, WEIR the host's program. A host runs world/ with the write log preloaded, into
itself and into the sink, whose lines are the marks: what a step was given by another one had been acknowledged. Each
image is read by the verifier; then a host goes on with its runs to their end, and it is read again. With control=1
the log is made without synced meta pages, and some image must be bad.
"""

import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is left in the tree
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verify_store  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
LIFE = 120  # seconds
SEALED = ["data.mdb", "data.new", "lock.mdb", "owner", "seal"]


class Wrong(Exception):
    pass


class Machine:
    """A log of a host at work, and the folder in which it is laid out."""

    def __init__(self, bin_folder, weir, drop):
        self.bin, self.weir = os.path.abspath(bin_folder), os.path.abspath(weir)
        base = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="weir-host-cut-", dir=base))
        self.log, self.marks = self.at("log"), self.at("marks")
        self.checked = {}
        os.mkdir(self.at("image"), 0o700)
        self.host(self.at("store"), self.at("sink"), "run", "eight", LD_PRELOAD=os.path.join(self.bin, "write_log.so"),
                  FAULT_FOLDER=self.at("store"), FAULT_LOG=self.log, FAULT_MARKS=self.at("sink"), FAULT_DROP=drop)

    def at(self, name):
        return os.path.join(self.folder, name)

    def host(self, store, sink, *arguments, **more):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("FAULT_", "WEIR_"))}
        environment.update(more, FAULT_SINK=os.path.join(self.bin, "fault_sink"), FAULT_SINK_LOG=sink)
        result = subprocess.run([self.weir, *arguments, "--store", store, "--json", "-q"], cwd=os.path.join(HERE, "world"),
                                env=environment, capture_output=True, timeout=LIFE, check=False)
        if result.returncode != 0:
            raise Wrong("weir %s: status %d: %s" % (arguments[0], result.returncode, (result.stderr or result.stdout)[-400:].decode()))

    def cut(self, seed, number):
        """Lays out an image, has it read, goes on with it, and has it read again."""
        for name in SEALED:
            if os.path.exists(os.path.join(self.at("image"), name)):
                os.unlink(os.path.join(self.at("image"), name))
        subprocess.run([os.path.join(self.bin, "fault_image"), self.log, self.at("image"), self.marks, str(seed), str(number)],
                       check=True, stdout=subprocess.DEVNULL)
        if os.path.getsize(self.marks) == 0 and not os.path.exists(os.path.join(self.at("image"), "data.mdb")):
            return
        self.look()
        self.host(self.at("image"), self.marks, "resume")
        self.look(all_ended=True)

    def look(self, all_ended=False):
        try:
            history, _ = verify_store.verify(self.at("image"), self.marks, self.checked)
        except verify_store.lmdb.Error as error:
            raise Wrong("it cannot be read: %s" % error) from None
        if history.findings:
            raise Wrong("\n".join(history.findings[:8]))
        left = [run.decode() for run, row in history.rows.items() if row[0] != "finished"]
        if all_ended and left:
            raise Wrong("at the end these have not finished: %s" % left)

    def close(self):
        shutil.rmtree(self.folder)


def main(arguments):
    settings = {"images": 30, "seed": 1, "image": -1, "control": 0}
    for argument in arguments[3:]:
        key, _, value = argument.partition("=")
        settings[key] = int(value)
    machine = Machine(arguments[1], arguments[2], "meta" if settings["control"] else "none")
    numbers = range(settings["images"]) if settings["image"] < 0 else [settings["image"]]
    for number in numbers:
        try:
            machine.cut(settings["seed"], number)
        except Wrong as wrong:
            if settings["control"]:
                print("control: image %d is bad: %s" % (number, wrong))
                break
            kept = tempfile.mkdtemp(prefix="weir-host-cut-")
            shutil.copy(machine.log, kept)
            machine.close()
            print("%s\nthe log is kept; its image: fault_image %s/log FOLDER MARKS %d %d" % (wrong, kept, settings["seed"], number))
            return 1
    else:
        if settings["control"]:
            print("control: without synced meta pages no image was found to be bad; this test would find nothing")
            machine.close()
            return 1
        print("%d images: all were whole and came to their end" % len(numbers))
    machine.close()
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv))
