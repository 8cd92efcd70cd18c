--- Reads, writes, removes and lists files, below given folders only. As a map's chunker it gives the lines of a file of any
--- size as they are read.

local weir = require "weir"
local files = require "weir.port.files"

local M = {
  kind = "agent", name = "files", api = 1, has_consequences = true,
  doc = "Reads, writes, removes and lists files below given folders",
  needs = { path = "string", text = "string?", glob = "string?", exclude = "string?" },
  gives = { path = "string", text = "string?", bytes = "integer?", removed = "boolean?", files = "array?", lines = "integer?" },
  options = {
    mode = { enum = { "read", "write", "remove", "list", "lines" }, default = "read" },
    roots = { type = "array", items = { type = "string" }, minItems = 1, default = weir.list({ "." }) },
    glob = "string?",                                   -- list: names to give, such as "*.md"; the input's goes before
    recursive = { type = "boolean", default = true },   -- list: folders in folders too
    hidden = { type = "boolean", default = false },     -- list: names that begin with a dot too
    required = { type = "boolean", default = false },   -- list: to find nothing is a failure
    together = { type = "integer", minimum = 1, default = 1 },         -- lines: so many make one item
    max_bytes = { type = "integer", minimum = 0, default = 16777216 }, -- read: a larger file is refused
  },
}

local function join(folder, path)
  if not folder or folder == "." or path:sub(1, 1) == "/" then return path end
  return path == "." and folder or folder:gsub("/$", "") .. "/" .. path
end

local function check_path(path)
  if type(path) ~= "string" or path == "" then return "files: input.path is required (string)" end
  if path:find("\0", 1, true) then return "files: input.path has a zero byte in it" end
end

local function read(ctx, input, real, root)
  local text, message, code = files.read(real, { max_bytes = ctx.options.max_bytes, text = true, root = root })
  if not text then return nil, message, code end
  return { text = text, path = input.path, source = input.path, bytes = #text }
end

local function write(_, input, real, root)
  if type(input.text) ~= "string" then return nil, "files: input.text is required (string)", "invalid" end
  local ok, message, code = files.write(real, input.text, { folders = true, root = root })
  if not ok then return nil, message, code end
  return { path = input.path, bytes = #input.text }
end

local function remove(_, input, real, root)
  local was_there, message, code = files.remove(real, { root = root })
  if was_there == nil then return nil, message, code end
  return { path = input.path, removed = was_there }
end

local function is_same(name, other)
  return other ~= nil and name:gsub("^%./+", "") == other:gsub("^%./+", "")
end

local function nothing_found(ctx, input)
  local glob = input.glob or ctx.options.glob
  return nil, ("files: no file below '%s'%s; give another path%s"):format(input.path,
    glob and (" matches '%s'"):format(glob) or "", glob and " or glob" or ""), "not_found"
end

-- Found below the real path, told under the path that was asked for.
local function list(ctx, input, real)
  local found, message, code = files.list(real, { glob = input.glob or ctx.options.glob,
    recursive = ctx.options.recursive, hidden = ctx.options.hidden })
  if not found then return nil, message, code end
  local told, folder = {}, input.path:gsub("(.)/+$", "%1")
  for _, path in ipairs(found) do
    local name = join(folder, path)
    if not is_same(name, input.exclude) then told[#told + 1] = name end
  end
  if #told == 0 and ctx.options.required then return nothing_found(ctx, input) end
  return { path = input.path, files = weir.list(told) }
end

-- What is emitted: {text, line, path}, the line being that of its first one, from 1.
local function emitter(ctx, path)
  local lines, first, count = {}, 1, 0
  local function flush()
    if #lines == 0 then return end
    local text = table.concat(lines)
    local fine, message, code = files.check_utf8(text, path)
    if not fine then error({ code = code, message = ("files: lines from %d on: %s"):format(first, message) }, 0) end
    ctx:emit { text = text, line = first, path = path }
    lines, first = {}, count + 1
  end
  return function(line)
    lines[#lines + 1], count = line, count + 1
    if #lines >= ctx.options.together then flush() end
  end, function()
    flush()
    return count
  end
end

local function lines(ctx, input, real, root)
  local next_piece, message, code, file = files.pieces(real, { root = root })
  if not next_piece then return nil, message, code end
  local add, finish = emitter(ctx, input.path)
  local rest = ""
  for piece in next_piece, nil, nil, file do
    local at = 1
    while true do
      local ending = piece:find("\n", at, true)
      if not ending then break end
      add(rest .. piece:sub(at, ending))
      rest, at = "", ending + 1
    end
    rest = rest .. piece:sub(at)
    if #rest > ctx.options.max_bytes then return nil, ("files: a line of '%s' has more than %d bytes"):format(input.path,
      ctx.options.max_bytes), "limit" end
  end
  if rest ~= "" then add(rest) end
  return { path = input.path, lines = finish() }
end

local MODES = { read = read, write = write, remove = remove, list = list, lines = lines }

--- Reads, writes, removes, lists or emits lines, as the option `mode` says. A relative path is looked up below each root in
--- turn. Waits for the disk.
---@param ctx weir.Context
---@param input { path: string, text: string?, glob: string?, exclude: string? }  exclude: a path that a list leaves out
---@return table?  read: { text, path, source (the path), bytes }, text being valid UTF-8; write: { path, bytes },
---  the file replaced as a whole, folders made as needed;
---  remove: { path, removed }, whether it was there; list: { path, files }, sorted, each with the path in front;
---  lines: { path, lines }, how many there were, each emitted as { text, line, path } with its line feed
---@return string? message
---@return string? code  invalid (input, or a file that is no UTF-8), denied (outside the roots, or no right),
---  not_found, limit (larger than max_bytes), full (disk)
function M.execute(ctx, input)
  local problem = check_path(input.path)
  if problem then return nil, problem, "invalid" end
  local missing, refusal
  for _, root in ipairs(ctx.options.roots) do
    local folder = join(ctx.root, root)
    local real, message, code = files.below(folder, input.path)
    local result
    if real then result, message, code = MODES[ctx.options.mode](ctx, input, real, folder) end
    if result then return result end
    if code ~= "not_found" and (real or code ~= "denied") then return nil, message, code end
    if code == "not_found" then missing = missing or message else refusal = refusal or message end
  end
  if missing then return nil, missing, "not_found" end
  return nil, ("files: %s; the option 'roots' has %s"):format(refusal, table.concat(ctx.options.roots, ", ")), "denied"
end

return M
