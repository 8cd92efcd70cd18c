"""A scripted MCP server over standard streams: well-behaved in either era, and each misbehaviour by name.
    python3 server.py MODE [FILE]     FILE: its process id is written there
"""
import json
import os
import signal
import sys
import time

MODE = sys.argv[1] if len(sys.argv) > 1 else "legacy"
MODERN = "2026-07-28"
cancelled, hanging, held, asked = [], [], [], {}
tools = {}


def tool(name, **more):
    entry = {"name": name, "description": name + " of a spec", "inputSchema": {"type": "object"}}
    entry.update(more)
    tools[name] = entry


for each in "echo hang progress ask die env long garbled stray wrong error gather cancelled left grow ask_in_modern".split():
    tool(each)
tool("typed", inputSchema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
     outputSchema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})


def send(message):
    message["jsonrpc"] = "2.0"
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(id, result):
    if MODE == "modern":
        result = {"resultType": "complete", **result}
    send({"id": id, "result": result})


def refuse(id, code, text, data=None):
    send({"id": id, "error": {"code": code, "message": text, **({"data": data} if data else {})}})


def text(words, **more):
    return {"content": [{"type": "text", "text": words}], **more}


def wrong(kind):
    return {
        "list": {"content": "words"}, "block": {"content": [{"text": "no type"}]}, "image": {"content": [{"type": "image"}]},
        "nothing": {}, "flag": text("x", isError="yes"), "other": {"content": [{"type": "hologram", "rays": 3}]},
    }[kind]


