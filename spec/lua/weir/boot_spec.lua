local process = require "weir.port.process"
local support = dofile "spec/lua/weir/cli/support.lua"
local uv = require "luv"

local function run(arguments, env)
  return assert(process.run(arguments, { env = support.environment(env), timeout = 60 }))
end

-- A host with a library of its own, in a folder: `bin/weir`, `bin/native`, `lua/weir`.
local function install(folder)
  local built = uv.exepath():match "^(.*)/"
  local library = require("weir.paths").library
  local copy = ([[
    mkdir -p "$1/bin/native" && cp "$2/weir" "$1/bin/" && cp "$2/native/library.chunks" "$1/bin/native/" &&
    ln -s "$2/native/weir" "$1/bin/native/weir" && cp -r "$3/lua" "$1/"]])
  local done = run { "sh", "-c", copy, "sh", folder, built, library }
  assert.equal(0, done.status, done.stderr)
end

describe("the library that the build has compiled", function()
  local folder
  setup(function()
    folder = support.folder()
    install(folder)
  end)
  teardown(function() support.remove(folder) end)

  local function version()
    local done = run({ folder .. "/bin/weir", "version" }, { WEIR_HOME = folder })
    assert.equal(0, done.status, done.stderr)
    return done.stdout:match "^[^\n]+"
  end

  local function change_version(to)
    local path = folder .. "/lua/weir/version.lua"
    local file = assert(io.open(path, "rb"))
    local text = file:read "a"
    file:close()
    support.write(folder, "lua/weir/version.lua", (text:gsub("%d+%.%d+%.%d+", to)))
  end

  it("does not stand in for a file that has been changed since", function()
    assert.equal("weir " .. require "weir.version", version())
    change_version "9.9.9" -- of the same length as before, too
    assert.equal("weir 9.9.9", version())
  end)

  it("may be cut short, damaged at its head, or missing", function()
    local path = folder .. "/bin/native/library.chunks"
    local file = assert(io.open(path, "rb"))
    local whole = file:read "a"
    file:close()
    for _, text in ipairs { whole:sub(1, #whole // 2), whole:sub(1, 10), whole:sub(1, 300), "WEIRCHK1" .. whole:sub(9), "" } do
      support.write(folder, "bin/native/library.chunks", text)
      assert.matches("^weir %d", version())
    end
    os.remove(path)
    assert.matches("^weir %d", version())
  end)
end)
