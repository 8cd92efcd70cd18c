--- A client of one MCP server: its tools, and calls of them, any number side by side over one connection.
---
--- The connection belongs to whoever opens it and ends with the scope that is open then, unless it is closed before.
--- A server that has ended stays ended for this client; `weir.mcp.house` starts it again.

local json = require "weir.native.json"
local messages = require "weir.mcp.messages"
local native = require "weir.native.scheduler"
local session_of = require "weir.mcp.session"
local suggest = require "weir.suggest"
local task = require "weir.task"
local tools_of = require "weir.mcp.tools"

local M = {}

local OPEN_SECONDS = 30
local CALL_SECONDS = 60
local LIST_SECONDS = 30
local PAGES, TOOLS = 100, 1000
local TIMES = 3 -- a list is read anew that changes while it is read

---@class weir.mcp.Settings
---@field command string[]|nil the program and its arguments, or
---@field url string|nil       where the server answers
---@field env table|nil        of a command: names that are handed down, and values by name
---@field cwd string|nil       of a command
---@field headers table<string, string|string[]>|nil of a url; `secret://NAME` stands for a secret
---@field era "modern"|"legacy"|nil nil finds out
---@field timeout number|nil   seconds of a call that says nothing else, default 60
---@field open_timeout number|nil seconds to start and to be greeted, default 30

---@class weir.mcp.Callbacks
---@field name string|nil      how the server is called in messages
---@field log weir.Log|nil
---@field on_tools_changed (fun(client: weir.mcp.Client))|nil called by a task of the connection; may wait
---@field on_end (fun(message: string, code: string))|nil the connection has ended, also by `close`; does not wait

---@class weir.mcp.Client
---@field name string
---@field session weir.mcp.Session
---@field transport weir.mcp.Transport
local Client = {}
Client.__index = Client

local SILENT = require("weir.log").new { write = function() end }

local function open_transport(self, settings)
  local kind = require(settings.command and "weir.mcp.stdio" or "weir.mcp.http")
  local transport, message, code
  transport, message, code = kind.open(settings, {
    on_message = function(one) self.session:take(one) end,
    on_end = function(why, what)
      if transport == self.transport then self.on_end(why, what) end
    end,
  }, self)
  if not transport then return nil, message, code end
  self.session:attach(transport)
  return transport
end

local function greet(self, transport, deadline, era)
  local ok, message, code = self.session:greet(math.max(0, deadline - native.now()), era)
  if ok then return true end
  local has_died = transport.ended ~= nil
  transport:close()
  return nil, message, code, has_died
end

-- Some servers of the first era end when they are asked what they do not know: these are started once more.
local function connect(self, settings, deadline)
  local transport, message, code = open_transport(self, settings)
  if not transport then return nil, message, code end
  local ok, has_died
  ok, message, code, has_died = greet(self, transport, deadline, settings.era)
  if ok then return transport end
  if not has_died or settings.era or not settings.command then return nil, message, code end
  local second = open_transport(self, settings)
  if not second then return nil, message, code end
  if greet(self, second, deadline, "legacy") then return second end
  return nil, message, code
end

--- Opens a client of a server: starts it or reaches it, finds out which version of the protocol it speaks, greets it.
--- Waits.
---@param settings weir.mcp.Settings
---@param callbacks weir.mcp.Callbacks|nil
---@return weir.mcp.Client|nil client to be closed, or ended with the scope that is open now
---@return string|nil message
---@return string|nil code `not_found` (no such program), `denied`, `timeout`, `unavailable`, `limit`, `failed`
function M.open(settings, callbacks)
  callbacks = callbacks or {}
  local name = callbacks.name or settings.url or settings.command[1]
  local self = setmetatable({ name = name, label = ("mcp server '%s'"):format(name), log = callbacks.log or SILENT, settings = settings,
    on_end = callbacks.on_end or function() end }, Client)
  self.session = session_of.new { name = name, label = self.label, log = self.log, on_tools_changed = function()
    if callbacks.on_tools_changed then callbacks.on_tools_changed(self) end
  end }
  local transport, message, code = connect(self, settings, native.now() + (settings.open_timeout or OPEN_SECONDS))
  if not transport then return nil, message, code end
  self.transport = transport
  self.session:start()
  self.deferred = native.defer(function() self:close() end)
  if transport.ended then self.on_end(transport.ended.message, transport.ended.code) end
  return self
