"""H10: reads a store that no process has open and says what is wrong with it.

    python3 spec/faults/verify_store.py STORE [--sink LOG | --marks MARKS]

Written from docs/store.md and independent of the host's C: own MessagePack, own CRC-32C, and LMDB by way of
python3-lmdb. Checks that every record is whole and stands where it should, that each journal is gap-free and
chained (I4), that epochs do not go back (I5), that ends are final (I6) and that no step has two outcomes (I2).
With the log of the sink (sink.c) also that what a step was given by earlier ones is what the store holds: it had
been acknowledged, so it may not be lost (I1) nor have become another (I2); and that each step had its effects
under one idempotency key (I3). With the marks of the workload (workload.c) that what it was told to be kept is
there; its entries are no runs of weir, so nothing more is asked of them. Exit status 1 when something is wrong; one line for each finding.
"""

import hashlib
import os
import struct
import sys

import lmdb

TABLES = ["log", "segments", "runs", "status", "blobs", "kv"]
FORMAT = 1
BLOB_EXTENSION = 1
ENDS = ("finished", "failed", "cancelled")


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def crc32c(data, crc=0):
    """CRC-32C of RFC 3720, of the bytes that gave `crc` followed by these."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Damaged(Exception):
    pass


class Blob:
    """A reference to a blob, in the place of an element."""

    def __init__(self, key):
        self.key = key


class Reader:
    """MessagePack in the one encoding that the store allows for each value."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        piece = self.data[self.at:self.at + size]
        if len(piece) != size:
            raise Damaged("a value is cut short")
        self.at += size
        return piece

    def number(self, kind, least=None):
        value, = struct.unpack(">" + kind, self.take(struct.calcsize(kind)))
        if least is not None and value < least:
            raise Damaged("a value is not in its shortest form")
        return value

    def negative(self, kind, below):
        value = self.number(kind)
        if value >= below:
            raise Damaged("a value is not in its shortest form")
        return value

    def text(self, size):
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError:
            raise Damaged("a text is not UTF-8") from None

    def array(self, size):
        return [self.value() for _ in range(size)]

    def map(self, size):
        result, before = {}, None
        for _ in range(size):
            key = self.value()
            encoded = key.encode("utf-8") if isinstance(key, str) else key
            if not isinstance(encoded, bytes) or before is not None and encoded <= before:
                raise Damaged("the keys of a map are not sorted texts")
            before, result[key] = encoded, self.value()
        return result

    def value(self):
        head = self.take(1)[0]
        if head < 0x80:
            return head
        if head >= 0xE0:
            return head - 0x100
        if head < 0x90:
            return self.map(head & 15)
        if head < 0xA0:
            return self.array(head & 15)
        if head < 0xC0:
            return self.text(head & 31)
        read = self.LONG.get(head)
        if read is None:
            raise Damaged("byte %02x begins no value" % head)
        return read(self)

    def blob(self):
        if self.take(1)[0] != BLOB_EXTENSION:
            raise Damaged("an unknown extension")
        return Blob(self.take(32))

    LONG = {
        0xC0: lambda r: None, 0xC2: lambda r: False, 0xC3: lambda r: True,
        0xC4: lambda r: r.take(r.number("B")), 0xC5: lambda r: r.take(r.number("H", 256)),
        0xC6: lambda r: r.take(r.number("I", 65536)),
        0xCB: lambda r: r.number("d"),
        0xCC: lambda r: r.number("B", 128), 0xCD: lambda r: r.number("H", 256),
        0xCE: lambda r: r.number("I", 65536), 0xCF: lambda r: r.number("Q", 1 << 32),
        0xD0: lambda r: r.negative("b", -32), 0xD1: lambda r: r.negative("h", -128),
        0xD2: lambda r: r.negative("i", -32768), 0xD3: lambda r: r.negative("q", -2147483648),
        0xD9: lambda r: r.text(r.number("B", 32)), 0xDA: lambda r: r.text(r.number("H", 256)),
        0xDB: lambda r: r.text(r.number("I", 65536)),
        0xDC: lambda r: r.array(r.number("H", 16)), 0xDD: lambda r: r.array(r.number("I", 65536)),
        0xDE: lambda r: r.map(r.number("H", 16)), 0xDF: lambda r: r.map(r.number("I", 65536)),
        0xC7: lambda r: r.blob() if r.number("B") == 32 else None,
    }


