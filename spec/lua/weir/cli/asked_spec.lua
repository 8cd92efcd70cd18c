-- What `weir show` says of the models that a step has asked.
local support = dofile "spec/lua/weir/cli/support.lua"

local SETTINGS = [[
return { models = { gone = { use = "compatible", options = { url = "http://127.0.0.1:1/v1", model = "x", secret = "" } } },
  routing = { attempts = 1 } }
]]

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "choose" {
  weir.step "gist" { agent = "ask", model = { candidates = { "gone", "local/lead" } },
    input = { prompt = "In at most 8 words:\n\nThe boats went out to sea. Nobody saw them again." } },
}
]]

describe("a step that has asked a model", function()
  local folder
  setup(function()
    folder = support.folder()
    support.write(folder, "weir.lua", SETTINGS)
    support.write(folder, "pipelines/choose.lua", PIPELINE)
    assert.equal(0, support.host({ "run", "choose", "--quiet" }, { cwd = folder }).status)
  end)
  teardown(function() support.remove(folder) end)

  it("shows which one answered, why, what failed before it, and what was used", function()
    local shown = support.host({ "show", "last" }, { cwd = folder }).stdout
    assert.matches("chat .+local/lead\n", shown)
    assert.matches("gone failed after .+: connection\n", shown)
    assert.matches("ordered: 'gone' is the first that is ready\n", shown)
    assert.matches("%d+ tokens in, %d+ out\n", shown)
  end)

  it("has the same for programs", function()
    local whole = support.lines(support.host({ "show", "last", "--json" }, { cwd = folder }).stdout)[1]
    local step
    for _, one in ipairs(whole.steps) do step = one.key == "gist/chat" and one or step end
    assert.same({ "local/lead", "ordered", "gone", "connection" },
      { step.model, step.why.policy, step.why.attempts[1].model, step.why.attempts[1].class })
    assert.is_number(step.usage.input_tokens)
    assert.is_number(step.timing.total_s)
  end)
end)
