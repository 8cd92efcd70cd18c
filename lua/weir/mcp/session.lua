--- What is said over an MCP connection, in both eras. Modern (2026-07-28): no handshake, every request says who asks and
--- what it can do; a server that needs a person answers with its questions and is asked again with theirs. Legacy (up to
--- 2025-11-25): a handshake, and the server asks back while the call goes on. Which one it is, `server/discover` tells:
--- whoever does not know it is legacy.

local channel = require "weir.channel"
local json = require "weir.native.json"
local messages = require "weir.mcp.messages"
local native = require "weir.native.scheduler"

local M = {}

local PROBE_SECONDS = 10   -- for a server on standard streams to say that it knows no `server/discover`
local ROUNDS = 10          -- of questions in one call
local QUESTIONS = 16       -- in one round
local PACE = 0.25          -- seconds before a call is repeated that was only put off
local FOLLOW_SECONDS, FOLLOW_MAX = 1, 60 -- before changes are followed again
local GONE = "this server has no stream for changes"

local META = "io.modelcontextprotocol/"
local ACTIONS = { accept = true, decline = true, cancel = true }

---@class weir.mcp.Session
---@field era "modern"|"legacy"
---@field version string of the protocol
---@field server table {name, version} as the server says it
---@field capabilities table of the server
local Session = {}
Session.__index = Session

--- A session over a connection. Does not wait.
---@param about { name: string, label: string, log: weir.Log, on_tools_changed: fun() }
---@return weir.mcp.Session
function M.new(about)
  return setmetatable({ name = about.name, label = about.label, log = about.log, on_tools_changed = about.on_tools_changed,
    last_id = 0, change = 0, changes = channel.new(1, "latest"), tasks = {}, capabilities = {}, server = {} }, Session)
end

function Session:attach(transport) self.transport = transport end

-- Requests ------------------------------------------------------------------------------------------

local function capabilities_of(options)
  return options.elicit and { elicitation = { form = {}, url = {} } } or {}
end

local function with_meta(self, params, id, options)
  local copy, meta = {}, {}
  for name, value in pairs(params) do copy[name] = value end
  if options.on_progress then meta.progressToken = id end
  if self.era == "modern" then
    meta[META .. "protocolVersion"] = self.version
    meta[META .. "clientInfo"] = messages.CLIENT
    meta[META .. "clientCapabilities"] = capabilities_of(options)
  end
  if next(meta) then copy._meta = meta end
  return copy
end

local function headers_of(self, method, params, more)
  local headers = {}
  for name, value in pairs(more or {}) do headers[name] = value end
  if self.version then headers["mcp-protocol-version"] = self.version end
  if self.era == "modern" then headers["mcp-method"], headers["mcp-name"] = method, params.name end
  return headers
end

local function exchange(self, method, params, options)
  self.last_id = self.last_id + 1
  local message = messages.request(self.last_id, method, with_meta(self, params, self.last_id, options))
  return self.transport:exchange(message, { timeout = options.timeout, on_message = options.on_message, is_quiet = options.is_quiet,
    takes_questions = self.era == "legacy" and options.elicit ~= nil, headers = headers_of(self, method, params, options.headers) })
end

local function result_of(self, method, answer)
  if answer.error then
    local message, code = messages.explain(answer.error)
    return nil, ("%s: %s: %s"):format(self.label, method, message), code, { error = answer.error }
  end
  if messages.is_object(answer.result) then return answer.result end
  return nil, ("%s: %s: the result is no object"):format(self.label, method), "failed"
end

--- Asks for one thing. Waits. A server that has forgotten the session is greeted anew, once.
---@param method string
---@param params table
---@param options weir.mcp.Exchange|{ elicit: function|nil, on_progress: function|nil }
---@return table|nil result
---@return string|nil message
---@return string|nil code
---@return { error: table|nil, status: integer|nil, lost: string|nil }|nil detail
function Session:request(method, params, options)
  if self.greeting then self:regreet(options.timeout) end
  local answer, message, code, detail = exchange(self, method, params, options)
  if detail and detail.lost and self.era == "legacy" then
    local ok, why, what = self:regreet(options.timeout, detail.lost)
    if not ok then return nil, why, what end
    answer, message, code, detail = exchange(self, method, params, options)
  end
  if not answer then return nil, message, code, detail end
  return result_of(self, method, answer)
end

-- Greeting ------------------------------------------------------------------------------------------

local function note_server(self, result, info)
  self.capabilities = messages.object(result.capabilities)
  self.server = messages.object(info)
  self.instructions = type(result.instructions) == "string" and result.instructions or nil
end

local function includes(list, value)
  if type(list) ~= "table" then return false end
  for _, one in ipairs(list) do
    if one == value then return true end
  end
  return false
end

