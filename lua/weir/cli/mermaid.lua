--- A drawing as a Mermaid flowchart. Pure.

local M = {}

local ARROWS = { solid = "-->", dashed = "-.->", failed = "-.->", stream = "==>" }
local CLASSES = [[
  classDef finished fill:#d8f3dc,stroke:#2d6a4f,color:#1b4332
  classDef failed fill:#ffd6d6,stroke:#c1121f,color:#780000
  classDef cancelled fill:#fff3c4,stroke:#b08900,color:#5c4800
  classDef running fill:#d0e6ff,stroke:#1d5fa8,color:#0b2f57
  classDef skipped fill:#eeeeee,stroke:#999999,color:#666666
  classDef unvisited fill:#ffffff,stroke:#bbbbbb,color:#888888,stroke-dasharray:4
]]
local ENTITIES = { ['"'] = "#quot;", ["#"] = "#35;", ["<"] = "#lt;", [">"] = "#gt;", ["&"] = "#amp;", ["|"] = "#124;", ["`"] = "#96;" }

local function quoted(text)
  return '"' .. text:gsub('["#<>&|`]', ENTITIES):gsub("%c", " ") .. '"'
end

local function label_of(item)
  local lines = { (quoted(item.title):sub(2, -2)) }
  for _, note in ipairs(item.notes) do lines[#lines + 1] = ("<small>%s</small>"):format(quoted(note):sub(2, -2)) end
  return '"' .. table.concat(lines, "<br/>") .. '"'
end

local function write_item(out, item, indent)
  if item.is_mark then
    out[#out + 1] = ("%s%s(%s)"):format(indent, item.id, quoted(item.title))
    return
  end
  if not item.items then
    out[#out + 1] = ("%s%s[%s]"):format(indent, item.id, label_of(item))
    return
  end
  out[#out + 1] = ("%ssubgraph %s[%s]"):format(indent, item.id, label_of(item))
  for _, inner in ipairs(item.items) do write_item(out, inner, indent .. "  ") end
  out[#out + 1] = indent .. "end"
end

local function collect_classes(items, by_status)
  for _, item in ipairs(items) do
    if item.status then
      by_status[item.status] = by_status[item.status] or {}
      table.insert(by_status[item.status], item.id)
    end
    if item.items then collect_classes(item.items, by_status) end
  end
end

local function write_classes(out, items)
  local by_status = {}
  collect_classes(items, by_status)
  if next(by_status) == nil then return end
  out[#out + 1] = CLASSES:sub(1, -2)
  for _, status in ipairs(require("weir.value").names(by_status)) do
    out[#out + 1] = ("  class %s %s"):format(table.concat(by_status[status], ","), status)
  end
end

--- Writes a drawing.
---@param drawing weir.cli.Drawing
---@return string ends in a newline
function M.write(drawing)
  local out = { "---", "title: " .. quoted(drawing.title), "---", "flowchart TD" }
  for _, item in ipairs(drawing.items) do write_item(out, item, "  ") end
  for _, edge in ipairs(drawing.edges) do
    local label = edge.label and ("|%s|"):format(quoted(edge.label)) or ""
    out[#out + 1] = ("  %s %s%s %s"):format(edge.from, ARROWS[edge.style], label, edge.to)
  end
  write_classes(out, drawing.items)
  return table.concat(out, "\n") .. "\n"
end

return M
