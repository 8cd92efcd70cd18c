-- The week in notes over a simulated month: one Friday after the other, with and without somebody to release it.
local support = dofile "spec/lua/weir/schedule/support.lua"
local approval = require "weir.approval"
local files = require "weir.port.files"
local waking = require "weir.run.waking"

local HOUR, DAY = 3600, 86400

describe("the pipeline weekly", function()
  local world
  before_each(function()
    world = support.world "2026-11-30T00:00:00Z" -- a Monday
    world:write("pipelines/weekly.lua", (assert(files.read("pipelines/weekly.lua", {})):gsub('tz = "local"', 'tz = "Europe/Berlin"')))
    world:write("docs/tide.md", "# Tide\n\nThe tide comes in twice a day. It follows the moon. Boats wait for it in the harbour.\n")
    world:write("docs/light.txt", "The lighthouse was built when two ships were lost on the reef. Its keeper writes down every ship.\n")
    world:start()
  end)
  after_each(function() world:close() end)

  local function asked()
    local waiting = assert(approval.pending(world.store))
    assert.equal(1, #waiting)
    return waiting[1]
  end

  local function decide(decision)
    assert(waking.decide(world.host.engine, asked().id, { decision = decision, by = "ada" }))
  end

  local function statuses()
    local list = {}
    for index, found in ipairs(world:runs "weekly") do list[index] = found.row.status end
    return list
  end

  local function page(day) return (files.read(("%s/weeks/%s.md"):format(world.folder, day), {})) end

  it("asks at three on each Friday of a month, and publishes what somebody released, and nothing else", function()
    world:pass(4 * DAY + 14 * HOUR - 60)
    assert.same({}, statuses())
    world:pass(120)
    assert.equal("Publish the week of 2026-12-04?", asked().title)
    assert.is_nil(page "2026-12-04")
    decide "approve"
    world:pass(HOUR)
    assert.match("^# The week of 2026%-12%-04\n\n.*tide", page "2026-12-04")

    world:pass(7 * DAY - HOUR) -- the second Friday: nobody says anything until Thursday
    assert.equal("Publish the week of 2026-12-11?", asked().title)
    world:pass(6 * DAY + HOUR)
    assert.is_nil(page "2026-12-11")

    world:write("docs/reef.md", "The reef has a new buoy. The buoy rings when the reef is near, and every boat hears the buoy.\n")
    world:pass(DAY - HOUR) -- the third: released by the host that came after the one that asked
    world:down(DAY)
    decide "approve"
    world:pass(HOUR)
    assert.match("buoy", page "2026-12-18")

    world:pass(6 * DAY - HOUR) -- the fourth: rejected
    decide "reject"
    world:pass(HOUR)
    assert.is_nil(page "2026-12-25")
    assert.equal(4, #world:started "weekly")
    local ends = statuses()
    assert.equal("finished", ends[1])
    assert.equal("finished", ends[3])
    assert.not_equal("finished", ends[2])
    assert.not_equal("finished", ends[4])
  end)

  it("summarizes the notes side by side, and keeps to its words", function()
    world:pass(4 * DAY + 14 * HOUR + 60)
    decide "approve"
    world:pass(HOUR)
    local text = page "2026-12-04"
    assert.match("lighthouse", text)
    assert.match("tide", text)
    assert.is_true(select(2, text:gsub("%S+", "")) <= 220)
  end)
end)
