--- The MCP servers of a host: by name, as the setting `mcp` has them; each opened when it is first needed, kept, and
--- started again when it has ended, the later the more often that happens. A server's tools are known as
--- `mcp/SERVER/TOOL`.
---
--- Every connection belongs to a task of the house, not to whoever needed it first. The house ends them all.

local client_of = require "weir.mcp.client"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local suggest = require "weir.suggest"
local task = require "weir.task"
local value_of = require "weir.value"

local M = {}

local DELAY, DELAY_MAX = 0.5, 60 -- seconds before the second start in a row, and at most
local STEADY = 30                -- seconds that a server has to last for its ends to be forgotten
local PATIENCE = 5               -- seconds that somebody waits for a server to be started again
local PREFIX = "^mcp/([^/]+)/([^/]+)$"

---@class weir.mcp.House
---@field settings table<string, weir.mcp.Settings>
local House = {}
House.__index = House

--- The MCP servers of a host. Opens nothing yet.
---@param settings table<string, weir.mcp.Settings>|nil the setting `mcp`
---@param options { folder: string|nil, log: weir.Log|nil, on_tools_changed: (fun(server: string))|nil }|nil folder: of the
---   project, where servers run that do not say where; on_tools_changed: a server says that its tools have changed, or it was
---   started again; called by a task of the house; may wait
---@return weir.mcp.House to be closed
function M.new(settings, options)
  options = options or {}
  return setmetatable({ settings = settings or {}, log = options.log or require("weir.log").new { write = function() end },
    on_tools_changed = options.on_tools_changed, folder = options.folder, places = {} }, House)
end

--- Names of the servers, sorted. Does not wait.
---@return string[]
function House:names() return value_of.names(self.settings) end

-- Servers -------------------------------------------------------------------------------------------

-- A folder that does not say where it begins is one of the project.
local function placed(self, settings)
  local cwd = settings.cwd
  if not settings.command or not self.folder or cwd and cwd:sub(1, 1) == "/" then return settings end
  return setmetatable({ cwd = cwd and self.folder .. "/" .. cwd or self.folder }, { __index = settings })
end

-- One server: its client while it has one, the task that keeps it, those who wait for it, how often it has ended.
local function place_of(self, name)
  local place = self.places[name]
  if not place then
    place = { name = name, settings = placed(self, self.settings[name]), waiters = {}, ends = 0, starts = 0 }
    self.places[name] = place
  end
  return place
end

local function tell(place, ...)
  local waiters = place.waiters
  place.waiters, place.is_opening = {}, false
  for _, waiter in ipairs(waiters) do waiter:wake(...) end
end

local function note_end(self, place, message, lasted)
  place.ends = lasted >= STEADY and 1 or place.ends + 1
  local delay = place.ends <= 1 and 0 or math.min(DELAY_MAX, DELAY * 2 ^ (place.ends - 2))
  place.start_at, place.last_message = native.now() + delay, message
  if self.is_closed then return end
  self.log:warn("mcp: a server has ended", { server = place.name, error = message, again_in_seconds = delay })
end

local function say_changed(self, place)
  return function()
    if self.on_tools_changed then self.on_tools_changed(place.name) end
  end
end

local function refuse_closed(name)
  return nil, ("mcp server '%s': the host stops"):format(name), "closed"
end

-- Keeps one connection from its opening to its end.
local function keep_one(self, place)
  local from, ended = native.now(), native.waiter()
  local client <close>, message, code = client_of.open(place.settings, { name = place.name, log = self.log,
    on_tools_changed = say_changed(self, place), on_end = function(why) ended:wake(why) end })
  if not client then
    note_end(self, place, message, 0)
    return tell(place, nil, message, code)
  end
  place.client, place.starts = client, place.starts + 1
  tell(place, client)
  if place.starts > 1 then client.session:tools_changed() end
  local why = ended:wait "the end of an mcp server"
  place.client = nil
  note_end(self, place, why, native.now() - from)
end

