--- Test 62: a host is killed again and again around the moments in which it decides and starts; each nominal time starts one
--- run. WEIR_KILLS says how often; the nightly test kills a thousand times.

local clock = require "weir.port.clock"
local json = require "weir.native.json"
local process = require "weir.port.process"
local store_port = require "weir.port.store"
local support = dofile "spec/lua/weir/cli/support.lua"

local KILLS = math.tointeger(tonumber(os.getenv "WEIR_KILLS")) or 8
local WRITES = 14 -- of a life, at most, before it is killed
local POINTS = { "before_request", "after_request" }
local PATIENCE = 60 -- seconds

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "tick" {
  on = { { schedule = { cron = "* * * * * *", overlap = "allow_all", missed = "all" } } },
  weir.step "work" { agent = "echo", input = "$.input.nominal" },
}
]]

describe("a host that is killed between what it decides and what it starts", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}\n")
    support.write(folder, "pipelines/tick.lua", PIPELINE)
  end)
  after_each(function() support.remove(folder) end)

  local function serve(env)
    return support.start({ "serve", "--json", "--listen", "off" }, { cwd = folder, env = env })
  end

  -- One life, which ends by itself at a write that is drawn.
  local function live_and_die()
    local host = serve { WEIR_FAILPOINT = ("%s:%d"):format(POINTS[math.random(#POINTS)], math.random(WRITES)) }
    local done = host:wait(PATIENCE)
    assert(done, "the host lives though it was to be killed")
    assert.not_equal(0, done.status)
    host:close()
  end

  local function runs_by_time(store)
    local by_time, after = {}, nil
    repeat
      local page = assert(store:runs { limit = 1000, after = after })
      for _, found in ipairs(page) do
        local nominal = math.tointeger(tonumber(found.row.key:match "/(%d+)$"))
        by_time[nominal] = by_time[nominal] or {}
        table.insert(by_time[nominal], found)
      end
      after = page[#page] and page[#page].id
    until #page < 1000
    return by_time
  end

  -- A last life in peace, until nothing goes on. What waits when it is paused goes on waiting; it is the latest.
  local function settle()
    local host = serve()
    assert(support.read_until(host.stdout, "\n"))
    local deadline = clock.now() + PATIENCE
    local function ask(...)
      local done = assert(process.run({ require("luv").exepath(), "schedule", ... }, { cwd = folder, env = support.environment {} }))
      return done.status == 0 and support.lines(done.stdout) or {}
    end
    while not (ask("pause", "tick", "--json"))[1] do
      assert(clock.now() < deadline)
      clock.sleep(0.05)
    end
    local line
    repeat
      assert(clock.now() < deadline, json.encode(line))
      clock.sleep(0.05)
      line = ask("list", "--json")[1]
    until line and #line.active == 0
    host:kill "sigterm"
    assert.equal(0, assert(host:wait(PATIENCE)).status)
    host:close()
  end

  it(("starts each nominal time once: %d kills"):format(KILLS), function()
    for _ = 1, KILLS do live_and_die() end
    settle()
    local store = assert(store_port.open(folder .. "/.weir"))
    local first, last, count
    for nominal, runs in pairs(runs_by_time(store)) do
      assert.equal(1, #runs, nominal)
      -- Of a run that was under way whenever the host died it is taken that it kills the host.
      local status = runs[1].row.status
      assert.is_true(status == "finished" or status == "quarantined", status)
      first, last, count = math.min(first or nominal, nominal), math.max(last or nominal, nominal), (count or 0) + 1
    end
    store:close()
    assert.equal((last - first) // 1000 + 1, count, "a second was left out")
    assert.is_true(count >= 2)
  end)
end)
