--- Signatures of webhooks: HMAC-SHA256 over the raw bytes of a body, as five kinds of senders write it.
---
---     standard   Standard Webhooks: webhook-id, webhook-timestamp, webhook-signature "v1,BASE64 v1,BASE64" over `ID.TIME.BODY`
---     github     X-Hub-Signature-256 "sha256=HEX" over the body; X-GitHub-Delivery is the id; no time is signed
---     stripe     Stripe-Signature "t=TIME,v1=HEX" over `TIME.BODY`; the id stands in the body
---     slack      X-Slack-Signature "v0=HEX" and X-Slack-Request-Timestamp, over `v0:TIME:BODY`; the id stands in the body
---     generic    a header of one's own choice, hexadecimal or base64, with a prefix, over the body
---
--- Nothing of a body is read before it is known whose it is. Every secret is compared with every signature, each in a time
--- that does not depend on how far they agree; several secrets hold while one is replaced by another. Pure but for the clock.

local digest = require "weir.native.digest"
local failure = require "weir.failure"
local json = require "weir.native.json"

local M = {}

local TOLERANCE = 300 -- seconds, to either side
local SIGNATURES_MAX = 16

---@class weir.Signature
---@field scheme "standard"|"github"|"stripe"|"slack"|"generic"
---@field secrets string[]         keys, as bytes
---@field tolerance number         seconds
---@field header string|nil        of generic
---@field prefix string|nil
---@field encoding "hex"|"base64"|nil
---@field id_header string|nil
---@field timestamp_header string|nil then `TIME.BODY` is signed

---@class weir.Delivery
---@field id string       what tells it from all others of the sender
---@field at_s integer|nil when it was signed
---@field type string|nil what it is about, where the sender says so in a header

-- An empty id would make all deliveries one.
local function one(header, name)
  local value, count = header(name)
  if value and value ~= "" and count == 1 then return value end
end

local function integer(text)
  return text and text:find "^%d+$" and #text <= 15 and math.tointeger(tonumber(text)) or nil
end

-- Whether one of the signatures is that of the text under one of the secrets. All are looked at.
local function agrees(self, text, signatures, encoding)
  local found = false
  for _, secret in ipairs(self.secrets) do
    local expected = digest.hmac_sha256(secret, text, encoding == "base64" and "raw" or "hex")
    if encoding == "base64" then expected = digest.to_base64(expected) end
    for _, given in ipairs(signatures) do
      if digest.equal(expected, given) then found = true end
    end
  end
  return found
end

-- The signatures of a version in a header of Standard Webhooks.
local function of_version(text, version)
  local list = {}
  for name, value in text:gmatch "(%S-),(%S+)" do
    if name == version and #list < SIGNATURES_MAX then list[#list + 1] = value end
  end
  return list
end

-- The id that stands in a body which is known to be the sender's; else a digest of all that was signed.
local function id_in(body, field, signed)
  local value = json.decode(body)
  local id = type(value) == "table" and value[field]
  return type(id) == "string" and id ~= "" and id or digest.sha256(signed)
end

local READ = {}

function READ.standard(header, body)
  local id, at, given = one(header, "webhook-id"), integer(one(header, "webhook-timestamp")), one(header, "webhook-signature")
  if not id or not at or not given then return nil end
  local signed = ("%s.%s.%s"):format(id, one(header, "webhook-timestamp"), body)
  return { signed = signed, signatures = of_version(given, "v1"), encoding = "base64", at_s = at,
    id = function() return id end }
end

function READ.github(header, body)
  local given, id = one(header, "x-hub-signature-256"), one(header, "x-github-delivery")
  local hex = given and given:match "^sha256=(%x+)$"
  if not hex or not id then return nil end
  return { signed = body, signatures = { hex }, encoding = "hex", type = one(header, "x-github-event"), id = function() return id end }
end

