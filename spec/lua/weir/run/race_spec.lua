-- Races and cancellations at random moments, on a virtual clock, by seed. WEIR_ROUNDS says how many rounds.

local native = require "weir.native.scheduler"
local support = dofile "spec/lua/weir/run/support.lua"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step
local SHARED_BY = 200 -- worlds: a project remembers every agent that was ever put into it
local RACES = math.tointeger(os.getenv "WEIR_ROUNDS") or 300
local CANCELS = math.tointeger(os.getenv "WEIR_ROUNDS") or 60
local BRANCHES = 5

local here

local function project_of(seed)
  if not here or seed % SHARED_BY == 0 then here = require("weir.project").open "." end
  return here
end

local agents = {
  branch = function(ctx, given)
    for _ = 1, given.naps do ctx:sleep(native.random() * 2) end
    if native.random() < 0.2 then error "this branch is lost" end
    return given.name
  end,
  work = function(ctx, given)
    ctx:sleep(native.random())
    return given.n or 1
  end,
  undo = function(ctx) ctx:sleep(native.random()) return "undone" end,
  bad = function(ctx) ctx:sleep(native.random()) error { code = "denied", message = "no" } end,
}

local function race()
  local branches = { join = "any" }
  for n = 1, BRANCHES do branches[n] = S("b" .. n) { agent = "branch", input = { naps = n % 3 + 1, name = "b" .. n } } end
  return P "race" { G "race"(branches), S "after" { agent = "work" } }
end

-- Entries by LSN: the decision, and what was committed after it.
local function after_decision(entries)
  local decided, late, chosen = false, {}, nil
  for _, entry in ipairs(entries) do
    if entry[1] == "choice" and entry[2] == "race#1/joined" then
      decided, chosen = true, entry[3]
    elseif decided and entry[1] == "step" and entry[2]:find "^race/" and entry[4] ~= "cancelled" then
      late[#late + 1] = entry[2]
    end
  end
  return chosen, late
end

local function finished_branches(entries)
  local names = {}
  for _, entry in ipairs(entries) do
    if entry[1] == "step" and entry[2]:find "^race/" and entry[4] == "finished" then names[#names + 1] = entry[8] end
  end
  return names
end

-- Starts a run and cancels it after a while, if it is still there. Gives its entries.
local function cancelled_after(world, definition, seconds)
  local run = world.engine:start(world:define(definition), {})
  local canceller = native.spawn(function()
    native.sleep(seconds)
    run:cancel "enough of it"
  end)
  run:wait()
  local from = native.now()
  canceller:cancel "the run is over"
  canceller:join()
  assert.is_true(native.now() - from < 1)
  return run, assert(world.store:load(run.id))
end

describe("a race of five", function()
  it(("has one winner or none, and commits nothing of a loser, in %d rounds"):format(RACES), function()
    local outcomes = {}
    for seed = 1, RACES do
      local world = support.world(agents, { seed = seed, patience = 1e6, project = project_of(seed) })
      local run, entries = cancelled_after(world, race(), native.random() * 6)
      local chosen, late = after_decision(entries)
      local names = finished_branches(entries)
      assert.same({}, late, "seed " .. seed)
      assert.is_true(#names <= 1, ("seed %d: %s"):format(seed, table.concat(names, " ")))
      if run.status == "finished" then assert.truthy((chosen or ""):find(names[1], 1, true), "seed " .. seed) end
      assert.same({}, world:left(), "seed " .. seed)
      outcomes[run.status] = (outcomes[run.status] or 0) + 1
      world:close()
    end
    if RACES >= 100 then assert.is_true(outcomes.finished > 0 and outcomes.cancelled > 0, "all came out alike") end
  end)
end)

describe("a run of six steps with undo that is cancelled at any moment", function()
  local function six(is_failing)
    return P "six" { S "one" { agent = "work", undo = { agent = "undo" } },
      G "two" { S "a" { agent = "work", undo = { agent = "undo" } }, S "b" { agent = "work", undo = { agent = "undo" } } },
      S "three" { agent = "work", retry = { attempts = 2, backoff = 0 }, undo = { agent = "undo" } },
      weir.map "four" { over = weir.list { 1, 2 }, S "item_step" { agent = "work", undo = { agent = "undo" } } },
      S "five" { agent = is_failing and "bad" or "work", undo = { agent = "undo" } } }
  end

  -- Each finished step with an undo was undone once, the latest first; nothing else was.
  local function check(entries, seed)
    local done, undone, ending = {}, {}, entries[#entries]
    for _, entry in ipairs(entries) do
      if entry[1] == "step" and entry[4] == "finished" then
        local of = entry[2]:match "^undo/(.*)"
        if of then
          undone[#undone + 1] = of
        elseif type(entry[9]) == "table" and entry[9].undo then
          table.insert(done, 1, entry[2])
        end
      end
    end
    assert.equal("end", ending[1], "seed " .. seed)
    assert.same(ending[2] == "finished" and {} or done, undone, "seed " .. seed)
    return ending[2]
  end

  for what, is_failing in pairs { ["one that would finish"] = false, ["one that would fail"] = true } do
    local legal = { cancelled = true, [is_failing and "failed" or "finished"] = true }
    it(("ends in one of two ways, and is undone once: %s, %d moments"):format(what, CANCELS), function()
      local outcomes = {}
      for seed = 1, CANCELS do
        local world = support.world(agents, { seed = seed, patience = 1e6, project = project_of(seed) })
        local _, entries = cancelled_after(world, six(is_failing), native.random() * 6)
        local status = check(entries, seed)
        assert.is_true(legal[status], status)
        outcomes[status] = (outcomes[status] or 0) + 1
        assert.same({}, world:left(), "seed " .. seed)
        world:close()
      end
      if CANCELS >= 50 then assert.is_true(outcomes.cancelled > 0, "none was cancelled") end
    end)

    it("does so from every write on, with a cancellation in the life that follows: " .. what, function()
      for writes = 1, 200 do
        local world = support.world(agents, { seed = writes, project = project_of(writes) })
        world:life(writes)
        world:begin(six(is_failing))
        local is_over, first = world.mortal.is_over, assert(world.store:runs {})[1]
        world:life()
        if is_over and first then
          world.engine:cancel(first.id, "enough of it")
          local status = check(assert(world.store:load(first.id)), writes)
          assert.is_true(legal[status], status)
          assert.same({}, world:left())
        end
        world:close()
        if not is_over then return assert.is_true(writes > 8, writes) end
      end
      error "it has no end"
    end)
  end
end)
