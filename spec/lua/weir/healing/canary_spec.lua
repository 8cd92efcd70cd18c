local canary = require "weir.healing.canary"
local clock = require "weir.port.clock"
local gate = require "weir.gate"
local incident_of = require "weir.healing.incident"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local reload = require "weir.registry.reload"
local registry = require "spec.lua.weir.registry.support"
local revise = require "weir.registry.revise"

local FLOW = [[
local weir = require "weir"
return weir.pipeline "p" { input = { n = "integer" }, weir.step "work" { agent = "worker", input = { n = "$.input.n" }, optional = true } }
]]

-- A version of the agent that fails for one of so many numbers.
local function version(place, name, every)
  place:agent("worker", every and ([[if input.n %% %d == 0 then error "it broke" end return "%s"]]):format(every, name) or ([[return "%s"]]):format(name))
end

-- A project whose agent has served in version a, and whose file now is version b.
local function trial(every_a, every_b, options)
  local place = registry.place()
  place:write("pipelines/p.lua", FLOW)
  version(place, "a", every_a)
  local own = place:life()
  registry.run(own, "p", { n = 1 })
  version(place, "b", every_b)
  options = options or {}
  local one = canary.start(own, "agents/worker", { percent = options.percent or 30, options = options.options, by = "ada" })
  return place, own, one
end

local function eventually(holds)
  local deadline = clock.now() + 60
  while not holds() do
    assert(clock.now() < deadline, "it did not come to pass")
    native.sleep(0.01)
  end
end

local function serving(own) return own.project.registry:lookup("agent", "worker").version end

-- Runs until the trial ends, at most so many; gives which version each run had.
local function go(own, most)
  local had = {}
  for n = 1, most do
    local run = registry.run(own, "p", { n = n })
    had[n] = run.data.work
    if not canary.of(own.store, "agents/worker") then break end
  end
  return had
end

