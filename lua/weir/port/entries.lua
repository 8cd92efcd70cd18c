--- The entries of folders. They are read through `opendir`: luv never lets go of the request of a `scandir`, so that a host
--- which looks into folders again and again would grow.

local uv = require "luv"

local M = {}

local TOGETHER = 256 -- entries of one call

--- Opens a folder: a function of luv whose callback is its last argument. Without a callback it does not return before it is open.
---@param folder string
---@param callback (fun(err: string|nil, opened: userdata|nil))|nil
---@return userdata|nil opened or the request; to be closed with `uv.fs_closedir`
---@return string|nil err
function M.open(folder, callback)
  return uv.fs_opendir(folder, callback, TOGETHER)
end

--- All entries of a folder in order of their names: {name, type}, the type as luv says it. Does not let other tasks run meanwhile.
---@param folder string
---@return { name: string, type: string|nil }[] entries empty when the folder cannot be read
function M.of(folder)
  local opened, entries = M.open(folder), {}
  local part = opened and uv.fs_readdir(opened)
  while part do
    table.move(part, 1, #part, #entries + 1, entries)
    part = uv.fs_readdir(opened)
  end
  if opened then uv.fs_closedir(opened) end
  table.sort(entries, function(a, b) return a.name < b.name end)
  return entries
end

return M
