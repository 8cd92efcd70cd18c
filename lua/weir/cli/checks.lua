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
  corrupt = "restore a backup of the folder, or move it away: weir makes a new one",
}

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
      "the runs concerned say so; the others go on; restore a backup to have them back")
  end
  return store_finding("ok", ("%s: every record reads back (%s, %s in the log)"):format(path, text.count(counts.runs, "run"),
    text.count(counts.log, "entry", "entries")))
end

function M.store(path)
  if path ~= ":memory:" and not uv.fs_stat(path) then
    return store_finding("ok", ("%s is not there yet; the first run makes it"):format(path))
  end
  local store, message, code = require("weir.port.store").open(path, {})
  if not store then return store_finding("fail", message, FIXES[code] or "see the message") end
  local ok, found = pcall(verified, store, path)
  store:close()
  if ok then return found end
  return store_finding("fail", failure.of(found).message, FIXES.corrupt)
end

-- The project ------------------------------------------------------------------------------------

function M.settings(here)
  if not here.settings or next(here.settings) == nil then return finding("settings", "ok", ("%s: none set"):format(here.root)) end
  return finding("settings", "ok", here.root .. "/weir.lua")
end

function M.modules(here)
  local list = require("weir.cli.modules").list(here)
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
