local approval = require "weir.approval"
local keeping = require "weir.run.keeping"
local migrate = require "weir.run.migrate"
local native = require "weir.native.scheduler"
local outside = require "weir.testing"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"
local support = dofile "spec/lua/weir/registry/support.lua"
local waking = require "weir.run.waking"

-- `steps` before and behind the question.
local function pipeline(before, behind, output)
  return ([[
local weir = require "weir"
return weir.pipeline "work" { input = { word = "string" },
  %s
  weir.approval "ask" {},
  %s
  output = %s,
}
]]):format(before, behind or "", output or '"$.a.text"')
end

local function flow(body)
  return ([[
local weir = require "weir"
return weir.flow "work" { function(flow, input)
%s
end }
]]):format(body)
end

local A = 'weir.step "a" { agent = "count", input = { text = "$.input.word" } },'
local B = 'weir.step "b" { agent = "count", input = { text = "${a.text} again" } },'
local BODY = 'weir.step "body" { groups = { weir.step "x" { agent = "count", input = { text = "x" } }, weir.step "y" { agent = "count", input = { text = "%s" } } } },'

-- Test 109, but for what runs do that are not migrated: see versions_spec.lua.
describe("migrating a run", function()
  local place, own
  -- Each call of an agent is counted where no record is kept: an effect outside.
  before_each(function()
    place = support.place()
    outside.calls = 0
    for _, name in ipairs { "count", "other" } do
      place:agent(name, "outside.calls = outside.calls + 1 return { text = input.text }", "local outside = require 'weir.testing'")
    end
  end)
  after_each(function() place:close() end)

  -- A run that waits for an answer, and another text in the place of its definition.
  local function waiting(old, new)
    place:write("pipelines/work.lua", old)
    own = place:life()
    local run = support.run(own, "work", { word = "ebb" })
    assert.equal("waiting", run.status, run.error and run.error.message)
    place:write("pipelines/work.lua", new)
    own = place:life()
    return run.id
  end

  local function entries(id) return #assert(own.store:load(id)) end

  local function answer(id)
    recovery.all(own) -- after a migration people are asked anew
    local asked = assert(approval.pending(own.store, { run = id }))[1]
    assert(waking.decide(own, asked.id, { decision = "approve", by = "ada" }))
    return recovery.go_on(own, id)
  end

  -- The step at which they part, after nothing has happened.
  local function divergence(id)
    local before, row, called = entries(id), own.store:row(id), outside.calls
    local ok, err = pcall(migrate.run, own, id, "latest")
    assert.is_false(ok, "it was migrated")
    assert.equal("conflict", err.code, err.message)
    assert.equal(before, entries(id))
    assert.same(row, own.store:row(id))
    assert.equal(called, outside.calls)
    return err.divergence
  end

  it("goes on behind what it has done, on the new version, and is recorded as being of it", function()
    local id = waiting(pipeline(A .. B), pipeline(A .. B, 'weir.step "c" { agent = "other", input = { text = "${b.text} and more" } },', '"$.c.text"'))
    local from = own.store:row(id).version
    local before = entries(id)
    assert.equal(id, migrate.run(own, id, "latest", { dry_run = true }).run)
    assert.equal(before, entries(id))
    local done = migrate.run(own, id, "latest", { by = "ada" })
    assert.equal(from, done.from)
    assert.equal(done.to, own.store:row(id).version)
    own = place:life()
    local ended = answer(id)
    assert.equal("finished", ended.status, ended.error and ended.error.message)
    assert.equal("ebb again and more", ended.output)
    assert.equal(3, outside.calls) -- a and b once, c once
    assert.equal(done.to, ended.plan.version)
    local record = require("weir.audit").list(own.store)[1].value
    assert.equal("ada migrate " .. id, ("%s %s %s"):format(record.by, record.action, record.what))
  end)

  local parted = {
    { "the input of a step was changed", pipeline(A .. B), pipeline(A .. B:gsub("again", "anew")), "b" },
    { "another agent does a step", pipeline(A .. B), pipeline(A:gsub('"count"', '"other"') .. B), "a" },
    { "a step was renamed", pipeline(A .. B), pipeline(A:gsub('"a"', '"z"') .. B:gsub("a.text", "z.text"), "", '"$.z.text"'), "a" },
    { "a step was removed", pipeline(A .. B), pipeline(A), "b" },
    { "a step was put between", pipeline(A .. B), pipeline(A .. 'weir.step "new" { agent = "other", input = { text = "new" } },' .. B), "b" },
    { "what a body does was changed", pipeline(A .. BODY:format "y"), pipeline(A .. BODY:format "z"), "body/y" },
    { "a flow asks in another order", flow 'flow:step "a" { agent = "count", input = { text = "1" } } flow:step "b" { agent = "count", input = { text = "2" } } flow:approval "ask" {} return 1',
      flow 'flow:step "b" { agent = "count", input = { text = "0" } } flow:step "a" { agent = "count", input = { text = "1" } } flow:approval "ask" {} return 1', "b" },
    { "a flow asks under another name", flow 'flow:step "a" { agent = "count", input = { text = "1" } } flow:approval "ask" {} return 1',
      flow 'flow:step "z" { agent = "count", input = { text = "1" } } flow:approval "ask" {} return 1', "a" },
    { "a flow hands on something else", flow 'local a = flow:step "a" { agent = "count", input = { text = input.word } } flow:step "b" { agent = "count", input = { text = a.text } } flow:approval "ask" {} return 1',
      flow 'local a = flow:step "a" { agent = "count", input = { text = input.word } } flow:step "b" { agent = "count", input = { text = a.text .. "!" } } flow:approval "ask" {} return 1', "b" },
    { "a step is left out by a condition", pipeline(A .. B), pipeline(A .. B:gsub("agent =", 'when = "1 == 2", agent =')), "b" },
  }
  for _, case in ipairs(parted) do
    it("is refused with the first step at which they part, and nothing is executed: " .. case[1], function()
      local id = waiting(case[2], case[3])
      local found = divergence(id)
      assert.equal(case[4], found.key)
      assert.is_number(found.n)
      place:write("pipelines/work.lua", case[2])
      own = place:life()
      assert.equal("finished", answer(id).status)
    end)
  end

  local together = {
    { "steps behind the question", pipeline(A .. B), pipeline(A .. B, 'weir.step "c" { agent = "count", input = { text = "c" } },') },
    { "another order of what does not depend on it", pipeline(A .. 'weir.step "b" { agent = "count", input = { text = "b" } },'),
      pipeline('weir.step "b" { agent = "count", input = { text = "b" } },' .. A) },
    { "the name of a group", pipeline('weir.group "g" { weir.step "a" { agent = "count", input = { text = "$.input.word" } } },'),
      pipeline('weir.group "g" { weir.step "a" { agent = "count", input = { text = "$.input.word" } }, weir.step "more" { agent = "count", input = { text = "2" } } },') },
    { "a retry, a timeout", pipeline(A), pipeline((A:gsub("agent =", 'timeout = "5s", retry = { attempts = 2 }, agent ='))) },
    { "a body whose steps are the same", pipeline(A .. BODY:format "y"), pipeline(A .. BODY:format("y"):gsub("groups =", 'timeout = "1h", groups =')) },
  }
  for _, case in ipairs(together) do
    it("is done when the record answers what is asked: " .. case[1], function()
      local id = waiting(case[2], case[3])
      migrate.run(own, id, "latest")
      own = place:life()
      local ended = answer(id)
      assert.equal("finished", ended.status, ended.error and ended.error.message)
      assert.equal("ebb", ended.output)
    end)
  end

  it("executes nothing, whatever was under way: steps that were finished are not done again", function()
    place:agent("count", "ctx.workspace:post('done', 'x', { scope = 'project' }) return { text = input.text }")
    local id = waiting(pipeline(A .. BODY:format "y"), pipeline(A .. BODY:format "y", B))
    migrate.run(own, id, "latest")
    own = place:life()
    assert.equal("finished", answer(id).status)
    local counts = {}
    for _, entry in ipairs(assert(own.store:load(id))) do
      if entry[1] == "start" then counts[entry[2]] = (counts[entry[2]] or 0) + 1 end
    end
    for _, key in ipairs { "a", "body/x", "body/y" } do assert.is_true((counts[key] or 1) == 1, key) end
  end)

  it("is refused for a run that has ended, for versions that are not there, and for what is no version", function()
    local id = waiting(pipeline(A), pipeline(A, B))
    local function code(run, to)
      local ok, err = pcall(migrate.run, own, run, to)
      assert.is_false(ok)
      return err.code
    end
    assert.equal("not_found", code(id, "0123456789"))
    assert.equal("invalid", code(id, "newest"))
    assert.equal("not_found", code("r_00000000000000000000", "latest"))
    local version = own.store:row(id).version
    assert.equal(version, migrate.run(own, id, version:sub(1, 10)).to)
    answer(id)
    assert.equal("conflict", code(id, "latest"))
  end)

  it("is not woken meanwhile, and then goes on on the new version", function()
    local id = waiting(pipeline(A), pipeline(A, B, '"$.b.text"'))
    local definitions, going = keeping.definitions, nil
    keeping.definitions = function(...) -- luacheck: ignore 122
      keeping.definitions = definitions -- luacheck: ignore 122
      local asked = assert(approval.pending(own.store, { run = id }))[1]
      assert(waking.decide(own, asked.id, { decision = "approve", by = "ada" })) -- of the version before
      going = native.spawn(recovery.go_on, own, id)
      native.sleep(0.2)
      assert.equal("waiting", own.store:row(id).status)
      return definitions(...)
    end
    migrate.run(own, id, "latest")
    assert(going:join())
    assert.equal("ebb again", answer(id).output)
  end)

  it("stops a run that is at work meanwhile, and goes on with it", function()
    place:write("pipelines/work.lua", pipeline(A .. 'weir.step "nap" { sleep = "1h" },'))
    place:life()
    own = require("weir.run.engine").new(place:open(), place.opened, { patience = 100 })
    local run = own:start(assert(own.project:pipeline "work"), { word = "ebb" })
    while next(run.waits) == nil do require("weir.task").yield() end
    place:write("pipelines/work.lua", pipeline(A .. 'weir.step "nap" { sleep = 0 },'))
    require("weir.registry.reload").changed(own.project.registry, { place.folder .. "/pipelines/work.lua" })
    local went_on
    local found = migrate.run(own, run.id, "latest", { dry_run = true, go_on = function(id) went_on = id end })
    assert.same({ run.plan.version, run, nil }, { found.from, own:at_work(run.id), went_on }) -- looking disturbs nobody
    migrate.run(own, run.id, "latest", { go_on = function(id) went_on = id end })
    assert.equal(run.id, went_on)
    assert.equal(assert(own.project:pipeline "work").version, own.store:row(run.id).version)
  end)

  local under_way = {
    { "its input was changed", A:gsub('"$.input.word"', '"else"'), "a" },
    { "it was renamed", (A:gsub('"a"', '"z"')), "a" },
    { "it was removed", "", "a" },
    { "another step comes before it", B:gsub("${a.text} again", "new") .. A, "a" },
  }
  for _, case in ipairs(under_way) do
    it("is refused when a step that was under way is not asked for in the same way: " .. case[1], function()
      place:agent("count", "ctx:sleep(60) return { text = 'done' }")
      place:write("pipelines/work.lua", pipeline(A, "", "1"))
      own = place:life()
      local run = own:start(assert(own.project:pipeline "work"), { word = "ebb" })
      while #assert(own.store:load(run.id)) < 2 do require("weir.task").sleep(0.01) end -- its start is on disk
      run:crash()
      run:await_left()
      place:write("pipelines/work.lua", pipeline(case[2], "", "1"))
      own = place:life()
      local found = divergence(run.id)
      assert.equal(case[3], found.key)
      assert.equal("begun", found.recorded)
    end)
  end

  it("counts no step twice against the budget", function()
    local function limited(text) return (text:gsub('pipeline "work" {', 'pipeline "work" { budget = { steps = 5 },')) end
    local id = waiting(limited(pipeline(A .. BODY:format "y")), limited(pipeline(A .. BODY:format "y", "", '"$.body.text"')))
    migrate.run(own, id, "latest")
    own = place:life()
    local ended = answer(id)
    assert.equal("finished", ended.status, ended.error and ended.error.message)
  end)
end)

describe("the runs that are to be migrated", function()
  it("are found once each, however many there are, and also while they come to wait and go on", function()
    local store <close> = assert(store_port.open ":memory:")
    local journals, wanted = {}, {}
    for first = 1, 2500, 500 do
      local operations = {}
      for n = first, first + 499 do
        local id = ("r_%020d"):format(n)
        journals[n] = store:new_run(id, 1)
        operations[#operations + 1] = { op = "entry", journal = journals[n], entry = { "run", {} },
          row = { status = n % 5 == 0 and "finished" or "waiting", pipeline = n % 2 == 0 and "work" or "other", version = "old" } }
        if n % 2 == 0 and n % 5 ~= 0 then wanted[#wanted + 1] = id end
      end
      assert(store:batch(operations))
    end
    local changing = setmetatable({}, { __index = function(_, name)
      return function(_, ...)
        local found, message, code = store[name](store, ...)
        assert(store:batch { { op = "row", journal = journals[2], row = { status = "running", pipeline = "work", version = "old" } } })
        return found, message, code
      end
    end })
    assert.same(wanted, migrate.candidates({ store = changing }, "work", "new"))
    assert.same({}, migrate.candidates({ store = changing }, "work", "old"))
  end)
end)
