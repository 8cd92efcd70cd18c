--- The models of a project with what is known of them, as people and programs read them.

local catalog = require "weir.model.catalog"
local value_of = require "weir.value"

local M = {}

local or_null = value_of.or_null

local function state_of(router, is_live, candidate)
  if not is_live then return nil end
  router.admission:look(candidate)
  return candidate.state
end

--- A row for each model of the settings, then for those that only the statistics know, by name and label.
---@param project weir.Project
---@param router weir.Router
---@param is_live boolean the router is that of a host: it knows how models stand
---@param with_labels boolean|nil a row for each task label, too
---@return { candidate: table, label: string|nil, metrics: table }[]
function M.rows(project, router, is_live, with_labels)
  local rows, seen = {}, {}
  for _, candidate in ipairs(catalog.new(project):all()) do
    seen[candidate.name] = candidate
    candidate.state = state_of(router, is_live, candidate)
    rows[#rows + 1] = { candidate = candidate, metrics = router.statistics:of(candidate.name) }
  end
  for _, row in ipairs(router.statistics:table()) do
    local candidate = seen[row.model]
    if row.label and with_labels or not row.label and not candidate then
      rows[#rows + 1] = { candidate = candidate or { name = row.model }, label = row.label, metrics = row.metrics }
    end
  end
  table.sort(rows, function(a, b)
    if a.candidate.name ~= b.candidate.name then return a.candidate.name < b.candidate.name end
    return (a.label or "") < (b.label or "")
  end)
  return rows
end

local MEASURED = { "success", "first_token_p50", "first_token_p95", "total_p50", "total_p95", "tokens_per_second", "usd_per_call", "usd",
  "score" }

--- A row as programs read it; what is unknown is null.
---@param row table
---@return table
function M.shape(row)
  local line = { name = row.candidate.name, label = or_null(row.label), module = or_null(row.candidate.module),
    state = or_null(row.candidate.state), ready_in = or_null(row.candidate.ready_in), calls = row.metrics.calls,
    scores = row.metrics.scores, classes = row.metrics.classes }
  for _, name in ipairs(MEASURED) do line[name] = or_null(row.metrics[name]) end
  return line
end

return M