local function speaks_legacy(list)
  for _, version in ipairs(messages.LEGACY) do
    if includes(list, version) then return true end
  end
  return false
end

-- By what a server says that does not speak our version: false when it may be asked as a legacy one.
local function other_version(self, err)
  local supported = messages.object(err.data).supported
  if type(supported) ~= "table" or speaks_legacy(supported) then return false end
  local list = {}
  for index, version in ipairs(supported) do list[index] = tostring(version) end
  if #list == 0 then return false end
  return nil, ("%s: it speaks MCP %s; weir speaks %s and %s"):format(self.label, table.concat(list, ", "), messages.MODERN,
    table.concat(messages.LEGACY, ", ")), "unavailable"
end

local function is_no_answer(self, code, detail)
  if self.transport.kind == "stdio" then return code == "timeout" or code == "failed" end
  local status = detail and detail.status
  return status ~= nil and status >= 400 and status < 500 and code ~= "denied" and status ~= 429
end

-- True when the server is modern, false when it is to be asked as a legacy one, or nil, message, code.
local function discover(self, timeout)
  self.era, self.version = "modern", messages.MODERN
  if self.transport.kind == "stdio" then timeout = math.min(timeout / 3, PROBE_SECONDS) end
  local answer, message, code, detail = exchange(self, "server/discover", {}, { timeout = timeout, is_quiet = true })
  if not answer then
    if is_no_answer(self, code, detail) then return false end
    return nil, message, code
  end
  if answer.error then
    if answer.error.code == messages.UNSUPPORTED_VERSION then return other_version(self, answer.error) end
    return false
  end
  local result = messages.object(answer.result)
  if not includes(result.supportedVersions, messages.MODERN) then
    return other_version(self, { data = { supported = result.supportedVersions } })
  end
  note_server(self, result, messages.object(result._meta)[META .. "serverInfo"])
  return true
end

-- A session that is not greeted to the end stays what it was: of one that was forgotten the server says so again.
local function initialize(self, timeout)
  local version, session_id, is_greeted = self.version, self.transport.session_id, false
  local _ <close> = setmetatable({}, { __close = function()
    self.transport.keeps_session = false
    if not is_greeted then self.version, self.transport.session_id = version, session_id end
  end })
  self.era, self.version = "legacy", nil
  self.transport.keeps_session, self.transport.session_id = true, nil
  local answer, message, code = exchange(self, "initialize", { protocolVersion = messages.LEGACY[1], clientInfo = messages.CLIENT,
    capabilities = capabilities_of { elicit = true } }, { timeout = timeout, is_quiet = true })
  self.transport.keeps_session = false
  if not answer then return nil, message, code end
  local result
  result, message, code = result_of(self, "initialize", answer)
  if not result then return nil, message, code end
  if not includes(messages.LEGACY, result.protocolVersion) then
    return nil, ("%s: it speaks MCP %s; weir speaks %s and %s"):format(self.label, tostring(result.protocolVersion), messages.MODERN,
      table.concat(messages.LEGACY, ", ")), "unavailable"
  end
  self.version = result.protocolVersion
  note_server(self, result, result.serverInfo)
  self.transport.post_headers, self.transport.tells_cancellation = headers_of(self), true
  self.transport:send(messages.notification "notifications/initialized")
  is_greeted = true
  return true
end

--- Finds out how the server is to be spoken to, and greets it. Waits.
---@param timeout number seconds
---@param era "modern"|"legacy"|nil nil finds out
---@return true|nil
---@return string|nil message
---@return string|nil code
function Session:greet(timeout, era)
  if era == "legacy" then return initialize(self, timeout) end
  local deadline = native.now() + timeout
  local is_modern, message, code = discover(self, timeout)
  if is_modern then return true end
  if is_modern == nil then return nil, message, code end
  if era == "modern" then
    return nil, ("%s: it does not speak MCP %s, which the setting `era` asks for"):format(self.label, messages.MODERN), "unavailable"
  end
  return initialize(self, math.max(1, deadline - native.now()))
end

--- Greets a server anew that has forgotten the session. Those who ask for it at once share one greeting. Waits.
---@param timeout number|nil seconds
---@param lost string|nil the session that the server does not know any more
---@return true|nil
---@return string|nil message
---@return string|nil code
function Session:regreet(timeout, lost)
  if self.greeting then
    local waiter = native.waiter()
    table.insert(self.greeting, waiter)
    return waiter:wait("a session", timeout)
  end
  if self.transport.session_id ~= lost then return true end -- somebody else was faster
  local waiting = {}
  self.greeting = waiting
  self.log:info("mcp: a server has forgotten the session; it is greeted anew", { server = self.name })
  local _ <close> = setmetatable({}, { __close = function()
    self.greeting = nil
    for _, waiter in ipairs(waiting) do waiter:wake(nil, self.label .. ": it was not greeted anew", "unavailable") end
  end })
  local ok, message, code = initialize(self, timeout or PROBE_SECONDS)
  for index = #waiting, 1, -1 do table.remove(waiting, index):wake(ok, message, code) end
  self:tools_changed()
  return ok, message, code
