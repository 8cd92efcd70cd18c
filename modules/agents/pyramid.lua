--- Names the top of a pyramid of summaries that `pyramid_part` has kept in the workspace, in a document of its own, and tells
--- which summaries below its name the top does not reach any more. `weir workspace zoom` follows a sentence of it down to the
--- text.

local weir = require "weir"

local M = {
  kind = "agent", name = "pyramid", api = 1,
  doc = "Names the top of a pyramid of summaries",
  needs = { name = "string", levels = "array", kept = "array", source = "string?" },
  gives = { document = "string", text = "string", summaries = "integer", added = "integer", removed = "integer", unreached = "string[]" },
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

-- How many summaries there are, and the names of documents that are not among them.
local function reached(ctx, input, prefix)
  local there, count, seen = known(ctx.workspace, prefix, ctx.options.scope), 0, {}
  for _, level in ipairs(input.levels) do
    for _, node in ipairs(level) do
      if not seen[node.id] then count = count + 1 end
      seen[node.id], there[prefix .. node.id] = true, nil
    end
  end
  local unreached = weir.list {}
  for name in pairs(there) do unreached[#unreached + 1] = name end
  table.sort(unreached)
  return count, unreached
end

local function added_of(kept)
  local count = 0
  for _, level in ipairs(kept) do
    for _, done in ipairs(level) do count = count + done.added end
  end
  return count
end

--- Names the top. Does not wait.
---@param ctx weir.Context
---@param input { name: string, levels: weir.text.PyramidNode[][], kept: { added: integer }[][], source: string? } levels: the
---   leaves first; of the last one the only node is the top; kept: of each level what `pyramid_part` gave for its parts
---@return { document: string, text: string, words: integer, levels: integer, summaries: integer, added: integer,
---   removed: integer, unreached: string[] }? unreached: documents, `removed` of them, to be forgotten with `pyramid_part`
---@return string? message
---@return string? code  invalid (the last level has not one node)
function M.execute(ctx, input)
  local last = input.levels[#input.levels]
  if type(last) ~= "table" or #last ~= 1 then
    return nil, ("pyramid: the last of input.levels must have one summary, it has %d"):format(last and #last or 0), "invalid"
  end
  local top, scope = last[1], ctx.options.scope
  local count, unreached = reached(ctx, input, input.name .. "/")
  ctx.workspace:post(input.name, { source = input.source or weir.null, top = top.id, levels = top.level, summaries = count,
    text = top.text, words = top.words, bytes = top.bytes }, { scope = scope, type = "pyramid" })
  return { document = input.name, text = top.text, words = top.words, levels = top.level, summaries = count,
    added = added_of(input.kept), removed = #unreached, unreached = unreached }
end

return M
