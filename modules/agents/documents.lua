--- Gives the documents of the workspace that fit a query, one after the other: a map's chunker, or a step that streams.

local M = {
  kind = "agent", name = "documents", api = 1,
  doc = "Gives the documents of the workspace that fit a query",
  needs = { prefix = "string?", type = "string?", tag = "string?", scope = "string?" },
  gives = { count = "integer" },
  options = {
    prefix = "string?",                                                  -- of their names
    type = "string?",
    tag = "string?",
    scope = { enum = { "run", "pipeline", "project" }, default = "run" },
  },
}

local PAGE = 1000 -- documents that are looked up together

local function query_of(ctx, input)
  local query = { limit = PAGE }
  for _, name in ipairs { "prefix", "type", "tag", "scope" } do
    query[name] = input[name]
    if query[name] == nil then query[name] = ctx.options[name] end
  end
  return query
end

--- Emits {name, type, tags, value} for each document. Waits for who reads.
---@param ctx weir.Context
---@param input { prefix: string?, type: string?, tag: string?, scope: string? } goes before the options
---@return { count: integer }
function M.execute(ctx, input)
  local query, count = query_of(ctx, input), 0
  repeat
    local page = ctx.workspace:list(query)
    for _, listed in ipairs(page) do
      local found = ctx.workspace:get(listed.name, { scope = query.scope })
      if found then
        ctx:emit { name = listed.name, type = listed.type, tags = listed.tags, value = found.value }
        count = count + 1
      end
    end
    query.after = page[#page] and page[#page].name
  until #page < PAGE
  return { count = count }
end

return M
