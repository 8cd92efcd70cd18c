--- What a benchmark measures with: a project, stores and engines of its own in a folder that goes away afterwards, and the
--- bare counterparts of `weir.native.bench_floor`.

local engine = require "weir.run.engine"
local floor = require "weir.native.bench_floor"
local paths = require "weir.paths"
local project = require "weir.project"
local store = require "weir.port.store"
local task = require "weir.task"
local uv = require "luv"

local M = {}

local TMPFS, RAMFS = 0x01021994, 0x858458f6
local FILE_SYSTEMS = { [0xEF53] = "ext4", [0x9123683E] = "btrfs", [0x58465342] = "xfs", [0x2FC12FC1] = "zfs", [0xF2F52010] = "f2fs",
  [0x794C7630] = "overlay", [0x6969] = "nfs", [TMPFS] = "tmpfs", [RAMFS] = "ramfs" }
local FIRST, ENOUGH = 16, 0.25 -- operations of the first trial; part of a run's time that makes a trial count

local function remove(path)
  local handle = uv.fs_scandir(path)
  for name, kind in function() if handle then return uv.fs_scandir_next(handle) end end do
    local inner = path .. "/" .. name
    if kind == "directory" then remove(inner) else uv.fs_unlink(inner) end
  end
  uv.fs_rmdir(path)
end

local function type_of(path)
  return assert(uv.fs_statfs(path)).type
end

-- A disk keeps what it is given and takes its time for it; memory would flatter.
local function folder_on_a_disk()
  local temporary = os.getenv "TMPDIR" or "/tmp"
  local kind = type_of(temporary)
  if kind == TMPFS or kind == RAMFS then temporary = paths.natives .. "/.." end
  return assert(uv.fs_mkdtemp(temporary .. "/weir-bench-XXXXXX"))
end

--- A fresh folder on a real disk (below TMPDIR, or where weir was built when that is in memory), gone when it is closed.
---@return { path: string, file_system: string, sync_s: number, sync_p99_s: number }
function M.place()
  local path = folder_on_a_disk()
  local kind = type_of(path)
  assert(uv.fs_mkdir(path .. "/sync", 448))
  local log = floor.log(path .. "/sync")
  local _, p50, p99 = log:commit(1, 100, 0.2)
  log:close()
  local file_system = FILE_SYSTEMS[kind] or ("file system 0x%x"):format(kind)
  return setmetatable({ path = path, file_system = file_system, sync_s = p50, sync_p99_s = p99 },
    { __close = function() remove(path) end })
end

---@class weir.bench.Rig
---@field floor table `weir.native.bench_floor`
---@field now fun(): number seconds
local Rig = { floor = floor, now = task.now, __name = "weir.bench.rig" }
Rig.__index = Rig

--- A rig with a folder of its own below `path`; closing it closes what it opened.
---@param path string
---@return weir.bench.Rig
function M.new(path)
  local folder = assert(uv.fs_mkdtemp(path .. "/XXXXXX"))
  assert(uv.fs_mkdir(folder .. "/modules", 448))
  return setmetatable({ path = folder, project = project.open(folder), open = {}, folders = 0 }, Rig)
end

function Rig:__close()
  for index = #self.open, 1, -1 do self.open[index]:close() end
  remove(self.path)
end

--- A folder that did not exist before.
---@return string
function Rig:folder()
  self.folders = self.folders + 1
  local path = ("%s/%d"):format(self.path, self.folders)
  assert(uv.fs_mkdir(path, 448))
  return path
end

--- A store in a folder of its own.
function Rig:store()
  local opened = assert(store.open(self:folder() .. "/store", {}))
  table.insert(self.open, opened)
  return opened
end

--- An engine, with a store or without.
function Rig:engine(with_store)
  return engine.new(self.project, with_store or nil)
end

--- An LMDB environment without weir: log:commit(records, bytes, seconds).
function Rig:log()
  local log = floor.log(self:folder())
  table.insert(self.open, log)
  return log
end

--- Makes a function an agent of the project.
function Rig:agent(name, execute)
  self.project.registry:put { kind = "agent", name = name, api = 1, execute = execute }
end

--- Checks a definition that was built in Lua.
---@return weir.Definition
function Rig:check(value)
  local definition, errors = self.project:check(value)
  if not definition then error(errors[1].message, 0) end
  return definition
end

-- Three times as many operations until they take long enough to tell how many fill the time.
local function calibrate(operate, seconds)
  local wanted = FIRST
  while true do
    local done, elapsed = operate(wanted)
    if elapsed > seconds * ENOUGH then return math.max(1, math.ceil(done * seconds / elapsed)) end
    wanted = wanted * 3
  end
end

--- The rate of an operation.
---@param operate fun(count: integer): integer, number does it about `count` times; gives how often it did, and in how many seconds
---@return fun(seconds: number): number per second
function Rig.rate(_, operate)
  local count
  return function(seconds)
    count = count or calibrate(operate, seconds)
    local done, elapsed = operate(count)
    return done / elapsed
  end
end

--- The time that an operation takes.
---@param operate fun(count: integer): integer, number as for `rate`
---@return fun(seconds: number): number seconds
function Rig:time(operate)
  local rate = self:rate(operate)
  return function(seconds) return 1 / rate(seconds) end
end

--- A function of plain Lua, in a state of its own.
---@param source string gives a function of a number; finds `now()`
---@return fun(n: number): number, number
function Rig.plain(_, source, ...)
  local state = floor.plain(source:format(...))
  return function(n) return state:call(n) end
end

--- The part `part` (0 to 1) of values, which it sorts.
function Rig.percentile(_, values, part)
  table.sort(values)
  return values[1 + math.floor((#values - 1) * part)]
end

--- The middle of the values, which it sorts.
function Rig:median(values)
  return self:percentile(values, 0.5)
end

return M
