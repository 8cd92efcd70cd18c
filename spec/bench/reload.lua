-- From before a file is saved until its new version serves, in a project that is watched, among `size` other modules; the
-- watch waits 30 ms for the rest of a burst. Floor: the file is saved, told of by inotify, and loaded in plain Lua.

local native = require "weir.native.scheduler"
local project = require "weir.project"
local task = require "weir.task"
local watch = require "weir.registry.watch"

local PATIENCE = 10 -- seconds that a save may take

local MODULE = [[
return { kind = "agent", name = "%s", api = 1, options = { words = "integer = %d" }, execute = function(ctx, input)
  return { text = input.text, words = ctx.options.words }
end }
]]

local function write(path, text)
  local handle = assert(io.open(path .. ".new", "wb"))
  handle:write(text)
  handle:close()
  assert(os.rename(path .. ".new", path))
end

local saving = {
  figures = { { name = "save to active", unit = "s", cost = "each", goal_value = 0.1 } },
  sizes = { 1, 100, 1000 },
}

-- The project's modules, all in use, with one that is saved again and again.
local function opened(folder, size)
  local uv = require "luv"
  for _, name in ipairs { "modules", "modules/agents", "pipelines" } do assert(uv.fs_mkdir(folder .. "/" .. name, 448)) end
  for number = 1, size do write(("%s/modules/agents/some%d.lua"):format(folder, number), MODULE:format("some" .. number, number)) end
  local here = project.open(folder)
  for number = 1, size do assert(here.registry:lookup("agent", "some" .. number)) end
  return here.registry
end

function saving.prepare(bench, size)
  local folder = bench:folder()
  local registry = opened(folder, size)
  local path, number = folder .. "/modules/agents/some1.lua", size
  local function save_once()
    local waiter = native.waiter()
    local stop = registry:observe(function(report)
      if #report.failed > 0 then error(report.failed[1].message) end
      waiter:wake(true)
    end)
    number = number + 1
    local from = bench.now()
    write(path, MODULE:format("some1", number))
    assert(waiter:wait("a reload", PATIENCE))
    stop()
    return bench.now() - from
  end
  local function weir_side(seconds)
    local took, from = {}, bench.now()
    local _, err = task.within({}, function(scope)
      task.start({ name = "watch", scope = scope }, watch.run, registry)
      task.sleep(0.05) -- until the folders are watched
      repeat took[#took + 1] = save_once() until bench.now() - from > seconds and #took >= 3
      scope:cancel "measured"
    end)
    if #took < 3 then error(err and err.message or "no reload came", 0) end
    return bench:median(took)
  end
  return { weir = weir_side, floor = function(seconds) return bench.floor.reload(bench:folder(), MODULE:format("some1", 1), seconds) end }
end

return { saving }
