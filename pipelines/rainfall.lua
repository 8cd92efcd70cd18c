--- Sums up a table, though no agent here reads CSV: one is found among the skills, tried, and used.

local weir = require "weir"

local TABLE = [[
station,month,millimetres
Bergen,2025-09,283
Bergen,2025-10,271
Bergen,2025-11,259
"Las Palmas, Gran Canaria",2025-09,9
"Las Palmas, Gran Canaria",2025-10,16
"Las Palmas, Gran Canaria",2025-11,22
]]

local function sums(rows)
  local totals = {}
  for _, row in ipairs(rows) do totals[row.station] = (totals[row.station] or 0) + math.tointeger(tonumber(row.millimetres)) end
  return totals
end

return weir.flow "rainfall" {
  doc = "Rain by station, from a table in CSV",
  input = { text = { type = "string", default = TABLE } },
  function(run, input)
    local reader = run:step "reader" { agent = "skill_scout", input = { need = "read CSV", gives = { "rows" } } }
    local read = run:step "read" { agent = reader.name, input = { text = input.text } }
    return { by = reader.name, rows = read.count, millimetres = sums(read.rows) }
  end,
}