def call(id, params):
    name, given = params["name"], params.get("arguments", {})
    if name == "echo":
        answer(id, text(given.get("text", "")))
    elif name == "typed":
        answer(id, {"content": [], "structuredContent": {"n": given.get("answer", given["n"])}})
    elif name == "progress":
        token = params.get("_meta", {}).get("progressToken")
        for step in range(1, given["of"] + 1):
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": step, "total": given["of"]}})
            time.sleep(given.get("pause", 0))
        answer(id, text("done"))
    elif name == "ask":
        asked["q%d" % len(asked)] = id
        send({"id": "q%d" % (len(asked) - 1), "method": "elicitation/create",
              "params": {"message": "your name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}})
    elif name == "ask_in_modern":
        responses = params.get("inputResponses")
        rounds = int(params.get("requestState", "0")) + 1
        if rounds <= given.get("rounds", 1):
            send({"id": id, "result": {"resultType": "input_required", "requestState": str(rounds), "inputRequests": {
                "who": {"method": given.get("method", "elicitation/create"),
                        "params": {"mode": "form", "message": "round %d?" % rounds, "requestedSchema": {"type": "object"}}}}}})
        else:
            answer(id, text(json.dumps({"id": id, "responses": responses, "state": params.get("requestState")}, sort_keys=True)))
    elif name == "die":
        sys.stderr.write("out of luck\n")
        sys.stderr.flush()
        os._exit(3)
    elif name == "env":
        answer(id, text(json.dumps(dict(os.environ))))
    elif name == "long":
        words = "x" * given["bytes"]
        if given.get("id_at_end"):
            sys.stdout.write('{"jsonrpc":"2.0","result":{"content":[{"type":"text","text":"%s"}]},"id":%d}\n' % (words, id))
        elif given.get("no_id"):
            sys.stdout.write(words + "\n")
        else:
            sys.stdout.write('{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"%s"}]}}\n' % (id, words))
        sys.stdout.flush()
    elif name == "garbled":
        sys.stdout.write('hello\n\n[1,2]\n{"jsonrpc":"2.0"}\n\xff\xfe\n{"id":1}\n')
        if given.get("answer_too"):
            sys.stdout.write('{"jsonrpc":"2.0","id":%d,"result":{"content":[nonsense]}}\n' % id)
            sys.stdout.flush()
        else:
            sys.stdout.flush()
            answer(id, text("after the noise"))
    elif name == "stray":
        for other in (id + 1000, "abc", None, 1.5):
            send({"id": other, "result": text("not yours")})
        answer(id, text("yours"))
        send({"id": id, "result": text("once more")})
    elif name == "wrong":
        answer(id, wrong(given["kind"])) if given["kind"] != "scalar" else send({"id": id, "result": 7})
    elif name == "error":
        refuse(id, given["code"], "no luck")
    elif name == "gather":  # answers all at once, the last one first, when enough have come
        held.append((id, given["text"]))
        if len(held) == given["of"]:
            while held:
                other, words = held.pop()
                answer(other, text(words))
    elif name == "cancelled":
        answer(id, text(json.dumps(cancelled)))
    elif name == "grow":
        tool("extra%d" % len(tools))
        send({"method": "notifications/tools/list_changed"})
        answer(id, text("grown"))
    elif name == "left":  # calls that hang, and nobody has said that nobody waits
        answer(id, text(json.dumps({"seen": len(hanging), "left": sorted(set(hanging) - set(cancelled))})))
    elif name == "hang":
        hanging.append(id)
    else:
        refuse(id, -32602, "Unknown tool: " + name)


def page(id, params):
    if MODE == "pages":
        number = int(params.get("cursor", "0"))
        names = list(tools)[number * 5:number * 5 + 5]
        more = {"nextCursor": str(number + 1)} if number * 5 + 5 < len(tools) else {}
        return answer(id, {"tools": [tools[name] for name in names], **more})
    if MODE == "endless":
        return answer(id, {"tools": [], "nextCursor": params.get("cursor", "") + "x"})
    if MODE == "many":
        return answer(id, {"tools": [{**tools["echo"], "name": "t%d" % n} for n in range(1001)]})
    if MODE == "odd":
        shape = {"type": "object"}
        return answer(id, {"tools": [
            7, {"name": "bad name", "inputSchema": shape}, {"name": "x" * 129, "inputSchema": shape}, {"name": "noschema"},
            {"name": "text", "inputSchema": "object"}, {"name": "array", "inputSchema": {"type": "array"}},
            {"name": "huge", "inputSchema": {"type": "object", "description": "x" * 300000}},
            {"name": "good", "inputSchema": shape}, {"name": "good", "description": "another", "inputSchema": shape},
            {"name": "draft7", "inputSchema": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}},
            {"name": "lookahead", "inputSchema": {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?!x)"}}}}]})
    if MODE == "wronglist":
        return answer(id, {"tools": "all"})
    answer(id, {"tools": list(tools.values())})


def handle(message):
    method, id, params = message.get("method"), message.get("id"), message.get("params", {})
    if method is None:
        if id in asked:
            answer(asked.pop(id), text(json.dumps(message.get("result"), sort_keys=True)))
        return
    if method == "notifications/cancelled":
        cancelled.append(params["requestId"])
    elif MODE == "silent" or MODE == "mute" and method == "server/discover":
        return
    elif MODE == "fragile" and method == "server/discover":
        os._exit(1)
    elif method == "server/discover" and MODE == "modern":
        answer(id, {"supportedVersions": [MODERN], "capabilities": {"tools": {}},
                    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "spec", "version": "1"}}})
    elif method == "server/discover" and MODE == "future":
        refuse(id, -32022, "unsupported", {"supported": ["2099-01-01"], "requested": MODERN})
    elif method == "initialize":
        answer(id, {"protocolVersion": "1999-01-01" if MODE == "old" else params["protocolVersion"],
                    "capabilities": {"tools": {"listChanged": True}}, "serverInfo": {"name": "spec", "version": "1"}})
    elif method == "tools/list":
        if MODE == "stuck":
            return
        page(id, params)
    elif method == "tools/call":
        call(id, params)
    elif id is not None:
        refuse(id, -32601, "Method not found")


if len(sys.argv) > 2:
    with open(sys.argv[2] + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(sys.argv[2] + ".new", sys.argv[2])
if MODE in ("stubborn", "stuck"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    handle(json.loads(line))
while MODE in ("stubborn", "stuck"):
    time.sleep(1)
