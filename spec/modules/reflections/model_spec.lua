local json = require "weir.native.json"
local reflection = dofile "spec/lua/weir/reflection/support.lua"

local TEXT = reflection.pipeline('approve = "auto", examples = { { base = 10 }, { base = 20 }, { base = 30 } }, holdout = 0.5,')
  :gsub('use = "says"', 'use = "model", options = { hint = "the size" }')

describe("reflection model", function()
  local place
  after_each(function()
    if place then place:close() end
    place = nil
  end)

  -- A cycle with a scripted model; gives its output and what the model was asked.
  local function reflected(answers)
    local asked = {}
    place = reflection.place(TEXT, function() end)
    place.project.registry:put { kind = "model", name = "scripted", api = 1, chat = function(_, request)
      asked[#asked + 1] = request
      return { message = { role = "assistant", content = json.encode(answers[math.min(#asked, #answers)]) }, finish = "stop",
        usage = { input_tokens = 10, output_tokens = 5 } }
    end }
    place.project.settings.models = { scripted = { use = "scripted" } }
    place.project.settings.model = "scripted"
    return place:reflect(place:run()), asked
  end

  it("gives the patch that a model answers with, and ends when the model expects nothing to help", function()
    local cycle, asked = reflected {
      { reason = "nearer to five", patch = json.list { { op = "replace", path = "/groups/1/steps/0/options/size", value = "4" } } },
      { reason = "", patch = json.list {} },
    }
    assert.equal("no_proposal", cycle.output.stopped.code, cycle.output.stopped.why)
    assert.same({ "kept" }, place:states())
    assert.equal(4, place:size())
    local text = asked[2].messages[2].content
    assert.is_truthy(text:find('"size": 4', 1, true))
    assert.is_truthy(text:find("- kept: nearer to five", 1, true))
    assert.is_truthy(text:find("Look first at: the size", 1, true))
    assert.is_truthy(asked[1].schema)
  end)

  it("never sees an input that is held out, nor its score", function()
    local _, asked = reflected { { reason = "", patch = json.list {} } }
    local held = {}
    local data = require "weir.reflection.data"
    local list = {}
    for index, base in ipairs { 10, 20, 30, 100 } do list[index] = { hash = data.hash { base = base } } end
    for _, one in ipairs(data.split(list, 0.5)) do
      if one.is_held_out then held[#held + 1] = one.hash end
    end
    assert.is_true(#held > 0)
    for _, id in ipairs(held) do assert.is_nil(asked[1].messages[2].content:find(id, 1, true)) end
  end)

  it("refuses what it may not touch, whatever the model says, and a value that is no JSON", function()
    reflected { { reason = "more money", patch = json.list { { op = "replace", path = "/reflect/iterations", value = "99" } } } }
    local one = place:candidates()[1]
    assert.same({ "refused", "denied" }, { one.state, one.code })
    place:close()
    local cycle = reflected { { reason = "x", patch = json.list { { op = "add", path = "/doc", value = "no json" } } } }
    assert.equal("failed", cycle.output.stopped.code)
    assert.matches("is no JSON", cycle.output.stopped.why)
  end)
end)
