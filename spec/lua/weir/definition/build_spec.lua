local build = require "weir.definition.build"
local json = require "weir.native.json"
local normal = require "weir.definition.normal"
local source = require "weir.source"

local function line_here()
  return debug.getinfo(2, "l").currentline
end

local function names(node)
  local result = {}
  for index, child in ipairs(node.children) do result[index] = child.name end
  return result
end

local function problems(node)
  local _, errors = normal.pipeline(node, source.new "x.lua")
  local result = {}
  for index, entry in ipairs(errors or {}) do result[index] = entry.message end
  return result
end

describe("the constructors", function()
  it("take positional entries as children and named ones as fields", function()
    local node = build.group "g" { build.step "a" { agent = "echo" }, join = "any", build.step "b" { agent = "echo" } }
    assert.same({ "a", "b" }, names(node))
    assert.equal("any", node.fields.join)
    assert.is_true(build.is_node(node))
  end)

  it("skip false and splice lists, so that pipelines can be computed", function()
    local more = {}
    for index = 1, 3 do more[index] = build.step("s" .. index) { agent = "echo" } end
    local node = build.group "g" { false, more, { { build.step "last" { agent = "echo" } }, false }, build.step "x" { agent = "echo" } }
    assert.same({ "s1", "s2", "s3", "last", "x" }, names(node))
    assert.same({}, problems(build.pipeline "p" { node }))
  end)

  it("know the line of their call", function()
    local line = line_here() + 1
    local node = build.step "a" {
      agent = "echo",
    }
    assert.equal(line, node.line)
    assert.truthy(node.file:find("build_spec", 1, true))
  end)

  it("tell holes, unfinished steps, and what is no step, all at once", function()
    local line = line_here() + 1
    local node = build.pipeline "p" {
      build.group "g" { build.step "a" { agent = "echo" }, nil, build.step "b" { agent = "echo" } },
      build.step "c",
      "read",
      { agent = "echo" },
      build.group "h" { build.group "i" {} },
      build.pipeline "q" {},
      3,
    }
    local found = {}
    local _, errors = normal.pipeline(node, source.new "x.lua")
    for _, entry in ipairs(errors) do
      for _, part in ipairs { "hole", "unfinished", "the text 'read'", "a table with fields", "a group holds steps", "child run", "a number" } do
        if entry.message:find(part, 1, true) then found[part] = entry.line end
      end
    end
    assert.same({
      hole = line + 1, unfinished = line + 2, ["the text 'read'"] = line, ["a table with fields"] = line,
      ["a group holds steps"] = line + 5, ["child run"] = line + 6, ["a number"] = line,
    }, found)
  end)

  it("raise where the name is none, or the table is none", function()
    assert.has_error(function() build.step {} end, 'weir.step: a name expected, got a table with fields; write weir.step "name" {...}')
    assert.has_error(function() build.step "a" "b" end)
    assert.has_error(function() build.step "a"(nil) end)
    assert.has_error(function() return (build.step "a").fields end)
  end)

  it("refuse a function in a declared pipeline, wherever it stands", function()
    local message = "declared pipeline is data: write an agent, or a flow"
    for _, node in ipairs {
      build.pipeline "p" { build.step "a" { function() end } },
      build.pipeline "p" { build.step "a" { agent = "echo", input = { f = print } } },
      build.pipeline "p" { build.map "a" { over = "$.input.x", function() end } },
      build.pipeline "p" { build.group "g" { function() end, build.step "a" { agent = "echo" } } },
      build.pipeline "p" { function() end, build.step "a" { agent = "echo" } },
    } do
      assert.truthy(table.concat(problems(node), "\n"):find(message, 1, true))
    end
  end)

  it("give the common fields to the step and the others to the kind", function()
    local data = assert(normal.pipeline(build.pipeline "p" {
      build.approval "release" { title = "Publish?", timeout = "7d", on_timeout = "reject", when = "$.input.x" },
    }))
    local step = data.groups[1].steps[1]
    assert.same({ title = "Publish?", on_timeout = "reject" }, step.approval)
    assert.equal("7d", step.timeout)
    assert.equal("$.input.x", step.when)
  end)

  it("refuse tables that are neither list nor object, or endless", function()
    local endless = {}
    endless.a = endless
    for _, input in ipairs { { 1, a = 2 }, { [3] = 1, [1] = 2 }, endless, { [true] = 1 } } do
      assert.equal(1, #problems(build.pipeline "p" { build.step "a" { agent = "echo", input = { x = input } } }))
    end
  end)
end)

describe("a step of a flow", function()
  it("may be a function, and keeps its values as they are", function()
    local files, run = { "a", "b" }, function() end
    local step = assert(normal.step(build.map "parts" { over = files, concurrency = 8, run }))
    assert.equal(files, step.map.over)
    assert.equal(run, step.map.each.run)
    assert.equal(run, assert(normal.step(build.step "x" { run })).run)
    local group = assert(normal.group(build.group "g" { build.step "a" { agent = "echo", input = { "$.x" } }, build.step "b" { run } }))
    assert.equal(run, group.steps[2].run)
    assert.equal("$.x", group.steps[1].input[1])
  end)

  it("is checked like any other", function()
    local step, errors = normal.step(build.step "x" { agent = "echo", tiemout = 3 })
    assert.is_nil(step)
    assert.equal("timeout", errors[1].did_you_mean)
    assert.is_nil((normal.step(build.step "x" {})))
  end)
end)

describe("the normal form of plain data", function()
  it("is a fixed point", function()
    local value_of = require "weir.value"
    local data = assert(normal.pipeline { name = "p", groups = { { name = "a", agent = { use = "echo", options = { x = 1 } }, from = "b" } } })
    assert.equal("echo", data.groups[1].steps[1].agent)
    assert.same({ x = 1 }, data.groups[1].steps[1].options)
    assert.is_true(value_of.equal(data, (assert(normal.pipeline(value_of.copy(data))))))
  end)

  it("does not change what it was given", function()
    local given = { name = "p", groups = json.list { { name = "a", agent = "echo", critic = "rubric" } } }
    assert(normal.pipeline(given))
    assert.equal("rubric", given.groups[1].critic)
    assert.is_nil(given.weir)
  end)
end)
