-- Runs between stores, and the file in between.
local archive = require "weir.run.archive"
local engine = require "weir.run.engine"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local pins = require "weir.upkeep.pins"
local project = require "weir.project"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"
local task = require "weir.task"
local transfer = require "weir.run.transfer"
local waking = require "weir.run.waking"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

local here, store, other, own

local function within(body)
  return function()
    local ok, err = task.within({}, body)
    if not ok then error(err.message .. (err.traceback or ""), 0) end
  end
end

local function opener(bytes)
  return function()
    local at = 1
    return { size = #bytes, read = function(count)
      local piece = bytes:sub(at, at + count - 1)
      at = at + count
      return piece
    end }
  end
end

local function exported(id)
  local pieces = {}
  local done = transfer.export(store, id, function(bytes) pieces[#pieces + 1] = bytes end)
  local whole = table.concat(pieces)
  assert.equal(#whole, done.bytes)
  return whole, done
end

local function run(definition, input)
  local checked, errors = here:check(definition)
  assert(checked, errors and errors[1].message)
  return own:run(checked, input or {})
end

local function code_of(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err.code, err.message
end

local function counts(of)
  return assert(of:verify())
end

local WAITS = P "waits" {
  S "one" { agent = "echo", input = { text = "\u{e9}", n = 1.0, list = weir.list { 1, 2 } } },
  weir.approval "release" { title = "Publish?", show = "$.one" },
  weir.wait "word" { signal = "go" },
}

before_each(function()
  native.use_virtual_clock(1, 0)
  here, store, other = project.open ".", assert(store_port.open ":memory:"), assert(store_port.open ":memory:")
  own = engine.new(here, store, { patience = 0, near = 60 })
end)
after_each(function()
  store:close()
  other:close()
  native.use_real_clock()
end)

describe("a run that is exported and imported", function()
  it("is there as it was, when it has ended", within(function()
    local done = run(P "ends" { S "one" { agent = "echo", input = { text = ("long "):rep(2000) } }, output = "$.one.text" })
    local whole, told = exported(done.id)
    assert.same({ done.id, 3 }, { told.run, told.entries })
    local taken = transfer.import(other, opener(whole))
    assert.same({ done.id, 3, "finished" }, { taken.run, taken.entries, taken.row.status })
    local ours, our_row = store:load(done.id)
    local theirs, their_row = other:load(done.id)
    assert.same({ ours, our_row }, { theirs, their_row })
    assert.equal(done.id, other:runs({ status = "finished" })[1].id)
    local version = ours[1][2].version
    assert.same(store:get("definitions", version), other:get("definitions", version))
    local module = "agents/echo@" .. ours[1][2].pins["agents/echo"]
    assert.same(store:get("modules", module), other:get("modules", module))
  end))

  it("is the same file whenever it is written, but for the time", within(function()
    local done = run(P "ends" { S "one" { agent = "echo" } })
    assert.equal(hash.sha256((exported(done.id))), hash.sha256((exported(done.id))))
  end))

  it("is paused when it has not ended, and goes on when it is resumed", within(function()
    local waits = run(WAITS)
    assert.equal("waiting", waits.status)
    waking.signal(own, waits.id, "go", 7)
    local whole = exported(waits.id)
    local taken = transfer.import(other, opener(whole))
    assert.is_true(taken.row.is_paused)
    local theirs = engine.new(project.open ".", other, { patience = 0, near = 60 })
    assert.equal(0, #waking.due(theirs))
    assert.equal(0, recovery.all(theirs))
    local question = require("weir.approval").pending(other, {})[1]
    assert.same({ waits.id, "release" }, { question.run, question.step })
    assert(waking.decide(theirs, question.id, { decision = "approve", by = "ada" }))
    local ended = recovery.go_on(theirs, waits.id)
    assert.same({ "finished", 7 }, { ended.status, ended.output })
    assert.equal("waiting", store:row(waits.id).status)
  end))

  it("carries what was decided, and the modules that its files do not have any more", within(function()
    own.decide = function() return { decision = "approve", by = "ada" } end
    local waits = run(WAITS)
    transfer.import(other, opener((exported(waits.id))))
    assert.equal(1, #other:scan "decisions")
    local entry = store:load(waits.id)[1][2]
    local kept = other:get("modules", "agents/echo@" .. entry.pins["agents/echo"])
    assert.matches("function M.execute", kept.text)
  end))

  it("is refused where it is already, and nothing is changed", within(function()
    local done = run(P "ends" { S "one" { agent = "echo" } })
    local whole = exported(done.id)
    local before = counts(store)
    local code, message = code_of(transfer.import, store, opener(whole))
    assert.same({ "conflict", true }, { code, message:find("already", 1, true) ~= nil })
    assert.same(before, counts(store))
    assert.equal("not_found", (code_of(transfer.export, store, "r_none", function() end)))
  end))

  it("is taken beside others of the same definition, and keeps what it is pinned to whatever is swept away meanwhile", within(function()
    local texts, of_runs = { (exported(run(WAITS).id)), (exported(run(WAITS).id)) }, pins.of_runs
    local version = store:runs({})[1].row.version
    pins.of_runs = function(...) -- luacheck: ignore 122
      pins.of_runs = of_runs -- luacheck: ignore 122
      local pinned, imports = of_runs(...), {}
      for n, text in ipairs(texts) do imports[n] = native.spawn(transfer.import, other, opener(text)) end
      for _, one in ipairs(imports) do
        local ok, err = one:join()
        assert.is_true(ok, not ok and tostring(err))
      end
      return pinned
    end
    pins.sweep(other, function() end)
    assert.equal(2, #other:runs {})
    assert.is_table((other:get("definitions", version)))
  end))

  it("takes a journal that is longer than one transaction", within(function()
    local items = {}
    for n = 1, 9000 do items[n] = n end
    local many = run(P "many" { weir.map "all" { over = json.list(items), concurrency = 64, S "each" { agent = "echo", input = { n = "$.item" } } } })
    assert.equal("finished", many.status)
    local whole = exported(many.id)
    local taken = transfer.import(other, opener(whole))
    assert.equal("finished", other:row(many.id).status)
    assert.same(taken.entries, #other:load(many.id))
    assert.same({}, select(2, other:verify()))
  end))

  -- A file of a run to which more was sent than one transaction takes, and a store of which the second transaction fails.
  local function long_and_failing(stays_dead)
    local waits = run(WAITS)
    for first = 1, 8200, 4100 do
      local operations = {}
      for n = first, first + 4099 do
        operations[#operations + 1] = { op = "put", space = "signals", key = ("%s/other/%013d"):format(waits.id, n), value = { value = n, at = n } }
      end
      assert(store:batch(operations))
    end
    local batches, is_dead = 0, false
    local failing = setmetatable({}, { __index = function(_, name)
      return function(_, ...)
        if name == "batch" then
          batches = batches + 1
          is_dead = batches == 2 or is_dead and stays_dead
          if is_dead then return nil, "the disk is full", "full" end
        end
        return other[name](other, ...)
      end
    end })
    assert.equal("full", (code_of(transfer.import, failing, opener((exported(waits.id))))))
    return waits
  end

  it("leaves nothing of a long one that does not fit, neither the run nor what was sent to it", within(function()
    local waits = long_and_failing(false)
    assert.is_nil((other:row(waits.id)))
    assert.same({}, other:scan("signals", { limit = 1 }))
    assert.same({}, other:journals())
  end))

  it("has a run to which all belongs that was written, when the process dies over a long one", within(function()
    local waits = long_and_failing(true)
    assert.equal("quarantined", other:row(waits.id).status)
    local theirs = engine.new(project.open ".", other, { patience = 0, near = 60 })
    theirs:cancel(waits.id, "half of it is missing")
    require("weir.upkeep").prune(theirs, { older = 0 })
    assert.same({}, other:scan("signals", { limit = 1 }))
  end))
end)

describe("the file of a run", function()
  it("is refused wherever a byte of it is changed or its end is missing, and nothing is changed", within(function()
    local done = run(P "ends" { S "one" { agent = "echo", input = { n = 1 } } })
    local whole = exported(done.id)
    local before = counts(other)
    local wrong = 0
    for at = 1, #whole, 7 do
      local damaged = whole:sub(1, at - 1) .. string.char(whole:byte(at) ~ 0x10) .. whole:sub(at + 1)
      local code = code_of(transfer.import, other, opener(damaged))
      if code ~= "corrupt" then wrong = wrong + 1 end
      if code_of(transfer.import, other, opener(whole:sub(1, at - 1))) ~= "corrupt" then wrong = wrong + 1 end
    end
    assert.equal(0, wrong)
    assert.equal("corrupt", (code_of(transfer.import, other, opener(whole .. "x"))))
    assert.equal("corrupt", (code_of(transfer.import, other, opener "")))
    assert.same(before, counts(other))
    transfer.import(other, opener(whole))
  end))

  -- Writes an archive of the records that `change` makes of another's.
  local function rewritten(whole, change)
    local pieces, out = {}, nil
    archive.read(opener(whole)(), function(record)
      if record[1] == "archive" then
        out = archive.writer(function(bytes) pieces[#pieces + 1] = bytes end, record[3], record[5])
        return
      end
      record = change(record)
      if record then out:put(record) end
    end)
    out:close()
    return table.concat(pieces)
  end

  it("is refused when its checksums fit and what it says does not", within(function()
    local done = run(P "ends" { S "one" { agent = "echo", input = { n = 1 } } })
    local whole = exported(done.id)
    local before = counts(other)
    local cases = {
      function(record) return record[1] ~= "row" and record or nil end,
      function(record) return record[1] ~= "entry" and record or nil end,
      function(record) return record[1] == "entry" and record[2][1] == "run" and { "entry", { "life", 1 } } or record end,
      function(record) return record[1] == "entry" and record[2][1] == "end" and { "entry", { "life", 1 } } or record end,
      function(record) return record[1] == "row" and { "row", { status = "odd", started_ms = 1, pipeline = "x" } } or record end,
      function(record) return record[1] == "kv" and { "kv", "timers", "0/x", { a = 1 } } or record end,
      function(record)
        if record[2] ~= "modules" then return record end
        record[4].text = record[4].text .. "-- other"
        return record
      end,
      function(record)
        if record[2] ~= "definitions" then return record end
        record[4].normal.name = "other"
        return record
      end,
      function(record) return record[1] == "row" and { "unknown", 1 } or record end,
    }
    for index, change in ipairs(cases) do
      assert.equal("corrupt", (code_of(transfer.import, other, opener(rewritten(whole, change)))), "case " .. index)
    end
    assert.same(before, counts(other))
    assert.equal(whole, rewritten(whole, function(record) return record end))
  end))

  it("is refused as invalid when a newer weir wrote it", within(function()
    local done = run(P "ends" { S "one" { agent = "echo" } })
    local whole = exported(done.id)
    local newer = rewritten(whole, function(record)
      if record[1] == "entry" and record[2][1] == "run" then record[2][2].format = 99 end
      return record
    end)
    assert.equal("invalid", (code_of(transfer.import, other, opener(newer))))
    local pieces, format = {}, archive.FORMAT
    archive.FORMAT = 2
    archive.writer(function(bytes) pieces[#pieces + 1] = bytes end, done.id, 0):close()
    archive.FORMAT = format
    assert.equal("invalid", (code_of(transfer.import, other, opener(table.concat(pieces)))))
  end))

  it("never makes room for a size that it does not have", within(function()
    local asked = 0
    local claims = "weir run archive\n" .. ("<I4c32"):pack(0xffffffff, ("x"):rep(32)) .. "short"
    local code = code_of(archive.read, { size = #claims, read = function(count)
      asked = math.max(asked, count)
      return claims:sub(1, count)
    end }, function() end)
    assert.equal("corrupt", code)
    assert.is_true(asked <= 64)
  end))
end)
