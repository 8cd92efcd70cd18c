--- Answers requests from a recording. A transfer stands in the place of the client's; it waits as long as the one that was recorded.

local clock = require "weir.port.clock"
local form = require "weir.port.tape.form"
local json = require "weir.native.json"
local suggest = require "weir.suggest"
local visible = require "weir.text.visible"

local M = {}

local IDLE = 60    -- seconds that a request waits for a sign of life, unless it says otherwise
local QUOTED = 40  -- bytes of a body that a message quotes

---@class weir.Player
---@field count integer exchanges in the file
local Player = {}
Player.__index = Player

-- Waiting -------------------------------------------------------------------------------------------

-- Until so many seconds after the request.
local function wait_until(self, after)
  local left = self.started + after - clock.now()
  if left > 0 then clock.sleep(left) end
end

-- Who asked had closed it, so that nobody knows what would have come.
local function stay_silent(self)
  local idle = type(self.request.idle_timeout) == "number" and self.request.idle_timeout or IDLE
  clock.sleep(idle)
  return nil, ("%s: nothing came for %g seconds: in the recording '%s', line %d, whoever asked closed it"):format(self.exchange.label, idle,
    self.player.path, self.exchange.place), "timeout"
end

local function finish_of(self)
  local finish = self.exchange.finish
  if finish.how == "closed" then return stay_silent(self) end
  wait_until(self, finish.after)
  if finish.how == "failed" then return nil, form.unpacked(finish.message), finish.code end
  return nil
end

-- Transfers -----------------------------------------------------------------------------------------

local Transfer = {}
Transfer.__index = Transfer

local function next_piece(self)
  if self.rest then return self.rest end
  local piece = self.exchange.body[self.at]
  if not piece then return nil end
  self.at = self.at + 1
  wait_until(self, piece[1])
  return form.unpacked(piece[2])
end

function Transfer:read(most)
  if self.is_closed then return nil, "http response: it was closed", "closed" end
  local piece = next_piece(self)
  if not piece then return finish_of(self) end
  if not most or #piece <= most then
    self.rest = nil
    return piece
  end
  self.rest = piece:sub(most + 1)
  return piece:sub(1, most)
end

Transfer.all = form.all

function Transfer:close()
  self.is_closed = true
end

-- What is not there ---------------------------------------------------------------------------------

