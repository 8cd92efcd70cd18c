local build = require "weir.definition.load"
local guard = require "weir.reflection.guard"
local patches = require "weir.planning.patch"
local value_of = require "weir.value"

local LIMITS = { changes = 8, bytes = 4096 }

local YAML = [[
weir: 1
name: p
input: {base: number}
budget: {usd: 1}
supervise: watcher
reflect: {use: tune, metric: $.output.score, iterations: 3, limits: {usd: 0.5, changes: 4}, protect: [judged]}
groups:
- {name: read, agent: echo, timeout: 10s, retry: {attempts: 2}}
- name: write
  steps:
  - {name: draft, agent: echo, options: {words: 100}, critic: {use: rubric, options: {min_words: 50}, attempts: 3}}
  - {name: other, agent: echo}
- {name: judged, agent: echo}
output: $.judged
]]

local ASKING = [[
weir: 1
name: p
reflect: {use: tune, metric: $.output}
groups:
- {name: read, agent: echo, options: {n: 1}}
- {name: release, approval: {title: ok}}
- {name: send, agent: echo}
- name: last
  steps: [{name: a, agent: echo}, {name: b, agent: echo}]
  gate: {title: sure}
]]

local function normal_of(text) return assert(build.load("p.yaml", { text = text })).normal end

