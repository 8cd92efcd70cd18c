--- For specs: files in folders of their own, written and removed without a wait.

local uv = require "luv"

local M = {}

local function make(folder)
  if folder == "" or uv.fs_stat(folder) then return end
  make(folder:match "^(.*)/[^/]*$")
  uv.fs_mkdir(folder, tonumber("755", 8))
end

--- Writes a file; makes the folders above it.
function M.write(path, text)
  make(path:match "^(.*)/[^/]*$")
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

--- Removes a file, or a folder and what is in it; links are removed, not followed.
function M.remove(path)
  local stat = uv.fs_lstat(path)
  if not stat then return end
  if stat.type == "directory" then
    for name in uv.fs_scandir_next, uv.fs_scandir(path) do M.remove(path .. "/" .. name) end
    uv.fs_rmdir(path)
  else
    uv.fs_unlink(path)
  end
end

return M
