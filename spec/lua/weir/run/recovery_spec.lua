local support = dofile "spec/lua/weir/run/support.lua"
local weir = require "weir"

local P, G, S, A = weir.pipeline, weir.group, weir.step, weir.approval

local agents = {
  ok = function(_, given) return given.value or 1 end,
  slow = function(ctx, given) ctx:sleep(given.seconds or 1) return given.value or 1 end,
  flaky = function(ctx) if ctx.attempt < 3 then error "again" end return ctx.attempt end,
  fail = function() error { code = "rejected", message = "no" } end,
  pass = function(_, given) return given end,
  drafts = function(ctx) return { text = (ctx.feedback and ctx.feedback.draft.text or "") .. "word " } end,
  undo = function(_, given) return given end,
}

local PIPELINES = {
  ["an approval"] = { S "a" { agent = "ok" }, A "ask" { title = "Go on?", form = { type = "object" } },
    S "b" { agent = "pass", input = { said = "$.ask.answer", by = "$.ask.by" } } },
  ["approvals beside work"] = { G "g" { A "left" {}, S "work" { agent = "slow" }, A "right" { on_reject = "continue" } },
    S "b" { agent = "pass", input = { left = "$.left.decision", right = "$.right.decision" } } },
  ["a rejection"] = { S "a" { agent = "ok", undo = { agent = "undo" } }, A "refused" {}, S "b" { agent = "ok" } },
  ["a gate and approve_if"] = { G "g" { S "a" { agent = "ok" }, gate = { title = "on?" } },
    S "changed" { agent = "pass", input = { n = 1 }, approve_if = "$.a == 1" }, S "last" { agent = "pass", input = "$.changed" } },
  ["a loop that asks"] = { S "n" { agent = "flaky", retry = { attempts = 3, backoff = 3600 } },
    A "again" { on_reject = "continue", branch = { cases = { approve = "last", reject = "n" } } }, S "last" { agent = "ok" } },
  ["signals"] = { weir.wait "one" { signal = "one" }, weir.wait "both" { all = { { signal = "x" }, { signal = "y" } }, timeout = "1h" },
    S "b" { agent = "pass", input = { one = "$.one", both = "$.both" } } },
  ["a signal that does not come"] = { weir.wait "late" { signal = "never", timeout = "1h", optional = true }, S "b" { agent = "ok" } },
  ["timers"] = { G "g" { S "nap" { sleep = "1h" }, S "nap2" { sleep = "2h" } }, S "b" { agent = "ok" } },
  ["retries with long delays"] = { S "flaky" { agent = "flaky", retry = { attempts = 3, backoff = 7200, max = 7200 } }, S "b" { agent = "ok" } },
  ["undo"] = { S "a" { agent = "ok", undo = { agent = "undo" } }, G "g" { S "b" { agent = "ok", undo = { agent = "undo", input = { v = "$.b" } } },
    S "c" { agent = "slow", undo = { agent = "undo" } } }, S "bad" { agent = "fail" } },
  ["a step that runs once"] = { S "a" { agent = "ok" }, S "once" { agent = "slow", once = true }, S "b" { agent = "pass", input = "$.once" } },
  ["drafts and a critic"] = { S "d" { agent = "drafts", critic = { use = "rubric", options = { min_words = 3, field = "text" }, attempts = 3, otherwise = "accept_best" } }, S "b" { agent = "pass", input = "$.d" } },
  ["a map that asks"] = { weir.map "m" { over = weir.list { 1, 2, 3, 4 }, concurrency = 3, A "one" { form = { type = "object" }, show = "$.item" } },
    S "b" { agent = "pass", input = "$.m[*].by" } },
  ["a map of several steps in another"] = { weir.map "m" { over = weir.list { weir.list { 1, 2 }, weir.list { 3 } }, S "a" { agent = "slow" },
    weir.map "each" { over = "$.item", S "c" { agent = "ok", input = { value = "$.item" } }, S "d" { agent = "pass", input = { v = "$.c" } } } } },
  ["a race of questions"] = { G "race" { join = "any", A "left" {}, A "never" {}, S "body" { A "never_too" {} } }, A "ask" { form = { type = "object" } } },
  ["a body with a timeout that asks"] = { S "body" { S "x" { agent = "ok" }, A "never" {}, timeout = "1h", optional = true }, S "b" { agent = "ok" } },
}

