--- What the specs of the command line share: a command run in this process with its output kept, the host run
--- as a process of its own, folders that are gone afterwards.

local cli = require "weir.cli"
local json = require "weir.native.json"
local process = require "weir.port.process"
local uv = require "luv"

local M = {}

local Buffer = {}
Buffer.__index = Buffer

function Buffer:write(text)
  self[#self + 1] = text
  return self
end

function Buffer.flush() return true end

local function env_of(values)
  return function(name)
    local value = values[name]
    if value == nil then return name:find "^L[AC]" and "C.UTF-8" or nil end
    return value
  end
end

--- Runs a command in this process.
---@return integer status
---@return string stdout
---@return string stderr
function M.run(arguments, env)
  local out, err = setmetatable({}, Buffer), setmetatable({}, Buffer)
  local status = cli.main(arguments, { stdout = out, stderr = err, env = env_of(env or {}) })
  return status, table.concat(out), table.concat(err)
end

--- The lines of JSON that a command printed.
function M.lines(text)
  local values = {}
  for line in text:gmatch "[^\n]+" do values[#values + 1] = assert(json.decode(line)) end
  return values
end

--- The environment of the host's processes, with changes.
function M.environment(changes)
  local env = uv.os_environ()
  env.WEIR_STORE = nil
  for name, value in pairs(changes or {}) do env[name] = value end
  return env
end

local function host(arguments)
  return table.move(arguments, 1, #arguments, 2, { uv.exepath() })
end

--- Runs the host as a process of its own, to its end.
function M.host(arguments, options)
  options = options or {}
  return assert(process.run(host(arguments), { cwd = options.cwd, env = M.environment(options.env), timeout = 60, stdin = options.stdin }))
end

--- Starts the host as a process of its own.
function M.start(arguments, options)
  options = options or {}
  return assert(process.start(host(arguments), { cwd = options.cwd, env = M.environment(options.env) }))
end

--- Reads a channel of a child until what came fits a pattern.
function M.read_until(channel, pattern)
  local seen = ""
  while not seen:find(pattern) do
    local piece = channel:recv()
    if not piece then return nil, seen end
    seen = seen .. piece
  end
  return seen
end

--- A new folder.
function M.folder()
  return assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
end

--- Removes a folder and what is in it.
function M.remove(folder)
  process.run({ "rm", "-rf", "--", folder }, {})
end

--- Writes a file below a folder; makes the folders above it.
function M.write(folder, name, text)
  local path = folder .. "/" .. name
  assert(require("weir.port.files").write(path, text, { folders = true }))
  return path
end

return M