def unpack(data):
    reader = Reader(data)
    value = reader.value()
    if reader.at != len(data):
        raise Damaged("bytes follow a value")
    return value


class Entry:
    """One entry of a journal, as it stands in the log or in a segment."""

    def __init__(self, lsn, record):
        if len(record) < 24 or record[0] != FORMAT or record[1] != 0:
            raise Damaged("no entry of this format")
        size, self.epoch, self.n, self.previous = struct.unpack_from("<HIQI", record, 2)
        self.crc, = struct.unpack_from("<I", record, len(record) - 4)
        if 20 + size + 4 > len(record) or size == 0 or self.n == 0:
            raise Damaged("an entry's sizes are wrong")
        self.lsn, self.record = lsn, record
        self.run = record[20:20 + size]
        self.payload = record[20 + size:-4]


class Store:
    """What a store holds, and what is wrong with it. `checked` remembers records whose checksum was right, so
    that a store that is read again and again is not summed again and again."""

    def __init__(self, folder, checked=None):
        self.folder = folder
        self.findings = []
        self.checked = {} if checked is None else checked
        self.records = {}
        self.journals = {}  # run id -> entries, in order of n
        self.rows = {}      # run id -> (status, epoch, n, crc, row)
        self.blobs = {}
        self.values = {}    # journal entries, decoded, by (run, n)
        self.read()

    def find(self, text, *arguments):
        self.findings.append(text % arguments)

    # Reading ------------------------------------------------------------------------------------------

    def read(self):
        if not os.path.exists(os.path.join(self.folder, "data.mdb")):
            return
        environment = lmdb.open(self.folder, max_dbs=16, readonly=True, lock=False, create=False)
        try:
            with environment.begin() as txn:
                self.transaction = environment.info()["last_txnid"]
                main = dict(txn.cursor())
                if b"weir.format" not in main and not main:
                    return  # made and never used
                for name in TABLES:
                    table = environment.open_db(name.encode(), txn=txn, create=False)
                    self.records[name] = [(bytes(k), bytes(v)) for k, v in txn.cursor(table)]
        finally:
            environment.close()
        self.read_main(main)
        self.read_log()
        self.read_segments()
        self.read_runs()
        self.read_blobs()
        self.read_values()
        for run in sorted(self.journals):
            self.read_journal(run)

    def sealed(self, key, record, what):
        """The crc at the end is that of key and all before it."""
        mark = (key, record)
        if mark in self.checked:
            return True
        if len(record) < 4 or crc32c(record[:-4], crc32c(key)) != struct.unpack("<I", record[-4:])[0]:
            self.find("%s: its checksum is wrong", what)
            return False
        self.checked[mark] = True
        return True

    def read_main(self, main):
        form, tail = main.get(b"weir.format", b""), main.get(b"weir.tail", b"")
        if len(form) < 5 or struct.unpack("<I", form[:4])[0] != FORMAT or not form[4:].startswith(b"weir "):
            self.find("the format is not that of weir's store, number %d", FORMAT)
        if len(tail) != 116 or crc32c(tail[:-4]) != struct.unpack("<I", tail[-4:])[0]:
            return self.find("the summary is damaged")
        self.next_lsn, transactions = struct.unpack_from("<QQ", tail)
        if transactions != self.transaction:
            self.find("the summary is of transaction %d, the store of %d", transactions, self.transaction)
        self.check_seal(transactions)
        for number, name in enumerate(TABLES):
            records, total = struct.unpack_from("<QQ", tail, 16 + 16 * number)
            self.check_sum(name, records, total)

    def check_seal(self, transactions):
        path = os.path.join(self.folder, "seal")
        if not os.path.exists(path):
            return
        with open(path, "rb") as file:
            seal = file.read(8)
        if len(seal) == 8 and struct.unpack("<Q", seal)[0] > transactions:
            self.find("the seal knows a later transaction than the store")

    def check_sum(self, name, records, total):
        found = self.records[name]
        if len(found) != records:
            return self.find("table %s has %d records, the summary says %d", name, len(found), records)
        if name == "status":
            sums = sum(crc32c(key) for key, _ in found)
        else:
            sums = sum(struct.unpack("<I", record[-4:])[0] for _, record in found if len(record) >= 4)
        if sums & (1 << 64) - 1 != total:
            self.find("table %s does not have the sum that the summary says", name)

    def entry(self, lsn, record, where):
        """An entry whose checksum is right, or None."""
        if not self.sealed(struct.pack("<Q", lsn), record, "%s, LSN %d" % (where, lsn)):
            return None
        try:
            return Entry(lsn, record)
        except Damaged as damage:
            self.find("%s, LSN %d: %s", where, lsn, damage)

    def read_log(self):
        self.log = {}
        before = 0
        for key, record in self.records["log"]:
            lsn, = struct.unpack("=Q", key)
            if not before < lsn < self.next_lsn:
                self.find("log: LSN %d is out of order", lsn)
            before = lsn
            entry = self.entry(lsn, record, "log")
            if entry:
                self.log.setdefault(entry.run, []).append(entry)

    def read_segments(self):
        self.segments = {}
        for key, record in self.records["segments"]:
            run, first = key[:-9], struct.unpack(">Q", key[-8:])[0]
            what = "segment %s/%d" % (run.decode("latin-1"), first)
            if key[-9] != 0 or not self.sealed(key, record, what):
                continue
            form, flags, count, size = struct.unpack_from("<BBHI", record)
            if form != FORMAT or flags != 0 or size != len(record) - 12 or not 1 <= count <= 256:
                self.find("%s: its head is wrong", what)
                continue
            self.read_segment(run, first, count, record[8:-4], what)

    def read_segment(self, run, first, count, rest, what):
        at, entries = 0, self.segments.setdefault(run, [])
        for number in range(count):
            if at + 12 > len(rest):
                return self.find("%s is cut short", what)
            lsn, size = struct.unpack_from("<QI", rest, at)
            entry = self.entry(lsn, rest[at + 12:at + 12 + size], what)
            at += 12 + size
            if entry is None:
                return
            if entry.run != run or entry.n != first + number:
                self.find("%s holds entry %d of run %s", what, entry.n, entry.run.decode("latin-1"))
            entries.append(entry)
        if at != len(rest):
            self.find("%s: bytes follow its entries", what)

    def read_runs(self):
        index = set()
        for run, record in self.records["runs"]:
            what = "row of run %s" % run.decode("latin-1")
            if not self.sealed(run, record, what):
                continue
            form, flags, size, epoch, n, crc, zero = struct.unpack_from("<BBHIQII", record)
            if form != FORMAT or flags or zero or 24 + size > len(record) - 4:
                self.find("%s: its head is wrong", what)
                continue
            status = record[24:24 + size]
            self.rows[run] = (status.decode(), epoch, n, crc, self.decode(record[24 + size:-4], what))
            index.add(status + b"\0" + run)
        if index != {key for key, _ in self.records["status"]}:
            self.find("the index of statuses is not that of the rows")

    def read_blobs(self):
        for key, record in self.records["blobs"]:
            what = "blob %s" % key.hex()
            if not self.sealed(key, record, what):
                continue
            content = record[16:-4]
            if record[:8] != bytes([FORMAT]) + bytes(7) or hashlib.sha256(content).digest() != key:
                self.find("%s is not what its key says", what)
            self.blobs[key] = content

    def read_values(self):
        for key, record in self.records["kv"]:
            space, _, name = key.partition(b"\0")
            what = "key %s of space %s" % (name[:60], space)
            if not self.sealed(key, record, what):
                continue
            form, flags, zero, size, version = struct.unpack_from("<BBHIQ", record)
            kept = record[16:16 + size]
            cut = key[:479] + hashlib.sha256(kept).digest() if flags else key
            if form != FORMAT or flags > 1 or zero or bool(size) != bool(flags) or cut != key:
                self.find("%s: its head is wrong", what)
            if version >= self.next_lsn:
                self.find("%s has a version that was not given out", what)
            self.decode(record[16 + size:-4], what)

    def decode(self, data, what):
        try:
            return unpack(data)
        except Damaged as damage:
            self.find("%s: %s", what, damage)

    def read_journal(self, run):
        pass


