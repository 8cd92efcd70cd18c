--- What the paths of routes name: runs, pipelines. Raises `not_found` for what is not there.

local failure = require "weir.failure"
local json = require "weir.native.json"
local shape = require "weir.view.shape"

local M = {}

local RUN = "^r_" .. ("[0-9a-z]"):rep(20) .. "$"

--- The row of a run.
---@param host weir.Host
---@param run_id string
---@return table row
function M.row(host, run_id)
  if not run_id:find(RUN) then failure.raise("not_found", "there is no run '%s'", run_id:sub(1, 60)) end
  local row, message, code = host.store:row(run_id)
  if row then return row end
  if code == "not_found" then message = ("there is no run '%s'"):format(run_id) end
  local err = failure.new(code or "failed", "%s", message)
  err.run = run_id
  error(err, 0)
end

local ENDED = require("weir.run.keeping").HAS_ENDED

local function output_of(host, run_id)
  local entries = host.store:load(run_id)
  local last = entries and entries[#entries]
  if last and last[1] == "end" and last[2] == "finished" then return last[3] end
end

--- The run line of a run, with its output when it has finished.
---@param host weir.Host
---@param run_id string
---@return table
function M.line(host, run_id)
  local live = host.engine.live[run_id]
  if live then return shape.live(live) end
  local row = M.row(host, run_id)
  local line = shape.row(run_id, row)
  line.output = row.status == "finished" and ENDED[row.status] and output_of(host, run_id) or json.null
  return line
end

-- Without a registry that keeps definitions active a file is read each time, and loaded again when its text is another.
local loaded = setmetatable({}, { __mode = "k" })

local function read(file)
  local handle = io.open(file, "rb")
  if not handle then return nil end
  local text = handle:read "a"
  handle:close()
  return text
end

local function load(here, name)
  local file, message = here:pipeline_file(name)
  if not file then return nil, failure.new("not_found", "%s%s", message, require("weir.suggest").hint(name, here:pipeline_names())) end
  local text = read(file)
  local known = loaded[here] or {}
  loaded[here] = known
  if known[file] and known[file].text == text then return known[file].definition end
  local definition, errors = here:load(file)
  if definition then
    known[file] = { text = text, definition = definition }
    return definition
  end
  local err = failure.new("invalid", "pipeline '%s' cannot be loaded: %s", name, errors[1].message)
  err.details = errors
  return nil, err
end

--- The definition of a pipeline that is to be run now. May wait.
---@param host weir.Host
---@param name string of `pipelines/NAME`, never a path
---@return weir.Definition|nil
---@return table|nil err `not_found`, `invalid` (with details)
function M.definition(host, name)
  local here = host.project
  if not here.pipeline then return load(here, name) end
  local definition, err = here:pipeline(name)
  -- A pipeline that names what is not there is there itself: it is it that does not fit.
  if err and err.details and err.code == "not_found" then err.code = "invalid" end
  return definition, err
end

return M
