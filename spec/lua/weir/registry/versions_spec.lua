local limit = require "weir.registry.limit"
local support = dofile "spec/lua/weir/registry/support.lua"

local FLOW = [[
local weir = require "weir"
local words = require "lib.words"
return weir.flow "talk" { function(flow)
  local first = flow:step "first" { agent = "echo", input = { text = words.greeting } }
  flow:approval "ask" {}
  return { first.text, flow:step "second" { agent = "echo", input = { text = words.greeting } }.text }
end }
]]

local function sorted_names(needs)
  local names = {}
  for name in pairs(needs) do names[#names + 1] = name end
  table.sort(names)
  return names
end

describe("versions of modules", function()
  local place
  before_each(function() place = support.place() end)
  after_each(function() place:close() end)

  it("know the files that a module requires, and those that these require", function()
    place:write("lib/inner.lua", "return { word = 'inner' }")
    place:write("lib/outer.lua", "return { word = require('lib.inner').word .. ' outer' }")
    place:agent("talk", "return { text = outer.word }", "local outer = require 'lib.outer'")
    local here = place:open()
    local entry = assert(here.registry:lookup("agent", "talk"))
    assert.equal(place.folder .. "/lib/inner.lua", entry.used[1].file)
    assert.same({ "lib/inner.lua", "lib/outer.lua", "modules/agents/talk.lua" }, sorted_names(require("weir.registry").needs(entry)))
  end)

  it("change with what is required, and with nothing else", function()
    place:write("lib/words.lua", "return { greeting = 'hello' }")
    place:write("lib/other.lua", "return {}")
    place:agent("talk", "return { text = words.greeting }", "local words = require 'lib.words'")
    local function version() return assert(place:open().registry:lookup("agent", "talk")).version end
    local first = version()
    place:write("lib/other.lua", "-- a comment\nreturn {}")
    place:agent("mute", "return {} -- a comment")
    assert.equal(first, version())
    place:write("lib/words.lua", "return { greeting = 'hullo' }")
    assert.not_equal(first, version())
    place:write("lib/words.lua", "return { greeting = 'hello' }")
    assert.equal(first, version())
  end)

  it("are refused when files require one another in a circle, with the place", function()
    place:write("lib/a.lua", "\nreturn require 'lib.b'")
    place:write("lib/b.lua", "local a = require 'lib.a'\nreturn a")
    place:agent("talk", "return 1", "require 'lib.a'")
    local entry, err = place:open().registry:lookup("agent", "talk")
    assert.is_nil(entry)
    assert.match("lib/b.lua:1: module 'lib.a' requires itself", err.message)
  end)

  it("remember what a file wanted that could not be loaded", function()
    place:agent("talk", "return 1", "require 'lib.gone'")
    local registry = place:open().registry
    local _, err = registry:lookup("agent", "talk")
    assert.match("talk.lua:1: module 'lib.gone' not found", err.message)
    assert.is_true(registry.failed["agents/talk"].needs["lib/gone.lua"])
    place:write("lib/gone.lua", "return true")
    assert(registry:lookup("agent", "talk"))
    assert.is_nil(registry.failed["agents/talk"])
  end)

  it("end a file that loads for ever after a second, say where it was, and go on with others meanwhile", function()
    limit.seconds = 0.2
    finally(function() limit.seconds = 1 end)
    place:agent("talk", "return 1", "local n = 0\nwhile true do pcall(function() n = n + 1 end) end")
    local turns, is_over = 0, false
    local task = require "weir.task"
    task.spawn(function()
      while not is_over do
        turns = turns + 1
        task.yield()
      end
    end)
    local entry, err = place:open().registry:lookup("agent", "talk")
    is_over = true
    assert.is_nil(entry)
    assert.equal("timeout", err.code)
    assert.equal(place.folder .. "/modules/agents/talk.lua", err.file)
    assert.equal(2, err.line)
    assert.match("longer than 0.2 s", err.message)
    assert.is_true(turns > 3, turns)
  end)

  it("of a flow hold what it requires: a parked run goes on with it after the files have changed", function()
    place:write("lib/words.lua", "return { greeting = 'hello' }")
    place:write("pipelines/talk.lua", FLOW)
    local run = support.run(place:life(), "talk")
    assert.equal("waiting", run.status)
    place:write("lib/words.lua", "return { greeting = 'changed' }")
    local own = place:life()
    local record = assert(require("weir.approval").pending(own.store))[1]
    assert(require("weir.run.waking").decide(own, record.id, { decision = "approve", by = "ada" }))
    local ended = require("weir.run.recovery").go_on(own, run.id)
    assert.equal("finished", ended.status)
    assert.same({ "hello", "hello" }, ended.output)
  end)
end)
