local approval = require "weir.approval"
local audit = require "weir.audit"
local clock = require "weir.port.clock"
local event_log = require "weir.event.log"
local intake_of = require "weir.event.intake"
local native = require "weir.native.scheduler"
local support = dofile "spec/lua/weir/run/support.lua"
local tend = require "weir.approval.tend"
local weir = require "weir"

local P, S, A, G = weir.pipeline, weir.step, weir.approval, weir.group
local DAY = 86400

describe("a question that nobody decides", function()
  local world, run
  after_each(function()
    for _, row in ipairs(assert(world.store:runs {})) do
      if not world:row(row.id).ended_ms then world.engine:cancel(row.id, "the spec is over") end
    end
    local left = world:left()
    world:close()
    assert.same({}, left)
  end)

  local function asks(fields)
    world = support.world { act = function() return 1 end }
    run = world:begin(P "spec" { A "ask" (fields), S "act" { agent = "act" } }, {})
    return world:questions(run.id)[1]
  end

  local function events(store)
    local list = {}
    for index, entry in ipairs(event_log.page(store or world.store, {})) do list[index] = entry.event end
    return list
  end

  local function look(of) return tend.all(intake_of.new((of or world.engine).store, of or world.engine), clock.wall_ms()) end

  it("has people reminded, by one event of each nominal moment", function()
    local record = asks { who = { "ada" }, remind = "1d", title = "Publish?" }
    assert.equal(0, look())
    for _ = 1, 3 do
      native.sleep(DAY)
      assert.equal(1, look())
      assert.equal(0, look())
    end
    local list = events()
    assert.equal(3, #list)
    assert.same({ "weir.approval.reminder", "/approvals/" .. record.id, record.id, "Publish?", { "ada" }, 3 },
      { list[3].type, list[3].source, list[3].data.id, list[3].data.title, list[3].data.who, list[3].data.number })
    assert.equal(clock.rfc3339(record.asked_ms + 3 * DAY * 1000), list[3].data.nominal)
    assert.equal(3, approval.get(world.store, record.id).ladder.reminded)
  end)

  it("is looked after also behind one that is damaged, which is told", function()
    local first = asks { remind = "1h" }
    native.sleep(1)
    world:begin(P "spec" { A "ask" { remind = "1h" }, S "act" { agent = "act" } }, {})
    native.sleep(3600)
    local of = tend.look
    tend.look = function(intake, id, now_ms)
      if id == first.id then require("weir.failure").raise("corrupt", "approval %s is damaged", id) end
      return of(intake, id, now_ms)
    end
    local ok, err = pcall(look)
    tend.look = of
    assert.same({ false, "corrupt" }, { ok, err.code })
    assert.equal(1, #events())
    assert.not_equal(first.id, events()[1].data.id)
    assert.equal(1, look())
  end)

  it("whose moment cannot be removed from the store is looked at once, and that is raised", function()
    asks {}
    assert(world.store:put("approvals.timers", ("%013d/a_nobody"):format(1), 1))
    local calls = 0
    local store = setmetatable({}, { __index = function(_, name)
      return function(_, ...)
        if name ~= "delete" then return world.store[name](world.store, ...) end
        calls = calls + 1
        if calls > 1 then error "it goes round in a circle" end
        return nil, "the disk is full", "full"
      end
    end })
    local ok, err = pcall(tend.all, intake_of.new(store, world.engine), clock.wall_ms())
    assert.same({ false, "full" }, { ok, err.code })
    assert.equal(0, look())
    assert.same({}, world.store:scan("approvals.timers", {}))
  end)

  it("is caught up with once by whoever looks after a time without a host", function()
    asks { remind = "1d" }
    native.sleep(4.5 * DAY)
    assert.equal(1, look())
    assert.same({ 4, 3 }, { events()[1].data.number, events()[1].data.missed })
  end)

  it("is given to others, who may decide from then on, and stands in the audit trail", function()
    local record = asks { who = { "ada" }, escalate = { { after = "2h", to = { "bob" } }, { after = "1d", to = { "boss" }, instead = true } } }
    assert.equal("denied", (select(3, world:decide(record.id, { by = "bob" }))))
    native.sleep(7200)
    assert.equal(1, look())
    assert.same({ "weir.approval.escalated", { "ada", "bob" } }, { events()[1].type, events()[1].data.who })
    native.sleep(DAY)
    look()
    assert.equal("denied", (select(3, world:decide(record.id, { by = "bob" }))))
    local trail = {}
    for index, row in ipairs(audit.list(world.store)) do trail[index] = ("%s %s: %s to %s"):format(row.value.by, row.value.action, row.value.from, row.value.to) end
    assert.same({ "weir escalate: ada to ada, bob", "weir escalate: ada, bob to boss" }, trail)
    assert(world:decide(record.id, { by = "boss" }))
    world:settle(run.id)
    assert.equal("finished", world:ending(run.id).status)
  end)

  it("climbs from rung to rung where its time limit says so, and fails when there is no other", function()
    local record = asks { who = { "ada" }, timeout = "1h", on_timeout = "escalate", escalate = { "bob", "carol" } }
    native.sleep(3600)
    look()
    native.sleep(3600)
    look()
    assert.same({ "ada", "bob", "carol" }, approval.get(world.store, record.id).who)
    native.sleep(3600)
    assert.equal(0, look())
    world:settle(run.id)
    assert.equal("timeout", world:ending(run.id).value.code)
  end)

  it("is left alone once it is decided, and leaves nothing behind", function()
    local record = asks { remind = "1h", escalate = { { after = "1h", to = "bob" } } }
    assert(world:decide(record.id, {}))
    assert.same({}, world.store:scan("approvals.timers", {}))
    native.sleep(DAY)
    assert.equal(0, look())
    assert.same({}, events())
    world:settle(run.id)
  end)

  it("wakes what waits for such an event, in the transaction of the event", function()
    world = support.world { act = function() return 1 end }
    local asking = world:begin(P "spec" { A "ask" { remind = "1h" } }, {})
    local hears = world:begin(P "hears" { S "mail" { wait = { event = "weir.approval.*" } }, output = "$.mail.id" }, {})
    native.sleep(3601)
    look()
    world:settle(hears.id)
    assert.equal(world:questions(asking.id)[1].id, world:ending(hears.id).value)
    world:decide(world:questions(asking.id)[1].id, {})
    world:settle(asking.id)
  end)

  it("counts working time only, of the calendar that its name stood for when it was asked", function()
    world = support.world { act = function() return 1 end }
    world.engine.project.settings.calendars = { office = { days = "mon-fri" } }
    local friday = DAY + 15 * 3600 -- at three; the first day of 1970 was a Thursday
    native.sleep((friday - clock.wall_ms() / 1000) % (7 * DAY))
    local started = clock.wall_ms()
    run = world:begin(P "spec" { A "ask" { timeout = "3h", on_timeout = "reject", remind = "2h",
      working = { hours = "09:00-17:00", calendar = "office", tz = "UTC" } } }, {})
    local record = world:questions(run.id)[1]
    assert.same({ days = "mon-fri" }, record.ladder.working.calendar)
    world.engine.project.settings.calendars = { office = { days = "sat-sun" } }
    assert.equal(2 * 24 + 19, math.floor((record.due_ms - started) / 3600000 + 0.5)) -- Monday at ten
    native.sleep(2 * 3600)
    assert.equal(1, look())
    native.sleep(12 * 3600)
    assert.equal(0, look())
    world:decide(record.id, {})
    world:settle(run.id)
  end)

  it("is asked for once, whenever the process ends while it is looked after", function()
    for writes = 1, 60 do
      if world then world:close() end
      asks { who = { "ada" }, remind = "1h", escalate = { { after = "2h", to = "bob" } } }
      native.sleep(2 * 3600)
      world:life(writes - 1)
      pcall(look, world.engine)
      local is_over = world.mortal.is_over
      world:life()
      look()
      look()
      local types = {}
      for index, event in ipairs(events()) do types[index] = ("%s %d"):format(event.type, event.data.number) end
      table.sort(types)
      assert.same({ "weir.approval.escalated 1", "weir.approval.reminder 2" }, types)
      assert.equal(1, #audit.list(world.store))
      world:settle(run.id, support.actor { ask = { by = "bob" } })
      if not is_over then return assert.is_true(writes > 1) end
    end
    error "it has no end"
  end)

  it("is looked after by two at once as by one", function()
    local record = asks { remind = "1h" }
    native.sleep(3600)
    local first, second = intake_of.new(world.engine.store, world.engine), intake_of.new(world.engine.store, world.engine)
    local counts, tasks = {}, {}
    for index, intake in ipairs { first, second } do
      tasks[index] = native.spawn(function() counts[index] = #tend.look(intake, record.id, clock.wall_ms()) end)
    end
    for _, one in ipairs(tasks) do one:join() end
    assert.same({ 1, 1 }, { counts[1] + counts[2], #events() })
  end)

  it("of a gate and of a flow has a ladder, too", function()
    world = support.world { act = function() return 1 end }
    run = world:begin(P "spec" { G "g" { S "act" { agent = "act" }, gate = { remind = "1h" } } }, {})
    native.sleep(3600)
    assert.equal(1, look())
    local id = world:questions(run.id)[1].id
    native.sleep(3600)
    look()
    assert.equal(2, approval.get(world.store, id).ladder.reminded)
  end)
end)
