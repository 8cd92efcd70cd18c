--- Loads rows of a table into the workspace: a document for each, and one of the run that counts them. All of it is committed
--- in one transaction with the outcome of the step, so a row is there once, whatever happens to the process.

local csv = require "weir.text.csv"

local M = {
  kind = "agent", name = "load_rows", api = 1,
  doc = "Loads rows of a table into the workspace, each once",
  needs = { text = "string", line = "integer" },
  gives = { rows = "integer" },
  options = {
    scope = { enum = { "run", "pipeline", "project" }, default = "pipeline" },
    prefix = { type = "string", default = "rows/" },  -- of the documents, whose names end with the number of the line
    count = { type = "string", default = "count" },   -- the document of the run that counts them
  },
}

--- Loads lines. Does not wait.
---@param ctx weir.Context
---@param input { text: string, line: integer }  lines, and the number of the first
---@return { rows: integer }?
---@return string? message
---@return string? code  invalid (not to be read as a table)
function M.execute(ctx, input)
  local rows, message = csv.read(input.text)
  if not rows then return nil, ("load_rows: line %d and on: %s"):format(input.line, message), "invalid" end
  local scope = ctx.options.scope
  for index, row in ipairs(rows) do
    ctx.workspace:post(("%s%08d"):format(ctx.options.prefix, input.line + index - 1), row, { scope = scope, type = "row" })
  end
  ctx.workspace:post(ctx.options.count, #rows, { scope = "run", merge = "counter" })
  return { rows = #rows }
end

return M
