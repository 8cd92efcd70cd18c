local support = dofile "spec/lua/weir/run/support.lua"
local clock = require "weir.port.clock"
local native = require "weir.native.scheduler"
local recovery = require "weir.run.recovery"
local task = require "weir.task"
local waking = require "weir.run.waking"
local weir = require "weir"

local P, G, S, A, W = weir.pipeline, weir.group, weir.step, weir.approval, weir.wait

local agents = {
  ok = function(_, given) return given.value or 1 end,
  slow = function(ctx, given) ctx:sleep(given.seconds or 1) return given.value or 1 end,
  pass = function(_, given) return given end,
  fail = function() error "no" end,
  flaky = function(ctx) if ctx.attempt < 3 then error "again" end return ctx.attempt end,
  spawner = function(ctx)
    task.spawn(function() clock.sleep(50) end)
    ctx:sleep(1)
    return 1
  end,
  draft = function(ctx, given) ctx:sleep(given.seconds or 0) return { text = (ctx.feedback and ctx.feedback.draft.text or "") .. "word " } end,
}

describe("a run that waits", function()
  local world
  after_each(function()
    local left = world:left()
    world:close()
    world = nil
    assert.same({}, left)
  end)

  local function began(fields, options, input)
    world = support.world(agents, options)
    return world:begin(type(fields) == "string" and fields or P "spec" (fields), input)
  end

  -- To the end, with answers; gives the output, or the code of the error, and the seconds it took.
  local function ended(run, answers, signals)
    local from = clock.wall_ms()
    world:settle(run.id, support.actor(answers, signals))
    local ending = world:ending(run.id)
    return ending.status == "finished" and ending.value or ending.value.code, (clock.wall_ms() - from) / 1000
  end

  it("is not parked while something of it is at work, and is as soon as nothing is", function()
    for _, busy in ipairs {
      S "busy" { agent = "slow", input = { seconds = 10 } },
      S "busy" { S "x" { agent = "slow", input = { seconds = 4 } }, G "two" { S "y" { agent = "slow", input = { seconds = 6 } }, S "z" { agent = "ok" } } },
      weir.map "busy" { over = weir.list { 1, 2, 3, 4 }, concurrency = 2, S "x" { agent = "slow", input = { seconds = 5 } } },
    } do
      if world then world:close() end
      world = support.world(agents)
      local from = clock.wall_ms()
      local run = world:begin(P "spec" { G "g" { A "ask" {}, busy, W "sign" { signal = "sign" }, S "nap" { sleep = "1d" } } })
      assert.same({ "waiting", 10 }, { run.status, (clock.wall_ms() - from) / 1000 })
      local row = world:row(run.id)
      assert.same({ "approval", "sleep", "signal" }, { row.waiting[1].kind, row.waiting[2].kind, row.waiting[3].kind })
      assert.is_nil(world.engine.live[run.id])
      assert.equal(0, world.store:stats().heads)
      ended(run, { ask = "approve" }, { sign = 1 })
      assert.same({}, world:left())
    end
  end)

  it("counts no loser that was cancelled before it began, and no task that an agent left behind", function()
    local run = began { G "race" { join = "any", S "fast" { agent = "ok" }, weir.map "m" { over = weir.list { 1, 2, 3 }, S "x" { agent = "slow" } },
      S "b" { G "in_b" { S "s" { agent = "slow" }, S "t" { agent = "slow" } } }, A "loser" {} },
      S "spawner" { agent = "spawner" }, A "ask" {} }
    assert.same({ "waiting", "ask" }, { run.status, world:row(run.id).waiting[1].step })
    assert.equal(1, #world:questions(run.id))
    ended(run, { ask = "approve" })
  end)

  it("routes a thousand answers, given in any order, to the items that asked", function()
    local list = weir.list {}
    for i = 1, 1000 do list[i] = i end
    local run = began { weir.map "m" { over = list, concurrency = 1000, A "one" { show = "$.item", form = { type = "object" } } },
      output = "$.m[*].answer.n" }
    local questions = world:questions(run.id)
    assert.equal(1000, #questions)
    table.sort(questions, function(a, b) return a.id < b.id end) -- ids are hashes: any order
    for index, record in ipairs(questions) do
      assert(world:decide(record.id, { answer = { n = record.show } }))
      if index == 300 then world:go_on() end
    end
    assert.same(list, (ended(run)))
  end)

  it("parks flows: in groups of functions, on signals, on time", function()
    local run = began [[
      local weir = require "weir"
      return weir.flow "parks" { function(flow)
        local both = flow:group "both" {
          weir.step "left" { function(inner) return inner:approval("ask") { form = { type = "object" } }.answer end },
          weir.step "right" { function(inner)
            local first = inner:wait_signal "sign"
            inner:step "nap" { sleep = "2h" }
            return { first, inner:wait_signal("sign", { timeout = "1d" }) }
          end },
        }
        local ok, err = pcall(flow.wait_signal, flow, "never", { timeout = "3h" })
        return { left = both.left, right = both.right, ok = ok, code = err.code }
      end }
    ]]
    assert.same({ left = { x = 1 }, right = { "s", "s" }, ok = false, code = "timeout" }, (ended(run, { ask = { answer = { x = 1 } } }, { sign = "s" })))
  end)

  it("keeps attempts with long delays, critics and drafts over parking", function()
    local run = began { S "f" { agent = "flaky", retry = { attempts = 3, backoff = 7200, max = 7200, factor = 1, jitter = 0 } },
      S "d" { A "look" {}, S "draft" { agent = "draft" }, output = "$.draft",
        critic = { use = "rubric", options = { min_words = 1, field = "text" }, attempts = 3, otherwise = "accept_best" } } }
    local output, seconds = ended(run, { look = "approve" })
    assert.same({ { text = "word " }, 14400 }, { output, seconds })
  end)

  describe("within limits of time", function()
    local LIMITED = {
      ["a deadline of the step"] = { 3600, "timeout", { S "body" { A "never" {}, deadline = "1h" } } },
      ["a timeout of a step with steps"] = { 3600, "timeout", { S "body" { W "never" { signal = "never" }, timeout = "1h" } } },
      ["a timeout that every attempt gets anew"] = { 7260, "timeout", { S "body" { A "never" {}, timeout = "1h", retry = { attempts = 2, backoff = 60, jitter = 0 } } } },
      ["a timeout of each wait for a signal"] = { 7260, "timeout", { W "never" { signal = "never", timeout = "1h", retry = { attempts = 2, backoff = 60, jitter = 0 } } } },
      ["a timeout of an approval, with the question asked anew"] = { 7260, "timeout", { A "never" { timeout = "1h", retry = { attempts = 2, backoff = 60, jitter = 0 } } } },
      ["a deadline of the group"] = { 3600, 1, { G "g" { join = { deadline = "1h" }, S "done" { agent = "ok" }, A "never" {} }, output = "$.done" } },
      ["an approval that nobody gives"] = { 3600, "rejected", { A "never" { timeout = "1h", on_timeout = "reject" } } },
      ["an approval that is given by time"] = { 3600, 1, { A "never" { timeout = "1h", on_timeout = "approve" }, S "b" { agent = "ok" } } },
    }
    for name, case in pairs(LIMITED) do
      it("holds " .. name, function()
        local output, seconds = ended(began(case[3]))
        assert.same({ case[2], case[1] }, { output, math.floor(seconds + 0.5) })
      end)
    end

    it("gives a draft of a step with steps its whole timeout", function()
      local run = began { S "body" { S "x" { agent = "draft", input = { seconds = 6 } }, output = { text = "a" }, timeout = 10,
        critic = { use = "rubric", options = { min_words = 2, field = "text" }, attempts = 2, otherwise = "accept_best" } } }
      assert.same({ text = "a" }, (ended(run)))
    end)

    it("spends no seconds of the budget while it is parked", function()
      local busy = { S "a" { agent = "slow", input = { seconds = 4 } }, A "ask" {}, S "b" { agent = "slow", input = { seconds = 4 } },
        S "nap" { sleep = "1d" }, S "c" { agent = "slow", input = { seconds = 4 } } }
      for seconds, output in pairs { [13] = 1, [10] = "limit" } do
        if world then world:close() end
        busy.budget = { seconds = seconds }
        local run = began(busy)
        clock.sleep(1000)
        assert.same(output, (ended(run, { ask = "approve" })))
      end
    end)
  end)

  describe("for signals", function()
    it("gets one that came before, in the order in which they were sent", function()
      local run = began { A "go" {}, W "first" { signal = "s" }, W "second" { signal = "s" }, output = weir.list { "$.first", "$.second" } }
      for n = 1, 2 do waking.signal(world.engine, run.id, "s", n) end
      assert.same({ 1, 2 }, (ended(run, { go = "approve" })))
    end)

    it("gives each to one of several waits", function()
      local run = began { G "g" { W "a" { signal = "s" }, W "b" { signal = "s" } }, output = weir.list { "$.a", "$.b" } }
      waking.signal(world.engine, run.id, "s", 1)
      world:go_on()
      assert.equal("waiting", world:row(run.id).status)
      waking.signal(world.engine, run.id, "s", 2)
      local got = ended(run)
      table.sort(got)
      assert.same({ 1, 2 }, got)
    end)

    it("leaves those that `any` did not need to the next wait", function()
      local run = began { A "go" {}, W "w" { any = { { signal = "x" }, { signal = "y" } } }, W "z" { signal = "y" }, output = weir.list { "$.w", "$.z" } }
      waking.signal(world.engine, run.id, "x", 1)
      waking.signal(world.engine, run.id, "y", 2)
      assert.same({ { x = 1 }, 2 }, (ended(run, { go = "approve" })))
    end)

    it("waits for all, for so many, and for what is nested", function()
      local run = began { W "all" { all = { { signal = "x" }, { any = { { signal = "y" }, { signal = "never" } } } } },
        W "some" { at_least = 2, of = { { signal = "a" }, { signal = "b" }, { signal = "c" } } }, output = weir.list { "$.all", "$.some" } }
      for _, name in ipairs { "y", "x", "c", "a" } do
        waking.signal(world.engine, run.id, name, name)
        world:go_on()
      end
      assert.same({ { x = "x", y = "y" }, { a = "a", c = "c" } }, (ended(run)))
    end)

    it("misses none that is committed while it is being parked, the first time and later", function()
      world = support.world(agents)
      local run_id
      local function on_waiting(event)
        if event.kind ~= "waiting" or event.name == "never" then return end
        local id = run_id or next(world.engine.live)
        native.spawn_root(function() waking.signal(world.engine, id, event.name, event.step) end)
      end
      local steps = {}
      for n = 1, 6 do steps[n] = W("w" .. n) { signal = "s" } end
      steps.output = weir.list { "$.w1", "$.w6" }
      local run = world:begin(P "spec" (steps), {}, { listener = on_waiting })
      run_id = run.id
      for _ = 1, 20 do
        if world:row(run_id).status == "finished" then break end
        native.sleep(0.01)
        assert.equal(1, #waking.due(world.engine), "the signal was lost")
        recovery.open(world.engine, run_id, { listener = on_waiting }):execute()
      end
      assert.same({ "w1", "w6" }, world:ending(run_id).value)
    end)
  end)
end)
