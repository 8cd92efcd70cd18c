--- Keeps a pyramid of summaries in the workspace: every summary a document under its id, and one that names the top. What
--- stands there already is not written again; what the top does not reach any more is deleted (its versions stay for
--- readers of older moments). `weir workspace zoom` follows a sentence of it down to the text.

local weir = require "weir"

local M = {
  kind = "agent", name = "pyramid", api = 1,
  doc = "Keeps a pyramid of summaries as documents of the workspace",
  needs = { name = "string", levels = "array", source = "string?" },
  gives = { document = "string", text = "string", summaries = "integer", added = "integer", removed = "integer" },
  options = {
    scope = { enum = { "run", "pipeline", "project" }, default = "pipeline" },
  },
}

local PAGE = 500

local function known(view, prefix, scope)
  local names, after = {}, nil
  repeat
    local page = view:list { prefix = prefix, scope = scope, limit = PAGE, after = after }
    for _, document in ipairs(page) do names[document.name] = true end
    after = page[#page] and page[#page].name
  until #page < PAGE
  return names
end

-- Posts what is new; what is left in `there` is not reached any more.
local function post_levels(ctx, input, prefix, there)
  local count, added, seen = 0, 0, {}
  for _, level in ipairs(input.levels) do
    for _, node in ipairs(level) do
      local name = prefix .. node.id
      if not seen[name] then count = count + 1 end
      if not seen[name] and not there[name] then
        added = added + 1
        ctx.workspace:post(name, node, { scope = ctx.options.scope, type = "summary", tags = { "level/" .. node.level } })
      end
      seen[name], there[name] = true, nil
    end
  end
  return count, added
end

local function delete_all(ctx, names)
  local count = 0
  for name in pairs(names) do
    ctx.workspace:delete(name, { scope = ctx.options.scope })
    count = count + 1
  end
  return count
end

--- Keeps it, all or nothing. Does not wait.
---@param ctx weir.Context
---@param input { name: string, levels: weir.text.PyramidNode[][], source: string? } levels: the leaves first; of the last one
---   the only node is the top
---@return { document: string, text: string, words: integer, levels: integer, summaries: integer, added: integer,
---   removed: integer }?
---@return string? message
---@return string? code  invalid (the last level has not one node)
function M.execute(ctx, input)
  local last = input.levels[#input.levels]
  if type(last) ~= "table" or #last ~= 1 then
    return nil, ("pyramid: the last of input.levels must have one summary, it has %d"):format(last and #last or 0), "invalid"
  end
  local top, prefix = last[1], input.name .. "/"
  local there = known(ctx.workspace, prefix, ctx.options.scope)
  local count, added = post_levels(ctx, input, prefix, there)
  local removed = delete_all(ctx, there)
  ctx.workspace:post(input.name, { source = input.source or weir.null, top = top.id, levels = top.level, summaries = count,
    text = top.text, words = top.words, bytes = top.bytes }, { scope = ctx.options.scope, type = "pyramid" })
  return { document = input.name, text = top.text, words = top.words, levels = top.level, summaries = count, added = added,
    removed = removed }
end

return M
