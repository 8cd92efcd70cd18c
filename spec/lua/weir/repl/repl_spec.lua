-- The evaluator of a REPL, in the process of its host.
local log_of = require "weir.log"
local native = require "weir.native.scheduler"
local repl = require "weir.repl"
local serve = require "weir.serve"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"

local SHOUT = [[
return { kind = "agent", name = "shout", api = 1, options = { mark = "string = !" }, execute = function(ctx, input)
  if input.curl then return ctx:process { "true" }.status end
  print("shouting", input.text)
  return input.text:upper() .. ctx.options.mark
end }
]]
local LOUD = [[
local weir = require "weir"
return weir.pipeline "loud" { input = { text = "string = hello" },
  weir.step "say" { agent = "shout", input = { text = "$.input.text" }, options = { mark = "?" } }, output = "$.say" }
]]
local WAITS = [[
local weir = require "weir"
return weir.pipeline "waits" { weir.approval "release" { title = "Out?" }, weir.step "paid" { wait = { signal = "paid" } }, output = "$.paid" }
]]

describe("a REPL", function()
  local folder, host, session, printed
  local function open(can_write)
    host = serve.start { folder = folder, http = false, write = can_write, store = ":memory:", env = function() end,
      logger = log_of.new { write = function() end } }
    session = repl.new(host)
  end
  before_each(function()
    folder = support.folder()
    support.write(folder, "modules/agents/shout.lua", SHOUT)
    support.write(folder, "pipelines/loud.lua", LOUD)
    support.write(folder, "pipelines/waits.lua", WAITS)
    open(true)
  end)
  after_each(function()
    host:stop "the spec is over"
    support.remove(folder)
  end)

  local function eval(text)
    printed = {}
    return session:eval(text, { write = function(piece) printed[#printed + 1] = piece end })
  end
  local function value(text)
    local answer = eval(text)
    assert.is_nil(answer.error, answer.error and answer.error.message)
    return answer.value
  end

  it("shows what an expression gives, all of its values", function()
    assert.equal("2", value "1 + 1")
    assert.equal('1\n"two"\nnil', value 'return 1, "two", nil')
    assert.equal("nil", value "nothing")
    assert.is_nil(value "x = 5")
    assert.equal("5", value "x")
  end)

  it("keeps values as _ and _1, _2, ..., and the last error as _e", function()
    value "10"
    value "20;"
    assert.equal("20", value "_")
    assert.equal("10", value "_1")
    eval "error('boom')"
    assert.matches("boom", value "_e.message")
  end)

  it("shows nothing after a semicolon", function()
    assert.is_nil(value "42;")
    assert.equal("42", value "_")
  end)

  it("asks for more lines where a chunk is not whole", function()
    for _, text in ipairs { "for i = 1, 2 do", "f = function()", "{ 1,", "(1 +", "if x then" } do assert.is_true(eval(text).incomplete, text) end
    local answer = eval "for for"
    assert.is_nil(answer.incomplete)
    assert.equal("invalid", answer.error.code)
    assert.equal(2, answer.status)
  end)

  it("says where an error is, and what was typed on the way", function()
    value "function f() error('deep') end\nfunction g() f() end"
    local err = eval("g() return 1").error
    assert.equal("repl:1: deep", err.message)
    assert.matches("repl:1: in .-'f'\n +repl:2: in .-'g'", err.trace)
  end)

  it("waits, prints, and lets nothing outlive a line", function()
    assert.equal('"done"', value "require('weir.task').sleep(0.01) return 'done'")
    value "print('a', 1)"
    assert.equal("a\t1\n", table.concat(printed))
    value "local t = require 'weir.task' t.spawn(function() t.sleep(0.01) late = true end)"
    assert.equal("true", value "late")
  end)

  it("is cancelled in an endless loop, and harms nothing else", function()
    local answer
    local other = 0
    local counting = native.spawn_root(function()
      while true do
        other = other + 1
        native.sleep(0.001)
      end
    end)
    local evaluation = native.spawn_root(function() answer = eval "while true do pcall(function() while true do end end) end" end)
    while other < 20 do native.sleep(0.001) end
    evaluation:cancel "interrupted"
    evaluation:join(20)
    counting:cancel "enough"
    counting:join()
    assert.is_true(answer == nil or answer.error.code == "cancelled")
    assert.equal("2", value "1 + 1")
  end)

  it("has runs at hand", function()
    assert.matches('^run r_%w+  loud  ', value "r = start('loud', { text = 'hi' }) return r")
    assert.equal('"HI?"', value "r:wait()")
    assert.equal('"HI?"', value "run():output()")
    assert.equal('{ text = "hi" }', value "run():input()")
    assert.equal('"HI?"', value "run():at('say').say")
    assert.matches("loud  finished", value "runs { pipeline = 'loud', limit = 1 }")
    value "run():show()"
    assert.matches("✓ say", table.concat(printed), 1, true)
    assert.equal('"AGAIN?"', value "run():retry { set = { text = 'again' } }:wait()")
    value "run():diff(runs{}[2])"
    assert.matches("AGAIN", table.concat(printed))
  end)

  it("tries one step again with the input that it had, or another one", function()
    value "start('loud', { text = 'hi' }):wait()"
    assert.equal('"HI?"', value "try('last', 'say')")
    assert.equal("shouting\thi\n", table.concat(printed))
    assert.equal('"YOU?"', value "try(run(), 'say', { input = { text = 'you' } })")
    assert.equal("1", value "#runs{}")
  end)

  it("tries with what reaches out refused, unless it is allowed", function()
    value "start('loud'):wait()"
    assert.equal("denied", eval("try('last', 'say', { input = { curl = true } })").error.code)
    assert.equal("0", value "try('last', 'say', { input = { curl = true }, effects = true })")
  end)

  it("says what of an agent only a run has", function()
    support.write(folder, "modules/agents/steps.lua",
      [[return { kind = "agent", name = "steps", api = 1, execute = function(ctx) return ctx:group "x" {} end }]])
    assert.equal("unavailable", eval("agents.steps {}").error.code)
    assert.matches("ctx:group", eval("agents.steps {}").error.message)
  end)

  it("calls an agent by its name", function()
    assert.equal('"HEY!"', value "agents.shout { text = 'hey' }")
    assert.equal("not_found", eval("agents.nobody {}").error.code)
  end)

  it("decides, signals and follows to the end", function()
    value "r = start 'waits'"
    while not host.engine.live[session.environment.r.id] or next(host.engine.live[session.environment.r.id].waits) == nil do task.yield() end
    value "approvals()"
    local id = table.concat(printed):match "(a_%w+)"
    assert.equal('"zoe"', value("delegate('" .. id .. "', 'zoe', { by = 'ada' }).delegated[1].to"))
    value("approve('" .. id .. "', { comment = 'fine' })")
    value "r:signal('paid', 7)"
    assert.equal("7", value "r:wait()")
    assert.equal("approve", require("weir.approval").get(host.store, id).given[1].decision)
    assert.equal("repl", require("weir.approval").get(host.store, id).given[1].via)
  end)

  it("shows streams between steps, and how far their readers are behind", function()
    support.write(folder, "modules/agents/pours.lua", [[return { kind = "agent", name = "pours", api = 1, execute = function(ctx)
      for n = 1, 100 do ctx:emit(n) end
    end }]])
    support.write(folder, "modules/agents/sips.lua", [[return { kind = "agent", name = "sips", api = 1, execute = function(ctx)
      for _ in ctx:items() do ctx:sleep(600) end
    end }]])
    support.write(folder, "pipelines/pour.lua", [[local weir = require "weir"
    return weir.pipeline "pour" { weir.group "both" { weir.step "from" { agent = "pours", stream = { buffer = 4 } },
      weir.step "to" { agent = "sips", from = "from" } } }]])
    value "chans()"
    assert.equal("no stream is open\n", table.concat(printed))
    value "r = start 'pour'"
    local id, text = session.environment.r.id, ""
    for _ = 1, 1000 do
      task.sleep(0.002)
      value "chans()"
      text = table.concat(printed)
      if text:find "4 of 4" then break end
    end
    assert.matches(id .. " +from +%d+ +4 of 4", text)
    value "r:cancel()"
  end)

  it("follows what a run does", function()
    value "r = start 'waits'"
    local following = native.spawn_root(function() return eval "r:tail()" end)
    while not host.watchers[session.environment.r.id] do task.yield() end
    host.engine:cancel(session.environment.r.id, "enough")
    following:join(20)
    assert.matches("cancelled", table.concat(printed))
    assert.is_nil(host.watchers[session.environment.r.id])
  end)

  it("cancels", function()
    value "r = start 'waits'"
    value "r:cancel 'enough'"
    assert.equal('"cancelled"', value "r:status()")
  end)

  it("explains what is at hand and functions of the library", function()
    value "?"
    assert.matches("runs(query)", table.concat(printed), 1, true)
    assert.is_nil(table.concat(printed):find "audit")
    value "?approve"
    assert.matches("^approve%(id, options%)\nApproves what waits", table.concat(printed))
    value "?task.sleep"
    assert.matches("sleep(seconds)", table.concat(printed), 1, true)
    value "?duration.parse"
    assert.matches("parse(", table.concat(printed), 1, true)
    assert.matches("did you mean 'runs'?", eval("?rnus").error.message, 1, true)
  end)

  it("tells the source of a function that was typed", function()
    session.chunk = "f = function(a, b) if a then return b end end"
    local f = assert(load(session.chunk .. " return f", "=repl", "t", {}))()
    assert.equal("function(a, b) if a then return b end end", session:source_of(f))
    session.chunk = "patch('x', 'y', function(ctx, input)\n  return { function() end }\nend)"
    local g
    assert(load(session.chunk, "=repl", "t", { patch = function(_, _, body) g = body end }))()
    assert.equal("function(ctx, input)\n  return { function() end }\nend", session:source_of(g))
    session.chunk = "a, b = function() return 1 end, function() return 2 end"
    local env = {}
    load(session.chunk, "=repl", "t", env)()
    local source, why = session:source_of(env.a)
    assert.is_nil(source)
    assert.matches("several functions", why)
    assert.is_nil((session:source_of(print)))
  end)

  it("lets those look who may not change", function()
    host:stop "again"
    open(false)
    for _, text in ipairs { "start 'loud'", "reload()", "rollback 'agents/shout'", "approve 'a_1'", "patch('a', 'b', print)",
      "run('x')", "try('last', 'say', { effects = true })" } do
      local err = eval(text).error
      assert.is_truthy(err.code == "denied" or text == "run('x')" and err.code == "invalid", text)
    end
    assert.equal("nil", value "host")
    assert.matches("cannot be required", eval("require 'weir'").error.message)
    assert.equal("{}", value "runs{}")
    assert.equal('"HEY!"', value "agents.shout { text = 'hey' }")
    assert.equal("denied", eval("agents.shout { curl = true }").error.code)
    assert.equal("nil", value "io")
    assert.equal("nil", value "debug")
    assert.equal("nil", value "os.execute")
  end)

  describe("completes", function()
    local function complete(text, cursor)
      local from, candidates = session:complete(text, cursor)
      return candidates, from
    end

    it("globals, keywords and fields", function()
      assert.same({ "run", "runs" }, complete "ru")
      assert.same({ "until", "utf8" }, complete "u")
      assert.same({ "find", "format" }, complete "string.f")
      local candidates, from = complete("x = string.le + 1", 13)
      assert.same({ "len" }, candidates)
      assert.equal(11, from)
    end)

    it("methods, run ids, modules, agents and pipelines", function()
      value "start('loud'):wait()"
      value "r = run()"
      assert.same({ "show", "signal", "status" }, complete "r:s")
      assert.same({ "show", "signal", "status" }, complete "run('last'):s")
      local id = host.store:runs({})[1].id
      assert.same({ id }, complete("run('" .. id:sub(1, 6)))
      assert.same({ "agents/shout" }, complete 'patch("agents/sh')
      assert.same({ "loud" }, complete "start('lou")
      assert.same({ "shout" }, complete "agents.sh")
    end)

    it("nothing where nothing can be told, and never runs code", function()
      value "called = false x = setmetatable({ real = 1 }, { __index = function() called = true end, __pairs = function() called = true end })"
      assert.same({ "real" }, complete "x.")
      assert.same({}, complete "x.unreal.")
      assert.same({}, complete "f().")
      assert.same({}, complete "(1)")
      assert.equal("false", value "called")
    end)
  end)
end)
