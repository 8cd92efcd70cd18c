--- weir import: takes a run from a file into the store.

local client = require "weir.cli.client"
local failure = require "weir.failure"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local transfer = require "weir.run.transfer"

local M = {
  name = "import",
  summary = "Takes a run from a file that `weir export` wrote, under its own id. All of the file is checked first.",
  examples = { "import run.weir", "import run.weir --store other --json" },
  notes = "A run that has not ended is paused, so that it does not go on in two stores; `weir resume RUN` goes on with it here,\n"
    .. "with the modules that came with it: import only what you would run. Exit status: 0 it is there, 2 a newer format,\n"
    .. "6 no such file, 8 the store has the run, 75 the file is damaged. Then nothing was changed.",
}

function M.declare(parser)
  parser:argument("file", "what `weir export` wrote"):argname "FILE"
  session.declare_store(parser)
end

-- Opens the file from its beginning, each time it is read.
local function opener(path, opened)
  return function()
    local handle, message = io.open(client.path(path), "rb")
    if not handle then failure.raise("not_found", "%s", message) end
    opened[#opened + 1] = handle
    local size = handle:seek "end"
    if not size or size == math.maxinteger or not handle:seek "set" then failure.raise("invalid", "'%s' is no file", path) end
    return { read = function(count) return handle:read(count) end, size = size }
  end
end

local function import(store, path)
  local opened = {}
  local ok, result = pcall(transfer.import, store, opener(path, opened))
  for _, handle in ipairs(opened) do handle:close() end
  if ok then return result end
  local err = failure.of(result)
  err.file, err.run = path, type(result) == "table" and rawget(result, "run") or nil
  if not err.message:find(path, 1, true) then err.message = ("'%s': %s"):format(path, err.message) end
  error(err, 0)
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_store(here, arguments.store), function(store)
    local done = import(store, arguments.file)
    if arguments.json then
      context.out:line(shape.line(shape.row(done.run, done.row)))
      return status.finished
    end
    context.err:line(("imported run %s (%s, %s)"):format(done.run, text.safe(done.row.pipeline), done.row.status))
    if done.row.is_paused then context.err:line(("it is paused; weir resume %s goes on with it here"):format(done.run)) end
    return status.finished
  end)
end

return M
