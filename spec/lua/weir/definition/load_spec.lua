local check = require "weir.definition.check"
local definition = require "weir.definition.load"

local function first_error(file, text, options)
  options = options or {}
  options.text = text
  local loaded, errors = definition.load(file, options)
  assert.is_nil(loaded)
  return errors[1], errors
end

local LUA = [[
local weir = require "weir"
return weir.pipeline "p" { weir.step "a" { agent = "echo" } }
]]

describe("loading a definition", function()
  it("gives the same version whatever the language", function()
    local from_lua = assert(definition.load("p.lua", { text = LUA }))
    local from_yaml = assert(definition.load("p.yaml", { text = "name: p\ngroups:\n- {name: a, agent: echo}\n" }))
    local from_yml = assert(definition.load("p.yml", { text = "groups:\n- {agent: echo, name: a}\nname: p\n" }))
    local from_json = assert(definition.load("p.json", { text = '{"$schema":"weir.json","name":"p","groups":[{"name":"a","agent":"echo"}]}' }))
    assert.truthy(from_lua.version:find("^%x+$"))
    assert.equal(64, #from_lua.version)
    for _, other in ipairs { from_yaml, from_yml, from_json } do assert.equal(from_lua.version, other.version) end
    assert.equal("pipeline", from_lua.kind)
    assert.equal("p", from_lua.name)
    local changed = assert(definition.load("p.yaml", { text = "name: p\ngroups:\n- {name: a, agent: files}\n" }))
    assert.is_true(changed.version ~= from_lua.version)
  end)

  it("reads a file", function()
    local path = os.tmpname() .. ".yaml"
    local file = assert(io.open(path, "w"))
    file:write "name: p\ngroups:\n- {name: a, agent: echo}\n"
    file:close()
    local loaded = definition.load(path)
    os.remove(path)
    os.remove((path:gsub("%.yaml$", "")))
    assert.equal("p", loaded.name)
    local _, errors = definition.load(path)
    assert.equal("not_found", errors[1].code)
    assert.equal(path, errors[1].file)
  end)

  it("gives a flow its program, and leaves its version to others", function()
    local flow = assert(definition.load("f.lua", { text = [[
      local weir = require "weir"
      return weir.flow "publish" { input = { path = "string" }, function() return "done" end }
    ]] }))
    assert.equal("flow", flow.kind)
    assert.equal("done", flow.body())
    assert.is_nil(flow.version)
    assert.is_nil(flow.normal.groups)
    assert.equal("string", flow.normal.input.properties.path.type)
  end)

  it("runs Lua through the given function", function()
    local seen
    local loaded = assert(definition.load("p.lua", { text = LUA, load_lua = function(file, text)
      seen = file
      return assert(load(text, "@" .. file))()
    end }))
    assert.equal("p.lua", seen)
    assert.equal("p", loaded.name)
    local entry = first_error("p.lua", LUA, { load_lua = function() return nil, "p.lua:7: no" end })
    assert.equal(7, entry.line)
    assert.equal("no", entry.message)
  end)

  it("tells what a file is that is no definition", function()
    local cases = {
      { "p.lua", "x = = 3", "unexpected symbol", 1 }, { "p.lua", "\nerror 'boo'", "boo", 2 }, { "p.lua", "\nerror { code = 3 }", "table", nil },
      { "p.lua", "return 3", "returns a number", nil }, { "p.lua", "return nil", "returns nothing", nil },
      { "p.lua", "local w = require 'weir'\nlocal s = w.step 'x' { agent = 'y' }\nreturn s", "returns a step", 2 },
      { "p.lua", "local w = require 'weir'\nlocal p = w.pipeline 'x'\nreturn p", "unfinished", 2 },
      { "p.lua", "\27Lua", "compiled Lua", nil }, { "p.yaml", "", "is empty", nil }, { "p.yaml", "a: \xff", "not valid UTF-8 at byte 4", nil },
      { "p.yaml", "a: [1\n", "no YAML", nil }, { "p.yaml", "- 1\n", "a pipeline expected, got array", nil }, { "p.yaml", "3", "got integer 3", nil },
      { "p.yaml", "~", "got null", nil }, { "p.json", '{"a":1,\n}', "", 2 }, { "p.json", "[]", "a pipeline expected", nil },
      { "p.json", '{"name":"p",\n "groups":[\n  {"name":"a","agnet":"x"}]}', "agnet is unknown", 3 },
      { "p.txt", "x", "no .lua, .yaml, .yml or .json", nil }, { "p", "x", "no .lua", nil },
      { "p.lua", "local w = require 'weir'\nreturn w.flow 'x' { w.step 'a' { agent = 'b' } }", "has no function", 2 },
    }
    for _, case in ipairs(cases) do
      local entry = first_error(case[1], case[2])
      assert.truthy(entry.message:find(case[3], 1, true), entry.message)
      if case[4] then assert.equal(case[4], entry.line, check.format(entry)) end
      assert.equal("invalid", entry.code)
    end
    assert.equal("limit", first_error("p.yaml", ("#"):rep(16 * 1024 * 1024 + 1)).code)
    assert.has_error(function() definition.load(3) end)
  end)

  it("finds the line of a step that a loop has built", function()
    local entry, errors = first_error("p.lua", [[
local weir = require "weir"
local steps = {}
for index = 1, 3 do
  steps[index] = weir.step("s" .. index) { agent = "echo", tiemout = index }
end
return weir.pipeline "p" { weir.group "g" { steps } }
]])
    assert.equal(3, #errors)
    assert.equal(4, entry.line)
    assert.equal("p.lua", entry.file)
    assert.equal("groups[0].steps[0].tiemout", entry.field)
  end)

  it("takes values as well: what was built, or plain data", function()
    local build = require "weir.definition.build"
    assert.equal("p", assert(definition.value(build.pipeline "p" { build.step "a" { agent = "echo" } })).name)
    assert.equal("p", assert(definition.value { name = "p", groups = { { name = "a", agent = "echo" } } }).name)
    assert.is_nil((definition.value(build.step "a" { agent = "echo" })))
    assert.is_nil((definition.value(build.pipeline "p")))
    assert.is_nil((definition.value(3)))
  end)

  it("refuses what cannot be written down", function()
    local build = require "weir.definition.build"
    local step = build.step "s0" { agent = "echo" }
    for index = 1, 40 do step = build.step("s" .. index) { step } end
    local cases = {
      build.pipeline "p" { step },
      build.pipeline "p" { build.step "a" { agent = "echo", input = "\xff" } },
      build.pipeline "p" { build.step "a" { agent = "echo", input = { x = 0 / 0 } } },
      build.pipeline "p" { build.map "a" { over = "$.input", each = build.group "g" {} } },
    }
    for _, node in ipairs(cases) do
      local loaded, errors = definition.value(node)
      assert.is_nil(loaded)
      assert.equal("invalid", errors[1].code)
      assert.is_number(errors[1].line)
    end
  end)

  it("makes ten times as much for ten times the steps, not a hundred times", function()
    -- What is allocated stands for the work: it is the same at every run, which times are not.
    local function kilobytes_for(count)
      local steps = {}
      for index = 1, count do
        steps[index] = { name = "s" .. index, agent = "echo", input = index > 1 and "$.s" .. index - 1 or nil }
      end
      collectgarbage()
      collectgarbage "stop"
      local before = collectgarbage "count"
      local loaded = definition.value { name = "p", groups = steps }
      local used = collectgarbage "count" - before
      collectgarbage "restart"
      assert.is_table(loaded)
      return used
    end
    kilobytes_for(10) -- what is made once only
    assert.is_true(kilobytes_for(2000) < 20 * kilobytes_for(200))
  end)
end)