local function quoted(text, from)
  local first = math.max(1, from - QUOTED // 2)
  return ("'%s'"):format(visible.plain(text:sub(first, first + QUOTED)))
end

local function body_difference(recorded, asked)
  recorded, asked = recorded or "", asked or ""
  local at = 1
  while at <= #recorded and recorded:byte(at) == asked:byte(at) do at = at + 1 end
  return ("its body differs from byte %d on: %s was recorded, %s is asked"):format(at, quoted(recorded, at), quoted(asked, at))
end

local function difference(exchange, asked)
  local recorded = exchange.request
  if recorded.method ~= asked.method or recorded.url ~= asked.url then return ("it is %s %s"):format(recorded.method, recorded.url) end
  if exchange.text ~= asked.body then return body_difference(exchange.text, asked.body) end
  return "its header accept or content-type is another one"
end

-- How far an exchange is from what is asked: the url counts most, then the method, then what was used already.
local function distance(exchange, asked)
  local recorded, far = exchange.request, 0
  if recorded.url ~= asked.url then far = 10 * suggest.distance(recorded.url:sub(-64), asked.url:sub(-64)) + 10 end
  if recorded.method ~= asked.method then far = far + 5 end
  return exchange.is_used and far + 1 or far
end

local function nearest(self, asked)
  local best, least
  for _, exchange in ipairs(self.exchanges) do
    local far = distance(exchange, asked)
    if not best or far < least then best, least = exchange, far end
  end
  return best
end

local function absence(self, asked, queue)
  if queue then return ("has this request %d times, and it is asked once more"):format(#queue) end
  local near = nearest(self, asked)
  if not near then return "has no request at all" end
  return ("does not have this request; the nearest is that of line %d: %s"):format(near.place, difference(near, asked))
end

local function refuse(self, asked, queue)
  local why = absence(self, asked, queue)
  return nil, ("%s %s: the recording '%s' %s; record it again"):format(asked.method, asked.url, self.path, why), "conflict"
end

-- Requests ------------------------------------------------------------------------------------------

local function take(self, asked)
  local queue = self.by_hash[asked.hash]
  local exchange = queue and queue[queue.at]
  if not exchange then return refuse(self, asked, queue) end
  queue.at = queue.at + 1
  exchange.is_used = true
  self.left = self.left - 1
  return exchange
end

--- Answers a request from the recording. Waits as long as it had to wait.
---@param request table as `weir.port.http.open` takes it
---@return table|nil transfer
---@return string? message
---@return string? code as recorded; `conflict`: the recording does not have it
function Player:request(request)
  local exchange, message, code = take(self, form.request(request))
  if not exchange then return nil, message, code end
  local transfer = setmetatable({ player = self, exchange = exchange, request = request, started = clock.now(), at = 1 }, Transfer)
  local answer = exchange.answer
  if not answer then return finish_of(transfer) end
  wait_until(transfer, exchange.after)
  transfer.status, transfer.url, transfer.headers = answer.status, answer.url, form.unpacked_headers(answer.headers)
  return transfer
end

--- Nothing is held. Safe twice.
---@return true
function Player:close() return true end

-- Reading -------------------------------------------------------------------------------------------

local function is_text(value) return type(value) == "string" end
local function is_number(value) return type(value) == "number" end

local function is_body(list)
  for _, piece in ipairs(list) do
    if type(piece) ~= "table" or not is_number(piece[1]) or not form.unpacked(piece[2]) then return false end
  end
  return true
end

local HOWS = { ended = true, failed = true, closed = true }

local function is_finish(finish)
  if type(finish) ~= "table" or not is_number(finish.after) or not HOWS[finish.how] then return false end
  return finish.how ~= "failed" or (form.unpacked(finish.message) ~= nil and is_text(finish.code))
end

local function is_exchange(line)
  local request, answer = line.request, line.answer
  if math.type(line.n) ~= "integer" or not is_text(line.hash) or type(request) ~= "table" then return false end
  if not is_text(request.method) or not is_text(request.url) or not is_finish(line.finish) then return false end
  if answer == nil then return true end
  return type(answer) == "table" and math.type(answer.status) == "integer" and is_text(answer.url) and type(answer.headers) == "table"
    and is_number(line.after) and type(line.body) == "table" and is_body(line.body)
end

local function add(self, line, place)
  line.place, line.label = place, ("%s %s"):format(line.request.method, line.request.url)
  line.text = line.request.body and form.unpacked(line.request.body)
  self.exchanges[#self.exchanges + 1] = line
end

local function index(self)
  table.sort(self.exchanges, function(a, b) return a.n < b.n end)
  for _, exchange in ipairs(self.exchanges) do
    local queue = self.by_hash[exchange.hash] or { at = 1 }
    queue[#queue + 1] = exchange
    self.by_hash[exchange.hash] = queue
  end
  self.count, self.left = #self.exchanges, #self.exchanges
end

local function refuse_line(path, place, why)
  return nil, ("recording '%s', line %d: %s"):format(path, place, why), "invalid"
end

local function read_lines(self, file)
  local place = 0
  for text in file:lines() do
    place = place + 1
    local line, message = json.decode(text, { max_bytes = #text + 1 })
    if type(line) ~= "table" then return refuse_line(self.path, place, message or "a JSON object expected") end
    if place == 1 then
      if line.weir ~= "tape" then return refuse_line(self.path, 1, "this is no recording of `weir run --record`") end
      if line.format ~= form.FORMAT then
        return refuse_line(self.path, 1, ("its format is %s, known is %d"):format(tostring(line.format), form.FORMAT))
      end
    elseif not is_exchange(line) then
      return refuse_line(self.path, place, "this is no whole exchange")
    else
      add(self, line, place)
    end
  end
  if place == 0 then return refuse_line(self.path, 1, "the file is empty") end
  return true
end

--- Reads a recording.
---@param path string
---@return weir.Player|nil
---@return string? message
---@return string? code not_found, invalid
function M.open(path)
  local file, why = io.open(path, "rb")
  if not file then return nil, ("recording '%s' cannot be read: %s"):format(path, why:gsub("^.-: ", "")), "not_found" end
  local self = setmetatable({ path = path, exchanges = {}, by_hash = {} }, Player)
  local ok, message, code = read_lines(self, file)
  file:close()
  if not ok then return nil, message, code end
  index(self)
  return self
end

return M
