--- Files: read whole, written atomically, listed in order, and kept below a root. The work is done by the
--- loop's threads while the task waits; under a virtual clock it is done in place.
---
--- A cancelled task leaves at once. The operation it waited for goes on, and only when it is through is the
--- file closed: a file's number is never free while a thread still uses it.

local entries_of = require "weir.port.entries"
local glob = require "weir.port.glob"
local hash = require "weir.native.hash"
local scheduler = require "weir.native.scheduler"
local uv = require "luv"

local M = {}

local READ_BYTES = 64 * 1024 * 1024 -- of one file, unless told otherwise
local PIECE_BYTES = 1024 * 1024
local ENTRIES = 100000              -- of one listing
local DEPTH = 64                    -- folders inside one another

local REASONS = {
  ENOENT = { "not_found", "no such file or folder" }, ENOTDIR = { "not_found", "a part of the path is not a folder" },
  EACCES = { "denied", "no permission" }, EPERM = { "denied", "not permitted" },
  EROFS = { "denied", "the file system is read-only" }, EISDIR = { "invalid", "is a folder, a file is needed" },
  ENAMETOOLONG = { "invalid", "the name is too long" }, ELOOP = { "invalid", "links lead in a circle" },
  ENOSPC = { "full", "the disk is full" }, EDQUOT = { "full", "the disk quota is used up" },
  EMFILE = { "unavailable", "too many open files" }, ENFILE = { "unavailable", "too many open files" },
  EIO = { "unavailable", "the device reports an error" }, EEXIST = { "conflict", "exists already" },
}

local function refuse(path, err)
  local text = tostring(err)
  local reason = REASONS[text:match "^(%u[%u%d]+)"] or { "failed", text }
  return nil, ("'%s': %s"):format(path, reason[2]), reason[1]
end

local function check_path(path)
  if type(path) ~= "string" or path == "" then error("path must be a string that is not empty", 3) end
  if path:find("\0", 1, true) then error("path has a NUL byte", 3) end
end

-- Calls into luv: `result` or `nil, error`, whichever way they were made.

local function is_inline() return scheduler.is_virtual() or not scheduler.can_wait() end

--- Calls a function of luv, waiting for its callback. `late` gets the result when nobody waits any more.
local function call(late, operation, ...)
  if is_inline() then return operation(...) end
  local waiter, here, came = scheduler.waiter(), true, nil
  local leaving <close> = setmetatable({}, { __close = function() -- luacheck: ignore 211
    here = false
    if came and late then late(came.result) end -- it came, and the task was cancelled before it took it
  end })
  local arguments = table.pack(...)
  arguments[arguments.n + 1] = function(err, result)
    if not here then return late and late(result) end
    came = { result = result }
    waiter:wake(err, result)
  end
  local started, start_error = operation(table.unpack(arguments, 1, arguments.n + 1))
  if not started then return nil, start_error end
  local err, result = waiter:wait "a file"
  came = nil
  if err then return nil, err end
  return result
end

-- Open files: {fd, busy}, closed when nothing uses them.

local File = {}
File.__index = File

function File.__close(file)
  if file.busy then file.closing = true
  elseif file.fd then
    uv.fs_close(file.fd)
    file.fd = nil
  end
end

local function open(path, flags, mode)
  local function close_late(fd) if fd then uv.fs_close(fd) end end
  local fd, err = call(close_late, uv.fs_open, path, flags, mode)
  if not fd then return nil, err end
  return setmetatable({ fd = fd }, File)
end

--- An operation on an open file.
local function use(file, operation, ...)
  file.busy = true
  local function late()
    file.busy = false
    if file.closing then File.__close(file) end
  end
  local result, err = call(late, operation, file.fd, ...)
  file.busy = false
  return result, err
end

-- Staying below a root

