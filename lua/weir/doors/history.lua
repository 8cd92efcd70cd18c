--- What was typed in a REPL, over sessions: a file of the store's folder that only its owner reads, a JSON text a line.
--- What looks like a secret is masked before it is written.

local json = require "weir.native.json"
local log = require "weir.log"
local uv = require "luv"

local M = {}

local MODE = 384 -- 0600
local LINES, BYTES = 1000, 1024 * 1024
local WORDS = { "key", "token", "secret", "passw", "credential", "bearer", "authorization" }
local MASK = "[secret]"

local function is_secret(name)
  local lower = name:lower()
  for _, word in ipairs(WORDS) do
    if lower:find(word, 1, true) then return true end
  end
  return false
end

-- A text that stands behind a name that says what it is: `token = "..."`, `["api-key"] = '...'`, `password("...")`.
local function mask_named(text, quote)
  return (text:gsub("([%w_%-]+)([\"'%]%s]*[=:(,][%s\"'(]-)" .. quote .. "([^" .. quote .. "\n]*)" .. quote, function(name, between)
    if is_secret(name) then return name .. between .. quote .. MASK .. quote end
  end))
end

--- A text with what looks like a secret masked.
---@param text string
---@return string
function M.masked(text)
  text = mask_named(mask_named(log.redact(text), '"'), "'")
  text = text:gsub("([Bb]earer%s+)[%w%-._~+/=]+", "%1" .. MASK)
  return (text:gsub("%f[%w]sk%-[%w_-]+", MASK))
end

--- The lines of a history, the oldest first.
---@param path string
---@return string[]
function M.load(path)
  local file = io.open(path, "rb")
  if not file then return {} end
  local lines = {}
  for line in file:lines() do
    local text = json.decode(line)
    if type(text) == "string" then lines[#lines + 1] = text end
  end
  file:close()
  return table.move(lines, math.max(1, #lines - LINES + 1), #lines, 1, {})
end

local function write(path, flags, text)
  local descriptor = uv.fs_open(path, flags, MODE)
  if not descriptor then return end
  uv.fs_fchmod(descriptor, MODE)
  uv.fs_write(descriptor, text, -1)
  uv.fs_close(descriptor)
end

--- Adds a text. One that cannot be written is not kept; nothing is said of it.
---@param path string
---@param text string
function M.add(path, text)
  local line = json.encode(M.masked(text))
  if not line then return end
  local stat = uv.fs_stat(path)
  if not stat or stat.size < BYTES then return write(path, "a", line .. "\n") end
  local lines = M.load(path)
  for index, one in ipairs(lines) do lines[index] = json.encode(one) end
  write(path, "w", table.concat(lines, "\n") .. "\n" .. line .. "\n")
end

return M
