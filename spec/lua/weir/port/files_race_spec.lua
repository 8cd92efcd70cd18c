-- Test 91: a folder is exchanged for a link that leads out, and back, again and again by another process, while files below
-- it are written, read, removed and listed. Nothing outside is read, made, changed or removed. WEIR_RACES: how many tries
-- (default 600).

local files = require "weir.port.files"
local process = require "weir.port.process"
local system = require "weir.port.system"
local uv = require "luv"

local TRIES = math.tointeger(os.getenv "WEIR_RACES") or 600
local PATIENCE = 30 -- seconds until the other process is there

-- The other process: `in/at` is a folder or a link to `out`, until there is a file `stop`.
local SWAP = [[
local uv = require "luv"
describe("a racer", function() it("exchanges a folder and a link", function()
  assert(uv.fs_symlink("../out", "in/link"))
  assert(io.open("ready", "w")):close()
  local count = 0
  repeat
    assert(uv.fs_rename("in/at", "in/away"))
    assert(uv.fs_rename("in/link", "in/at"))
    assert(uv.fs_rename("in/at", "in/link"))
    assert(uv.fs_rename("in/away", "in/at"))
    count = count + 1
  until count % 16 == 0 and uv.fs_stat "stop"
  uv.fs_unlink "in/link"
end) end)
]]

describe("files below a root while a link comes and goes", function()
  local folder, child

  before_each(function()
    folder = system.temporary_folder "weir-race"
    for _, name in ipairs { "in", "in/at", "out" } do assert(uv.fs_mkdir(folder .. "/" .. name, 448)) end
    assert(files.write(folder .. "/out/secret", "outside"))
    assert(files.write(folder .. "/out/kept", "outside"))
    assert(files.write(folder .. "/in/at/kept", "inside"))
    assert(files.write(folder .. "/swap_spec.lua", SWAP))
    child = assert(process.start({ system.program(), "test", "swap_spec.lua" }, { cwd = folder }))
    local last = uv.now() + PATIENCE * 1000
    while not uv.fs_stat(folder .. "/ready") do
      assert(uv.now() < last, "the other process does not begin")
      require("weir.port.clock").sleep(0.01)
    end
  end)
  after_each(function()
    child:close()
    process.run { "rm", "-rf", "--", folder }
  end)

  it("are those below it and no others", function()
    local root, seen = folder .. "/in", { refused = 0, done = 0 }
    local function note(result, _, code)
      if result == nil then assert.is_true(code == "denied" or code == "not_found" or code == "invalid" or code == "conflict", code) end
      seen[result == nil and "refused" or "done"] = seen[result == nil and "refused" or "done"] + 1
      return result
    end
    for try = 1, TRIES do
      local turn = try % 5
      if turn == 0 then note(files.write("at/new", "inside", { root = root })) end
      if turn == 1 then note(files.write(("at/deep%d/new"):format(try % 10), "inside", { root = root, folders = true })) end
      if turn == 2 then assert.is_true((note(files.read("at/kept", { root = root })) or "inside") == "inside") end
      if turn == 3 then note(files.remove("at/secret", { root = root })) end
      if turn == 4 then
        for _, name in ipairs(note(files.list("at", { root = root, recursive = true })) or {}) do assert.is_nil(name:find "secret") end
      end
    end
    assert(files.write(folder .. "/stop", ""))
    assert(child:wait(PATIENCE))
    assert.is_true(seen.done > 0)
    assert.is_true(TRIES < 10000 or seen.refused > 0, "the two never met")
    assert.same({ "kept", "secret" }, files.list(folder .. "/out", { recursive = true, hidden = true }))
    for _, name in ipairs { "kept", "secret" } do assert.equal("outside", files.read(folder .. "/out/" .. name)) end
  end)
end)
