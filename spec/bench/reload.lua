-- From before a file is saved until its new version serves, in a project that is watched, among `size` other modules; the
-- watch waits 30 ms for the rest of a burst. Floor: the file is saved, told of by inotify, and loaded in plain Lua.

local engine = require "weir.run.engine"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local reload = require "weir.registry.reload"
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

-- A file that all agents and the pipeline require is reloaded again and again among runs that are always so many: each ends on
-- the version that it began with, and none is lost. Floor of the rate: a file saved, told of and loaded in plain Lua.

local RELOADS = 1000
local NAMES = { "ann", "ben", "cat" }
local NAP = [[
local words = require "lib.words"
return { kind = "agent", name = "%s", api = 1, execute = function(ctx) ctx:sleep(0.05 + 0.1 * ctx:random()) return words.version end }
]]
local TALK = [[
local weir = require "weir"
local words = require "lib.words"
return weir.pipeline "talk" { weir.step "ann" { agent = "ann" },
  weir.group "both" { weir.step "ben" { agent = "ben" }, weir.step "cat" { agent = "cat" } },
  output = weir.list { words.version, "$.ann", "$.ben", "$.cat" } }
]]

local among = {
  figures = { { name = "reloads among live runs", unit = "reloads/s" },
    { name = "reloads among live runs, memory each", unit = "bytes", cost = "each" } },
  sizes = { 50, 200 }, once = true,
}

local function save_words(folder, version)
  write(folder .. "/lib/words.lua", ("return { version = 'version %d' }"):format(version))
end

local function talking(folder)
  local uv = require "luv"
  for _, name in ipairs { "modules", "modules/agents", "pipelines", "lib" } do assert(uv.fs_mkdir(folder .. "/" .. name, 448)) end
  save_words(folder, 0)
  for _, name in ipairs(NAMES) do write(("%s/modules/agents/%s.lua"):format(folder, name), NAP:format(name)) end
  write(folder .. "/pipelines/talk.lua", TALK)
  return project.open(folder)
end

local function check(run)
  if run.status ~= "finished" then error(("a run is %s: %s"):format(run.status, run.error and run.error.message), 0) end
  for _, version in ipairs(run.output) do
    if version ~= run.output[1] then error(("a run has used %s and %s"):format(run.output[1], version), 0) end
  end
end

local function in_use()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count" * 1024
end

local function reload_many(here, folder, from, count)
  for number = from, from + count - 1 do
    save_words(folder, number)
    local report = reload.changed(here.registry, { folder .. "/lib/words.lua" })
    if #report.failed > 0 then error(report.failed[1].message, 0) end
    task.yield()
  end
end

function among.prepare(bench, size)
  local folder = bench:folder()
  local here = talking(folder)
  local own = engine.new(here, bench:store(), { patience = 60, near = 60 })
  check(own:run(assert(here:pipeline "talk"), {})) -- what all runs share is loaded
  local function weir_side()
    local is_over, ended = false, 0
    local tasks = {}
    for index = 1, size do
      tasks[index] = task.spawn(function()
        repeat
          check(own:run(assert(here:pipeline "talk"), {}))
          ended = ended + 1
        until is_over
      end)
    end
    reload_many(here, folder, 1, RELOADS // 2)
    local before = in_use()
    local from = bench.now()
    reload_many(here, folder, RELOADS // 2 + 1, RELOADS // 2)
    local seconds = bench.now() - from
    local memory = (in_use() - before) / (RELOADS // 2)
    is_over = true
    for _, one in ipairs(tasks) do assert(one:join()) end
    if ended < size then error(("%d of %d runs have ended"):format(ended, size), 0) end
    return RELOADS // 2 / seconds, math.max(1, memory)
  end
  local function floor_side(seconds) return 1 / bench.floor.reload(bench:folder(), MODULE:format("some1", 1), seconds), 1 end
  return { weir = weir_side, floor = floor_side }
end

return { saving, among }
