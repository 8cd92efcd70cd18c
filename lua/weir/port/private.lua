--- The one place for files that nobody but their owner may read: secrets. A file that others may read is refused, so that
--- a secret is not used once it may have been seen.

local uv = require "luv"

local M = {}

local BYTES_MAX = 1 << 20
local OTHERS = tonumber("077", 8)
local OWN, OWN_FOLDER = tonumber("600", 8), tonumber("700", 8)

local function close(fd, ...)
  uv.fs_close(fd)
  return ...
end

--- Reads such a file. Does not wait.
---@param path string
---@return string|nil text
---@return string? message
---@return string? code not_found, denied (it belongs to somebody else, others may read it, it is a link), limit, unavailable
function M.read(path)
  local info, message, name = uv.fs_lstat(path)
  if not info then return nil, message, name == "ENOENT" and "not_found" or "unavailable" end
  if info.type ~= "file" then return nil, ("%s is a %s, a file was expected"):format(path, info.type), "denied" end
  local fd = uv.fs_open(path, "r", 0)
  if not fd then return nil, ("%s cannot be opened"):format(path), "denied" end
  info = uv.fs_fstat(fd)
  if info.uid ~= uv.getuid() then return close(fd, nil, ("%s belongs to somebody else"):format(path), "denied") end
  if info.mode & OTHERS ~= 0 then
    return close(fd, nil, ("%s may be read by others; make new secrets, then chmod 600 it"):format(path), "denied")
  end
  if info.size > BYTES_MAX then return close(fd, nil, ("%s is larger than %d bytes"):format(path, BYTES_MAX), "limit") end
  local text = uv.fs_read(fd, BYTES_MAX, 0)
  return close(fd, text, text == nil and ("%s cannot be read"):format(path) or nil, text == nil and "unavailable" or nil)
end

--- Writes one, in one move in the place of what is there. Blocks for as long as the disk. Raises what the system says.
---@param path string
---@param text string
function M.write(path, text)
  local temporary = ("%s.%d.new"):format(path, uv.os_getpid())
  uv.fs_unlink(temporary)
  local fd = assert(uv.fs_open(temporary, "wx", OWN))
  assert(uv.fs_write(fd, text, 0))
  assert(uv.fs_fsync(fd))
  uv.fs_close(fd)
  assert(uv.fs_rename(temporary, path))
end

--- Makes a folder that only its owner may enter, unless it is there. Does not wait. Raises what the system says.
---@param path string
function M.folder(path)
  local made, message, name = uv.fs_mkdir(path, OWN_FOLDER)
  if not made and name ~= "EEXIST" then error(message, 0) end
end

--- The number of the system's user whose process this is.
---@return integer
function M.uid()
  return uv.getuid()
end

return M
