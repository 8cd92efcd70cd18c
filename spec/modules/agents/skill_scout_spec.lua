local shelf = require "weir.skill.shelf"
local support = dofile "spec/lua/weir/skill/support.lua"
local weir = require "weir"

describe("agent skill_scout", function()
  local place
  before_each(function() place = support.place() end)
  after_each(function() place:close() end)

  local function scout(input, options)
    local definition = assert(place.project:check(weir.flow "scouting" { function(run)
      return run:step "reader" { agent = "skill_scout", input = input, options = options }
    end }))
    return place.engine:run(definition, {})
  end

  it("finds a skill, tries it, and registers it", function()
    place:add()
    local run = scout { need = "double a number" }
    assert.equal("finished", run.status)
    assert.equal("double", run.output.name)
    assert.equal("shadow", run.output.state)
    assert.equal(run.output.hash, shelf.name(place.store, "double").shadow)
  end)

  it("learns nothing twice", function()
    place:add()
    scout { need = "double a number" }
    local before = #place:audit()
    local run = scout { need = "double a number" }
    assert.equal("known", run.output.state)
    assert.equal("double", run.output.name)
    assert.equal(before, #place:audit())
  end)

  it("goes on to the next candidate when one is no good, and says what was wrong with it", function()
    place:add({ name = "double", description = "Doubles a number, badly" }, "return { execute = function() return { double = 0 } end }\n")
    place:add({ name = "twofold", description = "Doubles: gives the double of a number" })
    local run = scout { need = "double a number" }
    assert.equal("twofold", run.output.name)
    assert.equal("double", run.output.refused[1].name)
    assert.match("tests do not pass", run.output.refused[1].cause, 1, true)
  end)

  it("asks a person about new privileges, showing them, and takes the skill once approved", function()
    place:add { grants = { clock = true } }
    local asked
    place.engine.decide = function(record)
      asked = record
      return { decision = "approve", by = "ada" }
    end
    local run = scout { need = "double a number" }
    assert.equal("finished", run.status)
    assert.same({ "know what time it is" }, { table.unpack(asked.show.new) })
    assert.equal("it wants to be let do more", asked.show.why)
    assert.match("May the skill 'double' 1.0.0 be used?", asked.title, 1, true)
    assert.equal(64, #asked.show.hash)
    assert.equal("ada", shelf.version(place.store, run.output.hash).by)
    assert.same({ "know what time it is" }, { table.unpack(shelf.name(place.store, "double").given) })
  end)

  it("does not take what a person does not want, and remembers it", function()
    place:add { grants = { clock = true } }
    place.engine.decide = function() return { decision = "reject", by = "ada", comment = "why would it?" } end
    local run = scout { need = "double a number" }
    assert.equal("failed", run.status)
    assert.equal("not_found", run.error.code)
    assert.is_nil(shelf.name(place.store, "double"))
    assert.match("ada did not want it: why would it?", place.scout:find("double a number").failed[1].cause, 1, true)
  end)

  it("says that there is nothing, what was tried, and what to do", function()
    local run = scout { need = "translate Finnish" }
    assert.equal("not_found", run.error.code)
    assert.match("no skill was found for 'translate Finnish'; put one into modules/skills", run.error.message, 1, true)
  end)

  it("stops after so many candidates", function()
    for index = 1, 4 do
      place:add({ name = "double" .. index, description = "Doubles a number, badly " .. index }, ("return { execute = function() return { double = %d } end }\n"):format(index + 10))
    end
    local run = scout({ need = "double a number" }, { candidates = 2 })
    assert.equal("not_found", run.error.code)
    assert.equal(2, #place:audit())
  end)
end)