end

-- What the server says unasked ------------------------------------------------------------------------

--- Has whoever opened the connection told that the tools have changed. Does not wait.
function Session:tools_changed()
  self.change = self.change + 1
  self.changes:try_send(true)
end

local function tell_change(self)
  local ok, err = pcall(self.on_tools_changed)
  if ok then return end
  native.recover()
  self.log:warn("mcp: tools have changed, and that could not be told",
    { server = self.name, error = require("weir.failure").of(err).message })
end

--- Takes what belongs to no request. Does not wait.
---@param message table
function Session:take(message)
  local kind = messages.kind(message)
  if kind == "notification" then
    if message.method == "notifications/tools/list_changed" then self:tools_changed() end
  elseif message.method == "ping" then
    self.transport:post(messages.result(message.id, {}))
  elseif message.method == "elicitation/create" then
    self.log:warn("mcp: a server asks something, and it cannot be told for which call; it is told that nobody answers",
      { server = self.name })
    self.transport:post(messages.result(message.id, { action = "cancel" }))
  elseif kind == "request" then
    self.transport:post(messages.failure(message.id, messages.METHOD_NOT_FOUND, "weir does not do " .. message.method))
  end
end

-- From now on changes are heard; of what was listed before, one may have been missed.
local function now_listens(self)
  if self.has_listed then self:tools_changed() end
end

local function follow_modern(self)
  local function on_message(message)
    if message.method == "notifications/tools/list_changed" then self:tools_changed() end
    if message.method == "notifications/subscriptions/acknowledged" then now_listens(self) end
  end
  local answer = exchange(self, "subscriptions/listen", { notifications = { toolsListChanged = true } }, { on_message = on_message })
  return not self.transport.ended and not (answer and answer.error)
end

local function follow_legacy(self)
  local was_there, seconds = self.transport:listen(headers_of(self), function() now_listens(self) end)
  return was_there and not self.transport.ended, seconds
end

local function way_of_following(self)
  if self.era == "modern" then return messages.object(self.capabilities.tools).listChanged and follow_modern end
  return self.transport.kind == "http" and follow_legacy
end

-- Listens again and again; the more rarely, the sooner the server ends it.
local function follow(self, once)
  local delay = FOLLOW_SECONDS
  while true do
    local from = native.now()
    local ok, goes_on, seconds = pcall(once, self)
    if not ok then native.recover() end
    native.check()
    if not ok or not goes_on then return self.log:debug("mcp: " .. GONE, { server = self.name }) end
    delay = native.now() - from > FOLLOW_MAX and FOLLOW_SECONDS or math.min(FOLLOW_MAX, delay * 2)
    native.sleep(math.max(delay, seconds or 0))
  end
end

--- Hears of changes of the tools from now on, until `stop` or the end of the scope that is open now. Does not wait.
function Session:start()
  self.tasks[1] = native.start({ name = "mcp changes" }, function()
    for _ in function() return self.changes:recv() end do tell_change(self) end
  end)
  local once = way_of_following(self)
  if once then self.tasks[2] = native.start({ name = "mcp follow" }, follow, self, once) end
end

--- Hears of nothing any more. Waits a moment. Safe twice.
function Session:stop()
  self.changes:close()
  for _, running in ipairs(self.tasks) do
    running:cancel "the connection is closed"
    running:join()
  end
  self.tasks = {}
end

-- Calls ---------------------------------------------------------------------------------------------

---@class weir.mcp.Elicitation what a server asks a person in the middle of a call
---@field message string
---@field mode "form"|"url"
---@field schema table|nil  JSON Schema of the content, of mode form: an object of plain fields
---@field url string|nil    what the person is to open, of mode url
---@field server string
---@field tool string
---@field key string        tells several questions of one round apart

local function question_of(self, tool, key, params)
  params = messages.object(params)
  local mode = params.mode == "url" and "url" or "form"
  return { message = type(params.message) == "string" and params.message or "", mode = mode, server = self.name, tool = tool, key = key,
    schema = mode == "form" and messages.object(params.requestedSchema) or nil,
    url = mode == "url" and type(params.url) == "string" and params.url or nil }
end

local function check_answer(answer)
  if type(answer) ~= "table" or not ACTIONS[answer.action] then
    error("elicit must return { action = \"accept\"|\"decline\"|\"cancel\", content = ... } or nil, message, code", 0)
  end
  return { action = answer.action, content = answer.action == "accept" and answer.content or nil }