local function is_below(root, path)
  return path == root or root == "/" or path:sub(1, #root + 1) == root .. "/"
end

local function refuse_escape(root, path)
  return nil, ("'%s': leads out of '%s', which is not allowed"):format(path, root), "denied"
end

--- The deepest part of a path that exists, without links, and the rest.
local function resolve(path)
  local rest = ""
  while true do
    local real, err = call(nil, uv.fs_realpath, path)
    if real then return real, rest end
    if not tostring(err):find "^ENOENT" or path == "/" then return nil, err end
    if call(nil, uv.fs_lstat, path) then return nil, "ELOOP" end -- a link to nowhere
    local parent, name = path:match "^(.*)/([^/]+)/*$"
    path, rest = parent == "" and "/" or parent, "/" .. name .. rest
  end
end

--- Where a path leads, if that lies below a root: links are followed, `..` is refused. Waits. What follows
--- may change between this look and the use; `read` with the option `root` looks again once it is open.
---@param root string a folder that exists
---@param path string relative to the root, or absolute and below it; need not exist
---@return string? absolute path without links
---@return string? message
---@return string? code `denied`, `not_found` (no root), `invalid`, `unavailable`, `failed`
function M.below(root, path)
  check_path(root)
  check_path(path)
  local real_root, err = call(nil, uv.fs_realpath, root)
  if not real_root then return refuse(root, err) end
  for part in path:gmatch "[^/]+" do
    if part == ".." then return nil, ("'%s': '..' is not allowed in a path"):format(path), "denied" end
  end
  local absolute = path:sub(1, 1) == "/" and path or (real_root == "/" and "" or real_root) .. "/" .. path
  local real, rest = resolve(absolute)
  if not real then
    if rest == "ELOOP" then return refuse_escape(root, path) end
    return refuse(path, rest)
  end
  if not is_below(real_root, real) then return refuse_escape(root, path) end
  if rest == "" then return real end
  return (real == "/" and "" or real) .. rest:gsub("/%.%f[/\0]", "")
end

--- Where the open file really is: the look that no later change can fool.
local function check_place(file, root, path)
  local real_root = call(nil, uv.fs_realpath, root)
  local place = call(nil, uv.fs_readlink, ("/proc/self/fd/%d"):format(file.fd))
  if real_root and place and is_below(real_root, place) then return true end
  return refuse_escape(root, path)
end

local function folder_of(path) return path:match "^(.*)/[^/]*$" or "." end
local function name_of(path) return path:match "[^/]*$" end

--- A path through an open folder: it leads into that one, whatever takes the place of its name meanwhile.
local function inside(folder, name) return ("/proc/self/fd/%d/%s"):format(folder.fd, name) end

--- Opens a folder below a root, and makes it and those above it if it may. What is opened is looked at, not its name.
local function open_below(root, folder, path, may_make)
  local file, err = open(folder, "r", 0)
  if not file and may_make and tostring(err):find "^ENOENT" then
    local above <close>, message, code = open_below(root, folder_of(folder), path, true)
    if not above then return nil, message, code end
    local made, why = call(nil, uv.fs_mkdir, inside(above, name_of(folder)), 511) -- 0777, less the umask
    if not made and not tostring(why):find "^EEXIST" then return refuse(path, why) end
    file, err = open(inside(above, name_of(folder)), "r", 0)
  end
  if not file then return refuse(path, err) end
  local is_fine, message, code = check_place(file, root, path)
  if is_fine then return file end
  File.__close(file)
  return nil, message, code
end

-- Reading

local function too_long(path, max_bytes)
  return nil, ("'%s': has more than %d bytes; raise max_bytes, or read a part"):format(path, max_bytes), "limit"
end

--- Reads to the end; the size is a hint (files of /proc say 0).
local function read_all(file, path, size, max_bytes)
  local pieces, total = {}, 0
  while true do
    local want = math.min(math.max(size - total + 1, 4096), PIECE_BYTES)
    local piece, err = use(file, uv.fs_read, want, total)
    if not piece then return refuse(path, err) end
    if piece == "" then return table.concat(pieces) end
    total = total + #piece
    if total > max_bytes then return too_long(path, max_bytes) end
    table.insert(pieces, piece)
  end
end

--- Tells whether bytes are UTF-8.
---@param bytes string
---@param what string? names the text in the message
---@return true?
---@return string? message says the offset of the first wrong byte
---@return string? code `invalid`
function M.check_utf8(bytes, what)
  local length, offset = utf8.len(bytes)
  if length then return true end
  local message = "'%s': not UTF-8 at byte %d; convert it first, or read it as bytes"
  return nil, message:format(what or "text", offset), "invalid"
end

-- Opens a regular file below a root, or anywhere.
local function open_to_read(path, root)
  local real, message, code = path, nil, nil
  if root then real, message, code = M.below(root, path) end
  if not real then return nil, message, code end
  -- O_NONBLOCK: opening a named pipe must not hang a thread of the loop.
  local file, err = open(real, uv.constants.O_RDONLY | uv.constants.O_NONBLOCK, 0)
  if not file then return refuse(path, err) end
  local is_kept = false
  local guard <close> = setmetatable({}, { __close = function() -- luacheck: ignore 211
    if not is_kept then File.__close(file) end
  end })
  if root then
    local is_fine
    is_fine, message, code = check_place(file, root, path)
    if not is_fine then return nil, message, code end
  end
  local stat, stat_error = use(file, uv.fs_fstat)
  if not stat then return refuse(path, stat_error) end
  if stat.type == "directory" then return refuse(path, "EISDIR") end
  if stat.type ~= "file" then return nil, ("'%s': is not a regular file"):format(path), "invalid" end
  is_kept = true
  return file, stat.size
end

--- Reads a whole file. Waits.
---@param path string
---@param options { max_bytes: integer?, text: boolean?, root: string? }? default 64 MiB; `text` refuses
---  what is not UTF-8; `root`: as `below`
---@return string? bytes
---@return string? message
---@return string? code `not_found`, `denied`, `invalid` (a folder, not UTF-8), `limit`, `unavailable`, `failed`
function M.read(path, options)
  check_path(path)
  options = options or {}
  local file <close>, size, open_code = open_to_read(path, options.root)
  if not file then return nil, size, open_code end
  local max_bytes = options.max_bytes or READ_BYTES
  if size > max_bytes then return too_long(path, max_bytes) end
  local bytes, message, code = read_all(file, path, size, max_bytes)
  if not bytes then return nil, message, code end
  if options.text then
    local fine, why, why_code = M.check_utf8(bytes, path)
    if not fine then return nil, why, why_code end
  end
  return bytes
end

--- Reads a file piece by piece, so that one of any size needs little memory: `for piece in reader do`. Opening and each
--- piece wait; what cannot be read in the middle raises {code, message}.
---@param path string
---@param options { root: string? }? as `below`
---@return fun(): string|nil next gives nil at the end; or nil
---@return string|nil message
---@return string|nil code as `read`
---@return table|nil file to be closed: the fourth value of a generic for
function M.pieces(path, options)
  check_path(path)
  local file, message, code = open_to_read(path, options and options.root)
  if not file then return nil, message, code end
  local at = 0
  return function()
    local piece, err = use(file, uv.fs_read, PIECE_BYTES, at)
    if not piece then
      local _, why, why_code = refuse(path, err)
      error({ code = why_code, message = why }, 0)
    end
    at = at + #piece
    return piece ~= "" and piece or nil
  end, nil, nil, file
end

-- Writing

local function write_all(file, bytes)
  local written = 0
  while written < #bytes do
    local piece = written == 0 and #bytes <= PIECE_BYTES and bytes or bytes:sub(written + 1, written + PIECE_BYTES)
    local count, err = use(file, uv.fs_write, piece, written)
    if not count then return nil, err end
    written = written + count
  end
  return use(file, uv.fs_fsync)
end

--- Creates a folder and those above it. Waits.
---@param path string
---@return true?
---@return string? message
---@return string? code
function M.make_folder(path)
  check_path(path)
  local stat = call(nil, uv.fs_stat, path)
  if stat and stat.type == "directory" then return true end
  local parent = folder_of((path:gsub("/+$", "")))
  if parent ~= "." and parent ~= "" then
    local ok, message, code = M.make_folder(parent)
    if not ok then return nil, message, code end
  end
  local made, err = call(nil, uv.fs_mkdir, path, 511) -- 0777, less the umask
  if not made and not tostring(err):find "^EEXIST" then return refuse(path, err) end
  return true
end

--- Removes the new file unless it was put in place, also when the task is cancelled.
local function remover(path)
  return setmetatable({}, { __close = function(self) if not self.kept then uv.fs_unlink(path) end end })
end

local function write_aside(path, aside, bytes, mode)
  local file <close>, err = open(aside, "wx", mode)
  if not file then return nil, err end
  local ok
  ok, err = write_all(file, bytes)
  if not ok then return nil, err end
  ok, err = call(nil, uv.fs_rename, aside, path)
  return ok, err
end

-- Puts bytes in the place of a file; `folder` is its folder, open, to be synced; `path` is for messages.
local function put(real, aside, bytes, folder, path)
  local stat = call(nil, uv.fs_stat, real)
  if stat and stat.type ~= "file" then return refuse(path, stat.type == "directory" and "EISDIR" or "EACCES") end
  local removed <close> = remover(aside)
  local ok, err = write_aside(real, aside, bytes, stat and stat.mode & 511 or 420) -- 0777, 0644
  if not ok then return refuse(path, err) end
  removed.kept = true
  ok, err = use(folder, uv.fs_fsync)
  if not ok then return refuse(path, err) end
  return true
end

local function name_aside()
  return ".weir-" .. hash.sha256(hash.random(16)):sub(1, 16)
end

local function write_below(path, bytes, options)
  local real, message, code = M.below(options.root, path)
  if not real then return nil, message, code end
  local folder <close>, why, which = open_below(options.root, folder_of(real), path, options.folders)
  if not folder then return nil, why, which end
  return put(inside(folder, name_of(real)), inside(folder, name_aside()), bytes, folder, path)
end

--- Writes a whole file: whoever reads it sees the old bytes or the new ones, also after a power cut. Waits.
--- A link is replaced, not followed.
---@param path string
---@param bytes string
---@param options { root: string?, folders: boolean? }? `root`: as `below`, also where a folder on the way is exchanged for a
---  link meanwhile; `folders`: create those above it
---@return true?
---@return string? message
---@return string? code `not_found`, `denied`, `invalid`, `full`, `unavailable`, `failed`
function M.write(path, bytes, options)
  check_path(path)
  if type(bytes) ~= "string" then error("bytes must be a string", 2) end
  options = options or {}
  if options.root then return write_below(path, bytes, options) end
  local folder = folder_of(path)
  if options.folders and folder ~= "." and folder ~= "" then
    local made, message, code = M.make_folder(folder)
    if not made then return nil, message, code end
  end
  local opened <close>, err = open(folder == "" and "/" or folder, "r", 0)
  if not opened then return refuse(path, err) end
  return put(path, ("%s/%s"):format(folder, name_aside()), bytes, opened, path)
end

local function unlink(real, folder, path)
  local removed, err = call(nil, uv.fs_unlink, real)
  if not removed then
    if tostring(err):find "^ENOENT" then return false end
    return refuse(path, err)
  end
  local ok
  ok, err = use(folder, uv.fs_fsync)
  if not ok then return refuse(path, err) end
  return true
end

--- Removes a file, a link and not what it leads to; that it is gone is on disk. Waits.
---@param path string
---@param options { root: string? }? `root`: as of `write`
---@return boolean? was_there
---@return string? message
---@return string? code `denied`, `invalid` (a folder), `unavailable`, `failed`
function M.remove(path, options)
  check_path(path)
  local real, root = path, options and options.root
  local folder, message, code
  if root then
    real, message, code = M.below(root, path)
    if not real then return nil, message, code end
    folder, message, code = open_below(root, folder_of(real), path, false)
  else
    local err
    folder, err = open(folder_of(path) == "" and "/" or folder_of(path), "r", 0)
    if not folder then message, code = select(2, refuse(path, err)) end
  end
  if code == "not_found" then return false end
  if not folder then return nil, message, code end
  local opened <close> = folder
  return unlink(root and inside(opened, name_of(real)) or path, opened, path)
end

-- Looking

local TYPES = { file = "file", directory = "folder", link = "link" }

--- Says what stands at a path; links are followed. Waits.
---@param path string
---@return { type: "file"|"folder"|"other", size: integer, modified: number, mode: integer }? size in
---  bytes, modified in seconds since 1970
---@return string? message
---@return string? code `not_found`, `denied`, ...
function M.stat(path)
  check_path(path)
  local stat, err = call(nil, uv.fs_stat, path)
  if not stat then return refuse(path, err) end
  return {
    type = TYPES[stat.type] or "other", size = stat.size, mode = stat.mode & 4095,
    modified = stat.mtime.sec + stat.mtime.nsec / 1e9,
  }
end

--- The type of an entry of a folder; some file systems do not tell with the name.
local function type_of(path, given)
  if given == "file" or given == "directory" then return given end
  local lstat = given == "link" or call(nil, uv.fs_lstat, path)
  local stat = lstat and call(nil, uv.fs_stat, path)
  if not stat then return nil end
  local is_link = given == "link" or lstat.type == "link"
  if is_link and stat.type == "directory" then return nil end -- might lead in a circle, or out
  return stat.type
end

local walk, scan_folder

local function add_entry(found, folder, prefix, name, given, options, depth)
  if name:sub(1, 1) == "." and not options.hidden then return true end
  local relative, path = prefix .. name, folder .. "/" .. name
  local kind = type_of(path, given)
  if kind == "directory" and options.recursive then return walk(found, path, relative .. "/", options, depth + 1) end
  if kind ~= "file" or (options.matches and not options.matches(relative)) then return true end
  if #found >= ENTRIES then
    return nil, ("'%s': more than %d files; list a smaller folder"):format(folder, ENTRIES), "limit"
  end
  table.insert(found, relative)
  return true
end

-- Below a root a folder is open while it is gone through, so that it stays the one that was looked at.
local function walk_below(found, folder, prefix, options, depth)
  local opened <close>, err = open(folder, "r", 0)
  if not opened then return refuse(options.path, err) end
  local is_fine, message, code = check_place(opened, options.root, options.path)
  if not is_fine then
    if depth > 1 then return true end -- a link that was a folder a moment ago
    return nil, message, code
  end
  return scan_folder(found, ("/proc/self/fd/%d"):format(opened.fd), prefix, options, depth)
end

function walk(found, folder, prefix, options, depth)
  if depth > DEPTH then return nil, ("'%s': more than %d folders inside one another"):format(folder, DEPTH), "limit" end
  return (options.root and walk_below or scan_folder)(found, folder, prefix, options, depth)
end

local function close_folder(opened)
  if opened then uv.fs_closedir(opened) end
end

-- All of a folder. Whoever is cancelled leaves at once, and the folder is closed when the operation is through.
local function read_folder(folder)
  local opened, err = call(close_folder, entries_of.open, folder)
  if not opened then return nil, err end
  local entries = {}
  local part, why
  repeat
    part, why = call(function() close_folder(opened) end, uv.fs_readdir, opened)
    if part then table.move(part, 1, #part, #entries + 1, entries) end
  until not part
  close_folder(opened)
  if why then return nil, why end
  return entries
end

function scan_folder(found, folder, prefix, options, depth)
  local entries, err = read_folder(folder)
  if not entries then return refuse(folder, err) end
  for _, entry in ipairs(entries) do
    local ok, message, code = add_entry(found, folder, prefix, entry.name, entry.type, options, depth)
    if not ok then return nil, message, code end
  end
  return true
end

--- Lists the files of a folder in order of their paths (by bytes). Waits. Names that begin with a dot are
--- left out, links to folders are not followed.
---@param path string a folder
---@param options { glob: string?, recursive: boolean?, hidden: boolean?, root: string? }? `glob`: see
---  weir.port.glob; `root`: as `below`
---@return string[]? paths relative to the folder
---@return string? message
---@return string? code `not_found`, `denied`, `limit`, `invalid`, ...
function M.list(path, options)
  check_path(path)
  options = options or {}
  local real, matches, message, code = path, nil, nil, nil
  if options.root then real, message, code = M.below(options.root, path) end
  if not real then return nil, message, code end
  if options.glob then
    matches, message, code = glob.compile(options.glob)
    if not matches then return nil, message, code end
  end
  local found = {}
  local how = { recursive = options.recursive, hidden = options.hidden, matches = matches, root = options.root, path = path }
  local ok
  ok, message, code = walk(found, (real:gsub("(.)/+$", "%1")), "", how, 1)
  if not ok then return nil, message, code end
  table.sort(found)
  return found
end

return M
