-- What is seen of large maps and of speculations: weir show, its JSON, prune.

local support = dofile "spec/lua/weir/cli/support.lua"
local store_port = require "weir.port.store"

local NUMBER = [[
return { kind = "agent", name = "number", api = 1, execute = function(_, input)
  if input.items then return input.items[1] + (input.acc or 0) end
  return math.tointeger(tonumber(input.text)) or nil, "that is no number", "invalid"
end }
]]

local MANY = [[
local weir = require "weir"
return weir.pipeline "many" {
  weir.map "sum" { over = { path = "numbers.txt" }, chunk = { agent = "files", options = { mode = "lines" }, stream = true }, tolerate = TOLERATE,
    weir.step "number" { agent = "number", input = { text = "$.item.text" } }, reduce = { agent = "number", mode = "fold" } } }
]]

local RACE = [[
local weir = require "weir"
return weir.pipeline "race" { weir.speculate "best" { judge = "longest",
  weir.step "a" { agent = "echo", input = { text = "short" } }, weir.step "b" { agent = "echo", input = { text = "rather longer" } } } }
]]

describe("weir show", function()
  local folder
  local function weir(...) return support.host({ ... }, { cwd = folder }) end

  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}")
    support.write(folder, "modules/agents/number.lua", NUMBER)
    support.write(folder, "pipelines/many.lua", (MANY:gsub("TOLERATE", "2")))
    support.write(folder, "pipelines/race.lua", RACE)
    local lines = {}
    for n = 1, 2500 do lines[n] = (n == 2000 and "none" or n) .. "\n" end
    support.write(folder, "numbers.txt", table.concat(lines))
  end)
  after_each(function() support.remove(folder) end)

  it("tells of a large map how many items it had, and which failed", function()
    local result = weir("run", "many", "--quiet")
    assert.equal(0, result.status, result.stderr)
    assert.equal(2500 * 2501 // 2 - 2000 .. "\n", result.stdout)
    local shown = weir("show", "last").stdout
    assert.matches("2,?500 items, 1 failed", shown)
    assert.matches("item 1999: that is no number %(invalid%)", shown)
  end)

  it("tells them too when the map has failed", function()
    support.write(folder, "pipelines/many.lua", (MANY:gsub("TOLERATE", "0")))
    assert.equal(1, weir("run", "many", "--quiet").status)
    assert.matches("item 1999: that is no number", weir("show", "last").stdout)
  end)

  it("says who won, and with which score", function()
    assert.equal(0, weir("run", "race", "--quiet").status)
    assert.matches("decided: b won, score 1%.00; a finished, score 0%.50", weir("show", "last").stdout)
    assert.matches('"winner":"b"', weir("show", "last", "--json").stdout)
  end)

  it("leaves nothing of a map's items when its run is pruned", function()
    assert.equal(0, weir("run", "many", "--quiet").status)
    local function rows()
      local store <close> = assert(store_port.open(folder .. "/.weir"))
      return #assert(store:scan("items", {}))
    end
    assert.is_true(rows() > 2)
    local pruned = weir("prune", "--older", "0s")
    assert.equal(0, pruned.status, pruned.stderr)
    assert.equal(0, rows())
  end)
end)
