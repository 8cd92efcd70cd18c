local gate = require "weir.gate"
local limit = require "weir.registry.limit"
local native = require "weir.native.scheduler"
local publish = require "weir.registry.publish"
local reload = require "weir.registry.reload"
local support = dofile "spec/lua/weir/registry/support.lua"
local task = require "weir.task"

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "talk" { weir.step "talk" { agent = "talk" }, output = "$.talk.text" }
]]

local function names_of(list)
  local names = {}
  for index, one in ipairs(list) do names[index] = one.name end
  return names
end

describe("a reload", function()
  local place, here, registry, reports
  before_each(function()
    place = support.place()
    place:agent("talk", "return { text = 'one' }")
    here = place:open()
    registry, reports = here.registry, {}
    registry:observe(function(report) reports[#reports + 1] = report end)
  end)
  after_each(function() place:close() end)

  local function file(name) return place.folder .. "/" .. name end
  local function version(full) return (registry.versions:lookup(full)).version end
  local function module(name) return assert(registry:lookup("agent", name)).module end

  it("swaps a module whose file has changed, and says from which version to which", function()
    local before = assert(registry:lookup("agent", "talk"))
    place:agent("talk", "return { text = 'two' }")
    local report = reload.changed(registry, { file "modules/agents/talk.lua" })
    assert.same({ { name = "agents/talk", from = before.version, to = version "agents/talk", file = file "modules/agents/talk.lua" } },
      report.reloaded)
    assert.same({}, report.failed)
    assert.equal("two", module "talk".execute().text)
    assert.equal(report, reports[1])
    assert.is_nil((registry:get("agents/talk", before.version))) -- nobody needs it
  end)

  it("loads what is new, and leaves alone what has the same version", function()
    registry:lookup("agent", "talk")
    place:agent("new", "return {}")
    local report = reload.changed(registry, { file "modules/agents/talk.lua", file "modules/agents/new.lua", file "notes.txt" })
    assert.same({ "agents/new" }, names_of(report.reloaded))
    assert.same({ "agents/talk" }, report.unchanged)
    assert.is_nil(report.reloaded[1].from)
  end)

  it("of a shared file reloads everything that depends on it, once, and nothing else", function()
    place:write("lib/words.lua", "return { word = 'one' }")
    for _, name in ipairs { "ann", "ben" } do place:agent(name, "return { text = words.word }", "local words = require 'lib.words'") end
    place:write("pipelines/said.lua", [[
local weir, words = require "weir", require "lib.words"
return weir.pipeline "said" { weir.step "say" { agent = "ann", input = { text = words.word } } }
]])
    for _, name in ipairs { "ann", "ben", "talk" } do assert(registry:lookup("agent", name)) end
    local old = assert(here:pipeline "said")
    place:write("lib/words.lua", "return { word = 'two' }")
    local generation = registry.generation
    local report = reload.changed(registry, { file "lib/words.lua" })
    assert.same({ "agents/ann", "agents/ben", "pipelines/said" }, names_of(report.reloaded))
    assert.equal(generation + 1, registry.generation)
    assert.equal("two", module "ann".execute().text)
    assert.equal("two", module "ben".execute().text)
    assert.not_equal(old.version, assert(here:pipeline "said").version)
  end)

  it("keeps all old versions when one of them fails, and takes all once that one is mended", function()
    place:write("lib/words.lua", "return { word = 'one' }")
    for _, name in ipairs { "ann", "ben" } do place:agent(name, "return { text = word:upper() }", "local word = require('lib.words').word:lower()") end
    for _, name in ipairs { "ann", "ben" } do assert(registry:lookup("agent", name)) end
    place:write("lib/words.lua", "return { word = 'two' }")
    place:agent("ben", "return 1", "error 'not yet'")
    local report = reload.changed(registry, { file "lib/words.lua", file "modules/agents/ben.lua" })
    assert.same({}, report.reloaded)
    assert.same({ "agents/ben" }, names_of(report.failed))
    assert.equal("ONE", module "ann".execute().text)
    place:agent("talk", "return { text = 'unrelated' }")
    assert.same({ "agents/talk" }, names_of(reload.changed(registry, { file "modules/agents/talk.lua" }).reloaded))
    assert.equal("ONE", module "ann".execute().text)
    place:agent("ben", "return { text = word }", "local word = require('lib.words').word")
    report = reload.changed(registry, { file "modules/agents/ben.lua" })
    assert.same({ "agents/ann", "agents/ben" }, names_of(report.reloaded))
    assert.equal("TWO", module "ann".execute().text)
  end)

  it("forgets a broken file that has gone, and lets pass what changes with it", function()
    assert(registry:lookup("agent", "talk"))
    place:write("modules/agents/away.lua", "return {")
    assert.same({ "agents/away" }, names_of(reload.changed(registry, { file "modules/agents/away.lua" }).failed))
    place:remove "modules/agents/away.lua"
    place:agent("talk", "return { text = 'two' }")
    local report = reload.changed(registry, { file "modules/agents/away.lua", file "modules/agents/talk.lua" })
    assert.same({}, report.failed)
    assert.same({ "agents/talk" }, names_of(report.reloaded))
  end)

  local broken = {
    { "a syntax error", "return {\n  kind = = 'agent' }", "invalid", 2, "unexpected symbol" },
    { "an error at load", "\n\nerror 'no luck'", "invalid", 3, "no luck" },
    { "a missing export", "return { kind = 'agent', name = 'talk', api = 1 }", "invalid", 1, "no function 'execute'" },
    { "a wrong kind", "return { kind = 'critic', name = 'talk', api = 1, review = print }", "invalid", 1, "must be 'agent'" },
    { "a load that does not end", "local n = 0\nwhile true do n = n + 1 end", "timeout", 2, "longer than 0.2 s" },
    { "half a file", "return { kind = 'agent', name = 'talk', api = 1, execute = function(ctx)", "invalid", 1, "'end' expected" },
    { "an empty file", "", "invalid", 1, "a module returns its table" },
    { "options that are no options", "return { kind = 'agent', name = 'talk', api = 1, options = { n = 'no type' }, execute = print }", "invalid", 1, "options" },
    { "something else than Lua", "\0\1\2", "invalid", 1, "talk" },
  }
  for _, case in ipairs(broken) do
    it("keeps the old version, and says what is wrong where: " .. case[1], function()
      limit.seconds = 0.2
      finally(function() limit.seconds = 1 end)
      local before = assert(registry:lookup("agent", "talk"))
      place:write("modules/agents/talk.lua", case[2])
      local report = reload.changed(registry, { file "modules/agents/talk.lua" })
      assert.same({}, report.reloaded)
      local err = report.failed[1]
      assert.equal("agents/talk", err.name)
      assert.equal(case[3], err.code)
      assert.equal(file "modules/agents/talk.lua", err.file)
      assert.equal(case[4], err.line)
      assert.match(case[5], err.message, 1, true)
      if case[2] ~= "" then assert.match(("> %d | "):format(err.line), err.excerpt, 1, true) end
      assert.equal(before, (registry:lookup("agent", "talk")))
      place:agent("talk", "return { text = 'mended' }")
      assert.same({ "agents/talk" }, names_of(reload.changed(registry, { file "modules/agents/talk.lua" }).reloaded))
      assert.equal("mended", module "talk".execute().text)
    end)
  end

  it("goes on with the version of a file that was removed, says so, and takes the file up when it is back", function()
    local before = assert(registry:lookup("agent", "talk"))
    place:remove "modules/agents/talk.lua"
    local report = reload.changed(registry, { file "modules/agents/talk.lua" })
    assert.same({ { name = "agents/talk", version = before.version, file = file "modules/agents/talk.lua" } }, report.removed)
    assert.equal(before, (registry:lookup("agent", "talk")))
    place:agent("talk", "return { text = 'back' }")
    assert.same({ "agents/talk" }, names_of(reload.changed(registry, { file "modules/agents/talk.lua" }).reloaded))
  end)

  it("takes a file of the project in the place of a built-in one, and goes back when it has gone", function()
    local built_in = assert(registry:lookup("agent", "echo"))
    place:agent("echo", "return { mine = true }")
    assert.same({ "agents/echo" }, names_of(reload.changed(registry, { file "modules/agents/echo.lua" }).reloaded))
    place:remove "modules/agents/echo.lua"
    assert.equal(built_in.version, reload.changed(registry, { file "modules/agents/echo.lua" }).reloaded[1].to)
  end)

  local SETUP = "setup = function(options, old) local state = old or { calls = 0 } state.word = options.word .. %q return state end, options = { word = 'string = tide' }"

  it("hands the state of each set of options over to the new version", function()
    place:agent("talk", "return ctx.state", "", SETUP:format "1")
    local old = assert(registry:lookup("agent", "talk"))
    local function state(entry, given) return registry:state(entry, registry:options(entry, nil, given)) end
    state(old, {}).calls = 7
    state(old, { word = "ebb" }).calls = 9
    place:agent("talk", "return ctx.state", "", (SETUP:format "2"):gsub("string = tide'", "string = tide', more = 'integer = 3'"))
    local report = reload.changed(registry, { file "modules/agents/talk.lua" })
    assert.same({}, report.failed)
    local new = assert(registry:lookup("agent", "talk"))
    assert.same({ calls = 7, word = "tide2" }, state(new, {}))
    assert.same({ calls = 9, word = "ebb2" }, state(new, { word = "ebb" }))
  end)

  local setups = {
    { "raises", "error 'no room'", "invalid", "no room" },
    { "waits", "require('weir.task').sleep(0.01)", "invalid", "" },
    { "does not end", "while true do end", "timeout", "longer than" },
  }
  for _, case in ipairs(setups) do
    it("keeps the old version with its state when setup " .. case[1], function()
      place:agent("talk", "return ctx.state", "", "setup = function() return { calls = 0 } end")
      local old = assert(registry:lookup("agent", "talk"))
      local state = registry:state(old, {})
      place:agent("talk", "return 2", "", ("setup = function() %s return {} end"):format(case[2]))
      local report = reload.changed(registry, { file "modules/agents/talk.lua" })
      assert.same({ "agents/talk" }, names_of(report.failed))
      assert.equal(case[3], report.failed[1].code, report.failed[1].message)
      assert.match(case[4], report.failed[1].message, 1, true)
      assert.equal(old, (registry:lookup("agent", "talk")))
      assert.equal(state, registry:state(old, {}))
      place:agent("talk", "return 3", "", "setup = function(_, was) return was end")
      assert.same({ "agents/talk" }, names_of(reload.changed(registry, { file "modules/agents/talk.lua" }).reloaded))
      assert.equal(state, registry:state(assert(registry:lookup("agent", "talk")), {}))
    end)
  end

  it("takes many changes that come while it is at it together, in one more round", function()
    place:agent("slow", "return 1", "local n = 0\nwhile n < 3000000 do n = n + 1 end")
    assert(registry:lookup("agent", "talk"))
    local rounds, tasks, done = 0, {}, {}
    registry:observe(function() rounds = rounds + 1 end)
    tasks[1] = task.spawn(function() reload.changed(registry, { file "modules/agents/slow.lua" }) end)
    for number = 1, 100 do
      tasks[#tasks + 1] = task.spawn(function()
        place:agent("talk", ("return { text = 'text %d' }"):format(number))
        done[number] = reload.changed(registry, { file "modules/agents/talk.lua" })
      end)
    end
    for _, one in ipairs(tasks) do assert(one:join()) end
    assert.is_true(rounds < 100, rounds)
    for number = 1, 100 do assert.same({}, done[number].failed) end
    assert.match("^text %d+$", module "talk".execute().text)
    local text = assert(require("weir.port.files").read(file "modules/agents/talk.lua"))
    assert.equal(text, assert(registry:lookup("agent", "talk")).text)
  end)

  it("goes on for those who wait with somebody who is cancelled, whether it has begun or not", function()
    for _, has_begun in ipairs { false, true } do
      module "talk"
      place:agent("talk", ("return { text = 'begun: %s' }"):format(has_begun))
      local held = gate.new()
      local holder = not has_begun and native.spawn(publish.exclusively, registry, function() held:wait "the spec" end)
      native.yield()
      local first = native.spawn(reload.changed, registry, { file "modules/agents/talk.lua" })
      if not has_begun then native.yield() end
      local second = native.spawn(reload.changed, registry, { file "modules/agents/talk.lua" })
      native.yield()
      first:cancel "it has other things to do"
      held:open()
      if holder then assert(holder:join()) end
      assert.is_false((first:join()))
      local ok, report = second:join()
      assert.is_true(ok, not ok and tostring(report))
      assert.same({}, report.failed)
      assert.equal("begun: " .. tostring(has_begun), module "talk".execute().text)
    end
  end)

  it("checks a pipeline against the modules that are reloaded with it, and tries it again when these come later", function()
    place:write("pipelines/talk.lua", PIPELINE)
    local old = assert(here:pipeline "talk")
    place:write("pipelines/talk.lua", (PIPELINE:gsub('agent = "talk"', 'agent = "talk", options = { loud = true }')))
    local report = reload.changed(registry, { file "pipelines/talk.lua" })
    assert.same({ "pipelines/talk" }, names_of(report.failed))
    assert.equal(2, report.failed[1].line)
    assert.match("> 2 | return weir.pipeline", report.failed[1].excerpt, 1, true)
    assert.equal(old, assert(here:pipeline "talk"))
    place:agent("talk", "return { text = 'loud' }", "", "options = { loud = 'boolean = false' }")
    report = reload.changed(registry, { file "modules/agents/talk.lua" })
    assert.same({ "agents/talk", "pipelines/talk" }, names_of(report.reloaded))
    assert.not_equal(old.version, assert(here:pipeline "talk").version)
  end)

  -- Loads something for the first time, and changes and reloads a file that it requires at one moment of that after the
  -- other: before it is read, while what has read it still loads, and behind that. `seen` says what it has seen.
  local function changed_meanwhile(first, seen)
    local slow = "local n = 0 for i = 1, 3000000 do n = n + i end"
    place:agent("ann", "return { text = words.word }", "local words = require 'lib.words' " .. slow)
    place:write("pipelines/said.lua", ([[
local weir, words = require "weir", require "lib.words"
%s
return weir.pipeline "said" { weir.step "say" { agent = "talk", input = { text = words.word } } }
]]):format(slow))
    local before, after = 0, 0
    for turns = 1, 8 do
      place:write("lib/words.lua", "return { word = 'one' }")
      here = place:open()
      local is_loaded = false
      local ok, err = task.within({}, function()
        task.spawn(function()
          assert(first(here))
          is_loaded = true
        end)
        for _ = 1, turns do task.yield() end
        if is_loaded then after = after + 1 else before = before + 1 end
        local handle = assert(io.open(file "lib/words.lua", "wb")) -- at this moment: nothing waits here
        handle:write "return { word = 'two' }"
        handle:close()
        assert.same({}, reload.changed(here.registry, { file "lib/words.lua" }).failed)
      end)
      assert(ok, err and err.message)
      assert.equal("two", seen(here), ("after %d turns"):format(turns))
    end
    assert.is_true(before > 0, "it was always loaded already")
  end

  it("reaches a pipeline that is being loaded for the first time", function()
    changed_meanwhile(function(own) return own:pipeline "said" end,
      function(own) return require("weir.json").encode(assert(own:pipeline "said").normal):match '"text":"(%l+)"' end)
  end)

  it("reaches a module that is being loaded for the first time", function()
    changed_meanwhile(function(own) return own.registry:lookup("agent", "ann") end,
      function(own) return assert(own.registry:lookup("agent", "ann")).module.execute().text end)
  end)

  it("begins new runs on the new versions and ends others on those that they began with", function()
    place:agent("talk", "ctx:sleep(5) return { text = 'one' }")
    place:write("pipelines/talk.lua", PIPELINE)
    native.use_virtual_clock()
    finally(function() native.use_real_clock() end)
    local own = place:life()
    registry = own.project.registry
    local first = own:start(assert(own.project:pipeline "talk"), {})
    task.sleep(1)
    place:agent("talk", "return { text = 'two' }")
    assert.same({ "agents/talk" }, names_of(reload.changed(registry, { file "modules/agents/talk.lua" }).reloaded))
    local second = support.run(own, "talk")
    assert.equal("two", second.output)
    assert.equal("one", first:wait().output)
    assert.equal(1, #registry.versions:list())
  end)
end)