end

--- Whether the connection has ended; why. Does not wait.
---@return { message: string, code: string }|nil
function Client:ended() return self.transport.ended end

-- Tools ---------------------------------------------------------------------------------------------

local function note(self)
  return function(tool, what)
    self.log:debug("mcp: a tool's schema is not read here", { server = self.name, tool = tool, error = what })
  end
end

local function add(self, list, raw, about)
  local tool, why = tools_of.check(raw, about)
  if tool and list.by_name[tool.name] then tool, why = nil, "there is another one of its name" end
  if not tool then
    local name = messages.is_object(raw) and raw.name
    self.log:warn("mcp: a tool is left out", { server = self.name, tool = type(name) == "string" and name:sub(1, 128) or nil, error = why })
    return
  end
  list[#list + 1], list.by_name[tool.name] = tool, tool
end

local function read_all(self, deadline)
  local list = { by_name = {} }
  local about = { marks = self.session.era == "modern" and self.transport.kind == "http", note = note(self) }
  local cursor, count = nil, 0
  for _ = 1, PAGES do
    local page, message, code, following = self.session:page(cursor, math.max(0, deadline - native.now()))
    if not page then return nil, message, code end
    for _, raw in ipairs(page) do
      count = count + 1
      if count > TOOLS then return nil, ("%s: it has more than %d tools"):format(self.label, TOOLS), "limit" end
      add(self, list, raw, about)
    end
    if not following then return list end
    cursor = following
  end
  return nil, ("%s: its list of tools has more than %d pages"):format(self.label, PAGES), "limit"
end

local function read_settled(self)
  local deadline = native.now() + LIST_SECONDS
  local list, message, code, change
  for _ = 1, TIMES do
    change = self.session.change
    list, message, code = read_all(self, deadline)
    if not list then return nil, message, code end
    if change == self.session.change then break end
  end
  self.list, self.list_change = list, change
  return list
end

local function known(self)
  if self.list and self.list_change == self.session.change then return self.list end
  return read_settled(self)
end

--- The server's tools, all pages, in its order; those that do not fit are left out, and the log says why. Asked of the
--- server once, and again when it has said that they changed. Waits.
---@return weir.mcp.Tool[]|nil
---@return string|nil message
---@return string|nil code `timeout`, `unavailable`, `limit`, `failed`, and what a server's error means
function Client:tools()
  local list, message, code = known(self)
  if not list then return nil, message, code end
  return table.move(list, 1, #list, 1, {})
end

--- One tool by its name. Waits as `tools` does.
---@param name string
---@return weir.mcp.Tool|nil
---@return string|nil message
---@return string|nil code `not_found`, and those of `tools`
function Client:tool(name)
  local list, message, code = known(self)
  if not list then return nil, message, code end
  local tool = list.by_name[name]
  if tool then return tool end
  local names = {}
  for index, one in ipairs(list) do names[index] = one.name end
  return nil, ("%s: there is no tool '%s'%s"):format(self.label, name, suggest.hint(name, names)), "not_found"
end

-- Calls ---------------------------------------------------------------------------------------------

---@class weir.mcp.CallOptions
---@field timeout number|nil seconds for the server; those that a person takes do not count
---@field on_progress (fun(progress: { progress: number, total: number?, message: string? }))|nil called by the task that calls; may
---   wait; the latest is enough where several have come
---@field elicit (fun(question: weir.mcp.Elicitation): { action: string, content: table? }|nil, string?, string?)|nil called by the task
---   that calls; may wait. nil, message, code ends the call with them. Without it the server is told that nobody answers

-- The same with what the server's tool and the server are called, where it is not said yet.
local function at_tool(self, name, message)
  if message:sub(1, #self.label) == self.label then
    message = message:sub(#self.label + 1):gsub("^ ", "the server ", 1):gsub("^: ", "", 1)
  end
  return ("%s, tool '%s': %s"):format(self.label, name, (message:gsub("^tools/call: ", "", 1)))
end

local function call_once(self, tool, arguments, options)
  local is_mirrored = self.session.era == "modern" and self.transport.kind == "http"
  return self.session:call(tool.name, arguments, { timeout = options.timeout or self.settings.timeout or CALL_SECONDS,
    on_progress = options.on_progress, elicit = options.elicit, headers = is_mirrored and tools_of.headers(tool, arguments) or nil })
end

local function is_mismatch(detail)
  return detail and detail.error and detail.error.code == messages.HEADER_MISMATCH
end

--- Calls a tool. Waits for its result. Cancelled with its task, and the server is told so. An error that the tool itself
--- reports is a result, with `is_error`.
---@param name string
---@param arguments table|nil an object
---@param options weir.mcp.CallOptions|nil
---@return weir.mcp.Result|nil
---@return string|nil message
---@return string|nil code `not_found`, `invalid` (arguments, or an output that its schema refuses), `timeout`, `unavailable` (the
---   server has ended or cannot be reached; it may have done the work), `denied`, `limit`, `conflict`, `full`, `failed`, and what
---   `elicit` gave
function Client:call(name, arguments, options)
  options = options or {}
  if arguments == nil or type(arguments) == "table" and next(arguments) == nil then arguments = {} end
  if not messages.is_object(arguments) then error("arguments of an MCP tool must be an object", 2) end
  local tool, message, code = self:tool(name)
  if not tool then return nil, message, code end
  local raw, detail
  raw, message, code, detail = call_once(self, tool, arguments, options)
  if not raw and is_mismatch(detail) then -- which parameters go into headers has changed
    self.list = nil
    tool = self:tool(name) or tool
    raw, message, code = call_once(self, tool, arguments, options)
  end
  if not raw then return nil, at_tool(self, name, message), code end
  local result, why, what = tools_of.result(raw, tool)
  if not result then return nil, at_tool(self, name, ("its result cannot be used: %s"):format(why)), what end
  return result
end

--- What is known of the server. Does not wait.
---@return table about {name, transport = "stdio"|"http", era, version, server = {name?, version?}, instructions?}
function Client:about()
  local session = self.session
  local function text(value) return type(value) == "string" and value or nil end
  return { name = self.name, transport = self.transport.kind, era = session.era, version = session.version,
    server = { name = text(session.server.name), version = text(session.server.version) }, instructions = session.instructions }
end

local function close_all(_, self)
  self.session:stop()
  self.transport:close()
end

--- Ends the connection, and the server if it was started for it. Calls that are under way fail with `closed`. Waits until it
--- has ended. Safe twice.
function Client:close()
  if self.is_closed then return end
  self.is_closed = true
  self.deferred:release()
  if native.can_wait() then task.within({ shield = true }, close_all, self) else self.transport:close() end
end

Client.__close = Client.close

--- The blocks of a result as one text: texts as they are, of anything else what it is.
---@param result weir.mcp.Result
---@return string
function M.text_of(result)
  local parts = {}
  for index, block in ipairs(result.content) do
    if block.type == "text" then parts[index] = block.text
    elseif block.type == "resource" and type(block.resource.text) == "string" then parts[index] = block.resource.text
    else parts[index] = ("[%s %s]"):format(block.type, block.uri or block.mimeType or "") end
  end
  if #parts == 0 and result.structured ~= nil then return assert(json.encode(result.structured)) end
  return table.concat(parts, "\n")
end

return M
