local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local engine_of = require "weir.run.engine"
local project = require "weir.project"
local selection = require "weir.view.selection"
local standing = require "weir.view.standing"
local record = require "weir.view.record"
local shape = require "weir.view.shape"
local store_port = require "weir.port.store"
local task = require "weir.task"
local waking = require "weir.run.waking"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

describe("the runs of a list", function()
  local store, own
  before_each(function()
    native.use_virtual_clock(1)
    store = assert(store_port.open ":memory:")
    own = engine_of.new(project.open ".", store, { patience = 100, near = 100 })
  end)
  after_each(function()
    own:stop "the spec is over"
    while next(own.live) do task.sleep(1) end
    store:close()
    native.use_real_clock()
  end)

  local function start(pipeline)
    task.sleep(0.01) -- so that ids are in the order of the starts
    return own:start(assert(own.project:check(pipeline)), {})
  end
  it("begin at a day that the calendar has, or so long ago", function()
    local ms = selection.since("2024-02-29", "--since")
    assert.equal("2024-02-29 00:00:00", os.date("%Y-%m-%d %H:%M:%S", ms // 1000))
    for _, given in ipairs { "2026-02-29", "2026-13-01", "2026-04-31", "2026-00-01", "0000-01-01" } do
      local ok, err = pcall(selection.since, given, "--since")
      assert.same({ false, "invalid" }, { ok, type(err) == "table" and err.code or err })
      assert.matches("^%-%-since: ", err.message)
    end
    assert.equal("integer", math.type(selection.since("99999999999999d", "--since")))
  end)

  local function ids(query)
    query.live = own.live
    local list = {}
    for index, found in ipairs(selection.runs(store, query)) do list[index] = found.id end
    return list
  end

  local ASKS = P "asks" { S "ear" { wait = { signal = "word" } } }
  local BOTH = P "both" { weir.group "g" { S "ear" { wait = { signal = "word" } }, S "busy" { agent = "busy" } } }

  it("have the step that waits also before the note of its start has reached the journal", function()
    local run = start(ASKS)
    task.sleep(1)
    local before = { get = function(_, ...) return store:get(...) end, load = function(_, id)
      local entries, row = store:load(id)
      return { entries[1] }, row
    end }
    local loaded = record.load(before, run.id, own.live)
    assert.same({ "waiting", 1, "ear", "waiting" }, { loaded.status, #loaded.steps, loaded.steps[1].key, loaded.steps[1].status })
    assert.equal(run.waits.ear.since_ms, loaded.steps[1].from_ms)
  end)

  it("have no step for a pause, which is nobody's", function()
    local run = start(ASKS)
    task.sleep(1)
    waking.pause(own, run.id)
    local loaded = record.load(store, run.id, own.live)
    assert.same({ "waiting", 1, "ear" }, { loaded.status, #loaded.steps, loaded.steps[1].key })
    assert.equal("pause", loaded.waiting[#loaded.waiting].kind)
  end)

  it("that only wait say so at once, although their rows do not yet, in every list and in no other", function()
    local go = native.waiter()
    own.project.registry:put { kind = "agent", name = "busy", api = 1, execute = function()
      go:wait "the word"
      return 1
    end }
    local first = start(P "plain" { S "a" { agent = "echo", input = { n = 1 } } })
    local early, both, late = start(ASKS), start(BOTH), start(ASKS)
    task.sleep(1)
    assert.equal("running", store:row(early.id).status)
    assert.same({ late.id, early.id }, ids { status = "waiting" })
    assert.same({ late.id }, ids { status = "waiting", limit = 1 })
    assert.same({ early.id }, ids { status = "waiting", after = both.id })
    assert.same({}, ids { status = "waiting", pipeline = "both" })
    assert.same({ both.id }, ids { status = "running" })
    assert.same({ late.id, both.id, early.id, first.id }, ids {})
    local row = selection.runs(store, { live = own.live, pipeline = "asks", limit = 1 })[1].row
    assert.same({ "waiting", "ear", "signal" }, { row.status, row.waiting[1].step, row.waiting[1].kind })
    assert.equal("running", store:row(late.id).status) -- and nothing was written for it
    assert.same({ "waiting", "waiting" }, { shape.live(early).status, record.load(store, early.id, own.live).status })
    local loaded = record.load(store, both.id, own.live)
    assert.same({ "running", 1, "waiting" }, { loaded.status, #loaded.waiting, loaded.by_key["g/ear"].status })
    local counts = standing.counts(own.live, { runs = { running = 3, finished = 1 }, all = 4, at = "now" })
    assert.same({ runs = { running = 1, waiting = 2, finished = 1 }, all = 4, at = "now" }, counts)
    waking.signal(own, early.id, "word", 1)
    early:wait()
    assert.same({ late.id }, ids { status = "waiting" })
    task.sleep(200) -- late is parked by now
    assert.equal("waiting", store:row(late.id).status)
    assert.same({ late.id }, ids { status = "waiting" })
    go:wake()
  end)

  it("since a day need a day that there is", function()
    assert.equal("number", type(selection.since("2024-02-29", "--since")))
    for _, day in ipairs { "2026-02-29", "2026-13-01", "2026-00-10", "2026-04-31", "2026-01-00" } do
      local ok, err = pcall(selection.since, day, "--since")
      assert.same({ false, "invalid" }, { ok, err.code })
    end
  end)

  it("of one pipeline are found among many others, also when the search ends in between", function()
    for number = 1, 4100 do
      local name = number % 2050 == 1 and "rare" or "usual"
      local handle = assert(store:new_run(("r_%020d"):format(number), 1))
      assert(handle:append({ "run" }, { status = "finished", pipeline = name, started_ms = number, ended_ms = number, error = json.null }))
    end
    local found, rest = selection.runs(store, { pipeline = "rare", pages = 1 })
    assert.same({ 0, "r_00000000000000002101" }, { #found, rest })
    found, rest = selection.runs(store, { pipeline = "rare", pages = 1, after = rest })
    assert.same({ 1, "r_00000000000000002051" }, { #found, found[1].id })
    assert.equal("r_00000000000000000101", rest)
    found, rest = selection.runs(store, { pipeline = "rare", pages = 1, after = rest })
    assert.same({ 1, "r_00000000000000000001" }, { #found, found[1].id })
    assert.is_nil(rest)
    assert.equal(2, #selection.runs(store, { pipeline = "rare" }))
    assert.equal(1, #selection.runs(store, { pipeline = "rare", since_ms = 1000 }))
    assert.equal(4098, #selection.runs(store, { pipeline = "usual" }))
  end)
end)