class Journals(Store):
    """The store's journals, put together and checked."""

    def read_values(self):
        super().read_values()
        for run in set(self.log) | set(self.segments):
            self.journals[run] = self.put_together(run)
        for run in self.rows:
            self.journals.setdefault(run, [])

    def put_together(self, run):
        """What has been folded, and from the log what is newer; what is in both must be the same."""
        entries = self.segments.get(run, [])
        folded = {entry.n: entry for entry in entries}
        latest = entries[-1].n if entries else 0
        for entry in self.log.get(run, []):
            if entry.n > latest:
                entries = entries + [entry]
            elif entry.n in folded and folded[entry.n].record != entry.record:
                self.find("run %s: entry %d is another one in the log than in its segment", name(run), entry.n)
        return entries

    def read_journal(self, run):
        before = None
        entries = self.journals[run]
        for number, entry in enumerate(entries, 1):
            if entry.n != number:
                return self.find("run %s: entry %d stands in the place of entry %d", name(run), entry.n, number)
            if entry.previous != (before.crc if before else 0):
                self.find("run %s: entry %d does not follow the one before", name(run), number)
            if before and (entry.epoch < before.epoch or entry.lsn <= before.lsn):
                self.find("run %s: entry %d goes back in epoch or order", name(run), number)
            before = entry
        self.check_row(run, entries)
        self.values[run] = [self.value_of(entry) for entry in entries]

    def check_row(self, run, entries):
        if run not in self.rows:
            return
        status, epoch, n, crc, row = self.rows[run]
        if n > len(entries):
            return self.find("run %s: its row knows entry %d, there are %d", name(run), n, len(entries))
        if n and entries[n - 1].crc != crc:
            self.find("run %s: its row was made after another entry %d", name(run), n)
        if isinstance(row, dict) and row.get("status", status) != status:
            self.find("run %s: its row says '%s' and stands under '%s'", name(run), row["status"], status)

    def value_of(self, entry):
        what = "run %s, entry %d" % (name(entry.run), entry.n)
        value = self.decode(entry.payload, what)
        if not isinstance(value, list):
            self.find("%s is no list", what)
            return []
        for place, element in enumerate(value):
            if isinstance(element, Blob):
                content = self.blobs.get(element.key)
                if content is None:
                    self.find("%s: a blob of it is missing", what)
                value[place] = self.decode(content, what) if content is not None else None
        return value


