--- Test 65: many schedules that are due at once, such as after a restart. WEIR_HERD says how many; the nightly test has 1,000.

local support = dofile "spec/lua/weir/schedule/support.lua"

local HERD = math.tointeger(tonumber(os.getenv "WEIR_HERD")) or 150
local AT_ONCE = 16

describe(("%d schedules that are due at once"):format(HERD), function()
  local world
  before_each(function() world = support.world "2026-03-02T06:30:00Z" end)
  after_each(function() world:close() end)

  -- How many of those that were due before one start after it, at most.
  local function passed(minutes)
    local most = 0
    for index, minute in ipairs(minutes) do
      local count = 0
      for later = index + 1, #minutes do
        if minutes[later] < minute then count = count + 1 end
      end
      most = math.max(most, count)
    end
    return most
  end

  local function herd()
    local list = {}
    for n = 1, HERD do
      list[n] = ('{ name = "n%04d", schedule = { cron = "%d 7 * * *" } }'):format(n, n % 60)
    end
    world:write("pipelines/herd.lua", ([[
      local weir = require "weir"
      return weir.pipeline "herd" { on = { %s }, weir.step "work" { agent = "work", input = { seconds = 1 } } }
    ]]):format(table.concat(list, ", ")))
    world:write("pipelines/fresh.lua", [[
      local weir = require "weir"
      return weir.pipeline "fresh" { weir.step "work" { agent = "work", input = { seconds = 0.01 } } }
    ]])
  end

  it("start in the order in which they were due, a bounded number at a time, and new work is served between them", function()
    herd()
    world:start()
    world:stop()
    world:pass(3 * 3600)
    world:start()
    local host = world.host
    local fresh = host.engine:start(assert(host.project:pipeline "fresh"), {})
    local follower = host.feed:follow { kinds = { "schedule" }, after = host.feed.life .. "-0" }
    local minutes, most = {}, 0
    while #minutes < HERD do
      local event = assert(follower:next(60))
      most = math.max(most, host.schedules.working)
      if event.data.outcome == "started" and not event.data.status then
        minutes[#minutes + 1] = tonumber(event.data.nominal:match "T07:(%d%d)")
      end
    end
    follower:close()
    fresh:wait()
    assert.is_true(most <= AT_ONCE, most)
    assert.is_true(passed(minutes) < AT_ONCE) -- those that are tended at once may pass each other
    world:pass(60)
    local runs = world:runs "herd"
    assert.equal(HERD, #runs)
    local last_started = 0
    for _, found in ipairs(runs) do
      assert.equal("finished", found.row.status)
      last_started = math.max(last_started, found.row.started_ms)
    end
    assert.is_true(HERD < 1000 or fresh.ended_ms < last_started)
  end)
end)
