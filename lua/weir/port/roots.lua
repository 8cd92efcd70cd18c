--- Paths below several folders, in turn: where agents may read.

local files = require "weir.port.files"

local M = {}

local function join(folder, path)
  if path == "." then return folder end
  if path:sub(1, 1) == "/" then return path end
  return folder:gsub("/$", "") .. "/" .. path
end

--- Finds a path below the first of some folders in which it is. Waits.
---@param base string the folder that relative roots are in: `ctx.root`
---@param roots string[]
---@param path string relative to a root, or absolute and below one
---@return string? real without links
---@return string? root or the message
---@return string? code `not_found`, `denied` (outside of all of them), `invalid`
function M.find(base, roots, path)
  if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
    return nil, "a path (text without zero bytes) is required", "invalid"
  end
  local missing, refusal, code
  for _, root in ipairs(roots) do
    local folder = join(base, root)
    local real, message, why = files.below(folder, path)
    if real and files.stat(real) then return real, folder end
    if real then missing = ("'%s' is not there"):format(path) end
    if not real then refusal, code = message, why end
  end
  if missing then return nil, missing, "not_found" end
  return nil, refusal, code
end

--- Reads a text below one of some folders. Waits.
---@param base string
---@param roots string[]
---@param path string
---@param max_bytes integer
---@return string? text
---@return string? message
---@return string? code as of `find`, `limit`, `invalid` (no UTF-8)
function M.read(base, roots, path, max_bytes)
  local real, root, code = M.find(base, roots, path)
  if not real then return nil, root, code end
  return files.read(real, { max_bytes = max_bytes, text = true, root = root })
end

return M