describe("what a reflection may not touch", function()
  local normal, asking
  setup(function() normal, asking = normal_of(YAML), normal_of(ASKING) end)

  local function refused(of, patch, code, pointer)
    local changed, message, got = guard.apply(of, patch, LIMITS)
    assert.is_nil(changed, pointer)
    assert.equal(code, got, message)
    assert.equal(pointer, message:sub(1, #pointer), message)
    return message
  end

  local function denied(of, pointer, patch) return refused(of, patch, "denied", pointer) end

  it("refuses a reflection that proposes to lift its own limits, naming the path", function()
    local message = denied(normal, "/reflect/limits/usd", { { op = "replace", path = "/reflect/limits/usd", value = 100 } })
    assert.equal("/reflect/limits/usd: limits reflections themselves; a reflection may not change it", message)
    denied(normal, "/reflect/iterations", { { op = "replace", path = "/reflect/iterations", value = 100 } })
    denied(normal, "/reflect/approve", { { op = "add", path = "/reflect/approve", value = "auto" } })
    denied(normal, "/reflect", { { op = "remove", path = "/reflect" } })
    denied(normal, "/reflect/limits", { { op = "move", from = "/reflect/limits", path = "/doc" } })
  end)

  it("finds it also in a patch that replaces what is around it", function()
    local reflect = value_of.copy(normal.reflect)
    reflect.limits.usd = 100
    local whole = value_of.copy(normal)
    whole.reflect = reflect
    denied(normal, "/reflect/limits/usd", { { op = "replace", path = "", value = whole } })
    local group = value_of.copy(normal.groups[1])
    group.steps[1].timeout = "10h"
    denied(normal, "/groups/0/steps/0/timeout", { { op = "replace", path = "/groups/0", value = group } })
  end)

  it("refuses budgets, supervisors, inputs and outputs", function()
    denied(normal, "/budget/usd", { { op = "replace", path = "/budget/usd", value = 100 } })
    denied(normal, "/supervise", { { op = "remove", path = "/supervise" } })
    denied(normal, "/output", { { op = "replace", path = "/output", value = { score = 1000 } } })
    denied(normal, "/input", { { op = "remove", path = "/input" } })
    denied(normal, "/queue", { { op = "add", path = "/queue", value = { limit = 1 } } })
  end)

  it("refuses time limits, retries and critics of steps", function()
    denied(normal, "/groups/0/steps/0/timeout", { { op = "replace", path = "/groups/0/steps/0/timeout", value = 9999 } })
    denied(normal, "/groups/0/steps/0/retry", { { op = "replace", path = "/groups/0/steps/0/retry/attempts", value = 9 } })
    denied(normal, "/groups/1/steps/0/critic", { { op = "replace", path = "/groups/1/steps/0/critic/use/0/options/min_words", value = 1 } })
    denied(normal, "/groups/1/steps/1/critic", { { op = "add", path = "/groups/1/steps/1/critic", value = { use = "rubric" } } })
    denied(normal, "/groups/1/steps/0/critic", { { op = "remove", path = "/groups/1/steps/0" } })
  end)

  it("refuses what the pipeline protects by name", function()
    denied(normal, "/groups/2/steps/0", { { op = "add", path = "/groups/2/steps/0/options", value = { x = 1 } } })
    denied(normal, "/groups/2", { { op = "remove", path = "/groups/2" } })
  end)

  it("refuses approvals, and every way round them", function()
    denied(asking, "/groups/1/steps/0/approval/title", { { op = "replace", path = "/groups/1/steps/0/approval/title", value = "go on" } })
    denied(asking, "/groups", { { op = "remove", path = "/groups/1" } })
    denied(asking, "/groups/3/gate/title", { { op = "replace", path = "/groups/3/gate/title", value = "x" } })
    denied(asking, "/groups/3/gate", { { op = "remove", path = "/groups/3/gate" } })
    denied(asking, "/groups/1", { { op = "move", from = "/groups/2", path = "/groups/1" } }) -- sent before it is released
    denied(asking, "/groups/0/steps/1", { { op = "add", path = "/groups/0/steps/-", value = { name = "early", agent = "files" } } })
    denied(asking, "/groups/0/steps/0/agent", { { op = "replace", path = "/groups/0/steps/0/agent", value = "files" } })
    denied(asking, "/groups/1/steps/0/when", { { op = "add", path = "/groups/1/steps/0/when", value = "$.read.x" } })
    denied(asking, "/groups/0/branch", { { op = "add", path = "/groups/0/branch", value = { default = "send" } } })
  end)

  it("lets options, inputs, prompts and models pass, and steps where nobody is asked", function()
    local changed = assert(guard.apply(normal, { { op = "replace", path = "/groups/1/steps/0/options/words", value = 50 } }, LIMITS))
    assert.equal(50, changed.groups[2].steps[1].options.words)
    assert.equal(100, normal.groups[2].steps[1].options.words)
    assert(guard.apply(asking, { { op = "replace", path = "/groups/0/steps/0/options/n", value = 2 } }, LIMITS))
    assert(guard.apply(normal, { { op = "add", path = "/groups/1/steps/-", value = { name = "third", agent = "echo" } } }, LIMITS))
    assert(guard.apply(normal, { { op = "add", path = "/groups/0/steps/0/model", value = "fast" } }, LIMITS))
  end)

  it("limits the size of a patch in operations and bytes", function()
    local many = {}
    for index = 1, 9 do many[index] = { op = "replace", path = "/doc", value = "d" .. index } end
    many[1].op = "add"
    refused(normal, many, "limit", "/reflect/limits/changes")
    refused(normal, { { op = "add", path = "/doc", value = ("x"):rep(5000) } }, "limit", "/reflect/limits/bytes")
  end)

  it("refuses what is no patch, cannot be done or changes nothing", function()
    refused(normal, "x", "invalid", "patch: a list of operations expected")
    refused(normal, { { op = "replace", path = "/groups/9/name", value = 1 } }, "invalid", "patch: operation 1 (replace '/groups/9/name')")
    refused(normal, { { op = "test", path = "/name", value = "q" } }, "invalid", "patch: operation 1 (test '/name')")
    refused(normal, { { op = "test", path = "/name", value = "p" } }, "invalid", "patch: it changes nothing")
    refused(normal, { 7 }, "invalid", "patch: operation 1")
  end)

  it("tells what only sets steps otherwise from what changes them", function()
    local function is_of_settings(patch) return guard.only_settings(normal, assert(guard.apply(normal, patch, LIMITS))) end
    assert.is_true(is_of_settings { { op = "replace", path = "/groups/1/steps/0/options/words", value = 50 } })
    assert.is_true(is_of_settings { { op = "add", path = "/groups/0/steps/0/model", value = "fast" } })
    assert.is_false(is_of_settings { { op = "replace", path = "/groups/1/steps/1/agent", value = "files" } })
    assert.is_false(is_of_settings { { op = "add", path = "/doc", value = "d" } })
  end)

  it("lets only agents and planners that the pipeline uses have another source", function()
    local pins = { ["agents/echo"] = "v", ["policies/fifo"] = "v", ["reflections/tune"] = "v", ["critics/rubric"] = "v" }
    assert.is_true(guard.check_module("agents/echo", pins))
    for _, full in ipairs { "policies/fifo", "reflections/tune", "critics/rubric", "supervisors/doctor", "judges/vote", "watchers/files" } do
      local ok, message, code = guard.check_module(full, pins)
      assert.same({ nil, "denied" }, { ok, code }, full)
      assert.matches("^source.module: " .. full, message)
    end
    assert.equal("invalid", select(3, guard.check_module("agents/files", pins)))
    assert.equal("invalid", select(3, guard.check_module("../x", pins)))
    assert.equal("invalid", select(3, guard.check_module(nil, pins)))
  end)

  it("measures how large a change of a source is", function()
    assert.same({ changes = 3, bytes = 12 }, guard.source_size { "-2 b", "+2 B", "+4 d" })
  end)
end)

describe("JSON Patch", function()
  it("moves, copies and tests as well", function()
    local value = { a = { b = 1 }, list = { 1, 2, 3 } }
    assert.same({ c = { b = 1 }, list = { 1, 2, 3 } }, (patches.apply(value, { { op = "move", from = "/a", path = "/c" } })))
    assert.same({ a = { b = 1 }, list = { 3, 1, 2 } }, (patches.apply(value, { { op = "move", from = "/list/2", path = "/list/0" } })))
    assert.same({ a = { b = 1, d = 1 }, list = { 1, 2, 3 } }, (patches.apply(value, { { op = "copy", from = "/a/b", path = "/a/d" } })))
    assert.same(value, (patches.apply(value, { { op = "test", path = "/a", value = { b = 1 } } })))
    local copied = patches.apply(value, { { op = "copy", from = "/a", path = "/e" }, { op = "replace", path = "/e/b", value = 2 } })
    assert.equal(1, copied.a.b)
  end)

  it("says which operation cannot be done, and where", function()
    for _, case in ipairs {
      { { op = "move", from = "/x", path = "/y" }, "operation 1 (move '/y') cannot be done: nothing stands at '/x'" },
      { { op = "move", from = "/a", path = "/a/b/c" }, "operation 1 (move '/a/b/c') cannot be done: '/a' would be moved into itself" },
      { { op = "test", path = "/a/b", value = 2 }, "operation 1 (test '/a/b') cannot be done: integer 1 stands there" },
      { { op = "add", path = "/list/01", value = 2 }, "operation 1 (add '/list/01') cannot be done: nothing stands there" },
      { { op = "add", path = "/x" }, "operation 1 (add '/x') cannot be done: it has no 'value'" },
      { { op = "swap", path = "/a" }, "operation 1 (swap '/a') cannot be done: it is none of add, remove, replace, move, copy, test" },
      { { op = "remove", path = "a" }, "operation 1 (remove 'a') cannot be done: it is no JSON Pointer: '' or a text that begins with '/'" },
    } do
      local got, message, code = patches.apply({ a = { b = 1 }, list = { 1 } }, { case[1] })
      assert.is_nil(got)
      assert.same({ case[2], "invalid" }, { message, code })
    end
  end)
end)
