local files = require "weir.port.files"
local native = require "weir.native.scheduler"
local process = require "weir.port.process"
local testing = require "weir.testing"

local TEXT = ("The harbour lies in the lee of the island. Ships have anchored in the harbour since the island was settled. "
  .. "The lighthouse was built when two ships were lost on the reef. One road leads from the harbour to the lighthouse. "):rep(3)

describe("pipeline race", function()
  local folder
  before_each(function()
    folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
    assert(files.write(folder .. "/harbour.txt", TEXT))
  end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  local function race(options)
    options.input = { path = folder .. "/harbour.txt", words = 30 }
    options.modules = { ["agents/files"] = { roots = { folder } } }
    if options.real_time == nil then options.real_time = true end
    return testing.run("pipelines/race.lua", options)
  end

  it("gives the summary that covers most, and says what it thought of the others", function()
    local of = race {}
    assert.equal("finished", of.status, of.error and of.error.message)
    local decision
    for _, event in ipairs(of.events) do
      if event.kind == "decision" then decision = event end
    end
    local best = decision.branches[decision.winner].verdict
    for name, branch in pairs(decision.branches) do
      assert.is_true((branch.verdict and branch.verdict.score or 0) <= best.score, name)
    end
    assert.equal(of:data("best").text, of.output)
  end)

  it("takes what the model that is set has made, where that is better", function()
    local text = "Harbour lies in lee of island; ships anchored since island was settled; lighthouse built, ships lost, reef; road leads."
    local of = race { models = { better = function() return { message = { role = "assistant", content = text }, finish = "stop" } end } }
    assert.same({ "finished", text }, { of.status, of.output })
  end)

  it("stops a model that is late, and goes on with what there is", function()
    local of = race { models = { late = function() native.sleep(1e6) end }, real_time = false }
    assert.same({ "finished", 30 }, { of.status, of.seconds })
    local last
    for _, event in ipairs(of.events) do
      if event.kind == "step" and event.name == "model" then last = event.status end
    end
    assert.equal("cancelled", last)
  end)
end)
