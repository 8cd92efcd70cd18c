--- Tells when something in a folder changes, as the system says it (inotify): folders are watched, not files, since
--- editors put a new file in the place of the old one. What is inside of subfolders needs watches of their own.

local entries_of = require "weir.port.entries"
local files = require "weir.port.files"
local hash = require "weir.native.hash"
local uv = require "luv"

local M = {}

local REASONS = {
  ENOENT = { "not_found", "no such folder" }, ENOTDIR = { "invalid", "is not a folder" }, EACCES = { "denied", "no permission" },
  ENOSPC = { "limit", "the system watches as many folders as it may for this user (fs.inotify.max_user_watches)" },
  EMFILE = { "limit", "there are as many watchers as there may be for this user (fs.inotify.max_user_instances), or files open" },
}
local QUEUE = 16384 -- events that the system holds for a process, unless it says otherwise
local told = 0
local DEPTH, FOLDERS = 16, 4096 -- of a tree that is listed

local function refuse(path, err)
  local reason = REASONS[tostring(err):match "^(%u[%u%d]+)"] or { "failed", tostring(err) }
  return nil, ("'%s': %s"):format(path, reason[2]), reason[1]
end

---@class weir.FolderWatch
local Watch = {}
Watch.__index = Watch

--- Ends the watch. Safe twice.
function Watch:close()
  if self.handle and not self.handle:is_closing() then self.handle:close() end
  self.handle = nil
end

--- Watches a folder, not what is in its subfolders. Does not wait.
---@param folder string
---@param on_change fun(name: string|nil) called with the name of what was made, written, moved or removed in it, in a task of
---   its own; nil: the folder itself is not watched any more
---@return weir.FolderWatch|nil
---@return string? message
---@return string? code `not_found`, `invalid`, `denied`, `limit`, `failed`
function M.folder(folder, on_change)
  local stat, missing = uv.fs_stat(folder)
  if not stat then return refuse(folder, missing) end
  if stat.type ~= "directory" then return refuse(folder, "ENOTDIR") end
  local handle, err = uv.new_fs_event()
  if not handle then return refuse(folder, err) end
  local started, why = handle:start(folder, {}, function(failed, name)
    told = told + 1
    on_change(not failed and name or nil)
  end)
  if not started then
    handle:close()
    return refuse(folder, why)
  end
  return setmetatable({ handle = handle }, Watch)
end

--- How many events the system has told of, in all folders of this process, since it began. Where it is many more than a
--- watcher has seen, its own may have been dropped among them.
---@return integer
function M.told() return told end

--- What tells a file from another one at the same path: nil when there is no plain file, or a link. Does not wait.
---@param path string
---@return { dev: integer, ino: integer, size: integer, mtime_ns: integer }|nil
---@return "folder"|"other"|nil what stands there instead
function M.identity(path)
  local stat = uv.fs_lstat(path)
  if not stat then return nil end
  if stat.type ~= "file" then return nil, stat.type == "directory" and "folder" or "other" end
  return { dev = stat.dev, ino = stat.ino, size = stat.size, mtime_ns = stat.mtime.sec * 1000000000 + stat.mtime.nsec }
end

--- The hash of a file's bytes; nil when it cannot be read, or has more than `max_bytes`. Waits.
---@param path string
---@param max_bytes integer
---@return string|nil
function M.digest(path, max_bytes)
  local bytes = files.read(path, { max_bytes = max_bytes })
  return bytes and hash.sha256(bytes)
end

--- The number of a folder, which another one in its place has not; nil when there is none. Does not wait.
---@param path string
---@return string|nil
function M.folder_id(path)
  local stat = uv.fs_stat(path)
  return stat and stat.type == "directory" and ("%d/%d"):format(stat.dev, stat.ino) or nil
end

--- The names in a folder and what they are, without those that begin with a dot and without links. Does not wait.
---@param folder string
---@return { name: string, kind: "file"|"folder" }[] empty when there is no such folder
function M.entries(folder)
  local list = {}
  for _, entry in ipairs(entries_of.of(folder)) do
    local name, kind = entry.name, entry.type
    if kind == "unknown" or not kind then
      local stat = uv.fs_lstat(folder .. "/" .. name)
      kind = stat and stat.type
    end
    if name:sub(1, 1) ~= "." and (kind == "file" or kind == "directory") then
      list[#list + 1] = { name = name, kind = kind == "directory" and "folder" or "file" }
    end
  end
  return list
end

--- How many events may be waiting at once before the system drops some without a word to us.
---@return integer
function M.queue_size()
  local file = io.open "/proc/sys/fs/inotify/max_queued_events"
  local size = file and file:read "n"
  if file then file:close() end
  return math.tointeger(size) or QUEUE
end

local function add_folders(list, folder, depth)
  for _, entry in ipairs(depth <= DEPTH and entries_of.of(folder) or {}) do
    local path = folder .. "/" .. entry.name
    if entry.type == "directory" and entry.name:sub(1, 1) ~= "." and #list < FOLDERS then
      list[#list + 1] = path
      add_folders(list, path, depth + 1)
    end
  end
  return list
end

--- The folders below a folder, without those whose names begin with a dot and without links. Does not wait.
---@param folder string
---@return string[]
function M.folders_below(folder)
  return add_folders({}, folder, 1)
end

--- Whether a folder stands at a path. Does not wait.
---@param path string
---@return boolean
function M.is_folder(path)
  local stat = uv.fs_stat(path)
  return stat ~= nil and stat.type == "directory"
end

return M
