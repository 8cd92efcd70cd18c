local engine = require "weir.run.engine"
local journal = require "weir.run.journal"
local keeping = require "weir.run.keeping"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local store_port = require "weir.port.store"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step
local IN_MEMORY = { near = 1e9 } -- seconds: a run that sleeps is not parked

-- Stands where the store's handle of a run stands: keeps what is written.
local function new_handle()
  local handle = { entries = {} }
  function handle:append(entry) table.insert(self.entries, entry) return true end
  function handle:note(entry) table.insert(self.entries, entry) return entry end
  return handle
end

describe("the journal of a run", function()
  it("finds an outcome by its key, if the same was asked", function()
    local first = journal.new(new_handle())
    local asked = first:ask("agent", "agents/a", { x = 1 })
    local again = journal.new(new_handle(), { { "run", {} }, { "step", "a", asked, "finished", 1, 2, 1, "output" } })
    assert.equal("output", again:recall("a", asked)[8])
    assert.is_nil(again:recall("b", asked))
  end)

  it("stops with conflict, naming key and record, when something else was asked", function()
    local book = journal.new(new_handle())
    local questions = { book:ask("agent", "agents/a", { x = 1 }), book:ask("agent", "agents/b", { x = 1 }), book:ask("map", "agents/a", { x = 1 }),
      book:ask("agent", "agents/a", { x = 2 }), book:ask("agent", "agents/a", { x = weir.list { 1 } }), book:ask("agent", "agents/a", { x = "1" }) }
    for i, asked in ipairs(questions) do
      for j, other in ipairs(questions) do assert.equal(i == j, asked == other) end
    end
    local again = journal.new(new_handle(), { { "run", {} }, { "step", "g/a", questions[1], "finished", 1, 2, 1, "output" } })
    local ok, err = pcall(again.recall, again, "g/a", questions[2])
    assert.same({ false, "conflict" }, { ok, err.code })
    assert.matches("step 'g/a': record 2", err.message)
  end)

  it("asks the same question with the same number, whatever the order of the fields", function()
    local book = journal.new(new_handle())
    assert.equal(book:ask("agent", "m", { a = 1, b = 2, c = { 1, 2 } }), book:ask("agent", "m", { c = { 1, 2 }, b = 2, a = 1 }))
  end)

  it("knows failed attempts and the memory after the latest", function()
    local book = journal.new(new_handle(), { { "run", {} }, { "attempt", "a", 1, 1, 2, { code = "failed" }, 1, { n = 1 } },
      { "attempt", "a", 2, 3, 4, { code = "failed" }, 1, { n = 2 } } })
    assert.equal(2, #book.attempts.a)
    assert.same({ n = 2 }, book:memory "a")
    book:memory("a").n = 99
    assert.same({ n = 2 }, book:memory "a")
    assert.is_nil(book:memory "b")
  end)

  it("keeps a choice before it is used, and makes it once", function()
    local handle, made = new_handle(), 0
    local book = journal.new(handle)
    local function choose()
      made = made + 1
      return "left"
    end
    assert.equal("left", book:choice("way", choose))
    assert.same({ { "choice", "way", "left" } }, handle.entries)
    local again = journal.new(new_handle(), handle.entries)
    assert.equal("left", again:choice("way", choose))
    assert.equal(1, made)
  end)

  it("raises when the store refuses", function()
    local book = journal.new { append = function() return nil, "the disk is full", "full" end }
    local ok, err = pcall(book.append, book, { "choice", "a", 1 })
    assert.same({ false, "full" }, { ok, err.code })
    assert.matches("the disk is full", err.message)
  end)

  -- A store that holds the first entries of a run, as if the host had been killed there.
  local function cut_off(life, plan, id, entries, length)
    keeping.definitions(life, { plan })
    local handle = assert(life.store:run(id, 1))
    local row = { status = "running", pipeline = plan.name, version = plan.version, started_ms = 0 }
    assert(life.store:batch { { op = "entry", journal = handle, entry = entries[1], row = row } })
    for n = 2, length do assert(handle:append(entries[n])) end
  end

  -- Runs to the end, then once more from every prefix of what was written.
  local function from_every_prefix(load, agents)
    local here = project.open "."
    local done = {}
    for name, execute in pairs(agents) do
      here.registry:put { kind = "agent", name = name, api = 1, options = { type = "object" }, execute = function(ctx, given)
        local key = ctx.idempotency_key:match "/(.*)"
        done[key] = (done[key] or 0) + 1
        return execute(ctx, given)
      end }
    end
    local definition, errors = load(here)
    assert(definition, errors and errors[1].message)
    local store <close> = setmetatable({ assert(store_port.open ":memory:") }, { __close = function(self) self[1]:close() end })
    native.use_virtual_clock(nil, 0)
    local whole = engine.new(here, store[1], IN_MEMORY):run(definition, {}, {})
    local entries = assert(store[1]:load(whole.id))
    local count = 0
    for length = 1, #entries do
      if entries[length][1] == "end" then break end
      count = count + 1
      local recorded = {}
      for n = 1, length do
        local entry = entries[n]
        if entry[1] == "step" and entry[4] ~= "cancelled" then recorded[entry[2]] = true end
      end
      local part = assert(store_port.open ":memory:")
      local life = engine.new(here, part, IN_MEMORY)
      cut_off(life, life:plan_of(definition), whole.id, entries, length)
      done = {}
      local run = life:reopen(whole.id):execute()
      part:close()
      assert.equal(whole.status, run.status, run.error and run.error.message)
      assert.equal(json.encode(whole.output == nil and json.null or whole.output, { canonical = true }),
        json.encode(run.output == nil and json.null or run.output, { canonical = true }))
      assert.same(whole.error and whole.error.code, run.error and run.error.code)
      for key in pairs(recorded) do assert.is_nil(done[key], ("prefix %d: '%s' was recorded and ran again"):format(length, key)) end
    end
    native.use_real_clock()
    return count, whole
  end

  local agents = {
    ok = function(ctx, given) ctx:sleep(given.seconds or 1) return given.value or 1 end,
    flaky = function(ctx) if ctx.attempt < 3 then error "again" end return ctx.attempt end,
    fail = function() error { code = "rejected", message = "no" } end,
    label = function(ctx) ctx.branch = ctx.visit < 3 and "again" or "on" return ctx.visit end,
    pass = function(_, given) return given end,
  }

  local PIPELINES = {
    ["groups in order and side by side"] = { S "a" { agent = "ok" }, G "g" { S "x" { agent = "ok", input = { seconds = 2 } }, S "y" { agent = "ok" } },
      S "z" { agent = "pass", input = { a = "$.a", x = "$.x" } } },
    ["a race"] = { G "g" { join = "any", S "slow" { agent = "ok", input = { seconds = 9, value = "slow" } }, S "fast" { agent = "ok", input = { value = "fast" } } },
      S "show" { agent = "pass", input = { slow = "$.slow?", fast = "$.fast?" } } },
    ["retries"] = { S "flaky" { agent = "flaky", retry = { attempts = 3, backoff = 1 } }, S "b" { agent = "ok" } },
    ["a failure"] = { S "a" { agent = "ok" }, S "bad" { agent = "fail" }, S "never" { agent = "ok" } },
    ["a loop"] = { S "again" { agent = "label", branch = { cases = { again = "again", on = "last" } } }, S "last" { agent = "pass", input = "$.again" } },
    ["a skipped step"] = { S "a" { agent = "ok", when = "$.run.id == ''" }, S "b" { agent = "ok" } },
    ["a body and a map"] = { S "body" { S "in1" { agent = "ok" }, S "in2" { agent = "pass", input = "$.in1" } },
      weir.map "m" { over = weir.list { 1, 2, 3 }, concurrency = 2, S "one" { agent = "ok", input = { value = "$.item" } } } },
    ["sleep and an optional failure"] = { S "nap" { sleep = "10s" }, G "g" { S "bad" { agent = "fail", optional = true }, S "good" { agent = "ok" } } },
  }

  for name, fields in pairs(PIPELINES) do
    it("brings a run to the same end from wherever it was cut off: " .. name, function()
      local count = from_every_prefix(function(here) return here:check(P "replay" (fields)) end, agents)
      assert.is_true(count >= 3, count)
    end)
  end

  it("brings a flow to the same end from wherever it was cut off", function()
    local text = [[
      local weir = require "weir"
      return weir.flow "replay" { function(flow)
        local a = flow:step "a" { agent = "ok", input = { value = 2 } }
        local sum = 0
        for i = 1, 3 do sum = sum + flow:step "again" { agent = "ok", input = { value = i * a } } end
        local ok, err = pcall(function() return flow:step "bad" { agent = "fail" } end)
        return { sum = sum, ok = ok, code = err.code, drawn = flow:random(1000) }
      end }
    ]]
    local count, whole = from_every_prefix(function(here) return here:load("replay.lua", text) end, agents)
    assert.equal("finished", whole.status, whole.error and whole.error.message)
    assert.is_true(count >= 5, count)
  end)
end)
