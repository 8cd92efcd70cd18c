local clock = require "weir.port.clock"
local failure = require "weir.failure"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"
local waking = require "weir.run.waking"

-- A store in which so many runs wait and are due.
local function crowd(store, count)
  local operations = {}
  for n = 1, count do
    local id = ("r_%020d"):format(n)
    operations[#operations + 1] = { op = "entry", journal = store:new_run(id, 1), entry = { "run", {} }, row = { status = "waiting" } }
    operations[#operations + 1] = keeping.wake_operation(id)
  end
  assert(store:batch(operations))
  return ("r_%020d"):format(count)
end

describe("runs whose time has come", function()
  local store
  before_each(function()
    native.use_virtual_clock(1)
    store = assert(store_port.open ":memory:")
  end)
  after_each(function()
    store:close()
    native.use_real_clock()
  end)

  it("are woken also behind hundreds that cannot go on, or are at work already", function()
    local last = crowd(store, 700)
    local engine, tried, woken = { store = store, live = {}, waking = {} }, 0, nil
    for n = 1, 300 do engine.live[("r_%020d"):format(n)] = {} end
    local service = waking.serve(engine, function(_, run_id)
      tried = tried + 1
      if run_id ~= last then failure.raise("conflict", "somebody else is at work on it") end
      woken = run_id
      store:delete("timers", keeping.timer_key(run_id))
    end)
    clock.sleep(10)
    service:close()
    assert.same({ last, 400 }, { woken, tried })
  end)

  it("are not remembered as refused once they have ended", function()
    local only = crowd(store, 1)
    local service = waking.serve({ store = store, live = {}, waking = {} }, function() failure.raise("conflict", "it cannot go on") end)
    clock.sleep(1)
    assert.is_true(service.refused[only])
    assert(store:batch { { op = "entry", journal = assert(store:run(only, 1)), entry = { "end" }, row = { status = "cancelled" }, ended = true } })
    service:nudge()
    clock.sleep(1)
    assert.same({}, service.refused)
    service:close()
  end)

  it("are all tried when everything goes on, also when hundreds before them cannot", function()
    crowd(store, 700)
    local left = {}
    local engine = { store = store, live = {}, waking = {}, at_work = function() end,
      reopen = function() failure.raise("conflict", "somebody else is at work on it") end }
    local count = recovery.all(engine, { on_left = function(run_id, _, err) left[#left + 1] = { run_id, err.code } end })
    assert.same({ 700, 700, "conflict" }, { count, #left, left[700][2] })
  end)

  it("are given with a limit, without those that the caller leaves out", function()
    crowd(store, 20)
    local ids = waking.due({ store = store }, 2, function(run_id) return run_id < ("r_%020d"):format(5) end)
    assert.same({ ("r_%020d"):format(5), ("r_%020d"):format(6) }, ids)
  end)
end)

describe("a run that somebody wakes who is cancelled while that is being kept", function()
  local approval = require "weir.approval"
  local task = require "weir.task"
  local store, engine, woken
  before_each(function()
    store = assert(store_port.open ":memory:")
    crowd(store, 1)
    woken = {}
    engine = { store = store, live = {}, waking = {}, project = { settings = {} },
      service = { refused = {}, nudge = function() woken[#woken + 1] = true end } }
  end)
  after_each(function() store:close() end)

  local function cancelled_while(body)
    local who = task.spawn(body)
    task.yield() -- it waits for the disk
    who:cancel "enough"
    who:join()
    assert.same({ true }, woken)
    assert.same({}, engine.waking)
  end

  it("is woken, by a signal", function()
    cancelled_while(function() waking.signal(engine, ("r_%020d"):format(1), "go", 7) end)
    assert.equal(7, select(2, waking.next_signal(engine, ("r_%020d"):format(1), "go", {})))
  end)

  it("is woken, by a decision", function()
    local id = require("weir.id").new "a"
    local action, hash = approval.action { pipeline = "p", version = "v", run = ("r_%020d"):format(1), step = "ask" }
    assert(store:batch(approval.ask { id = id, kind = "approval", action = action, hash = hash, asked_ms = clock.wall_ms() }))
    cancelled_while(function() waking.decide(engine, id, { decision = "approve", by = "ada", hash = hash }) end)
    assert.equal("decided", select(2, approval.get(store, id)))
  end)
end)