end

local function put_question(self, tool, key, params, elicit)
  local answer, message, code = elicit(question_of(self, tool, key, params))
  if answer == nil then return nil, message or "the question was not answered", code or "rejected" end
  return check_answer(answer)
end

-- A question of a legacy server, in the middle of its call. Gives the seconds that the person took.
local function answer_question(self, tool, message, options, outcome)
  local from = native.now()
  local answer, text, code = put_question(self, tool, tostring(message.id), message.params, options.elicit)
  if not answer then
    outcome.message, outcome.code = text, code
    answer = { action = "cancel" }
  end
  self.transport:send(messages.result(message.id, answer))
  return native.now() - from
end

local function tell_progress(message, options)
  local params = messages.object(message.params)
  if type(params.progress) ~= "number" then return end
  options.on_progress { progress = params.progress, total = type(params.total) == "number" and params.total or nil,
    message = type(params.message) == "string" and params.message or nil }
end

-- What the server says that belongs to a call, in the task that makes it.
local function listener(self, tool, options, outcome)
  return function(message)
    if message.method == "notifications/progress" then
      if options.on_progress then tell_progress(message, options) end
    elseif message.method == "elicitation/create" and messages.kind(message) == "request" and options.elicit then
      return answer_question(self, tool, message, options, outcome)
    else
      self:take(message)
    end
  end
end

local function ask_all(self, tool, requests, elicit)
  local responses, count = {}, 0
  for _, key in ipairs(require("weir.value").names(requests)) do
    local request = messages.object(requests[key])
    count = count + 1
    if count > QUESTIONS then return nil, ("it asks more than %d things at once"):format(QUESTIONS), "limit" end
    if request.method ~= "elicitation/create" or not elicit then
      return nil, ("it asks for '%s', which nobody here does"):format(tostring(request.method)), "unavailable"
    end
    local answer, message, code = put_question(self, tool, key, request.params, elicit)
    if not answer then return nil, message, code end
    responses[key] = answer
  end
  if count == 0 then native.sleep(PACE) end
  return responses
end

-- One round of a call: its result, or nil, message, code, detail.
local function round(self, tool, params, options, headers)
  local outcome = {}
  local result, message, code, detail = self:request("tools/call", params, { timeout = options.timeout, elicit = options.elicit,
    on_progress = options.on_progress, headers = headers, on_message = listener(self, tool, options, outcome) })
  if outcome.code then return nil, outcome.message, outcome.code end
  return result, message, code, detail
end

local function is_asking(result)
  return result.resultType == "input_required"
end

--- Calls a tool. Waits; cancelled with its task, and the server is told.
---@param tool string
---@param arguments table
---@param options { timeout: number, on_progress: function|nil, elicit: function|nil, headers: table|nil } timeout: seconds for
---   the server, those that a person takes do not count
---@return table|nil result as the server gave it
---@return string|nil message
---@return string|nil code
---@return table|nil detail
function Session:call(tool, arguments, options)
  local params = { name = tool, arguments = arguments }
  for _ = 1, ROUNDS do
    local result, message, code, detail = round(self, tool, params, options, options.headers)
    if not result then return nil, message, code, detail end
    if self.era == "legacy" or result.resultType == nil or result.resultType == "complete" then return result end
    if not is_asking(result) then
      return nil, ("%s: tools/call: a result of type %s is unknown to weir"):format(self.label, tostring(result.resultType)), "failed"
    end
    local responses
    responses, message, code = ask_all(self, tool, messages.object(result.inputRequests), options.elicit)
    if not responses then return nil, message, code end
    params = { name = tool, arguments = arguments, requestState = result.requestState,
      inputResponses = next(responses) and responses or nil }
  end
  return nil, ("%s: tools/call: it still asks after %d rounds"):format(self.label, ROUNDS), "limit"
end

-- Tools ---------------------------------------------------------------------------------------------

--- One page of the list of tools. Waits.
---@param cursor string|nil
---@param timeout number
---@return table[]|nil tools as the server gave them
---@return string|nil message
---@return string|nil code
---@return string|nil next
function Session:page(cursor, timeout)
  self.has_listed = true
  local result, message, code = self:request("tools/list", { cursor = cursor }, { timeout = timeout })
  if not result then return nil, message, code end
  if type(result.tools) ~= "table" or not (json.is_list(result.tools) or next(result.tools) == nil) then
    return nil, ("%s: tools/list: 'tools' is no list"):format(self.label), "failed"
  end
  local following = result.nextCursor
  if following == json.null or following == "" then following = nil end
  if following ~= nil and type(following) ~= "string" then
    return nil, ("%s: tools/list: 'nextCursor' is no text"):format(self.label), "failed"
  end
  return result.tools, nil, nil, following
end

return M