def name(run):
    return run.decode("latin-1")


class History(Journals):
    """What the entries of weir's runs say: their order and their outcomes."""

    def __init__(self, folder, checked=None):
        self.outcomes = {}  # (run, key) -> (status, value, attempt)
        super().__init__(folder, checked)
        for run in sorted(self.values):
            self.check_history(run, self.values[run])

    def check_history(self, run, entries):
        attempts, choices, ended = {}, set(), None
        for number, entry in enumerate(entries, 1):
            kind = entry[0] if entry else None
            if ended:
                self.find("run %s: entry %d (%s) comes after its end", name(run), number, kind)
            if (kind == "run") != (number == 1):
                self.find("run %s: entry %d is of kind '%.40s'", name(run), number, kind)
            if kind == "attempt":
                self.check_attempt(run, entry, attempts)
            elif kind == "step":
                self.check_outcome(run, entry, attempts)
            elif kind == "choice" and entry[1] in choices:
                self.find("run %s: '%s' was chosen twice", name(run), entry[1])
            elif kind == "choice":
                choices.add(entry[1])
            elif kind == "end":
                ended = entry[1]
        status = self.rows[run][0] if run in self.rows else None
        if (status in ENDS or ended) and status != ended:
            self.find("run %s: its row says '%s', its journal '%s'", name(run), status, ended)

    def check_attempt(self, run, entry, attempts):
        key, number = entry[1], entry[2]
        attempts[key] = attempts.get(key, 0) + 1
        if number != attempts[key]:
            self.find("run %s, step %s: failed attempt %d is recorded as %s", name(run), key, attempts[key], number)
        if self.outcomes.get((name(run), key), ("cancelled",))[0] != "cancelled":
            self.find("run %s, step %s: an attempt after its outcome", name(run), key)

    def check_outcome(self, run, entry, attempts):
        key, status, attempt, value = entry[1], entry[3], entry[6], entry[7] if len(entry) > 7 else None
        before = self.outcomes.get((name(run), key))
        if before and before[0] != "cancelled":
            self.find("run %s, step %s: a second outcome '%s', after '%s'", name(run), key, status, before[0])
        if status == "finished" and attempt <= attempts.get(key, 0):
            self.find("run %s, step %s: it finished in attempt %d, which had failed", name(run), key, attempt)
        self.outcomes[(name(run), key)] = (status, value, attempt)


