"""The verifier is verified: a good store passes, and each of these changes to a copy of it is found, although the
checksums and the summary are made right again where the change has to get past them.

    python3 spec/faults/verify_store_test.py WORKLOAD

WORKLOAD is the program of workload.c.
"""

import os
import shutil
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is left in the tree
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lmdb  # noqa: E402
import verify_store  # noqa: E402
from verify_store import TABLES, crc32c  # noqa: E402


class Changed:
    """A copy of a store that is open for changes; closing makes its summary right."""

    def __init__(self, folder):
        self.environment = lmdb.open(folder, max_dbs=16, lock=False)
        self.txn = self.environment.begin(write=True)
        self.table = {name: self.environment.open_db(name.encode(), txn=self.txn, create=False) for name in TABLES}

    def all(self, table):
        return [(bytes(k), bytes(v)) for k, v in self.txn.cursor(self.table[table])]

    def put(self, table, key, record):
        self.txn.put(key, record, db=self.table[table])

    def delete(self, table, key):
        self.txn.delete(key, db=self.table[table])

    def close(self, summary=True):
        if summary:
            tail = bytearray(self.txn.get(b"weir.tail"))
            highest = max((struct.unpack("=Q", key)[0] for key, _ in self.all("log")), default=0)
            struct.pack_into("<QQ", tail, 0, max(highest + 1, struct.unpack_from("<Q", tail)[0]), self.txn.id())
            for number, name in enumerate(TABLES):
                records = self.all(name)
                sums = [crc32c(k) if name == "status" else struct.unpack("<I", v[-4:])[0] for k, v in records]
                struct.pack_into("<QQ", tail, 16 + 16 * number, len(records), sum(sums) & (1 << 64) - 1)
            struct.pack_into("<I", tail, 112, crc32c(bytes(tail[:112])))
            self.txn.put(b"weir.tail", bytes(tail))
        self.txn.commit()
        self.environment.close()


def sealed(key, record):
    return record + struct.pack("<I", crc32c(record, crc32c(key)))


def add_entry(store, folder, run=None, n=None, epoch=1, payload=b"\x91\xa1x"):
    """One more entry of a run, chained to its last one unless told otherwise."""
    journals = verify_store.Journals(folder)
    run = run or newest(journals)
    last = journals.journals[run][-1]
    lsn = journals.next_lsn
    record = struct.pack("<BBHIQI", 1, 0, len(run), epoch, n or last.n + 1, last.crc) + run + payload
    store.put("log", struct.pack("=Q", lsn), sealed(struct.pack("<Q", lsn), record))


def newest(journals):
    """The run of the newest entry that stands in the log only."""
    for entries in sorted(journals.log.values(), key=lambda list_of: -list_of[-1].lsn):
        if entries[0].run not in journals.segments and len(entries) > 3:
            return entries[0].run
    raise AssertionError("no run has its entries in the log only")


# Each change gets (store, folder) and says what must be found.

