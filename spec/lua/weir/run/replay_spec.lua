-- Runs are recorded by one process and replayed by others on the same code: each comes to the same end by the same
-- questions, although hash seeds and addresses are others in every process. WEIR_REPLAYS: how many runs (default 100);
-- WEIR_REPLAY_PROCESSES: in how many processes each is replayed (default 2).

local engine_of = require "weir.run.engine"
local files = require "weir.port.files"
local pages = require "weir.pages"
local process = require "weir.port.process"
local store_port = require "weir.port.store"
local support = dofile "spec/lua/weir/registry/support.lua"
local system = require "weir.port.system"

local RUNS = math.tointeger(os.getenv "WEIR_REPLAYS") or 100
local PROCESSES = math.tointeger(os.getenv "WEIR_REPLAY_PROCESSES") or 2
local LIFE = 1800 -- seconds that a process may take

local TALE = [[
local weir = require "weir"
return weir.flow "tale" { input = { number = "integer" }, function(run, input)
  local order, words = weir.list {}, { ebb = 1, flood = 2, spring = 3, neap = 4, slack = 5, surge = 6 }
  for word in pairs(words) do order[#order + 1] = word end
  local drawn = weir.list { run:random(1000000), math.random(1000000), os.time(), run:now() }
  local first = run:step "first" { agent = "draw", input = { order = order, drawn = drawn, number = input.number } }
  for _ = 1, first.rounds do
    run:step "again" { agent = "draw", input = { at = run:now(), drawn = run:random(1000) }, options = { flaky = true }, retry = { attempts = 3, backoff = "1ms" } }
  end
  local both = run:group "both" { weir.step "left" { agent = "draw", input = first }, weir.step "right" { agent = "draw" } }
  local ok, err = pcall(run.step, run, "none")
  return { number = input.number, first = first, both = both, ok = ok, why = type(err), below = weir.run("short", { number = first.rounds }) }
end }
]]

local SHORT = [[
local weir = require "weir"
return weir.pipeline "short" { input = { number = "integer" },
  weir.group "wide" {
    weir.step "a" { agent = "draw", input = { n = "$.input.number" } },
    weir.step "b" { agent = "draw", when = "$.input.number > 2" },
    weir.step "c" { agent = "draw", optional = true, options = { fails = true } },
  },
  weir.map "items" { over = { 1, 2, 3 }, concurrency = 2, weir.step "one" { agent = "draw", input = { n = "$.item", of = "$.a" } } },
  weir.step "body" { groups = { weir.step "x" { agent = "draw" }, weir.step "y" { agent = "draw", input = { of = "$.a" } } } },
  output = { "$.a", "$.items" },
}
]]

-- What it asks depends on where the system has put a table.
local ADDRESS = [[
local weir = require "weir"
return weir.flow "address" { input = { number = "integer" }, function(run)
  return run:step "first" { agent = "draw", input = { at = tostring {} } }
end }
]]

local DRAW = [[
local drawn = ctx:random(1000000)
if ctx.options.fails then error "it fails" end
if ctx.options.flaky and drawn % 3 == 0 and ctx.attempt == 1 then error { code = "unavailable", message = "once more" } end
return { drawn = drawn, rounds = drawn % 4, seen = input }
]]

-- One process: a line for each run, with the digest of its replay, or where that parts from the record.
local REPLAY = [[
local binding = require "weir.run.binding"
local engine_of = require "weir.run.engine"
local hash = require "weir.native.hash"
local json = require "weir.json"
local journal = require "weir.run.journal"
local migrate = require "weir.run.migrate"
local pages = require "weir.pages"
local port = require "weir.port.store"
local project = require "weir.project"
local rehearsal = require "weir.run.rehearsal"

local function line(own, plan, id)
  local parting, replayed = rehearsal.replay(own, id, plan, binding.hold_own(own, plan))
  local entries = assert(own.store:load(id))
  local recorded = entries[#entries]
  local is_equal = recorded[1] == "end" and recorded[2] == replayed.status
    and (recorded[2] ~= "finished" or json.encode(recorded[3]) == json.encode(replayed.output))
  if parting then return id .. " parts: " .. parting.message end
  if not is_equal then return id .. " comes to another end: " .. tostring(replayed.status) end
  local questions = {}
  for key, asked in next, replayed.questions do
    questions[#questions + 1] = json.encode { key, asked.kind, asked.module or "", asked.input == nil and json.null or asked.input }
  end
  table.sort(questions)
  return id .. " " .. hash.sha256(json.encode { replayed.status, replayed.output == nil and json.null or replayed.output, questions })
end

describe("a process", function() it("replays all runs", function()
  local here = project.open "."
  local store <close> = assert(port.open "store")
  local own, plans, lines = engine_of.new(here, store, { patience = 0, near = 0 }), {}, {}
  for found in pages.runs(store, {}) do
    local name = found.row.pipeline
    plans[name] = plans[name] or migrate.plan(own, name, "latest")
    lines[#lines + 1] = line(own, plans[name], found.id)
  end
  table.sort(lines)
  local file = assert(io.open(os.getenv "WEIR_SPEC_OUTPUT", "wb"))
  file:write(table.concat(lines, "\n"), "\n")
  file:close()
end) end)
]]

describe("a replay in another process", function()
  local place
  before_each(function()
    place = support.place()
    place:agent("draw", DRAW, nil, "options = { fails = 'boolean = false', flaky = 'boolean = false' }")
    for name, text in pairs { tale = TALE, short = SHORT, address = ADDRESS } do place:write(("pipelines/%s.lua"):format(name), text) end
    place:write("replay_spec.lua", REPLAY)
  end)
  after_each(function() place:close() end)

  -- Runs of a pipeline, and those that they start.
  local function record(name, count)
    local store <close> = assert(store_port.open(place.folder .. "/store"))
    local own = engine_of.new(place:open(), store, { patience = 60, near = 60 })
    for number = 1, count do
      local run = support.run(own, name, { number = number % 7 })
      assert.equal("finished", run.status, run.error and run.error.message)
    end
    local all = 0
    for _ in pages.runs(store) do all = all + 1 end
    return all
  end

  local function replay(number)
    local output = ("%s/lines.%d"):format(place.folder, number)
    local done = assert(process.run({ system.program(), "test", "replay_spec.lua" },
      { cwd = place.folder, env = system.environment { WEIR_SPEC_OUTPUT = output }, timeout = LIFE }))
    assert.equal(0, done.status, done.stdout .. done.stderr)
    return assert(files.read(output))
  end

  it("asks the same and comes to the same, in every process", function()
    local count = 0
    for name, part in pairs { tale = RUNS // 2, short = RUNS - RUNS // 2 } do count = record(name, part) end
    assert.is_true(count >= RUNS, count)
    local first = replay(1)
    assert.equal(count, select(2, first:gsub("\n", "")))
    assert.is_nil(first:match "[^\n]*parts:[^\n]*")
    assert.is_nil(first:match "[^\n]*another end:[^\n]*")
    for number = 2, PROCESSES do assert.is_true(first == replay(number), "process " .. number .. " has replayed otherwise") end
  end)

  it("finds a flow that asks for what is another thing in each process", function()
    record("address", 3)
    assert.matches("parts: step 'first'", replay(1))
  end)
end)