local FLOW = [[
  local weir = require "weir"
  return weir.flow "spec" { function(flow)
    local a = flow:step "a" { agent = "slow", input = { value = 2 } }
    local said = flow:approval "ask" { form = { type = "object" }, show = a }
    flow:step "nap" { sleep = "3h" }
    local sum = 0
    for i = 1, 3 do sum = sum + flow:step "again" { agent = "ok", input = { value = i * a } } end
    local child = weir.run(weir.pipeline "child" { weir.step "n" { agent = "ok", input = { value = 5 } } })
    return { sum = sum, said = said.answer, drawn = flow:random(1000) > 0, child = child, signal = flow:wait_signal "one" }
  end }
]]

local ANSWERS = { ask = { answer = { x = 1 } }, left = "approve", right = "reject", refused = "reject", ["(gate)"] = "approve",
  approval = { decision = "edit", answer = { n = 2 } }, again = "approve", one = { answer = { x = 1 } }, once = "reject" }
local SIGNALS = { one = 1, x = "X", y = "Y" }

local function outcome(ending)
  local value = ending.value
  return ending.status .. " " .. support.text(ending.status == "finished" and value or { value.code, value.message })
end

local function recorded(store, id)
  local keys = {}
  for _, entry in ipairs(store:load(id)) do
    if entry[1] == "step" and entry[4] ~= "cancelled" then keys[entry[2]] = true end
  end
  return keys
end

-- The process ends after so many writes; the next one goes on. Nil when the run was over before.
local function cut_off(definition, writes, whole)
  local world = support.world(agents)
  local actor = support.actor(ANSWERS, SIGNALS)
  world:life(writes)
  world:begin(definition)
  local first = assert(world.store:runs {})[1]
  if first then world:settle(first.id, actor) end
  local is_over = world.mortal.is_over
  if first and is_over then
    local before = recorded(world.store, first.id)
    world.done = {}
    world:life()
    world:settle(first.id, actor)
    assert.equal(whole, outcome(world:ending(first.id)))
    for key in pairs(before) do assert.is_nil(world.done[key], ("after %d writes: '%s' was recorded, and done again"):format(writes, key)) end
    assert.same({}, world:left())
  end
  world:close()
  return is_over
end

-- Cut off at every write, after it came to its end once.
local function at_every_write(definition)
  local world = support.world(agents)
  local run = world:begin(definition)
  world:settle(run.id, support.actor(ANSWERS, SIGNALS))
  local whole = outcome(world:ending(run.id))
  assert.same({}, world:left())
  world:close()
  local writes = 1
  while cut_off(definition, writes, whole) do writes = writes + 1 end
  assert.is_true(writes > 4, writes)
end

describe("a run whose process ends at any write", function()
  for name, fields in pairs(PIPELINES) do
    it("comes to the same end, and does nothing again that was recorded: " .. name, function() at_every_write(P "spec" (fields)) end)
  end

  it("comes to the same end, and does nothing again that was recorded: a flow", function() at_every_write(FLOW) end)

  it("is cancelled whenever that was asked of a parked one, and its question is taken back", function()
    for writes = 1, 20 do
      local world = support.world(agents)
      local run = world:begin(P "spec" { S "a" { agent = "ok", undo = { agent = "undo" } }, G "g" { A "ask" {}, A "left" {} } })
      world:life(writes)
      pcall(world.engine.cancel, world.engine, run.id, "enough")
      local is_over = world.mortal.is_over
      world:life()
      world:settle(run.id)
      assert.same({ "cancelled", "enough" }, { world:ending(run.id).status, world:ending(run.id).value.message })
      local undone = 0
      for _, entry in ipairs(world:ending(run.id).entries) do
        if entry[1] == "step" and entry[2] == "undo/a" then undone = undone + 1 end
      end
      assert.equal(1, undone)
      assert.same({}, world:left())
      world:close()
      if not is_over then return assert.is_true(writes > 4) end
    end
    error "it has no end"
  end)
end)
