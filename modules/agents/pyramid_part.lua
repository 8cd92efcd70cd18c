--- Keeps some of the summaries of a pyramid as documents of the workspace, each under its id, or forgets some: so many as one
--- commit holds, some two hundred. What stands there already is not written again; what is forgotten keeps its versions, for
--- readers of older moments. `pyramid` names the top.

local M = {
  kind = "agent", name = "pyramid_part", api = 1,
  doc = "Keeps, or forgets, some of the summaries of a pyramid",
  options = {
    scope = { enum = { "run", "pipeline", "project" }, default = "pipeline" },
  },
}

--- Keeps `summaries`, forgets what `forget` names. Does not wait.
---@param ctx weir.Context
---@param input { name: string, summaries: weir.text.PyramidNode[]?, forget: string[]? } name: of the pyramid; forget: documents
---@return { added: integer, removed: integer }
function M.execute(ctx, input)
  local scope, added, removed, seen = ctx.options.scope, 0, 0, {}
  for _, node in ipairs(input.summaries or {}) do
    local name = input.name .. "/" .. node.id
    if not seen[name] and not ctx.workspace:get(name, { scope = scope }) then
      added = added + 1
      ctx.workspace:post(name, node, { scope = scope, type = "summary", tags = { "level/" .. node.level } })
    end
    seen[name] = true
  end
  for _, name in ipairs(input.forget or {}) do
    if ctx.workspace:delete(name, { scope = scope }) then removed = removed + 1 end
  end
  return { added = added, removed = removed }
end

return M
