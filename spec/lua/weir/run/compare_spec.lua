local compare = require "weir.run.compare"
local json = require "weir.native.json"

local L = json.list

local function changes(first, second)
  local lines = {}
  for index, change in ipairs(compare.values(first, second)) do
    lines[index] = ("%s %s %s %s"):format(change.change, change.path, json.encode(change.first) or "-", json.encode(change.second) or "-")
  end
  return lines
end

local function step(key, output, fields)
  local made = { key = key, status = "finished", attempt = 1, output = output }
  for name, value in pairs(fields or {}) do made[name] = value end
  return made
end

local function record(steps, fields)
  local made = { version = "v", status = "finished", pins = {}, input = {}, steps = steps }
  for name, value in pairs(fields or {}) do made[name] = value end
  return made
end

describe("the difference of two values", function()
  it("is nothing for equal ones, whatever the form of their numbers", function()
    assert.same({}, compare.values({ a = 1, b = L { 1, "x" } }, { b = L { 1.0, "x" }, a = 1.0 }))
    assert.same({}, compare.values(nil, nil))
  end)

  it("is told by paths, in their order", function()
    assert.same({ "changed a.b 1 2", "added a.c null true", 'removed d "x" null' },
      changes({ a = { b = 1 }, d = "x" }, { a = { b = 2, c = true } }))
    assert.same({ 'changed ["a b"]["c.d"] 1 2' }, changes({ ["a b"] = { ["c.d"] = 1 } }, { ["a b"] = { ["c.d"] = 2 } }))
    assert.same({ "changed  1 {}" }, changes(1, {}))
    assert.same({ "changed a [] {}" }, changes({ a = L {} }, { a = {} }))
  end)

  it("tells of a list that has one item more just that one", function()
    assert.same({ "added [1] null 9" }, changes(L { 1, 2, 3 }, L { 1, 9, 2, 3 }))
    assert.same({ "removed [0] 1 null" }, changes(L { 1, 2 }, L { 2 }))
    assert.same({ "changed [1].n 2 5" }, changes(L { 1, { n = 2 }, 3 }, L { 1, { n = 5 }, 3 }))
  end)
end)

describe("the difference of two runs", function()
  it("is none when they did the same, at whatever time", function()
    local found = compare.runs(record { step("a", 1, { from_ms = 1, to_ms = 5 }) }, record { step("a", 1, { from_ms = 9, to_ms = 10 }) })
    assert.is_true(found.is_equal)
  end)

  it("has steps in the order of the first, and what only the second did where it did it", function()
    local found = compare.runs(record { step("a", 1), step("b", 1), step("c", 1) },
      record { step("z", 1), step("a", 1), step("x", 1), step("y", 1), step("c", 2) })
    local keys = {}
    for index, one in ipairs(found.steps) do keys[index] = one.key .. (one.first and "-" or "") .. (one.second and "+" or "") end
    assert.same({ "z+", "a-+", "x+", "y+", "b-", "c-+" }, keys)
    assert.is_false(found.is_equal)
    assert.is_true(found.steps[2].is_equal)
  end)

  it("is there when attempts, errors, versions, modules or inputs differ", function()
    local same = record { step("a", 1) }
    for _, other in ipairs { record { step("a", 1, { attempt = 2 }) }, record { step("a", nil, { status = "failed", error = { code = "failed" } }) },
      record({ step("a", 1) }, { version = "w" }), record({ step("a", 1) }, { pins = { ["agents/a"] = "1" } }),
      record({ step("a", 1) }, { input = { n = 1 } }) } do
      assert.is_false(compare.runs(same, other).is_equal)
    end
    local failed = step("a", nil, { status = "failed", error = { code = "failed" } })
    local late = step("a", nil, { status = "failed", error = { code = "timeout" } })
    assert.is_false(compare.runs(record { failed }, record { late }).is_equal)
    assert.is_true(compare.runs(record { failed }, record { failed }).is_equal)
  end)
end)
