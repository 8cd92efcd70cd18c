local data = require "weir.reflection.data"
local native = require "weir.native.scheduler"
local score = require "weir.reflection.score"
local support = dofile "spec/lua/weir/reflection/support.lua"
local weir = require "weir"

local function inputs_of(count)
  local list = {}
  for index = 1, count do list[index] = { hash = data.hash { n = index } } end
  return list
end

local function held(list)
  local found = {}
  for _, one in ipairs(list) do
    if one.is_held_out then found[one.hash] = true end
  end
  return found
end

describe("what is held out", function()
  it("follows from the hash of an input alone: it stays on its side whatever comes beside it", function()
    local few, many = held(data.split(inputs_of(20), 0.3)), held(data.split(inputs_of(200), 0.3))
    for _, one in ipairs(inputs_of(20)) do assert.equal(few[one.hash], many[one.hash], one.hash) end
  end)

  it("is about the share that is asked for", function()
    local count = 0
    for _ in pairs(held(data.split(inputs_of(1000), 0.3))) do count = count + 1 end
    assert.is_true(count > 250 and count < 350, count)
  end)

  it("leaves neither side empty once there are two inputs, unless no share is wanted", function()
    for count = 2, 12 do
      for _, share in ipairs { 0.01, 0.34, 0.99, 1 } do
        local kept = 0
        for _ in pairs(held(data.split(inputs_of(count), share))) do kept = kept + 1 end
        assert.is_true(kept >= 1 and kept < count, ("%d of %d at %g"):format(kept, count, share))
      end
      assert.same({}, held(data.split(inputs_of(count), 0)))
    end
    assert.same({}, held(data.split(inputs_of(1), 0.99)))
  end)

  it("is told by the input and not by the order of its names", function()
    assert.equal(data.hash { a = 1, b = 2 }, data.hash { b = 2, a = 1 })
    assert.not_equal(data.hash { a = 1 }, data.hash { a = 2 })
  end)
end)

describe("what is collected", function()
  it("are the inputs of earlier runs, also where many runs of others have finished since", function()
    local place <close> = support.place(support.pipeline(), function() end)
    assert.equal("finished", place:run({ base = 7 }).status)
    native.sleep(1) -- ids are in the order of time
    local other = assert(place.project:check(weir.pipeline "other" { weir.step "a" { agent = "first", input = { base = 1 } } }))
    for _ = 1, 250 do assert.equal("finished", place.engine:run(other, {}).status) end
    local inputs = data.collect(place.store, "p", { recorded = 5 }, nil, function(input) return true, input end)
    assert.equal(1, #inputs)
    assert.equal(data.hash { base = 7 }, inputs[1].hash)
  end)
end)

describe("scores", function()
  local INPUTS = { { hash = "x" }, { hash = "y" } }
  local function of(x, y) return { x = { value = x }, y = { value = y } } end

  it("are means over the inputs, and the gain is a share of what was before", function()
    local compared = score.compare(INPUTS, of(1, 3), of(2, 4))
    assert.same({ 2, 3 }, { compared.before, compared.after })
    assert.equal(0.5, score.gain(compared, "higher"))
    assert.equal(-0.5, score.gain(compared, "lower"))
    assert.is_true((score.is_better(compared, "higher", 0.49)))
    assert.is_false((score.is_better(compared, "higher", 0.5)))
    assert.is_false((score.is_better(compared, "lower", 0)))
  end)

  it("that are missing on one input make no better version", function()
    local better, why = score.is_better(score.compare(INPUTS, of(1, 1), of(100, nil)), "higher", 0)
    assert.same({ false, "it could not be measured on every input" }, { better, why })
    assert.is_false((score.is_better(score.compare({}, {}, {}), "higher", 0)))
  end)

  it("get better from nought and below nought as well", function()
    assert.is_true((score.is_better(score.compare(INPUTS, of(0, 0), of(1, 0)), "higher", 0.01)))
    assert.is_true((score.is_better(score.compare(INPUTS, of(-2, -2), of(-1, -1)), "higher", 0.4)))
    assert.is_true((score.is_better(score.compare(INPUTS, of(2, 2), of(1, 1)), "lower", 0.4)))
  end)
end)
