--- The files of the console, as a browser may have them: modules/console of the installation, read when they are asked
--- for, each with the hash of its content as its ETag. They hold nothing of anybody, so no token is needed; what may be
--- loaded, and from where, the browser is told with every one of them.

local digest = require "weir.native.hash"
local files = require "weir.port.files"
local problem = require "weir.http.problem"
local version = require "weir.version"

local M = {}

local TYPES = { html = "text/html; charset=utf-8", js = "text/javascript; charset=utf-8", css = "text/css; charset=utf-8",
  svg = "image/svg+xml" }
local POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
  .. "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

--- What every answer with a file of the console carries.
M.headers = { ["Content-Security-Policy"] = POLICY, ["Cache-Control"] = "no-cache", ["Referrer-Policy"] = "no-referrer",
  ["Cross-Origin-Opener-Policy"] = "same-origin", ["Cross-Origin-Resource-Policy"] = "same-origin" }

local function folder()
  return require("weir.paths").library .. "/modules/console"
end

local function read(name)
  local text, message, code = files.read(folder() .. "/" .. name)
  if text then return text end
  if code == "not_found" then problem.raise(404, "not_found", "the console has no file '%s'", name) end
  problem.raise(500, code, "the console: %s", message)
end

local function headers_of(more)
  local headers = {}
  for name, value in pairs(M.headers) do headers[name] = value end
  for name, value in pairs(more) do headers[name] = value end
  return headers
end

local function has_tag(given, tag)
  for one in (given or ""):gmatch "[^,]+" do
    if one:match "^%s*W?/?(.-)%s*$" == tag or one:find "^%s*%*%s*$" then return true end
  end
  return false
end

--- Answers with a file. Waits. Raises what answers with 404.
---@param call weir.Call
---@param name string below modules/console; letters, one `.`, at most one folder
---@return integer status
---@return string|nil body
---@return table<string, string> headers
function M.file(call, name)
  local kind = name:match "^%l[%l_/]*%.(%l+)$"
  if not TYPES[kind] then problem.raise(404, "not_found", "the console has no file '%s'", name:sub(1, 60)) end
  local text = read(name)
  local tag = '"' .. digest.sha256(text):sub(1, 32) .. '"'
  if has_tag(call.request:header "if-none-match", tag) then return 304, nil, headers_of { ETag = tag } end
  return 200, text, headers_of { ETag = tag, ["Content-Type"] = TYPES[kind] }
end

--- Which edition of the console this host has: a hash of all its files and of the library's version. A page that began
--- with another one is old. Waits.
---@return string 32 hexadecimal digits
function M.edition()
  local names, message, code = files.list(folder(), { recursive = true })
  if not names then problem.raise(500, code, "the console: %s", message) end
  local parts = { version }
  for _, name in ipairs(names) do
    if TYPES[name:match "%.(%l+)$"] then parts[#parts + 1] = name .. " " .. digest.sha256(read(name)) end
  end
  return digest.sha256(table.concat(parts, "\n")):sub(1, 32)
end

return M
