--- What `weir bench` prints: a table that grows row by row, or one JSON object at the end.

local json = require "weir.native.json"

local M = {}

local LINE = "%-40s %9s %14s %14s %7s %8s %9s"

---@class weir.bench.Report
local Report = {}
Report.__index = Report

--- A report.
---@param options { json: boolean?, out: { write: function }?, err: { write: function }? }
---@return weir.bench.Report
function M.new(options)
  return setmetatable({ is_json = options.json, out = options.out or io.stdout, err = options.err or io.stderr }, Report)
end

local function grouped(number)
  local text = ("%.0f"):format(number):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

local function seconds(value)
  if value < 1e-3 then return ("%.1f us"):format(value * 1e6) end
  if value < 1 then return ("%.2f ms"):format(value * 1e3) end
  return ("%.2f s"):format(value)
end

local function shown(value, unit)
  if unit == "s" then return seconds(value) end
  if unit == "%" then return ("%.2f %%"):format(value) end
  if unit == "bytes" and value < 10000 then return ("%.0f B"):format(value) end
  if unit == "B/B" then return ("%.3f"):format(value) end
  if unit == "bytes" then return ("%.1f MiB"):format(value / (1 << 20)) end
  return grouped(value) .. (unit:match "/s$" or "")
end

-- A missed goal is marked.
local function shown_goal(row)
  if row.goal_ratio == json.null then return "" end
  return ("%.3g%s"):format(row.goal_ratio, row.ratio < row.goal_ratio and " <" or "  ")
end

--- Says where it is measured, and heads the table.
---@param place { path: string, file_system: string, sync_s: number, sync_p99_s: number }
function Report:begin(place)
  if self.is_json then return end
  self.out:write(("stores stand below %s (%s; a commit of one small record: p50 %s, p99 %s)\n"):format(
    place.path, place.file_system, seconds(place.sync_s), seconds(place.sync_p99_s)))
  self.out:write("ratio: how near its floor, higher is better; exponent: growth of the whole cost with the size; <: below the goal\n\n")
  self.out:write(LINE:format("name", "size", "weir", "floor", "ratio", "goal   ", "exponent"), "\n")
  self.out:flush()
end

--- Prints the rows of one benchmark.
function Report:rows(rows)
  if self.is_json then return end
  for _, row in ipairs(rows) do
    self.out:write(LINE:format(row.name, grouped(row.size), shown(row.value, row.unit), shown(row.floor, row.unit),
      ("%.3f"):format(row.ratio), shown_goal(row), ("%.2f"):format(row.exponent)), "\n")
  end
  self.out:flush()
end

--- Says that a benchmark could not be run.
function Report:failed(name, err)
  local message = type(err) == "table" and err.message or tostring(err)
  self.err:write(("weir: bench '%s': %s\n"):format(name, message))
end

--- Ends the report.
function Report:finish(rows)
  if self.is_json then self.out:write(json.encode { rows = json.list(rows) }, "\n") end
  self.out:flush()
end

--- Says why nothing is measured.
---@return integer status as given
function Report:refuse(status, message)
  self.err:write(("weir: %s\n"):format(message))
  return status
end

return M
