-- Keeping house on the command line: prune, backup, and what they and others do about damage.
local process = require "weir.port.process"
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
