local ladder = require "weir.approval.ladder"
local working = require "weir.schedule.working"

local HOUR, DAY = 3600000, 86400000
local ASKED = 20418 * DAY -- a Thursday at midnight

local function kinds(happened)
  local list = {}
  for index, one in ipairs(happened) do list[index] = ("%s %d at %gh"):format(one.kind, one.number, (one.nominal_ms - ASKED) / HOUR) end
  return list
end

-- Looks at a ladder at each of these hours; gives what happened, and the ladder at the end.
local function look(fields, due_hours, ...)
  local clock = fields.working and working.read(fields.working) or working.always
  local of, seen = ladder.new(fields, ASKED, clock), {}
  for _, hours in ipairs { ... } do
    local happened
    of, happened = ladder.take(of, ASKED, due_hours and ASKED + due_hours * HOUR, ASKED + hours * HOUR, clock)
    for _, text in ipairs(kinds(happened)) do seen[#seen + 1] = text end
  end
  return seen, of
end

describe("a ladder", function()
  it("reminds again and again, at moments counted from when it was asked", function()
    assert.same({ "reminder 1 at 24h", "reminder 2 at 48h", "reminder 3 at 72h" },
      (look({ remind = { every = 86400 } }, nil, 23, 25, 25, 48, 71.9, 73)))
  end)

  it("reminds at the moments of a list, and then no more", function()
    local seen, of = look({ remind = { at = { 3600, 86400 } } }, nil, 1, 24, 100, 1000)
    assert.same({ "reminder 1 at 1h", "reminder 2 at 24h" }, seen)
    assert.is_nil(ladder.next_ms(of))
  end)

  it("makes one reminder of those that were missed, and says how many they were", function()
    local of = ladder.new({ remind = { every = 3600 } }, ASKED, working.always)
    local _, happened = ladder.take(of, ASKED, nil, ASKED + 5.5 * HOUR, working.always)
    assert.equal(1, #happened)
    assert.same({ 5, 4, ASKED + 5 * HOUR }, { happened[1].number, happened[1].missed, happened[1].nominal_ms })
  end)

  it("gives each nominal moment once, however it is looked at", function()
    for step = 1, 30 do
      local of, count, clock = ladder.new({ remind = { every = 3600 }, escalate = { { after = 7200, to = { "b" } }, { after = 7200, to = { "c" } } } },
        ASKED, working.always), 0, working.always
      local rungs = 0
      for minutes = 0, 600, step * 7 do
        local happened
        of, happened = ladder.take(of, ASKED, nil, ASKED + minutes * 60000, clock)
        for _, one in ipairs(happened) do
          if one.kind == "reminder" then count = count + 1 + (one.missed or 0) else rungs = rungs + 1 end
        end
      end
      local last = 600 // (step * 7) * step * 7
      assert.same({ last // 60, last >= 120 and 2 or 0 }, { count, rungs })
    end
  end)

  it("takes the rungs in order, and lets their people decide as well, or instead", function()
    local escalate = { { after = 3600, to = { "bob" } }, { after = 7200, to = { "carol", "ada" } }, { after = 10800, to = { "boss" }, instead = true } }
    local who = { "ada" }
    local seen, of = look({ escalate = escalate }, nil, 1)
    assert.same({ "escalated 1 at 1h" }, seen)
    assert.same({ "ada", "bob" }, ladder.who(who, of))
    seen, of = look({ escalate = escalate }, nil, 2.5)
    assert.same({ "escalated 1 at 1h", "escalated 2 at 2h" }, seen)
    assert.same({ "ada", "bob", "carol" }, ladder.who(who, of))
    assert.same({ "boss" }, ladder.who(who, (select(2, look({ escalate = escalate }, nil, 3)))))
    assert.same({ "ada" }, who)
    assert.is_nil(ladder.who(nil, (select(2, look({ escalate = escalate }, nil, 2)))))
    assert.same({ "boss" }, ladder.who(nil, (select(2, look({ escalate = escalate }, nil, 3)))))
  end)

  it("ends when the question is due", function()
    local seen, of = look({ remind = { every = 3600 }, escalate = { { after = 7200, to = { "b" } } } }, 2, 100)
    assert.same({ "reminder 1 at 1h" }, seen)
    assert.is_nil(ladder.next_ms(of, ASKED + 2 * HOUR))
  end)

  it("counts working time where it says so", function()
    local office = { hours = "09:00-17:00", tz = "UTC" }
    local seen = look({ working = office, remind = { every = 4 * 3600 }, escalate = { { after = 86400, to = { "b" } } } }, nil, 13, 17, 24 + 13)
    assert.same({ "reminder 1 at 13h", "reminder 2 at 17h", "escalated 1 at 33h", "reminder 3 at 37h" }, seen)
  end)

  it("never changes the one that it is given", function()
    local of = ladder.new({ remind = { every = 3600 } }, ASKED, working.always)
    ladder.take(of, ASKED, nil, ASKED + 10 * HOUR, working.always)
    assert.same({ ASKED + HOUR }, { of.remind_ms, of.reminded })
  end)
end)