local function keep(self, place)
  native.set_context(nil) -- whoever needed it first is not its owner
  native.set_local("weir.client", false)
  local ok, err = task.within({}, function() keep_one(self, place) end)
  place.client, place.keeper = nil, nil
  if ok then return end
  if self.is_closed then return tell(place, refuse_closed(place.name)) end
  local why = failure.of(err)
  note_end(self, place, why.message, 0)
  tell(place, nil, why.message, why.code)
end

local function start(self, place)
  place.is_opening = true
  place.keeper = native.spawn_root(keep, self, place)
end

local function await_opening(place)
  local waiter = native.waiter()
  table.insert(place.waiters, waiter)
  return waiter:wait(("mcp server '%s'"):format(place.name))
end

local function refuse_to_start(place, left)
  return nil, ("%s; it has ended %d times in a row and is started again in %.0f seconds"):format(place.last_message, place.ends, left),
    "unavailable"
end

local function unknown(self, name)
  local names = self:names()
  local known = #names > 0 and "; there are " .. table.concat(names, ", ") or "; the setting `mcp` in weir.lua names none"
  return nil, ("there is no mcp server '%s'%s%s"):format(tostring(name), suggest.hint(name, names), known), "not_found"
end

--- A server's client; opens the server when it is needed first, and again after its end. Waits. Those who ask at once
--- share one opening, which goes on when one of them is cancelled.
---@param name string
---@return weir.mcp.Client|nil not to be closed
---@return string|nil message
---@return string|nil code `not_found`, `closed` (the house is), `unavailable` (it ends again and again), and those of `client.open`
function House:client(name)
  if not self.settings[name] then return unknown(self, name) end
  local place = place_of(self, name)
  while not self.is_closed do
    if place.client and not place.client:ended() then return place.client end
    local left = (place.start_at or 0) - native.now()
    if place.is_opening then return await_opening(place) end
    if place.keeper then place.keeper:join() -- it has ended, and is being closed
    elseif left <= 0 then start(self, place)
    elseif left > PATIENCE then return refuse_to_start(place, left)
    else native.sleep(left) end
  end
  return refuse_closed(name)
end

-- Tools ---------------------------------------------------------------------------------------------

--- Takes the name of a tool apart. Does not wait.
---@param full string such as "mcp/files/read"
---@return string|nil server
---@return string|nil tool
function M.parse(full)
  return full:match(PREFIX)
end

local function parsed(full)
  local server, tool = M.parse(full)
  if server then return server, tool end
  return nil, ("'%s' is no tool of an mcp server: mcp/SERVER/TOOL expected"):format(full)
end

--- A server's tools. Waits.
---@param name string of the server
---@return weir.mcp.Tool[]|nil
---@return string|nil message
---@return string|nil code as `client`, and those of `Client:tools`
function House:tools(name)
  local client, message, code = self:client(name)
  if not client then return nil, message, code end
  return client:tools()
end

--- One tool. Waits.
---@param full string such as "mcp/files/read"
---@return weir.mcp.Tool|nil
---@return string|nil message
---@return string|nil code `invalid` (no such name), and those of `tools`
function House:lookup(full)
  local server, name = parsed(full)
  if not server then return nil, name, "invalid" end
  local client, message, code = self:client(server)
  if not client then return nil, message, code end
  return client:tool(name)
end

--- Calls a tool. Waits. Cancelled with its task. A server that ends in the middle makes the call `unavailable`; the next one
--- starts it again.
---@param full string such as "mcp/files/read"
---@param arguments table|nil
---@param options weir.mcp.CallOptions|nil
---@return weir.mcp.Result|nil
---@return string|nil message
---@return string|nil code `invalid`, those of `client` and of `Client:call`
function House:call(full, arguments, options)
  local server, name = parsed(full)
  if not server then return nil, name, "invalid" end
  local client, message, code = self:client(server)
  if not client then return nil, message, code end
  return client:call(name, arguments, options)
end

--- Ends every connection and every server that was started; those who wait are refused. Waits until all have ended. Safe
--- twice.
function House:close()
  self.is_closed = true
  local keepers = {}
  for _, place in pairs(self.places) do
    if place.keeper then
      keepers[#keepers + 1] = place.keeper
      place.keeper:cancel "the host stops"
    end
  end
  for _, keeper in ipairs(keepers) do keeper:join() end
end

House.__close = House.close

return M
