--- What the process knows of its surroundings: its folder, its program, its environment; and the few looks
--- at folders that are made before anything runs. Nothing here waits.

local entries_of = require "weir.port.entries"
local uv = require "luv"

local M = {}

--- The working folder.
---@return string
function M.working_folder()
  return assert(uv.cwd())
end

--- Makes a folder the working folder of the process.
---@param folder string
function M.enter(folder)
  assert(uv.chdir(folder))
end

--- The id of the process.
---@return integer
function M.process_id()
  return math.tointeger(uv.os_getpid()) -- luv gives a float
end

--- The file of the running program.
---@return string
function M.program()
  return assert(uv.exepath())
end

--- The name of the system's user whose process this is; `uid 1000` where the system has no name for it.
---@return string
function M.user_name()
  local ok, entry = pcall(uv.os_get_passwd)
  local name = ok and type(entry) == "table" and entry.username
  return name and name ~= "" and name or ("uid %d"):format(uv.getuid())
end

--- A copy of the environment, with some variables set.
---@param more table<string, string>|nil
---@return table<string, string>
function M.environment(more)
  local copy = {}
  for name, value in pairs(uv.os_environ()) do copy[name] = value end
  for name, value in pairs(more or {}) do copy[name] = value end
  return copy
end

--- Makes a folder of its own for something temporary.
---@param prefix string
---@return string
function M.temporary_folder(prefix)
  return assert(uv.fs_mkdtemp(("%s/%s-XXXXXX"):format(os.getenv "TMPDIR" or "/tmp", prefix)))
end

--- Removes a folder that `temporary_folder` made, with the files in it.
---@param folder string
function M.remove_folder(folder)
  for _, name in ipairs(M.file_names(folder)) do uv.fs_unlink(folder .. "/" .. name) end
  uv.fs_rmdir(folder)
end

--- A path without links, or nil when nothing is there.
---@param path string
---@return string|nil
function M.real_path(path)
  return (uv.fs_realpath(path))
end

--- Whether something stands at a path.
---@param path string
---@return boolean
function M.exists(path)
  return uv.fs_stat(path) ~= nil
end

--- Names of the files in a folder, in order; of a folder that is not there, none.
---@param folder string
---@return string[]
function M.file_names(folder)
  local names = {}
  for _, entry in ipairs(entries_of.of(folder)) do
    if entry.type ~= "directory" then names[#names + 1] = entry.name end
  end
  table.sort(names)
  return names
end

--- Whether a descriptor of this process is a terminal: 0 standard input, 1 output, 2 errors. Does not wait.
---@param fd integer
---@return boolean
function M.is_terminal(fd)
  return uv.guess_handle(fd) == "tty"
end

--- Columns and rows of a terminal; nil where a descriptor is none, or does not say. Does not wait.
---@param fd integer
---@return integer|nil columns
---@return integer|nil rows
function M.window_size(fd)
  local tty = M.is_terminal(fd) and uv.new_tty(fd, false) -- luv loses the handle of one that is no terminal
  if not tty then return nil end
  local columns, rows = tty:get_winsize()
  tty:close()
  if math.type(columns) ~= "integer" or columns <= 0 then return nil end
  return columns, rows
end

return M