describe("a version on trial", function()
  it("takes its part of the runs that begin, always the same ones, and the old one serves the others", function()
    local place, own, one = trial(nil, nil, { options = { calls = 100000 } })
    assert.equal(one.old, serving(own))
    local b = 0
    for n = 1, 200 do
      local run = registry.run(own, "p", { n = n })
      assert.equal(canary.is_chosen("agents/worker", 30, run.id) and "b" or "a", run.output)
      b = b + (run.output == "b" and 1 or 0)
    end
    assert.is_true(b > 15 and b < 105, b) -- ids are random: 60 are expected, and further from it is one of 10^11
    assert.same({ { ok = b, failed = 0 }, { ok = 200 - b, failed = 0 } },
      { canary.counts(own.store, "agents/worker", one.new), canary.counts(own.store, "agents/worker", one.old) })
    place:close()
  end)

  it("gets very nearly the share of ids that it is to have", function()
    for _, percent in ipairs { 0.5, 10, 50, 100 } do
      local count = 0
      for n = 1, 20000 do
        if canary.is_chosen("agents/x", percent, ("r_%020d"):format(n)) then count = count + 1 end
      end
      assert.near(percent / 100, count / 20000, 0.012)
    end
  end)

  it("is promoted once it has had so many calls and is no worse, and then serves everybody", function()
    local place, own, one = trial(nil, nil, { options = { minimum = 5, calls = 40 }, percent = 50 })
    local had = go(own, 400)
    assert.is_nil(canary.of(own.store, "agents/worker"))
    local done = canary.list(own.store)[1]
    assert.same({ "promoted", 40 }, { done.state, done.counts.new.ok })
    local count = { a = 0, b = 0 }
    for _, name in ipairs(had) do count[name] = count[name] + 1 end
    assert.equal(40, count.b)
    assert.is_true(count.a > 0) -- each was drawn, but for one time of 10^12
    assert.equal(one.new, serving(own))
    assert.equal("b", registry.run(own, "p", { n = 1 }).output)
    assert.equal(one.new, serving(place:life())) -- and after a restart
    place:close()
  end)

  it("is rolled back when it fails significantly more often; that is an incident, and its file is not picked up again", function()
    local place, own, one = trial(20, 2, { options = { minimum = 10, calls = 1000 }, percent = 50 })
    go(own, 400)
    local done = canary.list(own.store)[1]
    assert.equal("rolled_back", done.state)
    assert.is_truthy(done.reason:find "p = ")
    local open = incident_of.open(own.store)
    assert.same({ 1, "version", "rollback", "agents/worker", one.new }, { #open, open[1].kind, open[1].remedy.name, open[1].agent, open[1].agent_version })
    for n = 1, 9, 2 do assert.equal("a", registry.run(own, "p", { n = n }).output) end
    local again = place:life()
    assert.equal(one.old, serving(again))
    for n = 1, 9, 2 do assert.equal("a", registry.run(again, "p", { n = n }).output) end
    place:close()
  end)

  it("does not begin when something else comes to serve meanwhile, which then serves on", function()
    local place = registry.place()
    place:write("pipelines/p.lua", FLOW)
    version(place, "a")
    local own = place:life()
    registry.run(own, "p", { n = 1 })
    local function reload_as(name)
      version(place, name)
      reload.changed(own.project.registry, { "modules/agents/worker.lua" })
    end
    reload_as "b"
    local modules = keeping.modules
    keeping.modules = function(...) -- luacheck: ignore 122
      keeping.modules = modules -- luacheck: ignore 122
      reload_as "c"
      return modules(...)
    end
    local ok, err = pcall(canary.start, own, "agents/worker", { percent = 30, by = "ada" })
    assert.same({ false, "conflict" }, { ok, err.code })
    assert.is_nil(canary.of(own.store, "agents/worker"))
    assert.equal("c", registry.run(own, "p", { n = 1 }).data.work)
    place:close()
  end)

  it("stays ended that ends while it is noted what its policy has looked at", function()
    local place, own = trial()
    local real, held, is_first = own.store, gate.new(), true
    own.store = setmetatable({ batch = function(_, operations)
      local results = table.pack(real:batch(operations))
      if is_first then
        is_first = false
        held:wait "the spec" -- who goes on first after a commit is not said
      end
      return table.unpack(results, 1, results.n)
    end }, { __index = function(_, name) return function(_, ...) return real[name](real, ...) end end })
    local policy = canary.policy
    canary.policy = function() return function() return { looked = 7 } end end -- luacheck: ignore 122
    local judging = native.spawn(canary.judge, own, "agents/worker")
    while is_first do native.yield() end
    canary.policy = policy -- luacheck: ignore 122
    canary.finish(own, "agents/worker", "stopped", { by = "ada" })
    held:open()
    assert(judging:join())
    assert.is_nil(canary.of(own.store, "agents/worker"))
    own.store = real
    place:close()
  end)

  it("ends once, whoever says so at the same time", function()
    local place, own = trial()
    local ends = {}
    for n = 1, 3 do
      ends[n] = native.spawn(function()
        local ok, err = pcall(canary.finish, own, "agents/worker", "rolled_back", { by = "ada" })
        return ok or err.code
      end)
    end
    local said = {}
    for n, one in ipairs(ends) do said[n] = select(2, one:join()) end
    table.sort(said, function(a, b) return tostring(a) < tostring(b) end)
    assert.same({ "conflict", "conflict", true }, said)
    assert.equal(1, #incident_of.open(own.store))
    place:close()
  end)

  it("counts its calls in two numbers for each version, takes them along when it ends, and counts none that come later", function()
    local place, own, one = trial(nil, nil, { options = { calls = 1000000 }, percent = 50 })
    for n = 1, 20 do registry.run(own, "p", { n = n }) end
    local old, new = canary.counts(own.store, "agents/worker", one.old), canary.counts(own.store, "agents/worker", one.new)
    assert.equal(20, old.ok + old.failed + new.ok + new.failed)
    assert.is_true(#own.store:scan "canary.calls" <= 4)
    local definition = assert(own.project:load(own.project:pipeline_file "p"))
    local late = own:prepare(definition, { n = 1 })
    local done = canary.finish(own, "agents/worker", "stopped", { by = "ada" })
    assert.same({ old = old, new = new }, done.counts)
    assert.same({}, own.store:scan "canary.calls")
    assert.equal("finished", late:execute().status)
    assert.same({}, own.store:scan "canary.calls")
    place:close()
  end)

  it("goes on after a restart with what was counted, and ends with runs that another process finished", function()
    local place, own = trial(nil, nil, { options = { minimum = 5, calls = 20 }, percent = 50 })
    for n = 1, 10 do registry.run(own, "p", { n = n }) end
    local counted = canary.counts(own.store, "agents/worker", canary.of(own.store, "agents/worker").new).ok
    own = place:life()
    assert.equal(counted, canary.counts(own.store, "agents/worker", canary.of(own.store, "agents/worker").new).ok)
    go(own, 200)
    assert.equal("promoted", canary.list(own.store)[1].state)
    place:close()
  end)

  it("can be a pipeline", function()
    local place = registry.place()
    local function write(text)
      place:write("pipelines/q.lua", ([[local weir = require "weir"
return weir.pipeline "q" { weir.step "say" { agent = "echo", input = { text = "%s" } } }]]):format(text))
    end
    write "a"
    local own = place:life()
    registry.run(own, "q")
    write "b"
    canary.start(own, "pipelines/q", { percent = 50, options = { minimum = 5, calls = 40 } })
    local had = { a = 0, b = 0 }
    for _ = 1, 400 do
      local text = registry.run(own, "q").output.text
      had[text] = had[text] + 1
      if not canary.of(own.store, "pipelines/q") then break end
    end
    assert.is_true(had.a > 0)
    assert.equal(40, had.b)
    assert.same({ "promoted", "b" }, { canary.list(own.store)[1].state, registry.run(own, "q").output.text })
    place:close()
  end)

  it("is had by flows too, at the first use of a module", function()
    local place, own, one = trial(nil, nil, { percent = 100, options = { calls = 1000 } })
    place:write("pipelines/f.lua", [[local weir = require "weir"
return weir.flow "f" { function(run) return run:step "work" { agent = "worker", input = { n = 1 } } end }]])
    assert.equal("b", registry.run(own, "f").output)
    assert.equal(1, canary.counts(own.store, "agents/worker", one.new).ok)
    place:close()
  end)

  it("can be ended by a person, and is refused twice at once, without a version before, and with a share that is none", function()
    local place, own = trial()
    local function refused(code, name, options)
      local ok, err = pcall(canary.start, own, name, options)
      assert.same({ false, code }, { ok, err.code })
    end
    refused("conflict", "agents/worker", { percent = 10 })
    canary.finish(own, "agents/worker", "promoted", { by = "ada" })
    assert.equal("b", registry.run(own, "p", { n = 1 }).output)
    refused("invalid", "agents/worker", { percent = 0 })
    refused("invalid", "agents/worker", { percent = 101 })
    refused("not_found", "agents/echo", { percent = 10 })
    refused("invalid", "agents/worker", { percent = 10, policy = "fifo" })
    local ok, err = pcall(canary.finish, own, "agents/worker", "promoted")
    assert.same({ false, "not_found" }, { ok, err.code })
    place:close()
  end)

  it("counts a call once, also when the process ended between the call and the end of the run", function()
    local place, own, one = trial(nil, nil, { percent = 100, options = { calls = 1000 } })
    place:write("pipelines/w.lua", [[local weir = require "weir"
return weir.pipeline "w" { weir.step "work" { agent = "worker", input = { n = 1 } }, weir.step "wait" { wait = { signal = "go" } } }]])
    local run = registry.run(own, "w")
    assert.equal("waiting", run.status)
    own = place:life()
    require("weir.run.waking").signal(own, run.id, "go", true)
    require("weir.run.recovery").all(own)
    assert.equal("finished", own.store:row(run.id).status)
    assert.same({ ok = 1, failed = 0 }, canary.counts(own.store, "agents/worker", one.new))
    place:close()
  end)

  it("has the runs that are at work with it paused when it is rolled back", function()
    local place, own = trial(nil, nil, { percent = 100, options = { calls = 1000 } })
    place:write("pipelines/s.lua", [[local weir = require "weir"
return weir.flow "s" { function(run) run:step "work" { agent = "worker", input = { n = 1 } } run:sleep(30) return 1 end }]])
    local definition = own.project:pipeline "s"
    local run = own:start(definition, {})
    eventually(function() return run.data and run.calls end)
    canary.finish(own, "agents/worker", "rolled_back", { by = "ada" })
    eventually(function() return own.store:row(run.id).is_paused == true end)
    revise.resolve(own.project.registry, "worker")
    place:close()
  end)

  it("tells of a run that could not be paused then", function()
    local waking, told = require "weir.run.waking", nil
    local place, own = trial(nil, nil, { percent = 100, options = { calls = 1000 } })
    place:write("pipelines/s.lua", [[local weir = require "weir"
return weir.flow "s" { function(run) run:step "work" { agent = "worker", input = { n = 1 } } run:sleep(30) return 1 end }]])
    local run = own:start(own.project:pipeline "s", {})
    eventually(function() return run.data and run.calls end)
    own.log = { error = function(_, message, fields) told = { message, fields.run, fields.error } end }
    local pause = waking.pause
    waking.pause = function() require("weir.failure").raise("full", "the disk is full") end
    local _ <close> = setmetatable({}, { __close = function() waking.pause = pause end })
    canary.finish(own, "agents/worker", "rolled_back", { by = "ada" })
    eventually(function() return told end)
    assert.same({ "a run with a version that was rolled back could not be paused", run.id, "the disk is full" }, told)
    run:cancel "the spec is over"
    run:wait()
    place:close()
  end)
end)
