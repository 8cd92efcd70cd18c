--- A drawing in Graphviz's DOT. Arrows cannot end at clusters there: they end at a node inside and are cut
--- at the cluster's border (`lhead`, `ltail`). Pure.

local M = {}

local STYLES = { solid = "", dashed = "style=dashed", failed = 'style=dashed color="#c1121f" fontcolor="#c1121f"',
  stream = "penwidth=2 constraint=false" }
local FILLS = { finished = "#d8f3dc", failed = "#ffd6d6", cancelled = "#fff3c4", running = "#d0e6ff", skipped = "#eeeeee",
  unvisited = "#ffffff" }
local HEAD = [[
digraph %s {
  compound=true; rankdir=TB; fontname="sans-serif"; label=%s; labelloc=t;
  node [shape=box style="rounded,filled" fillcolor="#f6f6f6" fontname="sans-serif" fontsize=11];
  edge [fontname="sans-serif" fontsize=10];]]

local function quoted(text)
  return '"' .. text:gsub("%c", " "):gsub('[\\"]', "\\%0") .. '"'
end

local function label_of(item)
  local lines = { (quoted(item.title):sub(2, -2)) }
  for _, note in ipairs(item.notes) do lines[#lines + 1] = (quoted(note):sub(2, -2)) end
  return '"' .. table.concat(lines, "\\n") .. '"'
end

local function node_line(item)
  if item.is_mark then return ("%s [label=%s shape=oval fillcolor=white fontsize=9];"):format(item.id, quoted(item.title)) end
  local fill = item.status and (' fillcolor="%s"'):format(FILLS[item.status] or "#ffffff") or ""
  local border = item.status == "unvisited" and ' style="rounded,dashed"' or ""
  return ("%s [label=%s%s%s];"):format(item.id, label_of(item), fill, border)
end

local function write_item(out, item, indent)
  if not item.items then
    out[#out + 1] = indent .. node_line(item)
    return
  end
  local fill = item.status and (' style="rounded,filled"; fillcolor="%s";'):format(FILLS[item.status] or "#ffffff") or ' style=rounded;'
  out[#out + 1] = ("%ssubgraph cluster_%s {"):format(indent, item.id)
  out[#out + 1] = ("%s  label=%s;%s labelloc=t;"):format(indent, label_of(item), fill)
  for _, inner in ipairs(item.items) do write_item(out, inner, indent .. "  ") end
  out[#out + 1] = indent .. "}"
end

local function index(items, by_id)
  for _, item in ipairs(items) do
    by_id[item.id] = item
    if item.items then index(item.items, by_id) end
  end
  return by_id
end

-- The node of a cluster at which an arrow enters or leaves it.
local function leaf(item, is_last)
  while item.items and #item.items > 0 do item = item.items[is_last and #item.items or 1] end
  return item.id
end

local function edge_line(edge, by_id)
  local from, to = by_id[edge.from], by_id[edge.to]
  local attributes = { STYLES[edge.style] }
  if edge.label then attributes[#attributes + 1] = "label=" .. quoted(edge.label) end
  if from.items then attributes[#attributes + 1] = "ltail=cluster_" .. from.id end
  if to.items then attributes[#attributes + 1] = "lhead=cluster_" .. to.id end
  return ("  %s -> %s [%s];"):format(leaf(from, true), leaf(to, false), table.concat(attributes, " "))
end

--- Writes a drawing.
---@param drawing weir.cli.Drawing
---@return string ends in a newline
function M.write(drawing)
  local title = quoted(drawing.title)
  local out = { HEAD:format(title, title) }
  local by_id = index(drawing.items, {})
  for _, item in ipairs(drawing.items) do write_item(out, item, "  ") end
  for _, edge in ipairs(drawing.edges) do out[#out + 1] = edge_line(edge, by_id) end
  out[#out + 1] = "}"
  return table.concat(out, "\n") .. "\n"
end

return M
