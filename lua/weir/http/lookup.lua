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

local or_null = require("weir.value").or_null

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
  line.output = json.null
  if row.status == "finished" then line.output = or_null(output_of(host, run_id)) end
  return line
end

--- The definition of a pipeline that serves now. May wait.
---@param host weir.Host
---@param name string of `pipelines/NAME`, never a path
---@return weir.Definition|nil
---@return table|nil err `not_found`, `invalid` (with details)
function M.definition(host, name)
  local here = host.project
  local definition, err = here:pipeline(name)
  if definition then return definition end
  if err.details then -- it is there, and something in it is wrong
    local wrong = failure.new("invalid", "%s", err.message)
    wrong.details = err.details
    return nil, wrong
  end
  if err.code ~= "not_found" then return nil, err end
  return nil, failure.new("not_found", "there is no pipeline '%s'%s", name, require("weir.suggest").hint(name, here:pipeline_names()))
end

return M
