local checkpoint = require "weir.native.checkpoint"
local json = require "weir.native.json"
local task = require "weir.task"

local list, null = json.list, json.null

local function open(options)
  return assert(checkpoint.open(":memory:", options))
end

local function folder()
  local path = os.tmpname()
  os.remove(path)
  return path
end

local function remove(path)
  for _, name in ipairs { "data.mdb", "lock.mdb", "owner", "reserve", "seal" } do os.remove(path .. "/" .. name) end
  os.remove(path)
end

describe("checkpoint.encode", function()
  local values = {
    true, false, 0, 1, -1, 127, 128, -32, -33, math.maxinteger, math.mininteger, 0.5, 5.0, -0.0, 1e300, 1 / 0,
    "", "text", ("x"):rep(40), ("x"):rep(300), ("x"):rep(70000), "\xff\x00", "é", list {}, {}, list { 1, "a", list {} },
    { a = 1, b = { c = list { null } } }, null,
  }

  it("gives every value back as it was", function()
    for _, value in ipairs(values) do
      local back = checkpoint.decode(assert(checkpoint.encode(value)))
      if type(value) == "number" then assert.equal(math.type(value), math.type(back)) end
      assert.same(value, back)
    end
  end)

  it("keeps an empty list and an empty object apart", function()
    assert.is_true(json.is_list(checkpoint.decode(checkpoint.encode(list {}))))
    assert.is_false(json.is_list(checkpoint.decode(checkpoint.encode {})))
  end)

  it("has one encoding for each value, whatever the order of its keys", function()
    local a, b = {}, {}
    for i = 1, 200 do a["key" .. i] = i end
    for i = 200, 1, -1 do b["key" .. i] = i end
    assert.equal(checkpoint.encode(a), checkpoint.encode(b))
    assert.not_equal(checkpoint.encode(5), checkpoint.encode(5.0))
  end)

  it("refuses what is not plain data and says where", function()
    local cycle = {}
    cycle.self = cycle
    local cases = {
      [".steps[2].output: a function"] = { steps = { 1, { output = print } } },
      ["mixed"] = { 1, a = 2 }, ["holes"] = { 1, nil, 3 }, ["NaN"] = { 0 / 0 }, ["coroutine"] = { coroutine.create(print) },
      ["64 deep"] = cycle, ["neither text nor a position"] = { [1.5] = 1 }, ["methods"] = setmetatable({}, { __index = {} }),
    }
    for message, value in pairs(cases) do
      local bytes, err, code = checkpoint.encode(value)
      assert.is_nil(bytes)
      assert.equal("invalid", code)
      assert.truthy(err:find(message, 1, true), err)
    end
  end)

  it("has limits on size", function()
    local _, _, code = checkpoint.encode { ("x"):rep(10 << 20), ("x"):rep(10 << 20) }
    assert.equal("limit", code)
  end)

  it("refuses bytes that are not one canonical value", function()
    for _, bytes in ipairs { "", "\xc1", "\xcc\x05", "\x92\x01", "\x01\x01", "\x82\xa1b\x01\xa1a\x02", "\xc7\x01\x01x" } do
      local value, _, code = checkpoint.decode(bytes)
      assert.is_nil(value)
      assert.equal("corrupt", code)
    end
    assert.equal("limit", select(3, checkpoint.decode(("\x91"):rep(70) .. "\x01")))
  end)
end)