-- The header of Stripe: `NAME=VALUE` and commas, and nothing else; nil when it is anything else.
local function fields(text)
  local times, signatures = {}, {}
  for part in (text .. ","):gmatch "([^,]*)," do
    local name, value = part:match "^%s*([%w_]+)=([^=%s]+)%s*$"
    if not name then return nil end
    if name == "t" then times[#times + 1] = value end
    if name == "v1" and #signatures < SIGNATURES_MAX then signatures[#signatures + 1] = value end
  end
  return times, signatures
end

function READ.stripe(header, body)
  local given = one(header, "stripe-signature")
  local times, signatures = fields(given or "")
  local at = times and #times == 1 and integer(times[1])
  if not at then return nil end
  local signed = ("%s.%s"):format(times[1], body)
  return { signed = signed, signatures = signatures, encoding = "hex", at_s = at, id = function() return id_in(body, "id", signed) end }
end

function READ.slack(header, body)
  local given, text = one(header, "x-slack-signature"), one(header, "x-slack-request-timestamp")
  local at, hex = integer(text), given and given:match "^v0=(%x+)$"
  if not at or not hex then return nil end
  local signed = ("v0:%s:%s"):format(text, body)
  return { signed = signed, signatures = { hex }, encoding = "hex", at_s = at,
    id = function() return id_in(body, "event_id", signed) end }
end

function READ.generic(header, body, self)
  local given = one(header, self.header)
  if not given or given:sub(1, #self.prefix) ~= self.prefix then return nil end
  local text = self.timestamp_header and one(header, self.timestamp_header)
  local at = integer(text)
  if self.timestamp_header and not at then return nil end
  local signed = text and ("%s.%s"):format(text, body) or body
  local id = self.id_header and one(header, self.id_header)
  if self.id_header and not id then return nil end
  return { signed = signed, signatures = { given:sub(#self.prefix + 1) }, encoding = self.encoding, at_s = at,
    id = function() return id or digest.sha256(signed) end }
end

-- A secret as it is written: of Standard Webhooks `whsec_` and base64; `env:NAME` is a variable of the environment.
local function key_of(text, scheme, where)
  local name = text:match "^env:(.+)$"
  if name then
    text = os.getenv(name)
    if not text or text == "" then failure.raise("invalid", "%s: the variable %s is not set", where, name) end
  end
  local encoded = scheme == "standard" and text:match "^whsec_(.+)$"
  if not encoded then return text end
  local key, message = digest.from_base64(encoded)
  if not key then failure.raise("invalid", "%s: its secret is no %s", where, message) end
  return key
end

--- Reads how the deliveries of a hook are signed. Raises `invalid`.
---@param given { scheme: string, secret: string|string[], tolerance: number?, header: string?, prefix: string?, encoding: string?,
---   id_header: string?, timestamp_header: string? }
---@param where string for messages
---@return weir.Signature
function M.new(given, where)
  if not READ[given.scheme] then
    failure.raise("invalid", "%s: scheme must be standard, github, stripe, slack or generic, got '%s'", where, tostring(given.scheme))
  end
  local secrets = {}
  for index, text in ipairs(type(given.secret) == "table" and given.secret or { given.secret }) do
    if type(text) ~= "string" or text == "" then failure.raise("invalid", "%s: a secret is a text, or two of them", where) end
    secrets[index] = key_of(text, given.scheme, where)
  end
  if #secrets < 1 or #secrets > 2 then failure.raise("invalid", "%s: one secret, or two while one replaces the other", where) end
  return { scheme = given.scheme, secrets = secrets, tolerance = given.tolerance or TOLERANCE,
    header = (given.header or "x-signature-256"):lower(), prefix = given.prefix or "", encoding = given.encoding or "hex",
    id_header = given.id_header and given.id_header:lower(), timestamp_header = given.timestamp_header and given.timestamp_header:lower() }
end

--- Whether a delivery is its sender's, and new enough.
---@param self weir.Signature
---@param header fun(name: string): string|nil, integer|nil gives the first header of a name, and how many there are
---@param body string as it came
---@param now_s number since 1970
---@return weir.Delivery|nil
---@return string|nil why
function M.verify(self, header, body, now_s)
  local found = READ[self.scheme](header, body, self)
  if not found or not found.signatures[1] then return nil, "a header of the signature is missing, malformed or given twice" end
  if not agrees(self, found.signed, found.signatures, found.encoding) then return nil, "the signature is not that of this body" end
  if found.at_s and math.abs(now_s - found.at_s) > self.tolerance then
    return nil, ("it was signed %.0f s from now, at most %g are allowed"):format(math.abs(now_s - found.at_s), self.tolerance)
  end
  return { id = found.id(), at_s = found.at_s, type = found.type }
end

return M
