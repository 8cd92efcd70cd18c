--- What weir doctor looks at. Each check says what it found, and when that is not well, what to do.
--- A check that needs the disk may wait.

local failure = require "weir.failure"
local text = require "weir.cli.text"
local uv = require "luv"

local M = {}

local MIN_FREE = 1 << 30 -- bytes

---@class weir.cli.Finding
---@field check string
---@field status "ok"|"warn"|"fail"
---@field detail string
---@field fix string|nil
---@field is_store boolean|nil

local function finding(check, status, detail, fix)
  return { check = check, status = status, detail = detail, fix = fix }
end

-- Lua --------------------------------------------------------------------------------------------

--- A program for a process of its own: with the defect it computes on freed memory.
--- Prints `right` when concatenation by a metamethod that makes the stack grow gives the right text.
---@param out { line: fun(self, text: string) }
function M.concat_canary(out)
  local grow
  function grow(depth) return depth == 0 and 0 or 1 + grow(depth - 1) end
  local behaviour = {}
  behaviour["__con" .. "cat"] = function() -- spelled so: the library defines none
    grow(150)
    return "e"
  end
  local right = 0
  for round = 1, 50 do
    local a, b, c, d = "a" .. round, "b", "c", "d"
    local whole = coroutine.wrap(function() return a .. b .. c .. d .. setmetatable({}, behaviour) end)()
    if whole == "a" .. round .. "bce" then right = right + 1 end
  end
  out:line(right == 50 and "right" or "wrong")
end

local function run_canary()
  local result = require("weir.port.process").run({ uv.exepath(), "doctor", "--concat-canary" }, { timeout = 20 })
  return result and result.stdout:match "^%a+" == "right"
end

function M.lua()
  local release
  for _, entry in ipairs(require("weir.cli.version").list()) do
    if entry.name == "Lua" then release = entry.version end
  end
  if run_canary() then return finding("lua", "ok", ("Lua %s"):format(release)) end
  return finding("lua", "warn", ("Lua %s computes wrong texts when a __concat metamethod makes the stack grow"):format(release),
    "define no __concat in modules and pipelines (weir defines none), or install Lua 5.4.6 or newer")
end

function M.library()
  local library = uv.fs_realpath(require("weir.paths").library)
  for _, name in ipairs { "digest", "http_client" } do
    local ok, err = pcall(require, "weir.native." .. name)
    if not ok then
      return finding("library", "fail", ("weir.native.%s does not load: %s"):format(name, text.first_line(tostring(err))),
        "build or install weir again")
    end
  end
  return finding("library", "ok", ("%s, native modules load"):format(library))
end

