--- Runs busted specs in the task that calls: what a spec asks for may wait, as in the host it tests.
--- busted's own command line is not used: it ends the process.

local native = require "weir.native.scheduler"
local uv = require "luv"

local M = {}

local SETTLE_TURNS = 5 -- of the loop

local function join(folder, name)
  if folder == "." then return name end
  return (folder:gsub("/+$", "")) .. "/" .. name
end

local function collect(folder, files)
  local handle = uv.fs_scandir(folder)
  while handle do
    local name, kind = uv.fs_scandir_next(handle)
    if not name then break end
    local path = join(folder, name)
    if kind == "directory" then
      if name:sub(1, 1) ~= "." then collect(path, files) end
    elseif name:find "_spec%.lua$" then
      files[#files + 1] = path
    end
  end
end

--- The spec files below folders, and files as they are; each once, in order.
---@param paths string[]
---@return string[]|nil files
---@return string|nil missing the path that is not there
function M.find(paths)
  local files, seen = {}, {}
  for _, path in ipairs(paths) do
    local stat = uv.fs_stat(path)
    if not stat then return nil, path end
    local found = {}
    if stat.type == "directory" then
      collect(path, found)
      table.sort(found)
    else
      found[1] = path
    end
    for _, file in ipairs(found) do
      if not seen[file] then files[#files + 1] = file end
      seen[file] = true
    end
  end
  return files
end

---@class weir.cli.Outcome
---@field file string
---@field name string        the titles of its blocks and its own
---@field status "passed"|"failed"|"pending"
---@field seconds number
---@field message string|nil of a failure, `file:line: ...`
---@field traceback string|nil

local STATUS = { success = "passed", failure = "failed", error = "failed", pending = "pending" }

local function title_of(busted, element)
  local names = {}
  while element and element.descriptor ~= "file" do
    if element.name then table.insert(names, 1, element.name) end
    element = busted.context.parent(element)
  end
  return table.concat(names, " ")
end

local function file_of(busted, element)
  while element do
    if element.descriptor == "file" then return element.name end
    element = busted.context.parent(element)
  end
  return ""
end

local function trace_of(trace)
  return type(trace) == "table" and trace.traceback ~= "" and trace.traceback or nil
end

-- What the file before left behind (closing handles, ending tasks, garbage that owns either) is gone before
-- the next one begins.
local function settle()
  collectgarbage()
  collectgarbage()
  if native.is_virtual() then return end
  for _ = 1, SETTLE_TURNS do native.sleep(0) end
end

local function listen(busted, report)
  local problem -- of the test at hand
  local function record(element, outcome)
    outcome.file, outcome.name = file_of(busted, element), title_of(busted, element)
    report.outcome(outcome)
  end
  busted.subscribe({ "test", "start" }, function() problem = nil end)
  busted.subscribe({ "test", "end" }, function(element, _, status)
    record(element, { status = STATUS[status] or "failed", seconds = element.duration or 0,
      message = problem and problem.message, traceback = problem and problem.traceback })
    problem = nil
  end)
  local function failed(element, _, message, trace)
    local found = { message = tostring(message), traceback = trace_of(trace), status = "failed", seconds = 0 }
    if element.descriptor == "it" then
      problem = found
    else
      record(element, found) -- a setup, a block, a file that does not load
    end
  end
  busted.subscribe({ "failure" }, failed)
  busted.subscribe({ "error" }, failed)
  busted.subscribe({ "file", "start" }, settle)
  busted.subscribe({ "file", "end" }, function(element) report.file(element.name, element.duration or 0) end)
end

local function load_files(busted, files)
  local loader = require "busted.modules.files.lua"
  for _, name in ipairs(files) do
    local chunk, trace, rewrite = loader.load(busted, name)
    if chunk then
      busted.executors.file(name, setmetatable({ getTrace = trace, rewriteMessage = rewrite }, { __call = chunk }))
    end
  end
end

local function only(busted, pattern)
  require "busted.modules.filter_loader"()(busted, { tags = {}, excludeTags = {}, filter = pattern, filterOut = {},
    list = false, nokeepgoing = false, suppressPending = false })
end

-- busted takes out of package.loaded what a file has loaded. The library itself stays, so that there is one of it.
local function preload()
  for _, name in ipairs { "weir", "weir.project", "weir.run.engine", "weir.port.store", "weir.port.files", "weir.testing" } do
    require(name)
  end
end

--- Runs spec files. Waits. Raises when busted is not installed.
---@param files string[]
---@param options { filter: string[]|nil }
---@param report { outcome: fun(outcome: weir.cli.Outcome), file: fun(name: string, seconds: number) }
function M.run(files, options, report)
  preload()
  local busted = require "busted.core"()
  require "busted"(busted)
  listen(busted, report)
  if options.filter and #options.filter > 0 then only(busted, options.filter) end
  load_files(busted, files)
  require "busted.execute"(busted)(1, {})
  busted.publish { "exit" }
end

return M
