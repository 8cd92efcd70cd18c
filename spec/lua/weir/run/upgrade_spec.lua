local native = require "weir.native.scheduler"
local recovery = require "weir.run.recovery"
local reload = require "weir.registry.reload"
local support = dofile "spec/lua/weir/registry/support.lua"
local task = require "weir.task"
local upgrade = require "weir.run.upgrade"

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "talk" { upgrade = "%s",
  weir.step "first" { agent = "slow" },
  weir.group "both" { weir.step "quick" { agent = "talk" }, weir.step "long" { agent = "slow" } },
  weir.step "last" { agent = "talk", critic = { use = "calm" } },
  output = weir.list { "$.first", "$.quick", "$.long", "$.last" },
}
]]
local FLOW = [[
local weir = require "weir"
return weir.flow "talk" { upgrade = "%s", function(flow)
  local said = { flow:step "zero" { agent = "talk" } }
  said[1] = flow:step "first" { agent = "slow" }
  local both = flow:group "both" { weir.step "quick" { agent = "talk" }, weir.step "long" { agent = "slow" } }
  said[2], said[3] = both.quick, both.long
  said[4] = flow:step "last" { agent = "talk" }
  return said
end }
]]

describe("a run in flight whose modules are reloaded", function()
  local place, own
  before_each(function()
    place = support.place()
    native.use_virtual_clock()
  end)
  after_each(function()
    native.use_real_clock()
    place:close()
  end)

  -- Each agent says which version began its step; the slow one also which ended it.
  local function save(version)
    place:agent("talk", ("return '%s'"):format(version))
    place:agent("slow", ("local began = ctx.options.word ctx:sleep(10) return began .. ctx.options.word .. '%s'"):format(version), "",
      ("options = { word = 'string = %s' }"):format(version))
    place:write("modules/critics/calm.lua", [[return { kind = "critic", name = "calm", api = 1, review = function() return { verdict = "approve" } end }]])
    local changed = { place.folder .. "/modules/agents/talk.lua", place.folder .. "/modules/agents/slow.lua" }
    if own then assert.equal(2, #reload.changed(own.project.registry, changed).reloaded) end
  end

  local function begin(text, how)
    own = nil
    save "1"
    place:write("pipelines/talk.lua", text:format(how))
    own = place:life({ patience = 100 })
    return own:start(assert(own.project:pipeline "talk"), {})
  end

  for name, text in pairs { ["a pipeline"] = PIPELINE, ["a flow"] = FLOW } do
    it("ends on the versions that it began with, unless its pipeline says something else: " .. name, function()
      local run = begin(text, "pin")
      task.sleep(5)
      save "2"
      assert.same({ "111", "1", "111", "1" }, run:wait().output)
    end)

    it("takes the new ones from its next step on, and no step takes half: " .. name, function()
      local run = begin(text, "next_step")
      task.sleep(5)
      save "2"
      task.sleep(10) -- both/long is under way
      save "3"
      assert.same({ "111", "2", "222", "3" }, run:wait().output)
      assert.is_nil(run.superseded)
    end)
  end

  it("takes the new ones also when the step that would have been the first with them is cancelled while that is kept", function()
    local run = begin(PIPELINE, "next_step")
    task.sleep(5)
    save "2"
    local cancelled = task.spawn(function() upgrade.held_for(run, "cancelled") end)
    local beside = task.spawn(function()
      upgrade.held_for(run, "beside")
      task.sleep(100)
    end)
    task.yield()
    assert.is_table(run.switching) -- it waits for the disk, and who is beside it for that
    cancelled:cancel "it is not needed"
    cancelled:join()
    assert.same({ "111", "2", "222", "2" }, run:wait().output)
    beside:cancel "it is over"
    beside:join()
  end)

  it("goes on with the same versions in another life: each step with those that it began with", function()
    local run = begin(PIPELINE, "next_step")
    task.sleep(5)
    save "2"
    task.sleep(10)
    save "3"
    run:crash()
    run:await_left()
    own = place:life({ patience = 100 })
    local again = recovery.go_on(own, run.id)
    assert.same({ "111", "2", "222", "3" }, again.output)
  end)

  it("that is killed inside of a step that began before a switch ends that step as it began", function()
    own = nil
    save "1"
    place:write("pipelines/talk.lua", [[
local weir = require "weir"
return weir.pipeline "talk" { upgrade = "next_step",
  weir.group "both" {
    weir.step "long" { agent = "slow" },
    weir.step "others" { groups = { weir.step "nap" { sleep = 2 }, weir.step "quick" { agent = "talk" } }, output = "$.quick" },
  },
  output = weir.list { "$.long", "$.others" },
}
]])
    own = place:life({ patience = 100 })
    local run = own:start(assert(own.project:pipeline "talk"), {})
    task.sleep(1)
    save "2"
    task.sleep(3) -- quick has begun with 2, long goes on with 1
    run:crash()
    run:await_left()
    own = place:life({ patience = 100 })
    assert.same({ "111", "2" }, recovery.go_on(own, run.id).output)
  end)

  it("begins again on what serves now, with its input and after what it undoes, where its pipeline says so", function()
    own = nil
    save "1"
    place:agent("take_back", "ctx.workspace:post('undone', input, { scope = 'project' }) return true")
    local text = [[
local weir = require "weir"
return weir.pipeline "%s" { upgrade = "%s", input = { word = "string" },
  weir.step "talk" { agent = "talk", undo = { agent = "take_back", input = "$.input.word" } },
  weir.approval "ask" {},
  output = weir.list { "$.talk", "$.input.word" },
}
]]
    place:write("pipelines/talk.lua", text:format("talk", "restart"))
    place:write("pipelines/calm.lua", text:format("calm", "pin"))
    own = place:life()
    local run, calm = support.run(own, "talk", { word = "ebb" }), support.run(own, "calm", { word = "flow" })
    assert.same({}, upgrade.restart_all(own, error)) -- nothing has changed
    save "2"
    local begun = {}
    local done = upgrade.restart_all(own, function(id) begun[#begun + 1] = own:reopen(id):execute() end)
    assert.same({ { from = run.id, to = begun[1].id } }, done)
    assert.equal("cancelled", own.store:row(run.id).status)
    assert.equal(run.id, own.store:row(begun[1].id).of)
    assert.equal("waiting", begun[1].status)
    assert.equal("waiting", own.store:row(calm.id).status)
    local asked = assert(require("weir.approval").pending(own.store, { run = begun[1].id }))
    assert(require("weir.run.waking").decide(own, asked[1].id, { decision = "approve", by = "ada" }))
    assert.same({ "2", "ebb" }, recovery.go_on(own, begun[1].id).output)
    assert.same({}, upgrade.restart_all(own, error))
  end)

  it("begins again once, however many look for it at the same time", function()
    own = nil
    save "1"
    place:write("pipelines/talk.lua", [[
local weir = require "weir"
return weir.pipeline "talk" { upgrade = "restart", weir.step "talk" { agent = "talk" }, weir.approval "ask" {} }
]])
    own = place:life()
    local run = support.run(own, "talk")
    assert.equal("waiting", run.status)
    save "2"
    local looks, begun = {}, 0
    for n = 1, 3 do looks[n] = native.spawn(upgrade.restart_all, own, function() begun = begun + 1 end) end
    for _, look in ipairs(looks) do assert(look:join()) end
    assert.same({ 1, 2 }, { begun, #own.store:runs {} })
  end)

  it("begins again after each reload where a host follows them", function()
    own = nil
    save "1"
    place:write("pipelines/talk.lua", [[
local weir = require "weir"
return weir.pipeline "talk" { upgrade = "restart", weir.step "talk" { agent = "talk" }, weir.approval "ask" {} }
]])
    own = place:life()
    local latest = support.run(own, "talk").id
    local ok, err = task.within({}, function(scope)
      local waiter = native.waiter()
      local stop = upgrade.follow(own, { scope = scope, go_on = function(id) own:reopen(id):execute() end,
        on_done = function(done) waiter:wake(done) end })
      for version = 2, 4 do
        save(tostring(version))
        local done = waiter:wait "a restart"
        assert(not done[1].err, done[1].err and done[1].err.message)
        assert.equal(1, #done)
        assert.equal(latest, done[1].from)
        latest, waiter = done[1].to, native.waiter()
        assert.equal("waiting", own.store:row(latest).status)
      end
      stop()
    end)
    assert(ok, err and err.message)
    assert.same({ reloaded = 3, failed = 0 }, own.project.registry.counts["agents/talk"])
  end)

  it("begins again after later reloads also when one run could not go on, or the store could not be read", function()
    own = nil
    save "1"
    place:write("pipelines/talk.lua", [[
local weir = require "weir"
return weir.pipeline "talk" { upgrade = "restart", weir.step "talk" { agent = "talk" }, weir.approval "ask" {} }
]])
    own = place:life()
    for _ = 1, 2 do support.run(own, "talk") end
    local ok, err = task.within({}, function(scope)
      local waiter, is_stuck = native.waiter(), true
      local function after(version)
        waiter = native.waiter()
        save(version)
        return waiter:wait "a restart"
      end
      local stop = upgrade.follow(own, { scope = scope, on_done = function(done) waiter:wake(done) end,
        on_failed = function(failed) waiter:wake(failed) end,
        go_on = function(id)
          if is_stuck then require("weir.failure").raise("full", "the disk is full") end
          own:reopen(id):execute()
        end })
      local done = after "2"
      assert.same({ 2, "full", "full" }, { #done, done[1].err.code, done[2].err.code })
      assert.is_string(done[1].to)
      is_stuck = false
      for _, one in ipairs(done) do own:reopen(one.to):execute() end
      local runs = own.store.runs
      getmetatable(own.store).__index.runs = function() return nil, "it cannot be read", "unavailable" end
      local failed = after "3"
      getmetatable(own.store).__index.runs = runs
      assert.equal("unavailable", failed.code)
      done = after "4"
      assert.same({ 2, nil, nil }, { #done, done[1].err, done[2].err })
      stop()
    end)
    assert(ok, err and err.message)
  end)

  it("is lost at any write, and no step has half of two versions", function()
    local worlds = dofile "spec/lua/weir/run/support.lua"
    native.use_real_clock()
    local function save_words(version)
      place:agent("slow", "local began = words.version ctx:sleep(2) return began .. words.version .. ctx.attempt",
        "local words = require 'lib.words'")
      place:write("lib/words.lua", ("return { version = '%d' }"):format(version))
    end
    save_words(1)
    place:write("pipelines/talk.lua", [[
local weir = require "weir"
return weir.pipeline "talk" { upgrade = "next_step",
  weir.step "first" { agent = "slow" },
  weir.group "both" { weir.step "one" { agent = "slow" }, weir.step "two" { agent = "slow" } },
  weir.step "nap" { sleep = 3 },
  weir.step "last" { agent = "slow" },
  output = weir.list { "$.first", "$.one", "$.two", "$.last" },
}
]])
    local outputs, cuts = {}, 0
    for writes = 1, 60 do
      save_words(1)
      local world = worlds.world({}, { project = place:open() })
      local version, is_over = 1, false
      local reloads = native.spawn_root(function()
        while not is_over do
          task.sleep(1.5)
          version = version + 1
          save_words(version)
          reload.changed(world.here.registry, { place.folder .. "/lib/words.lua" })
        end
      end)
      world:life(writes)
      local run = world:begin(assert(world.here:pipeline "talk"))
      local is_cut = world.mortal.is_over
      world:life()
      local id = run and run.id or (world.store:runs { limit = 1 })[1] and (world.store:runs { limit = 1 })[1].id
      if id then
        world:settle(id)
        local ending = world:ending(id)
        assert.equal("finished", ending.status, tostring(ending.value and ending.value.message))
        for _, said in ipairs(ending.value) do
          local digits = said:sub(1, -2) -- without the attempt
          assert.equal(digits:sub(1, #digits // 2), digits:sub(#digits // 2 + 1))
          outputs[said] = true
        end
      end
      is_over = true
      reloads:join()
      world:close()
      native.use_real_clock()
      if not is_cut then break end
      cuts = cuts + 1
    end
    assert.is_true(cuts > 5, cuts)
    local different = 0
    for _ in pairs(outputs) do different = different + 1 end
    assert.is_true(different > 3, different)
  end)
end)
