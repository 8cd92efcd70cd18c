--- weir new: a project folder that runs at once.

local failure = require "weir.failure"
local json = require "weir.native.json"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local uv = require "luv"

local M = {
  name = "new",
  summary = "Makes a project folder: a pipeline, an agent, a spec, settings, and a `weir` that starts this host.",
  examples = { "new shop && cd shop && ./weir run hello --set name=Ada" },
  notes = "Nothing is overwritten: if one of the files is there, nothing is written (exit status 8).",
}

local PROGRAM = tonumber("755", 8)

function M.declare(parser)
  parser:argument("dir", "the folder; made when it is not there"):argname "DIR"
end

local function refuse_present(folder, files)
  local present = {}
  for _, file in ipairs(files) do
    if uv.fs_lstat(folder .. "/" .. file.path) then present[#present + 1] = file.path end
  end
  if #present == 0 then return end
  failure.raise("conflict", "'%s' holds %s already; nothing was written: choose another folder", folder, table.concat(present, ", "))
end

local function write(folder, file)
  local path = folder .. "/" .. file.path
  local ok, message, code = require("weir.port.files").write(path, file.text, { folders = true })
  if not ok then failure.raise(code or "failed", "%s", message) end
  if not file.is_program then return end
  local changed, why = uv.fs_chmod(path, PROGRAM)
  if not changed then failure.raise("failed", "'%s' cannot be made executable: %s", path, why) end
end

local function shell_word(text)
  if text:find "^[%w@%%+=:,./_-]+$" and text:sub(1, 1) ~= "-" then return text end
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

function M.run(arguments, context)
  local folder = arguments.dir:gsub("(.)/+$", "%1")
  local home = os.getenv "WEIR_HOME"
  local library = assert(uv.fs_realpath(require("weir.paths").library))
  local files = require("weir.cli.scaffold").files(uv.exepath(), library, home ~= "" and home and library or nil)
  refuse_present(folder, files)
  local names = json.list {}
  for index, file in ipairs(files) do
    write(folder, file)
    names[index] = file.path
  end
  local command = ("cd %s && ./weir run hello --set name=Ada"):format(shell_word(folder))
  if arguments.json then
    context.out:line(shape.line { folder = folder, files = names, command = command })
    return status.finished
  end
  context.err:line(("made %s with %s; next:"):format(folder, table.concat(names, ", ")))
  context.out:line(command)
  return status.finished
end

return M
