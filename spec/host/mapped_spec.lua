local files = require "weir.port.files"
local process = require "weir.port.process"
local scheduler = require "weir.native.scheduler"
local system = require "weir.port.system"

-- What a run that asks nobody outside may load: the host's own libraries, and nothing heavy.
local MAY_MAP = { "ld%-linux", "libc%.so", "libm%.so", "liblua5%.4%.so", "liblua5%.4%-luv", "libuv", "liblmdb", "libmd%.so",
  "libasan", "libubsan", "libtsan", "libgcc_s", "libstdc%+%+", "libclang_rt", "libresolv", "libpthread" }

local NAPS = [[
local weir = require "weir"
return weir.pipeline "naps" { weir.step "hello" { agent = "echo" }, weir.step "nap" { sleep = "30s" } }
]]

local function libraries(pid)
  local names = {}
  for line in io.lines(("/proc/%d/maps"):format(pid)) do
    local name = line:match "/([^/]+%.so[%d.]*)$"
    if name then names[name] = true end
  end
  return names
end

local function is_expected(name)
  for _, pattern in ipairs(MAY_MAP) do
    if name:find(pattern) then return true end
  end
  return false
end

describe("a run of an offline pipeline", function()
  it("maps the host's own libraries and no others", function()
    local folder = system.temporary_folder "weir-spec"
    assert(files.write(folder .. "/pipelines/naps.lua", NAPS, { folders = true }))
    local child <close> = assert(process.start({ system.program(), "run", folder .. "/pipelines/naps.lua", "--store", ":memory:" }))
    local said = ""
    repeat said = said .. assert(child.stderr:recv(20)) until said:find "hello"
    scheduler.sleep(0.05)
    local unexpected = {}
    for name in pairs(libraries(child.pid)) do
      if not is_expected(name) then unexpected[#unexpected + 1] = name end
    end
    process.run { "rm", "-rf", "--", folder }
    assert.same({}, unexpected)
  end)
end)
