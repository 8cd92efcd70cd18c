local entries_of = require "weir.port.entries"
local files = require "weir.port.files"
local folder = dofile "spec/folder.lua"
local process = require "weir.port.process"
local system = require "weir.port.system"
local task = require "weir.task"
local uv = require "luv"
local watch = require "weir.port.watch"

-- What luv holds in the registry: requests under way, and those that it never let go of.
local function held()
  collectgarbage()
  collectgarbage()
  local count = 0
  for key, value in pairs(debug.getregistry()) do
    if type(key) == "number" and type(value) == "userdata" then count = count + 1 end
  end
  return count
end

local function descriptors()
  local count = 0
  for _ in pairs(entries_of.of "/proc/self/fd") do count = count + 1 end
  return count
end

-- What the loop is at ends in its own time.
local function eventually(is_so)
  for _ = 1, 1000 do
    if is_so() then return end
    task.sleep(0.005)
  end
end

describe("entries of a folder", function()
  local root
  before_each(function()
    root = assert(uv.fs_mkdtemp "/tmp/weir-spec-XXXXXX")
    for n = 1, 300 do assert(io.open(("%s/%04d"):format(root, n), "wb")):close() end
    assert(uv.fs_mkdir(root .. "/below", 448))
    assert(io.open(root .. "/below/a", "wb")):close()
  end)
  after_each(function() folder.remove(root) end)

  it("are all there, also of a folder that has more than one call gives", function()
    local names = {}
    for _, entry in ipairs(entries_of.of(root)) do names[entry.name] = entry.type end
    for n = 1, 300 do assert.equal("file", names[("%04d"):format(n)]) end
    assert.equal("directory", names.below)
    local all = entries_of.of(root)
    assert.same({ 301, "0001", "0300", "below" }, { #all, all[1].name, all[300].name, all[301].name })
    assert.equal(301, #files.list(root, { recursive = true }))
    assert.equal(300, #system.file_names(root))
  end)

  it("of one that is not there are none", function()
    assert.same({}, entries_of.of(root .. "/nowhere"))
    assert.same({}, system.file_names(root .. "/nowhere"))
    assert.equal("not_found", select(3, files.list(root .. "/nowhere")))
  end)

  it("leave nothing behind, however often a folder is looked into", function()
    local before, open = held(), descriptors()
    for _ = 1, 20 do
      files.list(root, { recursive = true })
      files.list(root .. "/nowhere")
      system.file_names(root)
      watch.entries(root)
      watch.folders_below(root)
      system.file_names(root .. "/nowhere")
      assert.equal(301, #watch.entries(root))
      assert.same({ root .. "/below" }, watch.folders_below(root))
    end
    assert.equal(before, held())
    assert.equal(open, descriptors())
  end)

  it("leave nothing behind when the members of a process group are looked for", function()
    local function run() process.run { "sh", "-c", "sleep 100 >/dev/null 2>&1 & exit 0" } end
    local before = held()
    for _ = 1, 5 do run() end
    eventually(function() return held() <= before end)
    assert.equal(before, held())
  end)

  it("leave nothing behind when whoever waits for them is cancelled, at whichever call", function()
    local before, open = held(), descriptors()
    local opendir, readdir = uv.fs_opendir, uv.fs_readdir
    for at = 1, 7 do
      local calls, listing = 0, nil
      local function counted(call)
        return function(...)
          calls = calls + 1
          if calls == at then listing:cancel "enough" end
          return call(...)
        end
      end
      listing = task.spawn(function()
        local _ <close> = setmetatable({}, { __close = function() uv.fs_opendir, uv.fs_readdir = opendir, readdir end })
        uv.fs_opendir, uv.fs_readdir = counted(opendir), counted(readdir)
        files.list(root, { recursive = true })
      end)
      listing:join()
      assert.equal(at, calls)
    end
    eventually(function() return held() <= before and descriptors() <= open end)
    assert.equal(before, held())
    assert.equal(open, descriptors())
  end)
end)
