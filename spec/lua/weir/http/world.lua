--- For specs of the HTTP door: a host with a project of its own, a store in memory, and a feed as the door expects it.

local engine_of = require "weir.run.engine"
local failure = require "weir.failure"
local folder_of = dofile "spec/folder.lua"
local http = require "weir.http"
local json = require "weir.native.json"
local project_of = require "weir.project"
local scheduler = require "weir.native.scheduler"
local store_port = require "weir.port.store"
local system = require "weir.port.system"
local uv = require "luv"
local waking = require "weir.run.waking"
local recovery = require "weir.run.recovery"
local wire = require "spec.lua.weir.http.wire"

local M = {}

-- The feed -------------------------------------------------------------------------------------------

local Feed, Follower = {}, {}
Feed.__index, Follower.__index = Feed, Follower

local CAPACITY = 64

local function publish(self, kind, data)
  self.latest = self.latest + 1
  self.events[self.latest] = { id = "t-" .. self.latest, kind = kind, data = data }
  self.events[self.latest - CAPACITY] = nil
  for follower in pairs(self.followers) do
    if follower.waiter then follower.waiter:wake() end
  end
end

-- A spec may lose the processor anywhere.
function Feed:publish(kind, data) scheduler.atomic(publish, self, kind, data) end

function Feed:follow(query)
  local position = query.after and math.tointeger(tonumber(query.after:match "^t%-(%d+)$")) or query.after and -1 or self.latest
  local kinds
  for _, kind in ipairs(query.kinds or {}) do
    kinds = kinds or {}
    kinds[kind] = true
  end
  local follower = setmetatable({ feed = self, position = position, run = query.run, kinds = kinds }, Follower)
  self.followers[follower] = true
  return follower
end

local function look(self)
  local feed = self.feed
  local oldest = math.max(0, feed.latest - CAPACITY)
  if self.position < oldest or self.position > feed.latest then
    self.position = oldest
    return true, nil, "gap", "t-" .. oldest
  end
  while self.position < feed.latest do
    self.position = self.position + 1
    local event = feed.events[self.position]
    if (not self.kinds or self.kinds[event.kind]) and (not self.run or self.run == event.data.run) then return true, event end
  end
  self.waiter = scheduler.waiter()
  return false
end

function Follower:next(timeout)
  local deadline = timeout and scheduler.now() + timeout
  while not self.is_closed do
    local found, event, why, id = scheduler.atomic(look, self)
    if found then return event, why, id end
    local left = deadline and deadline - scheduler.now()
    if left and left <= 0 then return nil, "timeout" end
    self.waiter:wait("the next event", left)
  end
  return nil, "closed"
end

function Follower:close()
  self.is_closed = true
  self.feed.followers[self] = nil
  if self.waiter then self.waiter:wake() end
end

-- The host -------------------------------------------------------------------------------------------

local World = {}
World.__index = World

local PIPELINES = {
  hello = [[
local weir = require "weir"
return weir.pipeline "hello" { input = { name = "string = World" }, doc = "Greets.",
  weir.step "greet" { agent = "echo", input = { text = "Hello, ${input.name}!" } }, output = "$.greet.text" }
]],
  ask = [[
local weir = require "weir"
return weir.pipeline "ask" { input = { text = "string = x" },
  weir.step "draft" { agent = "echo", input = { text = "$.input.text" } },
  weir.approval "release" { title = "Publish?", show = "$.draft.text" }, output = "$.release" }
]],
  nap = [[
local weir = require "weir"
return weir.pipeline "nap" { weir.step "rest" { sleep = "1h" } }
]],
  call = [[
local weir = require "weir"
return weir.pipeline "call" { weir.wait "answer" { signal = "go" }, output = "$.answer" }
]],
  bad = [[
local weir = require "weir"
return weir.pipeline "bad" { weir.step "x" { agent = "nobody_has_this" } }
]],
}

--- A host with an open door. `world:close()` ends it.
---@param options table|nil as of weir.http.start; settings: of the project; listen: default 127.0.0.1:0; socket: true for one
function M.new(options)
  options = options or {}
  local folder = system.temporary_folder "weir-door"
  local self = setmetatable({ folder = folder, logged = {} }, World)
  uv.fs_mkdir(folder .. "/pipelines", 448)
  uv.fs_mkdir(folder .. "/modules", 448)
  for name, text in pairs(PIPELINES) do folder_of.write(("%s/pipelines/%s.lua"):format(folder, name), text) end
  local here = project_of.open(folder)
  for name, value in pairs(options.settings or {}) do here.settings[name] = value end
  local store = assert(store_port.open(options.store or ":memory:", {}))
  local engine = engine_of.new(here, store, { patience = 0, near = 0 })
  local log = {}
  for _, level in ipairs { "debug", "info", "warn", "error" } do
    log[level] = function(_, message, fields) self.logged[#self.logged + 1] = { level = level, message = message, fields = fields } end
  end
  self.host = { project = here, store = store, engine = engine, settings = {}, log = log, started_ms = 1700000000000,
    feed = setmetatable({ latest = 0, events = {}, followers = {} }, Feed) }
  local function observe(event, run)
    local data = { run = run.id, pipeline = run.plan.name }
    for name, value in next, event do if name ~= "kind" then data[name] = value end end
    if type(data.error) == "table" then data.error = { code = data.error.code, message = data.error.message } end
    self.host.feed:publish(event.kind, data)
  end
  engine.observe = observe
  self.service = waking.serve(engine, function(of, id) recovery.go_on(of, id) end)
  local given = { listen = "127.0.0.1:0" }
  for name, value in pairs(options) do given[name] = value end
  if given.socket == true then given.socket = folder .. "/host.sock" end
  local ok, door = pcall(http.start, self.host, given)
  if not ok then
    self:close()
    error(door, 0)
  end
  self.door = door
  return self
end

--- One request. Waits. What is a table is sent as JSON, with the token of the administrator when no other is given.
---@return { status: integer, headers: table, body: string, value: any }
function World:ask(method, path, body, headers)
  local sent = { Host = self.door.tcp and "localhost:" .. self.door.tcp.port, Authorization = self.door.token and "Bearer " .. self.door.token }
  local text = type(body) == "table" and assert(json.encode(body)) or body
  if text then sent["Content-Type"] = "application/json" end
  for name, value in pairs(headers or {}) do sent[name] = value or nil end
  local answer = wire.ask(self.server or self.door.tcp or self.door.unix, method, path, sent, text)
  if answer and (answer.headers["content-type"] or ""):find "json" then answer.value = json.decode(answer.body) end
  return answer
end

function World:close()
  if self.door then self.door:close(0) end
  self.service:close()
  self.host.engine:stop "the spec is over"
  wire.eventually(function() return next(self.host.engine.live) == nil end)
  self.host.store:close()
  folder_of.remove(self.folder)
end

--- The refusal that a function raises.
function M.refusal(body, ...)
  local ok, raised = pcall(body, ...)
  assert(not ok, "it was not refused")
  return failure.of(raised)
end

return M
