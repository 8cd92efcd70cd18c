-- The digest of each working day, and what notices that it is not there, over two simulated weeks.
local support = dofile "spec/lua/weir/schedule/support.lua"
local uv = require "luv"

local DAY = 86400

local function source(name)
  local file = assert(io.open("pipelines/" .. name .. ".lua", "rb"))
  local text = file:read "a"
  file:close()
  return (text:gsub('tz = "local"', 'tz = "Europe/Berlin"'))
end

describe("the pipeline daily", function()
  local world
  before_each(function()
    world = support.world "2026-12-14T00:00:00Z" -- a Monday
    for _, name in ipairs { "daily", "overdue" } do world:write("pipelines/" .. name .. ".lua", source(name)) end
    world:write("docs/tide.md", "# Tide\n\nThe tide comes in twice a day. It follows the moon. Boats wait for it in the harbour.\n")
  end)
  after_each(function() world:close() end)

  local function made()
    local names, handle = {}, uv.fs_scandir(world.folder .. "/digests")
    while handle do
      local name = uv.fs_scandir_next(handle)
      if not name then break end
      names[#names + 1] = name
    end
    table.sort(names)
    return names
  end

  it("is there on each working day before nine, and nobody is told that it is overdue", function()
    world:start()
    world:pass(14 * DAY)
    assert.same({ "2026-12-14.md", "2026-12-15.md", "2026-12-16.md", "2026-12-17.md", "2026-12-18.md", "2026-12-21.md", "2026-12-22.md",
      "2026-12-23.md", "2026-12-24.md" }, made())
    local totals = world:state("overdue").totals
    assert.same({ satisfied = 9 }, totals)
  end)

  it("is made once for all the days on which no host was there", function()
    world:start()
    world:pass(DAY)
    world:down(3 * DAY)
    world:pass(DAY)
    assert.same({ "2026-12-14.md", "2026-12-17.md", "2026-12-18.md" }, made())
    assert.equal(3, world:history("daily")[2].interval.count)
  end)

  it("that fails is overdue at nine", function()
    os.rename(world.folder .. "/docs", world.folder .. "/elsewhere")
    world:start()
    world:pass(DAY)
    assert.same({ "OVERDUE-2026-12-14.md" }, made())
    os.rename(world.folder .. "/elsewhere", world.folder .. "/docs")
    world:pass(DAY)
    assert.same({ "2026-12-15.md", "OVERDUE-2026-12-14.md" }, made())
  end)
end)
