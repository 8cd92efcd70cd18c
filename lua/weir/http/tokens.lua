--- Bearer tokens: who they are for, what that one may do. Kept as salted digests in a file that only its owner reads:
---
---     NAME ROLE SALT DIGEST     one token a line, salt and digest in hexadecimal; '#' begins a comment
---
--- A token is 32 random bytes, so one round of SHA-256 is as good as many. It is looked up by its digest under a
--- key of this process: how long that takes says nothing about a token that is right in part.

local digest = require "weir.native.digest"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local private = require "weir.port.private"

local M = {}

local KNOWN_MAX = 1024 -- digests of tokens that were right
local TOKEN_BYTES, SALT_BYTES = 32, 16

--- What each role may do.
M.roles = {
  read = { read = true },
  run = { read = true, run = true },
  decide = { read = true, decide = true },
  admin = { read = true, run = true, decide = true, admin = true },
}

---@class weir.Tokens
local Tokens = {}
Tokens.__index = Tokens

---@class weir.Principal who asks
---@field name string
---@field role "read"|"run"|"decide"|"admin"
---@field may table<string, boolean>

local function principal(name, role)
  return { name = name, role = role, may = M.roles[role] }
end

M.principal = principal

local function parse(text, path)
  local entries = {}
  local number = 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    if line:find "^%s*[^#%s]" then
      local name, role, salt, mark = line:match "^([%w._@-]+) (%l+) (%x+) (%x+)%s*$"
      if not name or not M.roles[role] or #mark ~= 64 then
        failure.raise("invalid", "%s:%d: 'NAME ROLE SALT DIGEST' expected, with a role of read, run, decide, admin", path, number)
      end
      entries[#entries + 1] = { salt = digest.from_hex(salt), hash = digest.from_hex(mark), who = principal(name, role) }
    end
  end
  return entries
end

local function read_entries(path)
  local text, message, code = private.read(path)
  if text then return parse(text, path) end
  if code == "not_found" then return {} end
  failure.raise(code, "the file of tokens: %s", message)
end

--- Reads the tokens of a file; none when there is no such file. Raises `denied` (others may read it), `invalid`.
---@param path string|nil
---@return weir.Tokens
function M.load(path)
  return setmetatable({ path = path, entries = path and read_entries(path) or {}, key = digest.random(32), known = {}, count = 0 }, Tokens)
end

local function new_token()
  return "weir_" .. digest.to_base64(digest.random(TOKEN_BYTES), "url")
end

local function new_entry(token, name, role)
  local salt = digest.random(SALT_BYTES)
  return { salt = salt, hash = digest.sha256(salt .. token, "raw"), who = principal(name, role) }
end

--- Makes a token that holds as long as this process.
---@param name string
---@param role string
---@return string token
function Tokens:issue(name, role)
  local token = new_token()
  self.entries[#self.entries + 1] = new_entry(token, name, role)
  return token
end

--- Makes a token and keeps its digest in the file; the token itself is told once. Raises `invalid`, `denied`.
---@param path string
---@param name string letters, digits and ._@-
---@param role "read"|"run"|"decide"|"admin"
---@return string token
function M.add(path, name, role)
  if not name:find "^[%w._@-]+$" then failure.raise("invalid", "the name of a token: letters, digits and ._@- expected, got '%s'", name) end
  if not M.roles[role] then failure.raise("invalid", "the role of a token: read, run, decide or admin expected, got '%s'", role) end
  local text, message, code = private.read(path)
  if not text and code ~= "not_found" then failure.raise(code, "the file of tokens: %s", message) end
  local token = new_token()
  local entry = new_entry(token, name, role)
  private.write(path, ("%s%s %s %s %s\n"):format(text or "", name, role, digest.to_hex(entry.salt), digest.to_hex(entry.hash)))
  return token
end

--- How many tokens there are.
---@return integer
function Tokens:number()
  return #self.entries
end

local function look_up(self, token)
  local found
  for _, entry in ipairs(self.entries) do
    if digest.equal(digest.sha256(entry.salt .. token, "raw"), entry.hash) then found = entry.who end
  end
  return found
end

--- Whose token it is; nil when it is nobody's. Does not wait.
---@param token string
---@return weir.Principal|nil
function Tokens:who(token)
  if #token > 256 then return nil end
  local mark = hash.sha256(self.key .. token)
  local known = self.known[mark]
  if known then return known end
  local found = look_up(self, token)
  if found and self.count < KNOWN_MAX then self.known[mark], self.count = found, self.count + 1 end
  return found
end

return M
