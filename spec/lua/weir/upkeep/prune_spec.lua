local clock = require "weir.port.clock"
local native = require "weir.native.scheduler"
local store_port = require "weir.port.store"
local support = dofile "spec/lua/weir/upkeep/support.lua"
local task = require "weir.task"
local upkeep = require "weir.upkeep"
local waking = require "weir.run.waking"
local weir = require "weir"
local workspace = require "weir.workspace"

local P, S = weir.pipeline, weir.step

describe("pruning", function()
  local store
  before_each(function()
    native.use_virtual_clock(1)
    store = assert(store_port.open ":memory:")
  end)
  after_each(function()
    store:close()
    native.use_real_clock()
  end)

  local function ids()
    local list = {}
    for index, found in ipairs(store:runs { limit = 1000 }) do list[index] = found.id end
    return list
  end

  local function must_be_sound()
    assert.same({}, (select(2, store:verify())))
  end

  it("removes nothing unless somebody says how long runs are kept", function()
    local own = support.engine(store)
    support.run(own, "plain", { text = "x" })
    clock.sleep(1e6)
    assert.equal(0, upkeep.prune(own).runs)
    assert.equal(1, #ids())
  end)

  it("goes by the definition that the run pinned, then by what is asked, then by the settings", function()
    local own = support.engine(store, { retention = "2d" })
    local short = support.run_of(own, P "short" { retention = "1h", S "a" { agent = "echo", input = { n = 1 } } })
    local long = support.run_of(own, P "long" { retention = "30d", S "a" { agent = "echo", input = { n = 1 } } })
    local usual = support.run(own, "plain", { text = "x" })
    clock.sleep(3601)
    assert.same({ short = 1 }, upkeep.prune(own).by_pipeline)
    assert.is_nil((store:row(short.id)))
    assert.is_not_nil((store:row(usual.id)))
    assert.same({ plain = 1 }, upkeep.prune(own, { older = "30m" }).by_pipeline)
    assert.same({ long.id }, ids())
    local another = support.run(own, "plain", { text = "x" })
    clock.sleep(2 * 86400)
    assert.same({ plain = 1 }, upkeep.prune(own).by_pipeline)
    assert.is_nil((store:row(another.id)))
    assert.is_not_nil((store:row(long.id)))
    must_be_sound()
  end)

  it("leaves what has not ended, what is awaited, and so many of each pipeline", function()
    local own = support.engine(store)
    local waiting = support.run(own, "asks")
    assert.equal("waiting", waiting.status)
    local definition = own.project:check(support.pipelines.plain)
    local child = own:prepare(definition, { text = "x" }, { parent_id = waiting.id })
    child.parent_id = waiting.id
    local row = require("weir.run.keeping").row(child)
    row.parent = waiting.id
    child:execute()
    for _ = 1, 5 do support.run(own, "plain", { text = "x" }) end
    for _ = 1, 2 do support.run(own, "fails") end
    clock.sleep(10)
    local done = upkeep.prune(own, { older = 5, keep = 2 })
    assert.same({ plain = 3 }, done.by_pipeline)
    assert.is_not_nil((store:row(child.id)))
    assert.is_not_nil((store:row(waiting.id)))
    assert.equal(1 + 1 + 2 + 2, #ids())
    assert.same({ fails = 2 }, upkeep.prune(own, { older = 5, pipeline = "fails" }).by_pipeline)
  end)

  it("counts and removes nothing in a dry run", function()
    local own = support.engine(store)
    for _ = 1, 3 do support.run(own, "plain", { text = "x" }) end
    clock.sleep(10)
    local before = store:lsn()
    local would = upkeep.prune(own, { older = 1, dry_run = true })
    assert.equal(before, store:lsn())
    local done = upkeep.prune(own, { older = 1 })
    assert.same({ 3, would.entries, would.bytes }, { done.runs, done.entries, done.bytes })
    assert.is_true(done.entries >= 9 and done.bytes > 200)
  end)

  -- As in another process: what this one has put is not its own any more.
  local function forget()
    local kept = require("weir.run.keeping").kept_of(store)
    for _ = 1, 2 do kept:turn() end
  end

  it("lets go of what the same process has put two sweeps ago", function()
    local own = support.engine(store)
    support.run_of(own, P "once" { S "a" { agent = "echo", input = { n = 1 } } })
    clock.sleep(10)
    assert.same({ 1, 0 }, { upkeep.prune(own, { older = 5 }).runs, #store:scan "definitions" - 1 })
    assert.same({ 0, 1 }, { upkeep.prune(own, { older = 5 }).definitions, #store:scan "modules" })
    assert.same({ 1, 0 }, { upkeep.prune(own, { older = 5 }).definitions, #store:scan "modules" })
    assert.equal("finished", support.run_of(own, P "once" { S "a" { agent = "echo", input = { n = 1 } } }).status)
    assert.equal(1, #store:scan "definitions")
  end)

  it("removes definitions and modules that no run pins, and puts them back for the next run", function()
    local own = support.engine(store)
    for index = 1, 3 do support.run_of(own, P("once" .. index) { S "a" { agent = "echo", input = { n = index } } }) end
    clock.sleep(10)
    local later = support.engine(store) -- as after a start: only what it uses is its own
    forget()
    support.run(later, "plain", { text = "kept" })
    local done = upkeep.prune(later, { older = 5 })
    assert.same({ 3, 3, 0 }, { done.runs, done.definitions, done.modules })
    assert.equal(1, #store:scan "definitions")
    support.run_of(later, P "once1" { S "a" { agent = "echo", input = { n = 1 } } })
    assert.equal(2, #store:scan "definitions")
    forget()
    clock.sleep(10)
    assert.equal(1, upkeep.prune(later, { older = 5 }).modules)
    assert.same({ 0, 0 }, { #store:scan "definitions", #store:scan "modules" })
    assert.equal("finished", support.run(support.engine(store), "plain", { text = "again" }).status)
    assert.same({ 1, 1 }, { #store:scan "definitions", #store:scan "modules" })
  end)

  it("keeps what a waiting flow has chosen on its way, and what a child pipeline uses", function()
    local own = support.engine(store)
    local flow = assert(own.project:load("wandering.lua", [[
      local weir = require "weir"
      return weir.flow "wandering" { function(run, input)
        local words = run:step "words" { agent = "keywords", input = { text = "ebb and flow of the tide" } }
        run:step "nap" { sleep = "1h" }
        return run:step "again" { agent = "keywords", input = { text = "the tide, the tide" } }
      end }
    ]]))
    local waiting = own:run(flow, {})
    local family = support.run_of(own, P "family" { S "child" { pipeline = "hello", input = { name = "Ada" } }, S "nap" { sleep = "1h" } })
    for _ = 1, 3 do support.run_of(own, P "other" { S "a" { agent = "combine", input = { texts = { "a", "b" } } } }) end
    assert.same({ "waiting", "waiting" }, { waiting.status, family.status })
    clock.sleep(10)
    forget()
    local before = {}
    for _, found in ipairs(store:scan "modules") do before[#before + 1] = found.key:match "^(.-)@" end
    local done = upkeep.prune(support.engine(store), { older = 5 })
    assert.same({ 3, 1 }, { done.runs, done.modules })
    local left = {}
    for _, found in ipairs(store:scan "modules") do left[#left + 1] = found.key:match "^(.-)@" end
    assert.same({ "agents/combine", "agents/echo", "agents/keywords" }, before)
    assert.same({ "agents/echo", "agents/keywords" }, left)
    assert.equal(3, #store:scan "definitions") -- flow, parent, child
    clock.sleep(3600)
    local later = support.engine(store)
    for _, id in ipairs { waiting.id, family.id } do
      assert.equal("finished", require("weir.run.recovery").open(later, id):execute().status)
    end
  end)

  it("does not take a definition from a run that begins meanwhile", function()
    local own = support.engine(store)
    support.run(own, "plain", { text = "x" })
    clock.sleep(10)
    local kept = require("weir.run.keeping").kept_of(store)
    forget()
    local begun
    task.within({}, function()
      task.spawn(function() upkeep.prune(own, { older = 5, pause = 0 }) end)
      for _ = 1, 200 do
        if next(kept.is_leaving) then break end
        task.yield()
      end
      assert.is_not_nil(next(kept.is_leaving)) -- being removed at this moment
      begun = support.run(support.engine(store), "plain", { text = "y" })
    end)
    assert.equal("finished", begun.status)
    assert.is_not_nil((store:get("definitions", begun.plan.version)))
    assert.equal(1, #store:scan "modules")
  end)

  it("forgets documents of pipelines whose time has run out, and blobs to which nobody refers", function()
    local own = support.engine(store)
    support.run(own, "notes")
    support.run(own, "large", { text = ("x"):rep(5000) })
    assert.equal(1, #store:scan("workspace.heads", { prefix = "pipeline:notes\0" }))
    clock.sleep(10)
    local done = upkeep.prune(own, { older = 5, young = 0 })
    assert.same({ 2, 1 }, { done.runs, done.documents })
    assert.is_true(done.blobs >= 1 and done.blob_bytes > 5000)
    for _, space in ipairs { "heads", "versions", "terms", "postings", "closed", "expiry", "overlays" } do
      assert.same({}, store:scan("workspace." .. space), space)
    end
    must_be_sound()
  end)

  it("removes what maps remembered and what models answered once nobody may use it any more, however many there are", function()
    local memo, answers = require "weir.run.map.memo", require "weir.model.cache"
    local operations, now_ms = {}, clock.wall_ms()
    for number = 1, 250 do
      local seconds = number % 2 == 0 and 10 or 1000
      for _, space in ipairs { memo.SPACE, answers.SPACE } do
        operations[#operations + 1] = { op = "put", space = space, key = ("%03d"):format(number),
          value = { at_ms = now_ms, until_ms = now_ms + seconds * 1000, value = number } }
      end
    end
    assert(store:batch(operations))
    answers.put(store, "asked", { message = "even" }, 5)
    local own = support.engine(store)
    support.run(own, "plain", { text = "x" })
    clock.sleep(11)
    assert.same({}, upkeep.prune(own, { older = 5 }).left)
    assert.equal(125, #store:scan(memo.SPACE, { limit = 1000 }))
    assert.equal(125, #store:scan(answers.SPACE, { limit = 1000 }))
    clock.sleep(1000)
    support.run(own, "plain", { text = "x" })
    clock.sleep(11)
    upkeep.prune(own, { older = 5 })
    assert.same({}, store:scan(memo.SPACE))
    assert.same({}, store:scan(answers.SPACE))
  end)

  it("keeps the documents that a waiting run may read again", function()
    local own = support.engine(store)
    own.project.registry:put { kind = "agent", name = "look", api = 1, options = { type = "object" },
      execute = function(ctx) return { seen = ctx.workspace:get("plan", { scope = "project" }) ~= nil } end }
    local view = workspace.view(store, {})
    view:post("plan", "to be read", { scope = "project" })
    workspace.commit(view)
    local run = support.run_of(own, P "reader" {
      weir.group "g" { S "first" { agent = "look" }, S "wait" { sleep = "1h" }, S "again" { agent = "look", retry = { attempts = 1 } } } })
    assert.equal("waiting", run.status)
    view = workspace.view(store, {})
    view:delete("plan", { scope = "project" })
    workspace.commit(view)
    upkeep.prune(own, { older = 5 })
    assert.equal(2, #store:scan "workspace.versions")
    clock.sleep(3601)
    assert.equal("finished", require("weir.run.recovery").open(own, run.id):execute().status)
    clock.sleep(10)
    upkeep.prune(own, { older = 5 })
    assert.equal(0, #store:scan "workspace.versions")
  end)

  it("forgets documents also while runs are at work, but for those that one of them may read", function()
    local own = support.engine(store)
    own.project.registry:put { kind = "agent", name = "slow", api = 1, options = { type = "object" }, execute = function(ctx)
      ctx:sleep(100)
      return { seen = ctx.workspace:get("plan", { scope = "project" }) ~= nil }
    end }
    local definition = assert(own.project:check(P "slow" { weir.group "g" { S "look" { agent = "slow" }, S "other" { agent = "echo", input = 1 } },
      output = "$.look.seen" }))
    local function begin()
      local run = own:prepare(definition, {})
      native.spawn_root(function() run:execute() end)
      clock.sleep(1)
      return run
    end
    local function write(what)
      local view = workspace.view(store, {})
      what(view)
      workspace.commit(view)
    end
    write(function(view) view:post("plan", "to be read", { scope = "project" }) end)
    local before = begin()
    write(function(view) view:delete("plan", { scope = "project" }) end)
    upkeep.prune(own, { older = 5 })
    assert.equal(2, #store:scan "workspace.versions")
    local after = begin()
    before:wait()
    assert.is_true(before.output)
    assert.is_nil(after.ended_ms)
    upkeep.prune(own, { older = 5 })
    assert.equal(0, #store:scan "workspace.versions")
    after:wait()
    assert.is_false(after.output)
  end)

  it("keeps so many versions of a document as the settings say, and all without them", function()
    local view = workspace.view(store, {})
    for n = 1, 250 do
      view:post("count", n, { scope = "project" })
      workspace.commit(view)
    end
    upkeep.prune(support.engine(store))
    assert.equal(250, #store:scan("workspace.versions", { limit = 1000 }))
    upkeep.prune(support.engine(store, { versions = 3 }))
    assert.equal(3, #store:scan("workspace.versions", { limit = 1000 }))
    assert.equal(250, view:get("count", { scope = "project" }).value)
    must_be_sound()
  end)

  it("stops when it is told to, and the next one goes on", function()
    local own = support.engine(store)
    for _ = 1, 20 do support.run(own, "notes") end
    clock.sleep(10)
    local asked, told = 0, 0
    local first = upkeep.prune(own, { older = 5, on_run = function() told = told + 1 end, is_stopping = function()
      asked = asked + 1
      return asked > 7
    end })
    assert.equal(first.runs, told)
    assert.is_true(first.stopped and first.runs > 0 and first.runs < 20, first.runs)
    must_be_sound()
    assert.equal(20 - first.runs, upkeep.prune(own, { older = 5 }).runs)
    assert.same({}, ids())
  end)

  it("leaves no half of a run when it is cancelled at any wait", function()
    local own = support.engine(store)
    for moment = 1, 12 do
      for _ = 1, 3 do support.run(own, "notes") end
      clock.sleep(10)
      local waits = 0
      local scope = native.open_scope {}
      task.spawn(function() upkeep.prune(own, { older = 5 }) end)
      for _ = 1, moment do
        waits = waits + 1
        task.yield()
      end
      scope:cancel "cut short"
      scope:join()
      scope:close()
      must_be_sound()
      for _, id in ipairs(ids()) do assert.is_table((store:load(id))) end
    end
    upkeep.prune(own, { older = 5 })
    assert.same({ "workspace/pipeline:notes" }, store:journals())
  end)

  -- A random world; what is pruned is nowhere, what is kept is as it was.
  it("leaves nothing of what goes, and everything of what stays, whatever ran before", function()
    local kinds = { "plain", "large", "fails", "asks", "hears", "notes", "sleeps" }
    local state = 42
    local function draw(n)
      state = state * 6364136223846793005 + 1442695040888963407
      return (state >> 33) % n + 1
    end
    for round = 1, 4 do
      local own = support.engine(store)
      for _ = 1, 25 do
        local run = support.run(own, kinds[draw(#kinds)], { text = ("word "):rep(draw(800)) })
        if run.status == "waiting" and draw(3) > 1 then
          local wait = next(run.waits) and run.waits[next(run.waits)]
          if wait.kind == "approval" then
            waking.decide(own, wait.id, { decision = "approve", by = "ada" })
          elseif wait.kind == "signal" then
            waking.signal(own, run.id, "word", "hm")
            waking.signal(own, run.id, "other", "never received")
          end
          if wait.kind ~= "sleep" then
            run = require("weir.run.recovery").open(own, run.id):execute()
            assert.equal("finished", run.status)
          end
        end
        clock.sleep(draw(100))
      end
      local before = {}
      for _, id in ipairs(ids()) do before[id] = support.shown(store, id) end
      local done = upkeep.prune(own, { older = draw(1500), keep = draw(3) - 1, young = 0 })
      must_be_sound()
      assert.same({}, done.damaged)
      assert.same({}, done.left)
      local all, gone = support.everything(store), 0
      for id, shown in pairs(before) do
        if store:row(id) then
          assert.equal(shown, support.shown(store, id))
        else
          gone = gone + 1
          assert.is_nil(all:find(id, 1, true), id)
        end
      end
      assert.equal(done.runs, gone)
      assert.is_true(round > 1 or gone > 0)
    end
    local own = support.engine(store)
    for _, id in ipairs(ids()) do
      local row = store:row(id)
      if row.status == "waiting" then
        local run = own:cancel(id, "over")
        assert.equal("cancelled", run.status)
      end
    end
    clock.sleep(10)
    upkeep.prune(own, { older = 1, young = 0 })
    assert.same({}, ids())
    for _, space in ipairs { "approvals", "decisions", "signals", "timers", "workspace.heads", "workspace.versions" } do
      assert.same({}, store:scan(space), space)
    end
    assert.same({ "workspace/pipeline:notes" }, store:journals())
  end)
end)
