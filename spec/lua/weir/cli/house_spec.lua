-- Keeping house on the command line: prune, backup, and what they and others do about damage.
local estimate = require "weir.planning.estimate"
local process = require "weir.port.process"
local store_port = require "weir.port.store"
local support = dofile "spec/lua/weir/cli/support.lua"
local uv = require "luv"

describe("weir prune", function()
  local folder, store
  before_each(function()
    folder = support.folder()
    store = folder .. "/store"
  end)
  after_each(function() support.remove(folder) end)

  it("removes old runs, and says how many and how much", function()
    for _ = 1, 3 do support.run { "run", "hello", "--store", store } end
    local status, out = support.run { "prune", "--store", store }
    assert.equal(0, status)
    assert.matches("^removed 0 runs", out)
    status, out = support.run { "prune", "--older", "0", "--keep", "1", "--dry-run", "--store", store }
    assert.equal(0, status)
    assert.matches("^would remove 2 runs %(%d[%d.]* %a+ in %d+ entries of their journals%)\n  hello  2 runs\n$", out)
    local line = support.lines((select(2, support.run { "prune", "--older", "0", "--keep", "1", "--store", store, "--json" })))[1]
    assert.same({ 2, { hello = 2 }, false, false }, { line.runs, line.by_pipeline, line.stopped, line.dry_run })
    assert.equal(1, #support.lines((select(2, support.run { "runs", "--store", store, "--json" }))))
    status, out = support.run { "prune", "--older", "0", "--store", store }
    assert.equal(0, status)
    assert.matches("removed 1 run .*\nremoved 0 documents, 1 definition, 1 module version, 0 blobs %(0 B%)\n$", out)
  end)

  it("goes by the settings of the project, and refuses what is no duration", function()
    support.write(folder, "weir.lua", 'return { retention = "0s" }\n')
    support.host({ "run", "hello", "-q" }, { cwd = folder })
    local result = support.host({ "prune" }, { cwd = folder })
    assert.matches("^removed 1 run ", result.stdout)
    support.write(folder, "weir.lua", 'return { retention = "a while" }\n')
    result = support.host({ "prune" }, { cwd = folder })
    assert.equal(2, result.status)
    assert.matches("weir.lua: retention: a duration such as", result.stderr)
    assert.equal(2, (support.run { "prune", "--older", "soon", "--store", store }))
    assert.equal(2, (support.run { "prune", "--keep", "-1", "--store", store }))
  end)

  it("is told by its help with an example first", function()
    for _, name in ipairs { "prune", "backup", "doctor" } do
      assert.matches("^ +weir " .. name .. "[ \n]", (select(2, support.run { "help", name })))
    end
  end)
end)

describe("weir backup", function()
  local folder, store
  before_each(function()
    folder = support.folder()
    store = folder .. "/store"
    support.run { "run", "hello", "--store", store }
  end)
  after_each(function() support.remove(folder) end)

  it("makes a store of the same runs, and says its size and how long it took", function()
    local status, out = support.run { "backup", folder .. "/copy/", "--store", store }
    assert.equal(0, status)
    assert.matches("/copy  %d[%d.]* KiB in [<%d.]+ m?s\n$", out)
    local _, here = support.run { "runs", "--store", store, "--json" }
    local _, there = support.run { "runs", "--store", folder .. "/copy", "--json" }
    assert.equal(here, there)
    local again, _, err = support.run { "backup", folder .. "/copy", "--store", store }
    assert.equal(8, again)
    assert.matches("/copy", err)
    assert.equal(6, (support.run { "backup", folder .. "/no/where", "--store", store }))
    assert.equal(6, (support.run { "backup", folder .. "/other", "--store", folder .. "/none" }))
    assert.equal(1, (support.run { "backup", folder .. "/late", "--timeout", "0s", "--store", store }))
    assert.is_nil(uv.fs_stat(folder .. "/late"))
    local line = support.lines((select(2, support.run { "backup", folder .. "/third", "--store", store, "--json" })))[1]
    assert.same({ folder .. "/third", "integer" }, { line.folder, math.type(line.bytes) })
  end)

  it("is refused with status 8 on a full disk, and leaves nothing", function()
    local disk = folder .. "/disk"
    uv.fs_mkdir(disk, 448)
    local script = ('mount -t tmpfs -o size=200k none "$1" || exit 77\n"$2" backup "$1/copy" --store "$3"\nstatus=$?\n'
      .. 'ls -A "$1" >&2\nexit $status')
    local big = folder .. "/big.txt"
    support.write(folder, "big.txt", ("%032x"):format(7):rep(20000))
    support.run { "run", "hello", "--set", "name=@" .. big, "--store", store }
    for index = 1, 8 do support.run { "run", "hello", "--set", "name=" .. ("%05d"):format(index):rep(12000), "--store", store } end
    local result = assert(process.run({ "unshare", "-m", "sh", "-c", script, "sh", disk, uv.exepath(), store }, { timeout = 60 }))
    if result.status == 77 or result.stderr:find "unshare" then return pending "mounting a small tmpfs is not allowed here" end
    assert.equal(8, result.status, result.stderr)
    assert.matches("free some space", result.stderr)
    assert.not_matches("\n[^w][^\n]*copy", result.stderr)
  end)
end)

describe("a damaged run", function()
  local folder, store
  before_each(function()
    folder = support.folder()
    store = folder .. "/store"
  end)
  after_each(function() support.remove(folder) end)

  -- Flips one bit of every place in data.mdb that fits, `offset` bytes from its beginning.
  local function flip(pattern, offset)
    local file = assert(io.open(store .. "/data.mdb", "r+b"))
    local bytes, from, count = file:read "a", 1, 0
    while true do
      local at, to = bytes:find(pattern, from)
      if not at then break end
      file:seek("set", at - 1 + offset)
      file:write(string.char(bytes:byte(at + offset) ~ 1))
      from, count = to + 1, count + 1
    end
    file:close()
    assert.is_true(count > 0)
  end

  local function flip_row(id)
    flip(id .. "\1\0[\6-\11]\0", #id + 26)
  end

  local function run(name)
    support.run { "run", "hello", "--set", "name=" .. name, "--store", store }
    local rows = support.lines((select(2, support.run { "runs", "--limit", "1", "--store", store, "--json" })))
    return rows[1].run
  end

  it("is listed as one, and the others as they are", function()
    local ids = { run "Ada", run "Bob", run "Cleo" }
    flip_row(ids[2])
    local status, out = support.run { "runs", "--store", store }
    assert.equal(0, status)
    assert.matches(ids[2] .. " +✗ damaged .*weir doctor %-%-rebuild", out)
    local rows = support.lines((select(2, support.run { "runs", "--store", store, "--json" })))
    assert.same({ "finished", "damaged", "finished" }, { rows[1].status, rows[2].status, rows[3].status })
    assert.equal(ids[2], rows[2].run)
    assert.equal(0, (support.run { "show", ids[3], "--store", store }))
    local refused, _, err = support.run { "show", ids[2], "--store", store }
    assert.equal(75, refused)
    assert.matches("its row is damaged; `weir doctor %-%-rebuild`", err)
  end)

  it("is passed over by what is estimated from the others", function()
    local ids = { run "Ada", run "Bob", run "Cleo" }
    flip_row(ids[2])
    local opened <close> = assert(store_port.open(store))
    assert.equal(2, estimate.known(opened).echo.count)
  end)

  it("is named and left by prune, and the others go", function()
    local ids = { run "Ada", run "Damaged", run "Cleo", run "Dora" }
    flip("Damaged", 2)
    flip_row(ids[3])
    local status, out, err = support.run { "prune", "--older", "0", "--store", store }
    assert.equal(75, status)
    assert.matches("^removed 2 runs", out)
    assert.matches("run " .. ids[2] .. ": .*damaged", err)
    assert.matches("run " .. ids[3] .. ": .*damaged", err)
    assert.matches("left: definitions and modules: run '" .. ids[2], err) -- who knows what it pins
    local line = support.lines((select(2, support.run { "prune", "--older", "0", "--store", store, "--json" })))[1]
    assert.equal(2, #line.damaged)
    local rows = support.lines((select(2, support.run { "runs", "--store", store, "--json" })))
    assert.equal(2, #rows)
  end)

  it("is named by resume, and the others go on", function()
    support.write(folder, "pipelines/three.lua", 'local weir = require "weir"\nreturn weir.pipeline "three" {\n'
      .. '  weir.step "a" { agent = "echo", input = { text = "$.input.text" } }, weir.step "nap" { sleep = 0.1 },\n'
      .. '  weir.step "b" { agent = "echo", input = { text = "${a.text}!" } } }\n')
    for _, word in ipairs { "first", "Damaged", "third", "fourth" } do
      local result = support.host({ "run", folder .. "/pipelines/three.lua", "-q", "--set", "text=" .. word, "--store", store },
        { env = { WEIR_FAILPOINT = "after_commit:2" } })
      assert.equal(137, result.status)
    end
    local before = support.lines((select(2, support.run { "runs", "--store", store, "--json" })))
    assert.equal(4, #before)
    flip("Damaged", 2)
    flip_row(before[1].run)
    local status, out = support.run { "resume", "--store", store, "--json", "-q" }
    assert.equal(75, status)
    local said = {}
    for _, line in ipairs(support.lines(out)) do said[line.run or line.error.run] = line.status or line.error.code end
    assert.same({ [before[4].run] = "finished", [before[3].run] = "corrupt", [before[2].run] = "finished",
      [before[1].run] = "corrupt" }, said)
  end)

  it("has its row back after doctor --rebuild, when its journal is sound", function()
    local ids = { run "Ada", run "Bob" }
    local _, before = support.run { "runs", "--store", store, "--json" }
    flip_row(ids[1])
    assert.equal(75, (support.run { "doctor", "--store", store, "--json" }))
    local status, out = support.run { "doctor", "--rebuild", "--store", store, "--json" }
    assert.equal(0, status)
    local found = {}
    for _, line in ipairs(support.lines(out)) do found[line.check] = line end
    assert.matches("made anew: 1 row, 0 timers", found.rebuild.detail)
    assert.equal("ok", found.store.status)
    local _, after = support.run { "runs", "--store", store, "--json" }
    assert.equal(before, after)
    local text = select(2, support.run { "doctor", "--rebuild", "--store", store })
    assert.matches("✓ rebuild +made anew: 0 rows", text)
  end)

  it("is told by doctor, which warns of what else the store lacks", function()
    local checks = require "weir.cli.checks"
    local stats, said = { used_bytes = 1 << 20, map_bytes = 1 << 30, readers_cleared = 0 }, {}
    local lacking = { stats = function() return stats end, verify = function() return { runs = 1, log = 2 }, {} end }
    local function warned(path, had_reserve)
      local found = {}
      for _, line in ipairs(checks.open_store(lacking, path, had_reserve, function(what) said[#said + 1] = what end)) do
        if line.status == "warn" then found[line.check] = line.detail .. "; " .. line.fix end
      end
      return found
    end
    assert.same({}, warned(":memory:"))
    assert.same({}, said)
    stats = { used_bytes = 800 << 20, map_bytes = 1 << 30, readers_cleared = 2 }
    local found = warned(folder, true)
    assert.matches("800.0 MiB of 1.0 GiB of address space are used %(78 %%%).*weir prune", found.map)
    assert.matches("2 reader slots of processes that have died", found.readers)
    assert.matches("reserve was used up.*make room", found.reserve)
    assert.matches("is not there, and there was no room", warned(folder, false).reserve)
    assert.same({ "reading 800.0 MiB of records", "reading 800.0 MiB of records" }, said)
    run "Ada"
    uv.fs_unlink(store .. "/reserve")
    assert.equal(0, (support.run { "doctor", "--store", store })) -- the start makes it again
    assert.is_truthy(uv.fs_stat(store .. "/reserve"))
    local none, out = support.run { "doctor", "--rebuild", "--store", folder .. "/none" }
    assert.equal(1, none)
    assert.matches("none is not there", out)
  end)
end)
