"""Test 24: places where a store cannot be, or not be opened.

    python3 spec/faults/start_matrix.py BIN WEIR

Each is tried with `weir run`: it ends with the right status and code, its message names the place and says what is
wrong, and it leaves no file that was not there. Needs python3-lmdb for stores that others have made. What needs a
user who is not root is tried by one, where this is root.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import lmdb

HERE = os.path.dirname(os.path.abspath(__file__))
NOBODY = 65534
USAGE, REFUSED, STORE = 2, 8, 75


class Place:
    """A folder for one case; `run` starts the host with a store in it."""

    def __init__(self, bin_folder, weir):
        self.bin, self.weir = bin_folder, weir
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="weir-start-"))
        os.chmod(self.folder, 0o755)
        self.store = os.path.join(self.folder, "store")
        self.user, self.more = None, {}

    def shim(self, **more):
        self.more = dict(LD_PRELOAD=os.path.join(self.bin, "fail_calls.so"), FAULT_FOLDER=self.store, **more)

    def run(self):
        command = [self.weir, "run", "hello", "--set", "name=Ada", "--store", self.store, "--json", "-q"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        return subprocess.run(command, env=dict(environment, **self.more), cwd=self.folder if self.user is None else "/",
                              capture_output=True, timeout=60, user=self.user, check=False)

    def files(self):
        return sorted(os.path.join(at, name) for at, folders, names in os.walk(self.folder) for name in folders + names)

    def make_store(self):
        if self.run().returncode != 0:
            raise AssertionError("no store can be made here")


# Each case prepares its place and says: status, code, what the message says, whether the tree may change.

def no_folder_above(place):
    place.store = os.path.join(place.folder, "no", "store")
    return STORE, "invalid", "No such file or directory", False


def a_file_in_its_place(place):
    with open(place.store, "w", encoding="utf-8") as file:
        file.write("mine")
    return STORE, "invalid", "Not a directory", False


def a_file_above(place):
    with open(os.path.join(place.folder, "file"), "w", encoding="utf-8") as file:
        file.write("mine")
    place.store = os.path.join(place.folder, "file", "store")
    return STORE, "invalid", "Not a directory", False


def a_name_too_long(place):
    place.store = os.path.join(place.folder, "x" * 300)
    return STORE, "invalid", "File name too long", False


def no_permission(place):
    place.user = NOBODY if os.getuid() == 0 else None
    os.chmod(place.folder, 0o555)
    return STORE, "denied", "Permission denied", False


def no_permission_inside(place):
    os.mkdir(place.store, 0o555)
    place.user = NOBODY if os.getuid() == 0 else None
    return STORE, "denied", "Permission denied", False


def on(kind, name):
    def case(place):
        os.mkdir(place.store)
        place.shim(FAULT_STATFS=kind)
        return STORE, "invalid", "is on %s, where a crash can damage it" % name, False
    case.__name__ = "on_%s" % name
    return case


def no_descriptor_left(place):
    os.mkdir(place.store)
    place.shim(FAULT_CALL="open", FAULT_N="1", FAULT_FOREVER="1", FAULT_ERROR="EMFILE")
    return STORE, "unavailable", "Too many open files", False


def no_space_for_its_files(place):
    os.mkdir(place.store)
    place.shim(FAULT_CALL="any", FAULT_N="1", FAULT_FOREVER="1", FAULT_ERROR="ENOSPC")
    return STORE, "full", "No space left on device", False


def an_environment_of_somebody_else(place):
    environment = lmdb.open(place.store)
    with environment.begin(write=True) as txn:
        txn.put(b"theirs", b"1")
    environment.close()
    return STORE, "invalid", "no store of weir", True


def a_newer_format(place):
    place.make_store()
    environment = lmdb.open(place.store, max_dbs=8)
    with environment.begin(write=True) as txn:
        txn.put(b"weir.format", struct.pack("<I", 7) + b"weir 9.9")
    environment.close()
    return STORE, "invalid", "has format 7, written by 'weir 9.9'", False


def no_environment_at_all(place):
    os.mkdir(place.store)
    with open(os.path.join(place.store, "data.mdb"), "wb") as file:
        file.write(b"not this" * 2048)
    return STORE, "corrupt", "not an LMDB file", True


def an_older_copy(place):
    place.make_store()
    shutil.copy(os.path.join(place.store, "data.mdb"), os.path.join(place.folder, "old"))
    place.make_store()
    shutil.move(os.path.join(place.folder, "old"), os.path.join(place.store, "data.mdb"))
    return STORE, "corrupt", "older than what was acknowledged", False


CASES = [no_folder_above, a_file_in_its_place, a_file_above, a_name_too_long, no_permission, no_permission_inside,
         on("0x6969", "NFS"), on("0x01021997", "9p"), on("0xFF534D42", "CIFS"), on("0x65735546", "FUSE"),
         no_descriptor_left, no_space_for_its_files, an_environment_of_somebody_else, a_newer_format,
         no_environment_at_all, an_older_copy]


def can_run_as_nobody(weir):
    try:
        result = subprocess.run([weir, "version"], user=NOBODY, cwd="/", capture_output=True, check=False)
    except PermissionError:  # the tree stands where nobody but its owner may look
        return False
    return result.returncode == 0


def check(case, bin_folder, weir):
    """None, or what is wrong."""
    place = Place(bin_folder, weir)
    try:
        status, code, text, may_change = case(place)
        before = place.files()
        result = place.run()
        line = json.loads(result.stdout.decode() or "{}")
        error = line.get("error") or {}
        if (result.returncode, error.get("code")) != (status, code):
            return "status %d, code %s, expected %d, %s: %s" % (result.returncode, error.get("code"), status, code,
                                                                error.get("message") or result.stderr.decode())
        if text not in error["message"] or place.store not in error["message"]:
            return "its message does not say '%s' and the place: %s" % (text, error["message"])
        left = [path for path in place.files() if path not in before]
        if left and not may_change:
            return "it leaves %s" % left
        return None
    finally:
        os.chmod(place.folder, 0o755)
        shutil.rmtree(place.folder)


def main(arguments):
    bin_folder, weir = (os.path.abspath(path) for path in arguments[1:3])
    tried, wrong = 0, 0
    for case in CASES:
        if case in (no_permission, no_permission_inside) and os.getuid() == 0 and not can_run_as_nobody(weir):
            print("%s: not tried; nobody else may start the host here" % case.__name__)
            continue
        tried += 1
        problem = check(case, bin_folder, weir)
        if problem:
            wrong += 1
            print("%s: %s" % (case.__name__, problem))
    print("%d places, %d wrong%s" % (tried, wrong, "; repeat: python3 " + " ".join(arguments) if wrong else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv))