def read_sink(path):
    """Lines of the sink, each (token, key, tokens it was given). What was cut short is left out."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        text = file.read()
    lines = text.split("\n")[:-1]
    return [(part[0], part[1], part[2:]) for part in (line.split(" ") for line in lines)]


def check_sink(history, lines):
    """What happened outside against what the store says."""
    key_of, effects = {}, {}
    for token, key, _ in lines:
        if token in key_of:
            history.find("token %s was given twice", token)
        key_of[token] = key
        effects[key] = effects.get(key, 0) + 1
    for token, key, given in lines:
        for earlier in given:
            check_given(history, key_of, key, earlier)
    for (run, key), (status, value, _) in history.outcomes.items():
        token = value.get("token") if status == "finished" and isinstance(value, dict) else None
        of = key_of.get(token, "nothing") if token else None
        if of and of != run + "/" + key and not of.startswith(run + "/" + key + "/"):  # a body gives what a step in it gave
            history.find("run %s, step %s: its outcome is of an effect under '%s'", run, key, of)
    return effects


def check_given(history, key_of, key, earlier):
    """`earlier` was the output of a step when another one was given it, so it had been acknowledged."""
    if earlier not in key_of:
        return history.find("step %s was given %s, which nobody made", key, earlier)
    run, _, step = key_of[earlier].partition("/")
    status, value, _ = history.outcomes.get((run, step), (None, None, None))
    if status is None:
        history.find("LOST: run %s, step %s was acknowledged (%s was given its output) and is not there", run, step, key)
    elif status != "finished" or value.get("token") != earlier:
        history.find("run %s, step %s: its output was %s when it was used, and is %s now", run, step, earlier, value)


# The workload's model: model.h says the same in C. ----------------------------------------------------

def model_random(seed, position):
    mask = (1 << 64) - 1
    z = (seed + (position + 1) * 0x9E3779B97F4A7C15) & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return z ^ z >> 31


def model_entry(run, n):
    r = model_random(run + 2, n)
    shared = r % 64 == 0
    more = (1600 + (0 if shared else r // 16 % 5000)) if r % 16 == 0 else r // 16 % 160
    return "run %d entry %d " % (0 if shared else run, 0 if shared else n) + chr(97 + (0 if shared else n % 26)) * more


def check_marks(journals, path):
    entries, puts = {}, {}
    with open(path, "rb") as file:
        marks = file.read()
    for what, subject, number in struct.iter_unpack("<IIQ", marks[:len(marks) // 16 * 16]):
        if what == 1:
            entries[b"r_%08d" % subject] = (subject, number)
        elif what == 2:
            puts[b"space\0key %d" % subject] = (subject, number)
    for run, (_, number) in sorted(entries.items()):
        if len(journals.values.get(run, [])) < number:
            journals.find("LOST: %s has %d entries, %d were acknowledged", name(run), len(journals.values.get(run, [])), number)
    for run, values in journals.values.items():
        for n, value in enumerate(values, 1):
            if value != [model_entry(int(run[2:]), n)]:
                journals.find("run %s: entry %d is not what was written", name(run), n)
    there = {key: record for key, record in journals.records.get("kv", [])}
    for key, (subject, number) in sorted(puts.items()):
        value = unpack(there[key][16:-4]) if key in there else None
        if value not in ["key %d, put %d times" % (subject, times) for times in (number, number + 1)]:
            journals.find("LOST: key %d was put %d times, and is '%s'", subject, number, value)


def verify_marks(folder, marks, checked=None):
    """The journals of the workload's store, with their findings."""
    journals = Journals(folder, checked)
    check_marks(journals, marks)
    return journals


def verify(folder, sink=None, checked=None):
    """The history of a store, with its findings; and the number of effects for each key."""
    history = History(folder, checked)
    effects = check_sink(history, read_sink(sink)) if sink else {}
    return history, effects


def main(arguments):
    given = dict(zip(arguments[2::2], arguments[3::2]))
    if "--marks" in given:
        history = verify_marks(arguments[1], given["--marks"])
    else:
        history, _ = verify(arguments[1], given.get("--sink"))
    for finding in history.findings:
        print(finding)
    if not history.findings:
        entries = sum(len(journal) for journal in history.journals.values())
        print("%d runs, %d entries, %d keys: nothing is wrong" % (
            len(history.journals), entries, len(history.records.get("kv", []))))
    return 1 if history.findings else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv))
