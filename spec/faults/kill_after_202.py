"""Test 84: what the HTTP door has acknowledged with 202 is there after a kill.

    python3 spec/faults/kill_after_202.py WEIR [kills=N] [seed=N] [mode=kill|control]

A host is started, takes a few runs over its Unix socket, and is killed with SIGKILL right after the last 202. The next
host of the same store must know each of them, give the same run for the same key, and finish all. A run in which three
processes ended one after the other is set aside, as it should be: it is resumed, as a person would. In mode `control` the
store acknowledges before it has committed: then runs must be missing, or this test would find nothing.
"""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PIPELINE = """local weir = require "weir"
return weir.pipeline "kept" { input = { name = "string" },
  weir.step "first" { agent = "echo", input = "$.input.name" },
  weir.step "second" { agent = "echo", input = "$.first" },
  output = "$.second",
}
"""
ENDED = {"finished", "failed", "cancelled"}
PATIENCE = 30  # seconds


class Door(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        is_sent = body is not None
        self.request(method, path, json.dumps(body) if is_sent else None, {"Content-Type": "application/json"} if is_sent else {})
        answer = self.getresponse()
        return answer.status, json.loads(answer.read())


class Host:
    """One life of a host over the folder's store."""

    def __init__(self, weir, folder, control):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        if control:
            environment["WEIR_DEFECT"] = "ack_before_commit"
        self.log = open(os.path.join(folder, "log"), "ab")
        self.process = subprocess.Popen([weir, "serve", folder, "--listen", "off", "--log", "error"], env=environment,
                                        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log)
        self.door = self.open(os.path.join(folder, ".weir", "host.sock"))

    def open(self, path):
        last = time.monotonic() + PATIENCE
        while time.monotonic() < last:
            if self.process.poll() is not None:
                raise SystemExit("the host ended with status %d; its log says why" % self.process.returncode)
            door = Door(path)
            try:
                door.connect()
                return door
            except OSError:
                time.sleep(0.002)
        raise SystemExit("the host opened no door")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.door.close()
        self.log.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=PATIENCE)
        self.door.close()
        self.log.close()
        return status


def start_some(host, draw, number, kept):
    """Starts a few runs; each that is acknowledged stands in `kept` by its key."""
    for index in range(draw.randint(1, 4)):
        key = "%d/%d" % (number, index)
        status, answer = host.door.ask("POST", "/api/runs", {"pipeline": "kept", "input": {"name": key}, "key": key})
        if status != 202:
            raise SystemExit("a start was answered with %d: %s" % (status, answer))
        kept[key] = answer["run"]


def missing(host, kept, keys):
    """Keys of runs that the host does not know, or takes for new ones."""
    lost = []
    for key in keys:
        status, answer = host.door.ask("GET", "/api/runs/" + kept[key])
        if status == 200:
            status, answer = host.door.ask("POST", "/api/runs", {"pipeline": "kept", "input": {"name": key}, "key": key})
        if status != 200 or answer["run"] != kept[key]:
            lost.append(key)
    return lost


def unfinished(host, kept, lost):
    """Keys of runs that do not come to their end."""
    left, last = [key for key in kept if key not in lost], time.monotonic() + PATIENCE
    while left and time.monotonic() < last:
        left = [key for key in left if not has_ended(host, kept[key])]
    return left


def has_ended(host, run):
    status = host.door.ask("GET", "/api/runs/" + run)[1]["status"]
    if status == "quarantined":
        host.door.ask("POST", "/api/runs/%s/resume" % run, {})
    return status in ENDED


def wrong_ends(host, kept, lost):
    for key, run in kept.items():
        answer = host.door.ask("GET", "/api/runs/" + run)[1] if key not in lost else None
        if answer and (answer["status"], answer.get("output")) != ("finished", key):
            yield "run %s of key %s: %s, output %s" % (run, key, answer["status"], answer.get("output"))


def battle(weir, folder, settings):
    draw, kept, lost, fresh = random.Random(settings["seed"]), {}, set(), []
    control = settings["mode"] == "control"
    for number in range(settings["kills"]):
        host = Host(weir, folder, control)
        lost.update(missing(host, kept, fresh))
        before = set(kept)
        start_some(host, draw, number, kept)
        host.kill()
        fresh = [key for key in kept if key not in before]
    host = Host(weir, folder, False)
    lost.update(missing(host, kept, fresh))
    problems = ["the acknowledged run %s is missing (key %s)" % (kept[key], key) for key in sorted(lost)]
    problems += ["run %s does not end" % kept[key] for key in unfinished(host, kept, lost)]
    problems += wrong_ends(host, kept, lost)
    if host.stop() != 0:
        problems.append("the last host did not stop well")
    return problems, len(kept)


def main(arguments):
    settings = {"kills": 20, "seed": 1, "mode": "kill"}
    for argument in arguments[2:]:
        key, _, value = argument.partition("=")
        settings[key] = value if key == "mode" else int(value)
    folder = os.path.realpath(tempfile.mkdtemp(prefix="weir-202-"))
    os.mkdir(os.path.join(folder, "pipelines"))
    with open(os.path.join(folder, "pipelines", "kept.lua"), "w", encoding="utf-8") as file:
        file.write(PIPELINE)
    os.mkdir(os.path.join(folder, "modules"))  # so that this folder is the project
    problems, count = battle(os.path.abspath(arguments[1]), folder, settings)
    for problem in problems[:20]:
        print(problem)
    print("%d kills, %d acknowledged runs, %d problems" % (settings["kills"], count, len(problems)))
    if settings["mode"] == "control":
        shutil.rmtree(folder)
        return 0 if problems else "the control found nothing missing: this test is blind"
    if problems:
        return "repeat: python3 %s %s kills=%d seed=%d; the store is in %s" % (
            arguments[0], arguments[1], settings["kills"], settings["seed"], folder)
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv))