def a_flipped_bit(store, folder):
    records = store.all("log")
    key, record = records[len(records) // 2]
    store.put("log", key, record[:30] + bytes([record[30] ^ 4]) + record[31:])
    return "checksum"


def a_missing_entry(store, folder):
    journals = verify_store.Journals(folder)
    entry = journals.log[newest(journals)][1]
    store.delete("log", struct.pack("=Q", entry.lsn))
    return "stands in the place of entry 2"


def a_lost_last_entry(store, folder):
    journals = verify_store.Journals(folder)
    run = newest(journals)
    store.delete("log", struct.pack("=Q", journals.log[run][-1].lsn))
    return "LOST"


def an_entry_of_another_number(store, folder):
    add_entry(store, folder, n=10000)
    return "entry 10000 stands"


def an_epoch_that_goes_back(store, folder):
    add_entry(store, folder, epoch=0)
    return "goes back in epoch"


def a_payload_in_a_longer_form(store, folder):
    add_entry(store, folder, payload=b"\x91\xd9\x01x")
    return "shortest form"


def another_content_of_a_blob(store, folder):
    key, record = store.all("blobs")[0]
    store.put("blobs", key, sealed(key, record[:16] + b"\xa4else"))
    return "is not what its key says"


def a_run_under_another_status(store, folder):
    key = store.all("status")[0][0]
    store.delete("status", key)
    store.put("status", b"waiting" + key[key.index(b"\0"):], b"")
    return "index of statuses"


def a_row_from_the_future(store, folder):
    run, record = store.all("runs")[0]
    status = struct.unpack_from("<H", record, 2)[0]
    head = struct.pack("<BBHIQII", 1, 0, status, 1, 9999, 0, 0)
    store.put("runs", run, sealed(run, head + record[24:-4]))
    return "its row knows entry 9999"


def an_older_summary(store, folder):
    tail = bytearray(store.txn.get(b"weir.tail"))
    store.txn.put(b"weir.tail", bytes(tail))
    return "the summary is of transaction"


def a_later_seal(store, folder):
    with open(os.path.join(folder, "seal"), "wb") as file:
        file.write(struct.pack("<Q", 1 << 40))
    return "seal"


def a_key_of_before(store, folder):
    key, record = store.all("kv")[0]
    number = key.split(b" ")[1].decode()
    value = ("key %s, put 0 times" % number).encode()
    packed = (bytes([0xA0 + len(value)]) if len(value) < 32 else bytes([0xD9, len(value)])) + value
    store.put("kv", key, sealed(key, record[:16] + packed))
    return "LOST: key"


CHANGES = [a_flipped_bit, a_missing_entry, a_lost_last_entry, an_entry_of_another_number, an_epoch_that_goes_back,
           a_payload_in_a_longer_form, another_content_of_a_blob, a_run_under_another_status, a_row_from_the_future,
           an_older_summary, a_later_seal, a_key_of_before]


def check(change, good, marks, folder):
    shutil.copytree(good, folder)
    store = Changed(folder)
    wanted = change(store, folder)
    store.close(summary=change not in (an_older_summary,))
    findings = verify_store.verify_marks(folder, marks).findings
    shutil.rmtree(folder)
    if any(wanted in finding for finding in findings):
        return True
    print("%s: not found; instead: %s" % (change.__name__, findings[:3]))
    return False


# Histories, as weir writes them: each of these is wrong in one place.

GOOD = [["run", {}], ["start", "a", 1, 1, 0], ["attempt", "a", 1, 0, 1, {}, 0.1], ["step", "a", 1, "finished", 0, 1, 2, {"token": "t1"}],
        ["step", "b", 2, "cancelled", 0, 1, 1], ["step", "b", 2, "finished", 0, 1, 1, {"token": "t2"}], ["choice", "c", 1],
        ["end", "finished", None, 9]]
SINK = [("t0", "r/a", []), ("t1", "r/a", []), ("t2", "r/b", ["t1"])]
BAD = [("a second outcome", GOOD[:4] + [GOOD[3]] + GOOD[4:], SINK, "a second outcome"),
       ("an entry after the end", GOOD + [GOOD[7]], SINK, "comes after its end"),
       ("an attempt after the outcome", GOOD[:4] + [GOOD[2]] + GOOD[4:], SINK, "attempt"),
       ("an attempt left out", GOOD[:2] + [["attempt", "a", 2, 0, 1, {}, 0.1]] + GOOD[3:], SINK, "is recorded as 2"),
       ("a second choice", GOOD[:7] + [GOOD[6]] + GOOD[7:], SINK, "chosen twice"),
       ("no start", GOOD[1:], SINK, "is of kind"),
       ("an acknowledged step is lost", GOOD[:3] + GOOD[4:], SINK, "LOST"),
       ("a step that had another outcome", GOOD, SINK[:2] + [("t2", "r/b", ["t0"])], "when it was used"),
       ("effects under two keys", GOOD, [SINK[0], ("t1", "r/a2", [])] + [("t2", "r/b", [])], "is of an effect under"),
       ("what nobody made", GOOD, SINK[:2] + [("t2", "r/b", ["t9"])], "nobody made")]


class Written(verify_store.History):
    """A history that stands in no store."""

    def __init__(self, entries, sink):
        self.findings, self.outcomes, self.rows = [], {}, {b"r": ("finished", 1, 1, 0, {})}
        self.check_history(b"r", entries)
        verify_store.check_sink(self, sink)


def check_histories():
    good = Written(GOOD, SINK).findings == []
    if not good:
        print("a good history is refused: %s" % Written(GOOD, SINK).findings)
    for what, entries, sink, wanted in BAD:
        findings = Written(entries, sink).findings
        if not any(wanted in finding for finding in findings):
            good = False
            print("%s: not found; instead: %s" % (what, findings))
    return good


def main(arguments):
    base = tempfile.mkdtemp(prefix="weir-verify-")
    good, marks = os.path.join(base, "good"), os.path.join(base, "marks")
    try:
        subprocess.run([arguments[1], good, marks, "clients=3", "requests=120"], check=True, stdout=subprocess.DEVNULL)
        findings = verify_store.verify_marks(good, marks).findings
        if findings:
            print("a good store is refused: %s" % findings[:3])
        assert crc32c(b"123456789") == 0xE3069283
        results = [check(change, good, marks, os.path.join(base, "copy")) for change in CHANGES]
        ok = not findings and all(results) and check_histories()
        print("%d changes to a store and %d to a history: %s" % (len(CHANGES), len(BAD), "all found" if ok else "NOT all found"))
        return 0 if ok else 1
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