describe("a journal", function()
  it("numbers its entries and gives them back in order, with the row", function()
    local store <close> = open()
    local journal, latest = store:run("r_1", 1)
    assert.equal(0, latest)
    assert.equal(1, journal:append({ "start", { x = 1 } }, { status = "running", at = 1.5 }))
    assert.equal(2, journal:append { "step", list {}, null, "\xff" })
    assert.equal(3, journal:append({ "end" }, { status = "finished" }, true))
    local entries, row = store:load "r_1"
    assert.same({ { "start", { x = 1 } }, { "step", {}, null, "\xff" }, { "end" } }, entries)
    assert.same({ status = "finished" }, row)
    assert.same({ status = "finished" }, store:row "r_1")
    assert.equal("not_found", select(3, store:load "r_2"))
    assert.equal("not_found", select(3, store:row "r_2"))
  end)

  it("gives large elements back from blobs", function()
    local store <close> = open()
    local journal = store:run("r_1", 1)
    local entry = { "message", ("long "):rep(1000), { text = ("é"):rep(3000) }, 7 }
    journal:append(entry)
    journal:append(entry)
    assert.same({ entry, entry }, (store:load "r_1"))
    assert.equal(2, (store:verify()).blobs)
  end)

  it("takes a note without waiting and forgets it when its result comes first", function()
    local store <close> = open()
    local journal = store:run("r_1", 1)
    local token = journal:note { "started", "a" }
    assert.equal(1, journal:append({ "finished", "a" }, nil, false, token))
    token = journal:note { "started", "b" }
    store:sync()
    assert.equal(3, journal:append({ "finished", "b" }, nil, false, token))
    assert.same({ { "finished", "a" }, { "started", "b" }, { "finished", "b" } }, (store:load "r_1"))
  end)

  it("refuses an older epoch, also of a handle that was good before", function()
    local store <close> = open()
    local old = store:run("r_1", 3)
    assert.equal(1, old:append { "mine" })
    local none, message, code = store:run("r_1", 2)
    assert.is_nil(none)
    assert.equal("conflict", code)
    assert.truthy(message:find("run 'r_1'", 1, true))
    local new = store:run("r_1", 4)
    assert.equal("conflict", select(3, old:append { "zombie" }))
    assert.equal(2, new:append { "next" })
  end)

  it("refuses what is no list, and leaves the journal as it was", function()
    local store <close> = open()
    local journal = store:run("r_1", 1)
    assert.has_error(function() journal:append { a = 1 } end)
    assert.has_error(function() journal:append({ 1 }, { no_status = true }) end)
    local n, message, code = journal:append { "output", { f = print } }
    assert.is_nil(n)
    assert.equal("invalid", code)
    assert.truthy(message:find("entry[2].f: a function", 1, true), message)
    assert.equal(1, journal:append { "good" })
  end)

  it("commits what many tasks append in one turn together", function()
    local store <close> = open()
    local done = {}
    task.within({}, function()
      for i = 1, 200 do
        task.spawn(function()
          local journal = store:run("r_" .. i, 1)
          for n = 1, 10 do assert(journal:append({ "entry", n }, n == 1 and { status = "running" } or nil) == n) end
          done[#done + 1] = i
        end)
      end
    end)
    assert.equal(200, #done)
    local stats = store:stats()
    assert.equal(2000, stats.entries)
    assert.is_true(stats.commits < 100)
    assert.equal(200, #store:runs { status = "running", limit = 1000 })
  end)

  it("reads a part of itself", function()
    local store <close> = open()
    local journal = store:run("r_1", 1)
    for n = 1, 600 do
      if n % 100 == 0 then journal:append { n } else journal:note { n } end
    end
    local entries, last = store:entries("r_1", 298, 4)
    assert.same({ { 299 }, { 300 }, { 301 }, { 302 } }, entries)
    assert.equal(302, last)
    assert.equal(600, #(store:load "r_1"))
  end)
end)

describe("a store", function()
  it("lists runs by status and pages through them", function()
    local store <close> = open()
    for i = 1, 9 do
      store:run("r_" .. i, 1):append({ "start" }, { status = i % 2 == 0 and "waiting" or "running", i = i })
    end
    local ids = function(query)
      local out = {}
      for _, run in ipairs(store:runs(query)) do out[#out + 1] = run.id end
      return table.concat(out, " ")
    end
    assert.equal("r_2 r_4 r_6 r_8", ids { status = "waiting" })
    assert.equal("r_8 r_6", ids { status = "waiting", reverse = true, limit = 2 })
    assert.equal("r_4 r_2", ids { status = "waiting", reverse = true, after = "r_6" })
    assert.equal("r_6 r_8", ids { status = "waiting", after = "r_4" })
    assert.equal("r_9 r_8", ids { reverse = true, limit = 2 })
    assert.equal("", ids { status = "wait" })
    store:run("r_2", 1):append({ "woken" }, { status = "running" })
    assert.equal("r_4 r_6 r_8", ids { status = "waiting" })
  end)

  it("lists runs in whose rows a field and its text stand, looking at some thousand in one call", function()
    local store <close> = open()
    for i = 1, 4500 do
      local row = { status = i % 2 == 0 and "waiting" or "running", pipeline = i % 1500 == 0 and "rare" or "usual", i = i }
      if i == 7 then row.error = { message = ("long "):rep(20000), code = "odd" } end
      store:new_run(("r_%020d"):format(i), 1):append({ "start" }, row)
    end
    local function all(query)
      local found, calls = {}, 0
      repeat
        local page = assert(store:runs(query))
        local last = page[#page]
        for _, run in ipairs(page) do
          if not run.rest then found[#found + 1] = run.row.i end
        end
        query.after, calls = last and last.id, calls + 1
      until not last or not last.rest and #page < (query.limit or 100)
      return found, calls
    end
    assert.same({ { 1500, 3000, 4500 }, 3 }, { all { with = { "pipeline", "rare" } } })
    assert.same({ 4500, 3000, 1500 }, (all { with = { "pipeline", "rare" }, reverse = true, limit = 1 }))
    assert.same({ 1500, 3000, 4500 }, (all { with = { "pipeline", "rare" }, status = "waiting" }))
    assert.same({ 7 }, (all { with = { "code", "odd" } }))
    assert.equal(4497, #all { with = { "pipeline", "usual" }, limit = 1000 })
    assert.same({}, (all { with = { "pipeline", "usua" } }))
    for _, wrong in ipairs { { "pipeline" }, { 1, 2 }, { "a", ("x"):rep(1000) } } do
      assert.is_false((pcall(store.runs, store, { with = wrong })))
    end
  end)

  it("compares and sets", function()
    local store <close> = open()
    local v1 = store:cas("goals", "a", 0, { n = 1 })
    assert.equal("conflict", select(3, store:cas("goals", "a", 0, { n = 2 })))
    local v2 = store:cas("goals", "a", v1, { n = 2 })
    assert.is_true(v2 > v1)
    local value, version = store:get("goals", "a")
    assert.same({ n = 2 }, value)
    assert.equal(v2, version)
    assert.equal("conflict", select(3, store:delete("goals", "a", v1)))
    assert.is_true(store:delete("goals", "a", v2))
    assert.is_false(store:delete("goals", "a"))
    assert.equal("not_found", select(3, store:get("goals", "a")))
  end)

  it("scans in order of keys", function()
    local store <close> = open()
    for _, key in ipairs { "b/2", "a", "b/1", "c", "b/3" } do store:put("s", key, key) end
    local keys = function(query)
      local out = {}
      for _, row in ipairs(store:scan("s", query)) do out[#out + 1] = row.key end
      return table.concat(out, " ")
    end
    assert.equal("a b/1 b/2 b/3 c", keys())
    assert.equal("b/1 b/2 b/3", keys { prefix = "b/" })
    assert.equal("b/3 b/2", keys { prefix = "b/", reverse = true, limit = 2 })
    assert.equal("b/2 b/3", keys { from = "b/2", to = "b/9" })
    assert.equal("b/3 c", keys { after = "b/2" })
    assert.equal("a b/1", keys { before = "b/2" })
    assert.equal("", keys { prefix = "d" })
  end)

  it("writes a batch whole or not at all", function()
    local store <close> = open()
    local journal = store:run("r_1", 1)
    local version = store:put("s", "taken", 1)
    local results, _, code, which = store:batch {
      { op = "put", space = "s", key = "a", value = 1 },
      { op = "entry", journal = journal, entry = { "x" } },
      { op = "cas", space = "s", key = "taken", value = 2, version = 0 },
    }
    assert.is_nil(results)
    assert.equal("conflict", code)
    assert.equal(3, which)
    assert.equal("not_found", select(3, store:get("s", "a")))
    results = assert(store:batch {
      { op = "put", space = "s", key = "a", value = 1 },
      { op = "entry", journal = journal, entry = { "x" }, row = { status = "running" } },
      { op = "cas", space = "s", key = "taken", value = 2, version = version },
      { op = "delete", space = "s", key = "nothing" },
      { op = "blob", bytes = "content" },
    })
    assert.equal(1, results[2])
    assert.equal("content", store:get_blob(results[5]))
    assert.equal("running", store:row("r_1").status)
    assert.equal("invalid", select(3, store:batch {
      { op = "put", space = "s", key = "a", value = 1 }, { op = "delete", space = "s", key = "a" } }))
  end)

  it("adds to an integer, whatever its version, and refuses to go beyond the most there may be", function()
    local store <close> = open()
    local function add(by, max, key) return { op = "add", space = "s", key = key or "n", by = by, max = max } end
    assert.same({ 3 }, store:batch { add(3) })
    assert.same({ 5, 4 }, store:batch { add(2), add(-1) })
    assert.equal(4, (store:get("s", "n")))
    local results, message, code, which = store:batch { { op = "put", space = "s", key = "other", value = 1 }, add(3, 8), add(2, 8) }
    assert.is_nil(results)
    assert.same({ "full", 3 }, { code, which })
    assert.match("space 's', key 'n': it would be 9, and may be 8 at most", message, 1, true)
    assert.equal("not_found", select(3, store:get("s", "other")))
    assert.same({ 8 }, store:batch { add(4, 8) })
    assert.same({ -2 }, store:batch { add(-10, 0) })
    local long = ("k"):rep(1000)
    assert.same({ 1 }, store:batch { add(1, nil, long) })
    assert.equal(1, (store:get("s", long)))
    store:put("s", "text", "no number")
    assert.equal("invalid", select(3, store:batch { add(1, nil, "text") }))
    store:put("s", "large", math.maxinteger)
    assert.equal("limit", select(3, store:batch { add(1, nil, "large") }))
    assert.equal("invalid", select(3, store:batch { add(1), { op = "put", space = "s", key = "n", value = 1 } }))
    assert.has_error(function() store:batch { add(1.5) } end)
    assert.has_error(function() store:batch { add(1, -1) } end)
  end)

  it("adds what several tasks add at once, in one transaction or many", function()
    local store <close> = open()
    local tasks = {}
    for index = 1, 50 do
      tasks[index] = task.spawn(function() assert(store:batch { { op = "add", space = "s", key = "n", by = index } }) end)
    end
    for _, one in ipairs(tasks) do assert.is_true(one:join()) end
    assert.equal(1275, (store:get("s", "n")))
  end)

  it("parks a run: entry, row and keys in one transaction, and nothing of it in memory", function()
    local store <close> = open()
    local journal = store:run("r_1", 3)
    assert(journal:append({ "start" }, { status = "running" }))
    local results = assert(store:batch {
      { op = "entry", journal = journal, entry = { "parked" }, row = { status = "waiting", at = 5 }, park = true },
      { op = "put", space = "timers", key = "5/r_1", value = true },
    })
    assert.equal(2, results[1])
    assert.equal(0, store:stats().heads)
    assert.equal("conflict", select(3, store:run("r_1", 2)))
    assert.equal(3, journal:append({ "woken" }, { status = "running" }))
    assert.same({ { "start" }, { "parked" }, { "woken" } }, (store:load "r_1"))
  end)

  it("replaces a run's row without an entry, for its owner only", function()
    local store <close> = open()
    local journal = store:run("r_1", 3)
    journal:append({ "start" }, { status = "running" })
    assert.same({ 1 }, store:batch { { op = "row", journal = journal, row = { status = "waiting", seen = 2 }, park = true } })
    assert.equal(0, store:stats().heads)
    assert.same({ status = "waiting", seen = 2 }, store:row "r_1")
    assert.equal("r_1", store:runs({ status = "waiting" })[1].id)
    assert.same({}, store:runs { status = "running" })
    store:run("r_1", 4)
    local results, message, code, which = store:batch { { op = "row", journal = journal, row = { status = "zombie" } } }
    assert.is_nil(results)
    assert.equal("conflict", code)
    assert.equal(1, which)
    assert.truthy(message:find("epoch 3 is over", 1, true), message)
    assert.has_error(function() store:batch { { op = "row", journal = journal } } end)
    assert.has_error(function() store:batch { { op = "row", journal = journal, row = { at = 1 } } } end)
    assert.same({}, (select(2, store:verify())))
  end)

  it("forgets a run that has ended, and no other", function()
    local store <close> = open()
    for i, status in ipairs { "running", "finished", "archived" } do
      store:run("r_" .. i, 1):append({ "start" }, { status = status }, status ~= "running")
    end
    local _, message, code, which = store:batch { { op = "forget", run = "r_2" }, { op = "forget", run = "r_1" } }
    assert.equal("conflict", code)
    assert.equal(2, which)
    assert.truthy(message:find("run 'r_1': it is 'running'", 1, true), message)
    assert.same({ 1 }, store:batch { { op = "forget", run = "r_2" } })
    assert.equal("not_found", select(3, store:load "r_2"))
    assert.equal("not_found", select(3, store:batch { { op = "forget", run = "r_2" } }))
    assert.equal("conflict", select(3, store:batch { { op = "forget", run = "r_3" } }))
    assert.same({ 1 }, store:batch { { op = "forget", run = "r_3", ended = { "archived" } } })
    assert.has_error(function() store:batch { { op = "forget" } } end)
    assert.has_error(function() store:batch { { op = "forget", run = "r_1", ended = { 1 } } } end)
    assert.equal(1, #store:runs())
    assert.same({}, (select(2, store:verify())))
  end)

  it("forgets a journal that is no run, and lists all there are", function()
    local store <close> = open()
    store:run("changes", 1):append { "post" }
    store:run("r_1", 1):append({ "end" }, { status = "finished" }, true)
    assert.same({ "changes", "r_1" }, store:journals())
    assert.same({ "r_1" }, store:journals { after = "changes", limit = 1 })
    assert.equal("conflict", select(3, store:batch { { op = "forget", run = "r_1", rowless = true } }))
    assert.same({ 1, 1 }, store:batch { { op = "forget", run = "changes", rowless = true }, { op = "forget", run = "r_1" } })
    assert.same({}, store:journals())
    assert.equal("not_found", select(3, store:batch { { op = "forget", run = "changes", rowless = true } }))
    assert.has_error(function() store:batch { { op = "forget", run = "r_1", ended = {} } } end)
  end)

  it("says how far it has come", function()
    local store <close> = open()
    assert.equal(0, store:lsn())
    local version = store:put("s", "k", 1)
    assert.equal(version, store:lsn())
    store:run("r_1", 1):append { "entry" }
    assert.equal(version + 1, store:lsn())
  end)

  it("is copied while it is in use, into a store of its own", function()
    local store <close> = open()
    local path = folder()
    store:run("r_1", 2):append({ "start", ("long "):rep(1000) }, { status = "running" })
    store:put("s", "k", { 1, 2 })
    local bytes = assert(store:backup(path))
    assert.is_true(bytes > 4096)
    store:put("s", "k", "later")
    local copy = assert(checkpoint.open(path))
    assert.same({ 1, 2 }, (copy:get("s", "k")))
    assert.same({ { "start", ("long "):rep(1000) } }, (copy:load "r_1"))
    assert.same({}, (select(2, copy:verify())))
    copy:close()
    local none, message, code = store:backup(path)
    assert.is_nil(none)
    assert.equal("conflict", code)
    assert.truthy(message:find(path, 1, true), message)
    assert.equal("not_found", select(3, store:backup(path .. "/no/where")))
    assert.equal("timeout", select(3, store:backup(path .. ".late", { timeout = 0 })))
    remove(path)
  end)

  it("stops a copy whose task is cancelled, and one that is under way when it is closed", function()
    local store = open()
    local path = folder()
    store:put("s", "k", ("x"):rep(1 << 20))
    local scope = require("weir.native.scheduler").open_scope { timeout = 0.005 }
    task.spawn(function() store:backup(path, { delay_s = 0.02 }) end)
    scope:join()
    scope:close()
    local outcome
    task.within({}, function()
      task.spawn(function() outcome = { store:backup(path, { delay_s = 0.02 }) } end)
      task.yield()
      store:close()
    end)
    assert.equal("cancelled", outcome[3])
    assert.is_nil(io.open(path .. "/data.mdb"))
  end)

  it("sweeps blobs that nobody refers to", function()
    local store <close> = open()
    local kept, lost = store:put_blob "kept", store:put_blob "lost"
    store:put("documents", "a", { body = kept, title = "A" })
    assert.same({ looked = 2, removed = 0, bytes = 0, done = true }, store:sweep(3600))
    local counts = assert(store:sweep(0, 1))
    assert.equal(1, counts.looked)
    assert.is_false(counts.done)
    assert.is_true(store:sweep(0).done)
    assert.equal("kept", store:get_blob(kept))
    assert.equal("not_found", select(3, store:get_blob(lost)))
    assert.has_error(function() store:sweep(-1) end)
  end)

  it("makes its index and its sums anew", function()
    local store <close> = open()
    store:run("r_1", 2):append({ "start" }, { status = "running" })
    store:put("s", "k", 1)
    local counts = assert(store:rebuild())
    assert.same({ log = 1, segments = 0, runs = 1, status = 1, blobs = 0, kv = 1, damaged = 0 }, counts)
    assert.equal("r_1", store:runs({ status = "running" })[1].id)
    assert.same({}, (select(2, store:verify())))
  end)

  it("keeps blobs under the hash of their content", function()
    local store <close> = open()
    local hash = store:put_blob "abc"
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", hash)
    assert.equal("abc", store:get_blob(hash))
    assert.equal("not_found", select(3, store:get_blob(("0"):rep(64))))
  end)

  it("is there again after it was closed", function()
    local path = folder()
    local store = assert(checkpoint.open(path))
    store:run("r_1", 1):append({ "a" }, { status = "running" })
    store:put("s", "k", { 1, 2 })
    store:close()
    store:close()
    assert.has_error(function() store:get("s", "k") end, "the store is closed")
    store = assert(checkpoint.open(path))
    assert.same({ { "a" } }, (store:load "r_1"))
    assert.same({ 1, 2 }, (store:get("s", "k")))
    local second = assert(checkpoint.open(path)) -- the same process shares it
    second:close()
    assert.same({}, (select(2, store:verify())))
    store:close()
    remove(path)
  end)

  it("lets go of a cancelled task's request", function()
    local store <close> = open { sync_delay_s = 0.02 }
    local journal = store:run("r_1", 1)
    local scope = require("weir.native.scheduler").open_scope { timeout = 0.005 }
    task.spawn(function() journal:append { "slow" } end)
    scope:join()
    scope:close()
    store:sync()
    assert.equal(2, journal:append { "next" })
  end)
end)

-- Order of bytes; `<` on strings is the locale's.
local function below(a, b)
  for i = 1, math.min(#a, #b) do
    if a:byte(i) ~= b:byte(i) then return a:byte(i) < b:byte(i) end
  end
  return #a < #b
end

-- What a scan should find, from all keys in order; `place`: of each key in that order.
local function wanted(keys, place, query)
  local out = {}
  local from, to = query.from and place[query.from] or 1, query.to and place[query.to] or #keys
  local after, before = query.after and place[query.after] or 0, query.before and place[query.before] or #keys + 1
  for at, key in ipairs(keys) do
    if (not query.prefix or key:sub(1, #query.prefix) == query.prefix) and at >= from and at <= to and at > after and at < before then
      out[#out + 1] = key
    end
  end
  return out
end

-- Seeded, so that a failure can be seen again; some keys are longer than LMDB's.
local function random_keys(random, count)
  local alphabet, keys, seen = { "\0", "a", "b", "\xff", ("k"):rep(300), ("\xff"):rep(200) }, {}, {}
  while #keys < count do
    local parts = {}
    for i = 1, random(5) - 1 do parts[i] = alphabet[random(#alphabet)] end
    local key = table.concat(parts)
    if not seen[key] then keys[#keys + 1], seen[key] = key, true end
  end
  table.sort(keys, below)
  return keys
end

describe("a batch", function()
  it("says which operation changes a key that an earlier one changes, of few and of many; adding may meet adding", function()
    local store <close> = open()
    for _, count in ipairs { 5, 64, 65, 10000 } do
      local operations, space = {}, "s" .. count
      for n = 1, count do operations[n] = { op = n % 2 == 0 and "put" or "add", space = space, key = "k" .. n, value = n, by = 1 } end
      operations[count - 1] = { op = "add", space = space, key = "k1", by = 1 }
      assert(store:batch(operations))
      for _, twin in ipairs { { op = "delete", space = space, key = "k2" }, { op = "add", space = space, key = "k2", by = 1 },
        { op = "put", space = space, key = "k1", value = 1 } } do
        operations[count] = twin
        local _, message, code = store:batch(operations)
        assert.same({ "invalid", ("batch: operation %d changes a key that an earlier one changes"):format(count) }, { code, message })
      end
      operations[count] = { op = "put", space = "t", key = "k1", value = 1 }
      operations[3] = { op = "put", space = space, key = "k2", value = 1 }
      assert.matches("operation 3 changes", (select(2, store:batch(operations))))
    end
  end)
end)

describe("a scan", function()
  it("agrees with a sorted list, whatever is asked", function()
    local state = 5
    local function random(n)
      state = (state * 1103515245 + 12345) % 2147483648
      return state // 65536 % n + 1
    end
    local store <close> = open()
    local keys, place = random_keys(random, 300), {}
    for at, key in ipairs(keys) do place[key] = at end
    for _, key in ipairs(keys) do assert(store:put("s", key, #key)) end
    for _, space in ipairs { "r", "s!", "t" } do store:put(space, "neighbour", 1) end
    for _ = 1, 400 do
      local query = { limit = 1000, reverse = random(2) == 1 }
      local key = keys[random(#keys)]
      if random(3) == 1 then query.prefix = key:sub(1, random(#key + 1) - 1) end
      if random(3) == 1 then query[random(2) == 1 and "from" or "after"] = keys[random(#keys)] end
      if random(3) == 1 then query[random(2) == 1 and "to" or "before"] = keys[random(#keys)] end
      local found = {}
      for i, row in ipairs(store:scan("s", query)) do
        found[i] = row.key
        if i > 1 and row.key:sub(1, 400) ~= found[i - 1]:sub(1, 400) then
          assert.equal(not query.reverse, place[found[i - 1]] < place[row.key])
        end
      end
      table.sort(found, function(a, b) return place[a] < place[b] end)
      assert.same(wanted(keys, place, query), found)
    end
  end)

  it("goes on behind the last key of a page and leaves none out, however long keys are, while others come and go", function()
    local store <close> = open()
    local name, operations = ("folder/"):rep(80), {}
    for n = 1, 300 do operations[n] = { op = "put", space = "s", key = ("%s%03d"):format(n % 3 == 0 and "x" or name, n), value = n } end
    assert(store:batch(operations))
    for _, reverse in ipairs { false, true } do
      local found, count, behind = {}, 0, nil
      repeat
        local page = store:scan("s", { limit = 7, behind = behind, reverse = reverse })
        for _, row in ipairs(page) do
          assert.is_nil(found[row.key])
          found[row.key], count = true, count + 1
        end
        behind = page[#page] and page[#page].key
        if behind then store:delete("s", behind) end
      until not behind
      assert.equal(reverse and 300 - 43 or 300, count)
    end
  end)
end)