function M.packages()
  local missing = {}
  for package, name in pairs { ["lua-yaml"] = "lyaml", ["lua-lpeg"] = "lpeg", ["lua-busted"] = "busted.core" } do
    if not pcall(require, name) then missing[#missing + 1] = package end
  end
  table.sort(missing)
  if #missing == 0 then return finding("packages", "ok", "lua-yaml, lua-lpeg and lua-busted are there") end
  local list = table.concat(missing, " ")
  return finding("packages", "warn", list .. " missing", "apt install " .. list)
end

--- Whether code that nobody vouches for could run here.
function M.sandbox()
  local result, message = require("weir.sandbox").run { name = "doctor", source = "return { execute = function() return 1 end }" }
  if result then
    return finding("sandbox", "ok", ("holds: Landlock %d, %d forbidden calls refused"):format(result.landlock, result.refused))
  end
  return finding("sandbox", "warn", text.safe(text.first_line(message)), "skills cannot be used here; all else works")
end

-- The store --------------------------------------------------------------------------------------

local function nearest(path)
  while path ~= "" and not uv.fs_stat(path) do path = path:match "^(.*)/[^/]*$" or "" end
  return path == "" and "/" or path
end

function M.space(path)
  local folder = nearest(path:sub(1, 1) == "/" and path or uv.cwd() .. "/" .. path)
  local stat = uv.fs_statfs(folder)
  if not stat then return finding("space", "warn", ("the file system of %s does not say how full it is"):format(folder)) end
  local free = stat.bavail * stat.bsize
  local detail = ("%s free below %s"):format(text.bytes(free), folder)
  if free >= MIN_FREE then return finding("space", "ok", detail) end
  return finding("space", "warn", detail, "make room, or name a store elsewhere with --store or WEIR_STORE")
end

local FIXES = {
  conflict = "stop the other process, or use another --store",
  denied = "give this user the folder, or use another --store",
  full = "make room on the disk",
  invalid = "name a folder on a local disk with --store or WEIR_STORE, or use the weir that made the store",
  corrupt = "`weir doctor --rebuild` saves what the journals say; else restore a backup of the folder",
  unavailable = "look at the disk and at the system's log",
}
local LONG = 64 << 20 -- bytes of a store, from which on reading it is told before
local MAP_SHARE = 0.7 -- of the address space

local function store_finding(status, detail, fix)
  local found = finding("store", status, detail, fix)
  found.is_store = status == "fail"
  return found
end

local function verified(store, path)
  local counts, damaged = store:verify()
  if not counts then return store_finding("fail", ("%s: %s"):format(path, tostring(damaged)), FIXES.corrupt) end
  if #damaged > 0 then
    local example = text.first_line(tostring(damaged[1]))
    return store_finding("fail", ("%s: %s damaged, such as %s"):format(path, text.count(#damaged, "record"), example),
      "the runs concerned say so; the others go on; `weir doctor --rebuild` makes indexes anew, a backup has the rest")
  end
  return store_finding("ok", ("%s: every record reads back (%s, %s in the log)"):format(path, text.count(counts.runs, "run"),
    text.count(counts.log, "entry", "entries")))
end

local function reserve(path, had_reserve)
  if uv.fs_stat(path .. "/reserve") then return end
  local when = had_reserve and "was used up" or "is not there, and there was no room to make it"
  return finding("reserve", "warn", ("%s/reserve %s; on a full disk runs could not be ended"):format(path, when),
    "make room on the disk; the next start makes it again")
end

local function map(stats)
  local share = stats.used_bytes / stats.map_bytes
  if share <= MAP_SHARE then return end
  return finding("map", "warn", ("%s of %s of address space are used (%.0f %%)"):format(text.bytes(stats.used_bytes),
    text.bytes(stats.map_bytes), share * 100),
    "weir prune removes old runs; if address space is limited (ulimit -v), give it more: weir takes more by itself")
end

local function readers(stats)
  if stats.readers_cleared == 0 then return end
  return finding("readers", "warn", ("%s of processes that have died were cleared"):format(text.count(stats.readers_cleared,
    "reader slot")), "other programs read this store; let them end by themselves")
end

--- What an open store says of itself.
---@param store weir.Store
---@param path string
---@param had_reserve boolean whether the reserve was there before it was opened
---@param say fun(text: string) told before what takes long
---@return weir.cli.Finding[]
function M.open_store(store, path, had_reserve, say)
  local stats = store:stats()
  if stats.used_bytes > LONG then say(("reading %s of records"):format(text.bytes(stats.used_bytes))) end
  local found = { verified(store, path) }
  local more = { map(stats), readers(stats) }
  if path ~= ":memory:" then more[3] = reserve(path, had_reserve) end
  for index = 1, 3 do found[#found + 1] = more[index] end
  return found
end

local function open_failed(message, code)
  return { store_finding("fail", message, FIXES[code] or "see the message") }
end

-- A store that a host has is in good hands; what it holds cannot be read from outside meanwhile.
local function served(path)
  local connection = require("weir.cli.remote").connect(path)
  if not connection then return nil end
  connection:close()
  return { store_finding("ok", ("a host serves %s (process %d); records are read while it does not run"):format(path, connection.pid)) }
end

--- The store: whether it opens, every record, what it needs to go on.
---@param path string
---@param say fun(text: string) told before what takes long
---@return weir.cli.Finding[]
function M.store(path, say)
  if path ~= ":memory:" and not uv.fs_stat(path) then
    return { store_finding("ok", ("%s is not there yet; the first run makes it"):format(path)) }
  end
  local had_reserve = uv.fs_stat(path .. "/reserve") ~= nil
  local store, message, code = require("weir.port.store").open(path, {})
  if not store then return code == "conflict" and served(path) or open_failed(message, code) end
  local ok, found = pcall(M.open_store, store, path, had_reserve, say)
  store:close()
  if ok then return found end
  return { store_finding("fail", failure.of(found).message, FIXES.corrupt) }
end

local function rebuilt(result)
  local parts = { text.count(result.rows, "row"), text.count(result.timers, "timer"), text.count(result.starts, "start key"),
    text.count(result.heads, "head") .. " of documents",
    ("the search index of %s"):format(text.count(result.documents, "document")) }
  local detail = "made anew: " .. table.concat(parts, ", ")
  if #result.damaged == 0 then return finding("rebuild", "ok", detail) end
  for _, lost in ipairs(result.damaged) do detail = ("%s\n%s: %s"):format(detail, lost.what, text.first_line(lost.message)) end
  return finding("rebuild", "warn", detail, "what is damaged beyond that is in a backup, if there is one")
end

--- Makes indexes anew; opens a store also if it is damaged.
---@param path string
---@return weir.cli.Finding
function M.rebuild(path)
  if path == ":memory:" or not uv.fs_stat(path) then
    return finding("rebuild", "fail", path .. " is not there", "name a store with --store")
  end
  local store, message, code = require("weir.port.store").open(path, { force = true })
  if not store then return open_failed(message, code)[1] end
  local ok, result = pcall(require("weir.upkeep").rebuild, store)
  store:close()
  if ok then return rebuilt(result) end
  return store_finding("fail", failure.of(result).message, "restore a backup")
end

-- The project ------------------------------------------------------------------------------------

function M.settings(here)
  if not here.settings or next(here.settings) == nil then return finding("settings", "ok", ("%s: none set"):format(here.root)) end
  return finding("settings", "ok", here.root .. "/weir.lua")
end

function M.modules(here)
  local list = require("weir.view.modules").list(here)
  local broken = {}
  for _, entry in ipairs(list) do
    if entry.error then broken[#broken + 1] = entry.error end
  end
  if #broken == 0 then return finding("modules", "ok", text.count(#list, "module") .. " load") end
  return finding("modules", "fail", table.concat(broken, "\n"), "correct the files; `weir modules` shows all")
end

function M.pipelines(here)
  local names, wrong = here:pipeline_names(), {}
  local format = require("weir.definition.check").format
  for _, name in ipairs(names) do
    local ok, definition, errors = pcall(function()
      local file = here:pipeline_file(name)
      return here:load(file)
    end)
    if not ok then
      wrong[#wrong + 1] = ("%s: %s"):format(name, failure.of(definition).message)
    elseif not definition then
      wrong[#wrong + 1] = format(errors[1]) .. (#errors > 1 and (" (and %d more)"):format(#errors - 1) or "")
    end
  end
  if #wrong == 0 then return finding("pipelines", "ok", text.count(#names, "pipeline") .. " checked") end
  return finding("pipelines", "fail", table.concat(wrong, "\n"), "correct the files; `weir check FILE` says all errors of one")
end

-- Around -----------------------------------------------------------------------------------------

function M.zones()
  local file = io.open("/usr/share/zoneinfo/Europe/Berlin", "rb") or io.open("/usr/share/zoneinfo/UTC", "rb")
  local magic = file and file:read(4)
  if file then file:close() end
  if magic == "TZif" then return finding("time zones", "ok", "/usr/share/zoneinfo") end
  return finding("time zones", "warn", "/usr/share/zoneinfo is not there; only UTC can be used", "apt install tzdata")
end

function M.terminal(console)
  local parts = { console.err.is_terminal and "a terminal" or "no terminal", console.is_unicode and "UTF-8" or "ASCII" }
  if console.err.is_terminal then
    parts[#parts + 1] = console.err.has_colours and "colours" or "no colours"
    parts[#parts + 1] = ("%d x %d"):format(console.err:size())
  end
  return finding("terminal", "ok", table.concat(parts, ", "))
end

return M
