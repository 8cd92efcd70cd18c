--- Passes requests on, and writes each exchange into a file when it has ended. A transfer stands in the place of the client's
--- and does the same; what it has read is kept until it ends. The file is written at once, since whoever is cancelled cannot wait.

local clock = require "weir.port.clock"
local form = require "weir.port.tape.form"
local json = require "weir.native.json"
local secret = require "weir.secret"

local M = {}

local OWNER_ONLY = 384 -- 0600

---@class weir.Recorder
---@field failed string|nil why something could not be written
local Recorder = {}
Recorder.__index = Recorder

-- Seconds, to the microsecond.
local function since(start)
  return math.floor((clock.now() - start) * 1e6 + 0.5) / 1e6
end

local function write(self, line)
  local text, message = json.encode(line, { canonical = true })
  local ok, why = text ~= nil, message
  if ok and self.file then ok, why = self.file:write(text, "\n") end
  if ok and self.file then ok, why = self.file:flush() end
  if not ok then self.failed = self.failed or why end
end

-- Exchanges -----------------------------------------------------------------------------------------

local function new_exchange(self, request)
  self.count = self.count + 1
  local kept = form.request(request)
  return { recorder = self, started = clock.now(), pieces = {}, line = { n = self.count, at = since(self.started), hash = kept.hash,
    request = { method = kept.method, url = kept.url, headers = kept.headers, body = kept.body and form.packed(kept.body) } } }
end

-- A value that two pieces share is found in the whole only; then the whole is one piece.
local function body_of(pieces)
  local clean, texts = json.list {}, {}
  for index, piece in ipairs(pieces) do
    texts[index] = secret.redact(piece[2])
    clean[index] = json.list { piece[1], form.packed(texts[index]) }
    texts[-index] = piece[2]
  end
  local given = {}
  for index = 1, #pieces do given[index] = texts[-index] end
  local whole = secret.redact(table.concat(given))
  if whole == table.concat(texts) then return clean end
  return json.list { json.list { pieces[#pieces][1], form.packed(whole) } }
end

local function finish(exchange, how, message, code)
  if exchange.is_over then return end
  exchange.is_over = true
  local line = exchange.line
  if line.answer then line.body = body_of(exchange.pieces) end
  line.finish = { after = since(exchange.started), how = how, message = message and form.packed(secret.redact(message)), code = code }
  write(exchange.recorder, line)
end

-- Transfers -----------------------------------------------------------------------------------------

local Transfer = {}
Transfer.__index = Transfer

function Transfer:read(most)
  local piece, message, code = self.inner:read(most)
  local exchange = self.exchange
  if piece then
    exchange.pieces[#exchange.pieces + 1] = { since(exchange.started), piece }
    return piece
  end
  finish(exchange, message and "failed" or "ended", message, code)
  return nil, message, code
end

Transfer.all = form.all

function Transfer:close()
  finish(self.exchange, "closed")
  self.inner:close()
end

-- The task may be cancelled before there is an answer.
local Asking = { __close = function(self, err)
  if err ~= nil then finish(self.exchange, "closed") end
end }

--- Makes a request and records what comes of it. Waits as `live` does.
function Recorder:request(request, live)
  local exchange = new_exchange(self, request)
  local _ <close> = setmetatable({ exchange = exchange }, Asking)
  local inner, message, code = live(request)
  if not inner then
    finish(exchange, "failed", message, code)
    return nil, message, code
  end
  exchange.line.after = since(exchange.started)
  exchange.line.answer = { status = inner.status, url = form.url(inner.url), headers = form.headers(inner.headers) }
  return setmetatable({ inner = inner, exchange = exchange, status = inner.status, headers = inner.headers, url = inner.url }, Transfer)
end

--- Closes the file. What has not ended by now is not in it. Safe twice. Does not wait.
---@return true|nil
---@return string? message what could not be written
function Recorder:close()
  if self.file then self.file:close() end
  self.file = nil
  if self.failed then return nil, ("recording '%s': %s"):format(self.path, self.failed) end
  return true
end

--- Opens a file to record into.
---@param path string
---@return weir.Recorder|nil
---@return string? message
---@return string? code unavailable
function M.open(path)
  local file, message = io.open(path, "wb")
  if not file then return nil, ("recording '%s' cannot be written: %s"):format(path, message:gsub("^.-: ", "")), "unavailable" end
  require("luv").fs_chmod(path, OWNER_ONLY)
  local self = setmetatable({ path = path, file = file, count = 0, started = clock.now() }, Recorder)
  write(self, { weir = "tape", format = form.FORMAT })
  return self
end

return M
